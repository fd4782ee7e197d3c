from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from col.errors import InputError
from col.plant import Windows
from tests.twin.emulated_process import brief_scenario
from twin.emulated.scenario_gap import Gap, HostTrouble, other_constants
from twin.live import LiveRun, LiveWindow, LoadLaw, windows_table
from twin.ran import RunPlan, RunRecord, simulate, trial_plan
from twin.scenario import Scenario, load_scenario
from twin.streams import Streams

SEED, RUN = 3, 4


def reference(scenario: Scenario) -> dict[str, float]:
    return {control.name: control.reference for control in scenario.controls}


def live(scenario: Scenario, law: LoadLaw = LoadLaw.OPERATING, *, gap: float = 0.0, run: int = RUN) -> LiveRun:
    sizes, streams = Gap().scaled(gap), Streams(SEED, run)
    other = other_constants(scenario, sizes)
    trouble = HostTrouble(scenario.topology, sizes, streams)
    return LiveRun(other, streams, reference(scenario), law=law, disturbance=trouble)


def assert_same(record: RunRecord, windows: Windows) -> None:
    """Bit for bit."""
    for name in record.controls:
        assert np.array_equal(record.controls[name], windows.controls[name]), name
    for name in record.metrics:
        assert np.array_equal(record.metrics[name], windows.metrics[name], equal_nan=True), name


@pytest.mark.parametrize("name", ["cpu-allocation", "cpu-allocation-neighbour"])
def test_an_intervention_in_a_live_run_without_gap_is_the_twins_trial_bit_for_bit(name: str) -> None:
    scenario = load_scenario(name)
    target = {"cpu_du_1": 0.6, "cpu_cu_2": 0.4}
    run = live(scenario)
    run.advance(2000)
    run.set_controls(target, settle_s=5.0)
    windows = windows_table(run.advance(5000 + 2 * 15000), scenario, run=RUN)
    assert_same(simulate(scenario, trial_plan(scenario, reference(scenario), target, 2), seed=SEED, run=RUN), windows)


def test_a_passive_live_run_without_gap_is_the_twins_passive_run_bit_for_bit() -> None:
    scenario = brief_scenario()
    plan = RunPlan(base=reference(scenario), first_window=500, windows=8, autoscaled=True, passive_load=True)
    windows = windows_table(live(scenario, LoadLaw.PASSIVE).advance(500 + 8 * 2000), scenario, run=RUN)
    assert_same(simulate(scenario, plan, seed=SEED, run=RUN), windows)
    assert np.ptp(windows.controls["cpu_du_1"]) > 0.05


def with_commands(steps: int, *, gap: float) -> list[LiveWindow]:
    """Live through the same commands at the same simulated times, time cut into steps of that many ms."""
    run = live(brief_scenario(), LoadLaw.PASSIVE, gap=gap)
    commands = {
        3210: lambda: run.set_automation(False),
        5500: lambda: run.set_controls({"cpu_du_1": 0.5, "cpu_cu_1": 0.4}, settle_s=1.0),
        9999: lambda: run.set_controls({"cpu_du_1": 1.2}, settle_s=0.0),
        14000: lambda: run.set_automation(True),
    }
    out: list[LiveWindow] = []
    while run.now_ms < 20_000:
        at = min([t for t in commands if t > run.now_ms] + [20_000])
        out += run.advance(min(steps, at - run.now_ms))
        if run.now_ms in commands:
            commands[run.now_ms]()  # type: ignore[no-untyped-call]
    return out


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_windows_follow_from_seed_and_commands_and_not_from_the_steps_of_time(gap: float) -> None:
    whole, fine = with_commands(10**6, gap=gap), with_commands(37, gap=gap)
    assert len(whole) > 5
    assert repr(whole) == repr(fine)


def metrics(windows: tuple[LiveWindow, ...], name: str) -> list[float]:
    return [window.metrics[name] for window in windows]


def test_controls_that_are_set_in_the_middle_act_from_then_on() -> None:
    run = live(brief_scenario())
    before = run.advance(500 + 2 * 2000)
    assert run.set_controls({"cpu_du_2": 0.3}, settle_s=1.0) == {"cpu_du_2": 0.3}
    after = run.advance(1000 + 2 * 2000)
    assert max(metrics(before, "late_du_2")) < 0.01
    assert min(metrics(after, "late_du_2")) > 0.3
    assert max(metrics(after, "late_du_1")) < 0.01
    assert {window.controls["cpu_du_2"] for window in after} == {0.3}


def test_the_window_in_progress_is_discarded_and_its_number_goes_to_the_next_that_closes() -> None:
    run = live(brief_scenario())
    assert [w.sequence for w in run.advance(500 + 3 * 2000)] == [0, 1, 2]
    run.advance(1500)
    assert run.next_sequence == 4  # window 3 is in progress
    run.set_controls({"cpu_du_1": 1.0}, settle_s=1.0)
    assert run.next_sequence == 3
    assert run.window_end_ms is None
    assert run.advance(2999) == ()
    (window,) = run.advance(1)
    assert (window.sequence, window.start_ms, window.end_ms) == (3, 9000, 11000)


