import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from col.errors import InputError
from twin.power import HostPower, Neighbour, NeighbourParameters, PowerParameters
from twin.scenario import load_scenario, parse_scenario
from twin.strict import write_toml

PRIOR = PowerParameters(idle_w=80.0, busy_w=110.0, exponent=1.4, noise_w=0.7, drift_w=0.5, drift_correlation_s=600.0)


def meter(seed: int) -> HostPower:
    return HostPower(PRIOR, 16.0, 15.0, noise=np.random.default_rng(seed), drift=np.random.default_rng(seed + 1))


def test_idle_and_busy_hosts_draw_what_the_parameters_say() -> None:
    assert PRIOR.mean_w(0.0, 16.0) == 80.0
    assert PRIOR.mean_w(16.0, 16.0) == pytest.approx(110.0)


def test_exponent_one_is_the_linear_variant() -> None:
    linear = PowerParameters(idle_w=80.0, busy_w=112.0, exponent=1.0, noise_w=0.0, drift_w=0.0, drift_correlation_s=1.0)
    assert linear.mean_w(4.0, 16.0) == pytest.approx(88.0)


@given(st.floats(0, 20), st.floats(0, 20))
def test_power_never_falls_when_more_cores_are_busy(some: float, more: float) -> None:
    low, high = sorted((some, more))
    assert PRIOR.mean_w(low, 16.0) <= PRIOR.mean_w(high, 16.0) + 1e-12


@given(st.floats(1, 2), st.floats(0, 1), st.floats(0, 1))
def test_power_never_falls_with_use_whatever_exponent_a_scenario_may_have(
    exponent: float, some: float, more: float
) -> None:
    low, high = sorted((some, more))
    curve = PowerParameters(
        idle_w=80.0, busy_w=110.0, exponent=exponent, noise_w=0.0, drift_w=0.0, drift_correlation_s=1.0
    )
    assert curve.mean_w(low, 1.0) <= curve.mean_w(high, 1.0) + 1e-9


def test_an_exponent_with_which_a_busy_host_would_draw_less_is_refused() -> None:
    """P falls from (2 / r)^(1 / (r - 1)) of all cores on, where r is above 2."""
    text = write_toml(load_scenario("cpu-allocation").to_dict()).replace("exponent = 1.4", "exponent = 2.5")
    with pytest.raises(InputError, match=r"power\.exponent.* in 1 to 2"):
        parse_scenario(text.encode(), "mine.toml")


def test_a_host_that_had_power_for_a_part_of_the_window_draws_that_part() -> None:
    flat = PowerParameters(idle_w=80.0, busy_w=112.0, exponent=1.0, noise_w=0.0, drift_w=0.0, drift_correlation_s=1.0)
    half, none, whole = (
        HostPower(flat, 16.0, 15.0, noise=np.random.default_rng(0), drift=np.random.default_rng(1)) for _ in range(3)
    )
    assert half.read_w(2.0, 0.5) == pytest.approx(0.5 * 88.0)  # 4 of 16 cores busy in the half with power
    assert none.read_w(0.0, 0.0) == 0.0
    assert whole.read_w(4.0) == pytest.approx(88.0)


def test_first_busy_cores_cost_two_and_a_half_to_three_watts_each() -> None:
    assert 2.5 <= (PRIOR.mean_w(2.5, 16.0) - 80.0) / 2.5 <= 3.0


def test_readings_spread_by_noise_and_drift_and_the_drift_is_slow() -> None:
    readings = np.array([[m.read_w(2.0) for _ in range(100)] for m in map(meter, range(0, 600, 2))])
    assert readings.std() == pytest.approx(np.hypot(0.7, 0.5), rel=0.05)
    slow = readings.mean(axis=1).std()  # white noise alone would leave 0.07 W
    assert slow > 0.3


def test_neighbour_uses_what_limits_leave_of_the_pool() -> None:
    parameters = NeighbourParameters(pool_cores=6.0, activity_mean=1.0, activity_sd=0.0)
    neighbour = Neighbour(parameters, np.random.default_rng(0))
    assert neighbour.use_cores(4.0) == pytest.approx(2.0)
    assert neighbour.use_cores(7.0) == 0.0


def test_neighbour_never_uses_more_than_is_released() -> None:
    parameters = NeighbourParameters(pool_cores=6.0, activity_mean=0.9, activity_sd=0.5)
    neighbour = Neighbour(parameters, np.random.default_rng(0))
    use = [neighbour.use_cores(4.0) for _ in range(500)]
    assert min(use) >= 0.0
    assert max(use) <= 2.0
