"""What the workloads of an inventory use and may use at one moment, and what follows for the window in between.

Where cgroups can be read no engine is asked: an engine that hangs takes no window away. The engines of other hosts are
asked all at once, and one that does not answer in time is left out until it does.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime

from bridge.backends.docker_counters import Counters, Limits, Usage, from_stats, usage_between
from bridge.backends.docker_fleet import Fleet, Instance, limits_of
from bridge.backends.docker_limits import KINDS, limits_value
from bridge.backends.recorder import Row
from bridge.inventory import Role, UpdateMode
from bridge.telemetry.source import TelemetrySource
from col.errors import PlantError
from col.plant import Metric

__all__ = ["Sampler", "Snapshot", "workload_metrics"]

log = logging.getLogger(__name__)

_TOO_LATE = 0.5
"""Counters that were read later than this share of a window after its boundary are those of another window."""
_PATIENCE = 0.4
"""How much of a window engines are waited for: one takes up to a second to say what a container has used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One workload at one moment."""

    started_s: float
    counters: Counters | None
    limits: Limits | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All workloads at one moment (the clock of the windows), and the values of controls that no engine sets."""

    at_s: float
    states: Mapping[str, State]
    others: Mapping[str, float] = field(default_factory=dict)


def workload_metrics(fleet_keys: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics that every workload has."""
    return tuple(
        Metric(name=f"{name}_{key}", unit=unit, description=f"{text} {key.upper().replace('_', ' ')}")
        for key in fleet_keys
        for name, unit, text in (
            ("cpuu", "core", "CPU time used by"),
            ("stall", "1", "share of time throttled, all CPUs together and at most 1, of"),
            ("thrp", "1", "share of CFS periods with a throttling of"),
            ("memu", "MiB", "memory in use at the end of the window by"),
        )
    )


class Sampler:
    """Looks at every workload, and makes a row of two looks."""

    def __init__(
        self,
        fleet: Fleet,
        sources: Sequence[TelemetrySource],
        now: Callable[[], float],
        others: Callable[[], Mapping[str, float]],
    ) -> None:
        """Take the fleet, the telemetry, the clock, and what tells the values of controls that no engine sets."""
        self._fleet, self._sources, self._now, self._others = fleet, tuple(sources), now, others
        self._inventory = fleet.inventory
        self._patience_s = _PATIENCE * self._inventory.window_s
        self._pool = ThreadPoolExecutor(len(self._inventory.workloads), thread_name_prefix="rantwin-sample")
        self._pending: dict[str, Future[State | None]] = {}
        self._failing: set[int] = set()
        self._is_closed = False

    def look(self) -> Snapshot:
        """Return the state of every workload that can be told without waiting for an engine too long."""
        states: dict[str, State] = {}
        asked: dict[str, Future[State | None]] = {}
        for key, workload in self._inventory.workloads.items():
            state = self._from_files(key)
            if state is not None:
                states[key] = state
                continue
            pending = self._pending.get(key)
            if not self._is_closed and (pending is None or pending.done()):
                self._pending[key] = asked[key] = self._pool.submit(self._from_engine, workload.key)
        wait(asked.values(), timeout=self._patience_s)
        for key, future in asked.items():
            if future.done() and (state := future.result()) is not None:
                states[key] = state
        return Snapshot(at_s=self._now(), states=states, others=self._others())

    def row(self, before: Snapshot, after: Snapshot, start_s: float, end_s: float) -> Row:
        """Return the window between two looks."""
        metrics: dict[str, float] = {}
        late_s = max(before.at_s - start_s, after.at_s - end_s)
        in_time = late_s <= _TOO_LATE * self._inventory.window_s
        for key in self._inventory.workloads:
            first, second = (s.states[key].counters if key in s.states else None for s in (before, after))
            usage = usage_between(first, second) if in_time else Usage.missing()
            metrics[f"cpuu_{key}"] = usage.cpu
            metrics[f"stall_{key}"] = usage.throttled_time
            metrics[f"thrp_{key}"] = usage.throttled_periods
            metrics[f"memu_{key}"] = usage.memory
        for place, source in enumerate(self._sources):
            try:
                metrics.update(source.sample(start_s, end_s).values)
                self._failing.discard(place)
            except Exception:  # a plug-in; what it does not say is missing
                if place not in self._failing:
                    log.exception("a source of telemetry fails; what it measures is missing")
                self._failing.add(place)
        controls = {}
        for entry in self._inventory.controls:
            name = entry.control.name
            if entry.kind in KINDS:
                ends = [s.limits for s in (before.states.get(entry.of), after.states.get(entry.of)) if s is not None]
                values = [limits_value(limits, entry) for limits in ends if limits is not None]
            else:
                values = [s.others[name] for s in (before, after) if name in s.others]
            is_steady = len(values) == 2 and abs(values[0] - values[1]) <= 1e-9 * max(1.0, abs(values[0]))
            controls[name] = values[1] if is_steady else math.nan
        ran = [s.started_s for k, s in after.states.items() if self._inventory.workloads[k].role is not Role.CORE]
        return Row(run=int(max(ran, default=0.0)), controls=controls, metrics=metrics)

    def close(self) -> None:
        """Ask no engine any more; wait for nothing."""
        self._is_closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _from_files(self, key: str) -> State | None:
        """Return a workload's state from the cgroup that was found last, None if it is gone or was never found."""
        known = self._fleet.known_cgroup(key)
        if known is None:
            return None
        _, cgroup, started = known
        try:
            counters, limits = cgroup.counters(self._now()), cgroup.limits()
        except (OSError, ValueError, KeyError):
            return None
        if math.isinf(limits.cpu) or math.isinf(limits.memory):
            try:
                has = self._fleet.capacity(self._fleet.inventory.host_of(key))
            except PlantError:
                return None
            limits = Limits(cpu=min(limits.cpu, has.cpu), memory=min(limits.memory, has.memory))
        return State(started_s=_epoch_s(started), counters=counters, limits=limits)

    def _from_engine(self, key: str) -> State | None:
        """Return a workload's state as the engine tells it; None if it does not."""
        try:
            instance = self._fleet.instances([key])[key]
            if self._fleet.cgroup(instance) is not None:
                return self._from_files(key)
            return self._from_stats(instance)
        except (PlantError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def _from_stats(self, instance: Instance) -> State | None:
        details = self._fleet.inspect(instance)
        started = str(details["State"].get("StartedAt", ""))
        limits: Limits | None = self._fleet.capped(instance.host, limits_of(details["HostConfig"]))
        if instance.workload.update is UpdateMode.ROLLING and not (instance.running and instance.settled):
            limits = None
        counters = None
        if instance.running:
            path = f"/containers/{instance.id}/stats"
            answer = self._fleet.engines[instance.host.name].get(path, {"stream": "false", "one-shot": "true"})
            counters = from_stats(answer, started)
        return State(started_s=_epoch_s(started), counters=counters, limits=limits)


def _epoch_s(started_at: str) -> float:
    """Return whole seconds since 1970 of an engine's time; 0 if it is none."""
    try:
        return datetime.fromisoformat(started_at[:19] + "+00:00").timestamp()
    except ValueError:
        return 0.0
