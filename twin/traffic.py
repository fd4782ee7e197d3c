"""Offered load: what each DU is asked to carry, per direction, one value a window [Mbit/s at the sender].

Packets inside a window are a constant bit rate (iperf3 over UDP); the data plane spaces them.  The load law only says
how the rate moves from window to window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from col.errors import InputError
from twin.streams import Streams
from twin.strict import limits

__all__ = ["DIRECTIONS", "OperatingLoad", "PassiveLoad", "PassiveWalk", "operating_path", "passive_path"]

DIRECTIONS = ("dl", "ul")
"""Order of the directions in every array that has an axis for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassiveLoad:
    """Load while nobody intervenes: AR(1), uniform over [lower_mbps, upper_mbps] at any one time.

    `correlation_s` is the time after which the autocorrelation of the underlying Gaussian has fallen to 1/e.
    """

    lower_mbps: float = field(metadata=limits(lower=0))
    upper_mbps: float = field(metadata=limits(above=0, upper=10_000))
    correlation_s: float = field(metadata=limits(above=0))

    def __post_init__(self) -> None:
        if not self.lower_mbps < self.upper_mbps:
            raise InputError(f"must be below upper_mbps ({self.upper_mbps:g})", key="lower_mbps", value=self.lower_mbps)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingLoad:
    """The constant load to which region, truth and certificates refer, the same for every DU."""

    dl_mbps: float = field(metadata=limits(above=0, upper=10_000))
    ul_mbps: float = field(metadata=limits(above=0, upper=10_000))


def passive_path(law: PassiveLoad, steps: int, step_s: float, streams: Streams, cells: int) -> NDArray[np.float64]:
    """Return one path of the passive load, shape (steps, cells, 2), independent per DU and direction.

    A stationary Gaussian AR(1) goes through its own distribution function: the marginal is exactly uniform at every
    step, which a clipped or reflected walk would only be in the limit.
    """
    keep = math.exp(-step_s / law.correlation_s)
    fresh = math.sqrt(1.0 - keep * keep)
    path = np.empty((steps, cells, len(DIRECTIONS)))
    for cell in range(cells):
        for axis, direction in enumerate(DIRECTIONS):
            shocks = streams.generator(f"load_{direction}", cell).standard_normal(steps)
            state = shocks[0]
            path[0, cell, axis] = state
            for step in range(1, steps):
                state = keep * state + fresh * shocks[step]
                path[step, cell, axis] = state
    return np.asarray(law.lower_mbps + (law.upper_mbps - law.lower_mbps) * ndtr(path), dtype=np.float64)


class PassiveWalk:
    """The passive load of `passive_path`, number for number, step by step without an end."""

    def __init__(self, law: PassiveLoad, step_s: float, streams: Streams, cells: int) -> None:
        self._law, self._cells = law, cells
        self._keep = math.exp(-step_s / law.correlation_s)
        self._fresh = math.sqrt(1.0 - self._keep * self._keep)
        self._generators = [
            streams.generator(f"load_{direction}", cell) for cell in range(cells) for direction in DIRECTIONS
        ]
        self._state: list[float] | None = None

    def step(self) -> NDArray[np.float64]:
        """Return the load of the next step, shape (cells, 2)."""
        shocks = [float(generator.standard_normal()) for generator in self._generators]
        if self._state is None:
            self._state = shocks
        else:
            self._state = [self._keep * x + self._fresh * z for x, z in zip(self._state, shocks, strict=True)]
        path = np.array(self._state).reshape(self._cells, len(DIRECTIONS))
        law = self._law
        return np.asarray(law.lower_mbps + (law.upper_mbps - law.lower_mbps) * ndtr(path), dtype=np.float64)


def operating_path(load: OperatingLoad, steps: int, cells: int) -> NDArray[np.float64]:
    """Return the operating load as a path, shape (steps, cells, 2)."""
    path = np.empty((steps, cells, len(DIRECTIONS)))
    path[:, :, 0] = load.dl_mbps
    path[:, :, 1] = load.ul_mbps
    return path
