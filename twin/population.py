"""Who is attached: UEs of every cell as a bounded birth-death walk, with flash crowds on top.

In every step a cell gains a UE with one probability and loses one with another; where both happen one UE is swapped
for another. An unbounded symmetric walk has no stationary law (its variance grows by 2p a step), so the number is
reflected at `lower_ues` and `upper_ues`; then, without handovers, it is uniform between them. The UE that a cell gains
sends from its attachment on, a random `attach_lower_s` to `attach_upper_s` later (random access, RRC and NAS
registration [A]). A step happens when a window begins.

Everything random is drawn a fixed number of times a step, whatever the walk or a handover did before: two runs that
differ in a threshold see the same would-be arrivals and departures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from twin.streams import Streams
from twin.strict import limits

if TYPE_CHECKING:
    from twin.scenario_model import Scenario

__all__ = ["CellWalk", "Crowd", "CrowdStep", "Population", "Start", "WalkStep"]

FloatArray = NDArray[np.float64]
_MOST_UES = 64


class Start(StrEnum):
    """How many UEs a run begins with: drawn from the walk's stationary law, or what the gNB's table says."""

    STATIONARY = "stationary"
    ATTACHED = "attached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """A crowd that comes to a cell, stays and goes: `ues` UEs on top of the walk, in every `cells` on its own.

    One begins in a step with `probability`, whether there is one or not; its UEs arrive and later leave one by one,
    spread uniformly over `ramp_s`, and stay `hold_s` (mean, exponential, common to the crowd, at least `ramp_s`) [A]. A
    cell that is full takes no more of them.
    """

    probability: float = field(metadata=limits(above=0, upper=1))
    ues: int = field(metadata=limits(lower=1, upper=_MOST_UES))
    hold_s: float = field(metadata=limits(above=0, upper=86_400))
    ramp_s: float = field(metadata=limits(above=0, upper=3600))
    cells: tuple[int, ...] = field(default=(), metadata=limits(lower=1, upper=1e9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The UEs of every cell: walk, attachment, and what each UE offers at its sender [Mbit/s].

    `dl_mbps` and `ul_mbps` are the mean rate of one UE; the source (`twin.sources`) says how it is spread over time.
    `gain_probability_of` has cells, by number, that are busier or quieter than the others.
    """

    lower_ues: int = field(metadata=limits(lower=0, upper=_MOST_UES))
    upper_ues: int = field(metadata=limits(lower=1, upper=_MOST_UES))
    gain_probability: float = field(metadata=limits(lower=0, upper=1))
    lose_probability: float = field(metadata=limits(lower=0, upper=1))
    dl_mbps: float = field(metadata=limits(lower=0, upper=10_000))
    ul_mbps: float = field(metadata=limits(lower=0, upper=10_000))
    attach_lower_s: float = field(default=0.3, metadata=limits(lower=0, upper=60))
    attach_upper_s: float = field(default=2.0, metadata=limits(lower=0, upper=60))
    start: Start = Start.STATIONARY
    gain_probability_of: Mapping[str, float] = field(default_factory=dict, metadata=limits(lower=0, upper=1))
    crowd: Crowd | None = None

    def __post_init__(self) -> None:
        if self.lower_ues > self.upper_ues:
            raise InputError(f"must be at most upper_ues ({self.upper_ues})", key="lower_ues", value=self.lower_ues)
        if not self.attach_lower_s <= self.attach_upper_s:
            raise InputError(
                f"must be at most attach_upper_s ({self.attach_upper_s:g})",
                key="attach_lower_s",
                value=self.attach_lower_s,
            )
        if self.dl_mbps <= 0.0 and self.ul_mbps <= 0.0:
            raise InputError("a UE must offer something in one direction at least", key="ul_mbps", value=self.ul_mbps)
        if self.start is Start.STATIONARY and (self.gain_probability == 0.0) != (self.lose_probability == 0.0):
            raise InputError(
                'a walk that only grows or only shrinks has no stationary start; set start = "attached"', key="start"
            )

    def check_scenario(self, scenario: Scenario) -> None:
        """Refuse crowds in cells that are not there, and more UEs at the start than a cell may have."""
        cells = {gnb.cell: gnb.ues for gnb in scenario.topology.gnbs}
        for name in self.gain_probability_of:
            if name not in map(str, cells):
                raise InputError("no such cell", key=f"gain_probability_of.{name}")
        for cell in self.crowd.cells if self.crowd is not None else ():
            if cell not in cells:
                raise InputError("no such cell", key="crowd.cells", value=cell)
        if self.start is Start.ATTACHED:
            for cell, ues in cells.items():
                if not self.lower_ues <= ues <= self.upper_ues:
                    raise InputError(f"gNB {cell} starts with {ues} UEs, outside lower_ues to upper_ues", key="start")

    def of_cell(self, cell: int) -> Population:
        """Return the law of one cell."""
        gain = self.gain_probability_of.get(str(cell), self.gain_probability)
        return replace(self, gain_probability=gain, gain_probability_of={})

    def _shares(self) -> FloatArray:
        """Return the walk's stationary law, shape (upper_ues - lower_ues + 1,).

        With gain probability p and loss probability q the number goes up with p (1 - q) and down with q (1 - p), so
        its law is geometric with their ratio, uniform where they are equal.
        """
        up = self.gain_probability * (1.0 - self.lose_probability)
        down = self.lose_probability * (1.0 - self.gain_probability)
        states = np.arange(self.upper_ues - self.lower_ues + 1)
        ratio = 1.0 if up == down else min(up, down) / max(up, down)
        weights: FloatArray = ratio ** (states[-1] - states if up > down else states).astype(np.float64)
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    def stationary_ues(self, quantile: float) -> int:
        """Return the number of UEs below which the walk's stationary law has `quantile` of its mass, in [0, 1)."""
        below = np.cumsum(self._shares())[:-1]
        return self.lower_ues + int(np.searchsorted(below, quantile, side="right"))

    @property
    def mean_ues(self) -> float:
        """The mean number of UEs of a cell under the stationary law, crowds and handovers apart."""
        shares = self._shares()
        return self.lower_ues + float(shares @ np.arange(len(shares)))


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkStep:
    """What one step brings to a cell: a UE more or less, which one leaves (quantile), how long attaching takes."""

    gains: bool
    loses: bool
    who: float
    attach_ms: float

    def change(self, ues: int, law: Population) -> tuple[bool, bool]:
        """Return whether a UE leaves and whether one comes, for a cell of `ues` now: the walk with its bounds."""
        if self.gains and self.loses:
            return (ues > 0, ues > 0)
        return (self.loses and ues > law.lower_ues, self.gains and ues < law.upper_ues)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdStep:
    """A crowd that would begin in this step: delays in ms at which each of its UEs comes, and goes again."""

    comes_ms: tuple[float, ...]
    goes_ms: tuple[float, ...]


