"""Reading an inventory: strict, every name that is used must be one that stands there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from bridge.agent_config_reader import Section, read_toml
from bridge.inventory import (
    AutomationEntry,
    ControlEntry,
    GnbEntry,
    HostEntry,
    Inventory,
    LinkEntry,
    Role,
    SliceEntry,
    Target,
    TelemetryEntry,
    TlsFiles,
    UpdateMode,
    Workload,
)
from col.errors import InputError
from col.plant import Control

__all__ = ["DEFAULT_DOCKER", "load_inventory", "parse_inventory"]

DEFAULT_DOCKER = "unix:///var/run/docker.sock"
_UNITS = {"cpu": "core", "memory": "MiB"}
_LEAST = {"cpu": 0.01, "memory": 6.0}
"""What an engine takes: a quota of 1 ms in a period of 100 ms, and 6 MiB."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62})")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_DOCKER = re.compile(r"unix:///\S+|ssh://[\w.][\w.@-]*(:\d{1,5})?(/\S+)?|tcp://[\w.-]+:\d{1,5}")


def load_inventory(path: Path) -> Inventory:
    """Read an inventory; paths in it are relative to its folder. InputError names file, key and value."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", source=str(path)) from error
    return parse_inventory(text, source=str(path), folder=path.parent)


def parse_inventory(text: str, *, source: str, folder: Path) -> Inventory:
    """Read an inventory from its text; InputError names `source`, key and value."""
    root = read_toml(text, source=source, folder=folder)
    testbed = root.section("testbed")
    hosts = {name: _host(name, table) for name, table in _tables(root, "hosts", source)}
    workloads = _workloads(root, hosts, source)
    gnbs = {name: _gnb(name, table, workloads, source) for name, table in _tables(root, "gnbs", source)}
    links = {n: _link(n, t, workloads, source) for n, t in _tables(root, "links", source)}
    slices = {n: _slice(n, t, gnbs, source) for n, t in _tables(root, "slices", source)}
    inventory = Inventory(
        testbed=testbed.text("id"),
        stack=testbed.text("stack"),
        radio_mode=testbed.text("radio_mode"),
        window_s=testbed.number("window_s", 15.0, low=0.1, high=3600.0),
        alive=testbed.texts("alive"),
        notes=testbed.texts("notes"),
        hosts=hosts,
        workloads=workloads,
        gnbs=gnbs,
        links=links,
        slices=slices,
        controls=_Controls(workloads, gnbs, links, slices, source).read(root),
        telemetry=tuple(
            _telemetry(n, t, hosts, workloads, gnbs, source) for n, t in _tables(root, "telemetry", source)
        ),
        automation=_automation(root.section("automation"), hosts, source) if root.has("automation") else None,
        deploy=root.section("deploy").rest(),
        source=source,
        folder=folder,
    )
    root.close()
    if not hosts or not gnbs or not inventory.controls:
        missing = "hosts" if not hosts else "gnbs" if not gnbs else "controls"
        raise InputError("an inventory has at least one table of these", source=source, key=missing)
    return inventory


def _tables(root: Section, key: str, source: str) -> Iterable[tuple[str, Section]]:
    """Yield the tables within a table, each with the name that the file gives it."""
    section = root.section(key)
    for name in section.names():
        if not _NAME.fullmatch(name):
            raise InputError("a name has letters, digits, '_', '.' and '-' only", source=source, key=f"{key}.{name}")
        yield name, section.section(name)


def _known(value: str, known: Iterable[str], source: str, key: str) -> str:
    names = list(known)
    if value not in names:
        text = f"there is none of that name; known are {', '.join(names[:12]) or 'none'}"
        raise InputError(text, source=source, key=key, value=value)
    return value


def _named(value: str, source: str, key: str) -> str:
    """Return the name of a container or a service: it becomes a part of what an engine is asked, so it is no path."""
    if not _CONTAINER.fullmatch(value):
        text = "an engine's names have letters, digits, '_', '.' and '-' only"
        raise InputError(text, source=source, key=key, value=value)
    return value


def _host(name: str, table: Section) -> HostEntry:
    docker = table.text("docker", DEFAULT_DOCKER)
    if not _DOCKER.fullmatch(docker):
        text = "must be unix:///PATH, ssh://USER@HOST[:PORT] or tcp://HOST:PORT"
        raise InputError(text, source=table.source, key=f"hosts.{name}.docker", value=docker)
    tls = None
    if docker.startswith("tcp://"):
        if not all(table.has(key) for key in ("ca", "cert", "key")):
            # Whoever reaches an engine's API is root on its host.
            text = "an engine behind TCP needs `ca`, `cert` and `key`: files of mutual TLS"
            raise InputError(text, source=table.source, key=f"hosts.{name}")
        tls = TlsFiles(ca=table.path("ca"), cert=table.path("cert"), key=table.path("key"))
    local = docker.startswith("unix://")
    cgroup = table.text("cgroup", "/sys/fs/cgroup" if local else "")
    return HostEntry(
        name=name, docker=docker, tls=tls, cgroup=Path(cgroup) if cgroup else None, node=table.text("node", "")
    )


def _workloads(root: Section, hosts: Mapping[str, HostEntry], source: str) -> dict[str, Workload]:
    found = {}
    for role in (Role.DU, Role.CU):
        for number, table in _tables(root, role, source):
            workload = _workload(role, number, table, hosts, source)
            found[workload.key] = workload
    if root.has(Role.CORE):
        found[str(Role.CORE)] = _workload(Role.CORE, "", root.section(Role.CORE), hosts, source)
    seen: dict[tuple[str, str], str] = {}
    for workload in found.values():
        other = seen.setdefault((workload.host, workload.name), workload.key)
        if other != workload.key:
            text = f"{other} is the same one: limits of one would be limits of the other"
            raise InputError(text, source=source, key=workload.key.replace("_", "."), value=workload.name)
    return found


def _workload(role: Role, number: str, table: Section, hosts: Mapping[str, HostEntry], source: str) -> Workload:
    key = f"{role}.{number}" if number else str(role)
    if table.has("container") == table.has("service"):
        raise InputError("needs either `container` or `service`", source=source, key=key)
    target = Target.SERVICE if table.has("service") else Target.CONTAINER
    update = UpdateMode.IN_PLACE
    if target is Target.SERVICE:
        asked = table.text("update")
        update = UpdateMode(_known(asked, list(UpdateMode), source, f"{key}.update"))
    return Workload(
        role=role,
        number=number,
        host=_known(table.text("host"), hosts, source, f"{key}.host"),
        target=target,
        name=_named(table.text(str(target)), source, f"{key}.{target}"),
        update=update,
    )


def _gnb(number: str, table: Section, workloads: Mapping[str, Workload], source: str) -> GnbEntry:
    keys = {}
    for role in (Role.DU, Role.CU):
        keys[role] = f"{role}_{table.text(role, number)}"
        _known(keys[role], workloads, source, f"gnbs.{number}.{role}")
    return GnbEntry(
        number=number,
        du=keys[Role.DU],
        cu=keys[Role.CU],
        remote=table.text("remote", ""),
        plmn=table.text("plmn", "00101"),
        nci=table.whole("nci", 0, high=2**36 - 1) if table.has("nci") else None,
        test_mode=table.flag("test_mode", False),
        options=table.rest(),
    )


def _link(name: str, table: Section, workloads: Mapping[str, Workload], source: str) -> LinkEntry:
    return LinkEntry(
        name=name,
        of=_known(table.text("of"), workloads, source, f"links.{name}.of"),
        interface=table.text("interface", "eth0"),
        options=table.rest(),
    )


def _slice(name: str, table: Section, gnbs: Mapping[str, GnbEntry], source: str) -> SliceEntry:
    return SliceEntry(
        name=name,
        gnb=_known(table.text("gnb"), gnbs, source, f"slices.{name}.gnb"),
        sst=table.whole("sst", 1, low=1, high=255),
        sd=table.whole("sd", 0, high=2**24 - 1) if table.has("sd") else None,
        options=table.rest(),
    )


def _telemetry(
    name: str,
    table: Section,
    hosts: Mapping[str, HostEntry],
    workloads: Mapping[str, Workload],
    gnbs: Mapping[str, GnbEntry],
    source: str,
) -> TelemetryEntry:
    found = {}
    for key, known in (("gnb", gnbs), ("host", hosts), ("workload", workloads)):
        found[key] = _known(table.text(key), known, source, f"telemetry.{name}.{key}") if table.has(key) else ""
    return TelemetryEntry(name=name, source=table.text("source"), **found, options=table.rest())


def _automation(table: Section, hosts: Mapping[str, HostEntry], source: str) -> AutomationEntry:
    host = _known(table.text("host"), hosts, source, "automation.host")
    container = _named(table.text("container"), source, "automation.container")
    return AutomationEntry(host=host, container=container)


class _Controls:
    """One table `[controls.NAME]` makes a control of each that it is `of`; what differs stands in its `only.NUMBER`."""

    def __init__(
        self,
        workloads: Mapping[str, Workload],
        gnbs: Mapping[str, GnbEntry],
        links: Mapping[str, LinkEntry],
        slices: Mapping[str, SliceEntry],
        source: str,
    ) -> None:
        self._groups: dict[str, dict[str, str]] = {
            **{
                str(role): {w.number: w.key for w in workloads.values() if w.role is role}
                for role in (Role.DU, Role.CU)
            },
            "gnbs": {number: number for number in gnbs},
            "links": {name: name for name in links},
            "slices": {name: name for name in slices},
        }
        self._engines = list(workloads)
        self._single = [*workloads, *(f"gnb_{number}" for number in gnbs), *links, *slices]
        self._source = source

    def read(self, root: Section) -> tuple[ControlEntry, ...]:
        found: list[ControlEntry] = []
        for name, table in _tables(root, "controls", self._source):
            found += self._entries(name, table)
        names = [entry.control.name for entry in found]
        limits: dict[tuple[str, str], str] = {}
        for entry in found:
            name = entry.control.name
            if names.count(name) > 1:
                raise InputError("two tables make a control of this name", source=self._source, key=f"controls.{name}")
            if entry.kind in _UNITS and (other := limits.setdefault((entry.kind, entry.of), name)) != name:
                text = f"{other} sets the same limit: two controls of one thing move each other"
                raise InputError(text, source=self._source, key=f"controls.{name}", value=f"{entry.kind} of {entry.of}")
        return tuple(found)

    def _entries(self, name: str, table: Section) -> list[ControlEntry]:
        key = f"controls.{name}"
        kind, of = table.text("kind"), table.text("of")
        group = self._groups.get(of)
        if group is None:
            _known(of, [*self._groups, *self._single], self._source, f"{key}.of")
            targets = {"": of.removeprefix("gnb_") if of.startswith("gnb_") else of}
        else:
            targets = group
        if kind in _UNITS and not set(targets.values()) <= set(self._engines):
            text = f"{kind} is a limit of a workload: `of` must be du, cu, core or one of them, such as du_1"
            raise InputError(text, source=self._source, key=f"{key}.of", value=of)
        only = table.section("only")
        for number in only.names():
            _known(number, targets, self._source, f"{key}.only")
        common = self._numbers(table, {})
        needs_restart = table.has("outage_s")
        outage_s = table.number("outage_s", 0.0, low=0.0, high=86_400.0)
        allowed = table.flag("allowed", not needs_restart)
        # What the operator allows may be changed while the testbed runs, at its price: to the gate it is live.
        live = allowed or not needs_restart
        unit, description = table.text("unit", _UNITS.get(kind, "")), table.text("description", "")
        options = table.rest()
        entries = []
        for number, target in targets.items():
            full = f"{name}_{number}" if number else name
            values = self._numbers(only.section(number), common) if only.has(number) else common
            for wanted in ("lower", "upper", "resolution", "reference"):
                if wanted not in values:
                    raise InputError("missing", source=self._source, key=f"{key}.{wanted}")
            if values["lower"] < (least := _LEAST.get(kind, -math.inf)):
                text = f"an engine takes no {kind} limit below {least:g} {unit}"
                raise InputError(text, source=self._source, key=f"{key}.lower", value=values["lower"])
            try:
                control = Control(name=full, unit=unit, live=live, description=description, **values)
            except InputError as error:
                raise InputError(str(error), source=self._source, key=key) from error
            entries.append(
                ControlEntry(control=control, kind=kind, of=target, outage_s=outage_s, allowed=allowed, options=options)
            )
        return entries

    def _numbers(self, table: Section, common: Mapping[str, float]) -> dict[str, float]:
        names = ("lower", "upper", "resolution", "reference")
        return {**common, **{name: table.number(name, 0.0) for name in names if table.has(name)}}
