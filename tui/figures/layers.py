"""Layered drawing of a directed acyclic graph, left to right: layers by longest path, few crossings by barycentres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["layers_of", "order_layers", "spread"]

Edge = tuple[str, str]


def layers_of(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Return the layer of each node: longest path from a source; a source stands just before its first child."""
    parents: dict[str, list[str]] = {n: [] for n in nodes}
    children: dict[str, list[str]] = {n: [] for n in nodes}
    for a, b in edges:
        parents[b].append(a)
        children[a].append(b)
    layer: dict[str, int] = {}
    left = {n: len(parents[n]) for n in nodes}
    ready = [n for n in nodes if not left[n]]
    while ready:
        node = ready.pop()
        layer[node] = max((layer[p] + 1 for p in parents[node]), default=0)
        for child in children[node]:
            left[child] -= 1
            if not left[child]:
                ready.append(child)
    for node in nodes:
        if not parents[node] and children[node]:
            layer[node] = min(layer[c] for c in children[node]) - 1
    return layer


def order_layers(layer: Mapping[str, int], edges: Sequence[Edge], rounds: int = 12) -> list[list[str]]:
    """Return the nodes of each layer from top to bottom, ordered so that few edges cross."""
    columns: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for node, at in layer.items():
        columns[at].append(node)
    neighbours: dict[str, list[str]] = {n: [] for n in layer}
    for a, b in edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    best, fewest = [list(c) for c in columns], _crossings(columns, layer, edges)
    for turn in range(rounds):
        place = {n: (k + 0.5) / len(column) for column in columns for k, n in enumerate(column)}
        forward = turn % 2 == 0
        for at in range(len(columns)) if forward else reversed(range(len(columns))):
            toward = {
                n: [place[m] for m in neighbours[n] if (layer[m] < at if forward else layer[m] > at)] or [place[n]]
                for n in columns[at]
            }
            columns[at].sort(key=lambda n: (sum(toward[n]) / len(toward[n]), place[n]))
            place.update({n: (k + 0.5) / len(columns[at]) for k, n in enumerate(columns[at])})
        count = _crossings(columns, layer, edges)
        if count < fewest:
            best, fewest = [list(c) for c in columns], count
    return best


def spread(columns: Sequence[Sequence[str]], edges: Sequence[Edge], height: float, gap: float) -> dict[str, float]:
    """Return the vertical place of each node in [0, height]: near its neighbours, at least `gap` from the next one."""
    y = {n: height * (k + 0.5) / len(column) for column in columns for k, n in enumerate(column)}
    near: dict[str, list[str]] = {n: [] for n in y}
    for a, b in edges:
        near[a].append(b)
        near[b].append(a)
    for _ in range(30):
        for column in columns:
            wish = [sum(y[m] for m in near[n]) / len(near[n]) if near[n] else y[n] for n in column]
            for n, at in zip(column, _apart(wish, gap, height), strict=True):
                y[n] = 0.5 * y[n] + 0.5 * at
    for column in columns:
        y.update(zip(column, _apart([y[n] for n in column], gap, height), strict=True))
    return y


def _apart(wish: Iterable[float], gap: float, height: float) -> list[float]:
    """Return the places nearest to the wishes that keep the order, the gap and the margins."""
    places = list(wish)
    if not places:
        return []
    gap = min(gap, height / len(places))
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + gap)
    places[-1] = min(places[-1], height - gap / 2)
    for k in range(len(places) - 2, -1, -1):
        places[k] = min(places[k], places[k + 1] - gap)
    places[0] = max(places[0], gap / 2)
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + gap)
    return places


def _crossings(columns: Sequence[Sequence[str]], layer: Mapping[str, int], edges: Sequence[Edge]) -> int:
    place = {n: (k + 0.5) / len(column) for column in columns for k, n in enumerate(column)}
    spans = [(layer[a], layer[b], place[a], place[b]) for a, b in edges]
    return sum(
        1
        for i, (a1, b1, p1, q1) in enumerate(spans)
        for a2, b2, p2, q2 in spans[i + 1 :]
        if a1 < b2 and a2 < b1 and (p1 - p2) * (q1 - q2) < 0
    )
