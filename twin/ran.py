"""One run of the RAN: SimPy is the control plane, the compiled data plane moves all cells between its events.

A run is a fresh process of every gNB.  Processes of the control plane: load changes, interventions, the autoscaler,
the monitor that closes windows, and frames; what they move is in `twin.ran_state`: a few events a window.

Time is counted in slots of 1 ms, as integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import simpy
from numpy.typing import NDArray

from twin.autoscaler import Autoscaler
from twin.dataplane import PacketLog
from twin.intervene import Do, Surgery, as_interventions, check_do, held_from_start
from twin.mechanism import Process, RunEvent
from twin.ran_state import AFTER_MECHANISMS, DATA_PLANE_STREAMS, RanState, make_autoscaler
from twin.scenario_model import Scenario
from twin.shards import joined, plan_of, shards
from twin.streams import Streams
from twin.traffic import operating_path, passive_path

__all__ = ["DATA_PLANE_STREAMS", "RunPlan", "RunRecord", "passive_plan", "simulate", "simulate_shard", "trial_plan"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What happens in a run; times in slots since its start.

    `base` is the configuration that the processes start with and `interventions` are (slot, values) in order; window k
    goes from `first_window` + k windows to the next. `autoscaled` lets the autoscaler set the limits at each window's
    start, and `passive_load` moves the load there; otherwise it is the operating load. `held` are variables that do()
    holds from the start of the run on, `do` those that it holds from some window on or at values that move. Of every
    cell and direction the first `log_packets` packets are kept.
    """

    base: Mapping[str, float]
    first_window: int
    windows: int
    interventions: tuple[tuple[int, Mapping[str, float]], ...] = ()
    autoscaled: bool = False
    passive_load: bool = False
    held: Mapping[str, float] = field(default_factory=dict)
    do: tuple[Do, ...] = ()
    log_packets: int = 0

    @property
    def interventions_at(self) -> int:
        """When do() from window 0 on comes: with the plan's own first intervention, else when windows begin."""
        return self.interventions[0][0] if self.interventions else self.first_window


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The windows of one run in order: times since the run's start, controls in force and metrics, shapes (n,).

    `metrics` are those that the scenario's plant shows; `hidden` is whatever else was computed in each window, latent
    variables of the causal graph among it. `events` is what happened besides, in order.
    """

    run: int
    start_s: FloatArray
    end_s: FloatArray
    controls: Mapping[str, FloatArray]
    metrics: Mapping[str, FloatArray]
    hidden: Mapping[str, FloatArray] = field(default_factory=dict)
    events: tuple[RunEvent, ...] = ()
    packets: Mapping[int, PacketLog] = field(default_factory=dict)
    """By cell, where the plan asks for them; times since the run's start."""


def passive_plan(scenario: Scenario, base: Mapping[str, float]) -> RunPlan:
    """Return the plan of a passive run: the autoscaler at work under the passive load."""
    return RunPlan(
        base=base,
        first_window=round(scenario.window.warmup_s * 1000),
        windows=scenario.passive.run_windows,
        autoscaled=True,
        passive_load=True,
    )


def trial_plan(scenario: Scenario, base: Mapping[str, float], target: Mapping[str, float], windows: int) -> RunPlan:
    """Return the plan of a trial: warm up at `base`, apply `target`, let it settle, watch at the operating load."""
    apply_at = round(scenario.window.warmup_s * 1000)
    return RunPlan(
        base=base,
        first_window=apply_at + round(scenario.window.settle_s * 1000),
        windows=windows,
        interventions=((apply_at, target),),
    )


def simulate(
    scenario: Scenario, plan: RunPlan, *, seed: int, run: int, closed: Callable[[int], None] | None = None
) -> RunRecord:
    """Simulate one run; everything random in it follows from `seed` and `run`.

    `closed` hears after each window how many there are by now (of the last shard, where there are several); what it
    raises ends the run.

    Raises:
        InputError: a variable that is to be held is none, or cannot be held so.
    """
    parts = shards(scenario)
    if len(parts) == 1:
        return _Run(scenario, plan, Streams(seed, run), closed).record()
    check_do(scenario, (*as_interventions(plan.held, since=None), *plan.do))
    records = [simulate_shard(part, plan, seed=seed, run=run, shard=k) for k, part in enumerate(parts[:-1])]
    last = len(parts) - 1
    records.append(_Run(parts[last], plan_of(plan, parts[last]), Streams(seed, run, last), closed).record())
    return joined(scenario, records)


