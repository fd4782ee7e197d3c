"""A specification at a constant operating point, reduced to thresholds on single leaves where that is exact.

`always[0,4](thp >= 9.5)` with thp = min(10, a, b) is the same as "a >= 9.5 and b >= 9.5 in windows 0..4". Whether such
a reduction holds is found by evaluating the predicate, not by reading its text; where it does not hold, the conjunct is
kept whole and evaluated on trajectories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from col.expression import Expression
from col.specification import Predicate, Specification

__all__ = ["LeafScale", "Reduction", "Requirement", "columns_from_leaves", "reduce_specification"]

FloatArray = NDArray[np.float64]
_PROBES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafScale:
    """How raw and modelled value belong together: modelled = (raw or its logarithm - centre) / scale."""

    name: str
    logarithmic: bool
    centre: float
    scale: float

    def to_model(self, raw: FloatArray) -> FloatArray:
        """Return modelled values; raw values that have no logarithm become NaN."""
        raw = np.asarray(raw, dtype=float)
        value = np.log(np.where(raw > 0, raw, np.nan)) if self.logarithmic else raw
        result: FloatArray = (value - self.centre) / self.scale
        return result

    def to_raw(self, modelled: FloatArray) -> FloatArray:
        """Return values in the metric's unit."""
        value = np.asarray(modelled, dtype=float) * self.scale + self.centre
        return np.exp(np.clip(value, -700.0, 700.0)) if self.logarithmic else value

    def reach(self) -> tuple[float, float]:
        """Return the modelled values between which thresholds are sought: far beyond anything seen."""
        if self.logarithmic:
            return -6.0 / self.scale, 6.0 / self.scale
        wide = max(30.0, 3.0 * abs(self.centre) / self.scale)
        return -wide, wide


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Leaf number `leaf` must lie on the side `sign` of `threshold` (modelled units) in each of `windows`."""

    leaf: int
    sign: int
    threshold: float
    windows: tuple[int, ...]
    conjunct: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """The specification as requirements, and the conjuncts (by number) that stay whole.

    `impossible` names a conjunct that no value of the leaves can satisfy. `signs` holds, for each whole conjunct, the
    direction in which each leaf helps each of its predicates: (predicates, leaves), 0 where neither.
    """

    requirements: tuple[Requirement, ...]
    whole: tuple[int, ...]
    signs: Mapping[int, FloatArray]
    impossible: tuple[int, ...] = ()


def columns_from_leaves(
    leaves: Mapping[str, FloatArray],
    metrics: frozenset[str],
    derivations: Mapping[str, Expression],
    operating: Mapping[str, float],
) -> dict[str, FloatArray]:
    """Return columns of the metrics from raw leaf values: derived, operating, or the leaf itself."""
    columns: dict[str, FloatArray] = {}
    base: dict[str, FloatArray] = {**{k: np.asarray(v, dtype=float) for k, v in operating.items()}, **leaves}
    for metric in metrics:
        derivation = derivations.get(metric)
        if metric in leaves or derivation is None:
            columns[metric] = base[metric]
        else:
            columns[metric] = derivation.evaluate(base)
    return columns


def _always_windows(conjunct: Specification, rng: np.random.Generator) -> tuple[int, ...] | None:
    """Return the windows over which the conjunct demands its only predicate, None if it is not of that form."""
    if len(conjunct.predicates) != 1:
        return None
    horizon = conjunct.horizon
    probes = np.where(np.eye(horizon, dtype=bool), -1.0, 1.0)
    windows = np.flatnonzero(np.asarray(conjunct.robustness_from_margins([probes])) < 0)
    if not len(windows):
        return None
    random = rng.standard_normal((64, horizon))
    expected = random[:, windows].min(axis=1)
    if not np.allclose(conjunct.robustness_from_margins([random]), expected):
        return None
    return tuple(int(w) for w in windows)


def reduce_specification(
    specification: Specification,
    scales: Sequence[LeafScale],
    derivations: Mapping[str, Expression],
    operating: Mapping[str, float],
) -> Reduction:
    """Reduce every conjunct that is a set of thresholds on leaves, exactly, over the leaves' whole reach."""
    rng = np.random.default_rng(0)  # probes only: the answer does not depend on it
    requirements: list[Requirement] = []
    whole: list[int] = []
    impossible: list[int] = []
    signs: dict[int, FloatArray] = {}

    def margin(predicate: Predicate, modelled: FloatArray) -> FloatArray:
        raw = {scale.name: scale.to_raw(modelled[:, i]) for i, scale in enumerate(scales)}
        columns = columns_from_leaves(raw, predicate.metrics, derivations, operating)
        return np.broadcast_to(np.nan_to_num(predicate.margin(columns), nan=-np.inf), (len(modelled),))

    low, high = np.array([scale.reach() for scale in scales]).T
    for number, conjunct in enumerate(specification.conjuncts):
        directions = np.zeros((len(conjunct.predicates), len(scales)))
        for row, predicate in enumerate(conjunct.predicates):
            involved = set(predicate.metrics).union(
                *(derivations[m].names for m in predicate.metrics if m in derivations)
            )
            for leaf, scale in enumerate(scales):
                if scale.name in involved:
                    directions[row, leaf] = _direction(partial(margin, predicate), leaf, low, high, rng)
        windows = _always_windows(conjunct, rng)
        found: dict[int, float] | None = None
        if windows is not None and np.all(np.isfinite(directions)):
            at = partial(margin, conjunct.predicates[0])
            best = np.where(directions[0] >= 0, high, low)
            if at(best[None, :])[0] < 0:
                impossible.append(number)
                continue
            found = _thresholds(at, directions[0], best, low, high, rng)
        if windows is None or found is None:
            whole.append(number)
            signs[number] = directions
            continue
        requirements += [
            Requirement(leaf=leaf, sign=int(directions[0, leaf]), threshold=value, windows=windows, conjunct=number)
            for leaf, value in found.items()
        ]
    # Two demands on the same side of a leaf in the same windows: the stricter one says it all.
    strictest: dict[tuple[int, int, tuple[int, ...]], Requirement] = {}
    for requirement in requirements:
        key = (requirement.leaf, requirement.sign, requirement.windows)
        other = strictest.get(key)
        if other is None or requirement.sign * (requirement.threshold - other.threshold) > 0:
            strictest[key] = requirement
    requirements = list(strictest.values())
    return Reduction(requirements=tuple(requirements), whole=tuple(whole), signs=signs, impossible=tuple(impossible))