class CellWalk:
    """The exogenous draws of one cell's population in one run, step by step."""

    def __init__(self, law: Population, streams: Streams, row: int, cell: int) -> None:
        """Take the law of all cells, and the cell's number and place in their order."""
        self.law = law.of_cell(cell)
        self._steps = streams.generator("ue_walk", row)
        crowd = law.crowd
        self._crowd = crowd if crowd is not None and (not crowd.cells or cell in crowd.cells) else None
        self._crowds = streams.generator("ue_crowd", row)
        self.first = float(streams.generator("ue_start", row).random())

    def step(self) -> WalkStep:
        """Return the next step."""
        law = self.law
        gains, loses, who, delay = (float(u) for u in self._steps.random(4))
        attach_s = law.attach_lower_s + delay * (law.attach_upper_s - law.attach_lower_s)
        return WalkStep(
            gains=gains < law.gain_probability,
            loses=loses < law.lose_probability,
            who=who,
            attach_ms=math.ceil(1000.0 * attach_s),
        )

    def crowd(self) -> CrowdStep | None:
        """Return the crowd that would begin in the next step, if any; call once a step."""
        crowd = self._crowd
        if crowd is None:
            return None
        draws = self._crowds.random(2 + 2 * crowd.ues)
        if draws[0] >= crowd.probability:
            return None
        stays_ms = 1000.0 * max(crowd.ramp_s, -crowd.hold_s * math.log1p(-float(draws[1])))
        ramp_ms = 1000.0 * crowd.ramp_s
        comes = 1.0 + ramp_ms * draws[2 : 2 + crowd.ues]
        goes = stays_ms + 1.0 + ramp_ms * draws[2 + crowd.ues :]
        return CrowdStep(comes_ms=tuple(map(float, comes)), goes_ms=tuple(map(float, np.maximum(goes, comes + 1.0))))
