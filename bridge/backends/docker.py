"""A testbed of containers on Docker engines as a backend (`[backend] name = "docker"`, `inventory = PATH`).

The inventory says what stands where (docs/testbed.md); `state = FOLDER` is where drivers of controls that cannot be
read back remember what they set (default: `state` beside the inventory). Limits of CPU and memory are set through the
engines, other controls through their drivers; windows are recorded here, from cgroups or engine statistics and from
telemetry.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge.backends.base import BackendDescription, Reading
from bridge.backends.bounded import BoundedBackend
from bridge.backends.docker_engine import import_docker
from bridge.backends.docker_fleet import Fleet
from bridge.backends.docker_limits import KINDS, DockerLimits
from bridge.backends.docker_sampler import Sampler, Snapshot, workload_metrics
from bridge.backends.recorder import Recorder, TestbedClock
from bridge.clock import Clock, SystemClock
from bridge.controls.driver import ControlDriver
from bridge.controls.driver_set import DriverSet
from bridge.controls.factory import make_drivers
from bridge.inventory import Inventory, UpdateMode
from bridge.inventory_reader import load_inventory
from bridge.telemetry.registry import all_metrics, load_source
from bridge.telemetry.source import SourceMetric, TelemetrySource
from col.errors import InputError, OutcomeUnknownError, PlantError, RefusedError, UnreachableError
from col.plant import PlantDescription, Provenance, Windows

__all__ = ["DockerBackend", "make_backend"]

_SLOW_S = 4.0
"""An engine takes up to a second to say what a container has used."""
_SHARE = 0.9
"""Of a call's time for everything that is waited for in it, so that it ends with a reason and not by being given up."""


def make_backend(config: Mapping[str, object], call_timeout_s: float) -> BoundedBackend:
    """Return the backend that `[backend] name = "docker"` describes; its keys are `inventory` and `state`, paths.

    Raises:
        InputError: a key is missing, unknown or wrong, here or in the inventory, or a package is not installed.
    """
    for key in config:
        if key not in ("name", "inventory", "state"):
            raise InputError("no such key; the docker backend has `inventory` and `state`", key=f"backend.{key}")
    path, state = config.get("inventory"), config.get("state", "")
    if not isinstance(path, str) or not path:
        raise InputError("must be the path of the testbed's inventory", key="backend.inventory", value=path)
    if not isinstance(state, str):
        raise InputError("must be the path of a folder", key="backend.state", value=state)
    import_docker()
    folder = Path(state).expanduser() if state else None
    backend = DockerBackend(load_inventory(Path(path).expanduser()), call_timeout_s, state=folder)
    return BoundedBackend(backend, call_timeout_s)