def _direction(
    margin: Callable[[FloatArray], FloatArray], leaf: int, low: FloatArray, high: FloatArray, rng: np.random.Generator
) -> float:
    """+1 or -1: the side on which the leaf helps; 0: it does not matter; NaN: now one, now the other."""
    base = rng.uniform(low, high, size=(24, len(low)))
    # Close to the middle as well: the reach is wide, and curvature near the data must not be stepped over.
    base[12:] *= 0.05
    steps = np.unique(np.concatenate([np.linspace(low[leaf], high[leaf], 61), np.linspace(-3.0, 3.0, 61)]))
    points = np.repeat(base[:, None, :], len(steps), axis=1)
    points[:, :, leaf] = steps
    values = margin(points.reshape(-1, len(low))).reshape(len(base), len(steps))
    with np.errstate(invalid="ignore"):
        change = np.diff(values, axis=1)
    tiny = 1e-12 * (1.0 + np.nanmax(np.abs(np.where(np.isfinite(values), values, 0.0))))
    rising, falling = bool((change > tiny).any()), bool((change < -tiny).any())
    return np.nan if rising and falling else float(rising) - float(falling)


def _thresholds(
    margin: Callable[[FloatArray], FloatArray],
    direction: FloatArray,
    best: FloatArray,
    low: FloatArray,
    high: FloatArray,
    rng: np.random.Generator,
) -> dict[int, float] | None:
    """Return the threshold of each leaf if the predicate is the conjunction of them, None if it is not."""
    thresholds: dict[int, float] = {}
    for leaf in (int(i) for i in np.flatnonzero(direction)):
        points = np.repeat(best[None, :], 257, axis=0)
        good, bad = (high[leaf], low[leaf]) if direction[leaf] > 0 else (low[leaf], high[leaf])
        points[0, leaf] = bad
        if margin(points[:1])[0] >= 0:
            continue
        for _ in range(5):  # each pass narrows the bracket 256 times
            points[:, leaf] = np.linspace(bad, good, 257)
            first = int(np.argmax(margin(points) >= 0))
            bad, good = float(points[max(first - 1, 0), leaf]), float(points[first, leaf])
        thresholds[leaf] = float(good)
    probes = rng.uniform(low, high, size=(_PROBES, len(low)))
    for leaf, threshold in thresholds.items():
        close = rng.random(_PROBES) < 0.7
        probes[close, leaf] = threshold + rng.standard_normal(int(close.sum()))
    holds = np.ones(_PROBES, dtype=bool)
    for leaf, threshold in thresholds.items():
        holds &= direction[leaf] * (probes[:, leaf] - threshold) >= 0
    return thresholds if np.array_equal(holds, margin(probes) >= 0) else None
