"""What the region knows of one leaf: tables over one or two controls, a posterior over more.

Letters: `n` points, `d` controls, `c` controls of a leaf, `e` other inputs, `g` entries of a table, `r` requirements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from col.gaussian_process import PosteriorState
from col.requirement import LeafScale, Requirement

__all__ = ["RegionLeaf", "TableStack", "locate", "read"]

FloatArray = NDArray[np.float64]
_UNKNOWN = 1e6
"""Standard deviation where nothing is known."""

Place = list[tuple[NDArray[np.int64], FloatArray]]


def locate(grid: FloatArray, at: FloatArray) -> Place:
    """Return entries of a table over the even `grid` (g,), or its square, and their weights for `at` (n, 1 or 2)."""
    last = len(grid) - 1
    places: Place = [(np.zeros(len(at), dtype=np.int64), np.ones(len(at)))]
    for column in at.T:
        position = np.clip((column - grid[0]) / (grid[-1] - grid[0]), 0.0, 1.0) * last
        below = np.minimum(position.astype(np.int64), last - 1)
        share = position - below
        places = [
            (index * len(grid) + below + step, weight * (share if step else 1.0 - share))
            for index, weight in places
            for step in (0, 1)
        ]
    return places


def read(table: FloatArray, place: Place) -> FloatArray:
    """Return the entries of a table at places found by `locate`, interpolated, shape (n,)."""
    total: FloatArray = sum((table[index] * weight for index, weight in place), np.zeros(1))
    return total


@dataclass(frozen=True, kw_only=True)
class RegionLeaf:
    """What is known of one leaf at the operating point, in modelled units.

    `columns` are the numbers of its controls, `low` and `span` (c,) scale them, `extras` (e,) are the scaled inputs of
    the operating point. Outside of `hull` (2, c), scaled, nothing is known: no observation is near. A leaf of one
    or two controls is a table over `grid` (g,), for two over its square; any other keeps its posterior, unless it is so
    far from its thresholds that the moments of its worst place, a table of one entry, do for all.
    """

    scale: LeafScale
    columns: tuple[int, ...]
    low: FloatArray
    span: FloatArray
    extras: FloatArray
    hull: FloatArray
    grid: FloatArray
    grid_mean: FloatArray
    grid_sd: FloatArray
    noise_grid: FloatArray
    state: PosteriorState | None

    def inputs(self, x: FloatArray) -> FloatArray:
        """Return scaled inputs of the posterior at configurations `x` (n, d), shape (n, p)."""
        controls = (x[:, list(self.columns)] - self.low) / self.span
        return np.column_stack([controls, np.broadcast_to(self.extras, (len(x), len(self.extras)))])

    def moments(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return mean, standard deviation of the knowledge, and relative noise scale at `x` (n, d), each (n,)."""
        if len(self.grid):
            n = len(x)
            if len(self.grid) == 1:
                sd = self._unless_far(x, np.full(n, self.grid_sd[0]))
                return np.full(n, self.grid_mean[0]), sd, np.full(n, self.noise_grid[0])
            at = (x[:, list(self.columns)] - self.low) / self.span
            place = locate(self.grid, at)
            noise = read(self.noise_grid, place) if self._noise_varies else np.ones(n)
            return read(self.grid_mean, place), read(self.known_sd, place), noise
        assert self.state is not None
        mine = x[:, list(self.columns)]
        if len(x) > 1 and np.array_equal(mine, np.broadcast_to(mine[0], mine.shape)):  # a line along another control
            mean, sd = self.state.predict(self.inputs(x[:1]))
            return np.repeat(mean, len(x)), np.repeat(self._unless_far(x[:1], sd), len(x)), np.ones(len(x))
        mean, sd = self.state.predict(self.inputs(x))
        return mean, self._unless_far(x, sd), np.ones(len(x))

    @cached_property
    def _noise_varies(self) -> bool:
        return bool(np.ptp(self.noise_grid) > 0) or self.noise_grid[0] != 1.0

    @cached_property
    def known_sd(self) -> FloatArray:
        """Standard deviation of the knowledge over the table, huge where nothing is known."""
        points = np.stack(np.meshgrid(*[self.grid] * len(self.columns), indexing="ij"), axis=-1)
        known = np.all((points >= self.hull[0] - 1e-9) & (points <= self.hull[1] + 1e-9), axis=-1).ravel()
        return np.where(known, self.grid_sd, _UNKNOWN)

    def _unless_far(self, x: FloatArray, sd: FloatArray) -> FloatArray:
        at = (x[:, list(self.columns)] - self.low) / self.span
        known = np.all((at >= self.hull[0] - 1e-9) & (at <= self.hull[1] + 1e-9), axis=1)
        return np.where(known, sd, _UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class TableStack:
    """Tables of several requirements on top of each other, (r, g) each: numpy's cost is by call, not by number."""

    requirements: tuple[int, ...]
    columns: NDArray[np.int64]
    low: FloatArray
    span: FloatArray
    distance: FloatArray
    sd: FloatArray
    noise: FloatArray

    @classmethod
    def of(cls, chosen: Sequence[int], requirements: Sequence[Requirement], leaves: Sequence[RegionLeaf]) -> TableStack:
        """Return the tables of the `chosen` requirements, all of one length."""
        mine = [(requirements[i], leaves[requirements[i].leaf]) for i in chosen]
        return cls(
            requirements=tuple(chosen),
            columns=np.array([leaf.columns[0] for _, leaf in mine]),
            low=np.array([leaf.low[0] for _, leaf in mine]),
            span=np.array([leaf.span[0] for _, leaf in mine]),
            distance=np.stack([r.sign * (leaf.grid_mean - r.threshold) for r, leaf in mine]),
            sd=np.stack([leaf.known_sd for _, leaf in mine]),
            noise=np.stack([leaf.noise_grid for _, leaf in mine]),
        )

    def distances(self, x: FloatArray, beta: float) -> FloatArray:
        """Return how far each leaf lies on the good side, `beta` standard deviations down, in its noise; (r, n)."""
        at = (x[:, self.columns] - self.low) / self.span
        last = self.sd.shape[1] - 1
        position = np.clip(at.T, 0.0, 1.0) * last
        below = np.minimum(position.astype(np.int64), last - 1)
        share = position - below
        rows = np.arange(len(self.columns))[:, None]
        level = self.distance - beta * self.sd
        noise = self.noise[rows, below] * (1.0 - share) + self.noise[rows, below + 1] * share
        result: FloatArray = (level[rows, below] * (1.0 - share) + level[rows, below + 1] * share) / noise
        return result
