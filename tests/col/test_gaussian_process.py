"""The posterior: one observation at a time is the same as all at once, and the fit sees the kernel that predicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from col.gaussian_process import Hyperparameters, Observations, Posterior, training_covariance
from col.kernel import EffectKernel, fit_hyperparameters


def hyperparameters(additive: int = 0) -> Hyperparameters:
    return Hyperparameters(
        amplitude=1.2,
        lengthscales=np.array([0.3, 0.4, 0.5]),
        linear=0.7,
        run=0.2,
        window=0.1,
        trial=0.15,
        passive=0.1,
        joint=0.4,
        additive=additive,
    )


def observations(n: int, rng: np.random.Generator) -> Observations:
    run = np.where(np.arange(n) < n // 2, np.arange(n) // 4, -1)
    return Observations(z=rng.random((n, 3)), y=rng.standard_normal(n), run=run, noise=1.0 + rng.random(n))


@pytest.mark.parametrize("additive", [0, 3])
def test_appending_trials_gives_the_posterior_of_all_observations_at_once(additive: int) -> None:
    rng = np.random.default_rng(1)
    theta, tracked = hyperparameters(additive), rng.random((7, 3))
    data = observations(90, rng)
    grown = Posterior(theta=theta, data=data.take(np.arange(12)), tracked=tracked)

    for i in range(45, 90):
        grown.append(data.z[i], float(data.y[i]), float(data.noise[i]))

    kept = np.concatenate([np.arange(12), np.arange(45, 90)])
    whole = Posterior(theta=theta, data=data.take(kept), tracked=tracked)
    np.testing.assert_allclose(grown.moments[0], whole.moments[0], atol=1e-8)
    np.testing.assert_allclose(grown.moments[1], whole.moments[1], atol=1e-8)
    np.testing.assert_allclose(grown.state().predict(tracked)[0], whole.moments[0], atol=1e-8)
    np.testing.assert_allclose(grown.state().predict(tracked)[1], whole.moments[1], atol=1e-6)


@pytest.mark.parametrize("additive", [0, 3])
def test_scikit_learns_kernel_is_the_covariance_that_predicts_and_its_gradient_is_right(additive: int) -> None:
    rng = np.random.default_rng(2)
    data = observations(10, rng)
    rows = np.column_stack([data.z, data.run, data.noise])
    theta = hyperparameters(additive)
    scales = np.array([1.2, 0.7, 0.2, 0.1, 0.15, 0.4, 0.3, 0.4, 0.5])
    kernel = EffectKernel(scales, np.repeat([[-5.0, 5.0]], 9, axis=0), theta.constant, 0.5, additive)

    value, gradient = kernel(rows, eval_gradient=True)

    np.testing.assert_allclose(value, training_covariance(data, theta), atol=1e-7)
    for i in range(len(scales)):
        step = np.zeros(len(scales))
        step[i] = 1e-6
        up, down = kernel.clone_with_theta(kernel.theta + step), kernel.clone_with_theta(kernel.theta - step)
        np.testing.assert_allclose((up(rows) - down(rows)) / 2e-6, gradient[:, :, i], atol=1e-6)


def test_a_trial_kept_out_is_predicted_as_leave_one_out_says() -> None:
    rng = np.random.default_rng(3)
    data, theta = observations(20, rng), hyperparameters()
    residual, sd = Posterior(theta=theta, data=data, tracked=np.empty((0, 3))).leave_one_out()

    rest = Posterior(theta=theta, data=data.take(np.arange(19)), tracked=data.z[19:])

    mean, spread = rest.moments
    assert data.y[19] - mean[0] == pytest.approx(residual[19], abs=1e-8)
    assert np.hypot(spread[0], theta.trial * np.sqrt(data.noise[19])) == pytest.approx(sd[19], rel=1e-6)


def test_fit_recovers_noise_that_the_prior_did_not_expect_and_stays_inside_its_bounds() -> None:
    rng = np.random.default_rng(4)
    n = 120
    z = rng.random((n, 3))
    run = np.repeat(np.arange(12), 10)
    y = np.sin(4 * z[:, 0]) + 0.5 * rng.standard_normal(12)[run] + 0.05 * rng.standard_normal(n)
    start = hyperparameters()
    lower = replace(start, amplitude=0.3, linear=0.01, run=1e-3, window=1e-3, trial=1e-3, joint=0.05)
    lower = replace(lower, lengthscales=np.array([0.05, 0.3, 0.3]))
    upper = replace(start, amplitude=9.0, linear=9.0, run=2.0, window=2.0, trial=2.0, joint=2.0)
    upper = replace(upper, lengthscales=np.array([0.4, 9.0, 9.0]))

    data = Observations(z=z, y=y, run=run, noise=np.ones(n))
    found = fit_hyperparameters(data, start, start, lower, upper, np.full(9, 1.0))

    assert found.run == pytest.approx(0.5, rel=0.5)
    assert found.window == pytest.approx(0.05, rel=0.4)
    assert found.lengthscales[0] <= 0.4 * (1 + 1e-9)


def test_repeated_rows_without_noise_raise_nothing_and_stay_finite() -> None:
    theta = replace(hyperparameters(), window=0.0, run=0.0, passive=0.0)
    data = Observations(z=np.full((6, 3), 0.5), y=np.ones(6), run=np.zeros(6, dtype=np.int64), noise=np.ones(6))

    mean, sd = Posterior(theta=theta, data=data, tracked=np.full((1, 3), 0.5)).moments

    assert mean[0] == pytest.approx(1.0, abs=1e-3)
    assert np.isfinite(sd[0])
