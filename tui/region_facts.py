"""What a region looks like, asked of the region alone: slices, the cheapest configuration in it, what stops it.

Letters: `n` points, `d` controls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from col.plant import Control
from tui.figures.region import SliceView
from tui.report_data import Group

__all__ = ["Cheapest", "SafeRegion", "border_limits", "cheapest_safe", "region_slices"]

FloatArray = NDArray[np.float64]
_SLICE_POINTS = 43
_RESOURCES = ("core", "GB", "PRB")
"""Units of what costs something to have."""
_ZOOM_BELOW, _ZOOM_ABOVE = 0.05, 0.09


class SafeRegion(Protocol):
    """What is asked of an estimated region."""

    @property
    def controls(self) -> tuple[str, ...]:
        """The names of the columns of `x`."""
        ...

    def contains(self, x: FloatArray) -> NDArray[np.bool_]:
        """Return which of `x` (n, d) lie in the region, shape (n,)."""
        ...

    def lower_bound(self, x: FloatArray) -> FloatArray:
        """Return the lower bound of P(φ | do(x)) at `x` (n, d), shape (n,)."""
        ...

    def limiting(self, x: FloatArray) -> str:
        """Return what limits the bound at one configuration `x` (d,)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheapest:
    """The configuration of least total found inside the region, and the bound on P there."""

    controls: Mapping[str, float]
    total: float
    reference_total: float
    unit: str
    lower_bound: float


def region_slices(
    region: SafeRegion, controls: Sequence[Control], groups: Sequence[Group], best: Cheapest | None = None
) -> list[SliceView]:
    """Return the slices of each group: its two controls vary, all others stay at their reference.

    First the whole box, then, if there is a cheapest configuration, the part around it, where the trials crowd.
    """
    by_name = {c.name: c for c in controls}
    slices = []
    for group in groups:
        cx, cy = by_name[group.x], by_name[group.y]
        whole = _slice(region, by_name, group, (cx.lower, cx.upper), (cy.lower, cy.upper))
        if best is None:
            slices.append(whole)
            continue
        at = (best.controls[group.x], best.controls[group.y])
        whole = replace(whole, best_x=at[0], best_y=at[1])
        near = _slice(region, by_name, group, _around(at[0], cx), _around(at[1], cy))
        slices += [whole, replace(near, best_x=at[0], best_y=at[1], zoom=True)]
    return slices


def _around(value: float, control: Control) -> tuple[float, float]:
    """Return a part of the control's range around a value near its border: more of the safe side than of the other."""
    span = control.upper - control.lower
    low = min(max(value - _ZOOM_BELOW * span, control.lower), control.upper - (_ZOOM_BELOW + _ZOOM_ABOVE) * span)
    return low, low + (_ZOOM_BELOW + _ZOOM_ABOVE) * span


def _slice(
    region: SafeRegion,
    by_name: Mapping[str, Control],
    group: Group,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> SliceView:
    cx, cy = by_name[group.x], by_name[group.y]
    column = {name: k for k, name in enumerate(region.controls)}
    xs, ys = np.linspace(*x_range, _SLICE_POINTS), np.linspace(*y_range, _SLICE_POINTS)
    points = np.tile([by_name[name].reference for name in region.controls], (_SLICE_POINTS**2, 1))
    points[:, column[group.x]] = np.tile(xs, _SLICE_POINTS)
    points[:, column[group.y]] = np.repeat(ys, _SLICE_POINTS)
    return SliceView(
        title=group.title,
        x_name=cx.name,
        y_name=cy.name,
        x_unit=cx.unit,
        y_unit=cy.unit,
        x_values=xs,
        y_values=ys,
        lower=region.lower_bound(points).reshape(_SLICE_POINTS, _SLICE_POINTS),
        x_reference=cx.reference,
        y_reference=cy.reference,
    )


def cheapest_safe(region: SafeRegion, controls: Sequence[Control]) -> Cheapest | None:
    """Return a settable configuration of small total inside the region, None where the reference is outside it.

    None too where controls are not amounts of one resource: a threshold or a gain is not cheaper for being lower.

    From the reference down, one control at a time, the one that costs the least safety first, in steps that halve: a
    local minimum, which is the minimum where lowering a control never helps another.
    """
    by_name = {c.name: c for c in controls}
    ordered = [by_name[name] for name in region.controls]
    if len({c.unit for c in ordered}) != 1 or ordered[0].unit not in _RESOURCES:
        return None
    x = np.array([c.snap(c.reference) for c in ordered])
    if not region.contains(x[None, :])[0]:
        return None
    for stride in (16, 8, 4, 2, 1):
        while True:
            lowered = np.tile(x, (len(x), 1))
            for k, control in enumerate(ordered):
                lowered[k, k] = control.snap(x[k] - stride * control.resolution)
            moves = np.flatnonzero(region.contains(lowered) & (np.diag(lowered) < x - 1e-12))
            if not len(moves):
                break
            x = lowered[moves[int(np.argmax(region.lower_bound(lowered[moves])))]]
    return Cheapest(
        controls={c.name: float(v) for c, v in zip(ordered, x, strict=True)},
        total=round(float(x.sum()), 9),
        reference_total=round(float(sum(c.reference for c in ordered)), 9),
        unit=ordered[0].unit,
        lower_bound=float(region.lower_bound(x[None, :])[0]),
    )


def border_limits(
    region: SafeRegion, controls: Sequence[Control], rng: np.random.Generator, rays: int = 200
) -> dict[str, float]:
    """Return what stops the region, as shares of its border seen from the reference: empty where there is no region.

    Rays go from the reference to uniform points of the box; each is followed to where it first leaves the region.
    """
    by_name = {c.name: c for c in controls}
    ordered = [by_name[name] for name in region.controls]
    start = np.array([c.reference for c in ordered])
    if not region.contains(start[None, :])[0]:
        return {}
    lower, upper = np.array([c.lower for c in ordered]), np.array([c.upper for c in ordered])
    ends = rng.uniform(lower, upper, size=(rays, len(ordered)))
    ends = ends[~region.contains(ends)]
    inside, outside = np.zeros(len(ends)), np.ones(len(ends))
    for _ in range(12):
        middle = (inside + outside) / 2
        within = region.contains(start + middle[:, None] * (ends - start))
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    found = Counter(region.limiting(point) for point in start + outside[:, None] * (ends - start))
    return {name: count / len(ends) for name, count in found.most_common()}
