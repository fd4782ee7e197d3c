"""The causal graph of a scenario: the templates of `twin.causal_table` joined over a topology.

Every arrow states a mechanism of the twin, and what is absent is a claim that tests check by intervening: a DU's limit
moves no other cell, a CU's limit does not move what the DU stage could carry.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from types import MappingProxyType

from col.errors import InputError
from col.expression import Expression
from col.graph import CausalGraph, Edge, NodeKind
from col.plant import MetricKind
from twin.causal_table import Arrow, Scope, Variable, causal_table
from twin.topology import Topology

__all__ = ["causal_graph", "causal_variables", "derivations", "moved_by", "split_name"]

_KINDS = {MetricKind.TARGET: NodeKind.TARGET, MetricKind.OBSERVABLE: NodeKind.OBSERVABLE}


def causal_graph(
    topology: Topology,
    assumed: Sequence[Edge] = (),
    *,
    removed: Collection[Edge] = (),
    regime: Iterable[Edge] | None = None,
    table: str = "ran",
) -> CausalGraph:
    """Return the graph: edges within a window, lagged edges, and the lagged edges of whoever sets the controls.

    The topology's mechanisms decide which sections of the table hold. `assumed` are arrows within a window that
    somebody wants to allow for besides those of the mechanisms, and `removed` some of those, within a window or lagged,
    that he denies. `regime` are (variable read in the window before, control set); None means the autoscaler's, which
    follows the loads.

    A kind of control that the topology lacks is a constant and no variable; a metric that it lacks is left out.

    Raises:
        InputError: an unknown name or a cycle among `assumed`, or `removed` names an arrow that is not there.
    """
    kinds: dict[str, NodeKind] = {name: NodeKind.CONTROL for name in topology.control_names}
    kinds |= {metric.name: _KINDS[metric.kind] for metric in topology.metrics()}
    unmeasured = {
        name: variable.kind or NodeKind.LATENT
        for name, variable in causal_variables(topology, table).items()
        if name not in kinds or variable.kind is not None
    }
    edges, lagged, _ = _all_edges(topology, table)
    # An exogenous variable that nothing measures is as good as latent; one that something moves is no longer exogenous.
    outside = {name for name, kind in unmeasured.items() if kind is NodeKind.EXOGENOUS} & kinds.keys()
    outside -= {head for _, head in edges} | {head for tail, head in lagged if tail not in outside}
    kinds |= dict.fromkeys((name for name in unmeasured if name in outside), NodeKind.EXOGENOUS)
    telling = _with_effects(kinds, edges, lagged)
    kinds |= dict.fromkeys((n for n in unmeasured if n not in kinds and n in telling), NodeKind.LATENT)
    for edge in removed:
        if edge not in edges and edge not in lagged:
            raise InputError("there is no such arrow to remove", source="graph", key="removed", value=list(edge))
    edges, lagged = (
        tuple(edge for edge in group if telling.issuperset(edge) and edge not in removed) for group in (edges, lagged)
    )
    if regime is None:
        regime = [(load, control) for control, loads in topology.followed_loads().items() for load in loads]
    return CausalGraph(nodes=kinds, edges=(*edges, *assumed), lagged=lagged, regime=tuple(dict.fromkeys(regime)))


def derivations(topology: Topology) -> dict[str, Expression]:
    """Return how delivered throughput follows from unsaturated quantities.

    Throughput saturates at what is offered, so it carries no distance to the cliff; what each stage could carry does.
    The CU is shared by both directions of all its cells in proportion to what they offer.
    """
    out: dict[str, Expression] = {}
    for gnb in topology.gnbs:
        total = " + ".join(topology.loads_of_cu(gnb.cu))
        for way in ("dl", "ul"):
            load = f"load_{way}_{gnb.cell}"
            share = f"cap_cu_{gnb.cu} * {load} / ({total})"
            out[f"thp_{way}_{gnb.cell}"] = Expression.parse(f"min({load}, cap_du_{way}_{gnb.cell}, {share})")
    return out


@cache
def causal_variables(topology: Topology, table: str = "ran") -> Mapping[str, Variable]:
    """Return every variable that the mechanisms of a scenario have, by name, with its row of the table.

    More than the graph's nodes: kinds of controls that are constants here, and what acts on nothing that is measured.
    """
    elements = _Elements(topology)
    return MappingProxyType(
        {
            f"{variable.stem}_{element}": variable
            for row in causal_table(table).active(_switched_on(topology))
            for variable in row.variables
            for element in elements.of(variable.scope)
            if variable.kind is not NodeKind.CONTROL or variable.stem in topology.control_kinds
        }
    )


def moved_by(
    topology: Topology, names: Iterable[str], *, regime: Iterable[Edge] = (), table: str = "ran"
) -> frozenset[str]:
    """Return what an intervention on `names` may move, in the same window or later, with `names`.

    That is what can be reached along the table's arrows, lagged ones and loops, through variables that nothing measures
    too. `regime`: and through controls that follow what they see, unless they are among `names` themselves.
    """
    names = tuple(names)
    children: dict[str, list[str]] = {}
    for tail, head in chain(*_all_edges(topology, table), (edge for edge in regime if edge[1] not in names)):
        children.setdefault(tail, []).append(head)
    found, stack = set(), list(names)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(children.get(name, ()))
    return frozenset(found)


def split_name(name: str) -> tuple[str, str]:
    """Return the stem of a variable's name and which cell, CU, pair or host it is of: ("ps_du", "1")."""
    stem, _, element = name.rpartition("_")
    return stem, element


