"""CPU and memory limits of containers and Swarm services, set through their engines (a driver of controls).

A container, and the task of a service that is changed in place, is updated where it runs; what is in force is read from
its cgroup. A service that is changed by a rolling update has what its specification says: until its new task runs,
windows have no value, so that nothing is concluded from a time in between.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridge.backends.docker_counters import MIB, Limits, from_stats
from bridge.backends.docker_fleet import Fleet, Instance, limits_of
from bridge.controls.driver import Evidence, Proof
from bridge.inventory import ControlEntry, Target, UpdateMode, Workload
from col.errors import OutcomeUnknownError, PlantError, RefusedError, UnreachableError

__all__ = ["KINDS", "DockerLimits", "limits_value", "update_body"]

KINDS = ("cpu", "memory")
_PERIOD_US = 100_000
_POLL_S = 0.1


class DockerLimits:
    """Sets the controls of kind `cpu` and `memory`."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._entries = [entry for entry in fleet.inventory.controls if entry.kind in KINDS]
        self._workloads = {key: fleet.inventory.workloads[key] for key in dict.fromkeys(e.of for e in self._entries)}
        self._last: dict[str, float] = {}

    def names(self) -> tuple[str, ...]:
        """Return the controls of these kinds."""
        return tuple(entry.control.name for entry in self._entries)

    def refusals(self, values: Mapping[str, float]) -> tuple[str, ...]:
        """Return the memory limits below what is in use: the kernel would kill, or refuse, as its version has it."""
        reasons = []
        for entry in self._entries:
            value = values.get(entry.control.name)
            if value is None or entry.kind != "memory":
                continue
            used = self._used_mib(entry.of)
            if used > value:
                reasons.append(f"{entry.control.name} = {value:g} MiB: {used:.0f} MiB are in use")
        return tuple(reasons)

    def read(self, within_s: float) -> Mapping[str, float]:
        """Return what is in force: of a container that does not run, what it will have once it does."""
        instances = self._fleet.instances(k for k, w in self._workloads.items() if w.update is not UpdateMode.ROLLING)
        limits = _all(self._fleet.each(self._workloads, lambda key: self._in_force(key, instances.get(key))))
        self._last = {e.control.name: limits_value(limits[e.of], e) for e in self._entries}
        return dict(self._last)

    def apply(self, values: Mapping[str, float], within_s: float) -> None:
        """Set limits, on all engines at once; none is touched before every container has been found."""
        until_s = time.monotonic() + within_s
        entries = [e for e in self._entries if e.control.name in values]
        wanted: dict[str, dict[str, float]] = {}
        for entry in entries:
            wanted.setdefault(entry.of, {})[entry.kind] = values[entry.control.name]
        steps = self._steps(wanted)
        results = self._fleet.each(steps, lambda key: steps[key]())
        _raise_if_any(results)
        rolling = {k: v for k, v in wanted.items() if k in steps and self._workloads[k].update is UpdateMode.ROLLING}
        while rolling:
            rolling = {key: limits for key, limits in rolling.items() if not self._has_arrived(key, limits)}
            if rolling and time.monotonic() >= until_s:
                waiting = ", ".join(self._workloads[key].name for key in rolling)
                raise OutcomeUnknownError(f"Swarm is still replacing the task of {waiting}")
            if rolling:
                time.sleep(_POLL_S)

    def evidence(self) -> tuple[Evidence, ...]:
        """Return the values that were read last."""
        return tuple(Evidence(control=name, value=value, proof=Proof.READ_BACK) for name, value in self._last.items())

    def close(self) -> None:
        """Nothing is held here; the fleet belongs to the backend."""

    # ------------------------------------------------------------------------------------------------------------------

    def _used_mib(self, key: str) -> float:
        """Return the memory in use, as the kernel says where it can be asked, else the engine; 0 of what does not run.

        Raises:
            UnreachableError, PlantError: nobody says it.
        """
        instance = self._fleet.instances([key])[key]
        if not instance.running:
            return 0.0
        with contextlib.suppress(OSError, ValueError, KeyError):  # it ended between two looks: then the engine knows
            if (found := self._fleet.cgroup(instance)) is not None:
                return found[0].counters(0.0).memory_bytes / MIB
        path = f"/containers/{instance.id}/stats"
        answer = self._fleet.engines[instance.host.name].get(path, {"stream": "false", "one-shot": "true"})
        try:
            counters = from_stats(answer, "")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PlantError(f"the engine does not say how much memory {instance} uses") from error
        return 0.0 if counters is None else counters.memory_bytes / MIB

    def _in_force(self, key: str, instance: Instance | None) -> Limits:
        return self._of_service(self._workloads[key]) if instance is None else self._fleet.limits(instance)

    def _of_service(self, workload: Workload) -> Limits:
        spec = self._fleet.service(workload)["Spec"]
        limits = _resources(spec.get("TaskTemplate") or {}).get("Limits") or {}
        found = limits_of({"NanoCpus": limits.get("NanoCPUs"), "Memory": limits.get("MemoryBytes")})
        if math.isfinite(found.cpu) and math.isfinite(found.memory):
            return found
        has = self._fleet.capacity(self._fleet.inventory.hosts[workload.host])
        return Limits(cpu=min(found.cpu, has.cpu), memory=min(found.memory, has.memory))

    def _steps(self, wanted: Mapping[str, Mapping[str, float]]) -> dict[str, Callable[[], None]]:
        """Return what has to be done for each workload that is not as wanted yet; looks, and touches nothing."""
        in_place = [k for k in wanted if self._workloads[k].update is not UpdateMode.ROLLING]
        instances = self._fleet.instances(in_place)
        for instance in instances.values():
            if instance.workload.target is Target.SERVICE and not instance.settled:
                raise UnreachableError(f"{instance}: more than one task runs")
        details = _all(self._fleet.each(in_place, lambda key: self._fleet.inspect(instances[key])))
        steps: dict[str, Callable[[], None]] = {}
        for key, limits in wanted.items():
            workload = self._workloads[key]
            if workload.update is UpdateMode.ROLLING:
                if not _same(self._of_service(workload), limits):
                    steps[key] = self._service_step(workload, limits)
                continue
            config = details[key]["HostConfig"]
            if not (_same(limits_of(config), limits) and _same(self._fleet.limits(instances[key]), limits)):
                steps[key] = self._container_step(instances[key], config, limits)
        return steps

    def _container_step(
        self, instance: Instance, config: Mapping[str, Any], limits: Mapping[str, float]
    ) -> Callable[[], None]:
        body = update_body(config, limits)
        engine = self._fleet.engines[instance.host.name]

        def step() -> None:
            engine.post(f"/containers/{instance.id}/update", body)

        return step

    def _service_step(self, workload: Workload, limits: Mapping[str, float]) -> Callable[[], None]:
        def change(template: dict[str, Any]) -> None:
            resources = _resources(template)
            found = dict(resources.get("Limits") or {})
            if "cpu" in limits:
                found["NanoCPUs"] = round(limits["cpu"] * 1e9)
            if "memory" in limits:
                found["MemoryBytes"] = round(limits["memory"] * MIB)
            template["Resources"] = {**resources, "Limits": found}

        return lambda: self._fleet.update_service(workload, change)

    def _has_arrived(self, key: str, limits: Mapping[str, float]) -> bool:
        try:
            instance = self._fleet.instances([key])[key]
            return instance.running and instance.settled and _same(self._fleet.limits(instance), limits)
        except UnreachableError:
            return False


