"""Traps of learning an effect, each of which once certified what was not safe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from col.effect import Mechanism
from col.expression import Expression
from col.noise import autocorrelation, effective_share, scale_factor
from col.plant import Windows
from col.problem import Problem, Settings
from tests.col.synthetic import SyntheticPlant, make_plant


def model_after(plant: SyntheticPlant, problem: Problem, windows: Windows, trials: int = 0) -> Mechanism:
    model = Mechanism(problem, plant.describe(), Settings(), np.random.default_rng(0))
    model.observe_passive(windows)
    for _ in range(trials):
        trial = plant.trial(plant.describe().reference, plant.horizon)
        model.observe_trial(plant.reference, trial.windows)
    return model


def only(windows: Windows, rows: np.ndarray) -> Windows:
    return windows.take(rows)


def test_delivered_throughput_that_saturates_does_not_certify_the_cliff() -> None:
    plant = make_plant(1, 2, "station")
    base = plant.problem()
    underived = replace(base, derivations={})
    truth = plant.truth()

    model = model_after(plant, underived, plant.observe(960), trials=3)

    _, false_safe = truth.judge(model.region().contains)
    assert false_safe < 0.05
    assert any("saturates" in note for note in model.region().notes)


def test_passive_data_without_a_violation_certify_nothing_far_from_their_support() -> None:
    plant = make_plant(3, 2, "station")
    windows = plant.observe(960)
    scaled = [(windows.controls[f"x{j}"] - plant.low[j]) / (plant.high[j] - plant.low[j]) for j in range(2)]
    generous = np.flatnonzero(np.min([s - np.quantile(s, 0.55) for s in scaled], axis=0) > 0)

    region = model_after(plant, plant.problem(), only(windows, generous)).region()

    x = region.uniform_points(np.random.default_rng(0), 3000)
    inside = (x[region.contains(x)] - plant.low) / (plant.high - plant.low)
    if len(inside):
        for j in range(2):
            kept = scaled[j][generous]
            assert inside[:, j].min() >= kept.min() - 0.21
            assert inside[:, j].max() <= kept.max() + 0.21
    assert plant.truth().judge(region.contains)[1] < 0.05


def test_length_scales_of_controls_are_capped() -> None:
    plant = make_plant(1, 4, "service")

    model = model_after(plant, plant.problem(), plant.observe(480))

    for summary in model.summaries():
        assert max(summary.lengthscales[: len(summary.controls)]) <= 0.4 + 1e-9


def test_one_run_does_not_make_the_run_effect_vanish() -> None:
    plant = make_plant(1, 2, "station")

    model = model_after(plant, plant.problem(), plant.observe(60))

    for summary in model.summaries():
        assert summary.run_sd >= 0.9 * summary.window_sd


def test_a_derivation_that_the_data_contradict_is_dropped_and_said_so() -> None:
    plant = make_plant(1, 2, "station")
    wrong = replace(plant.problem(), derivations={"served0": Expression.parse("3 * min(load0, carry0a, carry0b)")})

    model = model_after(plant, wrong, plant.observe(300))

    assert {design.name for design in model.designs} == {"served0"}
    assert any("served0" in note and "derivation" in note for note in model.region().notes)


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_prior_of_passive_windows_alone_is_hardly_ever_false_safe(seed: int) -> None:
    plant = make_plant(seed, 2, "station")

    region = model_after(plant, plant.problem(), plant.observe(960)).region()

    coverage, false_safe = plant.truth().judge(region.contains)
    assert false_safe <= 0.02
    assert coverage >= 0.1


def test_without_passive_responses_trials_alone_certify_only_around_themselves() -> None:
    plant = make_plant(1, 2, "station")
    model = Mechanism(plant.problem(), plant.describe(), Settings(prior="none"), np.random.default_rng(0))
    model.observe_passive(plant.observe(120))
    assert model.region().empty_because

    for _ in range(6):
        model.observe_trial(plant.reference, plant.trial(plant.describe().reference, plant.horizon).windows)

    region = model.region()
    assert region.contains(plant.reference[None])[0]
    assert plant.truth().judge(region.contains)[1] < 0.02


def test_a_mean_of_correlated_windows_counts_as_fewer() -> None:
    assert effective_share(5, 0.0) == pytest.approx(0.2)
    assert effective_share(5, 0.9) > 0.8
    assert effective_share(1, 0.5) == 1.0


def test_autocorrelation_is_seen_within_runs_only() -> None:
    rng = np.random.default_rng(1)
    run = np.repeat(np.arange(20), 30)
    levels = 5.0 * rng.standard_normal(20)[run]

    assert autocorrelation(levels + rng.standard_normal(600), run) < 0.15


def test_noise_known_from_few_runs_is_inflated_more() -> None:
    assert scale_factor(5.0) > scale_factor(20.0) > scale_factor(200.0) > 1.0
