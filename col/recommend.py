"""The recommendation of a region: its cheapest configuration with a margin, and a path to it in small steps.

Three things keep it from the region's border, where an estimate is most likely to be too hopeful: the bound there is at
least alpha + margin, the whole box of a few resolutions around it lies in the region, and so does every step of the
path with all that may be in force while its controls change one after the other. And since a model is only as good as
its fit, what is bought may turn out to be worth less elsewhere: with `reserve`, the region must still hold where every
control that costs something is worth that share less. Costs are linear: the sum of the
controls' values, each times its rate. Letters: `n` points, `d` controls.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from col.limits import limit_of
from col.plant import Control

__all__ = ["BlastLimits", "Recommendation", "SafeRegion", "Step", "recommend"]

FloatArray = NDArray[np.float64]
_STRIDES = (16, 8, 4, 2, 1)
_MOST_CORNERS_OF = 10
_MOST_SETS = 2000
_BETWEEN = np.linspace(0.0, 1.0, 9)[1:-1]
_RESERVED = np.array([0.25, 0.5, 0.75, 1.0])


class SafeRegion(Protocol):
    """What is asked of an estimated region."""

    @property
    def controls(self) -> tuple[str, ...]:
        """The names of the columns of `x`."""
        ...

    @property
    def alpha(self) -> float:
        """The probability that the region promises."""
        ...

    def contains(self, x: FloatArray) -> NDArray[np.bool_]:
        """Return which of `x` (n, d) lie in the region, shape (n,)."""
        ...

    def lower_bound(self, x: FloatArray) -> FloatArray:
        """Return the lower bound of P(φ | do(x)) at `x` (n, d), shape (n,)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastLimits:
    """How much one step may change: the largest change per control (or kind of control, see `col.limits`), in its unit.

    `groups` says which controls touch which part of the plant (a gNB, say), a shared control standing in each of them;
    at most `most_groups` may be touched in a step. A control of no group is taken to touch all of them.
    """

    largest_step: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    most_groups: int = 2

    def touched(self, control: str) -> frozenset[str]:
        """Return the groups that a control touches."""
        found = frozenset(group for group, members in self.groups.items() if control in members)
        return found or frozenset(self.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One intervention of the path; `base` and `target` are full control vectors, `bound` is the region's at target."""

    base: Mapping[str, float]
    target: Mapping[str, float]
    bound: float

    @property
    def changed(self) -> tuple[str, ...]:
        """The controls that it sets."""
        return tuple(name for name, value in self.target.items() if value != self.base[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Where to go and how; no steps where nothing cheaper can be recommended, and then `why` is one line.

    `why` also says so where the path ends before the configuration that was aimed at.
    """

    base: Mapping[str, float]
    target: Mapping[str, float]
    steps: tuple[Step, ...]
    base_cost: float
    target_cost: float
    bound: float
    why: str = ""


def recommend(
    region: SafeRegion,
    controls: Sequence[Control],
    base: Mapping[str, float],
    *,
    rates: Mapping[str, float],
    limits: BlastLimits,
    margin: float = 0.05,
    box_steps: int = 2,
    reserve: float = 0.0,
) -> Recommendation:
    """Return the cheapest configuration found in the region with a margin, and the path to it from `base`.

    `base` is the full control vector that is confirmed (or the reference); `rates` are the cost per unit of each
    control, as in `col.problem.Cost`: a control without a rate, not live, or touching more groups than a step may stays
    where it is. `margin` is how far the bound at the recommended point must lie above alpha (no higher than half way
    to 1); `box_steps` is k of the box of ±k resolutions around it that must lie in the region. `reserve` is by which
    share of its value every control with a rate may be worth less than the model says (0 to below 1).

    From the base one control at a time, the one that costs the least safety first, in steps that halve: a local
    minimum, which is the minimum where lowering a control never helps another.

    Raises:
        InputError: controls, base and region do not fit together, or a number is out of range.
    """
    search = _Search(region, controls, base, rates, limits, margin, box_steps, reserve)
    start = search.start
    if not search.region.contains(start[None, :])[0]:
        return search.nothing("the configuration to start from is not in the region")
    goal = search.descend(start)
    if goal is None:
        return search.nothing("no configuration near the start keeps the margin")
    if search.cost(goal) >= search.cost(start) - 1e-12:
        return search.nothing("nothing cheaper keeps the margin")
    return search.path(start, goal)


class _Search:
    """The descent to the goal and the path to it."""

    def __init__(
        self,
        region: SafeRegion,
        controls: Sequence[Control],
        base: Mapping[str, float],
        rates: Mapping[str, float],
        limits: BlastLimits,
        margin: float,
        box_steps: int,
        reserve: float,
    ) -> None:
        by_name = {c.name: c for c in controls}
        odd = sorted(set(region.controls) ^ by_name.keys() | set(region.controls) ^ base.keys())
        if odd:
            raise InputError("controls, base and region must name the same controls", key=odd[0])
        for name, value in [*base.items(), *rates.items(), *limits.largest_step.items()]:
            if not math.isfinite(value):
                raise InputError("must be a finite number", key=name, value=value)
        if not 0.0 <= margin < 1.0 or box_steps < 0 or limits.most_groups < 1:
            raise InputError("margin must lie in [0, 1), box_steps from 0, most_groups from 1", key="recommend")
        if not 0.0 <= reserve < 1.0:
            raise InputError("must lie in [0, 1)", key="reserve", value=reserve)
        self.region, self.limits, self.box_steps = region, limits, box_steps
        self.controls = [by_name[name] for name in region.controls]
        self.start = np.array([base[name] for name in region.controls], dtype=float)
        self.rates = np.array([rates.get(name, 0.0) for name in region.controls], dtype=float)
        self.wanted = min(region.alpha + margin, (1.0 + region.alpha) / 2.0)
        self.lower = np.array([c.lower for c in self.controls])
        self.upper = np.array([c.upper for c in self.controls])
        self.resolution = np.array([c.resolution for c in self.controls])
        self.touched = [limits.touched(c.name) for c in self.controls]
        self.largest = np.array([self._largest(c) for c in self.controls])
        self.offsets = self._offsets()
        # Between as well: a region may have holes.
        self.worth = (
            1.0 - np.outer(reserve * _RESERVED, self.rates > 0.0) if reserve else np.empty((0, len(self.start)))
        )

    def _largest(self, control: Control) -> float:
        """Return the largest settable step of a control, 0 if it may not be moved at all."""
        if not control.live or len(self.limits.touched(control.name)) > self.limits.most_groups:
            return 0.0
        limit = limit_of(control.name, self.limits.largest_step)
        return math.inf if limit is None else math.floor(limit / control.resolution + 1e-9) * control.resolution

    def _offsets(self) -> FloatArray:
        """Return centre, corners and face centres of the box, (n, d); of very many corners only the two extremes."""
        d = len(self.controls)
        faces = np.concatenate([np.eye(d), -np.eye(d)])
        ends = itertools.product((-1.0, 1.0), repeat=d) if d <= _MOST_CORNERS_OF else ((s,) * d for s in (-1.0, 1.0))
        points: FloatArray = np.concatenate([np.zeros((1, d)), np.array(list(ends)), faces])
        points *= self.resolution * self.box_steps
        return points

    def cost(self, x: FloatArray) -> float:
        return float(x @ self.rates)

    def keeps_margin(self, x: FloatArray) -> bool:
        """Whether the box around a point of high enough bound lies in the region, and all it may be worth elsewhere."""
        around = np.concatenate([x + self.offsets, x * self.worth])
        return bool(np.all(self.region.contains(np.clip(around, self.lower, self.upper))))

    def descend(self, start: FloatArray) -> FloatArray | None:
        """Return the cheapest point found, None where not even the start keeps the margin."""
        x = start.copy()
        if self.region.lower_bound(x[None, :])[0] < self.wanted or not self.keeps_margin(x):
            return None
        movable = np.flatnonzero((self.largest > 0.0) & (self.rates != 0.0))
        for stride in _STRIDES:
            while (better := self._best_move(x, movable, stride)) is not None:
                x = better
        return x

    def _best_move(self, x: FloatArray, movable: NDArray[np.intp], stride: int) -> FloatArray | None:
        """Return the point after the move of one control that leaves the highest bound, None where none is left."""
        candidates = np.tile(x, (len(movable), 1))
        for row, k in enumerate(movable):
            direction = -np.sign(self.rates[k])
            candidates[row, k] = self.controls[k].snap(x[k] + direction * stride * self.resolution[k])
        candidates = candidates[candidates @ self.rates < self.cost(x) - 1e-12]
        if not len(candidates):
            return None
        bound = self.region.lower_bound(candidates)
        for row in np.argsort(-bound, kind="stable"):
            if bound[row] < self.wanted:
                return None
            if self.keeps_margin(candidates[row]):
                chosen: FloatArray = candidates[row]
                return chosen
        return None

    # --- the path -----------------------------------------------------------------------------------------------------

    def path(self, start: FloatArray, goal: FloatArray) -> Recommendation:
        """Return the recommendation with its steps, as far as they come."""
        points = [start]
        while np.any(np.abs(goal - points[-1]) > self.resolution / 2):
            step = self._next(points[-1], goal)
            if step is None:
                break
            points.append(step)
        if len(points) == 1:
            return self.nothing("no step towards the cheapest configuration stays in the region")
        end = points[-1]
        bounds = self.region.lower_bound(np.array(points))
        short = bool(np.any(np.abs(goal - end) > self.resolution / 2))
        return Recommendation(
            base=self._named(start),
            target=self._named(end),
            steps=tuple(
                Step(base=self._named(a), target=self._named(b), bound=float(bound))
                for a, b, bound in zip(points, points[1:], bounds[1:], strict=False)
            ),
            base_cost=self.cost(start),
            target_cost=self.cost(end),
            bound=float(bounds[-1]),
            why="the path ends early: further steps leave the region" if short else "",
        )

    def _next(self, x: FloatArray, goal: FloatArray) -> FloatArray | None:
        """Return the end of the next step: of the groups with most to do first, as far as it stays in the region."""
        away = np.abs(goal - x)
        todo = np.where(
            away > self.resolution / 2, np.ceil(away / np.where(self.largest > 0, self.largest, np.inf) - 1e-9), 0
        )
        todo = np.where((todo == 0) & (away > self.resolution / 2), 1, todo)
        for chosen in self._sets(todo):
            mine = np.array([todo[k] > 0 and self.touched[k] <= chosen for k in range(len(x))])
            for share in (1.0, 0.5, 0.25):
                end = self._moved(x, goal, mine, todo, share)
                if np.any(end != x) and self._stays(x, end):
                    return end
        return None

    def _sets(self, todo: FloatArray) -> list[frozenset[str]]:
        """Return sets of groups that a step may touch, those first whose controls have the most steps to go."""
        groups = sorted(frozenset[str]().union(*(self.touched[k] for k in np.flatnonzero(todo))))
        size = min(self.limits.most_groups, len(groups))
        sets = [frozenset(s) for s in itertools.islice(itertools.combinations(groups, size), _MOST_SETS)]

        def work(chosen: frozenset[str]) -> float:
            return -float(sum(t for t, touched in zip(todo, self.touched, strict=True) if touched <= chosen))

        return sorted(sets, key=work)

    def _moved(
        self, x: FloatArray, goal: FloatArray, mine: NDArray[np.bool_], todo: FloatArray, share: float
    ) -> FloatArray:
        """Return `x` with some controls moved by an even share of their way, none further than it may."""
        end = x.copy()
        for k in np.flatnonzero(mine):
            way = goal[k] - x[k]
            if todo[k] == 1 and share == 1.0:
                end[k] = goal[k]
                continue
            value = self.controls[k].snap(x[k] + share * way / todo[k])
            if abs(value - x[k]) > self.largest[k] + 1e-9:
                value = self.controls[k].snap(value - math.copysign(self.resolution[k], way))
            end[k] = value
        return end

    def _stays(self, x: FloatArray, end: FloatArray) -> bool:
        """Whether end, the line to it, and each order of changing its controls one by one lie in the region."""
        moved = np.flatnonzero(end != x)
        line = x + _BETWEEN[:, None] * (end - x)
        if len(moved) <= _MOST_CORNERS_OF:
            orders = np.array(list(itertools.product((False, True), repeat=len(moved))))
        else:
            orders = np.concatenate([np.eye(len(moved), dtype=bool), ~np.eye(len(moved), dtype=bool)])
        corners = np.tile(x, (len(orders), 1))
        corners[:, moved] = np.where(orders, end[moved], x[moved])
        return bool(np.all(self.region.contains(np.concatenate([end[None, :], line, corners]))))

    def nothing(self, why: str) -> Recommendation:
        """Return that nothing is recommended."""
        here, cost = self._named(self.start), self.cost(self.start)
        bound = float(self.region.lower_bound(self.start[None, :])[0])
        return Recommendation(base=here, target=here, steps=(), base_cost=cost, target_cost=cost, bound=bound, why=why)

    def _named(self, x: FloatArray) -> dict[str, float]:
        return {c.name: float(round(v, 12)) for c, v in zip(self.controls, x, strict=True)}
