"""What a testbed's configuration is generated from: the inventory's `[deploy]` table, checked against the inventory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bridge.inventory import GnbEntry, Inventory, Target
from col.errors import InputError

__all__ = ["Cell", "Images", "Plan", "make_plan"]

BIT_LENGTH = 22
"""Of a gNB id, srsRAN's default; the rest of the 36 bits of a cell's identity is the sector."""
_BANDS = {1: (422_000, 434_000), 3: (361_000, 376_000), 7: (524_000, 538_000)}
"""Downlink ARFCNs of FDD bands that a virtual radio has been seen with (TS 38.104, table 5.4.2.3-1)."""
_PRBS = {5: 25, 10: 52, 15: 79, 20: 106}
_UL_MBPS_PER_PRB, _DL_MBPS_PER_PRB = 7.1 / 25, 15.7 / 25
"""What this radio carried at most in the public data set, over 25 PRBs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Published images, each pinned by a version. We have not run them."""

    ran: str = "gradiant/srsran-5g:25_10"
    ue: str = "gradiant/srsran-4g:23_11"
    core: str = "gradiant/open5gs:2.7.6"
    subscribers: str = "gradiant/open5gs-dbctl:0.10.3"
    database: str = "mongo:6.0.19"
    agent: str = "python:3.11.13-slim-bookworm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One gNB: the cell of its DU, and its place at its CU."""

    gnb: GnbEntry
    gnb_id: int
    du_id: int
    sector: int
    pci: int

    @property
    def nci(self) -> int:
        """The NR cell identity."""
        return (self.gnb_id << (36 - BIT_LENGTH)) + self.sector


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A testbed that can be generated. Rates in Mbit/s, `srate_msps` in million samples per second."""

    inventory: Inventory
    cells: tuple[Cell, ...]
    images: Images = field(default_factory=Images)
    plmn: str = "99970"
    tac: int = 1
    dl_arfcn: int = 368_500
    band: int = 3
    bandwidth_mhz: int = 5
    srate_msps: float = 5.76
    tx_gain_db: float = 10.0
    rx_gain_db: float = 10.0
    network: str = "rantwin-ran"
    dl_mbps: float = 8.0
    ul_mbps: float = 5.0
    ue_key: str = "465B5CE8B199B49FAA5F0A2EE238A6BC"
    ue_opc: str = "E8ED289DEBA952E4283B54E88E6183CA"
    report_ms: int = 1000
    config_dir: str = "/opt/rantwin/config"
    """Where the generated `config` folder lies on every host."""
    placement: Mapping[str, str] = field(default_factory=dict)
    """Host of a service's task by the workload's key; its table names a manager, which may be another."""

    @property
    def prbs(self) -> int:
        """PRBs of the carrier at 15 kHz."""
        return _PRBS[self.bandwidth_mhz]

    def host_of(self, key: str) -> str:
        """Return the host that a workload runs on."""
        return self.placement.get(key, self.inventory.workloads[key].host)

    def imsi(self, cell: Cell) -> str:
        """Return the subscriber of a cell's UE."""
        return f"{self.plmn}{int(cell.gnb.number):0{15 - len(self.plmn)}d}"

    def name(self, key: str) -> str:
        """Return what a workload is called on the network: the service's name within its stack, the container's own."""
        workload = self.inventory.workloads[key]
        prefix = f"{self.inventory.testbed}_"
        return workload.name.removeprefix(prefix) if workload.target is Target.SERVICE else workload.name


def make_plan(inventory: Inventory) -> Plan:
    """Return the plan of an inventory; InputError names file, key and what would be right."""
    given, source = dict(inventory.deploy), inventory.source
    images, placement = given.pop("images", {}), given.pop("placement", {})
    known = {f.name: f for f in fields(Plan) if f.name not in ("inventory", "cells", "images", "placement")}
    for key in given:
        if key not in known:
            raise InputError(f"no such key; known are {', '.join(known)}", source=source, key=f"deploy.{key}")
    values = {key: _typed(value, known[key].default, source, f"deploy.{key}") for key, value in given.items()}
    plan = Plan(
        inventory=inventory,
        cells=_cells(inventory),
        images=_images(images, source),
        placement=_placement(placement, inventory),
        **values,
    )
    _check_radio(plan, source)
    _check_inventory(plan, source)
    return plan


