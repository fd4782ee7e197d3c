"""An exact, slow model of gNBs on SimPy: every packet, link, slot and refill of a CFS quota is an event of its own.

It states the semantics of `twin.kernel` a second time, in the textbook style and without the kernel's short cuts, so
that the two can be held against each other: same parameters and same `Draws`, hence the same packets at the same times.
Nothing but tests and benchmarks uses it; a simulated second of one cell takes some tenths of a CPU second.

All times in ms, all work in CPU-ms, rates in Mbit/s; direction 0 is down, 1 is up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import simpy

from twin.parameters import CFS_PERIOD_MS, CellParameters
from twin.reference_cu import Cu
from twin.reference_du import Du
from twin.reference_links import Link
from twin.reference_parts import (
    DOWN,
    SLOW_BLOCK_MS,
    UP,
    CellRun,
    CuJob,
    Draws,
    Packet,
    Process,
    autoregression,
    draw,
    lognormal,
)

__all__ = ["CellRun", "Draws", "Event", "Gnb", "QuotaChange", "Ran", "draw", "simulate", "simulate_ran"]

SETTLE_MS = 1000.0
"""Time that the model runs on after its last slot, so that what was sent before has arrived or is lost."""


class QuotaChange(NamedTuple):
    """At `time_ms` the quotas become these, in cores; they count from the next refill on."""

    time_ms: float
    du_cores: float
    cu_cores: float


class Gnb:
    """The senders, links and DU of one cell, wired to its CU."""

    def __init__(self, env: simpy.Environment, cell: CellParameters, draws: Draws, number: int) -> None:
        self.env, self.cell, self.draws, self.number = env, cell, draws, number
        self.log = CellRun()
        self.cu: Cu
        links = cell.links
        midhaul: dict[str, Any] = {"rate_mbps": links.midhaul_mbps, "delay_ms": links.midhaul_ms}
        backhaul: dict[str, Any] = {"rate_mbps": links.backhaul_mbps, "delay_ms": links.backhaul_ms}
        for leg in (midhaul, backhaul):
            leg |= {"overhead": links.overhead, "lost": self.lose}
        self.du = Du(
            env, cell, draws, self.log, uplink=lambda packet: self.midhaul_up.send(packet), deliver=self.deliver
        )
        self.backhaul_down = Link(env, **backhaul, to=lambda packet: self.cu.receive(packet))
        self.midhaul_down = Link(env, **midhaul, to=self.du.queue)
        self.midhaul_up = Link(env, **midhaul, to=lambda packet: self.cu.receive(packet))
        self.backhaul_up = Link(env, **backhaul, to=self.deliver)

    def offer(self, dl_mbps: float, ul_mbps: float) -> None:
        """Start the senders of all UEs; once."""
        for way, mbps in ((DOWN, dl_mbps), (UP, ul_mbps)):
            if mbps > 0.0:
                interval = self.cell.packet_bits * self.cell.n_ue / (mbps * 1000.0)
                for ue in range(self.cell.n_ue):
                    self.env.process(self._sender(way, ue, interval))

    def _sender(self, way: int, ue: int, interval_ms: float) -> Process:
        yield self.env.timeout(self.draws.sender_phase[way, ue] * interval_ms)
        while True:
            packet = Packet(way, ue, self.env.now, self.cell.packet_bits, self.number)
            self.log.sent[way].append(packet.sent_ms)
            (self.backhaul_down.send if way == DOWN else self.du.queue)(packet)
            yield self.env.timeout(interval_ms)

    def forward(self, packet: Packet) -> None:
        """Send on what the CU has worked off."""
        (self.midhaul_down if packet.way == DOWN else self.backhaul_up).send(packet)

    def lose(self, packet: Packet, where: str) -> None:
        """Note a packet that is lost."""
        self.log.dropped[packet.way].append((packet.arrived_ms, where))

    def deliver(self, packet: Packet) -> None:
        """Note a packet that arrived."""
        self.log.delivered[packet.way].append((packet.ue, packet.sent_ms, self.env.now))


class Ran:
    """Cells and their CUs: `cu_of` names the CU of each cell, from 0; a CU is as the first of its cells says."""

    def __init__(
        self, env: simpy.Environment, cells: Sequence[CellParameters], draws: Sequence[Draws], cu_of: Sequence[int]
    ) -> None:
        self.env = env
        self.gnbs = [Gnb(env, *of_cell, number) for number, of_cell in enumerate(zip(cells, draws, strict=True))]
        self.cus = []
        for name in range(max(cu_of) + 1):
            first = list(cu_of).index(name)
            parameters, chance, jobs = cells[first].cu, draws[first], list[CuJob]()
            tau = cells[first].du.slow_tau_ms
            rho = math.exp(-SLOW_BLOCK_MS / tau) if tau > 0 else 0.0
            cu = Cu(
                env,
                parameters,
                first_refill_ms=chance.cu_refill_ms,
                slow=lognormal(autoregression(chance.slow_cu_normal, rho), parameters.slow_sd),
                factor=chance.cu_factor,
                forward=lambda packet: self.gnbs[packet.cell].forward(packet),
                lost=lambda packet, where: self.gnbs[packet.cell].lose(packet, where),
                log=jobs,
            )
            self.cus.append(cu)
            for gnb, of in zip(self.gnbs, cu_of, strict=True):
                if of == name:
                    gnb.cu, gnb.log.cu_jobs = cu, jobs

    def set_quota(self, cell: int, *, du_cores: float | None = None, cu_cores: float | None = None) -> None:
        """Set the quota of a cell's DU or of its CU in cores; it counts from the next refill on."""
        gnb = self.gnbs[cell]
        for cpu, cores in ((gnb.du.cpu, du_cores), (gnb.cu.cpu, cu_cores)):
            if cores is not None:
                cpu.quota_ms = cores * CFS_PERIOD_MS


