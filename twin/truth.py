"""The truth about a scenario in closed form: P(phi | do(x)) from what each cell needs and what each host draws.

Cells are independent of each other unless they share a CU, and power meets throughput only through CPU use, so the
truth factorises. `twin.truth_finder` fills it in by simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

__all__ = ["HostTruth", "Truth"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """P(phi | do(x)) of a scenario in closed form over samples.

    `need_du` and `need_cu` (g, h): the least limit in cores at which a cell's conjuncts held in each horizon,
    infinite where none did; cells with equal parameters share their samples. `use_grid` (p,), `use_du` and `use_cu`
    (g, p): mean CPU use in cores at those limits. `power` (host, draws, t) are draws of meter noise, `neighbour`
    likewise activity.
    """

    scenario_digest: str
    alpha: float
    controls: tuple[str, ...]
    du_columns: tuple[int, ...]
    cu_columns: tuple[int, ...]
    need_du: FloatArray
    need_cu: FloatArray
    use_grid: FloatArray
    use_du: FloatArray
    use_cu: FloatArray
    hosts: tuple[HostTruth, ...]
    tolerance_cores: float
    rectangle_agreement: float
    runs: int

    def cell_probability(self, row: int, du_cores: FloatArray, cu_cores: FloatArray) -> FloatArray:
        """Return P(the conjuncts of a cell hold) at limits `du_cores`, `cu_cores`, shapes (n,)."""
        width = self.tolerance_cores
        du = ndtr((du_cores[:, None] - self.need_du[row]) / width)
        cu = ndtr((cu_cores[:, None] - self.need_cu[row]) / width)
        out: FloatArray = np.mean(du * cu, axis=1)
        return out

    def probability(self, x: FloatArray) -> FloatArray:
        """Return P(phi | do(x)) at configurations `x` (n, d) in the order of `controls`, shape (n,)."""
        x = np.atleast_2d(np.asarray(x, dtype=float))
        p = np.ones(len(x))
        for row, (du, cu) in enumerate(zip(self.du_columns, self.cu_columns, strict=True)):
            p = p * self.cell_probability(row, x[:, du], x[:, cu])
        for host in self.hosts:
            p = p * host.probability(self, x)
        return p

    def power_binds(self) -> bool:
        """Tell whether some configuration loses more than 1 % through power."""
        rng = np.random.default_rng(1)
        low, high = self.use_grid[0], self.use_grid[-1]
        x = rng.uniform(low, high, size=(2000, len(self.controls)))
        return any(bool(np.any(host.probability(self, x) < 0.99)) for host in self.hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTruth:
    """The power conjunct of one host: limit in W, rows of its cells, draws of noise and of the neighbour's activity."""

    name: str
    limit_w: float
    cells: tuple[int, ...]
    columns: tuple[int, ...]
    mean_w: Callable[[FloatArray], FloatArray]
    noise: FloatArray
    released: Callable[[FloatArray], FloatArray] | None
    activity: FloatArray

    def probability(self, truth: Truth, x: FloatArray) -> FloatArray:
        """Return P(the power conjunct holds) at configurations `x` (n, d), shape (n,)."""
        if not math.isfinite(self.limit_w):
            return np.ones(len(x))
        busy = np.zeros(len(x))
        for row in self.cells:
            busy += np.interp(x[:, truth.du_columns[row]], truth.use_grid, truth.use_du[row])
            busy += np.interp(x[:, truth.cu_columns[row]], truth.use_grid, truth.use_cu[row])
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
