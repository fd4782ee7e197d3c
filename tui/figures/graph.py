"""The causal graph of one gNB, with what is set, what is seen, what is hidden, and what the effect is adjusted for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tui.figures.layers import layers_of, order_layers, spread
from tui.figures.svg import Svg

__all__ = ["GraphView", "graph_figure"]

Edge = tuple[str, str]

_NODE_W, _NODE_H, _ROW, _COLUMN, _LEGEND = 92.0, 24.0, 33.0, 148.0, 46.0
_KINDS = (
    ("control", "control, set by do()"),
    ("exogenous", "exogenous, measured"),
    ("latent", "latent"),
    ("observable", "observable"),
    ("target", "target"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphView:
    """A part of a causal graph to draw.

    `kinds` gives each node's kind; `regime` are the lagged edges into controls (who set them in the passive data);
    `adjustment` holds (metric, lag) of the back-door set; `persistent` are nodes that carry over to the next window.
    """

    title: str
    kinds: Mapping[str, str]
    edges: Sequence[Edge]
    regime: Sequence[Edge]
    adjustment: Collection[tuple[str, int]]
    persistent: Collection[str] = ()


def graph_figure(view: GraphView) -> str:
    """Return the figure: causes to the left, effects to the right, the window before in the first column."""
    columns, y, before = _layout(view)
    height = max(len(c) for c in columns) * _ROW + 30
    width = max(len(columns) * _COLUMN + 10, 960)
    pitch = (width - 20 - _NODE_W) / max(len(columns) - 1, 1)
    svg = Svg(width, height + _LEGEND, f"{view.title}: causal graph")
    svg.add(
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="6" markerHeight="6" '
        'orient="auto-start-reverse"><path d="M0 0.8L7.5 4L0 7.2Z" class="arrow"/></marker>'
        '<marker id="arrow-regime" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="6" markerHeight="6" '
        'orient="auto-start-reverse"><path d="M0 0.8L7.5 4L0 7.2Z" class="arrow-regime"/></marker></defs>'
    )
    x = {node: 10 + k * pitch for k, column in enumerate(columns) for node in column}
    y = {node: at + 26 for node, at in y.items()}
    if before:
        edge = 10 + _NODE_W + (pitch - _NODE_W) / 2
        svg.line(edge, 4, edge, height, "split")
        svg.text(edge - 6, 12, "window t − 1", "note", "end")
        svg.text(edge + 6, 12, "window t", "note")
    regime = {(f"{a}@before", b) for a, b in view.regime}
    for a, b in [*view.edges, *_carried(view, before)]:
        _edge(svg, x[a], y[a], x[b], y[b], "edge", "arrow")
    for a, b in sorted(regime):
        if a in x and b in x:
            _edge(svg, x[a], y[a], x[b], y[b], "edge-regime", "arrow-regime")
    for node in x:
        name, lag = (node.removesuffix("@before"), 1) if node.endswith("@before") else (node, 0)
        _node(svg, x[node], y[node], name, view.kinds[name], adjusted=(name, lag) in view.adjustment)
    _legend(svg, height + 22)
    return svg.render("graph")


def _layout(view: GraphView) -> tuple[list[list[str]], dict[str, float], list[str]]:
    """Return columns, vertical places and the nodes of the window before; that window has a column of its own."""
    nodes = list(view.kinds)
    layer = layers_of(nodes, view.edges)
    lagged = {name for name, lag in view.adjustment if lag == 1} | {a for a, _ in view.regime}
    before = [f"{name}@before" for name in nodes if name in lagged]
    shift = 1 if before else 0
    layer = {node: at + shift for node, at in layer.items()} | {node: 0 for node in before}
    links = [
        *view.edges,
        *((f"{a}@before", b) for a, b in view.regime if f"{a}@before" in layer),
        *_carried(view, before),
    ]
    columns = [column for column in order_layers(layer, links) if column]
    tallest = max(len(column) for column in columns)
    return columns, spread(columns, links, tallest * _ROW, _ROW), before


def _carried(view: GraphView, before: Sequence[str]) -> list[Edge]:
    return [(node, name) for node in before if (name := node.removesuffix("@before")) in view.persistent]


def _edge(svg: Svg, xa: float, ya: float, xb: float, yb: float, css: str, marker: str) -> None:
    start, end = xa + _NODE_W, xb - 1
    bend = max(26.0, (end - start) * 0.45)
    svg.add(
        f'<path d="M{start:.1f} {ya:.1f}C{start + bend:.1f} {ya:.1f} {end - bend:.1f} {yb:.1f} {end:.1f} {yb:.1f}" '
        f'class="{css}" marker-end="url(#{marker})"/>'
    )


def _node(svg: Svg, x: float, y: float, name: str, kind: str, *, adjusted: bool) -> None:
    radius = 2 if kind == "control" else _NODE_H / 2 if kind in {"exogenous", "latent"} else 6
    if adjusted:
        svg.rect(x - 4, y - _NODE_H / 2 - 4, _NODE_W + 8, _NODE_H + 8, "node-adjusted", radius + 4)
    svg.rect(x, y - _NODE_H / 2, _NODE_W, _NODE_H, f"node node-{kind}", radius, f"{name}: {kind}")
    svg.text(x + _NODE_W / 2, y + 4, name, f"node-text node-text-{kind}", "middle")


def _legend(svg: Svg, y: float) -> None:
    at = 10.0
    for kind, label in _KINDS:
        radius = 2 if kind == "control" else 7 if kind in {"exogenous", "latent"} else 4
        svg.rect(at, y - 7, 26, 14, f"node node-{kind}", radius)
        svg.text(at + 32, y + 4, label, "tick")
        at += 44 + 6.7 * len(label)
    svg.rect(at, y - 8, 28, 16, "node-adjusted", 8)
    svg.text(at + 34, y + 4, "adjusted for", "tick")
    at += 106
    svg.add(f'<path d="M{at:.1f} {y:.1f}h26" class="edge-regime" marker-end="url(#arrow-regime)"/>')
    svg.text(at + 33, y + 4, "autoscaler, cut by do()", "tick")
