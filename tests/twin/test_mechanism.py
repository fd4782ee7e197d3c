"""The seam of the control plane: what a mechanism may rely on, in planned and live runs alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.twin.emulated_process import brief_scenario
from twin.live import LiveRun, LoadLaw, windows_table
from twin.mechanism import Mechanism, Process
from twin.ran import RunPlan, simulate, trial_plan
from twin.ran_state import RanState
from twin.scenario import Scenario
from twin.streams import Streams


class Diary(Mechanism):
    """Writes down what it is told and when, and what it does itself every 500 ms."""

    def __init__(self, ran: RanState, *, slows: float = 1.0, drives_load: bool = False) -> None:
        self.ran, self.slows = ran, slows
        self.drives_load = drives_load  # type: ignore[misc]
        self.lines: list[tuple[int, str, Any]] = []

    def processes(self, ran: RanState) -> Iterable[Process]:
        return (self._tick(),)

    def _tick(self) -> Process:
        while True:
            yield self.ran.wait(500)
            self.lines.append((self.ran.now_ms, "acts", None))
            self.ran.slow_down("diary", 1, du_factor=self.slows)

    def apply(self, values: Mapping[str, float]) -> None:
        self.lines.append((self.ran.now_ms, "applied", dict(values)))

    def seen(self, metrics: Mapping[str, float]) -> None:
        self.lines.append((self.ran.now_ms, "seen", sorted(n for n in metrics if n.startswith("pow_"))))

    def metrics(self, ran: RanState, elapsed_ms: float) -> Mapping[str, float]:
        self.lines.append((ran.now_ms, "asked", elapsed_ms))
        return {"diary_1": elapsed_ms}

    def busy_cores(self, elapsed_ms: float) -> Mapping[str, float]:
        return {"h1": 4.0}


@cache
def scenario() -> Scenario:
    return brief_scenario()


def base() -> dict[str, float]:
    return {control.name: control.reference for control in scenario().controls}


@pytest.fixture
def diaries(monkeypatch: pytest.MonkeyPatch) -> list[Diary]:
    written: list[Diary] = []

    def mechanisms(_: Scenario, __: Streams, ran: RanState) -> tuple[Mechanism, ...]:
        written.append(Diary(ran))
        return (written[-1],)

    monkeypatch.setattr("twin.ran_state.mechanisms", mechanisms)
    return written


def test_windows_close_first_then_mechanisms_act_then_interventions_come(diaries: list[Diary]) -> None:
    target = {"cpu_du_1": 0.8}
    plan = RunPlan(base=base(), first_window=500, windows=2, interventions=((2500, target),))
    record = simulate(scenario(), plan, seed=1, run=0)
    lines = diaries[0].lines
    assert lines[0] == (0, "applied", base())
    assert [line for line in lines if line[0] == 500] == [(500, "asked", 500.0), (500, "seen", []), (500, "acts", None)]
    at = [line[1:] for line in lines if line[0] == 2500]
    assert at == [("asked", 2000.0), ("seen", ["pow_h1", "pow_h2"]), ("acts", None), ("applied", target)]
    assert record.controls["cpu_du_1"].tolist() == [base()["cpu_du_1"], 0.8]
    assert record.hidden["diary_1"].tolist() == [2000.0, 2000.0]


def test_a_live_run_tells_mechanisms_the_same_in_the_same_order(diaries: list[Diary]) -> None:
    target = {"cpu_du_1": 0.8}
    run = LiveRun(scenario(), Streams(1, 0), base(), law=LoadLaw.OPERATING)
    run.advance(500)
    run.set_controls(target, settle_s=1.0)
    live = windows_table(run.advance(1000 + 2 * 2000), scenario(), run=0)
    plan = trial_plan(scenario(), base(), target, 2)
    assert plan.first_window == 1500
    planned = simulate(scenario(), plan, seed=1, run=0)
    # A live run has closed its warm-up by the time that somebody sets a control.
    told = [[line for line in d.lines if line[0] > 1500 or line[1] in ("acts", "applied")] for d in diaries]
    assert [line for line in told[0] if line[0] < 5500] == [line for line in told[1] if line[0] < 5500]
    for name, column in planned.metrics.items():
        assert np.array_equal(column, live.metrics[name], equal_nan=True), name


def test_a_mechanism_that_only_looks_changes_no_digit_and_one_that_slows_a_cell_changes_only_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = RunPlan(base=base(), first_window=500, windows=2, autoscaled=True, passive_load=True)
    without = simulate(scenario(), plan, seed=1, run=0).metrics
    for slows in (1.0, 1.5):
        monkeypatch.setattr("twin.ran_state.mechanisms", lambda s, t, ran, slows=slows: (Diary(ran, slows=slows),))
        after = simulate(scenario(), plan, seed=1, run=0).metrics
        moved = {n for n in without if not np.array_equal(without[n], after[n], equal_nan=True)}
        assert "pow_h1" in moved  # its four busy cores
        assert "pow_h2" not in moved
        assert not {n for n in moved if n[-2:] in ("_2", "_3", "_4")}
        assert ("cpuu_du_1" in moved) == (slows > 1.0)


def test_where_a_mechanism_drives_the_load_the_load_law_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.ran_state.mechanisms", lambda s, t, ran: (Diary(ran, drives_load=True),))
    record = simulate(scenario(), RunPlan(base=base(), first_window=500, windows=1), seed=1, run=0)
    assert record.metrics["load_ul_1"][0] == 0.0
