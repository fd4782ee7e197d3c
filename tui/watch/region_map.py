"""The region's heat map in characters: how safe, where the border runs, and what lies on it.

A band has a glyph as well as a ground colour, and the border is drawn: the map reads without colours. Letters: `nx`,
`ny` points of the slice, `w`, `h` cells of the map; the top row is the largest `y`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from tui.watch.kept import Kept
from tui.watch.marks import HEAT_BANDS, Line, Span, fit, number, unit_word, verdict_mark
from tui.watch.state import RegionView

__all__ = ["BAND_GLYPHS", "BORDER", "band_edges", "bound_at", "cell_of", "heat_legend", "heat_map", "value_step"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BAND_GLYPHS = " ·:░▒▓"
BORDER = "█"
_MARGIN = 7


def band_edges(alpha: float) -> tuple[float, ...]:
    """Return the bounds between the bands: four up to alpha, two above."""
    return (alpha * 0.25, alpha * 0.5, alpha * 0.75, alpha, (1 + alpha) / 2)


def _ends(region: RegionView) -> tuple[float, float, float, float] | None:
    x, y = region.control(region.x), region.control(region.y)
    return None if x is None or y is None else (x.lower, x.upper, y.lower, y.upper)


def cell_of(region: RegionView, x: float, y: float, width: int, height: int) -> tuple[int, int] | None:
    """Return the column and row of a point, None where the map does not show it."""
    ends = _ends(region)
    if ends is None:
        return None
    across = (x - ends[0]) / (ends[1] - ends[0])
    up = (y - ends[2]) / (ends[3] - ends[2])
    if not (-1e-9 <= across <= 1 + 1e-9 and -1e-9 <= up <= 1 + 1e-9):
        return None
    return min(int(across * width), width - 1), height - 1 - min(int(up * height), height - 1)


def value_step(region: RegionView, width: int, height: int) -> tuple[float, float]:
    """Return how far one press of an arrow goes in each control: a cell, at least what can be set."""
    x, y = region.control(region.x), region.control(region.y)
    if x is None or y is None:
        return 0.0, 0.0
    return (
        max((x.upper - x.lower) / max(width, 1), x.resolution),
        max((y.upper - y.lower) / max(height, 1), y.resolution),
    )


def bound_at(region: RegionView, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the slice's bound at all pairs of `y` (h,) and `x` (w,), between its points linearly, shape (h, w)."""
    if region.lower is None or not region.lower.size:
        return np.full((len(y), len(x)), np.nan)
    table = _between(region.x_values, np.asarray(region.lower, dtype=float), x)
    return _between(region.y_values, table.T, y).T


def _between(at: FloatArray, table: FloatArray, wanted: FloatArray) -> FloatArray:
    """Interpolate the columns of a table (any, n), given at `at` (n,), to `wanted` (m,), shape (any, m)."""
    place = np.interp(wanted, at, np.arange(len(at), dtype=float))
    left = np.minimum(place.astype(np.int64), max(len(at) - 2, 0))
    share = place - left
    right = np.minimum(left + 1, len(at) - 1)
    result: FloatArray = table[:, left] * (1 - share) + table[:, right] * share
    return result