class DockerBackend:
    """The testbed of an inventory. Calls are made one after the other (`BoundedBackend` sees to that)."""

    def __init__(
        self, inventory: Inventory, call_timeout_s: float, *, state: Path | None = None, clock: Clock | None = None
    ) -> None:
        """Take the inventory, how long a call may take [s] and the drivers' folder; nothing is connected yet."""
        if not 0.0 < call_timeout_s <= 3600.0:
            raise InputError("must be above 0 and at most 3600", key="call_timeout_s", value=call_timeout_s)
        self._inventory, self._within_s = inventory, _SHARE * call_timeout_s
        self._now = TestbedClock(clock or SystemClock())
        self._fleet = Fleet(inventory, self._within_s)
        self._drivers = DriverSet(_drivers(inventory, self._fleet, state or inventory.folder / "state"))
        self._controls = {entry.control.name: entry for entry in inventory.controls}
        self._sources = _sources(inventory, self._now)
        own = tuple(SourceMetric(metric=metric) for metric in workload_metrics(list(inventory.workloads)))
        self._metrics = (*own, *all_metrics(self._sources))
        names = [one.name for one in self._metrics]
        for name in names:
            if names.count(name) > 1 or name in self._controls:
                raise InputError(
                    "two metrics, or a metric and a control, have this name", source=inventory.source, key=name
                )
        self._alive = {number: self._alive_metrics(number, names) for number in inventory.gnbs}
        self._others: dict[str, float] = {}
        self._sampler = Sampler(self._fleet, self._sources, self._now, lambda: dict(self._others))
        self._recorder: Recorder[Snapshot] = Recorder(
            inventory.window_s,
            self._now,
            self._sampler.look,
            self._sampler.row,
            (list(self._controls), names),
            {one.name: one.provenance for one in self._metrics},
        )
        self._silent = list(self._sources)
        """Those that have not been started yet."""
        self._started = False
        self._starting = threading.Lock()

    def describe(self) -> BackendDescription:
        """Return what the testbed is."""
        self._start()
        inventory = self._inventory
        return BackendDescription(
            plant=PlantDescription(
                plant_id=inventory.testbed,
                controls=tuple(entry.control for entry in inventory.controls),
                metrics=tuple(one.metric for one in self._metrics),
                window_s=inventory.window_s,
                wall_window_s=inventory.window_s,
                emulated=False,
                notes=(*inventory.notes, *_notes(inventory)),
            ),
            stack=inventory.stack,
            radio_mode=inventory.radio_mode,
            gnbs={
                number: tuple(e.control.name for e in inventory.controls if number in inventory.gnbs_of(e.of))
                for number in inventory.gnbs
            },
            gnb_metrics=dict(self._alive),
            estimated=frozenset(one.name for one in self._metrics if one.provenance is Provenance.ESTIMATED),
        )

    def read(self) -> Reading:
        """Return what is in force, as kernel, engines and drivers say."""
        self._start()
        controls = self._read_controls()
        automation = self._automation()
        at_s = self._now()
        return Reading(
            controls=controls,
            at_s=at_s,
            next_sequence=self._recorder.next_sequence(at_s),
            automation=automation == "running",
            problems=tuple(dict.fromkeys(source.problem for source in self._sources if source.problem)),
        )

    def apply(self, values: Mapping[str, float], *, settle_s: float) -> Reading:
        """Set controls; values between two steps become one next to it."""
        self._start()
        if reasons := self._refusals(values, self._read_controls()):
            raise RefusedError(reasons)
        snapped = {name: self._controls[name].control.snap(value) for name, value in values.items()}
        self._recorder.interrupt()
        try:
            self._drivers.apply(snapped, self._within_s)
            controls = self._after_apply()
            automation = self._automation()
        finally:
            at_s = self._now()
            first = self._recorder.resume(at_s + max(0.0, settle_s))
        return Reading(controls=controls, at_s=at_s, next_sequence=first, automation=automation == "running")

    def set_automation(self, enabled: bool) -> None:
        """Pause the container that moves controls by itself, or let it go on."""
        self._start()
        entry = self._inventory.automation
        if entry is None:
            if enabled:
                raise RefusedError(("this testbed has no automation: its inventory names none",))
            return
        state = self._automation()
        if enabled and state == "paused":
            self._fleet.engines[entry.host].post(f"/containers/{entry.container}/unpause")
        elif enabled and state != "running":
            raise RefusedError((f"the automation {entry.container} does not run ({state})",))
        elif not enabled and state == "running":
            self._fleet.engines[entry.host].post(f"/containers/{entry.container}/pause")

    def windows(self, since: int, limit: int) -> Windows:
        """Return closed windows; those of the last start of this backend."""
        self._start()
        return self._recorder.windows(since, limit)

    def close(self) -> None:
        """Stop recording and let go of engines, drivers and telemetry."""
        self._recorder.close()
        self._sampler.close()
        for source in self._sources:
            with contextlib.suppress(Exception):
                source.close()
        self._drivers.close()
        self._fleet.close()

    # ------------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Begin to listen and to record once every engine has answered."""
        if self._started:
            return
        with self._starting:
            if self._started:
                return
            inventory, hosts = self._inventory, self._inventory.hosts
            for has in self._fleet.each(hosts, lambda name: self._fleet.capacity(hosts[name])).values():
                if isinstance(has, PlantError):
                    raise has
            while self._silent:
                self._silent[0].start()
                del self._silent[0]
            # Where containers are is found out before the first window, not within it; who is not there is missing.
            found = self._fleet.try_instances(inventory.workloads)
            there = {key: instance for key, instance in found.items() if not isinstance(instance, PlantError)}
            self._fleet.each(there, lambda key: self._fleet.limits(there[key]))
            self._recorder.start()
            self._started = True

    def _read_controls(self) -> dict[str, float]:
        found = self._drivers.read(self._within_s)
        self._others = {name: value for name, value in found.items() if self._controls[name].kind not in KINDS}
        return {name: float(found[name]) for name in self._controls}

    def _after_apply(self) -> dict[str, float]:
        """Read back what was just set; if that cannot be done, nobody knows what it is."""
        try:
            return self._read_controls()
        except PlantError as error:
            raise OutcomeUnknownError(f"set, but it cannot be read back: {error}") from error

    def _refusals(self, values: Mapping[str, float], before: Mapping[str, float]) -> tuple[str, ...]:
        reasons = []
        for name, value in values.items():
            entry = self._controls.get(name)
            if entry is None:
                reasons.append(f"{name}: this testbed has no such control")
                continue
            control = entry.control
            if not math.isfinite(value) or not control.lower - 1e-9 <= value <= control.upper + 1e-9:
                reasons.append(f"{name} = {value}: must lie in [{control.lower:g}, {control.upper:g}] {control.unit}")
            elif entry.kind in KINDS and not control.live and not entry.allowed and value != before[name]:
                reasons.append(
                    f"{name} needs a restart, an outage of about {entry.outage_s:g} s: the inventory does not allow it"
                )
        return tuple(reasons) or self._drivers.refusals(values)

    def _automation(self) -> str:
        """Return the state of the container that moves controls by itself; empty if there is none."""
        entry = self._inventory.automation
        if entry is None:
            return ""
        try:
            found = self._fleet.engines[entry.host].get(f"/containers/{entry.container}/json")
            return str(found["State"]["Status"])
        except (KeyError, TypeError) as error:
            raise UnreachableError(f"the automation's state makes no sense ({entry.container})") from error

    def _alive_metrics(self, number: str, known: Sequence[str]) -> tuple[str, ...]:
        """Return the metrics that tell whether a gNB is alive: that its DU works, unless the inventory says better."""
        asked = tuple(f"{name}_{number}" for name in self._inventory.alive)
        for name in asked:
            if name not in known:
                raise InputError(f"nothing measures {name}", source=self._inventory.source, key="testbed.alive")
        return asked or (f"cpuu_{self._inventory.gnbs[number].du}",)


