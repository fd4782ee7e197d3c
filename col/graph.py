"""The causal graph of a plant as data: one window's variables, the arrows within a window and into the next one.

Three kinds of arrows: `edges` act within a window, `lagged` ones from window t-1 to window t, and `regime` ones, also
from t-1 to t, say who set the controls while the plant was only watched (an autoscaler that follows the load). An
intervention cuts the regime arrows and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import networkx as nx

from col.errors import InputError

__all__ = ["CausalGraph", "Edge", "NodeKind", "at"]

Edge = tuple[str, str]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECTIONS = ("nodes", "edges", "lagged", "regime")


class NodeKind(StrEnum):
    """What a variable is: latent ones are never measured, exogenous ones may be, observables and targets are."""

    CONTROL = "control"
    EXOGENOUS = "exogenous"
    LATENT = "latent"
    OBSERVABLE = "observable"
    TARGET = "target"


def at(name: str, window: int) -> str:
    """Return the node of a variable in a window of the unrolled graph."""
    return f"{name}@{window}"


@dataclass(frozen=True, slots=True)
class CausalGraph:
    """Variables with their kinds, and the arrows between them.

    Raises:
        InputError: an unknown name, a repeated arrow, a cycle within a window, an arrow into an exogenous variable (but
            for its own past and that of other exogenous ones), or one into a control that is not a regime arrow.
    """

    nodes: Mapping[str, NodeKind]
    edges: tuple[Edge, ...] = ()
    lagged: tuple[Edge, ...] = ()
    regime: tuple[Edge, ...] = ()

    def __post_init__(self) -> None:
        """Check and freeze."""
        given: Mapping[Any, Any] = self.nodes
        nodes = {}
        for name, kind in given.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise InputError("names are letters, digits and _", source="graph", key="nodes", value=name)
            if kind not in list(NodeKind):
                known = ", ".join(NodeKind)
                raise InputError(f"must be one of {known}", source="graph", key=f"nodes.{name}", value=kind)
            nodes[name] = NodeKind(kind)
        object.__setattr__(self, "nodes", MappingProxyType(nodes))
        for section in _SECTIONS[1:]:
            object.__setattr__(self, section, self._checked(section, getattr(self, section)))
        if cycle := " -> ".join(_cycle(self.edges)):
            raise InputError(f"cycle {cycle}: what acts on the next window is 'lagged'", source="graph", key="edges")

    def __reduce__(self) -> tuple[type[CausalGraph], tuple[Any, ...]]:
        """Pickle by value: a mapping proxy cannot be pickled."""
        return (CausalGraph, (dict(self.nodes), self.edges, self.lagged, self.regime))

    def __hash__(self) -> int:
        """Hash by value."""
        return hash((tuple(self.nodes.items()), self.edges, self.lagged, self.regime))

    def _checked(self, section: str, edges: Iterable[Any]) -> tuple[Edge, ...]:
        seen: dict[Edge, None] = {}
        for edge in edges:
            if not isinstance(edge, (tuple, list)) or len(edge) != 2:
                raise InputError("an arrow is a pair [from, to]", source="graph", key=section, value=edge)
            tail, head = edge
            unknown = [n for n in (tail, head) if not isinstance(n, str) or n not in self.nodes]
            fault = f"{unknown[0]!r} is not among the nodes" if unknown else self._fault(section, tail, head)
            if not fault and (tail, head) in seen:
                fault = "is listed twice"
            if fault:
                raise InputError(fault, source="graph", key=section, value=[tail, head])
            seen[(tail, head)] = None
        return tuple(seen)

    def _fault(self, section: str, tail: str, head: str) -> str:
        """Return what is wrong with an arrow between known variables, or nothing."""
        kind = self.nodes[head]
        if section == "regime":
            return "" if kind is NodeKind.CONTROL else f"regime arrows lead into controls, {head} is {kind}"
        if kind is NodeKind.CONTROL:
            return f"{head} is a control: what sets it in passive data belongs to 'regime'"
        if kind is NodeKind.EXOGENOUS and not (section == "lagged" and self.nodes[tail] is NodeKind.EXOGENOUS):
            return f"{head} is exogenous: only exogenous variables of the window before may lead into it"
        if section == "edges" and tail == head:
            return "a variable does not cause itself within a window: use 'lagged'"
        return ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: str = "graph") -> CausalGraph:
        """Build a graph from `{"nodes": {name: kind}, "edges": [[from, to], ...], "lagged": ..., "regime": ...}`.

        Raises:
            InputError: an unknown key, a section of the wrong type, or what the class refuses.
        """
        if not isinstance(data, Mapping):
            raise InputError(f"must be a table with {', '.join(_SECTIONS)}", source=source)
        for key in data:
            if key not in _SECTIONS:
                raise InputError(f"unknown key, known are {', '.join(_SECTIONS)}", source=source, key=str(key))
        nodes = data.get("nodes")
        if not isinstance(nodes, Mapping) or not nodes:
            raise InputError("must be a table of names and kinds", source=source, key="nodes")
        arrows = {section: data.get(section, ()) for section in _SECTIONS[1:]}
        for section, edges in arrows.items():
            if not isinstance(edges, (list, tuple)):
                raise InputError("must be a list of pairs [from, to]", source=source, key=section, value=edges)
        try:
            return cls(nodes, **arrows)
        except InputError as error:
            raise InputError(str(error).removeprefix("graph: "), source=source) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as plain data for TOML or JSON; `from_dict` reads it back."""
        arrows = {section: [list(edge) for edge in getattr(self, section)] for section in _SECTIONS[1:]}
        return {"nodes": {name: str(kind) for name, kind in self.nodes.items()}, **arrows}

    def of_kind(self, *kinds: NodeKind) -> tuple[str, ...]:
        """Return the names of these kinds in the order of the graph."""
        return tuple(name for name, kind in self.nodes.items() if kind in kinds)

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls in the order of the graph."""
        return self.of_kind(NodeKind.CONTROL)

    @property
    def measured(self) -> frozenset[str]:
        """All that may be measured: observables, targets and exogenous variables.

        An exogenous variable is measured only where the plant has a metric of its name: intersect with the metrics.
        """
        return frozenset(self.of_kind(NodeKind.OBSERVABLE, NodeKind.TARGET, NodeKind.EXOGENOUS))

    def check(self, controls: Collection[str], metrics: Collection[str], *, source: str = "graph") -> None:
        """Raise InputError unless the graph's controls are the plant's and its observables and targets are metrics."""
        for name in sorted(set(controls) ^ set(self.controls)):
            fault = "the plant has no such control" if name in self.nodes else "the plant's control is not in the graph"
            raise InputError(fault, source=source, key=f"nodes.{name}")
        for name in self.of_kind(NodeKind.OBSERVABLE, NodeKind.TARGET):
            if name not in metrics:
                raise InputError("the plant has no such metric: make it latent", source=source, key=f"nodes.{name}")

    def unroll(self, windows: int, *, with_regime: bool) -> nx.DiGraph:
        """Return the graph over windows 0..windows-1 with nodes `name@t`; without regime arrows it is that under do().

        Variables of window 0 have no past.
        """
        if windows < 1:
            raise InputError("must be at least 1", source="graph", key="windows", value=windows)
        dag = nx.DiGraph()
        past = (*self.lagged, *self.regime) if with_regime else self.lagged
        for t in range(windows):
            dag.add_nodes_from(at(name, t) for name in self.nodes)
            dag.add_edges_from((at(a, t), at(b, t)) for a, b in self.edges)
            if t:
                dag.add_edges_from((at(a, t - 1), at(b, t)) for a, b in past)
        return dag

    def ancestors(self, names: Iterable[str], *, with_regime: bool = False) -> frozenset[str]:
        """Return the variables that act on any of `names`, in the same window or through earlier ones, with `names`."""
        parents: dict[str, list[str]] = {}
        for tail, head in (*self.edges, *self.lagged, *(self.regime if with_regime else ())):
            parents.setdefault(head, []).append(tail)
        found, stack = set(), list(names)
        while stack:
            name = stack.pop()
            if name not in self.nodes:
                raise InputError("is not among the nodes", source="graph", key=name)
            if name not in found:
                found.add(name)
                stack.extend(parents.get(name, ()))
        return frozenset(found)

    def ancestral_controls(self, metric: str) -> tuple[str, ...]:
        """Return the controls that act on a metric under do(), in the order of the graph."""
        acting = self.ancestors([metric])
        return tuple(c for c in self.controls if c in acting and c != metric)


def _cycle(edges: Iterable[Edge]) -> list[str]:
    """Return the names along a cycle, the first one repeated at the end, or nothing."""
    try:
        found = nx.find_cycle(nx.DiGraph(edges))
    except nx.NetworkXNoCycle:
        return []
    return [found[0][0], *(head for _, head in found)]