def _switched_on(topology: Topology) -> frozenset[str]:
    return topology.mechanisms | (frozenset({"neighbour"}) if topology.neighbour else frozenset())


@cache
def _all_edges(topology: Topology, table: str) -> tuple[tuple[Edge, ...], tuple[Edge, ...], tuple[Edge, ...]]:
    """Return the arrows within a window, the lagged ones and the loops, after every mechanism's cuts."""
    groups: tuple[dict[Arrow, None], ...] = ({}, {}, {})
    for row in causal_table(table).active(_switched_on(topology)):
        cuts = (row.cuts, row.cuts_past, row.cuts)
        for kept, cut, added in zip(groups, cuts, (row.arrows, row.past, row.loops), strict=True):
            for arrow in cut:
                kept.pop(arrow, None)
            kept.update(dict.fromkeys(added))
    elements, known = _Elements(topology), causal_variables(topology, table)
    scopes = {split_name(name)[0]: variable.scope for name, variable in known.items()}
    edges, lagged, loops = (
        tuple(dict.fromkeys(edge for arrow in group for edge in elements.join(arrow, scopes))) for group in groups
    )
    return edges, lagged, loops


def _with_effects(measured: Collection[str], *groups: Iterable[Edge]) -> set[str]:
    """Return what is measured and whatever acts on it, at however many removes."""
    parents: dict[str, set[str]] = {}
    for tail, head in chain(*groups):
        parents.setdefault(head, set()).add(tail)
    found, stack = set(), list(measured)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(parents.get(name, ()))
    return found


class _Elements:
    """The cells, CUs, pairs and hosts of a topology, and which of them have a cell in common."""

    def __init__(self, topology: Topology) -> None:
        cells = {str(gnb.cell): {gnb.cell} for gnb in topology.gnbs}
        self._cells: dict[Scope, dict[str, set[int]]] = {
            Scope.CELL: cells,
            Scope.CU: {cu: set(topology.cells_of_cu(cu)) for cu in topology.cus},
            Scope.PAIR: {pair.name: set(pair.cells) for pair in topology.pairs},
            Scope.HOST: {host.name: {gnb.cell for gnb in topology.gnbs_of_host(host.name)} for host in topology.hosts},
        }
        self._at: dict[Scope, dict[int, list[str]]] = {scope: {} for scope in Scope}
        for scope, elements in self._cells.items():
            for element, inside in elements.items():
                for cell in sorted(inside):
                    self._at[scope].setdefault(cell, []).append(element)

    def of(self, scope: Scope) -> Iterable[str]:
        """Return the elements of a scope in the topology's order."""
        return self._cells[scope]

    def near(self, scope: Scope, cells: Iterable[int]) -> list[str]:
        """Return the elements of a scope that have one of these cells, in the order of the cells."""
        return list(dict.fromkeys(element for cell in sorted(cells) for element in self._at[scope].get(cell, ())))

    def join(self, arrow: Arrow, scopes: Mapping[str, Scope]) -> Iterator[Edge]:
        """Yield the arrows of a template between elements that share a cell; none if an end is not there."""
        if arrow.tail not in scopes or arrow.head not in scopes:
            return
        tail, head = scopes[arrow.tail], scopes[arrow.head]
        for child, cells in self._cells[head].items():
            if arrow.through is not None:
                cells = set().union(*(self._cells[arrow.through][e] for e in self.near(arrow.through, cells)))
            for parent in self.near(tail, cells):
                yield f"{arrow.tail}_{parent}", f"{arrow.head}_{child}"
