"""What a scenario says of its causal graph: which table it is built from, and arrows added or denied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from col.errors import InputError
from col.graph import CausalGraph, Edge
from twin.causal_graph import causal_graph
from twin.causal_table import causal_table
from twin.strict import Section
from twin.topology import Topology

__all__ = ["GraphChoice", "read_graph_choice"]

_TABLE = "ran"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphChoice:
    """`[graph]` of a scenario.

    `table` names a table of mechanisms that comes with the package (`twin.causal_table`). `assumed_arrows` act within a
    window, besides the mechanisms'; `removed_arrows` are some of theirs that the scenario denies. Both change what is
    learned from, not what the twin does.
    """

    table: str = _TABLE
    assumed_arrows: tuple[Edge, ...] = ()
    removed_arrows: tuple[Edge, ...] = ()

    def graph(self, topology: Topology, regime: Iterable[Edge] | None = None) -> CausalGraph:
        """Return the graph over a topology; see `causal_graph`."""
        return causal_graph(topology, self.assumed_arrows, removed=self.removed_arrows, regime=regime, table=self.table)

    def to_dict(self) -> dict[str, Any]:
        """Return the table that it was read from, without what is as usual."""
        out: dict[str, Any] = {} if self.table == _TABLE else {"table": self.table}
        for key in ("assumed_arrows", "removed_arrows"):
            if arrows := getattr(self, key):
                out[key] = [list(arrow) for arrow in arrows]
        return out


def read_graph_choice(section: Section, topology: Topology) -> GraphChoice:
    """Read `[graph]`; no such table, a cycle, an unknown name or an arrow that is not there is an InputError."""
    table = section.text("table", default=_TABLE)
    assumed, removed = section.pairs("assumed_arrows"), section.pairs("removed_arrows")
    section.close()
    choice = GraphChoice()
    steps = (
        ("table", GraphChoice(table=table)),
        ("removed_arrows", GraphChoice(table=table, removed_arrows=removed)),
        ("assumed_arrows", GraphChoice(table=table, removed_arrows=removed, assumed_arrows=assumed)),
    )
    for key, step in steps:
        if step == choice:
            continue
        choice = step
        try:
            if key == "table":
                causal_table(table)
            else:
                choice.graph(topology)
        except InputError as error:
            raise section.fail(key, str(error).removeprefix("graph: ")) from error
    return choice
