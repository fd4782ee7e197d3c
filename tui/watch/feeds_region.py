"""The region on the screen: a 2-D slice of its lower bound, asked of the region that the run folder holds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from col.plant import Control
from tui.watch.feeds_twin import TwinPicture
from tui.watch.state import RegionView

if TYPE_CHECKING:
    from col.region import Region

__all__ = ["RegionFeed"]

FloatArray = NDArray[np.float64]

POINTS = 41
WAITS = "no region yet: there is one once the passive windows are watched, and it grows with each trial"
_SHARE = 19.0
"""Seconds that pass before a region that grows is read again, for each that reading and slicing it took ..."""
_LONGEST_S = 2.0
"""... but never more than so many: on a loaded machine what it took says little."""


class RegionFeed:
    """Keeps the region of a run and the slice that was asked for last; `view` computes only what changed.

    Evaluating a slice takes from some milliseconds to a fifth of a second for four gNBs, so this belongs into a thread;
    while a rehearsal runs the region is another one after each trial, and is looked at as often as costs little.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.perf_counter) -> None:
        self._path, self._clock = path / "region.npz", clock
        self._from_s = -math.inf
        self._mark: object = None
        self._region: Region | None = None
        self._trouble = ""
        self._slice_key: object = None
        self._point_key: object = None
        self._point: tuple[float, float, tuple[str, ...]] = (math.nan, math.nan, ())
        self._slice: tuple[FloatArray, FloatArray, FloatArray] | None = None

    def view(
        self,
        picture: TwinPicture,
        axes: tuple[str, str] | None,
        cursor: tuple[float, float] | None,
        *,
        current: Mapping[str, float],
        confirmed: Mapping[str, float],
    ) -> RegionView:
        """Return the slice over `axes` (None: the first gNB's) through the confirmed configuration."""
        if not picture.controls:
            return RegionView(words=picture.rehearsal.words)
        names = [c.name for c in picture.controls]
        if axes is None or not set(axes) <= set(names):
            first = next((p.controls for p in picture.places if len(p.controls) > 1), tuple(names[:2]))
            axes = (first[0], first[-1])
        reference = {c.name: c.reference for c in picture.controls}
        through = dict(confirmed) if set(confirmed) >= set(names) else reference
        view = RegionView(
            controls=picture.controls,
            x=axes[0],
            y=axes[1],
            alpha=picture.alpha,
            held=through,
            held_words="others as confirmed" if through is not reference else "others at their reference",
            trials=picture.trials,
            current=current,
            confirmed=confirmed,
            cheapest=picture.cheapest,
            following=picture.rehearsal.following,
            cursor=cursor,
        )
        began_s = self._clock()
        is_new = picture.region_mark != self._mark and (self._region is None or began_s >= self._from_s)
        region = self._load(picture.region_mark) if is_new else self._region
        if region is None:
            return replace(view, words=self._trouble or WAITS)
        xs, ys, lower = self._sliced(region, picture.controls, axes, through)
        if is_new:
            now_s = self._clock()
            self._from_s = now_s + min(_SHARE * (now_s - began_s), _LONGEST_S)
        view = replace(view, x_values=xs, y_values=ys, lower=lower, words=region.empty_because)
        if cursor is None:
            return view
        key = (axes, cursor, tuple(through.items()))
        if key != self._point_key:
            self._point, self._point_key = _at_cursor(view, region, cursor, through), key
        bound, cost, requirements = self._point
        return replace(view, cursor_bound=bound, cursor_cost=cost, cursor_words=requirements)

    def _load(self, mark: tuple[float, int] | None) -> Region | None:
        self._mark, self._region, self._trouble = mark, None, ""
        self._slice_key = self._point_key = None
        if mark is not None:
            from col.region import Region

            try:
                self._region = Region.load(self._path)
            except InputError as error:
                self._trouble = str(error)
        return self._region

    def _sliced(
        self, region: Region, controls: Sequence[Control], axes: tuple[str, str], through: Mapping[str, float]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        held = tuple((name, value) for name, value in through.items() if name not in axes)
        key = (axes, held)
        if self._slice is None or key != self._slice_key:
            by_name = {c.name: c for c in controls}
            cx, cy = by_name[axes[0]], by_name[axes[1]]
            xs, ys = np.linspace(cx.lower, cx.upper, POINTS), np.linspace(cy.lower, cy.upper, POINTS)
            points = np.tile([through[name] for name in region.controls], (POINTS**2, 1))
            points[:, region.controls.index(axes[0])] = np.tile(xs, POINTS)
            points[:, region.controls.index(axes[1])] = np.repeat(ys, POINTS)
            lower = region.lower_bound(points).reshape(POINTS, POINTS)
            self._slice, self._slice_key = (xs, ys, lower), key
        return self._slice


def _at_cursor(
    view: RegionView, region: Region, cursor: tuple[float, float], through: Mapping[str, float]
) -> tuple[float, float, tuple[str, ...]]:
    """Return what holds at the cursor: bound, cost, and a line for each requirement of φ."""
    values = {**through, view.x: cursor[0], view.y: cursor[1]}
    point = np.array([[values[name] for name in region.controls]])
    bound = float(region.lower_bound(point)[0])
    above = sum(max(0.0, values[c.name] - c.reference) for c in view.controls if c.unit == "core")
    words = [] if region.empty_because else _requirements(region, point)
    return bound, 1.0 + above, tuple(words)


def _requirements(region: Region, point: FloatArray) -> list[str]:
    """Return for each requirement what the twin expects of its leaf and how often it holds, the worst first."""
    lines: list[tuple[float, str]] = []
    for requirement, demand in zip(region.reduction.requirements, region.worst, strict=True):
        leaf = region.leaves[requirement.leaf]
        mean, sd, noise = leaf.moments(point)
        distance = (requirement.sign * (mean - requirement.threshold) - region.beta * sd) / noise
        share = float((demand <= distance[0]).mean())
        expected = float(leaf.scale.to_raw(mean)[0])
        limit = float(leaf.scale.to_raw(np.array([requirement.threshold]))[0])
        side = "≥" if requirement.sign > 0 else "≤"
        lines.append(
            (share, f"{leaf.scale.name} {expected:.3g}, must be {side} {limit:.3g}: holds in at least {share:.1%}")
        )
    return [text for _, text in sorted(lines)]
