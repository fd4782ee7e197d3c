"""Physics that cannot be: a scenario is told so in one line before anything of it runs."""

from __future__ import annotations

from col.errors import InputError
from twin.control_kinds import KINDS
from twin.link_noise import Distribution, LinkNoise
from twin.parameters import CellParameters
from twin.population import Population
from twin.scenario_model import Scenario

__all__ = ["check_physics"]

_LEAST_UL_PRB = 1.0
"""PRBs that must be left to uplink data beside those of control signalling."""


def check_physics(scenario: Scenario) -> None:
    """Raise InputError, with file, key, value and what would be possible, for what no such network could be."""
    _check_places(scenario)
    _check_links(scenario)
    _check_hosts(scenario)
    _check_bandwidth(scenario)
    _check_kinds(scenario)
    _check_fronthaul(scenario)


def _fail(scenario: Scenario, key: str, value: object, message: str) -> InputError:
    return InputError(message, source=scenario.source, key=key, value=value)


def _check_places(scenario: Scenario) -> None:
    """Refuse a CU that is on two hosts: it runs where its DUs run."""
    place: dict[str, tuple[int, str]] = {}
    for gnb in scenario.topology.gnbs:
        cell, host = place.setdefault(gnb.cu, (gnb.cell, gnb.host))
        if host != gnb.host:
            raise _fail(
                scenario,
                f"gnbs.{gnb.cell}.host",
                gnb.host,
                f"must be {host!r}: CU {gnb.cu} also serves gNB {cell}, which is there",
            )


def _check_links(scenario: Scenario) -> None:
    """Refuse loads that a link of the scenario cannot carry: the twin would report the link, not what is studied."""
    links = scenario.links
    sharing = max(len(scenario.topology.cells_of_cu(cu)) for cu in scenario.topology.cus)
    capacity = min(links.midhaul_mbps, links.backhaul_mbps / sharing) / links.overhead
    shared = f", which {sharing} cells of a CU share," if links.backhaul_mbps / sharing < links.midhaul_mbps else ""
    shared = shared if sharing > 1 else ""
    if (ues := scenario.part(Population)) is not None:
        if (most := ues.upper_ues * max(ues.dl_mbps, ues.ul_mbps)) > capacity:
            raise _fail(
                scenario, "ues.upper_ues", ues.upper_ues, f"these UEs offer {most:g} Mbit/s; the slower of midhaul and "
                f"backhaul{shared} carries {capacity:g}",
            )  # fmt: skip
        return
    loads = {
        "load.passive.upper_mbps": scenario.passive_load.upper_mbps,
        "load.operating.dl_mbps": scenario.operating_load.dl_mbps,
        "load.operating.ul_mbps": scenario.operating_load.ul_mbps,
    }
    for key, mbps in loads.items():
        if mbps > capacity:
            raise _fail(
                scenario,
                key,
                mbps,
                f"must be at most {capacity:g}, what the slower of midhaul and backhaul{shared} carries",
            )


def _check_hosts(scenario: Scenario) -> None:
    """Refuse hosts that could be overcommitted, unless contention between containers is simulated."""
    if "contention" in scenario.tables:
        return
    topology = scenario.topology
    most_of = {
        kind: scenario.ranges[kind].upper if kind in scenario.ranges else scenario.fixed[kind]
        for kind in ("cpu_du", "cpu_cu")
    }
    for host in topology.hosts:
        most = sum(most_of[name.rpartition("_")[0]] for name in topology.limits_of_host(host.name))
        if scenario.neighbour is not None:
            most = max(most, scenario.neighbour.pool_cores)
        if most > host.capacity_cores:
            raise _fail(
                scenario,
                f"hosts.{host.name}.capacity_cores",
                host.capacity_cores,
                f"must be at least {most:g}, what its containers may use together (contention is not simulated)",
            )


def _check_bandwidth(scenario: Scenario) -> None:
    """Refuse more PRBs than the carrier has, and so few that control signalling leaves none to uplink data."""
    cell: CellParameters = scenario.cells()[0]
    least = cell.pucch_prb + _LEAST_UL_PRB
    for key, value in _settings_of(scenario, "bw"):
        if value > cell.n_prb:
            raise _fail(scenario, key, value, f"must be at most {cell.n_prb}, the PRBs of the carrier")
        if value < least:
            raise _fail(
                scenario, key, value, f"must be at least {least:g}: control signalling takes {cell.pucch_prb:g} PRBs"
            )


_READ_BY = {"mem_du": "memory", "mem_cu": "memory", "thr": "mobility.load", "gtx": "channel", "grx": "channel"}
"""Kinds of controls that do something only where a mechanism reads them."""


def _check_kinds(scenario: Scenario) -> None:
    """Refuse what can be set but would do nothing; on a virtual radio gains really do nothing."""
    for kind, table in _READ_BY.items():
        inert = kind in ("gtx", "grx") and scenario.radio_mode == "zmq"
        if table in scenario.tables or inert or scenario.value_of_kind(kind) is None:
            continue
        key = f"controls.{kind}" if kind in scenario.ranges else f"fixed.{KINDS[kind].fixed_key}"
        raise InputError(f"nothing here reads it: add [{table}], or leave it out", source=scenario.source, key=key)


def _check_fronthaul(scenario: Scenario) -> None:
    """Refuse a fronthaul that is later than its receive window: every slot would be lost; and windows elsewhere."""
    for leg in ("midhaul", "backhaul"):
        if (other := scenario.part(LinkNoise, f"links.{leg}")) is not None and other.window_ms:
            raise _fail(scenario, f"links.{leg}.window_ms", other.window_ms, "only a fronthaul has a receive window")
    noise = scenario.part(LinkNoise, "links.fronthaul")
    if noise is None or not noise.window_ms or scenario.radio_mode != "rt":
        return
    if noise.jitter_ms and noise.distribution is not Distribution.UNIFORM:
        return
    if (delay := scenario.links.fronthaul_ms) - noise.jitter_ms > noise.window_ms:
        raise _fail(
            scenario,
            "links.fronthaul_ms",
            delay,
            f"must be at most links.fronthaul.window_ms ({noise.window_ms:g}), or every slot is lost",
        )


def _settings_of(scenario: Scenario, kind: str) -> list[tuple[str, float]]:
    """Return the least and the largest value that a kind may take, each with its key; none where it is not set."""
    suffix = KINDS[kind].suffix
    if kind in scenario.ranges:
        limits = scenario.ranges[kind]
        return [
            (f"controls.{kind}.lower_{suffix}", limits.lower),
            (f"controls.{kind}.upper_{suffix}", limits.upper),
        ]
    return [(f"fixed.{KINDS[kind].fixed_key}", scenario.fixed[kind])] if kind in scenario.fixed else []
