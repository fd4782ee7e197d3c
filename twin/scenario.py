"""Scenarios: everything that a rehearsal needs to know, read strictly from TOML and frozen.

Bad input gets one line with file, key, value and what would be right (`InputError`); nothing else is ever raised for
it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from col.errors import InputError
from col.expression import Expression
from col.graph import CausalGraph
from col.plant import Control, PlantDescription
from col.problem import Cost, Problem
from col.specification import Specification
from twin.autoscaler import ScalingRule
from twin.calibrated import Calibrated, calibrated
from twin.causal_graph import causal_graph, derivations
from twin.parameters import CellParameters, CuCompute, DuCompute, LinkParameters
from twin.power import NeighbourParameters, PowerParameters
from twin.radio import bits_per_prb
from twin.scenario_parts import (
    ControlRange,
    Mac,
    PassivePhase,
    Radio,
    WindowPlan,
    read_cu,
    read_du_overrides,
    read_links,
    read_topology,
    table,
)
from twin.strict import Section, parse_toml, read_numbers, write_toml
from twin.topology import Topology
from twin.traffic import OperatingLoad, PassiveLoad

__all__ = ["Scenario", "load_scenario", "parse_scenario", "scenario_names"]

CONTROL_KINDS = ("cpu_du", "cpu_cu")
_MEASURED_SNR_DB = 65.0
"""The recordings carry no radio errors: the highest MCS throughout."""
_RE_PER_PRB_DL, _RE_PER_PRB_UL = 116, 132
_FOLDER = "scenarios"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario; `source` (the file it came from) is not part of its identity."""

    name: str
    title: str
    calibration: str
    window: WindowPlan
    passive: PassivePhase
    specification: Specification
    alpha: float
    delta: float
    cost: Cost
    topology: Topology
    ranges: Mapping[str, ControlRange]
    passive_load: PassiveLoad
    operating_load: OperatingLoad
    rules: Mapping[str, ScalingRule]
    violating_share_target: tuple[float, float]
    payload_bytes: int
    radio: Radio
    mac: Mac
    links: LinkParameters
    cu: CuCompute
    du_overrides: Mapping[str, float]
    power: PowerParameters
    neighbour: NeighbourParameters | None
    assumed_arrows: tuple[tuple[str, str], ...] = ()
    source: str = ""

    @property
    def calibration_id(self) -> str:
        """The id of the calibration behind the DU's cost."""
        return calibrated(self.calibration).calibration_id

    @property
    def du(self) -> DuCompute:
        """The DU's compute cost: the calibration's values, and what the scenario sets otherwise."""
        overrides: dict[str, Any] = dict(self.du_overrides)
        return replace(calibrated(self.calibration).du, **overrides)

    @property
    def controls(self) -> tuple[Control, ...]:
        """The CPU limit of every container."""
        kinds = {"cpu_du": "CPU limit of the DU of gNB", "cpu_cu": "CPU limit of CU"}
        return tuple(
            self.ranges[name[:6]].control(name, f"{kinds[name[:6]]} {name[7:]}") for name in self.topology.control_names
        )

    @property
    def window_slots(self) -> int:
        """Slots of 1 ms in a window."""
        return round(self.window.length_s * 1000)

    def cells(self) -> tuple[CellParameters, ...]:
        """Return the data plane's parameters of every cell, in the order of the topology."""
        known = calibrated(self.calibration)
        return tuple(
            CellParameters(
                n_ue=gnb.ues,
                bits_per_prb_dl=_at_snr(known.bits_per_prb_dl, self.radio.snr_dl_db, known, _RE_PER_PRB_DL),
                bits_per_prb_ul=_at_snr(known.bits_per_prb_ul, self.radio.snr_ul_db, known, _RE_PER_PRB_UL),
                pucch_prb=known.pucch_prb,
                packet_bits=8 * self.payload_bytes,
                grant_policy=self.mac.grant_policy,
                batch_ms=self.mac.batch_ms,
                ul_grant_ms=self.mac.ul_grant_ms,
                dl_pipeline_ms=self.mac.dl_pipeline_ms,
                buffer_packets=self.mac.buffer_packets,
                du=self.du,
                cu=self.cu,
                links=self.links,
            )
            for gnb in self.topology.gnbs
        )

    def graph(self) -> CausalGraph:
        """Return the causal graph."""
        return causal_graph(self.topology, self.assumed_arrows)

    def problem(self) -> Problem:
        """Return what the learner has to learn."""
        operating = {"dl": self.operating_load.dl_mbps, "ul": self.operating_load.ul_mbps}
        expressions: dict[str, Expression] = derivations(self.topology)
        return Problem(
            specification=self.specification,
            graph=self.graph(),
            derivations=expressions,
            operating={f"load_{way}_{g.cell}": mbps for g in self.topology.gnbs for way, mbps in operating.items()},
            alpha=self.alpha,
            delta=self.delta,
            cost=self.cost,
            notes=self.notes,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is measured and what is assumed, for people."""
        policy = self.mac.grant_policy.value
        known = calibrated(self.calibration)
        notes = [
            known.note + (f"; set otherwise here: {', '.join(self.du_overrides)}" if self.du_overrides else ""),
            f"prediction, not measured: how constant-bit-rate flows meet the DU's knee (grant policy {policy})",
            "uncalibrated: CU cost, links and host power are priors",
        ]
        if self.neighbour is not None:
            notes.append("assumption: a batch neighbour keeps the unreserved part of a CPU pool busy")
        return tuple(notes)

    def description(self) -> PlantDescription:
        """Return the description of the twin of this scenario."""
        return PlantDescription(
            plant_id=f"twin:{self.name}:{self.digest[:12]}",
            controls=self.controls,
            metrics=self.topology.metrics(),
            window_s=self.window.length_s,
            emulated=True,
            notes=self.notes,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the scenario as the document that it would be read from, every default filled in."""
        document: dict[str, Any] = {
            "scenario": {"name": self.name, "title": self.title, "calibration": self.calibration, "radio_mode": "rt"},
            "window": table(self.window),
            "specification": {"text": self.specification.text, "alpha": self.alpha, "delta": self.delta},
            "cost": {"rate_per_core": max(self.cost.rates.values(), default=0.0)},
            "hosts": {host.name: {"capacity_cores": host.capacity_cores} for host in self.topology.hosts},
            "gnbs": {str(g.cell): {"host": g.host, "cu": g.cu, "ues": g.ues} for g in self.topology.gnbs},
            "controls": {kind: table(self.ranges[kind]) for kind in CONTROL_KINDS},
            "load": {"passive": table(self.passive_load), "operating": table(self.operating_load)},
            "passive": table(self.passive),
            "autoscaler": {
                "violating_share_target": list(self.violating_share_target),
                **{kind: table(self.rules[kind]) for kind in CONTROL_KINDS},
            },
            "traffic": {"payload_bytes": self.payload_bytes},
            "radio": table(self.radio),
            "mac": table(self.mac),
            "links": asdict(self.links),
            "compute": {"cu": asdict(self.cu), "du": dict(self.du_overrides)},
            "power": table(self.power),
        }
        if self.cost.budget < float("inf"):
            document["cost"]["budget"] = self.cost.budget
        if self.neighbour is not None:
            document["neighbour"] = table(self.neighbour)
        if self.assumed_arrows:
            document["graph"] = {"assumed_arrows": [list(arrow) for arrow in self.assumed_arrows]}
        return document

    def to_toml(self) -> str:
        """Return the scenario as TOML that reads back as the same scenario."""
        return write_toml(self.to_dict())

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical content."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def _at_snr(measured_bits: int, snr_db: float, known: Calibrated, re_per_prb: int) -> int:
    """Return the bits per PRB at an SNR: as measured, scaled by block size where the SNR supports a lower MCS."""
    n_prb = CellParameters().n_prb
    here, top = (
        bits_per_prb(snr, known.mcs_table, n_prb=n_prb, re_per_prb=re_per_prb) for snr in (snr_db, _MEASURED_SNR_DB)
    )
    return max(1, round(measured_bits * here / top))


def scenario_names() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the package."""
    files = resources.files("twin").joinpath(_FOLDER).iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read a scenario that comes with the package, by name, or any file, by path.

    Raises:
        InputError: no such scenario or file, or its content is wrong.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, str) and text in scenario_names():
        return parse_scenario(
            resources.files("twin").joinpath(_FOLDER).joinpath(f"{text}.toml").read_bytes(), f"{text}.toml"
        )
    path = Path(text)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        if path.suffix == ".toml" or len(path.parts) > 1:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
            raise InputError(f"cannot be read ({reason})", source=" ".join(text.split())) from error
        near = difflib.get_close_matches(text, scenario_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(scenario_names())}; a file ends in .toml"
        raise InputError(f"no such scenario; {hint}", key="scenario", value=" ".join(text.split())[:60]) from error
    return parse_scenario(data, path.name)


def parse_scenario(data: bytes, source: str) -> Scenario:
    """Read a scenario from the bytes of a TOML document; `source` names it in error messages."""
    document = parse_toml(data, source)
    head = document.section("scenario")
    name, title = head.text("name"), head.text("title")
    calibration = head.text("calibration")
    known = calibrated(calibration, source=source, key="scenario.calibration")
    head.choice("radio_mode", [known.radio_mode])  # a calibration binds only where radio mode and MCS table match
    head.close()
    topology = read_topology(
        dict(document.sections("hosts")), dict(document.sections("gnbs")), neighbour="neighbour" in document
    )
    controls, load, rules = document.section("controls"), document.section("load"), document.section("autoscaler")
    traffic, compute = document.section("traffic"), document.section("compute", optional=True)
    formula, alpha, delta = _read_specification(document.section("specification"), topology)
    scenario = Scenario(
        name=name,
        title=title,
        calibration=calibration,
        window=read_numbers(WindowPlan, document.section("window")),
        passive=PassivePhase.read(document.section("passive")),
        specification=formula,
        alpha=alpha,
        delta=delta,
        cost=_read_cost(document.section("cost", optional=True), topology),
        topology=topology,
        ranges={kind: ControlRange.read(controls.section(kind)) for kind in CONTROL_KINDS},
        passive_load=read_numbers(PassiveLoad, load.section("passive")),
        operating_load=read_numbers(OperatingLoad, load.section("operating")),
        rules={kind: read_numbers(ScalingRule, rules.section(kind)) for kind in CONTROL_KINDS},
        violating_share_target=rules.pair("violating_share_target", lower=0, upper=1),
        payload_bytes=traffic.integer("payload_bytes", lower=64, upper=9000),
        radio=Radio.read(document.section("radio"), known.mcs_table),
        mac=Mac.read(document.section("mac")),
        links=read_links(document.section("links", optional=True)),
        cu=read_cu(compute.section("cu", optional=True)),
        du_overrides=read_du_overrides(compute.section("du", optional=True), known.du),
        power=read_numbers(PowerParameters, document.section("power")),
        neighbour=read_numbers(NeighbourParameters, document.section("neighbour")) if topology.neighbour else None,
        assumed_arrows=_read_arrows(document.section("graph", optional=True), topology),
        source=source,
    )
    for section in (controls, load, rules, traffic, compute, document):
        section.close()
    _check_links(scenario, document)
    _check_hosts(scenario, document)
    return scenario


def _read_specification(section: Section, topology: Topology) -> tuple[Specification, float, float]:
    formula = Specification.parse(section.text("text"), source=section.source, key=section.key("text"))
    formula.check([metric.name for metric in topology.metrics()], source=section.source, key=section.key("text"))
    alpha = section.number("alpha", lower=0.5, upper=0.999)
    delta = section.number("delta", lower=0.001, upper=0.5)
    section.close()
    return formula, alpha, delta


def _read_arrows(section: Section, topology: Topology) -> tuple[tuple[str, str], ...]:
    """Return arrows that the scenario adds to the graph; a cycle or an unknown name is an InputError."""
    arrows = section.pairs("assumed_arrows")
    section.close()
    try:
        causal_graph(topology, arrows)
    except InputError as error:
        raise section.fail("assumed_arrows", str(error).removeprefix("graph: ")) from error
    return arrows


def _read_cost(section: Section, topology: Topology) -> Cost:
    rate = section.number("rate_per_core", lower=0, upper=1e6, default=1.0)
    budget = section.number("budget", lower=1) if "budget" in section else float("inf")
    section.close()
    return Cost(rates={name: rate for name in topology.control_names}, budget=budget)


def _check_links(scenario: Scenario, document: Section) -> None:
    """Refuse loads that a link of the scenario cannot carry: the twin would report the link, not the compute."""
    capacity = min(scenario.links.midhaul_mbps, scenario.links.backhaul_mbps) / scenario.links.overhead
    loads = {
        "load.passive.upper_mbps": scenario.passive_load.upper_mbps,
        "load.operating.dl_mbps": scenario.operating_load.dl_mbps,
        "load.operating.ul_mbps": scenario.operating_load.ul_mbps,
    }
    for key, mbps in loads.items():
        if mbps > capacity:
            raise InputError(
                f"must be at most {capacity:g}, what the slower of midhaul and backhaul carries",
                source=document.source,
                key=key,
                value=mbps,
            )


def _check_hosts(scenario: Scenario, document: Section) -> None:
    """Refuse hosts that could be overcommitted: contention between containers is not simulated."""
    for host in scenario.topology.hosts:
        most = sum(scenario.ranges[name[:6]].upper_cores for name in scenario.topology.limits_of_host(host.name))
        if scenario.neighbour is not None:
            most = max(most, scenario.neighbour.pool_cores)
        if most > host.capacity_cores:
            raise InputError(
                f"must be at least {most:g}, what its containers may use together (contention is not simulated)",
                source=document.source,
                key=f"hosts.{host.name}.capacity_cores",
                value=host.capacity_cores,
            )
