"""Links of the reference model: every packet on the line and on its way is a process of its own. Times in ms."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import simpy

from twin.link_noise import Distribution, LinkNoise
from twin.reference_parts import Packet, Process, chance

__all__ = ["Link", "NoiseSource"]

_STANDARD = NormalDist()


def _pareto(z: float) -> float:
    return min(4.0 / 3.0 * (math.pow(1.0 - _STANDARD.cdf(z), -1.0 / 3.0) - 1.5), 4.0)


_SHAPES: dict[Distribution, Callable[[float], float]] = {
    Distribution.UNIFORM: lambda z: 2.0 * _STANDARD.cdf(z) - 1.0,
    Distribution.NORMAL: lambda z: z,
    Distribution.PARETO: _pareto,
    Distribution.PARETONORMAL: lambda z: 0.75 * _pareto(z) + 0.25 * z,
}


class NoiseSource:
    """Chance of one line: event by event, whether it is lost, and by how much it is delayed beyond the mean."""

    def __init__(self, key: int, line: int) -> None:
        self.key, self.line = key, line
        self.bad = False
        self.z: float | None = None

    def lost(self, k: int, noise: LinkNoise) -> bool:
        """Move the loss state on to event k and say whether that event is lost."""
        if chance(self.key, k, 8 * self.line) < (noise.to_good if self.bad else noise.to_bad):
            self.bad = not self.bad
        return chance(self.key, k, 8 * self.line + 1) < (noise.loss_bad if self.bad else noise.loss)

    def jitter_ms(self, k: int, noise: LinkNoise) -> float:
        """Return by how much event k is later, or earlier, than it is on average."""
        u, v = (chance(self.key, k, 8 * self.line + j) for j in (2, 3))
        normal = math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)
        c = noise.correlation
        self.z = normal if self.z is None else c * self.z + math.sqrt(1.0 - c * c) * normal
        return noise.jitter_ms * _SHAPES[noise.distribution](self.z)


class Link:
    """A line that serialises one packet after the other and delivers each some time later, never out of order.

    `lost` is told of packets that the noise or the full queue before the line takes.
    """

    def __init__(
        self,
        env: simpy.Environment,
        *,
        rate_mbps: float,
        delay_ms: float,
        to: Callable[[Packet], None],
        lost: Callable[[Packet, str], None] = lambda packet, where: None,
        overhead: float = 1.0,
        noise: LinkNoise | None = None,
        source: NoiseSource | None = None,
    ) -> None:
        self.env = env
        self.rate_mbps, self.delay_ms, self.noise, self.overhead = rate_mbps, delay_ms, noise, overhead
        self.to, self.lost = to, lost
        self.source = source or NoiseSource(0, 0)
        self.line = simpy.Resource(env)
        self.entered = 0
        self.free_ms = 0.0  # when the last packet that entered will have left the line
        self.reached_ms = 0.0

    def send(self, packet: Packet) -> None:
        """Put a packet at the end of the line."""
        env, noise, k = self.env, self.noise, self.entered
        self.entered += 1
        serialise_ms = packet.bits * self.overhead / 1000.0 / self.rate_mbps
        delay_ms = self.delay_ms
        if noise is not None:
            if self.free_ms - env.now > noise.limit_packets * serialise_ms:
                self.lost(packet, "link")
                return
            if self.source.lost(k, noise):
                self.lost(packet, "link")
                return
            delay_ms = max(delay_ms + self.source.jitter_ms(k, noise), 0.0)
        self.free_ms = max(self.free_ms, env.now) + serialise_ms
        env.process(self._carry(packet, serialise_ms, delay_ms))

    def _carry(self, packet: Packet, serialise_ms: float, delay_ms: float) -> Process:
        env = self.env
        with self.line.request() as turn:
            yield turn
            yield env.timeout(serialise_ms)
            at = max(env.now + delay_ms, self.reached_ms)
            self.reached_ms = at
        yield env.timeout(at - env.now)
        self.to(packet)