def simulate_shard(part: Scenario, plan: RunPlan, *, seed: int, run: int, shard: int) -> RunRecord:
    """Simulate one shard of a run: `part` is that of `twin.shards.shards`, `plan` that of the whole."""
    return _Run(part, plan_of(plan, part), Streams(seed, run, shard)).record()


class _Run:
    """The control plane of one run at work."""

    def __init__(
        self, scenario: Scenario, plan: RunPlan, streams: Streams, closed: Callable[[int], None] | None = None
    ) -> None:
        self._closed = closed
        self._scenario, self._plan, self._streams = scenario, plan, streams
        self._env = simpy.Environment()
        interventions = (*as_interventions(plan.held, since=None), *plan.do)
        held = held_from_start(interventions)
        self._ran = RanState(
            scenario, streams, self._env, plan.base, held, automation=plan.autoscaled, log_packets=plan.log_packets
        )
        starts = range(
            plan.first_window, plan.first_window + plan.windows * scenario.window_slots, scenario.window_slots
        )
        surgery = Surgery(scenario, interventions, self._ran, first_at=plan.interventions_at, window_starts=starts)
        for process in surgery.processes():
            self._env.process(process)
        self._window_closed = self._env.event()
        self._seen: list[tuple[dict[str, float], dict[str, float]]] = []

    def record(self) -> RunRecord:
        """Let the run happen and return its windows."""
        env, plan, topology = self._env, self._plan, self._scenario.topology
        env.process(self._load_changes())
        env.process(self._interventions())
        if plan.autoscaled:
            env.process(self._autoscaling(make_autoscaler(self._scenario, self._streams)))
        env.process(self._frames())
        env.run(env.process(self._monitor()))
        starts = plan.first_window + self._scenario.window_slots * np.arange(plan.windows)
        controls, metrics = ([row[part] for row in self._seen] for part in (0, 1))
        names = dict.fromkeys(metric.name for metric in topology.metrics())
        hidden = [name for name in (metrics[0] if metrics else {}) if name not in names]
        return RunRecord(
            run=self._streams.run,
            start_s=starts / 1000.0,
            end_s=(starts + self._scenario.window_slots) / 1000.0,
            controls={name: np.array([row[name] for row in controls]) for name in topology.control_names},
            metrics={name: np.array([row[name] for row in metrics]) for name in names},
            hidden={name: np.array([row[name] for row in metrics]) for name in hidden},
            events=tuple(self._ran.events),
            packets={gnb.cell: self._ran.plane.packet_log(self._ran.row(gnb.cell)) for gnb in topology.gnbs}
            if self._plan.log_packets
            else {},
        )

    def _frames(self) -> Process:
        """Bound how far the data plane lags behind: one window, unless something cuts the frame."""
        yield self._env.timeout(self._plan.first_window)  # in step with the windows, or each would be cut in two
        while True:
            yield self._env.timeout(self._scenario.window_slots)
            self._ran.catch_up()

    def _load_changes(self) -> Process:
        """Set the load of the warm-up and of each window at its start."""
        plan, scenario, ran = self._plan, self._scenario, self._ran
        if not plan.passive_load:
            ran.offer(operating_path(scenario.operating_load, 1, ran.cells)[0])
            return
        steps = passive_path(
            scenario.passive_load, plan.windows + 1, scenario.window.length_s, self._streams, ran.cells
        )
        ran.offer(steps[0])
        yield self._env.timeout(plan.first_window)
        for step in steps[1:]:
            ran.offer(step)
            yield self._env.timeout(scenario.window_slots)

    def _interventions(self) -> Process:
        for at, values in self._plan.interventions:
            yield self._ran.wait(at - self._ran.now_ms, priority=AFTER_MECHANISMS)
            self._ran.apply(values)

    def _autoscaling(self, autoscaler: Autoscaler) -> Process:
        """Set the limits of each window from the loads of the one before, as soon as that is closed."""
        while True:
            seen = yield self._window_closed
            autoscaler.act(self._ran, seen)

    def _monitor(self) -> Process:
        """Close the warm-up, which is seen but not recorded, and then every window."""
        yield self._env.timeout(self._plan.first_window)
        self._close_window(self._ran.read())
        for _ in range(self._plan.windows):
            yield self._env.timeout(self._scenario.window_slots)
            metrics = self._ran.read()
            metrics |= self._ran.host_metrics(metrics)
            self._seen.append((dict(self._ran.controls), metrics))
            self._close_window(metrics)
            if self._closed is not None:
                self._closed(len(self._seen))

    def _close_window(self, metrics: Mapping[str, float]) -> None:
        closed, self._window_closed = self._window_closed, self._env.event()
        closed.succeed(metrics)
        self._ran.seen(metrics)
