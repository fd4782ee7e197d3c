"""How the emulated testbed differs from the twin, in ways that the twin does not know.

A rehearsal is worth something only if it survives a plant that is not the model. All figures here are inventions of a
plausible size, scaled by one factor: gap 1 is the default, gap 0 is the twin itself, number for number.

1. Compute costs more: another CPU, another build. Calibrated on one machine, run on another.
2. Heavier tails: demand varies more from slot to slot and from second to second.
3. A noisy neighbour on each host: now and then, for a heavy-tailed while, a batch job steals cache and execution units
   from every container there. It shows in the host's power and in no other metric.
4. One structural difference: containers of a host slow each other down (shared cache, lower turbo clock), so the limit
   of one gNB moves what another one of that host needs. The twin's causal graph has no such arrow.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import simpy

from col.errors import InputError
from twin.ran_state import RanState
from twin.scenario_model import Scenario
from twin.streams import Streams
from twin.topology import Topology

__all__ = ["Gap", "HostTrouble", "other_constants"]

Process = Generator[simpy.Event, Any, None]
_DU_COSTS = ("base_ms", "dl_fixed_ms", "dl_full_ms", "ul_fixed_ms", "ul_full_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Size of every difference at gap 1; shares, unless the name has a unit."""

    du_cost: float = 0.03
    cu_cost: float = 0.05
    slot_cv: float = 0.3
    slow_sd: float = 0.4
    burst_demand: float = 0.02
    """Demand that a burst adds at least; a burst's strength is Pareto with exponent 3, cut off at four times that."""
    burst_cores: float = 0.8
    """What the neighbour itself uses during a burst of least strength."""
    burst_every_s: float = 120.0
    burst_s: float = 2.0
    """Least duration; Pareto with exponent 1.5, cut off at ten times that."""
    slowdown_per_core: float = 0.006
    """Demand added by each core that the other containers of the host keep busy."""

    def scaled(self, factor: float) -> Gap:
        """Return the gap with every difference multiplied; how often and how long bursts are stays.

        Raises:
            InputError: the factor is not in 0 to 10.
        """
        if not 0.0 <= factor <= 10.0:
            raise InputError("must lie in 0 to 10 (0: the twin itself)", key="gap", value=factor)
        timing = ("burst_every_s", "burst_s")
        return Gap(**{name: value if name in timing else value * factor for name, value in asdict(self).items()})


def other_constants(scenario: Scenario, gap: Gap) -> Scenario:
    """Return the scenario as the emulated testbed lives it: other compute constants, heavier tails."""
    du, cu = scenario.du, scenario.cu
    costs = {name: getattr(du, name) * (1.0 + gap.du_cost) for name in _DU_COSTS}
    tails = {"slot_cv": du.slot_cv * (1.0 + gap.slot_cv), "slow_sd": du.slow_sd * (1.0 + gap.slow_sd)}
    return replace(
        scenario,
        du_overrides={**scenario.du_overrides, **costs, **tails},
        cu=replace(
            cu,
            base_share=cu.base_share * (1.0 + gap.cu_cost),
            packet_ms=cu.packet_ms * (1.0 + gap.cu_cost),
            slow_sd=cu.slow_sd * (1.0 + gap.slow_sd),
        ),
    )


class HostTrouble:
    """The noisy neighbours and the mutual slowdown on the hosts of one run."""

    def __init__(self, topology: Topology, gap: Gap, streams: Streams) -> None:
        self._topology, self._gap, self._streams = topology, gap, streams
        self._ran: RanState | None = None
        self._others = {gnb.cell: 0.0 for gnb in topology.gnbs}  # cores busy beside a cell's own containers
        self._burst = {host.name: 0.0 for host in topology.hosts}  # strength now
        self._stray_core_ms = {host.name: 0.0 for host in topology.hosts}
        self._counted_to = {host.name: 0 for host in topology.hosts}
        self._since = 0

    def processes(self, ran: RanState) -> Iterable[Process]:
        """Return the neighbour of each host; none where the gap is zero."""
        self._ran = ran
        if self._gap.burst_demand == 0.0 and self._gap.burst_cores == 0.0:
            return ()
        return [self._neighbour(host.name, row) for row, host in enumerate(self._topology.hosts)]

    def seen(self, metrics: Mapping[str, float]) -> None:
        """Slow every container down by what the others of its host used in the time just seen: clocks follow heat."""
        if self._gap.slowdown_per_core == 0.0:
            return
        for host in self._topology.hosts:
            busy = sum(metrics[name] for name in self._topology.use_of_host(host.name) if name in metrics)
            for gnb in self._topology.gnbs_of_host(host.name):
                own = metrics[f"cpuu_du_{gnb.cell}"] + metrics[f"cpuu_cu_{gnb.cu}"]
                self._others[gnb.cell] = max(0.0, busy - own)
            self._slow_down(host.name)

    def stray_cores(self) -> Mapping[str, float]:
        """Return what the noisy neighbours used since the last call [core]."""
        now = self._now()
        elapsed = max(1, now - self._since)
        for host in self._stray_core_ms:
            self._count(host)
        out = {host: core_ms / elapsed for host, core_ms in self._stray_core_ms.items()}
        self._stray_core_ms = dict.fromkeys(self._stray_core_ms, 0.0)
        self._since = now
        return out

    def _now(self) -> int:
        return 0 if self._ran is None else int(self._ran.env.now)

    def _count(self, host: str) -> None:
        now = self._now()
        busy_ms = now - self._counted_to[host]
        self._stray_core_ms[host] += busy_ms * self._gap.burst_cores * self._burst[host]
        self._counted_to[host] = now

    def _slow_down(self, host: str) -> None:
        assert self._ran is not None
        for gnb in self._topology.gnbs_of_host(host):
            slower = self._gap.slowdown_per_core * self._others[gnb.cell] + self._gap.burst_demand * self._burst[host]
            self._ran.scale_demand(gnb.cell, 1.0 + slower)

    def _neighbour(self, host: str, row: int) -> Process:
        """Burst now and then."""
        assert self._ran is not None
        rng, gap = self._streams.generator("gap_neighbour", row), self._gap
        while True:
            yield self._ran.env.timeout(1 + math.floor(1000.0 * rng.exponential(gap.burst_every_s)))
            strength = min(4.0, 1.0 + float(rng.pareto(3.0)))
            lasts_s = gap.burst_s * min(10.0, 1.0 + float(rng.pareto(1.5)))
            for now in (strength, 0.0):
                self._count(host)
                self._burst[host] = now
                self._slow_down(host)
                if now:
                    yield self._ran.env.timeout(round(1000.0 * lasts_s))
