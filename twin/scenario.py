"""Scenarios: read strictly from TOML, by name or from a file.

Bad input gets one line with file, key, value and what would be right (`InputError`); nothing else is ever raised.
"""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from col.errors import InputError
from col.problem import Cost
from col.specification import Specification
from twin.autoscaler import ScalingRule
from twin.calibrated import calibrated
from twin.causal_graph import causal_graph
from twin.power import NeighbourParameters, PowerParameters
from twin.scenario_model import CONTROL_KINDS, Scenario
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
)
from twin.strict import Section, parse_toml, read_numbers
from twin.topology import Topology
from twin.traffic import OperatingLoad, PassiveLoad

__all__ = ["Scenario", "load_scenario", "parse_scenario", "scenario_names"]

_FOLDER = "scenarios"


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
    if not arrows:
        return ()
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
