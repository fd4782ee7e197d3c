"""Memory: inert above what a process needs, a step below, a ramp between, and outages of 5 to 15 s."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from col.errors import InputError
from tests.twin.emulated_process import brief_scenario
from twin.memory import MemoryParameters
from twin.outages import Outages, Restart
from twin.ran import RunPlan, RunRecord, simulate
from twin.scenario import Scenario, load_scenario

NEED_DU, NEED_CU = 2.19 + 3 * 0.01, 2.19 + 3 * 0.005  # m0 and three UEs [GB]
EXACT = MemoryParameters(base_sd_mb=0.0)


@cache
def scenario(parameters: MemoryParameters | None = EXACT) -> Scenario:
    """Limits of memory are values in force here, no controls: the base of a run has them."""
    brief = brief_scenario()
    if parameters is None:
        return brief
    return replace(
        brief,
        topology=replace(brief.topology, mechanisms=frozenset({"memory"})),
        tables={"memory": parameters},
    )


@cache
def run(
    mem_gb: float = 8.0, *, cell: int = 1, part: str = "du", windows: int = 2, parameters: MemoryParameters = EXACT,
    later_gb: float | None = None,
) -> RunRecord:  # fmt: skip
    base = {control.name: control.reference for control in scenario().controls}
    base |= {name: 8.0 for i in range(1, 5) for name in (f"mem_du_{i}", f"mem_cu_{i}")} | {f"mem_{part}_{cell}": mem_gb}
    later = () if later_gb is None else ((4000, {f"mem_{part}_{cell}": later_gb}),)
    plan = RunPlan(base=base, first_window=2000, windows=windows, interventions=later)
    return simulate(scenario(parameters), plan, seed=3, run=1)


def test_memory_that_is_not_limited_changes_no_digit() -> None:
    base = {control.name: control.reference for control in scenario().controls}
    plan = RunPlan(base=base, first_window=2000, windows=2)
    without, with_it = (simulate(scenario(p), plan, seed=3, run=1) for p in (None, EXACT))
    for name, values in without.metrics.items():
        assert np.array_equal(values, with_it.metrics[name], equal_nan=True), name


@pytest.mark.parametrize("part", ["du", "cu"])
def test_memory_is_inert_above_the_need(part: str) -> None:
    """From a ninth above what is used on nothing is reclaimed; not a digit moves."""
    need = NEED_DU if part == "du" else NEED_CU
    plenty, enough = run(8.0, part=part), run(need / 0.9 + 0.001, part=part)
    for name, values in plenty.metrics.items():
        assert np.array_equal(values, enough.metrics[name], equal_nan=True), name


@pytest.mark.parametrize("part", ["du", "cu"])
def test_below_the_need_the_process_never_comes_up_and_its_gnb_delivers_nothing(part: str) -> None:
    need = NEED_DU if part == "du" else NEED_CU
    above, below = run(need + 0.002, part=part, windows=8), run(need - 0.002, part=part, windows=8)
    assert np.all(above.hidden[f"oom_{part}_1"] == 0.0)
    assert np.all(above.metrics[f"up_{part}_1"] == 1.0)
    assert np.all(above.metrics["thp_ul_1"] > 0.3)  # a DU that takes half as long again for everything is late
    assert np.all(below.metrics["thp_ul_1"] < 0.1)
    assert np.all(below.metrics[f"up_{part}_1"] == 0.0)
    assert below.hidden[f"oom_{part}_1"].sum() >= 1
    for name in ("thp_ul_2", "cpuu_du_3", "thp_dl_4"):
        assert np.array_equal(above.metrics[name], below.metrics[name])


def test_a_kill_is_an_outage_of_5_to_15_s_and_a_process_that_fits_again_serves_again() -> None:
    outages = []
    for seed in range(4):
        base = {control.name: control.reference for control in scenario().controls}
        base |= {f"mem_du_{i}": NEED_DU - 0.01 for i in range(1, 5)}
        back = {f"mem_du_{i}": 3.0 for i in range(1, 5)}
        plan = RunPlan(base=base, first_window=2000, windows=9, interventions=((1000, back),))
        record = simulate(scenario(), plan, seed=seed, run=0)
        kills = [event for event in record.events if event.kind == "oom"]
        assert [event.at_ms for event in kills] == [0] * 4
        for i in range(1, 5):
            outage_s = float(kills[i - 1].values["outage_s"])
            outages.append(outage_s)
            down_s = 2.0 * float((1.0 - record.metrics[f"up_du_{i}"]).sum())
            assert down_s == pytest.approx(outage_s - 2.0, abs=1e-3)  # of the 18 s after the warm-up
            up = record.end_s - 2.0 >= outage_s
            assert np.all(record.metrics[f"thp_ul_{i}"][record.end_s <= outage_s] < 0.1)
            assert up.sum() >= 1
            assert record.metrics[f"thp_dl_{i}"][-1] == pytest.approx(10.0, rel=0.02)
    assert min(outages) >= 5.0
    assert max(outages) <= 15.0
    assert np.ptp(outages) > 5.0


def test_in_the_last_tenth_reclaim_costs_cpu_time_up_to_the_stated_share() -> None:
    plenty = float(run(8.0).metrics["cpuu_du_1"].mean())
    for share in (0.93, 0.96):
        tight = run(NEED_DU / share)
        expected = 1.0 + 0.5 * ((share - 0.9) / 0.1) ** 2
        assert float(tight.metrics["cpuu_du_1"].mean()) / plenty == pytest.approx(expected, rel=0.02)
        assert np.array_equal(tight.metrics["cpuu_du_2"], run(8.0).metrics["cpuu_du_2"])


def test_what_is_reported_is_a_peak_that_falls_only_with_the_process() -> None:
    record = run(8.0, windows=4)
    assert np.all(np.diff(record.metrics["memu_du_1"]) >= 0.0)
    assert record.metrics["memu_du_1"][0] == pytest.approx(1000.0 * NEED_DU, abs=0.1)
    assert record.metrics["memu_cu_1"][0] == pytest.approx(1000.0 * NEED_CU, abs=0.1)


def test_no_process_is_seen_to_use_more_than_its_limit_or_anything_but_what_do_holds() -> None:
    starved = run(2.0, windows=4)
    assert starved.metrics["up_du_1"].max() == 0.0
    assert starved.metrics["memu_du_1"] == pytest.approx(np.full(4, 2000.0))
    base = {control.name: control.reference for control in scenario().controls}
    plan = RunPlan(base=base, first_window=2000, windows=2, held={"memu_du_1": 1500.0})
    assert simulate(scenario(), plan, seed=3, run=1).metrics["memu_du_1"].tolist() == [1500.0, 1500.0]


def test_kills_that_are_held_come_once_a_window_whatever_the_limit_and_never_at_zero() -> None:
    base = {control.name: control.reference for control in scenario().controls} | {"mem_du_2": NEED_DU - 0.1}
    plan = RunPlan(base=base, first_window=2000, windows=2, held={"oom_du_1": 1.0, "oom_du_2": 0.0})
    quick = replace(EXACT, restart=Restart(least_s=1.0, most_s=1.0))
    record = simulate(scenario(quick), plan, seed=3, run=1)
    assert record.hidden["oom_du_1"].tolist() == [1.0, 1.0]
    assert record.metrics["up_du_1"] == pytest.approx([0.5, 0.5])
    assert record.metrics["up_du_2"].tolist() == [1.0, 1.0]


def test_a_reference_below_the_need_is_refused_in_one_line() -> None:
    memory = load_scenario("memory")
    tight = {**memory.ranges, "mem_du": replace(memory.ranges["mem_du"], reference=2.2)}
    with pytest.raises(InputError, match=r"mem_du \(2.2 GB\) is below what the process needs \(2.22 GB\)"):
        EXACT.check_scenario(replace(memory, ranges=tight))


def test_a_restart_takes_longer_the_less_cpu_it_may_use() -> None:
    restart = Restart(least_s=5.0, most_s=5.0, cpu_s=4.0)
    rng = np.random.default_rng(0)
    assert [restart.draw_ms(rng, limit) for limit in (4.0, 1.0, 0.5)] == [9000, 9000, 13000]


def test_a_process_comes_back_when_the_last_of_its_causes_lets_it() -> None:
    stopped: list[tuple[str, int]] = []
    outages = Outages(("du_1", "cu_1"), lambda process, until: stopped.append((process, until)))
    outages.take_down("du_1", 1000, 9000)
    outages.take_down("du_1", 2000, 5000)
    assert stopped == [("du_1", 9000)]
    assert outages.is_down("du_1", 8999)
    assert not outages.is_down("du_1", 9000)
    assert outages.take_up_shares(4000) == {"up_du_1": 0.25, "up_cu_1": 1.0}
    assert outages.take_up_shares(14000) == {"up_du_1": 0.5, "up_cu_1": 1.0}
