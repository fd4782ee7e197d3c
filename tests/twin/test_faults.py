"""Faults: what fails stops, what is beside it does not notice, and all of it comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from col.errors import InputError
from tests.twin.emulated_process import brief_scenario
from twin.faults import Fault, HostFailure, LinkFault, ProcessCrash
from twin.link_noise import LinkNoise
from twin.live import LiveRun, LoadLaw, windows_table
from twin.outages import Restart
from twin.ran import RunPlan, RunRecord, simulate, trial_plan
from twin.scenario import Scenario, load_scenario, parse_scenario
from twin.streams import Streams

QUICK = Restart(least_s=1.0, most_s=1.0)


def with_faults(*faults: Fault) -> Scenario:
    scenario = brief_scenario()
    tables = {"faults": faults} if faults else {}
    return replace(scenario, topology=replace(scenario.topology, mechanisms=frozenset(tables)), tables=tables)


def run(*faults: Fault, windows: int = 6, seed: int = 3, shared: bool = False) -> RunRecord:
    """Run with faults; `shared`: gNBs 1 and 2 on one CU."""
    scenario = with_faults(*faults)
    if shared:
        gnbs = scenario.topology.gnbs
        topology = replace(scenario.topology, gnbs=(gnbs[0], replace(gnbs[1], cu="1"), *gnbs[2:]))
        scenario = replace(scenario, topology=topology)
    base = {control.name: control.reference for control in scenario.controls}
    return simulate(scenario, RunPlan(base=base, first_window=2000, windows=windows), seed=seed, run=1)


def test_a_host_without_power_takes_its_gnbs_down_draws_nothing_and_comes_back() -> None:
    """Warm-up 0.5 s, failure at 4 s for 4 s, restart 1 s: windows 1 and 2 dark, the first half of 3 down."""
    without, record = run(), run(HostFailure(host="h2", at_s=3.5, lasts_s=4.0, restart=QUICK))
    assert record.hidden["up_h2"].tolist() == [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert record.metrics["up_du_3"].tolist() == [1.0, 0.0, 0.0, 0.5, 1.0, 1.0]
    assert np.all(record.metrics["pow_h2"][1:3] == 0.0)
    assert record.metrics["pow_h2"][3] > 80.0
    for i in (3, 4):
        assert np.all(record.metrics[f"cpuu_du_{i}"][1:3] < 0.01)
        assert np.all(record.metrics[f"thp_dl_{i}"][1:3] < 0.1)
        assert record.metrics[f"thp_dl_{i}"][5] == pytest.approx(10.0, rel=0.02)
    for name, values in without.metrics.items():
        if name.endswith(("_1", "_2", "_h1")):
            assert np.array_equal(values, record.metrics[name], equal_nan=True), name
    assert [(event.kind, event.subject) for event in record.events] == [("fault", "host h2")]


def test_a_crash_of_a_cu_stops_its_gnb_alone_and_counts_against_the_cu() -> None:
    without, record = run(), run(ProcessCrash(process="cu_2", at_s=3.5, lasts_s=1.0, restart=QUICK))
    assert record.metrics["up_cu_2"].tolist() == [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    assert record.metrics["thp_dl_2"][1] < 0.5
    assert record.metrics["thp_ul_2"][4] == pytest.approx(10.0, rel=0.02)
    # What a DU lets through goes on; its capacity must not look broken because the CU behind it is.
    assert record.metrics["cap_du_ul_2"][1] == pytest.approx(without.metrics["cap_du_ul_2"][1], rel=0.05)
    assert np.array_equal(record.metrics["jit_ul_1"], without.metrics["jit_ul_1"])


def test_what_a_stage_could_carry_still_explains_what_was_delivered_when_it_was_down_for_a_while() -> None:
    """The learner derives throughput from capacities: an outage must not be missing there, or look like plenty."""
    record = run(
        HostFailure(host="h2", at_s=3.5, lasts_s=4.0, restart=QUICK),
        ProcessCrash(process="du_1", at_s=3.5, lasts_s=2.0, restart=QUICK),
        ProcessCrash(process="cu_2", at_s=3.5, lasts_s=2.0, restart=QUICK),
        windows=3,
    )
    columns = dict(record.metrics)
    for name, expression in with_faults().problem().derivations.items():
        derived = np.asarray(expression.evaluate(columns))
        offered = columns[name.replace("thp", "load")]  # what had waited is delivered on top of it afterwards
        assert derived == pytest.approx(np.minimum(columns[name], offered), rel=0.03, abs=0.06), name


def test_a_degraded_fronthaul_loses_slots_while_it_lasts_and_of_its_cells_only() -> None:
    noise = LinkNoise(loss=0.2)
    without, record = run(), run(LinkFault(leg="fronthaul", cells=(1,), at_s=3.5, lasts_s=4.0, noise=noise))
    late = record.metrics["late_du_1"]
    assert late[1:3] == pytest.approx([0.2, 0.2], abs=0.03)
    assert np.all(late[[0, 4, 5]] < 0.01)
    assert np.array_equal(record.metrics["late_du_2"], without.metrics["late_du_2"])


def test_a_link_fault_adds_delay_and_two_of_them_add_up() -> None:
    once = LinkFault(leg="backhaul", cells=(1,), at_s=1.5, lasts_s=100.0, added_ms=10.0)
    without, one, two = run(), run(once), run(once, once)
    for record, added in ((one, 10.0), (two, 20.0)):
        moved = record.metrics["dly_ul_1"][1:] - without.metrics["dly_ul_1"][1:]
        assert moved == pytest.approx(np.full(5, added), abs=0.5)


def test_a_backhaul_that_cells_of_a_cu_share_is_wrong_for_both_until_the_last_fault_ends() -> None:
    """Warm-up 0.5 s: the fault that names cell 1 ends at 3.5 s, that of cell 2 goes on."""
    first = LinkFault(leg="backhaul", cells=(1,), at_s=1.5, lasts_s=1.5, added_ms=10.0)
    second = LinkFault(leg="backhaul", cells=(2,), at_s=1.5, lasts_s=100.0, added_ms=20.0)
    alone, both = (
        run(*faults, windows=3, shared=True).metrics["dly_ul_2"] for faults in ((second,), (first, second, first))
    )
    assert alone[2] > 25.0
    assert both[2] == pytest.approx(alone[2], abs=0.5)


def test_what_fails_elsewhere_moves_no_digit_of_a_cells_radio() -> None:
    """A fault cuts the frame; the sums of a window must not show where."""
    brief = brief_scenario()
    text = brief.to_toml() + "[channel]\n"
    crash = '[[faults]]\nkind = "process"\nprocess = "du_4"\nevery_s = 0.5\nlasts_s = 0.3\n'
    base = {control.name: control.reference for control in brief.controls}
    plan = RunPlan(base=base, first_window=500, windows=2)
    calm, cut = (simulate(parse_scenario(t.encode(), "t.toml"), plan, seed=3, run=1) for t in (text, text + crash))
    assert len(cut.events) > 3
    for name in ("snr_1", "sdl_2", "cqi_1", "mcs_ul_2"):
        first, second = ({**record.metrics, **record.hidden}[name] for record in (calm, cut))
        assert np.array_equal(first, second), name


def test_faults_by_chance_are_exponential_on_a_stream_of_their_own() -> None:
    often = ProcessCrash(process="du_1", every_s=4.0, lasts_s=1.0, restart=QUICK)
    alone, beside = (
        run(often, windows=20),
        run(often, ProcessCrash(process="du_2", every_s=3.0, lasts_s=1.0), windows=20),
    )
    assert len({event.at_ms for event in alone.events}) >= 4
    at = [event.at_ms for event in beside.events if event.subject == "du_1"]
    assert at == [event.at_ms for event in alone.events]
    assert at != [event.at_ms for event in run(often, windows=20, seed=4).events]


def test_a_live_run_meets_the_faults_that_a_planned_run_meets() -> None:
    scenario = with_faults(
        HostFailure(host="h2", at_s=1.0, lasts_s=2.0), ProcessCrash(process="du_1", every_s=3.0, lasts_s=1.0)
    )
    base, target = {control.name: control.reference for control in scenario.controls}, {"cpu_du_1": 0.8}
    live = LiveRun(scenario, Streams(3, 1), base, law=LoadLaw.OPERATING)
    live.advance(500)
    live.set_controls(target, settle_s=1.0)
    windows = windows_table(live.advance(1000 + 4 * 2000), scenario, run=1)
    planned = simulate(scenario, trial_plan(scenario, base, target, 4), seed=3, run=1)
    for name, values in planned.metrics.items():
        assert np.array_equal(values, windows.metrics[name], equal_nan=True), name
    assert [e for e in live.events if e.at_ms < 9000] == [e for e in planned.events if e.at_ms < 9000]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (HostFailure(host="h9", at_s=0.0, lasts_s=1.0), "none of that name; there are h1, h2"),
        (ProcessCrash(process="du_9", at_s=0.0, lasts_s=1.0), "none of that name; there are du_1, du_2"),
        (LinkFault(leg="fronthaul", at_s=0.0, lasts_s=1.0, rate_mbps=10.0), "a fronthaul has no rate"),
        (
            LinkFault(leg="midhaul", cells=(7,), at_s=0.0, lasts_s=1.0, added_ms=1.0),
            "none of that name; there are 1, 2, 3, 4",
        ),
        (LinkFault(leg="midhaul", at_s=0.0, lasts_s=1.0), "needs added_ms, rate_mbps or noise"),
    ],
)
def test_a_fault_of_what_is_not_there_is_refused(fault: HostFailure, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fault.check_scenario(load_scenario("cpu-allocation"))


def test_a_fault_comes_once_or_again_and_again_and_not_both() -> None:
    for at_s, every_s in ((None, None), (1.0, 1.0)):
        with pytest.raises(InputError, match="either at_s"):
            HostFailure(host="h1", at_s=at_s, every_s=every_s, lasts_s=1.0)
