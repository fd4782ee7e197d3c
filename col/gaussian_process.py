"""A Gaussian process whose posterior grows by one observation at a time.

Letters in shapes: `n` observations, `p` inputs (scaled to about 0..1), `m` points looked at. Outputs are standardised.
The covariance of two values of the function is

    k(z, z') = constant^2 + linear^2 (z - 1/2).(z' - 1/2) + amplitude^2 M(z, z')

with M the Matern-5/2 correlation of one length-scale an input (Rasmussen and Williams 2006, section 4.2). With many
controls, M over all of them at once forgets everything a short way off; the amplitude then belongs to a mean of terms
of one control each (with the other inputs), and `joint` to M. Observations made while only watching share an offset for
each run and one for the whole phase, both nuisances.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

__all__ = ["Hyperparameters", "Observations", "Posterior", "PosteriorState", "covariance", "training_covariance"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_ROOT5 = float(np.sqrt(5.0))
_JITTER = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """Scales in units of the standardised output; `lengthscales` (p,) in units of the scaled inputs.

    `run` and `window` are the standard deviations of the offset of a passive run and of one passive window,
    `trial` that of the mean of a trial (its run and its windows together), `passive` that of the offset of the
    whole passive phase.
    """

    amplitude: float
    lengthscales: FloatArray
    linear: float
    run: float
    window: float
    trial: float
    passive: float
    constant: float = 3.0
    joint: float = 0.0
    additive: int = 0
    """Number of leading inputs that are controls with a term each; 0 for one term over all inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Inputs `z` (n, p), outputs `y` (n,), passive run number `run` (n,), negative for a trial.

    `noise` (n,) multiplies the noise variance of the row: a locally noisier place has a factor above 1.
    """

    z: FloatArray
    y: FloatArray
    run: IntArray
    noise: FloatArray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: IntArray) -> Observations:
        """Return the observations of the given rows."""
        return Observations(z=self.z[rows], y=self.y[rows], run=self.run[rows], noise=self.noise[rows])

    def joined(self, other: Observations) -> Observations:
        """Return these observations followed by the others."""
        return Observations(
            z=np.concatenate([self.z, other.z]),
            y=np.concatenate([self.y, other.y]),
            run=np.concatenate([self.run, other.run]),
            noise=np.concatenate([self.noise, other.noise]),
        )


def _scaled_squares(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return squared distances between points `a` (n, p) and `b` (m, p), shape (n, m)."""
    squared: FloatArray = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2.0 * (a @ b.T)
    return np.maximum(squared, 0.0)


def _matern(squared: FloatArray) -> FloatArray:
    """Return the Matern-5/2 correlation at squared scaled distances."""
    r = _ROOT5 * np.sqrt(squared)
    result: FloatArray = (1.0 + r * (1.0 + r / 3.0)) * np.exp(-r)
    return result


def covariance(a: FloatArray, b: FloatArray, theta: Hyperparameters) -> FloatArray:
    """Return the prior covariance of the function between points `a` (n, p) and `b` (m, p), shape (n, m)."""
    result: FloatArray = theta.constant**2 + theta.linear**2 * ((a - 0.5) @ (b - 0.5).T)
    c = theta.additive
    a, b = a / theta.lengthscales, b / theta.lengthscales
    if not c:
        result += theta.amplitude**2 * _matern(_scaled_squares(a, b))
        return result
    beyond = _scaled_squares(a[:, c:], b[:, c:])
    total = beyond.copy()
    for j in range(c):
        alone = (a[:, j : j + 1] - b[:, j]) ** 2
        total += alone
        alone += beyond
        result += theta.amplitude**2 / c * _matern(alone)
    result += theta.joint**2 * _matern(total)
    return result


def _prior_variance(a: FloatArray, theta: Hyperparameters) -> FloatArray:
    centred = a - 0.5
    smooth = theta.amplitude**2 + (theta.joint**2 if theta.additive else 0.0)
    result: FloatArray = theta.constant**2 + theta.linear**2 * (centred * centred).sum(1) + smooth
    return result


def noise_variance(data: Observations, theta: Hyperparameters) -> FloatArray:
    """Return the variance of each row's own noise, shape (n,)."""
    result: FloatArray = np.where(data.run >= 0, theta.window**2, theta.trial**2) * data.noise
    return result


def training_covariance(data: Observations, theta: Hyperparameters) -> FloatArray:
    """Return the covariance of the observations themselves: function, offsets and noise, shape (n, n)."""
    k = covariance(data.z, data.z, theta)
    passive = data.run >= 0
    both = passive[:, None] & passive[None, :]
    k += both * theta.passive**2
    k += (both & (data.run[:, None] == data.run[None, :])) * theta.run**2
    k[np.diag_indices_from(k)] += noise_variance(data, theta) + _JITTER
    return k


