"""The recommendation: cheap, away from the border, and reached by steps that never leave the region."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from col.errors import InputError
from col.limits import limit_of
from col.plant import Control
from col.recommend import BlastLimits, Recommendation, recommend

FloatArray = NDArray[np.float64]


@dataclass
class MadeRegion:
    """A region whose bound is any function of x (n, d)."""

    controls: tuple[str, ...]
    bound: Callable[[FloatArray], FloatArray]
    alpha: float = 0.9

    def lower_bound(self, x: FloatArray) -> FloatArray:
        return self.bound(x)

    def contains(self, x: FloatArray) -> NDArray[np.bool_]:
        return self.bound(x) >= self.alpha - 1e-12


def control(name: str, *, resolution: float = 0.01, reference: float = 1.2, live: bool = True) -> Control:
    return Control(name=name, unit="core", lower=0.1, upper=1.5, resolution=resolution, reference=reference, live=live)


def above(needs: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Safe where every control has at least what it needs."""
    return lambda x: np.where(np.all(x >= needs - 1e-9, axis=1), 1.0, 0.0)


FOUR = tuple(f"cpu_{part}_{cell}" for part in ("du", "cu") for cell in range(1, 5))
GNBS = {str(cell): (f"cpu_du_{cell}", f"cpu_cu_{cell}") for cell in range(1, 5)}
LIMITS = BlastLimits(largest_step={"cpu_du": 0.4, "cpu_cu": 0.4}, groups=GNBS, most_groups=2)


def four_gnbs(**changes: object) -> Recommendation:
    arguments = {
        "rates": dict.fromkeys(FOUR, 1.0),
        "limits": LIMITS,
        **changes,
    }
    region = MadeRegion(FOUR, above(np.array([0.58] * 4 + [0.42] * 4)))
    controls = [control(name) for name in FOUR]
    return recommend(region, controls, {name: 1.2 for name in FOUR}, **arguments)  # type: ignore[arg-type]


def test_four_gnbs_come_to_what_they_need_and_the_box_around_it_in_four_steps() -> None:
    found = four_gnbs(box_steps=2)

    assert found.target == pytest.approx({n: 0.60 if "du" in n else 0.44 for n in FOUR})
    assert len(found.steps) == 4
    assert found.why == ""
    assert found.base_cost == pytest.approx(9.6)
    assert found.target_cost == pytest.approx(4 * 0.60 + 4 * 0.44)


def test_a_reserve_keeps_the_specification_where_a_core_is_worth_less() -> None:
    found = four_gnbs(box_steps=0, reserve=0.08)

    assert found.target == pytest.approx({n: 0.64 if "du" in n else 0.46 for n in FOUR})
    assert all(0.92 * v >= (0.58 if "du" in n else 0.42) - 1e-9 for n, v in found.target.items())


def test_a_reserve_does_not_jump_over_a_hole_of_the_region() -> None:
    # Between 0.55 and 0.57 nothing holds: what is worth a little less must not lie there either.
    def bound(x: FloatArray) -> FloatArray:
        return np.where((x[:, 0] >= 0.5 - 1e-9) & ~((x[:, 0] > 0.55) & (x[:, 0] < 0.57)), 1.0, 0.0)

    controls, limits = [control("a")], BlastLimits(groups={"g": ("a",)}, most_groups=1)
    found = recommend(
        MadeRegion(("a",), bound), controls, {"a": 1.2}, rates={"a": 1.0}, limits=limits, box_steps=0, reserve=0.1
    )

    assert found.target["a"] >= 0.57 / 0.9 - 1e-9


@pytest.mark.parametrize("reserve", [-0.1, 1.0, float("nan")])
def test_a_reserve_that_is_no_share_is_refused(reserve: float) -> None:
    with pytest.raises(InputError, match="reserve"):
        four_gnbs(reserve=reserve)


