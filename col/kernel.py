"""Hyperparameters by marginal likelihood: scikit-learn's Gaussian process, our kernel, priors on its scales.

Loaded only when a model is fitted: scikit-learn takes a second to import.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

from col.gaussian_process import Hyperparameters, Observations

__all__ = ["EffectKernel", "fit_hyperparameters"]

FloatArray = NDArray[np.float64]
_ROOT5 = float(np.sqrt(5.0))


class EffectKernel(Kernel):
    """The covariance of `gaussian_process.training_covariance` as a scikit-learn kernel with its gradient.

    Rows are [z (p), run, noise factor]. `scales` holds, in this order, amplitude, linear, run, window, trial, joint and
    the p length-scales: all positive, optimised as logarithms.
    """

    def __init__(
        self, scales: FloatArray, bounds: FloatArray, constant: float, passive_ratio: float, additive: int
    ) -> None:
        self.scales, self.bounds_array = scales, bounds
        self.constant, self.passive_ratio, self.additive = constant, passive_ratio, additive

    # scikit-learn's own cloning goes through get_params, which wants one attribute an argument.
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "scales": self.scales,
            "bounds": self.bounds_array,
            "constant": self.constant,
            "passive_ratio": self.passive_ratio,
            "additive": self.additive,
        }

    @property
    def hyperparameters(self) -> list[Hyperparameter]:
        """The one vector of scales."""
        return [Hyperparameter("scales", "numeric", np.exp(self.bounds_array), len(self.scales))]

    @property
    def theta(self) -> FloatArray:
        """Logarithms of the scales."""
        return np.log(self.scales)

    @theta.setter
    def theta(self, value: FloatArray) -> None:
        self.scales = np.exp(np.asarray(value, dtype=float))

    @property
    def bounds(self) -> FloatArray:
        """Bounds of the logarithms, shape (6 + p, 2)."""
        return self.bounds_array

    def clone_with_theta(self, theta: FloatArray) -> EffectKernel:
        """Return the kernel at other scales."""
        return EffectKernel(
            np.exp(np.asarray(theta)), self.bounds_array, self.constant, self.passive_ratio, self.additive
        )

    def is_stationary(self) -> bool:
        """Return False: the linear part makes it depend on place."""
        return False

    def diag(self, x: FloatArray) -> FloatArray:
        """Return the prior variance of the function at rows `x`, shape (n,)."""
        amplitude, linear, joint = self.scales[[0, 1, 5]]
        centred = x[:, :-2] - 0.5
        smooth = amplitude**2 + (joint**2 if self.additive else 0.0)
        result: FloatArray = self.constant**2 + linear**2 * (centred * centred).sum(1) + smooth
        return result

    def __call__(self, x: FloatArray, y: FloatArray | None = None, eval_gradient: bool = False) -> Any:
        """Return the covariance (of the observations where `y` is None) and, if wanted, its gradient."""
        amplitude, linear, run, window, trial, joint = self.scales[:6]
        lengths, c = self.scales[6:], self.additive
        other = x if y is None else y
        a, b = x[:, :-2], other[:, :-2]
        squares = ((a[:, None, :] - b[None, :, :]) / lengths) ** 2
        straight = linear**2 * ((a - 0.5) @ (b - 0.5).T)
        k = self.constant**2 + straight
        smooth = np.zeros_like(k)
        slopes = np.zeros_like(squares)
        beyond = squares[:, :, c:].sum(2)
        for j in range(c):
            value, slope = _matern(squares[:, :, j] + beyond, amplitude**2 / c)
            smooth += value
            slopes[:, :, j] += slope * squares[:, :, j]
            slopes[:, :, c:] += slope[:, :, None] * squares[:, :, c:]
        level = joint if c else amplitude
        together, slope = _matern(squares.sum(2), level**2)
        slopes += slope[:, :, None] * squares
        k += smooth + together
        if y is not None:
            return k
        runs = x[:, -2]
        passive = runs >= 0
        both = passive[:, None] & passive[None, :]
        shared = run**2 * (both & (runs[:, None] == runs[None, :])) + (self.passive_ratio * run) ** 2 * both
        watched = np.where(passive, window**2, 0.0) * x[:, -1]
        tried = np.where(passive, 0.0, trial**2) * x[:, -1]
        k += shared
        k[np.diag_indices_from(k)] += watched + tried
        if not eval_gradient:
            return k
        gradient = np.empty((*k.shape, 6 + len(lengths)))
        gradient[:, :, 0] = 2.0 * (smooth if c else together)
        gradient[:, :, 1] = 2.0 * straight
        gradient[:, :, 2] = 2.0 * shared
        gradient[:, :, 3] = np.diag(2.0 * watched)
        gradient[:, :, 4] = np.diag(2.0 * tried)
        gradient[:, :, 5] = 2.0 * together if c else 0.0
        gradient[:, :, 6:] = slopes
        return k, gradient

    def __repr__(self) -> str:
        return f"EffectKernel({np.round(self.scales, 3).tolist()})"


def _matern(squared: FloatArray, variance: float) -> tuple[FloatArray, FloatArray]:
    """Return the covariance at squared distances, and its slope for the logarithm of a length-scale."""
    r = _ROOT5 * np.sqrt(squared)
    decay = variance * np.exp(-r)
    return decay * (1.0 + r + r * r / 3.0), (5.0 / 3.0) * decay * (1.0 + r)


def fit_hyperparameters(
    data: Observations,
    start: Hyperparameters,
    centre: Hyperparameters,
    lower: Hyperparameters,
    upper: Hyperparameters,
    spread: FloatArray,
    *,
    mean: float = 0.0,
    iterations: int = 40,
) -> Hyperparameters:
    """Return the scales that maximise marginal likelihood times a log-normal prior around `centre`.

    `spread` (6 + p,) holds the prior's standard deviations of the logarithms, in the order amplitude, linear, run,
    window, trial, joint, length-scales; `lower` and `upper` bound the scales.
    """
    bounds = np.log(np.column_stack([_pack(lower), _pack(upper)]))
    log_centre, log_start = (np.clip(np.log(_pack(v)), bounds[:, 0], bounds[:, 1]) for v in (centre, start))

    def optimise(
        objective: Callable[..., tuple[float, FloatArray]], initial: FloatArray, bounds: FloatArray
    ) -> tuple[FloatArray, float]:
        def penalised(theta: FloatArray) -> tuple[float, FloatArray]:
            value, gradient = objective(theta, eval_gradient=True)
            away = (theta - log_centre) / spread
            return float(value + 0.5 * away @ away), gradient + away / spread

        found = minimize(
            penalised, initial, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": iterations}
        )
        return found.x, float(found.fun)

    ratio = start.passive / max(start.run, 1e-12)
    kernel = EffectKernel(np.exp(log_start), bounds, start.constant, ratio, start.additive)
    rows = np.column_stack([data.z, data.run.astype(float), data.noise])
    process = GaussianProcessRegressor(kernel=kernel, alpha=1e-8, optimizer=optimise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a scale at its bound is what the bounds are for
        try:
            process.fit(rows, data.y - mean)
            scales = np.exp(np.asarray(process.kernel_.theta))
        except (np.linalg.LinAlgError, ValueError):
            scales = np.exp(log_start)
    if not np.all(np.isfinite(scales)):
        scales = np.exp(log_start)
    return Hyperparameters(
        amplitude=float(scales[0]),
        linear=float(scales[1]),
        run=float(scales[2]),
        window=float(scales[3]),
        trial=float(scales[4]),
        joint=float(scales[5]),
        lengthscales=scales[6:],
        passive=float(ratio * scales[2]),
        constant=start.constant,
        additive=start.additive,
    )


def _pack(theta: Hyperparameters) -> FloatArray:
    head = [theta.amplitude, theta.linear, theta.run, theta.window, theta.trial, theta.joint]
    return np.concatenate([np.array(head), theta.lengthscales])
