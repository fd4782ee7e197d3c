"""Metrics by window: what was offered and what was delivered, what the CPU was allowed and what it used, power."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tui.figures.svg import Box, Svg, number, path_data

__all__ = ["Mark", "Panel", "Timeline", "timeline_figure"]

FloatArray = NDArray[np.float64]

_WIDTH = 1090.0
_LEFT, _RIGHT, _TOP, _PANEL, _GAP, _FOOT = 62.0, 1078.0, 38.0, 66.0, 16.0, 44.0
_MARGIN_NAME = 150.0
_MOST_MARKS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel, all columns of shape (n,): a ceiling filled in grey (offered, quota), the value as a line over it.

    `limit` draws a level that must not be crossed; `broken` (n,) marks the windows in which φ's part on it is broken.
    """

    title: str
    unit: str
    value: FloatArray
    value_label: str
    ceiling: FloatArray | None = None
    ceiling_label: str = ""
    limit: float | None = None
    broken: NDArray[np.bool_] | None = None
    spread: tuple[FloatArray, FloatArray] | None = None
    """Least and greatest of what the value is the median of, shape (n,) each."""
    before: FloatArray | None = None
    """What the value is compared with, shape (n,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at a time, in windows from the first one's start on."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What all panels share: the trial of each window (n,), -1 in the passive phase, and the trials that failed φ.

    A `caption` takes the place of what is said of passive phase and trials. `splits` are windows before which something
    begins anew.
    """

    trial: NDArray[np.int64]
    failed: frozenset[int]
    window_s: float
    caption: str = ""
    marks: Sequence[Mark] = ()
    splits: Sequence[int] = ()


def timeline_figure(title: str, panels: Sequence[Panel], time: Timeline) -> str:
    """Return the panels one above the other over a common axis of windows."""
    n = len(time.trial)
    height = _TOP + len(panels) * (_PANEL + _GAP) - _GAP + _FOOT
    svg = Svg(_WIDTH, height, f"{title}: metrics by window")
    whole = Box(_LEFT, _TOP, _RIGHT - _MARGIN_NAME, height - _FOOT)
    passive = int(np.sum(time.trial < 0))
    x = _axis(whole, passive, n)
    if time.caption:
        _caption(svg, whole, x, time)
    else:
        _phases(svg, whole, x, passive, time)
    for k, panel in enumerate(panels):
        top = _TOP + k * (_PANEL + _GAP)
        _panel(svg, Box(whole.left, top, whole.right, top + _PANEL), panel, x)
    if not time.caption:
        _trials(svg, whole, x, passive, time)
    for value in _window_ticks(passive, n):
        at = float(x[min(value, n)])
        svg.line(at, whole.bottom, at, whole.bottom + 4, "axis")
        svg.text(at, whole.bottom + 16, str(value), "tick", "middle")
    label = f"window, {number(time.window_s)} s each"
    svg.text((whole.left + whole.right) / 2, whole.bottom + 34, label, "label", "middle")
    return svg.render("timeline")


def _axis(box: Box, passive: int, n: int) -> FloatArray:
    """Return the pixel of each window's start (n + 1,): trials are few and get at least 45 % of the width."""
    active = n - passive
    share = 1.0 if not active else 0.0 if not passive else min(passive / n, 0.55)
    split = box.left + share * (box.right - box.left)
    first = np.linspace(box.left, split, passive + 1)
    return np.concatenate([first, np.linspace(split, box.right, active + 1)[1:]])


def _window_ticks(passive: int, n: int) -> list[int]:
    active = n - passive
    step = max(1, 10 ** int(np.log10(max(passive, 1) / 2 + 1)))
    left = list(range(0, passive, step * (2 if passive / step > 6 else 1)))
    if active and left and passive - left[-1] < step / 2:
        left.pop()
    jump = max(1, 10 ** int(np.log10(max(active, 1) / 2 + 1)))
    right = list(range(passive, n + 1, jump * (2 if active / jump > 6 else 1))) if active else []
    return [*left, *right]


def _phases(svg: Svg, box: Box, x: FloatArray, passive: int, time: Timeline) -> None:
    n = len(time.trial)
    if passive:
        svg.text(box.left, box.top - 24, f"passive: {passive} windows, nothing changed", "note")
    if passive < n:
        split = float(x[passive])
        count = len(np.unique(time.trial[passive:]))
        svg.text(split + 5, box.top - 24, f"{count} trials, controls held", "note")
        svg.line(split, box.top - 34, split, box.bottom, "split")