def test_without_a_box_the_border_itself_is_recommended() -> None:
    assert four_gnbs(box_steps=0).target == pytest.approx({n: 0.58 if "du" in n else 0.42 for n in FOUR})


@settings(max_examples=40, deadline=None)
@given(
    needs=st.lists(st.floats(0.15, 1.1), min_size=4, max_size=4),
    resolution=st.sampled_from([0.01, 0.025, 0.05]),
    largest=st.sampled_from([0.05, 0.13, 0.4, 3.0]),
    most=st.integers(1, 3),
    shared=st.booleans(),
    slope=st.floats(0.0, 1.0),
)
def test_every_step_keeps_within_the_region_and_the_blast_radius(
    needs: list[float], resolution: float, largest: float, most: int, shared: bool, slope: float
) -> None:
    names = ("a1", "a2", "b1", "b2")
    groups = {"a": ("a1", "a2"), "b": ("b1", "b2", *(("a2",) if shared else ()))}
    low = np.array(needs)

    def bound(x: FloatArray) -> FloatArray:
        # A border that is not parallel to the axes: who gives a lot away needs more elsewhere.
        slack = np.min(x - low, axis=1) - 0.1 * slope * np.abs(x[:, 0] - x[:, 3])
        return np.clip(0.9 + slack, 0.0, 1.0)

    region = MadeRegion(names, bound)
    controls = [control(n, resolution=resolution) for n in names]
    limits = BlastLimits(largest_step={"": largest}, groups=groups, most_groups=most)
    base = {c.name: c.snap(c.reference) for c in controls}

    found = recommend(region, controls, base, rates=dict.fromkeys(names, 1.0), limits=limits)

    before: Mapping[str, float] = base
    for step in found.steps:
        assert step.base == before
        moved = step.changed
        assert moved
        assert all(abs(step.target[n] - step.base[n]) <= largest + 1e-9 for n in moved)
        assert len(frozenset[str]().union(*(limits.touched(n) for n in moved))) <= most
        on_the_way = [
            [
                {**step.base, **{n: step.target[n] for n, there in zip(moved, order, strict=True) if there}}[n]
                for n in names
            ]
            for order in itertools.product((False, True), repeat=len(moved))
        ]
        assert region.contains(np.array(on_the_way)).all()
        assert all(abs(c.snap(step.target[c.name]) - step.target[c.name]) < 1e-9 for c in controls)
        before = step.target
    assert found.target == before
    if found.steps:
        assert found.target_cost < found.base_cost
        assert found.bound == pytest.approx(float(bound(np.array([[before[n] for n in names]]))[0]))
        if not found.why:
            assert found.bound >= 0.95 - 1e-9
    else:
        assert found.why


def test_a_step_goes_round_what_lies_between() -> None:
    # Both at once would pass through the hole in the middle; one after the other does not.
    def bound(x: FloatArray) -> FloatArray:
        hole = (np.abs(x[:, 0] - 0.8) < 0.15) & (np.abs(x[:, 1] - 0.8) < 0.15)
        return np.where(hole, 0.0, 1.0)

    region = MadeRegion(("a", "b"), bound)
    limits = BlastLimits(largest_step={"": 0.1}, groups={"1": ("a",), "2": ("b",)}, most_groups=1)
    found = recommend(
        region, [control("a"), control("b")], {"a": 1.2, "b": 1.2}, rates={"a": 1.0, "b": 1.0}, limits=limits
    )

    assert all(bound(np.array([[s.target["a"], s.target["b"]]]))[0] == 1.0 for s in found.steps)
    assert len(found.steps) > 4


def test_a_start_between_two_settings_makes_no_step_longer_than_allowed() -> None:
    limits = BlastLimits(largest_step={"a": 0.01}, groups={"1": ("a",)})
    found = recommend(
        MadeRegion(("a",), above(np.array([1.12]))), [control("a")], {"a": 1.204}, rates={"a": 1.0}, limits=limits
    )

    values = [1.204, *(s.target["a"] for s in found.steps)]
    assert values[-1] == pytest.approx(1.14)
    assert max(a - b for a, b in itertools.pairwise(values)) <= 0.01 + 1e-9


