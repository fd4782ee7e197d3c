"""Drift: 1 is the edge of what the twin predicted, and few or sticky windows never make it look smaller."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bridge.drift import Side, estimate_drift
from col.certificate import Prediction
from col.plant import Windows

PREDICTED = {"thp": Prediction(base_low=8.0, base_high=12.0, target_low=6.0, target_high=10.0)}
RNG = np.random.default_rng


def make_windows(**columns: object) -> Windows:
    metrics = {name: np.asarray(column, dtype=float) for name, column in columns.items()}
    n = len(next(iter(metrics.values())))
    return Windows(
        sequence=np.arange(n, dtype=np.int64),
        start_s=np.zeros(n),
        end_s=np.zeros(n),
        run=np.zeros(n, dtype=np.int64),
        controls={},
        metrics=metrics,
    )


@pytest.mark.parametrize(("mean", "gap"), [(10.0, 0.0), (12.0, 1.0), (8.0, 1.0), (16.0, 3.0), (4.0, 3.0)])
def test_one_is_the_edge_of_the_predicted_interval(mean: float, gap: float) -> None:
    assert estimate_drift(make_windows(thp=[mean] * 6), PREDICTED).overall == pytest.approx(gap)


def test_windows_of_the_target_are_held_against_the_target() -> None:
    windows = make_windows(thp=[10.0] * 6)

    assert estimate_drift(windows, PREDICTED, side=Side.TARGET).overall == pytest.approx(1.0)


def test_the_standard_error_widens_the_gap() -> None:
    values = [9.0, 11.0] * 3
    gap = estimate_drift(make_windows(thp=values), PREDICTED).gaps[0]

    assert gap.mean == 10.0
    assert gap.standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(6))
    assert gap.value == pytest.approx(gap.standard_error / 2.0)


def test_windows_that_stick_together_are_worth_less() -> None:
    steps = RNG(0).standard_normal(20)
    sticky = np.cumsum(steps) / 5 + 10.0
    loose = RNG(1).permutation(sticky)

    gaps = [estimate_drift(make_windows(thp=v), PREDICTED).gaps[0] for v in (sticky, loose)]
    assert gaps[0].effective < 8 < gaps[1].effective
    assert gaps[0].value > gaps[1].value


def test_the_effective_number_is_about_that_of_an_autoregression() -> None:
    rng, n, r = RNG(2), 4000, 0.6
    x = np.empty(n)
    x[0] = rng.standard_normal()
    for t in range(1, n):
        x[t] = r * x[t - 1] + math.sqrt(1 - r * r) * rng.standard_normal()

    gap = estimate_drift(make_windows(thp=10.0 + x), PREDICTED, least=1000).gaps[0]
    assert gap.effective == pytest.approx(n * (1 - r) / (1 + r), rel=0.1)


def test_a_twin_that_predicts_no_spread_is_not_taken_at_its_word() -> None:
    exact = {"thp": Prediction(base_low=10.0, base_high=10.0, target_low=0.0, target_high=0.0)}

    assert estimate_drift(make_windows(thp=[10.1] * 5), exact).overall == pytest.approx(0.5)
    nothing = estimate_drift(make_windows(thp=[0.0] * 5), exact, side=Side.TARGET)
    assert nothing.overall == 0.0


def test_too_few_windows_are_not_known() -> None:
    few = estimate_drift(make_windows(thp=[10.0] * 4), PREDICTED)
    gaps = estimate_drift(make_windows(thp=[10.0] * 4 + [math.nan] * 3), PREDICTED)

    assert few.overall is None
    assert gaps.overall is None
    assert estimate_drift(make_windows(thp=[10.0] * 4), PREDICTED, least=4).overall == 0.0


def test_only_the_latest_windows_count() -> None:
    windows = make_windows(thp=[100.0] * 50 + [10.0] * 20)

    assert estimate_drift(windows, PREDICTED, least=5).overall == 0.0


def test_the_metrics_of_the_specification_decide_and_each_must_be_known() -> None:
    predicted = {**PREDICTED, "cap": PREDICTED["thp"], "not_measured": PREDICTED["thp"]}
    windows = make_windows(thp=[11.0] * 5, cap=[20.0] * 5)

    found = estimate_drift(windows, predicted, needed=frozenset({"thp"}))
    assert found.overall == pytest.approx(0.5)
    assert [(g.metric, g.value) for g in found.gaps] == [("cap", 5.0), ("thp", 0.5)]
    assert estimate_drift(windows, predicted).overall == pytest.approx(5.0)
    unknown = estimate_drift(windows, predicted, needed=frozenset({"thp", "pow"}))
    assert (unknown.overall, unknown.unknown) == (None, ("pow",))


def test_a_testbed_like_the_twin_lies_within_what_was_predicted() -> None:
    # Horizons of 5 windows with a random effect of the run, as the twin's interval was made from.
    rng = RNG(3)
    runs = rng.normal(10.0, 0.8, 20_000) + rng.normal(0.0, 0.6, (5, 20_000)).mean(axis=0)
    low, high = np.quantile(runs, [0.05, 0.95])
    predicted = {"thp": Prediction(base_low=low, base_high=high, target_low=low, target_high=high)}

    drifts = []
    for _ in range(300):
        windows = make_windows(thp=rng.normal(10.0, 0.8) + rng.normal(0.0, 0.6, 5))
        drifts.append(estimate_drift(windows, predicted).overall or 0.0)
    assert np.mean(np.array(drifts) <= 1.5) > 0.85
    assert np.mean(np.array(drifts) <= 3.0) > 0.99


def test_pairs_are_kept_as_plain_data() -> None:
    windows = make_windows(thp=[10.0, math.nan, 10.5, 9.5, 10.0, 10.0])
    pairs = estimate_drift(windows, PREDICTED).pairs

    data = json.loads(json.dumps(pairs.to_dict(), allow_nan=False))
    assert data == {
        "side": "base",
        "sequence": [0, 1, 2, 3, 4, 5],
        "testbed": {"thp": [10.0, None, 10.5, 9.5, 10.0, 10.0]},
        "twin": {"thp": [8.0, 12.0]},
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324, 0.0])
def test_hostile_numbers_are_far_away_and_nothing_breaks(value: float) -> None:
    found = estimate_drift(make_windows(thp=[value, -value] * 3), PREDICTED)

    assert found.overall is not None
    assert found.overall >= 5.0
