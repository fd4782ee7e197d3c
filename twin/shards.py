"""One large RAN as several small ones: cells that share no host, CU or pair do not touch each other.

A scenario of more than `MOST_TOGETHER` gNBs is simulated shard by shard, always, each with streams of its own; so what
comes out does not depend on where shards are simulated, nor on how many at once, and a run needs the memory of its
shards at work, not of the whole RAN. Where a scenario's tables name parts of the RAN (faults, controllers), or hosts,
CUs or pairs tie all cells together, it stays in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import networkx as nx

from twin.topology import Topology

if TYPE_CHECKING:
    from twin.ran import RunPlan, RunRecord
    from twin.scenario_model import Scenario

__all__ = ["MOST_TOGETHER", "joined", "plan_of", "shards"]

MOST_TOGETHER = 8
"""gNBs of one shard, unless more of them are tied together."""


def shards(scenario: Scenario) -> tuple[Scenario, ...]:
    """Return the scenario in independent parts, in the order of their first cells; itself if it stays in one piece."""
    topology = scenario.topology
    names_parts = any(isinstance(records, tuple) for records in scenario.tables.values())
    if len(topology.gnbs) <= MOST_TOGETHER or names_parts:
        return (scenario,)
    parts = tuple(_packed(topology))
    if len(parts) == 1:
        return (scenario,)
    return tuple(replace(scenario, topology=_part(topology, cells)) for cells in parts)


def plan_of(plan: RunPlan, part: Scenario) -> RunPlan:
    """Return what a plan of the whole means for a part."""
    topology = part.topology
    own = {*(str(g.cell) for g in topology.gnbs), *topology.cus, *(h.name for h in topology.hosts)}
    own |= {pair.name for pair in topology.pairs}
    return replace(
        plan,
        base=_of(plan.base, own),
        interventions=tuple((at, _of(values, own)) for at, values in plan.interventions),
        held=_of(plan.held, own),
        do=tuple(do for do in plan.do if _owner(do.variable) in own),
    )


def joined(scenario: Scenario, records: Sequence[RunRecord]) -> RunRecord:
    """Return the record of the whole from those of its shards, in their order."""
    topology = scenario.topology
    controls, metrics, hidden = (
        {name: column for record in records for name, column in getattr(record, part).items()}
        for part in ("controls", "metrics", "hidden")
    )
    return replace(
        records[0],
        packets={cell: log for record in records for cell, log in record.packets.items()},
        controls={name: controls[name] for name in topology.control_names},
        metrics={name: metrics[name] for name in dict.fromkeys(metric.name for metric in topology.metrics())},
        hidden=hidden,
        events=tuple(sorted((e for record in records for e in record.events), key=lambda event: event.at_ms)),
    )


def _owner(variable: str) -> str:
    return variable.rpartition("_")[2]


def _of(values: Mapping[str, float], own: set[str]) -> dict[str, float]:
    return {name: value for name, value in values.items() if _owner(name) in own}


def _packed(topology: Topology) -> Iterator[set[int]]:
    """Yield sets of cells: pools that nothing ties together, as many as fit into one shard."""
    ties = nx.Graph()
    for gnb in topology.gnbs:
        ties.add_edges_from([(gnb.cell, ("host", gnb.host)), (gnb.cell, ("cu", gnb.cu))])
    ties.add_edges_from((cell, ("pair", pair.name)) for pair in topology.pairs for cell in pair.cells)
    place = {gnb.cell: at for at, gnb in enumerate(topology.gnbs)}
    pools = [{node for node in pool if isinstance(node, int)} for pool in nx.connected_components(ties)]
    shard: set[int] = set()
    for pool in sorted(pools, key=lambda cells: min(place[cell] for cell in cells)):
        if shard and len(shard) + len(pool) > MOST_TOGETHER:
            yield shard
            shard = set()
        shard |= pool
    yield shard


def _part(topology: Topology, cells: set[int]) -> Topology:
    gnbs = tuple(gnb for gnb in topology.gnbs if gnb.cell in cells)
    used = {gnb.host for gnb in gnbs}
    return replace(
        topology,
        gnbs=gnbs,
        hosts=tuple(host for host in topology.hosts if host.name in used),
        pairs=tuple(pair for pair in topology.pairs if pair.cells[0] in cells),
    )
