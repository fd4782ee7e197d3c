"""Picks are safe with a margin, inside bounds and budget, on the resolution, and worth the trial."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from col.effect import Mechanism
from col.plant import Intervention
from col.policy import Pick, Policy
from col.problem import Cost, Settings
from tests.col.synthetic import SyntheticPlant, make_plant

SETTINGS = Settings()


@pytest.fixture(scope="module")
def plant() -> SyntheticPlant:
    return make_plant(2, 4, "station")


@pytest.fixture(scope="module")
def model(plant: SyntheticPlant) -> Mechanism:
    model = Mechanism(plant.problem(), plant.describe(), SETTINGS, np.random.default_rng(0))
    model.observe_passive(plant.observe(960))
    model.observe_trial(plant.reference, plant.trial(plant.describe().reference, plant.horizon).windows)
    return model


def propose(plant: SyntheticPlant, model: Mechanism, cost: Cost, struck: frozenset[Intervention] = frozenset()) -> Pick:
    policy = Policy(plant.describe(), cost, SETTINGS, 0.9)
    tried = plant.reference[None]
    pick = policy.propose(model, model.region(), np.random.default_rng(1), tried=tried, struck=struck)
    assert pick is not None
    return pick


def test_pick_is_safe_with_margin_inside_the_bounds_and_on_the_resolution(
    plant: SyntheticPlant, model: Mechanism
) -> None:
    pick = propose(plant, model, Cost())

    region = model.region()
    assert region.lower_bound(pick.x[None], beta=1.4 * region.beta)[0] >= 0.93
    assert plant.probability(pick.x[None])[0] >= 0.9
    for value, control in zip(pick.x, plant.describe().controls, strict=True):
        assert control.lower <= value <= control.upper
        assert value == pytest.approx(control.snap(float(value)), abs=1e-9)


def test_pick_tells_more_of_the_border_than_the_reference_does(plant: SyntheticPlant, model: Mechanism) -> None:
    pick = propose(plant, model, Cost())

    assert model.information(pick.x[None])[0] > 1.5 * model.information(plant.reference[None])[0]


def test_no_pick_costs_more_than_the_budget(plant: SyntheticPlant, model: Mechanism) -> None:
    rates = {f"x{j}": 3.0 for j in range(4)}
    names = list(rates)

    pick = propose(plant, model, Cost(rates=rates, budget=1.0))

    assert pick.cost <= 1.0 + 1e-9
    assert Cost(rates=rates).evaluate(pick.x[None], names, plant.reference)[0] == pytest.approx(pick.cost)


def test_a_refused_configuration_is_never_picked_again(plant: SyntheticPlant, model: Mechanism) -> None:
    policy = Policy(plant.describe(), Cost(), SETTINGS, 0.9)
    first = policy.intervention(propose(plant, model, Cost()).x)

    second = policy.intervention(propose(plant, model, Cost(), frozenset({first})).x)

    assert second != first


def test_nothing_is_picked_where_nothing_is_certified(plant: SyntheticPlant, model: Mechanism) -> None:
    policy = Policy(plant.describe(), Cost(), SETTINGS, 0.9)
    empty = replace(model.region(), empty_because="nothing has been observed yet")

    pick = policy.propose(model, empty, np.random.default_rng(1), tried=plant.reference[None])

    assert pick is None
