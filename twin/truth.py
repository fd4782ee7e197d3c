"""The truth about a scenario: P(phi | do(x)) from what each container needs and what each host draws.

Cells are independent of each other unless they share a CU, power meets throughput only through CPU use, and what a DU
needs does not depend on the CU once that has enough: so P(phi | do(x)) is a product over containers and hosts.
`twin.truth_finder` fills it in by simulation and measures how well the product describes whole configurations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ContainerTruth", "HostTruth", "Truth"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerTruth:
    """P(the conjuncts of its cell hold) against the limit of one container, everything else at its upper bound.

    `limits` (p,) in cores, increasing; `held` (p,) the share of horizons; `horizons` (p,) how many there were. The
    share need not grow with the limit: how a DU catches up after a stall depends on the length of the stall.
    """

    control: str
    limits: FloatArray
    held: FloatArray
    horizons: FloatArray

    def probability(self, cores: FloatArray) -> FloatArray:
        """Return the probability at limits in cores, shape (n,), linear between the points simulated."""
        out: FloatArray = np.interp(cores, self.limits, self.held)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTruth:
    """P(the power conjunct of one host holds).

    `limit_w` is infinite where there is none. `use` (p, containers) is the mean CPU use in cores at limits `grid` (p,)
    of the containers in `columns`; `noise` (draws, t) and `activity` (draws, t) are draws of the meter's noise in W and
    of the neighbour's activity; `released` gives the cores that limits leave to the neighbour.
    """

    name: str
    limit_w: float
    columns: tuple[int, ...]
    grid: FloatArray
    use: FloatArray
    mean_w: Callable[[FloatArray], FloatArray]
    noise: FloatArray
    released: Callable[[FloatArray], FloatArray] | None
    activity: FloatArray

    def probability(self, x: FloatArray) -> FloatArray:
        """Return the probability at configurations `x` (n, d), shape (n,)."""
        if not math.isfinite(self.limit_w):
            return np.ones(len(x))
        busy = np.zeros(len(x))
        for j, column in enumerate(self.columns):
            busy += np.interp(x[:, column], self.grid, self.use[:, j])
        if self.released is None:
            margin = self.limit_w - self.mean_w(busy)
            worst = np.sort(self.noise.max(axis=1))
            out: FloatArray = np.searchsorted(worst, margin, side="right") / len(worst)
            return out
        free = self.released(x[:, list(self.columns)].sum(axis=1))
        held = np.empty(len(x))
        for i in range(len(x)):
            watts = self.mean_w(busy[i] + self.activity * free[i]) + self.noise
            held[i] = np.mean(np.all(watts <= self.limit_w, axis=1))
        return held


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """P(phi | do(x)) of a scenario.

    `product_error` is the largest difference, over configurations drawn near the border, between the share of horizons
    that held and what the product says, less two standard errors (0 if none is that far off).
    """

    scenario_digest: str
    alpha: float
    controls: tuple[str, ...]
    containers: tuple[ContainerTruth, ...]
    hosts: tuple[HostTruth, ...]
    product_error: float
    runs: int

    def probability(self, x: FloatArray) -> FloatArray:
        """Return P(phi | do(x)) at configurations `x` (n, d) in the order of `controls`, shape (n,)."""
        x = np.atleast_2d(np.asarray(x, dtype=float))
        p = np.ones(len(x))
        for column, container in enumerate(self.containers):
            p = p * container.probability(x[:, column])
        for host in self.hosts:
            p = p * host.probability(x)
        return p

    def power_binds(self) -> bool:
        """Tell whether power costs more than 1 % somewhere among configurations that are safe without it."""
        rng = np.random.default_rng(1)
        low = np.array([c.limits[0] for c in self.containers])
        high = np.array([c.limits[-1] for c in self.containers])
        x = rng.uniform(low, high, size=(20_000, len(self.controls)))
        p = np.prod([c.probability(x[:, i]) for i, c in enumerate(self.containers)], axis=0)
        x = x[p >= self.alpha][:1000]
        return any(bool(np.any(host.probability(x) < 0.99)) for host in self.hosts) if len(x) else False
