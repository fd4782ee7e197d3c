from dataclasses import replace
from functools import cache

import networkx as nx
import numpy as np
import pytest

from twin.ran import RunPlan, RunRecord, simulate
from twin.scenario import Scenario, load_scenario

SEED = 20


@cache
def scenario(name: str = "cpu-allocation") -> Scenario:
    return load_scenario(name)


@cache
def constant(du: float, cu: float, *, name: str = "cpu-allocation", cell: int = 0) -> RunRecord:
    """Three windows at the operating load; limits as given for `cell`, or all cells if 0, and reference elsewhere."""
    base = {
        control.name: (du if "_du_" in control.name else cu)
        if cell in (0, int(control.name[-1]))
        else control.reference
        for control in scenario(name).controls
    }
    return simulate(scenario(name), RunPlan(base=base, first_window=4000, windows=3), seed=SEED, run=0)


def mean(record: RunRecord, metric: str) -> float:
    return float(np.mean(record.metrics[metric]))


def test_reference_configuration_delivers_what_is_offered() -> None:
    record = constant(1.2, 1.2)
    for cell in range(1, 5):
        for way in ("dl", "ul"):
            assert mean(record, f"load_{way}_{cell}") == pytest.approx(10.0, rel=1e-3)
            assert mean(record, f"thp_{way}_{cell}") == pytest.approx(10.0, rel=2e-3)
        assert mean(record, f"late_du_{cell}") < 1e-3
    assert record.metrics["pow_h1"].max() <= 95.0


@pytest.mark.parametrize(("du", "cu"), [(0.3, 1.2), (1.2, 0.3)])
def test_a_starved_stage_breaks_throughput_and_its_capacity_says_so(du: float, cu: float) -> None:
    record = constant(du, cu)
    for cell in range(1, 5):
        assert mean(record, f"thp_ul_{cell}") < 9.0
        starved = [f"cap_du_ul_{cell}"] if du < cu else [f"cap_cu_{cell}"]
        limit = 9.5 if du < cu else 19.0
        assert mean(record, starved[0]) < limit


@pytest.mark.parametrize(("du", "cu"), [(0.3, 1.2), (0.4, 1.2), (0.5, 1.2), (0.6, 1.2), (1.2, 0.3), (1.2, 0.37)])
def test_derived_throughput_is_what_is_delivered(du: float, cu: float) -> None:
    """The learner models capacities and derives throughput from them: the derivation must hold on the twin."""
    record = constant(du, cu)
    columns = dict(record.metrics)
    for name, expression in scenario().problem().derivations.items():
        assert np.asarray(expression.evaluate(columns)) == pytest.approx(record.metrics[name], rel=0.03), name


def test_limits_of_one_gnb_leave_the_other_gnbs_untouched() -> None:
    """Common random numbers make the claim exact: what is absent from the causal graph moves no digit."""
    before, after = constant(1.2, 1.2), constant(0.45, 0.4, cell=1)
    graph = scenario().graph()
    for name, values in before.metrics.items():
        if "cpu_du_1" not in graph.ancestral_controls(name) and "cpu_cu_1" not in graph.ancestral_controls(name):
            assert np.array_equal(values, after.metrics[name], equal_nan=True), name
    assert not np.array_equal(before.metrics["cpuu_du_1"], after.metrics["cpuu_du_1"])


def test_a_cu_limit_does_not_move_what_the_du_stage_could_carry_and_the_other_way_round() -> None:
    reference, starved_cu, starved_du = constant(1.2, 1.2), constant(1.2, 0.3), constant(0.45, 1.2)
    for cell in range(1, 5):
        for metric in (f"cap_du_dl_{cell}", f"cap_du_ul_{cell}"):
            assert mean(starved_cu, metric) == pytest.approx(mean(reference, metric), rel=0.03)
        metric = f"cap_cu_{cell}"
        assert mean(starved_du, metric) == pytest.approx(mean(reference, metric), rel=0.03)


def test_power_follows_cpu_use_and_not_the_limit() -> None:
    plenty, reference, starved = constant(1.5, 1.5), constant(1.2, 1.2), constant(0.4, 0.3)
    assert mean(plenty, "pow_h1") == pytest.approx(mean(reference, "pow_h1"), abs=0.05)
    assert mean(starved, "pow_h1") < mean(reference, "pow_h1") - 1.0