def _typed(value: object, default: object, source: str, key: str) -> Any:
    kinds = {int: "a whole number", float: "a number", str: "a text"}
    kind = type(default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number:
        return float(value)  # type: ignore[arg-type]
    if type(value) is not kind:
        raise InputError(f"must be {kinds[kind]}", source=source, key=key, value=value)
    return value


def _placement(given: object, inventory: Inventory) -> Mapping[str, str]:
    if not isinstance(given, Mapping):
        raise InputError("must be a table", source=inventory.source, key="deploy.placement", value=given)
    for key, host in given.items():
        place = f"deploy.placement.{key}"
        if key not in inventory.workloads or inventory.workloads[key].target is not Target.SERVICE:
            raise InputError("there is no service of that key", source=inventory.source, key=place)
        if host not in inventory.hosts or not inventory.hosts[host].node:
            text = "must be a host that has `node`, its name in the Swarm"
            raise InputError(text, source=inventory.source, key=place, value=host)
    return dict(given)


def _images(given: object, source: str) -> Images:
    known = [f.name for f in fields(Images)]
    if not isinstance(given, Mapping) or not set(given) <= set(known):
        raise InputError(f"must be a table of {', '.join(known)}", source=source, key="deploy.images", value=given)
    images = Images(**given)
    for name in known:
        image = getattr(images, name)
        tag = image.rpartition(":")[2] if ":" in image.rpartition("/")[2] else ""
        if not tag or tag == "latest":
            text = "must be pinned by a version (NAME:TAG, and not latest)"
            raise InputError(text, source=source, key=f"deploy.images.{name}", value=image)
    return images


def _cells(inventory: Inventory) -> tuple[Cell, ...]:
    """Return the cells, numbered by their CU: DUs at one CU are DUs and sectors of one gNB id."""
    first: dict[str, int] = {}
    seen: dict[str, int] = {}
    cells = []
    for place, gnb in enumerate(inventory.gnbs.values()):
        if not gnb.number.isdigit():
            raise InputError("must be a number here", source=inventory.source, key="gnbs", value=gnb.number)
        gnb_id = first.setdefault(gnb.cu, 411 + len(first))
        sector = seen[gnb.cu] = seen.get(gnb.cu, -1) + 1
        cells.append(Cell(gnb=gnb, gnb_id=gnb_id, du_id=sector + 1, sector=sector, pci=1 + place))
    return tuple(cells)


def _check_radio(plan: Plan, source: str) -> None:
    def wrong(text: str, key: str, value: object) -> InputError:
        return InputError(text, source=source, key=f"deploy.{key}", value=value)

    if plan.inventory.radio_mode != "zmq":
        text = "only a virtual radio (zmq) is generated"
        raise InputError(text, source=source, key="testbed.radio_mode", value=plan.inventory.radio_mode)
    if not re.fullmatch(r"\d{5,6}", plan.plmn):
        raise wrong("must be 5 or 6 digits: MCC and MNC", "plmn", plan.plmn)
    for key in ("ue_key", "ue_opc"):
        if not re.fullmatch(r"[0-9A-Fa-f]{32}", getattr(plan, key)):
            raise wrong("must be 32 hexadecimal digits", key, getattr(plan, key))
    if plan.band not in _BANDS:
        raise wrong(f"must be an FDD band of {', '.join(map(str, _BANDS))}", "band", plan.band)
    low, high = _BANDS[plan.band]
    if not low <= plan.dl_arfcn <= high:
        raise wrong(f"must lie in {low} to {high}, the downlink of band n{plan.band}", "dl_arfcn", plan.dl_arfcn)
    if plan.bandwidth_mhz not in _PRBS:
        raise wrong(f"must be one of {', '.join(map(str, _PRBS))}", "bandwidth_mhz", plan.bandwidth_mhz)
    per_slot = plan.srate_msps * 1e6 / 15_000
    if per_slot != int(per_slot) or per_slot < 12 * plan.prbs:
        text = f"must be a multiple of 0.015 and at least {12 * plan.prbs * 0.015:g} for {plan.prbs} PRBs"
        raise wrong(text, "srate_msps", plan.srate_msps)
    for way, per_prb in (("dl", _DL_MBPS_PER_PRB), ("ul", _UL_MBPS_PER_PRB)):
        rate, most = getattr(plan, f"{way}_mbps"), per_prb * plan.prbs
        if not 0.0 < rate < most:
            raise wrong(f"must be above 0 and below the {most:.3g} that this radio carries", f"{way}_mbps", rate)
    if plan.report_ms > 1000.0 * plan.inventory.window_s / 2:
        raise wrong("must be at most half a window", "report_ms", plan.report_ms)


def _check_inventory(plan: Plan, source: str) -> None:
    names = [plan.name(key) for key in plan.inventory.workloads]
    for name in names:
        if names.count(name) > 1:
            raise InputError("two workloads have this name on one network", source=source, key="name", value=name)
        if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", name):
            text = "must be a host name (a-z, 0-9, '-'), since others find it by it"
            raise InputError(text, source=source, key="name", value=name)
    for cell in plan.cells:
        key = f"gnbs.{cell.gnb.number}"
        if cell.gnb.nci is not None and cell.gnb.nci != cell.nci:
            text = f"the generated cell has {cell.nci} (gNB id {cell.gnb_id}, sector {cell.sector})"
            raise InputError(text, source=source, key=f"{key}.nci", value=cell.gnb.nci)
        if cell.gnb.plmn != plan.plmn:
            raise InputError(f"deploy.plmn is {plan.plmn}", source=source, key=f"{key}.plmn", value=cell.gnb.plmn)
        if cell.gnb.test_mode:
            raise InputError("the generated gNB has real UEs", source=source, key=f"{key}.test_mode", value=True)
