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

from col.errors import InputError
from col.expression import Expression
from col.gaussian_process import Hyperparameters, PosteriorState
from col.requirement import LeafScale, Reduction, Requirement, columns_from_leaves
from col.specification import Specification

__all__ = ["Region", "RegionLeaf"]

FloatArray = NDArray[np.float64]
_BLOCK = 2048
_UNKNOWN = 1e6
_TABLES = ("low", "span", "extras", "hull", "grid", "grid_mean", "grid_sd", "noise_grid")


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
class _Stack:
    """Tables of several requirements on top of each other, (r, g) each: numpy's cost is by call, not by number."""

    requirements: tuple[int, ...]
    columns: NDArray[np.int64]
    low: FloatArray
    span: FloatArray
    distance: FloatArray
    sd: FloatArray
    noise: FloatArray

    @classmethod
    def of(cls, chosen: Sequence[int], requirements: Sequence[Requirement], leaves: Sequence[RegionLeaf]) -> _Stack:
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
    def _stack(self) -> _Stack | None:
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
        return _Stack.of(chosen, self.reduction.requirements, self.leaves) if len(chosen) > 1 else None

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

    def save(self, path: Path | str) -> None:
        """Write all that the region needs to answer, as plain arrays."""
        arrays: dict[str, Any] = {
            "format": np.array("rantwin region 1"),
            "controls": np.array(self.controls),
            "lower": self.lower,
            "upper": self.upper,
            "resolution": self.resolution,
            "levels": np.array([self.alpha, self.delta, self.beta, self.beta_uniform]),
            "specification": np.array(self.specification),
            "operating_names": np.array(list(self.operating), dtype=str),
            "operating_values": np.array(list(self.operating.values()), dtype=float),
            "derivation_names": np.array(list(self.derivations), dtype=str),
            "derivation_texts": np.array(list(self.derivations.values()), dtype=str),
            "empty_because": np.array(self.empty_because),
            "notes": np.array(self.notes, dtype=str),
            "leaf_names": np.array([leaf.scale.name for leaf in self.leaves], dtype=str),
            "leaf_logarithmic": np.array([leaf.scale.logarithmic for leaf in self.leaves], dtype=bool),
            "leaf_scales": np.array([(leaf.scale.centre, leaf.scale.scale) for leaf in self.leaves]).reshape(-1, 2),
            "requirements": np.array(
                [(r.leaf, r.sign, r.threshold, r.conjunct) for r in self.reduction.requirements]
            ).reshape(-1, 4),
            "whole": np.array(self.reduction.whole, dtype=np.int64),
            "impossible": np.array(self.reduction.impossible, dtype=np.int64),
            "worst": self.worst,
            "residuals": self.residuals if self.reduction.whole else np.empty((0, 0, 0)),
        }
        for i, requirement in enumerate(self.reduction.requirements):
            arrays[f"windows_{i}"] = np.array(requirement.windows, dtype=np.int64)
        for number, signs in self.reduction.signs.items():
            arrays[f"signs_{number}"] = signs
        for i, leaf in enumerate(self.leaves):
            for name in _TABLES:
                arrays[f"leaf_{i}_{name}"] = getattr(leaf, name)
            arrays[f"leaf_{i}_columns"] = np.array(leaf.columns, dtype=np.int64)
            if leaf.state is not None and not len(leaf.grid):
                theta = leaf.state.theta
                arrays[f"leaf_{i}_theta"] = np.concatenate(
                    [
                        [theta.amplitude, theta.linear, theta.constant, leaf.state.mean, theta.joint, theta.additive],
                        theta.lengthscales,
                    ]
                )
                for name in ("z", "factor", "white"):
                    arrays[f"leaf_{i}_{name}"] = getattr(leaf.state, name)
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path | str) -> Region:
        """Read a region that `save` wrote; InputError if the file is anything else."""
        try:
            with np.load(path, allow_pickle=False) as data:
                if str(data["format"]) != "rantwin region 1":
                    raise InputError(f"unknown format {str(data['format'])!r}", source=str(path))
                return cls._from_arrays({name: data[name] for name in data.files})
        except (OSError, KeyError, ValueError, IndexError) as error:
            raise InputError(f"not a region written by rantwin ({error})", source=str(path)) from None

    @classmethod
    def _from_arrays(cls, a: Mapping[str, Any]) -> Region:
        leaves = []
        for i, name in enumerate(a["leaf_names"]):
            state = None
            if f"leaf_{i}_theta" in a:
                head, lengthscales = a[f"leaf_{i}_theta"][:6], a[f"leaf_{i}_theta"][6:]
                theta = Hyperparameters(
                    amplitude=float(head[0]),
                    linear=float(head[1]),
                    constant=float(head[2]),
                    joint=float(head[4]),
                    additive=int(head[5]),
                    lengthscales=lengthscales,
                    run=0.0,
                    window=0.0,
                    trial=0.0,
                    passive=0.0,
                )
                state = PosteriorState(
                    theta=theta,
                    z=a[f"leaf_{i}_z"],
                    factor=a[f"leaf_{i}_factor"],
                    white=a[f"leaf_{i}_white"],
                    mean=float(head[3]),
                )
            scale = LeafScale(
                name=str(name),
                logarithmic=bool(a["leaf_logarithmic"][i]),
                centre=float(a["leaf_scales"][i, 0]),
                scale=float(a["leaf_scales"][i, 1]),
            )
            tables = {k: a[f"leaf_{i}_{k}"] for k in _TABLES}
            columns = tuple(int(c) for c in a[f"leaf_{i}_columns"])
            leaves.append(RegionLeaf(scale=scale, columns=columns, state=state, **tables))
        requirements = tuple(
            Requirement(
                leaf=int(row[0]),
                sign=int(row[1]),
                threshold=float(row[2]),
                conjunct=int(row[3]),
                windows=tuple(int(w) for w in a[f"windows_{i}"]),
            )
            for i, row in enumerate(a["requirements"])
        )
        whole = tuple(int(w) for w in a["whole"])
        alpha, delta, beta, beta_uniform = (float(v) for v in a["levels"])
        return cls(
            controls=tuple(str(c) for c in a["controls"]),
            lower=a["lower"],
            upper=a["upper"],
            resolution=a["resolution"],
            alpha=alpha,
            delta=delta,
            beta=beta,
            beta_uniform=beta_uniform,
            specification=str(a["specification"]),
            operating={str(k): float(v) for k, v in zip(a["operating_names"], a["operating_values"], strict=True)},
            derivations={str(k): str(v) for k, v in zip(a["derivation_names"], a["derivation_texts"], strict=True)},
            leaves=tuple(leaves),
            reduction=Reduction(
                requirements=requirements,
                whole=whole,
                signs={number: a[f"signs_{number}"] for number in whole},
                impossible=tuple(int(w) for w in a["impossible"]),
            ),
            worst=a["worst"],
            residuals=a["residuals"],
            empty_because=str(a["empty_because"]),
            notes=tuple(str(note) for note in a["notes"]),
        )
