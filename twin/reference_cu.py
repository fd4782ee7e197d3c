"""CU of the reference model: one queue for the packets of all its cells, both directions, and for its steady work."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from twin.parameters import CuCompute
from twin.reference_cpu import CfsBandwidth
from twin.reference_parts import SLOW_BLOCK_MS, CuJob, FloatArray, Packet, Process

__all__ = ["Cu"]


class Cu:
    """A CU that hands packets on with `forward` and tells `lost` of those that it drops."""

    def __init__(
        self,
        env: simpy.Environment,
        parameters: CuCompute,
        *,
        first_refill_ms: float,
        slow: FloatArray,
        factor: float,
        forward: Callable[[Packet], None],
        lost: Callable[[Packet, str], None],
        log: list[CuJob],
    ) -> None:
        self.env, self.parameters = env, parameters
        self.cpu = CfsBandwidth(env, first_refill_ms=first_refill_ms)
        self.slow, self.factor = slow, factor
        self.forward, self.lost, self.log = forward, lost, log
        self.queue: simpy.Store = simpy.Store(env)
        env.process(self._clock())
        env.process(self._work())

    def receive(self, packet: Packet) -> None:
        """Put a packet that has reached the CU at the end of its queue."""
        packet.arrived_ms = self.env.now
        self.queue.put(packet)

    def _clock(self) -> Process:
        while True:
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
            work *= self.factor * self.slow[min(int(arrived) // SLOW_BLOCK_MS, len(self.slow) - 1)]
            pauses = yield from self.cpu.run(work, cu.parallelism)
            way, cell = (job.way, job.cell) if isinstance(job, Packet) else (-1, -1)
            self.log.append(CuJob(way, arrived, self.env.now, work, sum(pauses), cell))
            if isinstance(job, Packet):
                self.forward(job)
