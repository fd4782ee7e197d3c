"""`rantwin simulate`: runs of a scenario on the twin, as it stands or under do(), without learning anything."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from col.plant import Windows, concatenate_windows
from tui.progress import Progress, Status
from tui.simulate_do import Interventions, read_interventions
from twin.dataplane import PacketLog
from twin.job_pool import JobPool, ThreadJobs
from twin.mechanism import RunEvent
from twin.ran import RunPlan, RunRecord, passive_plan, simulate, trial_plan
from twin.run_jobs import simulate_runs
from twin.scenario import Scenario, load_scenario
from twin.shards import shards

__all__ = ["Simulation", "SimulationRequest", "joined", "plans_of", "robustness_of", "run_simulation"]

FloatArray = NDArray[np.float64]

_WINDOWS, _PASSIVE_WINDOWS = 20, 240
_MOST_PACKETS = 4_000_000
"""Packets of a run that are kept at most, all cells and directions together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationRequest:
    """What the user asked for; `windows` is None where nothing was said, `do` has texts like "cpu_du_1=0.5"."""

    scenario: str
    seed: int = 0
    windows: int | None = None
    passive: bool = False
    do: Sequence[str] = ()
    runs: int = 1
    trace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What was simulated. `hidden` are variables that no plant shows; `events` are (run, event) in order.

    `at_s` of an event is on the clock of the table: runs one after the other, warm-up left out of no run.
    """

    scenario: Scenario
    seed: int
    passive: bool
    do: Interventions
    windows: Windows
    hidden: Mapping[str, FloatArray]
    events: Sequence[tuple[int, float, RunEvent]]
    wall_s: float
    notes: Sequence[str] = field(default_factory=tuple)
    factual: Windows | None = None
    """Of a counterfactual: what happened in fact, window for window; of a run beside a recording: that."""
    factual_of: str = ""
    recorded: bool = False
    """Whether `factual` was recorded on something else than the twin."""
    packets: Sequence[tuple[int, float, int, PacketLog]] = ()
    """(run, its start on the clock of the table [s], cell, packets), where they were asked for."""
    may_move: frozenset[str] = frozenset()
    """Of a counterfactual: what the causal graph lets do() move."""

    @property
    def simulated_s(self) -> float:
        """The simulated time, warm-up and settling included."""
        return float(self.windows.end_s[-1])

    @property
    def regime(self) -> str:
        """What the load does and who sets the controls, in a few words."""
        if self.recorded:
            return "loads and limits as recorded"
        if self.passive:
            return "load as it comes, controls set by whoever sets them"
        return "operating load, controls held"

    @property
    def plan(self) -> dict[str, Any]:
        """What makes the same windows again, as JSON."""
        return {
            "seed": self.seed,
            "passive": self.passive,
            "windows": len(self.windows),
            "runs": int(self.windows.run[-1]) + 1,
            "controls": dict(self.do.controls),
            "held": dict(self.do.held),
            **({"recorded" if self.recorded else "counterfactual_of": self.factual_of} if self.factual_of else {}),
        }


def run_simulation(request: SimulationRequest, progress: Progress, pool: JobPool | None = None) -> Simulation:
    """Simulate, in `pool` if one is given; nothing is written.

    Raises:
        InputError: no such scenario, or an intervention that it does not allow.
        PlantError, UnreachableError: the pool's workers are lost, or cannot be reached.
    """
    scenario = load_scenario(request.scenario)
    do = read_interventions(request.do, scenario)
    plans = plans_of(scenario, request, do)
    shown = _Shown(f"simulate {scenario.name}", sum(plan.windows for plan in plans), progress)
    with progress:
        if pool is not None or len(shards(scenario)) > 1:
            shown.say("simulating")
            jobs = pool or ThreadJobs(1)
            records = simulate_runs(scenario, plans, seed=request.seed, pool=jobs, done=shown.windows_done)
        else:
            records = []
            for run, plan in enumerate(plans):
                shown.say(f"run {run + 1} of {len(plans)}" if len(plans) > 1 else "simulating")
                before = sum(len(record.start_s) for record in records)
                closed = partial(shown.windows_done, before)
                records.append(simulate(scenario, plan, seed=request.seed, run=run, closed=closed))
    return joined(scenario, request.seed, request.passive, do, records, shown.wall_s)


class _Shown:
    """How far a simulation is, for people."""

    def __init__(self, title: str, windows: int, progress: Progress) -> None:
        self._status = Status(title=title, steps_name="windows", steps_total=windows)
        self._progress = progress
        self._started = self._said_s = time.perf_counter()

    @property
    def wall_s(self) -> float:
        """Time since the beginning."""
        return time.perf_counter() - self._started

    def say(self, doing: str) -> None:
        """Say what happens now."""
        self._status.doing = doing
        self._progress.update(self._status)

    def windows_done(self, *windows: int) -> None:
        """Say how many windows are done."""
        status, now = self._status, time.perf_counter()
        status.steps_done = sum(windows)
        if status.steps_done:
            status.left_s = (now - self._started) / status.steps_done * (status.steps_total - status.steps_done)
        line = f"{status.steps_done} of {status.steps_total} windows" if now - self._said_s > 5.0 else ""
        self._said_s = now if line else self._said_s
        self._progress.update(status, line)


def plans_of(scenario: Scenario, request: SimulationRequest, do: Interventions) -> list[RunPlan]:
    """Return a plan for every run: passive ones as the twin's passive phase has them, else trials."""
    base = dict(scenario.description().reference.values)
    windows = request.windows or (
        _PASSIVE_WINDOWS if request.passive else max(_WINDOWS, scenario.specification.horizon)
    )
    kept = _MOST_PACKETS // (2 * len(scenario.topology.gnbs)) if request.trace else 0
    if not request.passive:
        plan = replace(trial_plan(scenario, base, {**base, **do.controls}, windows), log_packets=kept)
        return [do.into(plan)] * request.runs
    each = scenario.passive.run_windows
    lengths = [min(each, windows - done) for done in range(0, windows, each)]
    plan = replace(passive_plan(scenario, {**base, **do.controls}), log_packets=kept)
    return [do.into(plan, windows=length) for length in lengths]


