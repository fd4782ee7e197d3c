"""Containers of one host in each other's way, and a noisy neighbour on it.

Two things happen on a host that other work shares:

* Every CPU-ms takes longer. Shared caches and memory bandwidth cost in proportion to what the neighbour does, and once
  more than half of the logical CPUs are busy, siblings share execution units: w x (1 + llc u + smt [busy > cores/2]).
* Where the containers together ask for more than there are CPUs, each gets its share by CFS weight: a container that
  has work runs no faster than what the others leave it, and never slower than its weight's part of the host.

The neighbour's activity u lies in 0 to 1: an AR(1) process, and now and then a burst that lasts a while. The first
effect is what published measurements of vRAN under co-located load point to; every figure is an assumption.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twin.mechanism import Mechanism, Process
from twin.streams import Streams
from twin.strict import limits

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["Contention", "ContentionParameters", "TimeMean", "fair_share"]

FloatArray = NDArray[np.float64]
_TICK_MS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentionParameters:
    """Contention on every host of the scenario; each host has a neighbour of its own."""

    llc: float = field(default=0.15, metadata=limits(lower=0, upper=10))
    """Demand added by a fully active neighbour, as a share."""
    smt: float = field(default=0.4, metadata=limits(lower=0, upper=10))
    """Demand added while more than half of the host's logical CPUs are busy, as a share."""
    neighbour_cores: float = field(default=2.0, metadata=limits(lower=0, upper=1024))
    """CPUs that the neighbour uses when fully active."""
    activity_mean: float = field(default=0.3, metadata=limits(lower=0, upper=1))
    activity_sd: float = field(default=0.1, metadata=limits(lower=0, upper=1))
    correlation_s: float = field(default=60.0, metadata=limits(above=0, upper=1e6))
    """Time after which the activity's autocorrelation has fallen to 1/e."""
    burst_activity: float = field(default=0.5, metadata=limits(lower=0, upper=1))
    """Added during a burst (the sum is cut off at 1)."""
    burst_every_s: float = field(default=120.0, metadata=limits(lower=1, upper=1e7))
    """Mean time without a burst, and mean length of one; both exponential, in whole seconds."""
    burst_s: float = field(default=5.0, metadata=limits(lower=1, upper=1e6))
    du_weight: float = field(default=1.0, metadata=limits(above=0, upper=1000))
    """CFS weight of each DU (docker: cpu-shares / 1024) ..."""
    cu_weight: float = field(default=1.0, metadata=limits(above=0, upper=1000))
    neighbour_weight: float = field(default=1.0, metadata=limits(above=0, upper=1000))

    def slowdown(self, activity: float, busy_cores: float, capacity_cores: float) -> float:
        """Return what multiplies the demand of the host's containers: 1 on a host that nothing else uses."""
        return 1.0 + self.llc * activity + self.smt * (busy_cores > 0.5 * capacity_cores)


def fair_share(cores: float, weights: Sequence[float], demands: Sequence[float]) -> list[float]:
    """Return what each of several containers gets of `cores`, weighted max-min: CFS among groups that share CPUs.

    Nobody gets more than it asks for (`demands` may be infinite), and what one leaves goes to the others by weight.
    """
    got, left = [0.0] * len(weights), cores
    open_ = [i for i, demand in enumerate(demands) if demand > 0.0]
    while open_ and left > 1e-12:
        level = left / sum(weights[i] for i in open_)
        content = [i for i in open_ if demands[i] <= level * weights[i]]
        if not content:
            for i in open_:
                got[i] = level * weights[i]
            return got
        for i in content:
            got[i] = demands[i]
            left -= demands[i]
        open_ = [i for i in open_ if i not in content]
    return got


class Contention(Mechanism):
    """Contention and the neighbours of one run; looks at every host once a second."""

    def __init__(self, parameters: ContentionParameters, streams: Streams, ran: RanState) -> None:
        self._ran = ran
        self._hosts = [
            _HostContention(parameters, ran, row, streams.generator("neighbour_activity", row))
            for row in range(len(ran.topology.hosts))
        ]

    def processes(self, ran: RanState) -> Iterable[Process]:
        """Move activity and slowdown on."""
        return (self._ticks(),)

    def _ticks(self) -> Process:
        while True:
            yield self._ran.wait(_TICK_MS)
            du_ms, cu_ms = self._ran.cpu_ms()
            for host in self._hosts:
                host.tick(du_ms, cu_ms)

    def metrics(self, ran: RanState, elapsed_ms: float) -> Mapping[str, float]:
        """Return activity of the neighbour (`nn_*`, share) and added demand (`hst_*`, share, latent), means."""
        out: dict[str, float] = {}
        for host in self._hosts:
            out[f"nn_{host.name}"], out[f"hst_{host.name}"] = host.take_means()
        return out

    def busy_cores(self, elapsed_ms: float) -> Mapping[str, float]:
        """Return what the neighbours used."""
        return {host.name: host.used_cores for host in self._hosts}