def test_a_neighbour_turns_released_quota_into_power() -> None:
    name = "cpu-allocation-neighbour"
    reference, tight = constant(1.2, 1.2, name=name), constant(0.6, 0.45, name=name)
    assert mean(tight, "cpuu_nn_h1") > mean(reference, "cpuu_nn_h1") + 1.5
    assert reference.metrics["pow_h1"].max() < 95.0 < tight.metrics["pow_h1"].max()
    assert mean(tight, "thp_dl_1") == pytest.approx(10.0, rel=5e-3)


def test_a_neighbour_shifts_no_other_stream() -> None:
    """Adding a mechanism draws from a stream of its own: cells see the same numbers with and without it."""
    alone, beside = constant(1.2, 1.2), constant(1.2, 1.2, name="cpu-allocation-neighbour")
    for name in ("cpuu_du_1", "dly_ul_3", "jit_ul_4", "cap_cu_2"):
        assert np.array_equal(alone.metrics[name], beside.metrics[name])


def test_an_intervention_in_the_middle_of_a_run_acts_from_then_on() -> None:
    base = {control.name: control.reference for control in scenario().controls}
    at = 4000 + 2 * scenario().window_slots
    plan = RunPlan(base=base, first_window=4000, windows=4, interventions=((at, {"cpu_du_2": 0.3}),))
    late = simulate(scenario(), plan, seed=SEED, run=0).metrics["late_du_2"]
    assert late[:2].max() < 0.01
    assert late[2:].min() > 0.3


def test_a_root_variable_that_is_held_moves_its_descendants_and_nothing_else() -> None:
    name = "cpu-allocation-neighbour"
    base = {control.name: control.reference for control in scenario(name).controls}
    graph = scenario(name).graph()
    dag = graph.unroll(1, with_regime=False)
    plan = RunPlan(base=base, first_window=4000, windows=2)
    before = simulate(scenario(name), plan, seed=SEED, run=0).metrics
    for variable, value in (("load_ul_2", 4.0), ("run_du_3", 1.3), ("run_cu_4", 1.3), ("cpuu_nn_h1", 3.0)):
        after = simulate(scenario(name), replace(plan, held={variable: value}), seed=SEED, run=0).metrics
        # What a CU could carry is an average over the very packets that it met; their instants are not its cause.
        moved = {m for m in before if not np.allclose(before[m], after[m], rtol=1e-3, atol=0.0, equal_nan=True)}
        allowed = {node.split("@")[0] for node in nx.descendants(dag, f"{variable}@0")} | {variable}
        assert moved <= allowed
        assert any(m.startswith("pow_") for m in moved)


def test_the_autoscaler_follows_the_load_of_the_window_before() -> None:
    rules = {kind: replace(rule, dither_cores=0.0) for kind, rule in scenario().rules.items()}
    still = replace(scenario(), rules=rules)
    base = {control.name: control.reference for control in still.controls}
    plan = RunPlan(base=base, first_window=2000, windows=6, autoscaled=True, passive_load=True)
    record = simulate(still, plan, seed=SEED, run=1)
    rule = rules["cpu_du"]
    loads = record.metrics["load_dl_1"] + record.metrics["load_ul_1"]
    expected = rule.base_cores + rule.gain_cores_per_mbps * loads
    assert np.ptp(loads) > 2.0
    assert record.controls["cpu_du_1"][1:] == pytest.approx(expected[:-1], abs=0.011)


def test_control_plane_events_are_few() -> None:
    import simpy

    steps = 0

    class Counting(simpy.Environment):
        def step(self) -> None:
            nonlocal steps
            steps += 1
            super().step()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twin.ran.simpy.Environment", Counting)
        base = {control.name: control.reference for control in scenario().controls}
        plan = RunPlan(base=base, first_window=2000, windows=5, autoscaled=True, passive_load=True)
        simulate(scenario(), plan, seed=SEED, run=2)
    assert 0 < steps < 10 * 5 + 20