def joined(
    scenario: Scenario, seed: int, passive: bool, do: Interventions, records: Sequence[RunRecord], wall_s: float
) -> Simulation:
    """Return the runs as one simulation, one after the other on one clock."""
    tables: list[Windows] = []
    events: list[tuple[int, float, RunEvent]] = []
    packets: list[tuple[int, float, int, PacketLog]] = []
    offset, count = 0.0, 0
    for record in records:
        n = len(record.start_s)
        tables.append(
            Windows(
                sequence=np.arange(count, count + n, dtype=np.int64),
                start_s=offset + record.start_s,
                end_s=offset + record.end_s,
                run=np.full(n, record.run, dtype=np.int64),
                controls=record.controls,
                metrics=record.metrics,
            )
        )
        packets += [(record.run, offset, cell, log) for cell, log in record.packets.items()]
        events += [(record.run, offset + event.at_ms / 1000.0, event) for event in record.events]
        offset, count = float(tables[-1].end_s[-1]), count + n
    hidden = {name: np.concatenate([record.hidden[name] for record in records]) for name in records[0].hidden}
    return Simulation(
        scenario=scenario,
        seed=seed,
        passive=passive,
        do=do,
        windows=concatenate_windows(tables),
        hidden=hidden,
        events=events,
        packets=packets,
        wall_s=wall_s,
        notes=scenario.notes,
    )


def robustness_of(simulation: Simulation) -> FloatArray:
    """Return the robustness of φ on every stretch of its horizon within one run, shape (stretches,); NaN: gaps."""
    specification, windows = simulation.scenario.specification, simulation.windows
    found: list[FloatArray] = []
    for run in np.unique(windows.run):
        rows = windows.run == run
        length = int(rows.sum())
        if length < specification.horizon:
            continue
        columns = {
            name: np.lib.stride_tricks.sliding_window_view(windows.metrics[name][rows], specification.horizon)
            for name in specification.metrics
        }
        found.append(specification.robustness(columns))
    return np.concatenate(found) if found else np.empty(0)