class Event(NamedTuple):
    """At `time_ms` `act` does something to the RAN."""

    time_ms: float
    act: Callable[[Ran], None]


def simulate_ran(
    cells: Sequence[CellParameters],
    draws: Sequence[Draws],
    *,
    cu_of: Sequence[int],
    load_mbps: Sequence[tuple[float, float]],
    events: Sequence[Event] = (),
) -> list[CellRun]:
    """Run cells over all slots for which there is noise, then a little on, and return what happened in each.

    `load_mbps` is down and up by cell. Events at time 0 come before anything else.
    """
    env = simpy.Environment()
    ran = Ran(env, cells, draws, cu_of)
    for gnb, load in zip(ran.gnbs, load_mbps, strict=True):
        gnb.offer(*load)
    for event in events:
        if event.time_ms <= 0.0:
            event.act(ran)

    def happen() -> Process:
        for event in events:
            if event.time_ms > 0.0:
                yield env.timeout(event.time_ms - env.now)
                event.act(ran)

    env.process(happen())
    env.run(env.all_of([gnb.du.slots for gnb in ran.gnbs]))
    env.run(env.now + SETTLE_MS)
    return [gnb.log for gnb in ran.gnbs]


def simulate(
    cell: CellParameters,
    draws: Draws,
    *,
    load_dl_mbps: float,
    load_ul_mbps: float,
    du_cores: float = 16.0,
    cu_cores: float = 16.0,
    changes: Sequence[QuotaChange] = (),
) -> CellRun:
    """Run one cell with a CU of its own over all slots for which there is noise, then a little on."""

    def step(to: QuotaChange) -> Event:
        return Event(to.time_ms, lambda ran: ran.set_quota(0, du_cores=to.du_cores, cu_cores=to.cu_cores))

    events = [step(to) for to in (QuotaChange(0.0, du_cores, cu_cores), *changes)]
    return simulate_ran([cell], [draws], cu_of=[0], load_mbps=[(load_dl_mbps, load_ul_mbps)], events=events)[0]