def _factor(k: FloatArray) -> FloatArray:
    """Cholesky factor; a singular matrix gets more jitter rather than an exception of a library."""
    scale = float(np.mean(np.diag(k)))
    for jitter in (0.0, 1e-8, 1e-6, 1e-4, 1e-2):
        try:
            factor: FloatArray = cholesky(k + jitter * scale * np.eye(len(k)), lower=True, check_finite=False)
            return factor
        except np.linalg.LinAlgError:
            continue
    return np.diag(np.sqrt(np.maximum(np.diag(k), _JITTER)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PosteriorState:
    """All that is needed to predict: inputs `z` (n, p), factor `factor` (n, n), whitened outputs `white` (n,)."""

    theta: Hyperparameters
    z: FloatArray
    factor: FloatArray
    white: FloatArray
    mean: float

    def predict(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the function at `points` (m, p), each (m,)."""
        prior = _prior_variance(points, self.theta)
        if not len(self.z):
            return np.full(len(points), self.mean), np.sqrt(prior)
        v = solve_triangular(self.factor, covariance(self.z, points, self.theta), lower=True, check_finite=False)
        return self.mean + v.T @ self.white, np.sqrt(np.maximum(prior - np.einsum("ij,ij->j", v, v), 1e-12))


@dataclass(slots=True)
class Posterior:
    """The posterior given observations; `append` adds a trial in O(n^2), and `tracked` points follow in O(n m)."""

    theta: Hyperparameters
    data: Observations
    tracked: FloatArray
    mean: float = 0.0
    _n: int = 0
    _z: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    _factor: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    _white: FloatArray = field(default_factory=lambda: np.empty(0))
    _v: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    _tracked_mean: FloatArray = field(default_factory=lambda: np.empty(0))
    _tracked_variance: FloatArray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        n, p = self.data.z.shape
        self._n = n
        capacity = n + 64
        self._z = np.zeros((capacity, p))
        self._z[:n] = self.data.z
        self._factor = np.zeros((capacity, capacity))
        self._white = np.zeros(capacity)
        self._v = np.zeros((capacity, len(self.tracked)))
        if n:
            factor = _factor(training_covariance(self.data, self.theta))
            self._factor[:n, :n] = factor
            self._white[:n] = solve_triangular(factor, self.data.y - self.mean, lower=True, check_finite=False)
            cross = covariance(self.data.z, self.tracked, self.theta)
            self._v[:n] = solve_triangular(factor, cross, lower=True, check_finite=False)
        v = self._v[:n]
        self._tracked_mean = self.mean + v.T @ self._white[:n]
        self._tracked_variance = _prior_variance(self.tracked, self.theta) - np.einsum("ij,ij->j", v, v)

    def append(self, z: FloatArray, y: float, noise: float = 1.0) -> None:
        """Add one trial: input `z` (p,), output `y`, factor `noise` on its noise variance."""
        n, point = self._n, z[None, :]
        if n == len(self._white):
            self._grow()
        variance = float(_prior_variance(point, self.theta)[0]) + self.theta.trial**2 * noise + _JITTER
        row = np.empty(0)
        if n:
            cross = covariance(self._z[:n], point, self.theta)[:, 0]
            row = solve_triangular(self._factor[:n, :n], cross, lower=True, check_finite=False)
        # Never below the noise of the trial itself: rounding must not create certainty.
        pivot = float(np.sqrt(max(variance - float(row @ row), self.theta.trial**2 * noise, _JITTER)))
        self._z[n] = z
        self._factor[n, :n] = row
        self._factor[n, n] = pivot
        self._white[n] = (y - self.mean - row @ self._white[:n]) / pivot
        self._v[n] = (covariance(point, self.tracked, self.theta)[0] - row @ self._v[:n]) / pivot
        self._tracked_mean = self._tracked_mean + self._white[n] * self._v[n]
        self._tracked_variance = self._tracked_variance - self._v[n] ** 2
        self._n = n + 1
        trial = Observations(z=point, y=np.array([y]), run=np.array([-1]), noise=np.array([noise]))
        self.data = self.data.joined(trial)

    def _grow(self) -> None:
        n = self._n
        capacity = n + max(64, n // 2)
        for name in ("_z", "_factor", "_white", "_v"):
            old = getattr(self, name)
            shape = (capacity, capacity) if name == "_factor" else (capacity, *old.shape[1:])
            new = np.zeros(shape)
            new[tuple(slice(0, s) for s in old.shape)] = old
            setattr(self, name, new)

    @property
    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the function at the tracked points, each (m,)."""
        return self._tracked_mean, np.sqrt(np.maximum(self._tracked_variance, 1e-12))

    def tracked_covariance(self, rows: IntArray, columns: IntArray) -> FloatArray:
        """Return the posterior covariance between tracked points, shape (len(rows), len(columns))."""
        v = self._v[: self._n]
        prior = covariance(self.tracked[rows], self.tracked[columns], self.theta)
        result: FloatArray = prior - v[:, rows].T @ v[:, columns]
        return result

    def covariance_with_tracked(self, points: FloatArray, columns: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the posterior covariance of `points` (m, p) with tracked points and the points' standard deviation."""
        n = self._n
        prior, own = covariance(points, self.tracked[columns], self.theta), _prior_variance(points, self.theta)
        if not n:
            return prior, np.sqrt(own)
        cross = covariance(self._z[:n], points, self.theta)
        left = solve_triangular(self._factor[:n, :n], cross, lower=True, check_finite=False)
        sd: FloatArray = np.sqrt(np.maximum(own - np.einsum("ij,ij->j", left, left), 1e-12))
        return prior - left.T @ self._v[:n, columns], sd

    def leave_one_out(self) -> tuple[FloatArray, FloatArray]:
        """Return each observation's residual and its standard deviation had it been left out, each (n,)."""
        n = self._n
        if not n:
            return np.empty(0), np.empty(0)
        inverse_factor = solve_triangular(self._factor[:n, :n], np.eye(n), lower=True, check_finite=False)
        precision = np.einsum("ij,ij->j", inverse_factor, inverse_factor)
        return (inverse_factor.T @ self._white[:n]) / precision, np.sqrt(1.0 / precision)

    def state(self) -> PosteriorState:
        """Return the posterior as it stands; later observations do not change it (rows are only ever added)."""
        n = self._n
        return PosteriorState(
            theta=self.theta,
            z=self._z[:n],
            factor=self._factor[:n, :n],
            white=self._white[:n],
            mean=self.mean,
        )
