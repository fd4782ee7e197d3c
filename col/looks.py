"""How many fresh horizons certify, and with how many failures: looks that are planned before the first one is run.

A step that may be certified wrongly with probability `level` is judged at up to three looks: after n_j horizons with at
most 0, 1 and 3 failures. Look j has the share s_j of the level (0.6, 0.25, 0.15), and n_j is the least number for which
the Clopper-Pearson lower bound at that share reaches alpha; the first look that is reached with few enough failures
certifies, with that bound. By the union bound the bounds of all looks hold together with probability 1 - level,
whichever is stopped at. With alpha 0.9 and a level of 0.05 / 4 the looks are after 47, 77 and 118 horizons, and what
holds with probability 0.99 is certified 97 times in 100, after 64 horizons on average. More than three failures:
refused at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError

__all__ = ["LEAST_FOR_AN_INTERVAL", "Look", "lower_bound", "plan_looks", "prediction_interval"]

FloatArray = NDArray[np.float64]

LEAST_FOR_AN_INTERVAL = 19
"""The least number of horizons whose extremes hold the next one with probability 0.9."""

_LOOKS = ((0, 0.6), (1, 0.25), (3, 0.15))
_COVERAGE = 0.9
_MOST_HORIZONS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """After `horizons` with at most `failures` a step is certified, with confidence 1 - `level`."""

    horizons: int
    failures: int
    level: float


def lower_bound(horizons: int, passes: int, level: float) -> float:
    """Return the Clopper-Pearson lower bound of the probability to pass, with confidence 1 - `level`."""
    from scipy.special import betaincinv

    return float(betaincinv(passes, horizons - passes + 1, level)) if passes else 0.0


def plan_looks(alpha: float, level: float) -> tuple[Look, ...]:
    """Return the looks at one step for an error of at most `level`, before any horizon is run."""
    looks = []
    horizons = 1
    for failures, share in _LOOKS:
        horizons = max(horizons, failures + 1)
        while lower_bound(horizons, horizons - failures, share * level) < alpha:
            horizons += 1
            if horizons > _MOST_HORIZONS:
                raise InputError(f"needs more than {_MOST_HORIZONS} horizons a step", key="alpha", value=alpha)
        looks.append(Look(horizons=horizons, failures=failures, level=share * level))
    return tuple(looks)


def prediction_interval(means: FloatArray) -> tuple[float, float] | None:
    """Return an interval that holds the mean of one more horizon with probability 0.9, whatever its law.

    `means` has shape (n,), missing ones (NaN) count for nothing; None for fewer than 19. The ends are
    order statistics: the r-th of n from below and from above hold the next with probability 1 - 2 r / (n + 1).
    """
    ordered = np.sort(means[np.isfinite(means)])
    n = len(ordered)
    rank = (n + 1) * (1.0 - _COVERAGE) / 2.0 - 1.0
    if rank < -1e-9:
        return None
    at = np.arange(n)
    return float(np.interp(max(rank, 0.0), at, ordered)), float(np.interp(n - 1 - max(rank, 0.0), at, ordered))