def heat_map(
    region: RegionView, width: int, height: int, cursor: tuple[float, float] | None = None
) -> tuple[Line, ...]:
    """Return the map with both axes: `height` lines in all, the last two are the axis of `x`."""
    ends = _ends(region)
    w, h = width - _MARGIN - 1, height - 2
    if ends is None or w < 8 or h < 3:
        return ()
    slice_ = (region.lower, region.x_values, region.y_values)
    cells, spans = _KEPT.get(slice_, (ends, w, h, region.alpha), lambda: _ground(region, ends, w, h))
    marks = _marks(region, w, h)
    if cursor is not None and (at := cell_of(region, *cursor, w, h)) is not None:
        below = marks.get(at)
        marks[at] = (below[0] if below is not None else "╋", "pointer")
    marked: dict[int, list[Span]] = {}
    for (column, row), mark in marks.items():
        marked.setdefault(row, list(cells[row]))[column] = mark
    labels = {0: number(ends[3]), h // 2: number((ends[2] + ends[3]) / 2), h - 1: number(ends[2])}
    lines: list[Line] = []
    for k, ground in enumerate(spans):
        axis: list[Span] = [(fit(labels.get(k, ""), _MARGIN, right=True), "dim"), ("┤" if k in labels else "│", "rule")]
        lines.append((*axis, *(_joined(marked[k]) if k in marked else ground)))
    return (*lines, *_x_axis(region, ends, w))


def _x_axis(region: RegionView, ends: tuple[float, float, float, float], w: int) -> tuple[Line, Line]:
    unit = unit_word(getattr(region.control(region.x), "unit", ""))
    low, middle, high = number(ends[0]), number((ends[0] + ends[1]) / 2), number(ends[1])
    half = w // 2
    line = fit(low, half - len(middle) // 2) + middle
    line = fit(line, w - len(high)) + high
    name = f"→ {region.x}, {unit}"
    ticks = "└" + "".join("┴" if k in (0, half, w - 1) else "─" for k in range(w))
    return (
        ((" " * _MARGIN + ticks, "rule"),),
        ((" " * (_MARGIN + 1) + line[: half - len(middle) // 2], "dim"), (line[half - len(middle) // 2 :], "dim"))
        if w < 40
        else ((" " * (_MARGIN + 1), "dim"), *_x_labels(line, name, w)),
    )


def _x_labels(line: str, name: str, w: int) -> tuple[Span, ...]:
    """Put the control's name between the first and the middle label where it fits."""
    start = len(line) - len(line.lstrip()) + 7
    if line[start : start + len(name) + 2].strip() == "":
        return (line[:start], "dim"), (name, "text"), (line[start + len(name) :], "dim")
    return ((line, "dim"),)


_Ground = tuple[list[list[Span]], list[list[Span]]]
_KEPT: Kept[_Ground] = Kept()


def _ground(region: RegionView, ends: tuple[float, float, float, float], w: int, h: int) -> _Ground:
    """Return the map without what lies on it: by cell, and each row as few spans."""
    x = ends[0] + (np.arange(w) + 0.5) * (ends[1] - ends[0]) / w
    y = ends[3] - (np.arange(h) + 0.5) * (ends[3] - ends[2]) / h
    cells = _grounds(bound_at(region, x, y), region.alpha)
    return cells, [_joined(row) for row in cells]


def _grounds(bound: FloatArray, alpha: float) -> list[list[Span]]:
    """Return each cell's glyph and role: its band, or the border where the region ends."""
    bands = np.searchsorted(np.array(band_edges(alpha)), np.nan_to_num(bound, nan=-1.0), side="right")
    inside = bound >= alpha
    padded = np.pad(inside, 1, mode="edge")
    whole = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    border = inside & ~whole
    roles = [f"heat{k}" for k in range(HEAT_BANDS)]
    nothing: Span = (" ", "text")
    missing = np.isnan(bound)
    return [
        [
            nothing if none else (BORDER, "border") if edge else (BAND_GLYPHS[band], roles[band])
            for band, edge, none in zip(*row, strict=True)
        ]
        for row in zip(bands.tolist(), border.tolist(), missing.tolist(), strict=True)
    ]


def _marks(region: RegionView, w: int, h: int) -> dict[tuple[int, int], Span]:
    """Return what lies on the map, by cell: trials in order, then what is more important than a trial."""
    marks: dict[tuple[int, int], Span] = {}

    def put(values: Mapping[str, float], glyph: str) -> None:
        if region.x in values and region.y in values:
            at = cell_of(region, values[region.x], values[region.y], w, h)
            if at is not None:
                marks[at] = (glyph, "marker")

    for trial in region.trials:
        put(trial.values, verdict_mark(trial.verdict).glyph)
    put(region.cheapest, "$")
    put(region.following, "▷")
    put(region.confirmed, "◇")
    put(region.current, "◆")
    return marks


def heat_legend(alpha: float, *, has_next: bool = False) -> tuple[Line, Line]:
    """Return what the glyphs mean, in two lines; `has_next` if the map has what is tried next."""
    edges = band_edges(alpha)
    spans: list[Span] = [("P ≥ ", "dim")]
    for k, glyph in enumerate(BAND_GLYPHS):
        spans += [(glyph * 2, f"heat{k}"), (" 0 " if k == 0 else f" {edges[k - 1]:.2f} ", "dim")]
    spans += [(BORDER, "border"), (f" border at α {alpha:g}", "dim")]
    marks = (
        "▷ next  " if has_next else ""
    ) + "◆ in force  ◇ confirmed  $ cheapest  + x ? trials pass, fail, hold  ╋ cursor"
    return tuple(spans), ((marks, "dim"),)


def _joined(cells: Iterable[Span]) -> list[Span]:
    spans: list[Span] = []
    for text, role in cells:
        if spans and spans[-1][1] == role:
            spans[-1] = (spans[-1][0] + text, role)
        else:
            spans.append((text, role))
    return spans