def test_setting_again_while_it_settles_begins_settling_again() -> None:
    run = live(brief_scenario())
    for _ in range(3):
        run.set_controls({"cpu_du_1": 1.0}, settle_s=1.0)
        assert run.advance(900) == ()
    assert [w.start_ms for w in run.advance(100 + 2000)] == [1800 + 1000]


def test_windows_never_begin_before_the_process_is_warm() -> None:
    run = live(brief_scenario())
    run.set_controls({"cpu_du_1": 1.0}, settle_s=0.0)
    assert run.advance(2500)[0].start_ms == 500


def test_a_suspended_autoscaler_moves_nothing_and_goes_on_when_told() -> None:
    run = live(brief_scenario(), LoadLaw.PASSIVE)
    run.advance(500 + 2 * 2000)
    run.set_automation(False)
    still = dict(run.controls)
    assert all(dict(w.controls) == still for w in run.advance(4 * 2000))
    assert not run.automation
    run.set_automation(True)
    assert any(dict(w.controls) != still for w in run.advance(4 * 2000))


def test_there_is_no_autoscaler_under_the_operating_load() -> None:
    run = live(brief_scenario())
    assert not run.automation
    run.set_automation(False)
    with pytest.raises(InputError, match="no autoscaler"):
        run.set_automation(True)


@pytest.mark.parametrize("values", [{"cpu_du_1": 1.6}, {"cpu_du_9": 0.5}, {"cpu_du_1": float("nan")}])
def test_values_that_cannot_be_set_change_nothing(values: Mapping[str, float]) -> None:
    run = live(brief_scenario())
    run.advance(1000)
    before, end = run.controls, run.window_end_ms
    with pytest.raises(InputError):
        run.set_controls({"cpu_cu_1": 0.9, **values}, settle_s=1.0)
    assert run.controls == before
    assert run.window_end_ms == end


def test_the_gap_makes_compute_dearer_and_couples_gnbs_of_one_host() -> None:
    """The structural difference: what one gNB uses moves what the other gNB of its host needs; not so in the twin."""
    scenario = brief_scenario()

    def use(gap: float, *, starved: bool) -> tuple[float, float, float]:
        run = live(scenario, gap=gap)
        run.set_controls({"cpu_du_2": 0.2, "cpu_cu_2": 0.2} if starved else run.controls, settle_s=1.0)
        windows = run.advance(1000 + 5 * 2000)
        one, far = (float(np.mean(metrics(windows, name))) for name in ("cpuu_du_1", "cpuu_du_3"))
        return one, far, float(np.mean(metrics(windows, "cpuu_cu_1")))

    twin, twin_starved = use(0.0, starved=False), use(0.0, starved=True)
    gap, gap_starved = use(1.0, starved=False), use(1.0, starved=True)
    assert twin[0] == pytest.approx(twin_starved[0], rel=1e-12)
    assert 1.02 < gap[0] / twin[0] < 1.08
    assert 1.03 < gap[2] / twin[2] < 1.10
    coupling = [1.0 - after / before for before, after in zip(gap[:2], gap_starved[:2], strict=True)]
    assert coupling[0] > 3e-4
    assert abs(coupling[1]) < coupling[0] / 3


def test_a_noisy_neighbour_shows_in_the_power_of_its_host() -> None:
    sizes = Gap(burst_every_s=1.0, burst_s=5.0).scaled(1.0)
    scenario, streams = brief_scenario(), Streams(SEED, RUN)

    def power(sizes: Gap) -> float:
        run = LiveRun(
            scenario, streams, reference(scenario), disturbance=HostTrouble(scenario.topology, sizes, streams)
        )
        return float(np.mean(metrics(run.advance(500 + 10 * 2000), "pow_h1")))

    assert power(sizes) > power(Gap().scaled(0.0)) + 1.0


@pytest.mark.parametrize(("du", "cu", "holds"), [(1.2, 1.2, True), (0.64, 0.46, True), (0.45, 0.44, False)])
def test_across_the_gap_a_margin_holds_and_a_clear_violation_shows_in_the_first_window(
    du: float, cu: float, holds: bool
) -> None:
    scenario = load_scenario("cpu-allocation")
    run = live(scenario, gap=1.0)
    run.set_controls({name: du if "_du_" in name else cu for name in run.controls}, settle_s=5.0)
    windows = run.advance(5000 + (5 if holds else 1) * 15000)
    delivered = [
        w.metrics[f"thp_{way}_{cell}"] / w.metrics[f"load_{way}_{cell}"]
        for w in windows
        for cell in range(1, 5)
        for way in ("dl", "ul")
    ]
    assert (min(delivered) >= 0.95) is holds
    assert max(max(w.metrics["pow_h1"], w.metrics["pow_h2"]) for w in windows) <= 95.0
