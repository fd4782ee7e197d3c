"""What is asked of a region: slices, the cheapest configuration in it, what stops it; on a region known exactly."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from col.plant import Control
from tui.progress import LineProgress, Status, choose_progress, duration, share
from tui.region_facts import border_limits, cheapest_safe, region_slices
from tui.report_data import Group

Points = NDArray[np.float64]


def control(name: str, resolution: float = 0.05) -> Control:
    return Control(name=name, unit="core", lower=0.1, upper=1.5, resolution=resolution, reference=1.2)


class Corner:
    """Safe where a >= 0.5 and b >= 0.7; the bound grows with the distance from the border."""

    controls = ("a", "b")
    least = np.array([0.5, 0.7])

    def lower_bound(self, x: Points) -> Points:
        return np.clip(0.9 + np.min(np.atleast_2d(x) - self.least, axis=1) / 10, 0.0, 1.0)

    def contains(self, x: Points) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = np.min(np.atleast_2d(x) - self.least, axis=1) >= -1e-9
        return inside

    def limiting(self, x: Points) -> str:
        return self.controls[int(np.argmin(x - self.least))]


CONTROLS = (control("a"), control("b"))


def test_controls_that_are_no_resource_have_no_cheapest_configuration() -> None:
    thresholds = [replace(control(name), unit="Mbit/s") for name in Corner.controls]
    assert cheapest_safe(Corner(), [control(name) for name in Corner.controls]) is not None
    assert cheapest_safe(Corner(), thresholds) is None


def test_the_cheapest_configuration_is_the_corner_and_can_be_set() -> None:
    best = cheapest_safe(Corner(), CONTROLS)
    assert best is not None
    assert best.controls == pytest.approx({"a": 0.5, "b": 0.7})
    assert best.total == pytest.approx(1.2)
    assert best.reference_total == pytest.approx(2.4)
    assert best.unit == "core"
    coarse = cheapest_safe(Corner(), (control("a", 0.35), control("b", 0.35)))
    assert coarse is not None
    assert coarse.controls == pytest.approx({"a": 0.8, "b": 0.8})


def test_there_is_no_cheapest_configuration_where_the_reference_is_not_safe() -> None:
    region = Corner()
    region.least = np.array([1.3, 0.7])
    assert cheapest_safe(region, CONTROLS) is None
    assert border_limits(region, CONTROLS, np.random.default_rng(0)) == {}


def test_the_border_is_shared_out_by_what_stops_the_region() -> None:
    limits = border_limits(Corner(), CONTROLS, np.random.default_rng(0), rays=400)
    assert set(limits) == {"a", "b"}
    assert sum(limits.values()) == pytest.approx(1.0)
    assert min(limits.values()) > 0.2


def test_slices_hold_the_other_controls_at_their_reference_and_zoom_on_the_cheapest() -> None:
    group = Group(title="gNB 1", x="b", y="a", suffixes=("1",))
    whole, near = region_slices(Corner(), CONTROLS, [group], cheapest_safe(Corner(), CONTROLS))
    assert (whole.x_name, whole.zoom, near.zoom) == ("b", False, True)
    row, column = np.argmin(abs(whole.y_values - 1.0)), np.argmin(abs(whole.x_values - 0.3))
    expected = Corner().lower_bound(np.array([[whole.y_values[row], whole.x_values[column]]]))[0]
    assert whole.lower[row, column] == pytest.approx(expected)
    assert near.x_values[0] < 0.7 < near.x_values[-1]
    assert near.y_values[0] < 0.5 < near.y_values[-1]
    assert near.x_values[-1] - near.x_values[0] < 0.3


def test_progress_in_a_log_is_one_line_for_each_thing_that_happened() -> None:
    stream = io.StringIO()
    progress = choose_progress(quiet=False, stream=stream)
    assert isinstance(progress, LineProgress)
    with progress:
        progress.update(Status(title="t"), "passive windows: 120 of 960")
        progress.update(Status(title="t"))
    assert stream.getvalue() == "passive windows: 120 of 960\n"
    assert (share(None), share(0.081), share(0.00098), duration(125.4), duration(None)) == (
        "–", "8.1 %", "0.098 %", "2:05", "–",
    )  # fmt: skip
