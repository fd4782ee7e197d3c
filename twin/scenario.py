"""Scenarios: read strictly from TOML, by name or from a file.

Bad input gets one line with file, key, value and what would be right (`InputError`); nothing else is ever raised.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from col.errors import InputError
from col.specification import Specification
from twin.autoscaler import ScalingRule
from twin.calibrated import calibrated
from twin.causal_choice import read_graph_choice
from twin.control_kinds import KINDS, ControlRange, read_fixed
from twin.population import Population
from twin.power import NeighbourParameters, PowerParameters
from twin.scenario_checks import check_physics
from twin.scenario_cost import read_cost
from twin.scenario_model import SCALED_KINDS, Scenario
from twin.scenario_parts import (
    Mac,
    PassivePhase,
    Radio,
    WindowPlan,
    read_cu,
    read_du_overrides,
    read_links,
    read_topology,
)
from twin.scenario_tables import check_tables, known_inside, read_tables
from twin.scenario_template import expand_template
from twin.strict import MOST_BYTES, Section, parse_toml, read_numbers
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
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)  # what is larger, or has no end, is refused unread
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
    document = expand_template(parse_toml(data, source))
    tables = read_tables(document)
    head = document.section("scenario")
    name, title = head.text("name"), head.text("title")
    calibration = head.text("calibration")
    known = calibrated(calibration, source=source, key="scenario.calibration")
    head.choice("radio_mode", [known.radio_mode])  # a calibration binds only where radio mode and MCS table match
    head.close()
    ranges, fixed = _read_controls(document)
    topology = replace(
        read_topology(
            dict(document.sections("hosts")),
            dict(document.sections("gnbs")),
            dict(document.sections("pairs")) if "pairs" in document else {},
            neighbour="neighbour" in document,
        ),
        control_kinds=tuple(ranges),
        mechanisms=frozenset(tables),
    )
    load, traffic = document.section("load", optional="ues" in tables), document.section("traffic")
    rules, target = _read_rules(document, ranges)
    compute = document.section("compute", optional=True)
    links, radio, mac = document.section("links", optional=True), document.section("radio"), document.section("mac")
    for section in (load, traffic, compute, links, radio, mac):
        section.expect(known_inside(section.key()))
    formula, alpha, delta = _read_specification(document.section("specification"), topology)
    passive_load, operating_load = _read_loads(load, tables)
    scenario = Scenario(
        name=name,
        title=title,
        calibration=calibration,
        window=read_numbers(WindowPlan, document.section("window")),
        passive=PassivePhase.read(document.section("passive")),
        specification=formula,
        alpha=alpha,
        delta=delta,
        cost=read_cost(document.section("cost", optional=True), topology),
        topology=topology,
        ranges=ranges,
        passive_load=passive_load,
        operating_load=operating_load,
        rules=rules,
        violating_share_target=target,
        payload_bytes=traffic.integer("payload_bytes", lower=64, upper=9000),
        radio=Radio.read(radio, known.mcs_table),
        mac=Mac.read(mac),
        links=read_links(links),
        cu=read_cu(compute.section("cu", optional=True)),
        du_overrides=read_du_overrides(compute.section("du", optional=True), known.du),
        power=read_numbers(PowerParameters, document.section("power")),
        neighbour=read_numbers(NeighbourParameters, document.section("neighbour")) if topology.neighbour else None,
        graph_choice=read_graph_choice(document.section("graph", optional=True), topology),
        fixed=fixed,
        tables=tables,
        source=source,
    )
    for section in (load, traffic, compute, document):
        section.close()
    check_physics(scenario)
    check_tables(scenario)
    return scenario


def _read_controls(document: Section) -> tuple[dict[str, ControlRange], dict[str, float]]:
    """Return the range of every kind of control and the values of kinds that are none, in the order of the kinds."""
    controls, fixed = document.section("controls"), document.section("fixed", optional=True)
    ranges = {
        kind.name: ControlRange.read(kind, controls.section(kind.name))
        for kind in KINDS.values()
        if kind.name in controls
    }
    controls.expect(KINDS)
    controls.close()
    if not ranges:
        raise controls.fail("", f"needs at least one kind of control: {', '.join(KINDS)}")
    values = read_fixed(fixed, ranges)
    for kind in SCALED_KINDS:
        if kind not in ranges and kind not in values:
            raise controls.fail(
                kind, f"missing table; a CPU limit that is no control needs fixed.{KINDS[kind].fixed_key}"
            )
    return ranges, values


def _read_loads(load: Section, tables: Mapping[str, Any]) -> tuple[PassiveLoad, OperatingLoad]:
    """Return the load laws; where UEs come and go the load is theirs, and what is said here is only its mean."""
    if "ues" not in tables:
        return read_numbers(PassiveLoad, load.section("passive")), read_numbers(
            OperatingLoad, load.section("operating")
        )
    for name in ("passive", "operating"):
        if name in load:
            raise load.fail(name, "UEs offer the load here ([ues]); leave this table out")
    population: Population = tables["ues"]
    mean = population.mean_ues
    dl_mbps, ul_mbps = mean * population.dl_mbps, mean * population.ul_mbps
    operating = OperatingLoad(dl_mbps=dl_mbps, ul_mbps=ul_mbps)
    return PassiveLoad(lower_mbps=0.0, upper_mbps=dl_mbps + ul_mbps, correlation_s=1.0), operating


def _read_rules(
    document: Section, ranges: Collection[str]
) -> tuple[dict[str, ScalingRule], tuple[float, float] | None]:
    """Return the autoscaler's rule for every kind of CPU limit that is a control; none without [autoscaler]."""
    if "autoscaler" not in document:
        return {}, None
    section = document.section("autoscaler")
    section.expect(known_inside("autoscaler"))
    scaled = [kind for kind in SCALED_KINDS if kind in ranges]
    if not scaled:
        raise section.fail("", f"scales nothing: neither {' nor '.join(SCALED_KINDS)} is a control here")
    rules = {kind: read_numbers(ScalingRule, section.section(kind)) for kind in scaled}
    target = section.pair("violating_share_target", lower=0, upper=1)
    section.close()
    return rules, target


def _read_specification(section: Section, topology: Topology) -> tuple[Specification, float, float]:
    formula = Specification.parse(section.text("text"), source=section.source, key=section.key("text"))
    formula.check([metric.name for metric in topology.metrics()], source=section.source, key=section.key("text"))
    alpha = section.number("alpha", lower=0.5, upper=0.999)
    delta = section.number("delta", lower=0.001, upper=0.5)
    section.close()
    return formula, alpha, delta
