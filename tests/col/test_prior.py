"""The causal phase: the right inputs, the right windows, and an estimate that confounding does not bias."""

from __future__ import annotations

import numpy as np
import pytest

from col.effect import Mechanism
from col.errors import InputError
from col.graph import CausalGraph, NodeKind
from col.plant import Windows
from col.prior import design_leaves, lagged_column, passive_rows, select_rows
from col.problem import Problem, Settings
from col.specification import Specification
from tests.col.synthetic import SyntheticPlant, make_plant


def test_design_adjusts_for_the_load_that_the_autoscaler_followed_and_leaves_out_other_stations() -> None:
    plant = make_plant(1, 4, "station")

    designs = {d.name: d for d in design_leaves(plant.problem(), plant.describe())}

    assert set(designs) == {"carry0a", "carry0b", "carry1a", "carry1b"}
    assert designs["carry0a"].controls == ("x0",)
    assert ("load0", 0) in designs["carry0a"].extras
    assert all(name == "load0" for name, _ in designs["carry0a"].extras)
    assert "do(x0)" in designs["carry0a"].estimand.formula  # type: ignore[union-attr]


def test_an_effect_hidden_behind_an_unmeasured_cause_is_named_and_passive_windows_do_not_count() -> None:
    plant = make_plant(1, 2, "station")
    graph = plant.graph()
    nodes = {**graph.nodes, "mood": NodeKind.LATENT}
    edges = (*graph.edges, ("mood", "carry0a"))
    hidden = CausalGraph(nodes, edges, (*graph.lagged, ("mood", "mood")), (*graph.regime, ("mood", "x0")))
    problem = plant.problem()
    confounded = Problem(
        specification=problem.specification,
        graph=hidden,
        derivations=problem.derivations,
        operating=problem.operating,
    )

    design = next(d for d in design_leaves(confounded, plant.describe()) if d.name == "carry0a")

    assert "mood" in design.obstacle
    model = Mechanism(confounded, plant.describe(), Settings(), np.random.default_rng(0))
    model.observe_passive(plant.observe(120))
    assert model.region().empty_because


def test_a_lagged_column_never_reaches_into_another_run() -> None:
    n = 4
    windows = Windows(
        sequence=np.arange(n),
        start_s=np.arange(4.0),
        end_s=np.arange(1.0, 5.0),
        run=np.array([1, 1, 2, 2]),
        controls={},
        metrics={"load": np.array([1.0, 2.0, 3.0, 4.0])},
    )

    np.testing.assert_array_equal(lagged_column(windows, "load", 1), [np.nan, 1.0, np.nan, 3.0])


def test_windows_near_the_operating_point_are_kept_and_the_rest_is_thinned() -> None:
    plant = make_plant(2, 2, "station")
    design = design_leaves(plant.problem(), plant.describe())[0]
    rows = passive_rows(design, plant.observe(600), plant.problem().operating)

    chosen = select_rows(rows, 100)

    distance = rows.distance()
    nearest = np.argsort(distance)[:60]
    assert len(chosen) <= 100
    assert set(nearest) <= set(chosen)
    assert distance[chosen].max() > np.quantile(distance, 0.95)
    assert 0 < rows.support < 600


def leaf_at_operating_point(plant: SyntheticPlant, windows: Windows, prior: str) -> np.ndarray:
    model = Mechanism(plant.problem(), plant.describe(), Settings(prior=prior), np.random.default_rng(0))
    model.observe_passive(windows)
    region = model.region()
    x = plant.reference.copy()
    need = plant.low + 0.45 * (plant.high - plant.low)
    x[0] = need[0]
    return np.array([leaf.scale.to_raw(leaf.moments(x[None])[0])[0] for leaf in region.leaves if 0 in leaf.columns])


def test_naive_estimate_is_biased_where_the_adjusted_one_is_not() -> None:
    naive_errors, adjusted_errors = [], []
    for seed in range(3):
        plant = make_plant(seed, 2, "station")
        windows = plant.observe(960)
        x = plant.reference.copy()
        x[0] = plant.low[0] + 0.45 * (plant.high[0] - plant.low[0])
        scaled = (x - plant.low) / (plant.high - plant.low)
        truth = float(np.exp(plant.leaves[0].effect(scaled[None], plant.operating[None])[0]))
        naive_errors.append(leaf_at_operating_point(plant, windows, "naive")[0] / truth - 1.0)
        adjusted_errors.append(leaf_at_operating_point(plant, windows, "causal")[0] / truth - 1.0)

    assert np.max(np.abs(adjusted_errors)) < 0.06
    assert np.mean(np.abs(naive_errors)) > 2 * np.mean(np.abs(adjusted_errors))


def test_an_exogenous_metric_without_an_operating_value_is_refused_by_name() -> None:
    plant = make_plant(1, 2, "station")
    problem = plant.problem()
    lacking = Problem(specification=problem.specification, graph=problem.graph, derivations=problem.derivations)

    with pytest.raises(InputError, match="load0"):
        design_leaves(lacking, plant.describe())


def test_a_specification_over_an_unknown_metric_is_refused_by_name() -> None:
    plant = make_plant(1, 2, "station")
    wrong = Problem(specification=Specification.parse("always[0,1](speed >= 1)"), graph=plant.graph())

    with pytest.raises(InputError, match="speed"):
        wrong.check(plant.describe())
