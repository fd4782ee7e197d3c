"""Power of a host from its busy cores, and the batch neighbour that soaks up released quota. Uncalibrated priors.

Scope is the package of the host, idle power included: what a RAPL package counter reports, the same figure for every
container on it.  The shape is Fan, Weber and Barroso, ISCA 2007: P = P_idle + (P_busy - P_idle)(2u - u^r), u the busy
share of all cores.  A CPU limit moves power only through CPU use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from col.errors import InputError
from twin.strict import limits

__all__ = ["HostPower", "Neighbour", "NeighbourParameters", "PowerParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerParameters:
    """Package power of one host [W]; noise is white per window, drift is AR(1) (temperature, turbo)."""

    idle_w: float = field(metadata=limits(lower=0, upper=100_000))
    busy_w: float = field(metadata=limits(above=0, upper=100_000))
    exponent: float = field(metadata=limits(lower=1, upper=2))
    """Above 2 a host that is nearly busy would draw less the more it does."""
    noise_w: float = field(metadata=limits(lower=0))
    drift_w: float = field(metadata=limits(lower=0))
    drift_correlation_s: float = field(metadata=limits(above=0))

    def __post_init__(self) -> None:
        if not self.idle_w <= self.busy_w:
            raise InputError(f"must be at most busy_w ({self.busy_w:g})", key="idle_w", value=self.idle_w)

    def mean_w(self, busy_cores: float, cores: float) -> float:
        """Return the expected power at `busy_cores` of `cores`; use above the host's cores counts as all of them."""
        share = min(1.0, max(0.0, busy_cores / cores))
        return self.idle_w + (self.busy_w - self.idle_w) * (2.0 * share - math.pow(share, self.exponent))


class HostPower:
    """The meter of one host in one run; each call of `read_w` is one window."""

    def __init__(
        self,
        parameters: PowerParameters,
        cores: float,
        window_s: float,
        *,
        noise: np.random.Generator,
        drift: np.random.Generator,
    ) -> None:
        """Start the drift in its stationary law."""
        self._parameters, self._cores = parameters, cores
        self._keep = math.exp(-window_s / parameters.drift_correlation_s)
        self._noise, self._drift = noise, drift
        self._state = float(drift.standard_normal())

    def read_w(self, busy_cores: float, powered: float = 1.0, drift: float | None = None) -> float:
        """Return the mean power of the window that ends now and move the drift on.

        `powered` is the share of the window that the host had power at all; `busy_cores` is a mean over all of it;
        `drift` is where do() holds the drift [standard deviations].
        """
        parameters = self._parameters
        busy_cores = busy_cores / powered if powered > 0.0 else 0.0
        drift = self._state if drift is None else drift
        watts = parameters.mean_w(busy_cores, self._cores) + parameters.drift_w * drift
        watts += parameters.noise_w * float(self._noise.standard_normal())
        self._state = self._keep * self._state + math.sqrt(1.0 - self._keep**2) * float(self._drift.standard_normal())
        return watts * powered


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourParameters:
    """A batch workload on each host that may use the part of a shared pool that the RAN's limits leave free.

    `pool_cores` is the pool of a host; what it has left is pool minus the sum of the limits of the RAN's containers
    there. The neighbour keeps `activity_mean` of it busy, give or take `activity_sd` per window.
    """

    pool_cores: float = field(metadata=limits(above=0))
    activity_mean: float = field(metadata=limits(lower=0, upper=1))
    activity_sd: float = field(metadata=limits(lower=0, upper=1))

    def released_cores(self, limits_cores: float) -> float:
        """Return the cores that limits summing to `limits_cores` leave to the neighbour."""
        return max(0.0, self.pool_cores - limits_cores)


class Neighbour:
    """The batch workload of one host in one run; each call of `use_cores` is one window."""

    def __init__(self, parameters: NeighbourParameters, rng: np.random.Generator) -> None:
        """Take the neighbour's own generator."""
        self._parameters, self._rng = parameters, rng

    def use_cores(self, limits_cores: float) -> float:
        """Return the neighbour's mean CPU use of the window [core] under RAN limits that sum to `limits_cores`."""
        parameters = self._parameters
        activity = parameters.activity_mean + parameters.activity_sd * float(self._rng.standard_normal())
        return min(1.0, max(0.0, activity)) * parameters.released_cores(limits_cores)
