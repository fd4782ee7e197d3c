"""The truth of a scenario and how a region is held against it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from col.errors import InputError
from twin.scenario import load_scenario, parse_scenario
from twin.truth import ContainerTruth, HostTruth, Truth
from twin.truth_finder import TruthSettings, find_truth, load_truth, save_truth
from twin.verification import verify

FloatArray = NDArray[np.float64]
SCENARIO = load_scenario("cpu-allocation")
NAMES = tuple(c.name for c in SCENARIO.controls)
TINY = TruthSettings(
    coarse_step_cores=0.7, coarse_horizons=1, first_horizons=1, more_horizons=1, most_horizons=1, check_points=1,
    check_horizons=2, use_points=2, workers=1,
)  # fmt: skip


def step_truth(knee: float, *, dip: tuple[float, float] | None = None) -> Truth:
    """Return a truth in which every container holds surely above `knee` and surely not below, nor in the dip."""
    limits = np.round(np.arange(0.1, 1.5001, 0.005), 4)
    held = (limits >= knee).astype(float)
    if dip:
        held[(limits > dip[0]) & (limits < dip[1])] = 0.0
    container = [
        ContainerTruth(control=n, limits=limits, held=held, horizons=np.full(len(limits), 100.0)) for n in NAMES
    ]
    return Truth(
        scenario_digest=SCENARIO.digest, alpha=0.9, controls=NAMES, containers=tuple(container), hosts=(),
        product_error=0.0, runs=0,
    )  # fmt: skip


class Box:
    """A region that is everything at or above a limit in every control."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    @property
    def controls(self) -> tuple[str, ...]:
        return NAMES[::-1]  # another order than the truth's

    def contains(self, x: FloatArray) -> NDArray[np.bool_]:
        return np.asarray(np.all(x >= self.limit, axis=1))


@pytest.mark.parametrize("limit", [0.5, 0.6, 0.7])
def test_coverage_and_false_safe_share_of_boxes_are_those_of_their_volumes(limit: float) -> None:
    found = verify(step_truth(0.6), Box(limit), SCENARIO, points=4000, seed=1)
    covered = min(1.0, ((1.5 - limit) / 0.9) ** 8)
    wrong = max(0.0, 1.0 - (0.9 / (1.5 - limit)) ** 8)
    assert found.coverage == pytest.approx(covered, abs=0.03)
    assert found.false_safe == pytest.approx(wrong, abs=0.03)
    assert found.coverage_ci[0] <= found.coverage <= found.coverage_ci[1]


def test_a_dip_inside_the_region_is_seen() -> None:
    clean = verify(step_truth(0.5), Box(0.6), SCENARIO, points=3000, seed=2)
    dipped = verify(step_truth(0.5, dip=(0.8, 0.85)), Box(0.6), SCENARIO, points=3000, seed=2)
    assert clean.false_safe == 0.0
    assert dipped.false_safe == pytest.approx(1.0 - (1.0 - 0.05 / 0.9) ** 8, abs=0.08)


def test_an_empty_region_covers_nothing_and_is_not_wrong() -> None:
    found = verify(step_truth(0.6), Box(2.0), SCENARIO, points=500, seed=3)
    assert (found.coverage, found.false_safe) == (0.0, 0.0)


def test_power_limits_by_the_use_of_a_hosts_containers() -> None:
    noise = np.random.default_rng(1).normal(0.0, 1.0, size=(4000, 1))
    host = HostTruth(
        name="h1", limit_w=90.0, columns=(0, 1), grid=np.array([0.0, 2.0]), use=np.array([[0.0, 0.0], [2.0, 2.0]]),
        mean_w=lambda busy: 80.0 + 5.0 * busy, noise=noise, released=None, activity=np.zeros((4000, 1)),
    )  # fmt: skip
    x = np.array([[0.5, 0.5], [1.0, 1.0], [1.5, 1.5]])
    assert host.probability(x) == pytest.approx([1.0, 0.5, 0.0], abs=0.03)


def test_a_neighbour_that_takes_what_is_released_makes_low_limits_draw_more() -> None:
    zero = np.zeros((10, 2))
    host = HostTruth(
        name="h1", limit_w=90.0, columns=(0, 1), grid=np.array([0.0, 2.0]), use=np.zeros((2, 2)),
        mean_w=lambda busy: 80.0 + 5.0 * busy, noise=zero, released=lambda used: np.maximum(0.0, 4.0 - used),
        activity=zero + 1.0,
    )  # fmt: skip
    assert list(host.probability(np.array([[0.5, 0.5], [1.5, 1.5]]))) == [0.0, 1.0]


def test_the_truth_that_is_found_tells_a_starved_configuration_from_a_generous_one(tmp_path: Path) -> None:
    coarse = SCENARIO.to_toml().replace("resolution_cores = 0.01", "resolution_cores = 0.7")
    scenario = parse_scenario(coarse.encode(), source="coarse.toml")
    truth = find_truth(scenario, settings=TINY)
    starved, generous = np.full((1, 8), 0.1), np.full((1, 8), 1.5)
    assert truth.probability(starved)[0] == 0.0
    assert truth.probability(generous)[0] == 1.0
    save_truth(truth, tmp_path / "t.npz")
    kept = load_truth(scenario, tmp_path / "t.npz")
    assert kept is not None
    assert kept.probability(generous)[0] == truth.probability(generous)[0]
    assert load_truth(load_scenario("cpu-allocation-neighbour"), tmp_path / "t.npz") is None


def test_a_scenario_that_does_not_factorise_is_said_so() -> None:
    text = SCENARIO.to_toml().replace("pow_h1 <= 95 and", "pow_h1 + pow_h2 <= 190 and")
    if "pow_h1 + pow_h2" not in text:
        pytest.skip("the specification is laid out otherwise")
    with pytest.raises(InputError, match="does not factorise"):
        find_truth(parse_scenario(text.encode(), source="changed.toml"), settings=TINY)
