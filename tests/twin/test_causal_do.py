"""do() on the variables of a run, checked to the last digit: runs under different do() share every random number."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from col.errors import InputError
from twin.causal_graph import causal_graph, causal_variables, split_name
from twin.causal_table import Hold
from twin.counterfactual import RecordedRun, counterfactual, record_run, values
from twin.dataplane import DataPlane
from twin.intervene import Do
from twin.ran import RunPlan, RunRecord, simulate
from twin.scenario import Scenario, load_scenario, parse_scenario

SEED = 5
WINDOWS = 3
AVERAGED = 0.1
"""A rate per busy share is an average over the very packets that were met: their instants move it a little."""
SHOWN_AS_HELD = (Hold.WINDOW, Hold.CAPACITY, Hold.CONTROL, Hold.DEMAND, Hold.STALL)
A_PACKET = 3 * 0.0116
"""Mbit/s: packets under way when a sender changes its rate are spaced anew; how many those are hangs on the DU."""


@cache
def short(name: str = "cpu-allocation-neighbour", extra: str = "") -> Scenario:
    """Return a scenario with windows of a second, and some mechanism more."""
    text = load_scenario(name).to_toml() + extra
    scenario = parse_scenario(text.encode(), f"{name}.toml")
    return replace(scenario, window=replace(scenario.window, length_s=1.0, settle_s=0.5, warmup_s=0.5))


def plan_of(scenario: Scenario, **limits: float) -> RunPlan:
    base = {control.name: control.reference for control in scenario.controls}
    return RunPlan(base=base | limits, first_window=500, windows=WINDOWS, passive_load=True)


@cache
def knee(name: str = "cpu-allocation-neighbour", extra: str = "") -> RecordedRun:
    """Return a run in which gNB 1 is short of CPU in both stages: there every mechanism is at work."""
    scenario = short(name, extra)
    return record_run(scenario, plan_of(scenario, cpu_du_1=0.45, cpu_cu_1=0.36), seed=SEED)


def other_than(before: NDArray[np.float64]) -> float:
    """Return a value that is another than what a variable had."""
    level = float(np.nanmean(before)) if np.isfinite(before).any() else 0.0
    return 0.7 * level if level else 0.5


def moved(before: RunRecord, after: RunRecord) -> set[str]:
    names = (*before.metrics, *before.hidden, *before.controls)
    out = set()
    for name in names:
        a, b = values(before, name), values(after, name)
        about, packets = AVERAGED * name.startswith("cap_"), A_PACKET * name.startswith("load_")
        if not np.allclose(a, b, rtol=about, atol=packets, equal_nan=True):
            out.add(name)
    return out


def assert_moves_only_what_it_may(recorded: RecordedRun, name: str, value: float | None = None) -> set[str]:
    row = causal_variables(recorded.scenario.topology)[name]
    try:
        before = values(recorded.record, name)
    except InputError:
        before = np.ones(WINDOWS)
    value = other_than(before) if value is None else value
    result = counterfactual(recorded, {name: value}, since=None if row.held is Hold.RUN else 1)
    seen = moved(result.factual, result.record)
    assert seen <= result.may_move(), name
    return seen


@pytest.mark.parametrize("element", ["1", "h1"])
def test_do_moves_descendants_and_nothing_else(element: str) -> None:
    recorded = knee()
    rows = causal_variables(recorded.scenario.topology)
    skipped = {Hold.NONE} if hasattr(DataPlane, "hold") else {Hold.NONE, Hold.RADIO}
    names = [n for n, row in rows.items() if split_name(n)[1] == element and row.held not in skipped]
    assert len(names) > (30 if element == "1" else 2)
    for name in names:
        assert_moves_only_what_it_may(recorded, name)


@pytest.mark.parametrize(
    ("name", "value", "reached"),
    [
        (
            "cpu_du_1",
            None,
            {"cpuu_du_1", "stall_du_1", "late_du_1", "thp_ul_1", "thp_dl_1", "dly_ul_1", "jit_ul_1", "bsr_1"},
        ),
        ("cpu_cu_1", None, {"cpuu_cu_1", "stall_cu_1", "cap_cu_1", "dly_ul_1", "dly_dl_1", "jit_ul_1", "pow_h1"}),
        ("load_ul_1", None, {"load_ul_1", "wd_cu_1", "cpuu_du_1", "thp_ul_1", "prb_ul_1", "pow_h1"}),
        ("run_du_1", None, {"wd_du_1", "cpuu_du_1", "late_du_1", "pow_h1"}),
        ("cpuu_du_1", None, {"cpuu_du_1", "pow_h1"}),
        ("wd_du_1", None, {"ps_du_1", "cpuu_du_1", "late_du_1", "thp_ul_1", "cap_du_ul_1", "dly_ul_1", "pow_h1"}),
        ("ps_du_1", 45.0, {"stall_du_1", "late_du_1", "prb_ul_1", "dly_ul_1", "jit_ul_1"}),
        ("wd_cu_1", None, {"cpuu_cu_1", "dly_cu_1", "pow_h1"}),
        ("ps_cu_1", 45.0, {"stall_cu_1", "dly_cu_1", "dly_ul_1", "jit_ul_1"}),
    ],
)
def test_do_reaches_the_effects_that_the_graph_promises(name: str, value: float | None, reached: set[str]) -> None:
    assert reached <= assert_moves_only_what_it_may(knee(), name, value)


def test_a_variable_that_is_held_has_that_value() -> None:
    recorded = knee()
    for name, row in causal_variables(recorded.scenario.topology).items():
        if split_name(name)[1] not in ("1", "h1") or row.held not in SHOWN_AS_HELD:
            continue
        value = other_than(values(recorded.record, name))
        after = values(counterfactual(recorded, {name: value}, since=1).record, name)
        assert after[1:] == pytest.approx(value), name


def test_a_variable_reads_nothing_but_its_parents() -> None:
    """With its parents held nothing else that is done moves it: not their causes, nor what shares a cause with it."""
    recorded = knee()
    cases: Mapping[str, tuple[str, ...]] = {
        "pow_h1": ("cpu_du_1", "load_ul_2", "run_cu_1", "cpu_cu_2"),
        "thp_ul_1": ("cpu_du_1", "cpu_cu_1", "run_du_1", "cpuu_du_1"),
        "cpuu_nn_h1": ("load_dl_1", "run_du_2", "cpuu_du_1"),
        "late_du_1": ("cpu_du_1", "load_ul_2"),
        "cpuu_cu_1": ("load_ul_1", "cpu_du_1", "run_cu_1"),
        "wd_cu_1": ("cpu_cu_1", "cpu_du_1", "cpu_du_2"),
    }
    graph = causal_graph(recorded.scenario.topology)
    for child, others in cases.items():
        parents = {tail for tail, head in graph.edges if head == child}
        held = {}
        for parent in parents:
            try:
                held[parent] = tuple(float(v) for v in values(recorded.record, parent))
            except InputError:
                held[parent] = (0.3,)
        fixed = record_run(recorded.scenario, replace(recorded.plan, do=as_do(held)), seed=SEED)
        for other in others:
            result = counterfactual(fixed, as_do({other: (0.5,)}, since=1))
            # What each packet met is not in a window's capacities, and a CU is counted up to the slot in progress.
            about = {"thp_ul_1": 0.05, "cpuu_cu_1": 0.05}.get(child, 0.0)
            assert np.allclose(values(result.record, child), values(result.factual, child), rtol=about, atol=0.0), (
                child,
                other,
            )


def as_do(held: Mapping[str, tuple[float, ...]], since: int | None = 0) -> tuple[Do, ...]:
    return tuple(
        Do(variable=name, values=value, since=None if name.startswith("run_") else since)
        for name, value in held.items()
    )


def test_capacities_that_are_held_carry_over_to_throughput() -> None:
    recorded = knee()
    result = counterfactual(recorded, {"cap_du_ul_2": 1.5}, since=1)
    assert values(result.record, "thp_ul_2")[1:] == pytest.approx(1.5, rel=0.02)
    assert values(result.record, "thp_ul_2")[0] == values(result.factual, "thp_ul_2")[0]


def test_held_values_may_move_from_window_to_window_and_the_last_one_stays() -> None:
    scenario = short()
    plan = replace(plan_of(scenario), do=(Do(variable="cpu_du_2", values=(0.9, 0.4), since=0),))
    controls = simulate(scenario, plan, seed=SEED, run=0).controls["cpu_du_2"]
    assert controls == pytest.approx([0.9, 0.4, 0.4])


def test_what_sets_a_control_otherwise_is_overruled_where_it_is_held_and_only_there() -> None:
    scenario = short()
    plan = replace(plan_of(scenario), autoscaled=True, do=(Do(variable="cpu_du_1", values=(1.0,), since=1),))
    held = simulate(scenario, plan, seed=SEED, run=0).controls
    free = simulate(scenario, replace(plan, do=()), seed=SEED, run=0).controls
    assert held["cpu_du_1"].tolist() == [free["cpu_du_1"][0], 1.0, 1.0]
    for other in ("cpu_du_2", "cpu_cu_1", "cpu_cu_3"):
        assert np.array_equal(held[other], free[other])


@pytest.mark.parametrize(
    ("do", "fault"),
    [
        (Do(variable="cpu_du_9", values=(1.0,)), "no such variable; did you mean cpu_du_"),
        (Do(variable="cpu_du_1", values=(9.0,)), "must lie in 0.1 to 1.5 core"),
        (Do(variable="run_du_1", values=(1.1,), since=1), "hold it from its start"),
        (Do(variable="gul_1", values=(1.0,)), "hold its parents"),
        (Do(variable="load_ul_1", values=(5000.0,)), r"load_ul_1 = 5000\.0: must lie in 0 to 961\.538 Mbit/s"),
        (Do(variable="run_du_1", values=(-1.0,)), "must lie in 0.01 to 100"),
        (Do(variable="nok_ul_1", values=(1.5,)), "must lie in 0 to 1"),
        (Do(variable="ps_du_1", values=(1.0, 99.0)), "must lie in 0 to 95 ms"),
        (Do(variable="pow_h1", values=(-5.0,)), "must be 0 or above"),
    ],
)
def test_what_cannot_be_held_is_refused_in_one_line(do: Do, fault: str) -> None:
    scenario = short()
    with pytest.raises(InputError, match=fault):
        simulate(scenario, replace(plan_of(scenario), do=(do,)), seed=SEED, run=0)


@pytest.mark.parametrize("values_", [(), (float("nan"),)])
def test_a_value_that_is_none_is_refused(values_: tuple[float, ...]) -> None:
    with pytest.raises(InputError):
        Do(variable="cpu_du_1", values=values_)


@pytest.mark.parametrize(
    ("name", "value", "reached"),
    [
        ("snr_1", 8.0, {"mcs_ul_1", "prb_ul_1", "cap_du_ul_1"}),
        ("sdl_1", 8.0, {"cqi_1", "mcs_dl_1", "cap_du_dl_1"}),
        ("mcs_ul_1", 5.0, {"prb_ul_1", "cap_du_ul_1"}),
        ("bler_dl_1", 0.3, {"prb_dl_1", "dly_dl_1"}),
        ("prb_ul_1", 60.0, {"wd_du_1", "cpuu_du_1"}),
        ("memu_du_1", 2400.0, {"memu_du_1"}),
        ("nn_h1", 1.0, {"hst_h1", "cpuu_du_1", "cpuu_du_2", "pow_h1"}),
        ("hst_h1", 0.5, {"wd_du_1", "wd_du_2", "wd_cu_1", "pow_h1"}),
    ],
)
def test_variables_of_radio_memory_and_host_are_held_inside_their_mechanisms(
    name: str, value: float, reached: set[str]
) -> None:
    recorded = knee("cpu-allocation", "\n[channel]\n[link_adaptation]\n[harq]\n[memory]\n[contention]\n")
    assert reached <= assert_moves_only_what_it_may(recorded, name, value)
