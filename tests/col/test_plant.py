"""The values that pass between plants and those who use them."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from col.errors import InputError
from col.plant import (
    Control,
    Intervention,
    Metric,
    MetricKind,
    PlantDescription,
    Provenance,
    Windows,
    concatenate_windows,
)

CPU = Control(name="cpu", unit="core", lower=0.1, upper=1.5, resolution=0.05, reference=1.0)
BW = Control(name="bw", unit="MHz", lower=5, upper=20, resolution=5, reference=20)
PLANT = PlantDescription(
    plant_id="p", controls=(CPU, BW), metrics=(Metric(name="thp", unit="Mbit/s", kind=MetricKind.TARGET),), window_s=15
)


def windows(first: int, n: int, **changes: Any) -> Windows:
    rows = np.arange(first, first + n)
    table: dict[str, Any] = {
        "sequence": rows,
        "start_s": rows * 15.0,
        "end_s": rows * 15.0 + 15,
        "run": np.zeros(n, dtype=np.int64),
        "controls": {"cpu": np.full(n, 1.0)},
        "metrics": {"thp": rows / 10},
        "provenance": {"thp": Provenance.ESTIMATED},
    }
    return Windows(**{**table, **changes})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lower": 1.5}, r"cpu = 1.5: lower bound must be below upper bound \(1.5\)"),
        ({"lower": 2.0}, "lower bound must be below upper bound"),
        ({"upper": math.nan}, "must be finite"),
        ({"resolution": 0.0}, "cpu = 0.0: resolution must be positive"),
        ({"resolution": 3.0}, "within the range"),
        ({"reference": 1.6}, r"cpu = 1.6: reference must lie in \[0.1, 1.5\]"),
    ],
)
def test_a_control_that_makes_no_sense_is_refused(change: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(CPU, **change)  # type: ignore[arg-type]


@given(st.floats(-10, 10))
def test_a_snapped_value_is_settable_and_the_nearest_one(value: float) -> None:
    snapped = CPU.snap(value)
    assert CPU.lower <= snapped <= CPU.upper
    assert CPU.snap(snapped) == snapped
    assert abs(snapped - min(max(value, CPU.lower), CPU.upper)) <= CPU.resolution / 2 + 1e-9
    assert math.isclose(
        (snapped - CPU.lower) / CPU.resolution, round((snapped - CPU.lower) / CPU.resolution), abs_tol=1e-6
    )


def test_an_intervention_is_a_value() -> None:
    x = Intervention({"cpu": 1, "bw": 20})
    assert x == Intervention({"bw": 20.0, "cpu": 1.0})
    assert len({x, Intervention({"bw": 20.0, "cpu": 1.0}), Intervention({"cpu": 1.0})}) == 2
    assert pickle.loads(pickle.dumps(x)) == x
    assert x != {"cpu": 1.0, "bw": 20.0}
    assert list(x) == ["cpu", "bw"]
    with pytest.raises(TypeError):
        x.values["cpu"] = 2.0  # type: ignore[index]


def test_an_intervention_over_a_base_keeps_what_it_does_not_name() -> None:
    assert Intervention({"cpu": 0.5}).over({"cpu": 1.0, "bw": 20.0}) == Intervention({"cpu": 0.5, "bw": 20.0})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gpu": 1.0}, "gpu: no such control; known are cpu, bw"),
        ({"cpu": math.nan}, r"cpu = nan: must lie in \[0.1, 1.5\] core"),
        ({"cpu": 1.0, "bw": 4.0}, r"bw = 4.0: must lie in \[5, 20\] MHz"),
    ],
)
def test_a_description_refuses_unknown_missing_and_outside_values(values: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        PLANT.check(Intervention(values))


def test_the_reference_of_a_plant_is_that_of_its_controls() -> None:
    assert PLANT.reference == Intervention({"cpu": 1.0, "bw": 20.0})
    PLANT.check(PLANT.reference)


def test_windows_of_unequal_columns_or_falling_sequence_are_refused() -> None:
    with pytest.raises(InputError, match=r"windows: thp: column has shape \(3,\), must be \(4,\)"):
        windows(0, 4, metrics={"thp": np.zeros(3)})
    with pytest.raises(InputError, match="sequence numbers must increase"):
        windows(0, 3, sequence=np.array([0, 2, 2]))


def test_rows_can_be_taken_and_joined_again() -> None:
    table = windows(3, 6)
    joined = concatenate_windows([table.take(slice(0, 2)), table.take(slice(2, 2)), table.take(np.arange(2, 6))])
    np.testing.assert_array_equal(joined.sequence, table.sequence)
    np.testing.assert_array_equal(joined.metrics["thp"], table.metrics["thp"])
    assert joined.provenance == table.provenance
    assert len(table.take(table.sequence >= 7)) == 2
    with pytest.raises(InputError, match="sequence numbers must increase"):
        concatenate_windows([table, table])


def test_a_column_is_found_by_its_name_or_the_known_ones_are_told() -> None:
    table = windows(0, 2)
    assert table.column("cpu") is table.controls["cpu"]
    assert table.column("thp") is table.metrics["thp"]
    with pytest.raises(InputError, match="power: no such metric or control; known are cpu, thp"):
        table.column("power")


def test_no_windows_have_columns_all_the_same() -> None:
    none = Windows.empty(["cpu"], ["thp"])
    assert len(none) == 0
    assert len(concatenate_windows([none, none])) == 0
    assert len(concatenate_windows([none, windows(0, 2)])) == 2