def _caption(svg: Svg, box: Box, x: FloatArray, time: Timeline) -> None:
    """Say what this is, where something begins anew, and what happened when; close marks share one line."""
    svg.text(box.left, box.top - 24, time.caption, "note")
    for split in time.splits:
        svg.line(float(x[split]), box.top - 6, float(x[split]), box.bottom, "split")
    by_pixel: dict[int, list[str]] = {}
    for mark in time.marks:
        by_pixel.setdefault(round(float(np.interp(mark.at, np.arange(len(x)), x))), []).append(mark.text)
    for pixel, texts in by_pixel.items():
        shown = "; ".join(texts[:_MOST_MARKS]) + (
            f"; and {len(texts) - _MOST_MARKS} more" if texts[_MOST_MARKS:] else ""
        )
        svg.circle(pixel, box.top - 8, 2.6, "event", title=shown)


def _trials(svg: Svg, box: Box, x: FloatArray, passive: int, time: Timeline) -> None:
    """Shade every other trial, and mark those in which φ failed; over the panels, or a ceiling would hide it."""
    n = len(time.trial)
    edges = np.flatnonzero(np.diff(time.trial[passive:])) + passive + 1 if passive < n else np.empty(0, dtype=np.int64)
    starts = [passive, *edges.tolist()] if passive < n else []
    for start, end in zip(starts, [*starts, n][1:], strict=True):
        trial = int(time.trial[start])
        left, right = float(x[start]), float(x[end])
        if trial in time.failed:
            svg.rect(
                left, box.top, right - left, box.bottom - box.top, "failed-band", title=f"trial {trial + 1}: φ failed"
            )
            svg.text((left + right) / 2, box.top - 6, f"✕{trial + 1}", "failed-text", "middle")
        elif trial % 2:
            svg.rect(left, box.top, right - left, box.bottom - box.top, "trial-band")


def _panel(svg: Svg, box: Box, panel: Panel, x: FloatArray) -> None:
    stacks = [panel.value] + ([panel.ceiling] if panel.ceiling is not None else []) + list(panel.spread or ())
    stacks += [panel.before] if panel.before is not None else []
    top = max((float(np.nanmax(s)) for s in stacks if np.any(np.isfinite(s))), default=1.0)
    top = max(top, panel.limit or 0.0) * 1.06 or 1.0
    low = 0.0
    if panel.ceiling is None:
        lowest = np.concatenate([panel.value if panel.spread is None else panel.spread[0], *stacks[1:]])
        smallest = float(np.nanmin(lowest)) if np.any(np.isfinite(lowest)) else 0.0
        # A quantity that never comes near nothing (power) is shown over its own range.
        low = min(smallest - 0.15 * (top - smallest), panel.limit or top) if smallest > 0.5 * top else 0.0
    y = box.y(low, top)
    middle = (x[:-1] + x[1:]) / 2
    if panel.ceiling is not None:
        steps, levels = np.repeat(x, 2)[1:-1], np.repeat(panel.ceiling, 2)
        svg.area(steps, y.array(levels), box.bottom, "ceiling")
        svg.polyline(steps, y.array(levels), "ceiling-line")
    if panel.spread is not None:
        least, greatest = panel.spread
        good = np.isfinite(least) & np.isfinite(greatest)
        if np.any(good):
            around = np.concatenate([middle[good], middle[good][::-1]])
            svg.path(
                path_data(around, y.array(np.concatenate([least[good], greatest[good][::-1]])), close=True), "spread"
            )
    svg.y_axis(box, y, count=3)
    if panel.before is not None:
        svg.polyline(middle, y.array(panel.before), "before")
    svg.polyline(middle, y.array(panel.value), "value")
    if panel.limit is not None:
        svg.line(box.left, y(panel.limit), box.right, y(panel.limit), "limit")
        svg.text(box.right - 4, y(panel.limit) - 4, f"limit {number(panel.limit)} {panel.unit}", "limit-text", "end")
    if panel.broken is not None:
        marks = "".join(f"M{at:.1f} {box.bottom - 6:.1f}v6" for at in middle[panel.broken])
        svg.path(marks, "broken")
    svg.frame(box)
    side = box.right + 12
    svg.text(side, box.top + 13, panel.title, "panel-title")
    svg.text(side, box.top + 28, f"[{panel.unit}]", "tick")
    svg.line(side, box.top + 40, side + 14, box.top + 40, "value")
    svg.text(side + 19, box.top + 44, panel.value_label, "tick")
    if panel.ceiling is not None:
        svg.rect(side, box.top + 51, 14, 9, "ceiling")
        svg.text(side + 19, box.top + 59, panel.ceiling_label, "tick")
