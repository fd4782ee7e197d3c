"""What passive data say of an intervention: joint back-door sets, for one control or many at once.

Criterion, for treatments X, outcome y and an adjustment set Z (Pearl's back-door criterion carried to joint
interventions; Shpitser, VanderWeele & Robins 2010, van der Zander, Liskiewicz & Textor 2014): no variable of Z is a
descendant of X, and Z d-separates X from y in the *proper back-door graph*, which lacks the first arrow of every causal
path that leads from X to y without meeting X again. Then P(y | do(x)) = sum_z P(y | x, z) P(z).

A smallest set is a smallest vertex cut in the moral graph of the ancestors, so the search is a maximum flow and not a
walk over subsets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import networkx as nx

from col.errors import InputError, NotIdentifiableError
from col.graph import CausalGraph, NodeKind, at

__all__ = ["Estimand", "Lagged", "is_backdoor_set", "joint_backdoor", "open_path"]

Lagged = tuple[str, int]
"""A variable and how many windows before the outcome's it is read."""

_LONGEST_PAST: Final = 16
"""Most windows that are unrolled before the adjustment variables."""
_EACH: Final = 10**6
"""Cost of one adjustment variable: their number decides, preferences only between sets of equal size."""
_PREFERENCE: Final[Mapping[NodeKind, int]] = {
    NodeKind.EXOGENOUS: 0,
    NodeKind.OBSERVABLE: 100,
    NodeKind.TARGET: 200,
    NodeKind.CONTROL: 300,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimand:
    """How the effect of an intervention on one variable follows from passive windows.

    `effective` are the treatments that act on the outcome; others drop out (rule 3 of the do-calculus).
    """

    treatments: tuple[str, ...]
    outcome: str
    adjustment: tuple[Lagged, ...]
    effective: tuple[Lagged, ...]

    @property
    def formula(self) -> str:
        """The adjustment formula as text, lags as `(t)`, `(t-1)`."""
        do = f"P({self.outcome} | do({', '.join(self.treatments)}))"
        acting = [_moment(name, lag) if lag else name for name, lag in self.effective]
        weights = ", ".join(_moment(name, lag) for name, lag in self.adjustment)
        known = ", ".join([*acting, *([weights] if weights else [])])
        inner = f"P({self.outcome} | {known})" if known else f"P({self.outcome})"
        return f"{do} = sum_{{{weights}}} {inner} P({weights})" if weights else f"{do} = {inner}"


def is_backdoor_set(dag: nx.DiGraph, treatments: Collection[str], outcome: str, z: Collection[str]) -> bool:
    """Return whether `z` satisfies the joint back-door criterion for do(treatments) on `outcome`.

    `dag` is a directed acyclic graph with the latent variables among its nodes, for example `CausalGraph.unroll(...)`.

    Raises:
        InputError: a variable is not in the graph, or the outcome is a treatment.
    """
    x, given = _checked(dag, treatments, outcome, z)
    if given & (_closure(dag, x, nx.descendants) | {outcome}):
        return False
    return _open_walk(_proper_backdoor_graph(dag, x, outcome), x, outcome, given) is None


def open_path(dag: nx.DiGraph, treatments: Collection[str], outcome: str, z: Collection[str]) -> tuple[str, ...]:
    """Return a shortest non-causal path that `z` leaves open as `(node, arrow, node, ...)`, or () where there is none.

    Arrows are "->" and "<-". A collider on it is in `z` or a cause of something in `z`.
    """
    x, given = _checked(dag, treatments, outcome, z)
    return _open_walk(_proper_backdoor_graph(dag, x, outcome), x, outcome, given) or ()


def joint_backdoor(
    graph: CausalGraph,
    treatments: Sequence[str],
    outcome: str,
    measured: Collection[str],
    *,
    include: Collection[Lagged] = (),
    held: int = 1,
) -> Estimand:
    """Return a smallest joint back-door set for do(treatments) on `outcome`, both in window t.

    Controls that are not named keep following what sets them in the passive data; a plant's trial holds them all, so
    name them all to ask for the effect of a trial.

    Args:
        graph: the causal graph; its regime arrows say who set the controls in the passive data.
        treatments: the controls that are set together.
        outcome: the variable that is asked for.
        measured: names that may be adjusted for; latent ones and names outside the graph do not count. Among sets of
            equal size exogenous variables come first, then observables, targets and other controls, and of each
            lag 1, then lag 0, then longer ones.
        include: variables to adjust for in any case, for example the load that the effect is carried to.
        held: for how many windows, t among them, the intervention has been in force.

    Raises:
        NotIdentifiableError: no set of measured variables is valid; the message names a path that stays open.
        InputError: an unknown name, a treatment that is no control, or an effect of the treatments to include.
    """
    _check_request(graph, treatments, outcome, measured, include, held)
    names = tuple(dict.fromkeys(treatments))
    involved = graph.ancestors([outcome, *(name for name, _ in include)], with_regime=True)
    lags = max([held, *(lag for _, lag in include)])
    now = _past(graph, involved) + lags
    dag = graph.unroll(now + 1, with_regime=True)
    dag = dag.subgraph([at(name, t) for name in involved for t in range(now + 1)]).copy()

    y = at(outcome, now)
    set_nodes = {at(name, now - lag): (name, lag) for lag in range(held) for name in names if name in involved}
    causes = _causes_apart(dag, set_nodes, y)
    x = {node for node in set_nodes if not causes.isdisjoint(dag.successors(node))}
    effects = _closure(dag, x, nx.descendants)
    forced = {at(name, now - lag): (name, lag) for name, lag in include}
    for node in sorted(forced.keys() & (effects | {y})):
        raise InputError("cannot be adjusted for: it is an effect of the treatments", key="include", value=forced[node])
    candidates = {
        at(name, now - lag): (name, lag)
        for name in sorted(involved & set(measured))
        for lag in range(lags + 1)
        if graph.nodes[name] in _PREFERENCE
    }
    allowed = {node: _cost(graph, *v) for node, v in candidates.items() if node not in effects | {y}}

    backdoor = _proper_backdoor_graph(dag, x, y)
    cut = _smallest_separator(backdoor, x, y, allowed, forced.keys())
    if cut is None:
        # If any set separates, then all that is allowed among the ancestors does: what it leaves open cannot be closed.
        most = (allowed.keys() & _closure(backdoor, {*x, y, *forced}, nx.ancestors)) | forced.keys()
        path = _open_walk(backdoor, x, y, most) or ()
        raise NotIdentifiableError(_explain(graph, names, outcome, path, now, measured))
    order = list(graph.nodes)
    return Estimand(
        treatments=names,
        outcome=outcome,
        adjustment=tuple(sorted((candidates[n] for n in cut), key=lambda v: (-v[1], order.index(v[0])))),
        effective=tuple(v for node, v in set_nodes.items() if node in x),
    )


def _check_request(
    graph: CausalGraph,
    treatments: Sequence[str],
    outcome: str,
    measured: Collection[str],
    include: Collection[Lagged],
    held: int,
) -> None:
    if isinstance(treatments, str) or not treatments:
        raise InputError("must be a list of at least one control", key="treatments", value=treatments)
    for name in treatments:
        if name not in graph.controls:
            raise InputError(f"is no control, known are {', '.join(graph.controls)}", key="treatments", value=name)
    if graph.nodes.get(outcome, NodeKind.CONTROL) is NodeKind.CONTROL:
        raise InputError("must be a variable of the graph that is no control", key="outcome", value=outcome)
    if held < 1:
        raise InputError("must be at least 1 window", key="held", value=held)
    for name, lag in include:
        if name not in measured or graph.nodes.get(name, NodeKind.LATENT) is NodeKind.LATENT or not 0 <= lag <= 8:
            raise InputError("must be a measured variable at a lag of 0 to 8", key="include", value=(name, lag))


def _checked(
    dag: nx.DiGraph, treatments: Collection[str], outcome: str, z: Collection[str]
) -> tuple[set[str], set[str]]:
    if isinstance(treatments, str) or isinstance(z, str) or not treatments:
        raise InputError("must be a collection of at least one node", key="treatments", value=treatments)
    for node in (*treatments, outcome, *z):
        if node not in dag:
            raise InputError("is not in the graph", key="node", value=node)
    if outcome in treatments:
        raise InputError("cannot be a treatment at the same time", key="outcome", value=outcome)
    return set(treatments), set(z)


def _past(graph: CausalGraph, involved: Collection[str]) -> int:
    """Return the windows to unroll before the adjustment variables.

    A common cause in the past needs at most about one window for each variable that reaches into the next one.
    """
    carriers = {tail for tail, _ in (*graph.lagged, *graph.regime) if tail in involved}
    return min(_LONGEST_PAST, 1 + len(carriers))


def _cost(graph: CausalGraph, name: str, lag: int) -> int:
    return _EACH + _PREFERENCE[graph.nodes[name]] + (1 if lag == 0 else 2 * (lag - 1))


def _closure(dag: nx.DiGraph, nodes: Collection[str], relatives: Callable[[nx.DiGraph, str], set[str]]) -> set[str]:
    """Return `nodes` with all their ancestors or descendants."""
    found = set(nodes)
    for node in nodes:
        found |= relatives(dag, node)
    return found


def _causes_apart(dag: nx.DiGraph, x: Collection[str], y: str) -> set[str]:
    """Return the nodes that reach `y` without meeting `x`, with `y`."""
    rest = dag.subgraph(dag.nodes - set(x))
    return {y, *nx.ancestors(rest, y)}


def _proper_backdoor_graph(dag: nx.DiGraph, x: Collection[str], y: str) -> nx.DiGraph:
    """Return the graph without the first arrow of every causal path from `x` to `y` that does not meet `x` again."""
    causes = _causes_apart(dag, x, y)
    cut = dag.copy()
    cut.remove_edges_from([(node, v) for node in x for v in dag.successors(node) if v in causes])
    return cut


def _open_walk(dag: nx.DiGraph, x: Collection[str], y: str, z: Collection[str]) -> tuple[str, ...] | None:
    """Return a shortest walk that d-connects `x` and `y` given `z`, or None where they are d-separated.

    A search over (node, whether the last arrow points at it); linear in the arrows (Shachter's Bayes ball, 1998).
    """
    opened = _closure(dag, z, nx.ancestors)
    came: dict[tuple[str, bool], tuple[tuple[str, bool], str] | None] = {(node, False): None for node in sorted(x)}
    queue = deque(came)
    while queue:
        state = queue.popleft()
        node, pointed_at = state
        if node == y:
            walk = [node]
            while (step := came[state]) is not None:
                state, arrow = step
                walk += [arrow, state[0]]
            return tuple(reversed(walk))
        steps: list[tuple[str, bool, str]] = []
        if node not in z:
            steps += [(child, True, "->") for child in dag.successors(node)]
        if (node in opened) if pointed_at else (node not in z):
            steps += [(parent, False, "<-") for parent in dag.predecessors(node)]
        for neighbour, points, arrow in steps:
            if (neighbour, points) not in came:
                came[(neighbour, points)] = (state, arrow)
                queue.append((neighbour, points))
    return None


def _smallest_separator(
    dag: nx.DiGraph, x: Collection[str], y: str, allowed: Mapping[str, int], forced: Collection[str]
) -> set[str] | None:
    """Return the cheapest set of `allowed` nodes that with `forced` d-separates `x` from `y`, with `forced`.

    None where there is none. Every minimal separator lies among the ancestors of x, y and the forced nodes and is a
    vertex cut of their moral graph.
    """
    kept = dag.subgraph(_closure(dag, {*x, y, *forced}, nx.ancestors))
    links = set(kept.edges)
    for node in kept:
        links.update(combinations(sorted(kept.predecessors(node)), 2))
    flow = nx.DiGraph()
    for node in sorted(kept.nodes - set(forced)):
        capacity = {"capacity": allowed[node]} if node in allowed else {}  # no capacity means no limit
        flow.add_edge((node, "in"), (node, "out"), **capacity)
    for a, b in sorted(links):
        if a not in forced and b not in forced:
            flow.add_edge((a, "out"), (b, "in"))
            flow.add_edge((b, "out"), (a, "in"))
    flow.add_edges_from(("source", (node, "in")) for node in sorted(x))
    if not x:
        return set(forced)
    try:
        _, (near, _) = nx.minimum_cut(flow, "source", (y, "out"), flow_func=nx.algorithms.flow.edmonds_karp)
    except nx.NetworkXUnbounded:
        return None
    return {node for node in allowed if (node, "in") in near and (node, "out") not in near} | set(forced)


def _moment(name: str, lag: int) -> str:
    return f"{name}(t-{lag})" if lag else f"{name}(t)"


def _explain(
    graph: CausalGraph,
    treatments: Sequence[str],
    outcome: str,
    path: Sequence[str],
    now: int,
    measured: Collection[str],
) -> str:
    """Return one line that names an open path and what is not measured on it."""
    shown, hidden = [], []
    for part in path:
        name, _, window = part.partition("@")
        shown.append(_moment(name, now - int(window)) if window else part)
        latent = window and name != outcome and graph.nodes[name] is not NodeKind.CONTROL
        if latent and (name not in measured or graph.nodes[name] is NodeKind.LATENT):
            hidden.append(name)
    reason = (
        f"not measured: {', '.join(dict.fromkeys(hidden))}" if hidden else "what could close it is an effect itself"
    )
    return (
        f"the effect of do({', '.join(treatments)}) on {outcome} does not follow from passive windows: "
        f"{' '.join(shown)} stays open; {reason}"
    )
