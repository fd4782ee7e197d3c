"""The estimated region {x : P_low(phi | do(x)) >= alpha}: evaluated for thousands of points at once, saved, loaded.

P_low is the share of trajectories in which the specification holds when every leaf lies beta standard deviations of
the *knowledge* (not of the noise) towards violation. A specification in negation normal form is monotone in its
margins, so that this is a lower bound. Letters: `n` points, `d` controls, `s` trajectories, `v` leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from col.expression import Expression
from col.region_leaf import RegionLeaf, TableStack
from col.requirement import Reduction, columns_from_leaves
from col.specification import Specification

__all__ = ["Region"]

FloatArray = NDArray[np.float64]
_BLOCK = 2048


@dataclass(frozen=True, kw_only=True)
class Region:
    """The estimated region and its bound, able to answer without the plant.

    `worst` (requirements, s) holds each trajectory's demand; `residuals` (s, t, v) are kept only where a conjunct stays
    whole. `empty_because` is not empty if nothing can be certified.
    """

    controls: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray
    resolution: FloatArray
    alpha: float
    delta: float
    beta: float
    beta_uniform: float
    specification: str
    operating: Mapping[str, float]
    derivations: Mapping[str, str]
    leaves: tuple[RegionLeaf, ...]
    reduction: Reduction
    worst: FloatArray
    residuals: FloatArray
    empty_because: str = ""
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def _ranked(self) -> list[tuple[FloatArray, NDArray[np.uint64]]]:
        """For each requirement its demands in order, and the set of trajectories met up to each rank as bits."""
        tables = []
        for demand in self.worst:
            order = np.argsort(demand)
            words = (len(demand) + 63) // 64
            bits = np.zeros((len(demand) + 1, words), dtype=np.uint64)
            bits[np.arange(1, len(demand) + 1), order // 64] = np.uint64(1) << (order % 64).astype(np.uint64)
            np.bitwise_or.accumulate(bits, axis=0, out=bits)
            tables.append((demand[order], bits))
        return tables

    @cached_property
    def _parsed(self) -> tuple[Specification, dict[str, Expression]]:
        derivations = {name: Expression.parse(text) for name, text in self.derivations.items()}
        return Specification.parse(self.specification), derivations

    @property
    def trajectories(self) -> int:
        """Number of trajectories behind each probability."""
        return int(self.residuals.shape[0]) if self.reduction.whole else int(self.worst.shape[1])

    def probability(self, x: FloatArray, beta: float = 0.0, *, least: float = 0.0) -> FloatArray:
        """Return P(phi | do(x)) with every leaf `beta` standard deviations towards violation; `x` (n, d), result (n,).

        Where it is below `least`, any value below `least` may be returned: that saves most of the work.
        """
        x = np.atleast_2d(np.asarray(x, dtype=float))
        if self.empty_because or self.reduction.impossible or not self.leaves:
            return np.zeros(len(x))
        result = np.empty(len(x))
        for start in range(0, len(x), _BLOCK):
            result[start : start + _BLOCK] = self._probability(x[start : start + _BLOCK], beta, least)
        return result

    @cached_property
    def _cheapest_first(self) -> list[int]:
        """Numbers of the leaves: tables before posteriors, few controls before many."""
        return sorted(
            range(len(self.leaves)), key=lambda i: (not len(self.leaves[i].grid), len(self.leaves[i].columns))
        )

    @cached_property
    def _stack(self) -> TableStack | None:
        """Requirements on leaves of one control with tables of one length, to be looked up at one stroke."""
        if self.reduction.whole:
            return None
        chosen = [
            i
            for i, r in enumerate(self.reduction.requirements)
            if len(self.leaves[r.leaf].columns) == 1 and len(self.leaves[r.leaf].grid) > 1
        ]
        length = max((len(self.leaves[self.reduction.requirements[i].leaf].grid) for i in chosen), default=0)
        chosen = [i for i in chosen if len(self.leaves[self.reduction.requirements[i].leaf].grid) == length]
        return TableStack.of(chosen, self.reduction.requirements, self.leaves) if len(chosen) > 1 else None

    def _probability(self, x: FloatArray, beta: float, least: float) -> FloatArray:
        count = self.trajectories
        share = np.ones(len(x))
        held: NDArray[np.uint64] | None = None
        alive = np.arange(len(x))
        stacked: frozenset[int] = frozenset()
        if self._stack is not None:
            stacked = frozenset(self._stack.requirements)
            for i, distance in zip(self._stack.requirements, self._stack.distances(x, beta), strict=True):
                demand, bits = self._ranked[i]
                rank = np.searchsorted(demand, distance, side="right")
                if rank.min() < count:
                    held = bits[rank] if held is None else held & bits[rank]
            if held is not None:
                share = np.bitwise_count(held).sum(axis=1) / count
                kept = share >= least
                alive, held = alive[kept], held[kept]
        moments: dict[int, tuple[FloatArray, FloatArray, FloatArray]] = {}
        for number in self._cheapest_first:
            if not len(alive):
                return share
            mine = [i for i, r in enumerate(self.reduction.requirements) if r.leaf == number and i not in stacked]
            if not mine and not self.reduction.whole:
                continue
            mean, sd, noise = moments[number] = self.leaves[number].moments(x[alive])
            for i in mine:
                requirement, (demand, bits) = self.reduction.requirements[i], self._ranked[i]
                distance = (requirement.sign * (mean - requirement.threshold) - beta * sd) / noise
                rank = np.searchsorted(demand, distance, side="right")
                if rank.min() < count:
                    held = bits[rank] if held is None else held & bits[rank]
            if held is None:
                continue
            share[alive] = np.bitwise_count(held).sum(axis=1) / count
            if least > 0.0 and not np.all(kept := share[alive] >= least):
                alive, held = alive[kept], held[kept]
                moments = {k: (m[kept], s[kept], h[kept]) for k, (m, s, h) in moments.items()}
        if self.reduction.whole and len(alive):
            together = self._whole_conjuncts([moments[i] for i in range(len(self.leaves))], len(alive), beta)
            if held is not None:
                octets = held.astype("<u8").view(np.uint8).reshape(len(alive), -1)
                together &= np.unpackbits(octets, axis=1, bitorder="little")[:, :count].astype(bool)
            share[alive] = together.mean(axis=1)
        return share

    def _whole_conjuncts(
        self, moments: Sequence[tuple[FloatArray, FloatArray, FloatArray]], n: int, beta: float
    ) -> NDArray[np.bool_]:
        specification, derivations = self._parsed
        count, horizon, _ = self.residuals.shape
        holds = np.ones((n, count), dtype=bool)
        for number in self.reduction.whole:
            conjunct, signs = specification.conjuncts[number], self.reduction.signs[number]
            for start in range(0, n, 64):
                rows = slice(start, min(start + 64, n))
                margins = [
                    self._predicate_margin(p, signs[i], moments, derivations, rows, beta)
                    for i, p in enumerate(conjunct.predicates)
                ]
                shape = (rows.stop - rows.start, count, horizon)
                margins = [np.broadcast_to(margin, shape) for margin in margins]
                with np.errstate(invalid="ignore"):
                    holds[rows] &= np.asarray(conjunct.robustness_from_margins(margins)) >= 0
        return holds

    def _predicate_margin(
        self,
        predicate: Any,
        signs: FloatArray,
        moments: Sequence[tuple[FloatArray, FloatArray, FloatArray]],
        derivations: Mapping[str, Expression],
        rows: slice,
        beta: float,
    ) -> FloatArray:
        # Where a leaf helps now on one side, now on the other, both ends and the middle are tried and the worst counts.
        shifts = (-1.0,) if np.all(np.isfinite(signs)) or beta == 0.0 else (-1.0, 0.0, 1.0)
        worst: FloatArray | None = None
        for shift in shifts:
            raw = {}
            for v, leaf in enumerate(self.leaves):
                mean, sd, noise = (part[rows, None, None] for part in moments[v])
                sign = signs[v] if np.isfinite(signs[v]) else -shift
                raw[leaf.scale.name] = leaf.scale.to_raw(
                    mean - sign * beta * sd + noise * self.residuals[None, :, :, v]
                )
            columns = columns_from_leaves(raw, predicate.metrics, derivations, self.operating)
            margin = np.nan_to_num(np.asarray(predicate.margin(columns), dtype=float), nan=-np.inf)
            worst = margin if worst is None else np.minimum(worst, margin)
        assert worst is not None
        return worst

    def lower_bound(
        self, x: FloatArray, *, uniform: bool = False, beta: float | None = None, least: float = 0.0
    ) -> FloatArray:
        """Return P_low at `x` (n, d), shape (n,): pointwise with confidence 1 - delta, or uniform over the region.

        Where it is below `least`, any value below `least` may be returned.
        """
        used = beta if beta is not None else self.beta_uniform if uniform else self.beta
        share = self.probability(x, used, least=least)
        # One standard error of the share itself: trajectories are finite.
        result: FloatArray = np.maximum(share - np.sqrt(share * (1.0 - share) / max(self.trajectories, 1)), 0.0)
        return result

    def contains(self, x: FloatArray, *, uniform: bool = False) -> NDArray[np.bool_]:
        """Return which of `x` (n, d) lie in the estimated region, shape (n,); nothing outside the bounds does."""
        x = np.atleast_2d(np.asarray(x, dtype=float))
        inside = np.all((x >= self.lower - 1e-9) & (x <= self.upper + 1e-9), axis=1)
        result: NDArray[np.bool_] = inside & (self.lower_bound(x, uniform=uniform, least=self.alpha) >= self.alpha)
        return result

    def uniform_points(self, rng: np.random.Generator, n: int) -> FloatArray:
        """Return `n` points uniform in the control box, shape (n, d)."""
        result: FloatArray = rng.uniform(self.lower, self.upper, size=(n, len(self.lower)))
        return result

    def volume(self, rng: np.random.Generator, n: int = 4096, *, uniform: bool = False) -> float:
        """Return the share of the control box that the region fills, estimated on `n` points."""
        return float(self.contains(self.uniform_points(rng, n), uniform=uniform).mean())

    def demanded(self, requirement: int) -> float:
        """Return how far a leaf must lie on the good side to meet one requirement with probability alpha."""
        demand = self._ranked[requirement][0]
        return float(demand[min(int(np.ceil(self.alpha * len(demand))), len(demand) - 1)])

    def limiting(self, x: FloatArray) -> str:
        """Return the leaf whose requirement holds in the fewest trajectories at one configuration `x` (d,)."""
        if self.empty_because:
            return self.empty_because
        if not self.reduction.requirements:
            return self.specification
        point = np.atleast_2d(x)
        shares = []
        for requirement, demand in zip(self.reduction.requirements, self.worst, strict=True):
            mean, sd, noise = self.leaves[requirement.leaf].moments(point)
            distance = (requirement.sign * (mean - requirement.threshold) - self.beta * sd) / noise
            shares.append(float((demand <= distance[0]).mean()))
        worst = self.reduction.requirements[int(np.argmin(shares))]
        return self.leaves[worst.leaf].scale.name

    def save(self, path: Path | str, *, compressed: bool = True) -> None:
        """Write all that the region needs to answer, as plain arrays; not compressed that takes a third of the time."""
        from col.region_file import save_region  # which needs this class

        save_region(self, path, compressed=compressed)

    @classmethod
    def load(cls, path: Path | str) -> Region:
        """Read a region that `save` wrote; InputError if the file is anything else."""
        from col.region_file import load_region

        return load_region(path)
