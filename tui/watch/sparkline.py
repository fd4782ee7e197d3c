"""Small pictures of numbers in characters: bars for each plant on one scale, and a chart of both over each other.

Letters: `r` rows, `n` windows. Nothing here has a colour: the twin is drawn in dots, the testbed in bars.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tui.watch.marks import Line, Span, fit, number

__all__ = ["MISSING", "Scale", "bars", "chart", "last_windows", "scales"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MISSING = "·"
"""Where a window is missing or has no value."""
_BARS = np.array([ord(c) for c in MISSING + "▁▂▃▄▅▆▇█"], dtype="<u4")
_LEVELS = len(_BARS) - 1
_LEAST_SPAN = 0.01
_MOST = 1e300
"""Beyond it nothing is drawn: the span of an axis would be no number."""
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character: four rows of two dots."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The axis of a picture, in the unit of what it shows."""

    low: float
    high: float

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (math.isfinite(self.low) and math.isfinite(self.high))


def last_windows(sequence: IntArray, values: Mapping[str, FloatArray], keys: Sequence[str], width: int) -> FloatArray:
    """Return the newest `width` windows of these rows by sequence number, shape (r, width): NaN in holes and before."""
    result = np.full((len(keys), width), np.nan)
    if not len(sequence) or width < 1:
        return result
    places = np.asarray(sequence[-width:]) - int(sequence[-1]) + width - 1
    kept = places >= 0
    places = places[kept]
    for r, key in enumerate(keys):
        column = values.get(key)
        if column is not None and len(column) == len(sequence):
            result[r, places] = column[-width:][kept]
    return result


def scales(*tables: FloatArray) -> list[Scale]:
    """Return one scale for each row of tables of shape (r, any): it begins at zero unless that would flatten it.

    It spans at least a hundredth of what is shown: less is noise, and is not to look like a wave.
    """
    everything = np.concatenate(tables, axis=1)
    if not everything.shape[1]:
        return [Scale(math.nan, math.nan)] * len(everything)
    everything = np.where(np.abs(everything) < _MOST, everything, np.nan)
    low, high = np.fmin.reduce(everything, axis=1), np.fmax.reduce(everything, axis=1)
    low = np.where((low > 0) & (low < 0.5 * high), 0.0, low)
    high = np.where((high < 0) & (high > 0.5 * low), 0.0, high)
    pad = np.maximum(_LEAST_SPAN * np.maximum(np.abs(low), np.abs(high)) - (high - low), 0.0) / 2
    low, high = low - pad, high + pad
    return [Scale(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def bars(table: FloatArray, on: Sequence[Scale]) -> list[str]:
    """Return a row of bars for each row of a table (r, n): eight heights, the lowest where all is zero."""
    if not len(table):
        return []
    low = np.array([s.low for s in on])[:, None]
    span = np.array([s.high - s.low for s in on])[:, None]
    finite = np.abs(table) < _MOST
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(span > 0, (np.where(finite, table, np.nan) - low) / span, 0.0)
    levels = 1 + np.clip(np.where(finite, share, 0.0) * _LEVELS, 0, _LEVELS - 1).astype(np.int64)
    width = table.shape[1]
    text = _BARS[np.where(finite, levels, 0)].tobytes().decode("utf-32-le")  # all rows at one stroke
    return [text[k * width : (k + 1) * width] for k in range(len(table))]


def chart(
    twin: FloatArray,
    testbed: FloatArray,
    *,
    width: int,
    height: int,
    band: tuple[float, float] | None = None,
    unit: str = "",
) -> tuple[Line, ...]:
    """Return both plants in one chart with an axis: the twin in dots, the testbed in half blocks, newest at the right.

    The ends of `band`, the interval that the twin predicts, are dashed. Where both meet, the testbed is what is seen.
    """
    edges = np.array([v for v in band or () if abs(v) < _MOST])
    [scale] = scales(twin[None, :], testbed[None, :], edges[None, :])
    if scale.is_empty or width < 16 or height < 1:
        return ((("no numbers yet", "dim"),),)
    if scale.high <= scale.low:
        scale = Scale(0.0, 1.0)  # all is zero
    labels = {0: number(scale.high), height - 1: number(scale.low)}
    if unit and height > 2:
        labels[1] = unit
    margin = max(len(label) for label in labels.values()) + 1
    across = width - margin - 1
    windows = min(max(len(twin), len(testbed)), across)
    dots = _braille(_last(twin, windows), scale, across, height)
    blocks = _half_blocks(_last(testbed, windows), scale, across, height)
    edges_at = _edge_rows(edges, scale, height)
    lines = []
    for y in range(height):
        cells: list[Span] = [(fit(labels.get(y, ""), margin, right=True), "dim"), ("┤" if y in labels else "│", "rule")]
        cells += _cells(dots[y], blocks[y], y in edges_at)
        lines.append(tuple(cells))
    return tuple(lines)


def _cells(dots: IntArray, blocks: list[str], edge: bool) -> list[Span]:
    """Join neighbours of one role into one span: a line of a few spans is what makes drawing cheap."""
    spans: list[Span] = []
    for dot, block in zip(dots.tolist(), blocks, strict=True):
        if block != " ":
            cell = (block, "testbed")
        elif dot:
            cell = (chr(0x2800 + dot), "twin")
        else:
            cell = ("╌", "band") if edge else (" ", "text")
        if spans and spans[-1][1] == cell[1]:
            spans[-1] = (spans[-1][0] + cell[0], cell[1])
        else:
            spans.append(cell)
    return spans


def _last(values: FloatArray, windows: int) -> FloatArray:
    """Return the newest windows, missing ones before them: both plants are drawn over one stretch of windows."""
    kept = values[max(len(values) - windows, 0) :]
    return np.concatenate([np.full(windows - len(kept), np.nan), kept])


def _spread(values: FloatArray, points: int) -> FloatArray:
    """Return values spread out evenly over at least as many places."""
    return values[(np.arange(points) * len(values)) // points] if len(values) else np.full(points, np.nan)


def _rows(values: FloatArray, scale: Scale, steps: int) -> IntArray:
    """Return for each value its step from the top, -1 where it is missing."""
    finite = np.abs(values) < _MOST
    share = (np.where(finite, values, scale.low) - scale.low) / (scale.high - scale.low)
    return np.where(finite, np.round((1 - np.where(finite, share, 0.0)) * (steps - 1)), -1).astype(np.int64)


def _braille(values: FloatArray, scale: Scale, across: int, height: int) -> IntArray:
    """Return the bits of each cell; a dot is joined to the one before, so that it reads as a line."""
    grid = np.zeros((height, across), dtype=np.int64)
    before = -1
    for place, row in enumerate(_rows(_spread(values, 2 * across), scale, 4 * height).tolist()):
        if row >= 0:
            step = 1 if before < row else -1
            for dot in range(row if before < 0 or before == row else before + step, row + step, step):
                grid[dot // 4, place // 2] |= _DOTS[dot % 4][place % 2]
        before = row
    return grid


def _half_blocks(values: FloatArray, scale: Scale, across: int, height: int) -> list[list[str]]:
    grid = [[" "] * across for _ in range(height)]
    for place, row in enumerate(_rows(_spread(values, across), scale, 2 * height).tolist()):
        if row >= 0:
            grid[row // 2][place] = "▀" if row % 2 == 0 else "▄"
    return grid


def _edge_rows(edges: FloatArray, scale: Scale, height: int) -> set[int]:
    return set(_rows(edges, scale, height).tolist())
