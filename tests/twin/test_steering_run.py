"""The walk and the steering on the data plane itself: traffic-steering with windows of 3 s."""

import re
from functools import cache
from importlib import resources

import numpy as np

from twin.live import LiveRun, windows_table
from twin.mobility import ping_pongs
from twin.ran import RunPlan, RunRecord, simulate, trial_plan
from twin.scenario import Scenario, parse_scenario
from twin.streams import Streams

SEED = 5


@cache
def brief() -> Scenario:
    text = resources.files("twin").joinpath("scenarios/traffic-steering.toml").read_text()
    for key, value in {"length_s": 3.0, "settle_s": 7.0, "warmup_s": 9.0, "tick_s": 3.0, "median_s": 0.3}.items():
        text = re.sub(rf"(?m)^{key} = [\d.]+", f"{key} = {value}", text)
    return parse_scenario(text.encode(), "brief.toml")


@cache
def steered(threshold: float, windows: int = 30) -> RunRecord:
    thresholds = {"thr_p1": threshold, "thr_p2": threshold}
    return simulate(brief(), RunPlan(base=thresholds, first_window=9000, windows=windows), seed=SEED, run=0)


def test_what_a_cell_is_offered_is_what_its_ues_send() -> None:
    record = steered(1.0)
    for cell in (1, 2, 3, 4):
        sent = record.hidden[f"lam_ul_{cell}"] * {**record.metrics, **record.hidden}[f"nue_{cell}"]
        assert np.allclose(record.metrics[f"load_ul_{cell}"], sent, atol=0.03)
    assert np.ptp(record.metrics["load_ul_1"]) > 1.5


def test_below_the_rate_of_a_ue_the_threshold_makes_ues_go_back_and_forth_and_the_uplink_jitter() -> None:
    counts, jitter = [], []
    for threshold in (0.5, 2.0):
        record = steered(threshold)
        moves = [
            (e.at_ms / 1000.0, e.subject, int(e.values["source"]), int(e.values["target"]))
            for e in record.events
            if e.kind == "handover"
        ]
        counts.append(ping_pongs(moves, 3.1))
        jitter.append(np.nanmean([record.metrics[f"jit_ul_{cell}"] for cell in (1, 2, 3, 4)]))
    assert counts[0] >= 5
    assert counts[1] == 0
    assert jitter[0] > 1.2 * jitter[1]


def test_a_trial_in_a_live_run_is_the_twins_trial_bit_for_bit_where_ues_come_go_and_move() -> None:
    base = {control.name: control.reference for control in brief().controls}
    target = {"thr_p1": 0.0, "thr_p2": 0.4}
    run = LiveRun(brief(), Streams(SEED, 3), base)
    run.advance(9000)
    run.set_controls(target, settle_s=7.0)
    windows = windows_table(run.advance(7000 + 6 * 3000), brief(), run=3)
    record = simulate(brief(), trial_plan(brief(), base, target, 6), seed=SEED, run=3)
    end_ms = 9000 + 7000 + 6 * 3000  # a live run goes on there
    assert [event for event in run.events if event.at_ms < end_ms] == [*record.events]
    assert any(event.kind == "handover" and event.at_ms > 9000 for event in record.events)
    for name in record.metrics:
        assert np.array_equal(record.metrics[name], windows.metrics[name], equal_nan=True), name
