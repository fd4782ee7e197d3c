"""How a UE spreads its mean rate over time: constant bit rate, on-off, or a recorded profile.

Within an instant of constant rate packets are spaced evenly (iperf3 over UDP); the data plane does that. A source says
by which factor the rate of a UE is multiplied from when on. Factors change on a grid of `grid_ms`, so that the data
plane is cut at most 1000 / `grid_ms` times a second however many UEs there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from col.errors import InputError
from twin.streams import Streams
from twin.strict import limits

__all__ = ["SOURCES", "OnOff", "Profile", "on_off_path"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnOff:
    """A UE sends for an exponential time of mean `mean_on_s`, is silent for one of mean `mean_off_s`, and so on.

    While on it sends at (mean_on_s + mean_off_s) / mean_on_s times its rate, so that its mean rate is kept. Both
    directions switch together.
    """

    mean_on_s: float = field(metadata=limits(above=0, upper=3600))
    mean_off_s: float = field(metadata=limits(above=0, upper=3600))
    grid_ms: float = field(default=100.0, metadata=limits(lower=1, upper=10_000))

    def __post_init__(self) -> None:
        for name in ("mean_on_s", "mean_off_s"):
            if 1000.0 * getattr(self, name) < self.grid_ms:
                raise InputError(f"must be at least grid_ms ({self.grid_ms:g} ms)", key=name, value=getattr(self, name))

    @property
    def peak(self) -> float:
        """The factor on the rate while on."""
        return (self.mean_on_s + self.mean_off_s) / self.mean_on_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A recorded profile: from `times_s[k]` on every UE's rate is multiplied by `dl[k]` and `ul[k]`.

    It begins at 0 and starts over after `period_s`. A run begins at a random place in it, the same for all cells
    (stream `trace_phase`), unless `random_phase` is false: then at its beginning.
    """

    times_s: tuple[float, ...] = field(metadata=limits(lower=0, upper=1e7))
    dl: tuple[float, ...] = field(metadata=limits(lower=0, upper=1000))
    ul: tuple[float, ...] = field(metadata=limits(lower=0, upper=1000))
    period_s: float = field(metadata=limits(above=0, upper=1e7))
    random_phase: bool = True

    def __post_init__(self) -> None:
        if not self.times_s or self.times_s[0] != 0.0 or any(np.diff(self.times_s) <= 0.0):
            raise InputError("must begin at 0 and increase", key="times_s", value=list(self.times_s)[:6])
        for name in ("dl", "ul"):
            if len(getattr(self, name)) != len(self.times_s):
                raise InputError(
                    f"needs one factor for each of the {len(self.times_s)} times_s",
                    key=name,
                    value=len(getattr(self, name)),
                )
        if not self.period_s > self.times_s[-1]:
            raise InputError(f"must be above the last of times_s ({self.times_s[-1]:g})", key="period_s",
                             value=self.period_s)  # fmt: skip

    def at(self, clock_s: float) -> tuple[float, float]:
        """Return the factors at a time of the profile's clock, downlink and uplink."""
        k = bisect_right(self.times_s, clock_s % self.period_s) - 1
        return self.dl[k], self.ul[k]

    def changes(self, phase_s: float) -> Iterator[tuple[float, float, float]]:
        """Yield without end (time in ms, dl, ul) of every change of the factors, for a run that begins at `phase_s`."""
        k = bisect_right(self.times_s, phase_s)
        begun = 0.0
        while True:
            if k == len(self.times_s):
                k, begun = 0, begun + self.period_s
            yield 1000.0 * (begun + self.times_s[k] - phase_s), self.dl[k], self.ul[k]
            k += 1

    def phase_s(self, streams: Streams) -> float:
        """Return where in the profile a run begins."""
        return self.period_s * float(streams.generator("trace_phase").random()) if self.random_phase else 0.0


SOURCES: Mapping[str, type[OnOff] | type[Profile]] = {"on_off": OnOff, "trace": Profile}
"""The kinds of `[traffic.source]`; without that table every UE sends at a constant bit rate."""


def on_off_path(law: OnOff, rng: np.random.Generator) -> Iterator[tuple[float, int]]:
    """Yield without end (factor, how long it lasts in ms, a multiple of the grid) of one UE, from its attachment on.

    It begins on with the probability that it is on at any time. Times are geometric on the grid, with the means of the
    law exactly.
    """
    on = float(rng.random()) < law.mean_on_s / (law.mean_on_s + law.mean_off_s)
    while True:
        mean_ms = 1000.0 * (law.mean_on_s if on else law.mean_off_s)
        yield (law.peak if on else 0.0), round(int(rng.geometric(law.grid_ms / mean_ms)) * law.grid_ms)
        on = not on
