"""One run of the RAN: SimPy is the control plane, the compiled data plane moves all cells between its events.

A run is a fresh process of every gNB.  Processes of the control plane: load changes, interventions, the autoscaler,
the monitor that closes windows, and frames.  Whoever is about to look at the data plane or to change it first brings
it up to now (`_catch_up`), so frames are cut exactly where something intervenes and their length is free: a few events
a window.

Time is counted in slots of 1 ms, as integers.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from twin.autoscaler import Autoscaler
from twin.dataplane import DataPlane
from twin.power import HostPower, Neighbour
from twin.scenario_model import Scenario
from twin.streams import Streams
from twin.traffic import operating_path, passive_path
from twin.windows import window_metrics

__all__ = ["RunPlan", "RunRecord", "passive_plan", "simulate", "trial_plan"]

FloatArray = NDArray[np.float64]
Process = Generator[simpy.Event, Any, None]

DATA_PLANE_STREAMS = ("slot", "slow_du", "slow_cu", "phase")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What happens in a run; times in slots since its start.

    `base` is the configuration that the processes start with and `interventions` are (slot, values) in order; window k
    goes from `first_window` + k windows to the next. `autoscaled` lets the autoscaler set the limits at each window's
    start, and `passive_load` moves the load there; otherwise it is the operating load.
    """

    base: Mapping[str, float]
    first_window: int
    windows: int
    interventions: tuple[tuple[int, Mapping[str, float]], ...] = ()
    autoscaled: bool = False
    passive_load: bool = False
    held: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The windows of one run in order: times since the run's start, controls in force and metrics, shapes (n,)."""

    run: int
    start_s: FloatArray
    end_s: FloatArray
    controls: Mapping[str, FloatArray]
    metrics: Mapping[str, FloatArray]


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


def simulate(scenario: Scenario, plan: RunPlan, *, seed: int, run: int) -> RunRecord:
    """Simulate one run; everything random in it follows from `seed` and `run`."""
    return _Run(scenario, plan, Streams(seed, run)).record()


