"""The slow part of a compute demand's noise: what the host's other work, its caches and its clock do to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SLOW_BLOCK_MS", "SlowNoise"]

FloatArray = NDArray[np.float64]

SLOW_BLOCK_MS = 100
"""The noise moves in steps of this many slots, its blocks; block k begins at slot k * SLOW_BLOCK_MS."""


class SlowNoise:
    """Lognormal factors of mean 1, a row a cell, whose logarithm is a stationary AR(1) process over the blocks.

    `sd` (standard deviation of the logarithm) and `tau_ms` (its correlation time; 0: none) have shape (g,). The factors
    do not depend on how the blocks are asked for.
    """

    def __init__(self, rng: np.random.Generator, *, sd: FloatArray, tau_ms: FloatArray) -> None:
        self._rng, self._sd = rng, sd
        self._rho = [float(np.exp(-SLOW_BLOCK_MS / tau)) if tau > 0 else 0.0 for tau in tau_ms]
        self._state: list[float] = rng.standard_normal(len(sd)).tolist()
        self._kept = np.ones((len(sd), 1))  # up to block `_next` - 1; before time 0 there is none
        self._next = 0

    def blocks(self, first: int, last: int) -> FloatArray:
        """Return the factors of blocks `first` (-1 or more, never going back) to `last`, shape (g, blocks)."""
        fresh = last + 1 - self._next
        if fresh > 0:
            columns = self._rng.standard_normal((fresh, len(self._sd))).T.tolist()
            paths = []
            for cell, (rho, innovations) in enumerate(zip(self._rho, columns, strict=True)):
                x, scale, path = self._state[cell], (1.0 - rho * rho) ** 0.5, []
                for innovation in innovations:
                    x = rho * x + scale * innovation
                    path.append(x)
                self._state[cell] = x
                paths.append(path)
            sd = self._sd[:, None]
            self._kept = np.concatenate([self._kept, np.exp(sd * np.array(paths) - 0.5 * sd * sd)], axis=1)
            self._next += fresh
        self._kept = self._kept[:, self._kept.shape[1] - (self._next - first) :]
        return np.ascontiguousarray(self._kept[:, : last - first + 1])
