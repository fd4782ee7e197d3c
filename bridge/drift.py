"""Drift: how far the testbed's windows lie from what the twin predicts for the same controls.

A certificate says for each metric between which values the twin expects the mean over a horizon, with probability 0.9.
With c the middle of that interval and w half its length, m the mean of the testbed's latest windows with those controls
and s its standard error, the gap of a metric is

    (|m - c| + s) / w

so that 1 is the edge of what the twin predicted; the drift is the largest gap among the metrics of φ, which the
certificate is about (the gaps of others are told, and limit nothing). The standard error counts effective
windows, n (1 - r) / (1 + r) with r the lag-1 autocorrelation (at least 0): few windows, or windows that say the same
over and over, widen the gap and never narrow it. A twin is not believed to be exact: w is at least 2 % of |c| (a
saturated throughput has no spread at all on the twin), and never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from col.certificate import Prediction
from col.plant import Windows

__all__ = ["Drift", "Gap", "Pairs", "Side", "believed", "estimate_drift"]

FloatArray = NDArray[np.float64]
_LEAST_SHARE = 0.02
_LEAST_WIDTH = 1e-9
_HIGHEST_CORRELATION = 0.95
_RECENT = 4
"""So many times the least number of windows are looked at, the latest ones: drift is about now."""


class Side(StrEnum):
    """Which configuration of a certificate the windows are of."""

    BASE = "base"
    TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Windows of the testbed beside the intervals that the twin predicted for the same controls, for each metric.

    `sequence` has shape (n,), each column of `testbed` too (NaN is missing); `twin` holds (low, high).
    """

    side: Side
    sequence: NDArray[np.int64]
    testbed: Mapping[str, FloatArray]
    twin: Mapping[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a journal, None for what is missing."""
        columns = {
            name: [float(v) if math.isfinite(v) else None for v in column] for name, column in self.testbed.items()
        }
        return {
            "side": str(self.side),
            "sequence": self.sequence.tolist(),
            "testbed": columns,
            "twin": {name: list(ends) for name, ends in self.twin.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One metric: the testbed's mean over `windows` windows (worth `effective`) against the twin's interval.

    `mean`, `standard_error`, `low` and `high` are in the metric's unit; `value` is the gap, 1 at the interval's edge.
    """

    metric: str
    value: float
    mean: float
    standard_error: float
    low: float
    high: float
    windows: int
    effective: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The drift, None where it is not known, the gaps behind it from the widest on, and the pairs behind those.

    `unknown` are the metrics that were asked for and could not be compared.
    """

    overall: float | None
    gaps: tuple[Gap, ...]
    pairs: Pairs
    unknown: tuple[str, ...] = ()


def estimate_drift(
    windows: Windows,
    predictions: Mapping[str, Prediction],
    *,
    side: Side = Side.BASE,
    least: int = 5,
    needed: frozenset[str] = frozenset(),
) -> Drift:
    """Compare windows that were recorded with the controls of one side of a certificate with its predictions.

    `needed` are the metrics of φ (all that were predicted, where it is empty). A metric with fewer than `least`
    measured values is not known, nor is the drift then if the metric is needed. Others that the testbed does not
    measure are left out.
    """
    least = max(1, least)
    recent = windows.take(slice(-_RECENT * least, None))
    twin = {name: _ends(prediction, side) for name, prediction in predictions.items()}
    shared = sorted(twin.keys() & recent.metrics.keys())
    with np.errstate(over="ignore", invalid="ignore"):  # hostile numbers overflow to a gap without end
        found = [_gap(name, recent.metrics[name], *twin[name], least) for name in shared]
    gaps = sorted((gap for gap in found if gap is not None), key=lambda g: -g.value)
    unknown = tuple(sorted(needed - {gap.metric for gap in gaps}))
    counted = [gap.value for gap in gaps if not needed or gap.metric in needed]
    return Drift(
        overall=max(counted) if counted and not unknown else None,
        gaps=tuple(gaps),
        pairs=Pairs(
            side=side,
            sequence=recent.sequence,
            testbed={name: recent.metrics[name] for name in shared},
            twin={name: twin[name] for name in shared},
        ),
        unknown=unknown,
    )


def believed(low: float, high: float) -> tuple[float, float]:
    """Return a predicted interval no narrower than a twin is believed to be exact: 2 % of its middle to either side."""
    middle = low / 2.0 + high / 2.0
    half = max(high / 2.0 - low / 2.0, _LEAST_SHARE * abs(middle), _LEAST_WIDTH)
    return middle - half, middle + half


def _ends(prediction: Prediction, side: Side) -> tuple[float, float]:
    if side is Side.BASE:
        return prediction.base_low, prediction.base_high
    return prediction.target_low, prediction.target_high


def _gap(name: str, column: FloatArray, low: float, high: float, least: int) -> Gap | None:
    values = column[np.isfinite(column)]
    n = len(values)
    if n < least:
        return None
    mean = float(np.mean(values))
    effective = _effective(values)
    # One window says nothing of its own spread: then only the twin's interval stands for it.
    error = float(np.std(values, ddof=1)) / math.sqrt(effective) if n > 1 else 0.0
    low, high = believed(low, high)
    middle, half = low / 2.0 + high / 2.0, high / 2.0 - low / 2.0
    value = (abs(mean - middle) + error) / half
    if not math.isfinite(value):  # values so large that they overflow: as far away as can be
        value = math.inf
    return Gap(
        metric=name,
        value=value,
        mean=mean,
        standard_error=error,
        low=low,
        high=high,
        windows=n,
        effective=effective,
    )


def _effective(values: FloatArray) -> float:
    """Return how many independent windows these are worth."""
    n = len(values)
    scale = float(np.max(np.abs(values)))
    if n < 3 or scale == 0.0:
        return float(n)
    centred = values / scale - np.mean(values / scale)
    power = float(centred @ centred)
    if power <= 1e-24:
        return float(n)
    correlation = min(max(float(centred[1:] @ centred[:-1]) / power, 0.0), _HIGHEST_CORRELATION)
    return max(1.0, n * (1.0 - correlation) / (1.0 + correlation))