def limits_value(limits: Limits, entry: ControlEntry) -> float:
    """Return the one of the limits that a control sets, in its unit."""
    return limits.cpu if entry.kind == "cpu" else limits.memory


def update_body(config: Mapping[str, Any], limits: Mapping[str, float]) -> dict[str, int]:
    """Return what to send to `update`: a container made with a quota keeps to quotas, the engine mixes them with none.

    The swap limit moves with the memory limit, as an engine refuses a memory limit above it.
    """
    body: dict[str, int] = {}
    if (cpu := limits.get("cpu")) is not None:
        period = int(config.get("CpuPeriod") or 0) or _PERIOD_US
        if int(config.get("CpuQuota") or 0) > 0 or int(config.get("CpuPeriod") or 0) > 0:
            body |= {"CpuPeriod": period, "CpuQuota": round(cpu * period)}
        else:
            body["NanoCpus"] = round(cpu * 1e9)
    if (memory := limits.get("memory")) is not None:
        body["Memory"] = round(memory * MIB)
        body["MemorySwap"] = -1 if int(config.get("MemorySwap") or 0) == -1 else body["Memory"]
    return body


def _same(limits: Limits, wanted: Mapping[str, float]) -> bool:
    """Return whether limits are as wanted, to what an engine can tell apart (10 us of a period, a page)."""
    cpu, memory = wanted.get("cpu"), wanted.get("memory")
    return (cpu is None or abs(limits.cpu - cpu) < 1e-4) and (memory is None or abs(limits.memory - memory) < 0.01)


def _resources(template: Mapping[str, Any]) -> dict[str, Any]:
    return dict(template.get("Resources") or {})


def _all(results: Mapping[str, Any]) -> dict[str, Any]:
    for result in results.values():
        if isinstance(result, PlantError):
            raise result
    return dict(results)


def _raise_if_any(results: Mapping[str, PlantError | None]) -> None:
    """Raise what went wrong, as one error: the outcome is known only if nothing at all was done."""
    errors = [result for result in results.values() if isinstance(result, PlantError)]
    if not errors:
        return
    reasons: Sequence[str] = [r for e in errors if isinstance(e, RefusedError) for r in e.reasons]
    if len(errors) < len(results) or any(isinstance(e, OutcomeUnknownError) for e in errors):
        raise OutcomeUnknownError("; ".join(str(e) for e in errors))
    if len(reasons) == len(errors):
        raise RefusedError(tuple(reasons))
    raise errors[0] if isinstance(errors[0], UnreachableError) else UnreachableError("; ".join(map(str, errors)))
