"""What a testbed of real machines consists of, as values: hosts, containers or services, gNBs, controls, telemetry.

One file (`inventory_reader.load_inventory`, docs/testbed.md) is read by the backend, by the drivers of controls, by
the telemetry sources and by whoever generates configuration for the testbed, so that none of them says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from col.errors import InputError
from col.plant import Control

__all__ = [
    "AutomationEntry",
    "ControlEntry",
    "GnbEntry",
    "HostEntry",
    "Inventory",
    "LinkEntry",
    "Role",
    "SliceEntry",
    "Target",
    "TelemetryEntry",
    "TlsFiles",
    "UpdateMode",
    "Workload",
]


class Role(StrEnum):
    """What a workload does in the cloud RAN."""

    DU = "du"
    CU = "cu"
    CORE = "core"


class Target(StrEnum):
    """What an engine knows a workload as."""

    CONTAINER = "container"
    SERVICE = "service"


class UpdateMode(StrEnum):
    """How a limit of a Swarm service is changed."""

    IN_PLACE = "in-place"
    """In the running container, at once and without an outage; a task that Swarm replaces has the service's own."""
    ROLLING = "rolling"
    """In the service, whose tasks are replaced: an outage, and windows without a value until the new ones run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """What proves the agent to an engine behind TCP, and the engine to the agent."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEntry:
    """A machine with an engine.

    `docker` is `unix:///var/run/docker.sock`, `ssh://USER@HOST` or `tcp://HOST:2376` (with `tls`); `cgroup` is where
    this host's cgroup file system can be read by the agent, None where it cannot (another machine: the engine's own
    statistics are read instead); `node` is the host's name in the Swarm.
    """

    name: str
    docker: str
    tls: TlsFiles | None = None
    cgroup: Path | None = None
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A DU, a CU or the core: a container or a Swarm service of an engine.

    `key` is `du_1`, `cu_4`, `core`. The host of a service is one with a manager's engine.
    """

    role: Role
    number: str
    host: str
    target: Target
    name: str
    update: UpdateMode = UpdateMode.IN_PLACE

    @property
    def key(self) -> str:
        """What the rest of the inventory calls it."""
        return f"{self.role}_{self.number}" if self.number else str(self.role)


@dataclass(frozen=True, slots=True, kw_only=True)
class GnbEntry:
    """A gNB: its DU, its CU (several may share one), and where its remote control and metrics listen.

    `remote` is `ws://HOST:PORT` or empty; `plmn` and `nci` are those of its cell; `options` is whatever else stands in
    its table, for those who generate configuration.
    """

    number: str
    du: str
    cu: str
    remote: str = ""
    plmn: str = "00101"
    nci: int | None = None
    test_mode: bool = False
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlEntry:
    """A control and what sets it.

    `kind` is `cpu` or `memory`, which the engine sets, or a kind of a driver (`bridge.controls`); `of` is the key of
    what it acts on: a workload, a gNB (its number), a link or a slice. A control that needs a restart costs
    an outage of `outage_s`, and is not live to the gate unless `allowed`.
    """

    control: Control
    kind: str
    of: str
    outage_s: float = 0.0
    allowed: bool = True
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryEntry:
    """Where metrics come from: a kind of source (entry point group `rantwin.telemetry`) and what it is told.

    `gnb`, `host` and `workload` say what the source measures; empty where that does not apply.
    """

    name: str
    source: str
    gnb: str = ""
    host: str = ""
    workload: str = ""
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEntry:
    """A link as one end of it sees it: an interface inside a workload's network namespace."""

    name: str
    of: str
    interface: str = "eth0"
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceEntry:
    """A slice that is configured at a gNB."""

    name: str
    gnb: str
    sst: int
    sd: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomationEntry:
    """A container that moves controls by itself; it is paused to suspend it."""

    host: str
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A testbed. `window_s` is the length of its windows; `deploy` is kept for whoever generates configuration."""

    testbed: str
    stack: str
    radio_mode: str
    window_s: float
    hosts: Mapping[str, HostEntry]
    workloads: Mapping[str, Workload]
    gnbs: Mapping[str, GnbEntry]
    controls: tuple[ControlEntry, ...]
    telemetry: tuple[TelemetryEntry, ...] = ()
    links: Mapping[str, LinkEntry] = field(default_factory=dict)
    slices: Mapping[str, SliceEntry] = field(default_factory=dict)
    automation: AutomationEntry | None = None
    alive: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    deploy: Mapping[str, object] = field(default_factory=dict)
    source: str = ""
    folder: Path = Path()

    def control(self, name: str) -> ControlEntry:
        """Return the entry of that control; InputError if there is none."""
        for entry in self.controls:
            if entry.control.name == name:
                return entry
        raise InputError("no such control in the inventory", source=self.source, key=name)

    def gnbs_of(self, key: str) -> tuple[str, ...]:
        """Return the numbers of the gNBs that a change of this workload, gNB, link or slice touches."""
        if key in self.gnbs:
            return (key,)
        if key in self.slices:
            return (self.slices[key].gnb,)
        if key in self.links:
            key = self.links[key].of
        if self.workloads[key].role is Role.CORE:
            return tuple(self.gnbs)
        return tuple(g.number for g in self.gnbs.values() if key in (g.du, g.cu))

    def host_of(self, key: str) -> HostEntry:
        """Return the host of a workload."""
        return self.hosts[self.workloads[key].host]

    def of_role(self, role: Role) -> Iterator[Workload]:
        """Yield the workloads of a role, in the order of the file."""
        return (w for w in self.workloads.values() if w.role is role)
