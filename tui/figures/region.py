"""The region as 2-D slices: bound on P(φ | do(x)) as bands, its border, the true border if known, the trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from contourpy import FillType, LineType, contour_generator
from numpy.typing import NDArray

from tui.figures.svg import Box, Scale, Svg, number, path_data

__all__ = ["SliceView", "TrialMark", "region_figure", "region_legend"]

FloatArray = NDArray[np.float64]

_WIDTH, _HEIGHT = 540.0, 470.0
_BOX = Box(58, 14, 526, 416)
_BELOW = (0.0, 0.25, 0.5, 0.75)
_NEAR_PX = 13.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceView:
    """One slice of the control box: two controls vary, all others stay at `held`.

    `lower` (ny, nx) is the lower confidence bound of P(φ | do(x)) at `y_values` (ny,) and `x_values` (nx,). `truth`
    (my, mx) on `truth_y`, `truth_x` is the true P where it was computed. With `zoom` it is a part of the box, finer.
    """

    title: str
    x_name: str
    y_name: str
    x_unit: str
    y_unit: str
    x_values: FloatArray
    y_values: FloatArray
    lower: FloatArray
    x_reference: float
    y_reference: float
    held: str = "all other controls at their reference"
    truth: FloatArray | None = None
    truth_x: FloatArray | None = None
    truth_y: FloatArray | None = None
    best_x: float | None = None
    best_y: float | None = None
    zoom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialMark:
    """A trial's place in a slice: its number in order, counted from 1, and whether φ failed in it.

    `elsewhere` says that it failed, but for metrics that have nothing to do with this slice.
    """

    number: int
    x: float
    y: float
    violation: bool
    elsewhere: bool = False
    refused: bool = False


def band_levels(alpha: float) -> list[float]:
    """Return the edges of the bands: quarters below α, then from α up."""
    return [*(level for level in _BELOW if level < alpha - 0.02), alpha, (1 + alpha) / 2, 1.0]


def region_figure(view: SliceView, marks: Sequence[TrialMark], alpha: float, outline: SliceView | None = None) -> str:
    """Return the figure of one slice; `outline` is the part of it that a figure of its own shows larger."""
    svg = Svg(_WIDTH, _HEIGHT, f"{view.title}: lower bound of the probability that the specification holds")
    x = _BOX.x(float(view.x_values[0]), float(view.x_values[-1]))
    y = _BOX.y(float(view.y_values[0]), float(view.y_values[-1]))
    _bands(svg, view, alpha, x, y)
    _border(svg, view.x_values, view.y_values, view.lower, alpha, x, y, "border-estimated")
    if view.truth is not None and view.truth_x is not None and view.truth_y is not None:
        _border(svg, view.truth_x, view.truth_y, view.truth, alpha, x, y, "border-true")
    if outline is not None:
        left, right = x(float(outline.x_values[0])), x(float(outline.x_values[-1]))
        top, bottom = y(float(outline.y_values[-1])), y(float(outline.y_values[0]))
        svg.rect(left, top, right - left, bottom - top, "outline")
    svg.frame(_BOX)
    svg.x_axis(_BOX, x, f"{view.x_name} [{view.x_unit}]", 7)
    svg.y_axis(_BOX, y, f"{view.y_name} [{view.y_unit}]", 7, grid=False)
    if view.best_x is not None and view.best_y is not None:
        _star(svg, x(view.best_x), y(view.best_y), 15.0 if outline is None else 11.0)
    shown = [m for m in marks if _inside(m.x, m.y, x, y)]
    _marks(svg, shown, x, y, crowded=outline is not None)
    if _inside(view.x_reference, view.y_reference, x, y):
        _reference(svg, x(view.x_reference), y(view.y_reference))
    return svg.render("region")


def region_legend(alpha: float, *, has_truth: bool, has_elsewhere: bool, confidence: str) -> str:
    """Return the legend that all slices share."""
    svg = Svg(1090, 64, "legend of the region")
    levels = band_levels(alpha)
    left, width = 4.0, 46.0
    svg.text(left, 12, f"lower bound of P(φ | do(x)), {confidence}", "label")
    for k, (low, css) in enumerate(zip(levels[:-1], _band_classes(alpha), strict=True)):
        svg.rect(left + k * width, 20, width, 14, css)
        svg.text(left + k * width, 50, number(low, 2), "tick", "middle" if k else "start")
    svg.text(left + (len(levels) - 1) * width, 50, "1", "tick", "middle")
    at = left + len(levels) * width + 6
    svg.line(at, 27, at + 30, 27, "border-estimated")
    svg.text(at + 36, 31, "estimated border", "tick")
    at += 150
    if has_truth:
        svg.line(at, 27, at + 30, 27, "border-true")
        svg.text(at + 36, 31, f"true border, P = {number(alpha, 2)}", "tick")
        at += 165
    svg.circle(at + 8, 27, 8, "mark")
    svg.text(at + 8, 30.5, "7", "mark-number", "middle")
    svg.text(at + 21, 31, "trial, in order", "tick")
    at += 112
    svg.rect(at, 19, 16, 16, "mark-violation")
    svg.text(at + 8, 30.5, "8", "mark-number", "middle")
    svg.text(at + 21, 31, "φ failed", "tick")
    at += 76
    _reference(svg, at + 14, 27)
    svg.text(at + 33, 31, "reference", "tick")
    at += 100
    _star(svg, at + 8, 27, 9.5)
    svg.text(at + 21, 31, "cheapest safe", "tick")
    if has_elsewhere:
        at = left + len(levels) * width + 6
        svg.circle(at + 8, 50, 7.5, "mark-elsewhere")
        svg.text(at + 8, 53.5, "9", "mark-number", "middle")
        svg.text(at + 21, 54, "φ failed, but at another gNB", "tick")
    return svg.render("legend")


def _band_classes(alpha: float) -> list[str]:
    below = len(band_levels(alpha)) - 3
    return [f"band-below-{4 - below + k}" for k in range(below)] + ["band-safe-0", "band-safe-1"]


def _bands(svg: Svg, view: SliceView, alpha: float, x: Scale, y: Scale) -> None:
    levels, classes = band_levels(alpha), _band_classes(alpha)
    svg.rect(_BOX.left, _BOX.top, _BOX.right - _BOX.left, _BOX.bottom - _BOX.top, classes[0])
    values = np.clip(np.nan_to_num(view.lower, nan=0.0), 0.0, 1.0)
    generator = contour_generator(view.x_values, view.y_values, values, fill_type=FillType.OuterOffset)
    for low, css in zip(levels[1:-1], classes[1:], strict=True):
        # Each band is painted from its lower edge to the top, over the one before: no seams between neighbours.
        polygons, offsets = generator.filled(low, 1.5)  # type: ignore[misc]  # OuterOffset gives these two
        data = ""
        for points, rings in zip(polygons, offsets, strict=True):
            if points is not None and rings is not None:
                for a, b in pairwise(rings):
                    ring = points[int(a) : int(b)]
                    data += path_data(x.array(ring[:, 0]), y.array(ring[:, 1]), close=True)
        svg.path(data, css)


def _border(
    svg: Svg, xs: FloatArray, ys: FloatArray, values: FloatArray, level: float, x: Scale, y: Scale, css: str
) -> None:
    generator = contour_generator(xs, ys, np.nan_to_num(values, nan=0.0), line_type=LineType.Separate)
    lines: list[FloatArray] = generator.lines(level)  # type: ignore[assignment]  # Separate gives one array a line
    svg.path("".join(path_data(x.array(line[:, 0]), y.array(line[:, 1])) for line in lines), css)


def _inside(px: float, py: float, x: Scale, y: Scale) -> bool:
    return x.low - 1e-9 <= px <= x.high + 1e-9 and y.low - 1e-9 <= py <= y.high + 1e-9


def _marks(svg: Svg, marks: Sequence[TrialMark], x: Scale, y: Scale, *, crowded: bool) -> None:
    """Draw the trials, those of one place as one mark. Where `crowded`, a mark among others is a dot without number."""
    by_place: dict[tuple[float, float], list[TrialMark]] = {}
    for mark in marks:
        by_place.setdefault((round(mark.x, 6), round(mark.y, 6)), []).append(mark)
    spots = [(x(px), y(py)) for px, py in by_place]
    # Violations last, so that nothing hides them.
    places = sorted(by_place.items(), key=lambda place: max(m.violation * (2 - m.elsewhere) for m in place[1]))
    for (px, py), here in places:
        cx, cy = x(px), y(py)
        near = sum((a - cx) ** 2 + (b - cy) ** 2 < _NEAR_PX**2 for a, b in spots) - 1
        small = crowded and near > 0
        names = ", ".join(str(m.number) for m in here)
        failed = any(m.violation and not m.elsewhere for m in here)
        other = not failed and any(m.violation for m in here)
        word = " (φ failed)" if failed else " (φ failed at another gNB)" if other else ""
        title = f"trial {names}: {number(px)}, {number(py)}{word}"
        radius = 3.2 if small else 7.5
        if failed:
            svg.rect(cx - radius, cy - radius, 2 * radius, 2 * radius, "mark-violation", title=title)
        else:
            css = "mark-refused" if all(m.refused for m in here) else "mark-elsewhere" if other else "mark"
            svg.circle(cx, cy, radius, css, title)
        if not small:
            shown = next((m for m in here if m.violation and not m.elsewhere), here[0])
            svg.text(cx, cy + 3, str(shown.number), "mark-number", "middle")
            if len(here) > 1:
                svg.text(cx + 8, cy - 5, f"+{len(here) - 1}", "mark-more")


def _reference(svg: Svg, x: float, y: float) -> None:
    # Open in the middle, so that a trial at the reference stays readable.
    arms = "".join(
        f"M{x + 8.5 * dx:.1f} {y + 8.5 * dy:.1f}L{x + 14 * dx:.1f} {y + 14 * dy:.1f}"
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))
    )
    svg.path(arms, "reference-halo")
    svg.path(arms, "reference", "reference configuration")


def _star(svg: Svg, x: float, y: float, size: float) -> None:
    angles = np.pi / 2 + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, size, 0.45 * size)
    points = path_data(x + radius * np.cos(angles), y - radius * np.sin(angles), close=True)
    svg.path(points, "star", "cheapest safe configuration found")
