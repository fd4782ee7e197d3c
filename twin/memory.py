"""Memory of DUs and CUs: what they use, what a tight limit costs, and what becomes of a process that meets its limit.

A container uses m0 + m_ue x UEs + what its queues hold. Up to nine tenths of its limit memory does nothing; in the last
tenth the kernel reclaims pages and the container's work takes longer; above it the process is killed (exit 137) and
comes back after 5 to 15 s: container, gNB initialisation, F1 and NG set-up, UEs that attach again. One that cannot live
within its limit is killed again as soon as it is back. So the effect of a limit is a step at m0, with a narrow ramp.

What a gNB reports is the maximum resident set, a peak that never falls while the process lives (getrusage(2),
ru_maxrss): `memu_*` is a running maximum, a new process begins again. GB and MB are decimal. All figures are
assumptions but m0, which is where the public 5G data set of Hammar et al. has its CUs (2190 to 2240 MB over all loads).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from col.errors import InputError
from twin.mechanism import Mechanism, Process
from twin.outages import Restart
from twin.scenario_model import Scenario
from twin.streams import Streams
from twin.strict import limits

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["Memory", "MemoryParameters"]

_TICK_MS = 1000
_MB_PER_GB = 1000.0
_BITS_PER_MB = 8e6


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryParameters:
    """What containers use [MB], how reclaim slows them, how long a restart takes; see the module.

    Limits are the controls or fixed values mem_du and mem_cu [GB]; without one a container's memory is not limited.
    """

    du_base_mb: float = field(default=2190.0, metadata=limits(above=0, upper=1e6))
    """m0 of a DU: buffers and hardware threads, whatever the traffic."""
    cu_base_mb: float = field(default=2190.0, metadata=limits(above=0, upper=1e6))
    base_sd_mb: float = field(default=5.0, metadata=limits(lower=0, upper=1e5))
    """Standard deviation of m0 from one process to the next."""
    du_ue_mb: float = field(default=10.0, metadata=limits(lower=0, upper=1e4))
    """Added by each attached UE: contexts, HARQ and RLC buffers that stay allocated."""
    cu_ue_mb: float = field(default=5.0, metadata=limits(lower=0, upper=1e4))
    reclaim_from: float = field(default=0.9, metadata=limits(above=0, upper=0.999))
    """Share of the limit above which reclaim costs time ..."""
    reclaim_cost: float = field(default=0.5, metadata=limits(lower=0, upper=50))
    """... demand x (1 + cost x r^2), r from 0 there to 1 at the limit."""
    restart: Restart = field(default_factory=Restart)
    """How long it takes until a killed process serves UEs again."""

    def slowdown(self, use_mb: float, limit_mb: float) -> float:
        """Return what reclaim multiplies the demand by: 1 unless use comes near the limit."""
        share = (use_mb / limit_mb - self.reclaim_from) / (1.0 - self.reclaim_from)
        return 1.0 + self.reclaim_cost * min(1.0, max(0.0, share)) ** 2

    def check_scenario(self, scenario: Scenario) -> None:
        """Refuse a reference limit below what the process needs: no gNB would ever come up."""
        ues = {gnb.cell: gnb.ues for gnb in scenario.topology.gnbs}
        cells = [(max(ues.values(), default=0), self.du_base_mb, self.du_ue_mb, "mem_du", "du_base_mb")]
        cus = [sum(ues[c] for c in scenario.topology.cells_of_cu(cu)) for cu in scenario.topology.cus]
        cells.append((max(cus, default=0), self.cu_base_mb, self.cu_ue_mb, "mem_cu", "cu_base_mb"))
        for count, base, each, kind, key in cells:
            limit, need = scenario.value_of_kind(kind), (base + each * count) / _MB_PER_GB
            if limit is not None and limit < need:
                raise InputError(
                    f"the reference of {kind} ({limit:g} GB) is below what the process needs ({need:.3g} GB)",
                    key=key,
                    value=base,
                )


class Memory(Mechanism):
    """The memory of every container of one run."""

    def __init__(self, parameters: MemoryParameters, streams: Streams, ran: RanState) -> None:
        self._ran, topology = ran, ran.topology
        self._containers = [
            _Container(f"du_{gnb.cell}", (gnb.cell,), parameters, ran, streams.generator("memory_du", row), is_du=True)
            for row, gnb in enumerate(topology.gnbs)
        ] + [
            _Container(
                f"cu_{cu}", topology.cells_of_cu(cu), parameters, ran, streams.generator("memory_cu", row), is_du=False
            )
            for row, cu in enumerate(topology.cus)
        ]

    def processes(self, ran: RanState) -> Iterable[Process]:
        """Look at every container once a second."""
        return (self._watch(),)

    def _watch(self) -> Process:
        while True:
            yield self._ran.wait(_TICK_MS)
            self._look()

    def _look(self) -> None:
        self._ran.catch_up()
        for container in self._containers:
            container.look()

    def apply(self, values: Mapping[str, float]) -> None:
        """Meet a new limit at once."""
        if any(name.startswith("mem_") for name in values):
            self._look()

    def held(self, name: str) -> None:
        """Meet what do() holds at once."""
        if name.startswith(("memu_", "oom_")):
            self._look()

    def metrics(self, ran: RanState, elapsed_ms: float) -> Mapping[str, float]:
        """Return the peak use of every container [MB], as of the last look, and how often it was killed."""
        out: dict[str, float] = {}
        for container in self._containers:
            out[f"memu_{container.name}"] = container.take_peak_mb()
            out[f"oom_{container.name}"] = float(container.take_kills())
        return out


class _Container:
    """One process and the limit of its container."""

    def __init__(
        self, name: str, cells: tuple[int, ...], parameters: MemoryParameters, ran: RanState,
        rng: np.random.Generator, *, is_du: bool,
    ) -> None:  # fmt: skip
        self.name, self._cells, self._par, self._ran, self._rng = name, cells, parameters, ran, rng
        self._is_du = is_du
        self._mean_mb = parameters.du_base_mb if is_du else parameters.cu_base_mb
        self._ue_mb = parameters.du_ue_mb if is_du else parameters.cu_ue_mb
        self._started = 0  # how often it had been killed, by whatever, when this process started
        self._kills = 0
        self._slowed = 1.0
        self._before_mb = 0.0  # peak of a process that was killed since it was last asked for
        self._start()

    def _start(self) -> None:
        self._started = self._ran.outages.starts(self.name)
        self._base_mb = self._mean_mb + self._par.base_sd_mb * float(np.clip(self._rng.standard_normal(), -3.0, 3.0))
        self._peak_mb = min(self._base_mb, self._limit_mb())

    def take_peak_mb(self) -> float:
        """Return the peak use of this process, or of one that was killed since this was last asked [MB].

        It is never above the limit: what would be is killed. Where do() holds the use, that.
        """
        peak, self._before_mb = max(self._peak_mb, self._before_mb), 0.0
        return self._ran.held.get(f"memu_{self.name}", peak)

    def take_kills(self) -> int:
        """Return how often the process was killed since this was last asked."""
        kills, self._kills = self._kills, 0
        return kills

    def look(self) -> None:
        """Compare use with the limit now: slow down, or kill."""
        ran = self._ran
        if ran.outages.starts(self.name) != self._started:  # somebody else killed it
            self._start()
        if ran.outages.is_down(self.name, ran.now_ms):
            return
        use_mb, limit_mb = self._use_mb(), self._limit_mb()
        due = ran.held.get(f"oom_{self.name}")  # do(): so many kills a window, whatever the limit
        if use_mb > limit_mb if due is None else self._kills < due:
            self._kill(use_mb, limit_mb)
            return
        self._peak_mb = max(self._peak_mb, use_mb)
        self._slow(self._par.slowdown(use_mb, limit_mb))

    def _limit_mb(self) -> float:
        return self._ran.controls.get(f"mem_{self.name}", math.inf) * _MB_PER_GB

    def _use_mb(self) -> float:
        ran, held = self._ran, self._ran.held.get(f"memu_{self.name}")
        if held is not None:
            return held
        ues = sum(ran.ues[cell] for cell in self._cells)
        queued = sum(ran.plane.backlog_bits(ran.row(cell), dl=True) for cell in self._cells) if self._is_du else 0.0
        return self._base_mb + self._ue_mb * ues + queued / _BITS_PER_MB

    def _slow(self, factor: float) -> None:
        if factor != self._slowed:
            self._slowed = factor
            for cell in self._cells:
                self._ran.slow_down(
                    f"memory_{self.name}",
                    cell,
                    du_factor=factor if self._is_du else 1.0,
                    cu_factor=1.0 if self._is_du else factor,
                )

    def _kill(self, use_mb: float, limit_mb: float) -> None:
        ran = self._ran
        outage_ms = self._par.restart.draw_ms(self._rng, ran.controls[f"cpu_{self.name}"])
        ran.take_down(self.name, ran.now_ms + outage_ms)
        limit = {"limit_mb": limit_mb} if math.isfinite(limit_mb) else {}
        ran.note("oom", self.name, use_mb=use_mb, outage_s=outage_ms / 1000.0, **limit)
        self._kills += 1
        self._before_mb = max(self._before_mb, min(use_mb, limit_mb))
        self._start()
        ran.env.process(self._come_back(outage_ms))

    def _come_back(self, outage_ms: int) -> Process:
        """Meet the limit as soon as the new process is up: one that does not fit serves no slot in between."""
        yield self._ran.wait(outage_ms)
        self._ran.catch_up()
        self.look()
