"""CU of the reference model: one queue for the packets of all its cells, both directions, and for its steady work."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import simpy

from twin.link_noise import LinkState
from twin.parameters import CellParameters
from twin.reference_cpu import CfsBandwidth
from twin.reference_links import Link, NoiseSource
from twin.reference_parts import (
    DOWN,
    SLOW_BLOCK_MS,
    CuJob,
    Draws,
    Packet,
    Process,
    autoregression,
    lognormal,
)

__all__ = ["Cu"]


class Cu:
    """A CU and its backhaul, as the first of its cells says.

    `to_du` and `to_core` take what it has worked off, `lost` packets that it drops.
    """

    def __init__(
        self,
        env: simpy.Environment,
        cell: CellParameters,
        draws: Draws,
        *,
        to_du: Callable[[Packet], None],
        to_core: Callable[[Packet], None],
        lost: Callable[[Packet, str], None],
        log: list[CuJob],
    ) -> None:
        self.env, self.parameters, self.log = env, cell.cu, log
        self.to_du, self.lost = to_du, lost
        self.cpu = CfsBandwidth(env, first_refill_ms=draws.cu_refill_ms)
        tau = cell.du.slow_tau_ms
        rho = math.exp(-SLOW_BLOCK_MS / tau) if tau > 0 else 0.0
        self.slow = lognormal(autoregression(draws.slow_cu_normal, rho), cell.cu.slow_sd)
        self.factor, self.contention = draws.cu_factor, 1.0
        self.parallelism = cell.cu.parallelism
        self.down_from = self.down_until = -math.inf
        links = cell.links
        line: dict[str, Any] = {
            "rate_mbps": links.backhaul_mbps, "delay_ms": links.backhaul_ms, "overhead": links.overhead,
            "noise": cell.backhaul_noise, "lost": lost,
        }  # fmt: skip
        self.backhaul_down = Link(env, **line, to=_at_core_end, source=NoiseSource(draws.link_key, 3))
        self.backhaul_up = Link(env, **line, to=to_core, source=NoiseSource(draws.link_key, 4))
        self.queue: simpy.Store = simpy.Store(env)
        env.process(self._clock())
        env.process(self._work())

    def set_backhaul(self, state: LinkState) -> None:
        """Change the backhaul from now on."""
        for link in (self.backhaul_down, self.backhaul_up):
            link.rate_mbps, link.delay_ms, link.noise = state.rate_mbps, state.delay_ms, state.noise

    def fail(self, until_ms: float) -> None:
        """Let the CU be gone from now on; what reached it before is still worked off."""
        if not self.down:
            self.down_from = self.env.now
        self.down_until = until_ms

    @property
    def down(self) -> bool:
        """Whether the CU is gone now."""
        return self.down_from <= self.env.now < self.down_until

    def receive(self, packet: Packet) -> None:
        """Put a packet that has reached the CU at the end of its queue."""
        packet.arrived_ms = self.env.now
        if packet.void:
            return
        if self.down:
            self.lost(packet, "cu")
            return
        packet.place, packet.cell, packet.ue = "cu", packet.user.gnb.number, packet.user.slot
        self.queue.put(packet)

    def _clock(self) -> Process:
        while True:
            if not self.down:
                self.queue.put(self.env.now)
            yield self.env.timeout(1.0)

    def _work(self) -> Process:
        cu = self.parameters
        while True:
            job: Packet | float = yield self.queue.get()
            arrived = job.arrived_ms if isinstance(job, Packet) else job
            if self.env.now - arrived > cu.buffer_ms:  # too late for a packet; steady work is not made up for
                if isinstance(job, Packet):
                    self.lost(job, "cu")
                continue
            work = cu.packet_ms if isinstance(job, Packet) else cu.base_share
            block = min(int(arrived) // SLOW_BLOCK_MS, len(self.slow) - 1)
            work *= float(self.slow[block]) * self.factor * self.contention
            pauses = yield from self.cpu.run(work, self.parallelism)
            way = job.way if isinstance(job, Packet) else -1
            self.log.append(CuJob(way, arrived, self.env.now, work, sum(pauses)))
            if isinstance(job, Packet) and not job.void:
                if way == DOWN:
                    job.place = "midhaul"
                    self.to_du(job)
                else:
                    self.backhaul_up.send(job)


def _at_core_end(packet: Packet) -> None:
    """Let the CU that serves the UE now take a downlink packet, whichever it was sent to."""
    packet.user.gnb.cu.receive(packet)
