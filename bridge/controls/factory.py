"""The drivers that an inventory's controls need, apart from CPU and memory, which an engine sets itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bridge.controls.driver import ControlDriver
from bridge.controls.driver_set import DriverSet
from bridge.controls.gnb_channel import Channel, GnbChannel
from bridge.controls.links import LinkDriver, LinkQuantity
from bridge.controls.machine import Machines
from bridge.controls.memory import Memory
from bridge.controls.remote_control import Cell, RemoteControlDriver, RemoteKind, RemoteValue
from bridge.controls.restart import RestartDriver, RestartValue
from bridge.controls.traffic_control import NetlinkTrafficControl, TrafficControl
from bridge.inventory import ControlEntry, Inventory
from col.errors import InputError

__all__ = ["ENGINE_KINDS", "KINDS", "RESTART", "make_drivers"]

ENGINE_KINDS = ("cpu", "memory")
RESTART = "config"
"""A number in a configuration file that is read at the start: gains, bandwidth, handover thresholds."""
KINDS = (*ENGINE_KINDS, *LinkQuantity, *RemoteKind, RESTART)

PRBS = 25
"""Of a carrier of 5 MHz at 15 kHz."""
OWN_RATE_MBPS = 1000.0


def make_drivers(
    inventory: Inventory,
    machines: Machines,
    state: Path,
    *,
    traffic: TrafficControl | None = None,
    channel: Callable[[str], Channel] = GnbChannel,
) -> DriverSet:
    """Return the drivers of all controls that no engine sets; `state` is a folder for what they have to remember.

    Nothing is connected or touched yet. InputError names the key of the inventory that is wrong.
    """
    make = _Maker(inventory, machines, state, traffic or NetlinkTrafficControl(), channel)
    return DriverSet(make.drivers())


class _Maker:
    def __init__(
        self,
        inventory: Inventory,
        machines: Machines,
        state: Path,
        traffic: TrafficControl,
        channel: Callable[[str], Channel],
    ) -> None:
        self._inventory, self._machines, self._state = inventory, machines, state
        self._traffic, self._channel = traffic, channel

    def drivers(self) -> list[ControlDriver]:
        links: dict[str, dict[LinkQuantity, str]] = {}
        remote: dict[str, list[RemoteValue]] = {}
        files: dict[tuple[str, Path], list[RestartValue]] = {}
        sets: dict[tuple[object, ...], str] = {}
        for entry in self._inventory.controls:
            name, kind = entry.control.name, entry.kind
            if kind in ENGINE_KINDS:
                continue
            if kind in list(LinkQuantity):
                self._check(entry, entry.of in self._inventory.links, "a link", ())
                link = self._inventory.links[entry.of]
                self._only_one(sets, entry, (kind, link.of, link.interface))
                links.setdefault(entry.of, {})[LinkQuantity(kind)] = name
            elif kind in list(RemoteKind):
                gnb, value = self._remote(entry)
                self._only_one(sets, entry, (kind, gnb, value.sst, value.sd))
                remote.setdefault(gnb, []).append(value)
            elif kind == RESTART:
                self._check(entry, entry.of in self._inventory.workloads, "a workload", ("file",))
                if not entry.outage_s:
                    raise self._wrong("a control in a configuration file needs `outage_s`", name)
                value_of = RestartValue(name=name, outage_s=entry.outage_s, is_allowed=entry.allowed)
                files.setdefault((entry.of, self._file(entry)), []).append(value_of)
            else:
                raise self._wrong(f"no such kind; known are {', '.join(KINDS)}", f"{name}.kind", kind)
        return [
            *(self._link(link, controls) for link, controls in links.items()),
            *(self._gnb(gnb, values) for gnb, values in remote.items()),
            *(self._restart(of, file, values) for (of, file), values in files.items()),
        ]

    def _link(self, name: str, controls: Mapping[LinkQuantity, str]) -> LinkDriver:
        link = self._inventory.links[name]
        return LinkDriver(
            name,
            controls,
            self._machines,
            self._traffic,
            workload=link.of,
            interface=link.interface,
            own_rate_mbps=self._number(link.options, "rate_mbps", OWN_RATE_MBPS, f"links.{name}"),
        )

    def _remote(self, entry: ControlEntry) -> tuple[str, RemoteValue]:
        control, kind = entry.control, RemoteKind(entry.kind)
        if kind is RemoteKind.SSB_POWER:
            self._check(entry, entry.of in self._inventory.gnbs, "a gNB", ())
            if self._inventory.gnbs[entry.of].nci is None:
                text = "ssb_set names a cell by it: gnb_id << (36 - length of gnb_id) + sector"
                raise InputError(text, source=self._inventory.source, key=f"gnbs.{entry.of}.nci")
            if control.resolution != int(control.resolution) or control.lower != int(control.lower):
                raise self._wrong("the gNB takes whole dBm: bounds and resolution must be whole", control.name)
            return entry.of, RemoteValue(name=control.name, kind=kind, configured=control.reference)
        self._check(entry, entry.of in self._inventory.slices, "a slice", ("min_percent",))
        part = self._inventory.slices[entry.of]
        prbs = self._prbs(part.gnb)
        if control.resolution * prbs < 100.0 - 1e-9 or any(v != int(v) for v in (control.lower, control.resolution)):
            text = f"one step must be a whole per cent and move one of {prbs} PRBs ({100 / prbs:g} %)"
            raise self._wrong(text, f"{control.name}.resolution", control.resolution)
        return part.gnb, RemoteValue(
            name=control.name,
            kind=kind,
            configured=control.reference,
            sst=part.sst,
            sd=part.sd,
            min_percent=self._number(entry.options, "min_percent", 0.0, f"controls.{control.name}"),
        )

    def _gnb(self, number: str, values: list[RemoteValue]) -> RemoteControlDriver:
        gnb = self._inventory.gnbs[number]
        if not gnb.remote:
            raise InputError(
                "remote controls need it: `ws://HOST:8001`", source=self._inventory.source, key=f"gnbs.{number}.remote"
            )
        cell = Cell(
            workload=gnb.du,
            plmn=gnb.plmn,
            nci=gnb.nci,
            prbs=self._prbs(number),
            slices=max(1, sum(part.gnb == number for part in self._inventory.slices.values())),
            test_mode=gnb.test_mode,
        )
        memory = Memory(self._state / f"remote-{number}.json")
        return RemoteControlDriver(cell, values, self._channel(gnb.remote), self._machines, memory)

    def _restart(self, workload: str, file: Path, values: list[RestartValue]) -> RestartDriver:
        memory = Memory(self._state / f"restart-{workload}-{file.name}.json")
        return RestartDriver(workload, file, values, self._machines, memory)

    def _file(self, entry: ControlEntry) -> Path:
        file = entry.options.get("file")
        if not isinstance(file, str) or not file:
            raise self._wrong(
                "must be the path of the workload's configuration file", f"{entry.control.name}.file", file
            )
        number = self._inventory.workloads[entry.of].number
        return self._inventory.folder / file.replace("{number}", number)

    def _prbs(self, gnb: str) -> int:
        value = self._number(self._inventory.gnbs[gnb].options, "prbs", PRBS, f"gnbs.{gnb}")
        if value < 1.0:
            raise InputError("must be at least 1", source=self._inventory.source, key=f"gnbs.{gnb}.prbs", value=value)
        return int(value)

    def _only_one(self, sets: dict[tuple[object, ...], str], entry: ControlEntry, thing: tuple[object, ...]) -> None:
        """Refuse a second control of one thing: each would move the other, and an intervention on both is none."""
        name = entry.control.name
        if (other := sets.setdefault(thing, name)) != name:
            text = f"{other} sets the same thing: two controls of it move each other"
            raise self._wrong(text, f"{name}.of", entry.of)

    def _check(self, entry: ControlEntry, is_right: bool, what: str, options: tuple[str, ...]) -> None:
        if not is_right:
            raise self._wrong(f"{entry.kind} is a property of {what}", f"{entry.control.name}.of", entry.of)
        for key in entry.options:
            if key not in options:
                raise self._wrong(f"no such key of a control of kind {entry.kind}", f"{entry.control.name}.{key}")

    def _number(self, options: Mapping[str, object], key: str, default: float, table: str) -> float:
        value = options.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise InputError(
                "must be a number of at least 0", source=self._inventory.source, key=f"{table}.{key}", value=value
            )
        return float(value)

    def _wrong(self, text: str, key: str, value: object = None) -> InputError:
        return InputError(text, source=self._inventory.source, key=f"controls.{key}", value=value)
