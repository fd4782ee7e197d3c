"""An estimated region held against the truth: coverage and false-safe share on points drawn from each of the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta as beta_law

from twin.scenario import Scenario
from twin.truth import Truth

__all__ = ["Verification", "verify"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class _Region(Protocol):
    @property
    def controls(self) -> tuple[str, ...]: ...

    def contains(self, x: FloatArray) -> BoolArray: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """An estimated region against the truth; shares with 95 % intervals (Clopper-Pearson)."""

    coverage: float
    coverage_ci: tuple[float, float]
    false_safe: float
    false_safe_ci: tuple[float, float]
    near_border: float
    """Share of the points drawn whose true probability lies within 0.02 of alpha; they are counted apart."""
    points: int
    true_volume: float
    estimated_volume: float
    power_binds: bool
    product_error: float


def _interval(hits: int, n: int) -> tuple[float, float]:
    if n == 0:
        return (0.0, 1.0)
    low = float(beta_law.ppf(0.025, hits, n - hits + 1)) if hits else 0.0
    high = float(beta_law.ppf(0.975, hits + 1, n - hits)) if hits < n else 1.0
    return (low, high)


def _draw(
    inside: Callable[[FloatArray], BoolArray], low: FloatArray, high: FloatArray, n: int, rng: np.random.Generator
) -> tuple[FloatArray, float]:
    """Draw `n` points uniform over a set inside a box, by rejection from a box that closes in on it; and its share.

    The box is closed in only as far as a pilot sample says, with a margin, so thin corners are not lost.
    """
    made, hits = 0, np.empty((0, len(low)))
    for size in (10_000, 190_000):
        pilot = rng.uniform(low, high, size=(size, len(low)))
        hits = np.concatenate([hits, pilot[inside(pilot)]])
        made += size
        if len(hits) >= 200:
            break
    if not len(hits):
        return np.empty((0, len(low))), 0.0
    share = len(hits) / made
    span = high - low
    box_low = np.maximum(low, hits.min(axis=0) - 0.1 * span)
    box_high = np.minimum(high, hits.max(axis=0) + 0.1 * span)
    kept = [hits[:n]]
    count = len(kept[0])
    for _ in range(200):
        if count >= n:
            break
        more = rng.uniform(box_low, box_high, size=(4_000, len(low)))
        more = more[inside(more)]
        kept.append(more)
        count += len(more)
    return np.concatenate(kept)[:n], share


def verify(truth: Truth, region: _Region, scenario: Scenario, *, points: int = 2000, seed: int = 0) -> Verification:
    """Compare an estimated region with the truth on points drawn uniformly from each of the two."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    bounds = {c.name: (c.lower, c.upper) for c in scenario.controls}
    low = np.array([bounds[c][0] for c in truth.controls])
    high = np.array([bounds[c][1] for c in truth.controls])
    order = [truth.controls.index(c) for c in region.controls]

    def estimated(x: FloatArray) -> BoolArray:
        return np.asarray(region.contains(x[:, order]), dtype=bool)

    def true(x: FloatArray) -> BoolArray:
        return np.asarray(truth.probability(x) >= truth.alpha, dtype=bool)

    from_true, true_volume = _draw(true, low, high, points, rng)
    from_estimated, estimated_volume = _draw(estimated, low, high, points, rng)
    p_true = truth.probability(from_true) if len(from_true) else np.empty(0)
    p_estimated = truth.probability(from_estimated) if len(from_estimated) else np.empty(0)
    clear_true = np.abs(p_true - truth.alpha) >= 0.02
    clear_estimated = np.abs(p_estimated - truth.alpha) >= 0.02
    covered = estimated(from_true[clear_true]) if clear_true.any() else np.empty(0, dtype=bool)
    wrong = p_estimated[clear_estimated] < truth.alpha
    near = float(np.mean(np.concatenate([~clear_true, ~clear_estimated]))) if len(p_true) + len(p_estimated) else 0.0
    return Verification(
        coverage=float(covered.mean()) if len(covered) else 0.0,
        coverage_ci=_interval(int(covered.sum()), len(covered)),
        false_safe=float(wrong.mean()) if len(wrong) else 0.0,
        false_safe_ci=_interval(int(wrong.sum()), len(wrong)),
        near_border=near,
        points=len(p_true) + len(p_estimated),
        true_volume=true_volume,
        estimated_volume=estimated_volume,
        power_binds=truth.power_binds(),
        product_error=truth.product_error,
    )