class TimeMean:
    """Time average of a value that moves in steps; NaN where no time has passed."""

    def __init__(self, value: float) -> None:
        self.value = value
        self._sum, self._since, self._at = 0.0, 0, 0

    def move(self, value: float, now_ms: int) -> None:
        """Let it have another value from now on."""
        self._sum += self.value * (now_ms - self._at)
        self.value, self._at = value, now_ms

    def take(self, now_ms: int) -> float:
        """Return the mean since this was last asked."""
        self.move(self.value, now_ms)
        elapsed, total = now_ms - self._since, self._sum
        self._sum, self._since = 0.0, now_ms
        return total / elapsed if elapsed > 0 else math.nan


class _Activity:
    """The neighbour's activity, one value a tick."""

    def __init__(self, parameters: ContentionParameters, rng: np.random.Generator) -> None:
        self._par, self._rng = parameters, rng
        self._keep = math.exp(-_TICK_MS / 1000.0 / parameters.correlation_s)
        self._state = float(rng.standard_normal())
        self._bursting = float(rng.random()) < parameters.burst_s / (parameters.burst_s + parameters.burst_every_s)

    def next(self) -> float:
        """Move on by a tick; two draws each time, so that a path depends on nothing but its stream."""
        par, state = self._par, self._state
        shock, coin = float(self._rng.standard_normal()), float(self._rng.random())
        self._state = self._keep * state + math.sqrt(1.0 - self._keep**2) * shock
        if coin < _TICK_MS / 1000.0 / (par.burst_s if self._bursting else par.burst_every_s):
            self._bursting = not self._bursting
        level = par.activity_mean + par.activity_sd * self._state + par.burst_activity * self._bursting
        return min(1.0, max(0.0, level))


class _HostContention:
    """One host."""

    def __init__(self, parameters: ContentionParameters, ran: RanState, row: int, rng: np.random.Generator) -> None:
        self._par, self._ran = parameters, ran
        host = ran.topology.hosts[row]
        self.name, self._capacity = host.name, host.capacity_cores
        self._cells = [gnb.cell for gnb in ran.topology.gnbs_of_host(host.name)]
        self._cus = ran.topology.cus_of_host(host.name)
        self._path = _Activity(parameters, rng)
        self._nn, self._hst = TimeMean(self._activity()), TimeMean(0.0)
        self._rows = [ran.row(cell) for cell in self._cells]
        self._rows_of_cu = [[ran.row(cell) for cell in ran.topology.cells_of_cu(cu)] for cu in self._cus]
        self._paces = [ran.scenario.du.parallelism] * len(self._cells) + [ran.scenario.cu.parallelism] * len(self._cus)
        self._weights = [parameters.du_weight] * len(self._cells) + [parameters.cu_weight] * len(self._cus)
        self._crowded = sum(self._paces) + parameters.neighbour_cores > self._capacity
        self._used_ms = np.zeros(len(self._paces))
        self.used_cores = 0.0

    def _activity(self) -> float:
        path = self._path.next()
        return self._ran.held.get(f"nn_{self.name}", path)

    def take_means(self) -> tuple[float, float]:
        """Return the means of activity and added demand since this was last asked."""
        now = self._ran.now_ms
        nn, hst = self._nn.take(now), self._hst.take(now)
        self.used_cores = nn * self._par.neighbour_cores
        return nn, hst

    def tick(self, du_ms: FloatArray, cu_ms: FloatArray) -> None:
        """Take the CPU use of the last tick as the host's use now; `du_ms` and `cu_ms` are since the run's start."""
        now, par = self._ran.now_ms, self._par
        total = np.array([*du_ms[self._rows], *(cu_ms[rows].sum() for rows in self._rows_of_cu)])
        use = ((total - self._used_ms) / _TICK_MS).tolist()
        self._used_ms = total
        activity = self._activity()
        busy = sum(use) + activity * par.neighbour_cores
        hst = self._ran.held.get(f"hst_{self.name}", par.slowdown(activity, busy, self._capacity) - 1.0)
        self._nn.move(activity, now)
        if hst != self._hst.value:
            self._hst.move(hst, now)
            for cell in self._cells:
                self._ran.slow_down("contention", cell, du_factor=1.0 + hst, cu_factor=1.0 + hst)
        if self._crowded:
            self._share_out(use, activity * par.neighbour_cores)

    def _share_out(self, use: list[float], neighbour: float) -> None:
        """Let every container run at what the others leave it, at its weight's part of the host at least."""
        weights = [*self._weights, self._par.neighbour_weight]
        paces = []
        for i, most in enumerate(self._paces):
            demands = [math.inf if j == i else used for j, used in enumerate(use)] + [neighbour]
            paces.append(min(most, fair_share(self._capacity, weights, demands)[i]))
        for row, pace in zip(self._rows, paces, strict=False):
            self._ran.plane.set_parallelism(row, du=pace)
        for rows, pace in zip(self._rows_of_cu, paces[len(self._rows) :], strict=True):
            for row in rows:
                self._ran.plane.set_parallelism(row, cu=pace)
