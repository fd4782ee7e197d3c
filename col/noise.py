"""What repeats differently: run effects, window noise, and the trajectories drawn from both.

The windows of one run share a run effect; around it they scatter with some autocorrelation. Trajectories of all leaves
are drawn together, so that what moves two leaves at once does so in the draws. Letters: `s` trajectories, `t` windows,
`v` leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtri

from col.requirement import Requirement

__all__ = ["LeafNoise", "TrajectoryDraws", "autocorrelation", "effective_share", "scale_factor", "shrunk_correlation"]

FloatArray = NDArray[np.float64]


def effective_share(windows: int, rho: float) -> float:
    """Return the variance of the mean of `windows` windows over that of one, for lag-one autocorrelation `rho`."""
    if windows <= 1:
        return 1.0
    lags = np.arange(1, windows)
    return float((1.0 + 2.0 * np.sum((1.0 - lags / windows) * rho**lags)) / windows)


def autocorrelation(residual: FloatArray, run: NDArray[np.int64]) -> float:
    """Return the lag-one autocorrelation of residuals within runs, bounded to [0, 0.9]; 0 where there is too little."""
    centred = residual.copy()
    for number in np.unique(run):
        rows = run == number
        centred[rows] -= centred[rows].mean()
    same = run[1:] == run[:-1]
    total = float(centred @ centred)
    if same.sum() < 8 or total <= 0:
        return 0.0
    return float(np.clip((centred[1:] * centred[:-1])[same].sum() / total * len(run) / same.sum(), 0.0, 0.9))


def scale_factor(degrees: float, doubt: float = 0.25) -> float:
    """Return by how much a standard deviation known with `degrees` degrees of freedom is inflated to be safe."""
    return float(np.sqrt(0.5 * degrees / gammaincinv(0.5 * degrees, doubt)))


def shrunk_correlation(samples: FloatArray, weight: float = 10.0) -> FloatArray:
    """Return the correlation of the columns of `samples` (n, v), shrunk to independence by `weight` samples."""
    n, v = samples.shape
    if n < 4:
        return np.eye(v)
    centred = samples - samples.mean(0)
    spread = np.sqrt((centred * centred).mean(0))
    scaled = centred / np.where(spread > 0, spread, 1.0)
    raw = scaled.T @ scaled / n * (n / (n + weight))
    np.fill_diagonal(raw, 1.0)
    result: FloatArray = raw
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafNoise:
    """Noise of one leaf at the operating point, in modelled units: run effect, window noise and its autocorrelation."""

    run: float
    window: float
    rho: float


class TrajectoryDraws:
    """Standard normal draws made once, so that the region moves only because knowledge does, never by chance.

    Run effects are stratified: each leaf's draws are the normal quantiles in a random order.
    """

    def __init__(self, trajectories: int, windows: int, leaves: int, rng: np.random.Generator) -> None:
        levels = ndtri((np.arange(trajectories) + 0.5) / trajectories)
        self._run = np.column_stack([rng.permutation(levels) for _ in range(leaves)])
        self._window = rng.standard_normal((trajectories, windows, leaves))

    @property
    def trajectories(self) -> int:
        """Number of trajectories."""
        return len(self._run)

    def residuals(self, noises: Sequence[LeafNoise], correlation: FloatArray) -> FloatArray:
        """Return residual trajectories of all leaves, shape (s, t, v), in modelled units."""
        if not len(noises):
            return self._window
        values, vectors = np.linalg.eigh(correlation)
        root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
        root /= np.sqrt((root * root).sum(1))[:, None]
        run = self._run @ root.T * np.array([noise.run for noise in noises])
        window = self._window @ root.T
        rho = np.array([noise.rho for noise in noises])
        fresh = np.sqrt(1.0 - rho**2)
        for t in range(1, window.shape[1]):
            window[:, t] = rho * window[:, t - 1] + fresh * window[:, t]
        result: FloatArray = run[:, None, :] + window * np.array([noise.window for noise in noises])
        return result

    def worst(self, residuals: FloatArray, requirements: Sequence[Requirement]) -> FloatArray:
        """Return how far the leaf must lie on the good side for each requirement to hold, shape (requirements, s)."""
        rows = [-(r.sign * residuals[:, list(r.windows), r.leaf]).min(axis=1) for r in requirements]
        return np.array(rows) if rows else np.empty((0, self.trajectories))