class _Run:
    """The control plane of one run at work."""

    def __init__(self, scenario: Scenario, plan: RunPlan, streams: Streams) -> None:
        self._scenario, self._plan, self._streams = scenario, plan, streams
        self._topology = scenario.topology
        self._rows = {gnb.cell: row for row, gnb in enumerate(self._topology.gnbs)}
        self._env = simpy.Environment()
        self._plane = _data_plane(scenario, streams, plan.held)
        self._controls: dict[str, float] = {}
        self._done = 0
        self._apply(plan.base)
        self._window_closed = self._env.event()
        self._meters = _meters(scenario, streams)
        self._neighbours = _neighbours(scenario, streams)
        self._seen: list[tuple[dict[str, float], dict[str, float]]] = []

    def record(self) -> RunRecord:
        """Let the run happen and return its windows."""
        env, plan = self._env, self._plan
        env.process(self._load_changes())
        env.process(self._interventions())
        if plan.autoscaled:
            env.process(self._autoscaling(_autoscaler(self._scenario, self._streams)))
        env.process(self._frames())
        env.run(env.process(self._monitor()))
        starts = plan.first_window + self._scenario.window_slots * np.arange(plan.windows)
        controls, metrics = ([row[part] for row in self._seen] for part in (0, 1))
        names = [metric.name for metric in self._topology.metrics()]
        return RunRecord(
            run=self._streams.run,
            start_s=starts / 1000.0,
            end_s=(starts + self._scenario.window_slots) / 1000.0,
            controls={name: np.array([row[name] for row in controls]) for name in self._topology.control_names},
            metrics={name: np.array([row[name] for row in metrics]) for name in names},
        )

    def _catch_up(self) -> None:
        """Bring the data plane up to now."""
        now = int(self._env.now)
        if now > self._done:
            self._plane.advance(now - self._done)
            self._done = now

    def _apply(self, values: Mapping[str, float]) -> None:
        """Put limits in force from now on."""
        self._catch_up()
        self._controls.update(values)
        for gnb in self._topology.gnbs:
            du, cu = f"cpu_du_{gnb.cell}", f"cpu_cu_{gnb.cu}"
            if du in values or cu in values:
                self._plane.set_quota(self._rows[gnb.cell], du_cores=self._controls[du], cu_cores=self._controls[cu])

    def _frames(self) -> Process:
        """Bound how far the data plane lags behind: one window, unless something cuts the frame."""
        yield self._env.timeout(self._plan.first_window)  # in step with the windows, or each would be cut in two
        while True:
            yield self._env.timeout(self._scenario.window_slots)
            self._catch_up()

    def _load_changes(self) -> Process:
        """Set the load of the warm-up and of each window at its start."""
        plan, scenario = self._plan, self._scenario
        if not plan.passive_load:
            self._offer(operating_path(scenario.operating_load, 1, len(self._rows))[0])
            return
        steps = passive_path(
            scenario.passive_load, plan.windows + 1, scenario.window.length_s, self._streams, len(self._rows)
        )
        self._offer(steps[0])
        yield self._env.timeout(plan.first_window)
        for step in steps[1:]:
            self._offer(step)
            yield self._env.timeout(scenario.window_slots)

    def _offer(self, load_mbps: FloatArray) -> None:
        """Change what the senders offer, shape (cells, 2)."""
        self._catch_up()
        held = self._plan.held
        for (cell, row), (down, up) in zip(self._rows.items(), load_mbps, strict=True):
            self._plane.set_load(
                row, dl_mbps=held.get(f"load_dl_{cell}", float(down)), ul_mbps=held.get(f"load_ul_{cell}", float(up))
            )

    def _interventions(self) -> Process:
        for at, values in self._plan.interventions:
            yield self._env.timeout(at - self._env.now)
            self._apply(values)

    def _autoscaling(self, autoscaler: Autoscaler) -> Process:
        """Set the limits of each window from the loads of the one before, as soon as that is closed."""
        while True:
            seen = yield self._window_closed
            self._apply(autoscaler.decide(seen))

    def _monitor(self) -> Process:
        """Close the warm-up, which is seen but not recorded, and then every window."""
        yield self._env.timeout(self._plan.first_window)
        self._close_window(self._read())
        for _ in range(self._plan.windows):
            yield self._env.timeout(self._scenario.window_slots)
            metrics = self._read()
            metrics |= self._host_metrics(metrics)
            self._seen.append((dict(self._controls), metrics))
            self._close_window(metrics)

    def _read(self) -> dict[str, float]:
        self._catch_up()
        return window_metrics(self._plane.take_counters().columns, self._topology, 8.0 * self._scenario.payload_bytes)

    def _close_window(self, metrics: Mapping[str, float]) -> None:
        closed, self._window_closed = self._window_closed, self._env.event()
        closed.succeed(metrics)

    def _host_metrics(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return neighbour use and power of every host for the window that ends now."""
        out: dict[str, float] = {}
        for host in self._topology.hosts:
            if host.name in self._neighbours:
                limits = sum(self._controls[name] for name in self._topology.limits_of_host(host.name))
                name = f"cpuu_nn_{host.name}"
                out[name] = self._plan.held.get(name, self._neighbours[host.name].use_cores(limits))
            use = {**metrics, **out}
            busy = sum(use[name] for name in self._topology.use_of_host(host.name))
            out[f"pow_{host.name}"] = self._meters[host.name].read_w(busy)
        return out


def _data_plane(scenario: Scenario, streams: Streams, held: Mapping[str, float]) -> DataPlane:
    cells, gnbs = scenario.cells(), scenario.topology.gnbs
    du = _run_factors("run_du", [cell.du.run_sd for cell in cells], streams)
    cu = _run_factors("run_cu", [cell.cu.run_sd for cell in cells], streams)
    for row, gnb in enumerate(gnbs):
        du[row] = held.get(f"run_du_{gnb.cell}", du[row])
        cu[row] = held.get(f"run_cu_{gnb.cu}", cu[row])
    generators = {name: streams.generator(name) for name in DATA_PLANE_STREAMS}
    return DataPlane(cells, generators, du_factor=du, cu_factor=cu)


def _run_factors(name: str, log_sds: list[float], streams: Streams) -> FloatArray:
    """Return the random effect of this process run on the compute demand of each cell: lognormal with mean one."""
    draws = [streams.generator(name, row).standard_normal() for row in range(len(log_sds))]
    return np.array([np.exp(sd * z - 0.5 * sd * sd) for sd, z in zip(log_sds, draws, strict=True)])


def _meters(scenario: Scenario, streams: Streams) -> dict[str, HostPower]:
    return {
        host.name: HostPower(
            scenario.power,
            host.capacity_cores,
            scenario.window.length_s,
            noise=streams.generator("power_noise", row),
            drift=streams.generator("power_drift", row),
        )
        for row, host in enumerate(scenario.topology.hosts)
    }


def _neighbours(scenario: Scenario, streams: Streams) -> dict[str, Neighbour]:
    if scenario.neighbour is None:
        return {}
    return {
        host.name: Neighbour(scenario.neighbour, streams.generator("neighbour", row))
        for row, host in enumerate(scenario.topology.hosts)
    }


def _autoscaler(scenario: Scenario, streams: Streams) -> Autoscaler:
    controls = {control.name: control for control in scenario.controls}
    return Autoscaler(
        {name: scenario.rules[name[:6]] for name in controls},
        scenario.topology.followed_loads(),
        controls,
        {name: streams.generator("autoscaler", row) for row, name in enumerate(controls)},
    )