def test_a_path_that_cannot_go_on_ends_where_it_came_to_and_says_so() -> None:
    def bound(x: FloatArray) -> FloatArray:
        return np.where(np.abs(x[:, 0] - 0.8) < 0.03, 0.0, 1.0)  # a wall across the only control

    found = recommend(
        MadeRegion(("a",), bound),
        [control("a")],
        {"a": 1.2},
        rates={"a": 1.0},
        limits=BlastLimits(largest_step={"a": 0.5}, groups={"1": ("a",)}),
        box_steps=0,
    )

    assert found.target["a"] >= 0.83 - 1e-9
    assert found.target["a"] < 1.2
    assert "early" in found.why


def test_nothing_is_recommended_from_outside_or_without_a_margin() -> None:
    controls, limits = [control("a")], BlastLimits()
    outside = recommend(
        MadeRegion(("a",), above(np.array([1.3]))), controls, {"a": 1.2}, rates={"a": 1.0}, limits=limits
    )
    thin = recommend(
        MadeRegion(("a",), lambda x: np.full(len(x), 0.91)), controls, {"a": 1.2}, rates={"a": 1.0}, limits=limits
    )
    cheapest = recommend(
        MadeRegion(("a",), lambda x: np.ones(len(x))), controls, {"a": 0.1}, rates={"a": 1.0}, limits=limits
    )

    for found in (outside, thin, cheapest):
        assert found.steps == ()
        assert found.target == found.base
        assert found.why


def test_what_costs_nothing_needs_a_restart_or_touches_too_many_stays() -> None:
    names = ("free", "restart", "shared", "dear")
    region = MadeRegion(names, lambda x: np.ones(len(x)))
    controls = [control(n, live=n != "restart") for n in names]
    limits = BlastLimits(groups={"1": ("restart", "shared"), "2": ("shared", "dear"), "3": ("free",)}, most_groups=1)

    found = recommend(
        region, controls, dict.fromkeys(names, 1.2), rates={"restart": 1, "shared": 1, "dear": 1}, limits=limits
    )

    assert found.target == {"free": 1.2, "restart": 1.2, "shared": 1.2, "dear": 0.1}


def test_a_control_of_no_group_is_taken_to_touch_all() -> None:
    limits = BlastLimits(groups={"1": ("a",), "2": ("b",)})

    assert limits.touched("a") == {"1"}
    assert limits.touched("c") == {"1", "2"}


def test_a_control_that_earns_is_raised() -> None:
    region = MadeRegion(("a",), lambda x: np.ones(len(x)))

    assert recommend(region, [control("a")], {"a": 1.2}, rates={"a": -1.0}, limits=BlastLimits()).target == {"a": 1.5}


@pytest.mark.parametrize(
    "changes",
    [
        {"margin": -0.1},
        {"margin": 1.0},
        {"box_steps": -1},
        {"rates": {"cpu_du_1": float("nan")}},
        {"limits": BlastLimits(most_groups=0)},
        {"limits": BlastLimits(largest_step={"": float("inf")})},
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict) -> None:
    with pytest.raises(InputError):
        four_gnbs(**changes)


def test_a_limit_holds_for_its_kind_and_the_longest_name_counts() -> None:
    limits = {"": 9.0, "cpu": 3.0, "cpu_du": 2.0, "cpu_du_1": 1.0}

    assert limit_of("cpu_du_1", limits) == 1.0
    assert limit_of("cpu_du_2", limits) == 2.0
    assert limit_of("cpu_du_12", limits) == 2.0  # not that of cpu_du_1
    assert limit_of("cpu_cu_1", limits) == 3.0
    assert limit_of("power", limits) == 9.0
    assert limit_of("power", {"cpu": 1.0}) is None
