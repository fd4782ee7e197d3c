"""The containers behind an inventory's workloads, on however many engines, as they are now."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from bridge.backends.docker_counters import MIB, Cgroup, Limits, find_cgroup
from bridge.backends.docker_engine import Engine
from bridge.inventory import HostEntry, Inventory, Target, Workload
from col.errors import PlantError, RefusedError, UnreachableError

__all__ = ["Fleet", "Instance", "limits_of"]

T = TypeVar("T")
_SERVICE = "com.docker.swarm.service.name"
_MOST_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """The container that a workload is now; `settled` is false while a service has an old task beside a new one."""

    workload: Workload
    host: HostEntry
    id: str
    running: bool
    state: str
    settled: bool = True

    def __str__(self) -> str:
        return f"{self.workload.key} ({self.workload.target} {self.workload.name} on {self.host.name})"


class Fleet:
    """Finds and asks containers. Calls may come from several threads at once."""

    def __init__(self, inventory: Inventory, timeout_s: float) -> None:
        """Take the inventory and how long an engine may be silent [s]; nothing is connected yet."""
        self.inventory = inventory
        self.engines = {name: Engine(host, timeout_s) for name, host in inventory.hosts.items()}
        self._pool = ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="rantwin-docker")
        self._cgroups: dict[str, tuple[str, Cgroup, str]] = {}
        self._capacity: dict[str, Limits] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def instances(self, keys: Iterable[str]) -> dict[str, Instance]:
        """Return the container of each workload, running or not; UnreachableError if one of them cannot be told."""
        found = {}
        for key, instance in self.try_instances(keys).items():
            if isinstance(instance, PlantError):
                raise instance
            found[key] = instance
        return found

    def try_instances(self, keys: Iterable[str]) -> dict[str, Instance | PlantError]:
        """Return the container of each workload, or why that cannot be told; all engines are asked at once."""
        workloads = [self.inventory.workloads[key] for key in keys]
        if not workloads:
            return {}
        has_service = any(w.target is Target.SERVICE for w in workloads)
        hosts = list(self.engines) if has_service else list(dict.fromkeys(w.host for w in workloads))
        lists = self.each(hosts, lambda host: _sensible_list(self.engines[host].get("/containers/json", {"all": 1})))
        return {w.key: self._find(w, lists) for w in workloads}

    def each(self, items: Iterable[str], function: Callable[[str], T]) -> dict[str, T | PlantError]:
        """Return what a function says of each item, or its error; all at once. The function must not call this."""

        def guarded(item: str) -> T | PlantError:
            try:
                return function(item)
            except PlantError as error:
                return error

        names = list(items)
        if self._is_closed:
            raise UnreachableError("the backend is closed")
        return dict(zip(names, self._pool.map(guarded, names), strict=True))

    def inspect(self, instance: Instance) -> Mapping[str, Any]:
        """Return all that the engine knows of a container."""
        found = self.engines[instance.host.name].get(f"/containers/{instance.id}/json")
        if not isinstance(found, dict) or not all(isinstance(found.get(k), dict) for k in ("State", "HostConfig")):
            raise PlantError(f"the engine's answer about {instance} makes no sense")
        return found

    def cgroup(self, instance: Instance) -> tuple[Cgroup, str] | None:
        """Return the cgroup of a running container and when it started; None where its files cannot be read here."""
        root = instance.host.cgroup
        if root is None or not instance.running:
            return None
        known = self.known_cgroup(instance.workload.key)
        if known is not None and known[0] == instance.id:
            return known[1], known[2]
        details = self.inspect(instance)
        found = find_cgroup(root, instance.id, str(details["HostConfig"].get("CgroupParent") or ""))
        if found is None:
            return None
        try:
            name = f"{instance.id} {found.incarnation()}"
        except OSError:
            return None
        started = str(details["State"].get("StartedAt", ""))
        with self._lock:
            self._cgroups[instance.workload.key] = (name, found, started)
        return found, started

    def known_cgroup(self, key: str) -> tuple[str, Cgroup, str] | None:
        """Return id, cgroup and start of a workload's container if it still is the one that was found last.

        The engine is not asked: a cgroup that is still the same one has not been left since.
        """
        with self._lock:
            known = self._cgroups.get(key)
        if known is None:
            return None
        name, cgroup, started = known
        container, incarnation = name.split()
        try:
            if cgroup.incarnation() == incarnation:
                return container, cgroup, started
        except OSError:
            pass
        with self._lock:
            self._cgroups.pop(key, None)
        return None

    def limits(self, instance: Instance) -> Limits:
        """Return what a container may use: what the kernel says where it can be asked, else the engine.

        Of a container that does not run, what it will have once it does. No limit is all that the host has.
        """
        found = self.cgroup(instance)
        if found is not None:
            try:
                return self.capped(instance.host, found[0].limits())
            except (OSError, ValueError, KeyError):
                pass  # it ended between two looks: then the engine knows
        return self.capped(instance.host, limits_of(self.inspect(instance)["HostConfig"]))

    def capacity(self, host: HostEntry) -> Limits:
        """Return what a host has."""
        if (known := self._capacity.get(host.name)) is None:
            info = self.engines[host.name].get("/info")
            try:
                known = Limits(cpu=float(info["NCPU"]), memory=float(info["MemTotal"]) / MIB)
            except (KeyError, TypeError, ValueError) as error:
                raise PlantError(f"{self.engines[host.name]} does not say what its host has") from error
            self._capacity[host.name] = known
        return known

    def close(self) -> None:
        """Close all connections."""
        self._is_closed = True
        for engine in self.engines.values():
            engine.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- what drivers of controls need (bridge.controls.machine) ------------------------------------------------------

    def pid(self, workload: str, within_s: float) -> int:
        """Return the id of a workload's first process; RefusedError where it is not on this machine."""
        instance = self._running(workload)
        if not instance.host.docker.startswith("unix://"):
            raise RefusedError((f"{instance}: not on the machine of the agent, so its namespaces cannot be entered",))
        pid = self.inspect(instance)["State"].get("Pid")
        if not isinstance(pid, int) or pid <= 0:
            raise UnreachableError(f"{instance} has no process")
        return pid

    def started_at(self, workload: str, within_s: float) -> str:
        """Return a text that changes with every start of a workload."""
        instance = self._running(workload)
        return f"{instance.id} {self.inspect(instance)['State'].get('StartedAt')}"

    def restart(self, workload: str, within_s: float) -> None:
        """Restart a workload: its container, or all of its service's tasks."""
        entry = self.inventory.workloads[workload]
        if entry.target is Target.SERVICE:
            self.update_service(entry, lambda template: template.update(ForceUpdate=template.get("ForceUpdate", 0) + 1))
            return
        instance = self.instances([workload])[workload]
        self.engines[instance.host.name].post(f"/containers/{instance.id}/restart", params={"t": 2})

    # --- services -----------------------------------------------------------------------------------------------------

    def service(self, workload: Workload) -> Mapping[str, Any]:
        """Return what the Swarm's manager knows of a workload's service."""
        found = self.engines[workload.host].get(f"/services/{workload.name}")
        if not isinstance(found, dict) or not isinstance(found.get("Spec"), dict):
            raise PlantError(f"the engine's answer about service {workload.name} makes no sense")
        return found

    def update_service(self, workload: Workload, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the task template of a service; its tasks are replaced if that makes a difference."""
        found = self.service(workload)
        spec = dict(found["Spec"])
        template = dict(spec.get("TaskTemplate") or {})
        change(template)
        version = int((found.get("Version") or {}).get("Index", 0))
        path = f"/services/{found.get('ID', workload.name)}/update"
        self.engines[workload.host].post(path, {**spec, "TaskTemplate": template}, {"version": version})

    # ------------------------------------------------------------------------------------------------------------------

    def _running(self, key: str) -> Instance:
        instance = self.instances([key])[key]
        if not instance.running:
            raise UnreachableError(f"{instance} does not run ({instance.state})")
        return instance

    def _find(
        self, workload: Workload, lists: Mapping[str, list[dict[str, Any]] | PlantError]
    ) -> Instance | PlantError:
        if workload.target is Target.SERVICE:
            return self._find_task(workload, lists)
        found = lists[workload.host]
        if isinstance(found, PlantError):
            return found
        for container in found:
            if f"/{workload.name}" in (container.get("Names") or ()):
                return self._instance(workload, workload.host, container)
        return UnreachableError(f"{workload.host} has no container {workload.name} ({workload.key})")

    def _find_task(
        self, workload: Workload, lists: Mapping[str, list[dict[str, Any]] | PlantError]
    ) -> Instance | PlantError:
        tasks = [
            (host, container)
            for host, found in lists.items()
            if not isinstance(found, PlantError)
            for container in found
            if (container.get("Labels") or {}).get(_SERVICE) == workload.name
        ]
        running = [task for task in tasks if task[1].get("State") == "running"]
        if not running:
            for found in lists.values():
                if isinstance(found, PlantError):
                    return UnreachableError(f"no task of service {workload.name} in sight, and {found}")
            return UnreachableError(f"service {workload.name} ({workload.key}) has no running task")
        host, newest = max(running, key=lambda task: int(task[1].get("Created") or 0))
        return self._instance(workload, host, newest, settled=len(running) == 1)

    def _instance(self, workload: Workload, host: str, found: Mapping[str, Any], *, settled: bool = True) -> Instance:
        state = str(found.get("State", "unknown"))
        return Instance(
            workload=workload,
            host=self.inventory.hosts[host],
            id=str(found["Id"]),
            running=state == "running",
            state=state,
            settled=settled,
        )

    def capped(self, host: HostEntry, limits: Limits) -> Limits:
        """Return limits with all that the host has in place of none."""
        if math.isfinite(limits.cpu) and math.isfinite(limits.memory):
            return limits
        has = self.capacity(host)
        return Limits(cpu=min(limits.cpu, has.cpu), memory=min(limits.memory, has.memory))


def limits_of(config: Mapping[str, Any]) -> Limits:
    """Return the limits in an engine's `HostConfig`; infinite where there is none."""
    nano, quota, memory = (int(config.get(key) or 0) for key in ("NanoCpus", "CpuQuota", "Memory"))
    period = int(config.get("CpuPeriod") or 0) or 100_000
    cpu = nano / 1e9 if nano > 0 else quota / period if quota > 0 else math.inf
    return Limits(cpu=cpu, memory=memory / MIB if memory > 0 else math.inf)


def _sensible_list(answer: object) -> list[dict[str, Any]]:
    if not isinstance(answer, list) or not all(isinstance(one, dict) and one.get("Id") for one in answer):
        raise PlantError("the engine's list of containers makes no sense")
    return answer
