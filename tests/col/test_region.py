"""The region: thresholds where they are exact, whole conjuncts where not, and the same answer after save and load."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from col.effect import Mechanism
from col.errors import InputError
from col.expression import Expression
from col.noise import LeafNoise, TrajectoryDraws
from col.problem import Problem, Settings
from col.region import Region
from col.requirement import LeafScale, reduce_specification
from col.specification import Specification
from tests.col.synthetic import make_plant

SCALES = [
    LeafScale(name="a", logarithmic=True, centre=2.0, scale=0.5),
    LeafScale(name="b", logarithmic=False, centre=5.0, scale=2.0),
]


def fitted(kind: str = "service", controls: int = 2) -> Region:
    plant = make_plant(1, controls, kind)
    model = Mechanism(plant.problem(), plant.describe(), Settings(passive_rows=100), np.random.default_rng(0))
    model.observe_passive(plant.observe(300))
    return model.region()


def test_a_saturating_minimum_becomes_a_threshold_on_each_of_its_parts() -> None:
    specification = Specification.parse("always[0,3](served >= 0.95 * load)")
    derivations = {"served": Expression.parse("min(load, a, b / 2)")}

    reduction = reduce_specification(specification, SCALES, derivations, {"load": 10.0})

    assert not reduction.whole
    found = {r.leaf: r for r in reduction.requirements}
    assert found[0].threshold == pytest.approx((np.log(9.5) - 2.0) / 0.5, abs=1e-6)
    assert found[1].threshold == pytest.approx((19.0 - 5.0) / 2.0, abs=1e-6)
    assert all(r.sign == 1 and r.windows == (0, 1, 2, 3) for r in found.values())


@pytest.mark.parametrize("text", ["always[0,2](a + b >= 9)", "eventually[0,2](b >= 4)", "always[0,2](abs(b - 5) <= 1)"])
def test_what_is_no_set_of_thresholds_is_kept_whole(text: str) -> None:
    reduction = reduce_specification(Specification.parse(text), SCALES, {}, {})

    assert reduction.whole == (0,)
    assert reduction.requirements == ()


def test_a_conjunct_that_nothing_can_satisfy_is_named() -> None:
    derivations = {"served": Expression.parse("min(load, a)")}

    reduction = reduce_specification(
        Specification.parse("always[0,1](served >= 11 and b >= 1)"), SCALES, derivations, {"load": 10.0}
    )

    assert reduction.impossible == (0,)


def test_a_conjunct_kept_whole_has_the_probability_that_its_thresholds_give() -> None:
    plant = make_plant(1, 2, "station")
    base = plant.problem()
    regions = []
    for text in (
        base.specification.text,
        base.specification.text.replace("always", "not eventually").replace(">=", "<"),
    ):
        problem = Problem(
            specification=Specification.parse(text),
            graph=base.graph,
            derivations=base.derivations,
            operating=base.operating,
        )
        model = Mechanism(problem, plant.describe(), Settings(passive_rows=80), np.random.default_rng(0))
        plant = make_plant(1, 2, "station")
        model.observe_passive(plant.observe(240))
        regions.append(model.region())
    x = regions[0].uniform_points(np.random.default_rng(1), 60)

    np.testing.assert_allclose(regions[0].probability(x, 1.0), regions[1].probability(x, 1.0), atol=0.08)


def test_saved_region_answers_the_same_without_the_plant(tmp_path: Path) -> None:
    region = fitted("service", 4)
    x = region.uniform_points(np.random.default_rng(2), 200)

    region.save(tmp_path / "region.npz")
    again = Region.load(tmp_path / "region.npz")

    np.testing.assert_allclose(again.lower_bound(x), region.lower_bound(x), atol=1e-12)
    np.testing.assert_array_equal(again.contains(x, uniform=True), region.contains(x, uniform=True))
    assert again.controls == region.controls
    assert again.specification == region.specification


def test_more_confidence_never_enlarges_the_region() -> None:
    region = fitted()
    x = region.uniform_points(np.random.default_rng(3), 500)

    bounds = [region.lower_bound(x, beta=beta) for beta in (0.0, 1.0, 2.0, 3.0)]

    for less, more in itertools.pairwise(bounds):
        assert np.all(more <= less + 0.02)  # the error bar of a share is not monotone near one half
    assert np.all(region.contains(x) | ~region.contains(x, uniform=True))


def test_nothing_outside_the_bounds_is_in_the_region() -> None:
    region = fitted()
    x = region.uniform_points(np.random.default_rng(4), 200)
    inside = x[region.contains(x)]

    assert len(inside)
    assert not region.contains(inside + 10 * (region.upper - region.lower)).any()


def test_a_file_that_is_no_region_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "region.npz"
    path.write_bytes(b"not a region")

    with pytest.raises(InputError, match=r"region\.npz") as error:
        Region.load(path)

    assert "\n" not in str(error.value)


def test_run_effects_that_move_leaves_together_are_drawn_together() -> None:
    noises = [LeafNoise(run=1.0, window=0.1, rho=0.0)] * 2
    draws = TrajectoryDraws(4000, 5, 2, np.random.default_rng(5))

    apart = draws.residuals(noises, np.eye(2)).min(axis=1) > -1.0
    together = draws.residuals(noises, np.array([[1.0, 0.95], [0.95, 1.0]])).min(axis=1) > -1.0

    assert together.all(axis=1).mean() > apart.all(axis=1).mean() + 0.05
    assert apart.mean(axis=0) == pytest.approx(together.mean(axis=0), abs=0.03)