def _drivers(inventory: Inventory, fleet: Fleet, state: Path) -> list[ControlDriver]:
    """Return the drivers of an inventory's controls."""
    limits = DockerLimits(fleet)
    if all(entry.kind in KINDS for entry in inventory.controls):
        return [limits]
    return [limits, make_drivers(inventory, fleet, state)]


def _sources(inventory: Inventory, now: TestbedClock) -> tuple[TelemetrySource, ...]:
    found = []
    for entry in inventory.telemetry:
        named = {"gnb": entry.gnb, "host": entry.host, "workload": entry.workload}
        table = {"source": entry.source, **{k: v for k, v in named.items() if v}, **entry.options}
        try:
            found.append(load_source(table, now))
        except InputError as error:
            raise InputError(str(error), source=inventory.source, key=f"telemetry.{entry.name}") from error
    return tuple(found)


def _notes(inventory: Inventory) -> tuple[str, ...]:
    """Return what people should know of how this testbed is measured and changed."""
    notes = []
    remote = sorted(host.name for host in inventory.hosts.values() if host.cgroup is None)
    if remote:
        text = f"of {', '.join(remote)} the engines' statistics are read, not the kernel's files"
        slow = inventory.window_s < _SLOW_S
        notes.append(f"{text}: windows below {_SLOW_S:g} s are too short for them" if slow else text)
    rolling = sorted(w.name for w in inventory.workloads.values() if w.update is UpdateMode.ROLLING)
    if rolling:
        notes.append(f"a change of {', '.join(rolling)} replaces its task: an outage, and windows without a value")
    for entry in inventory.controls:
        if not entry.control.live:
            allowed = "allowed" if entry.allowed else "not allowed"
            notes.append(f"{entry.control.name} needs a restart (about {entry.outage_s:g} s), {allowed}")
    return tuple(notes)
