"""Links of the reference model: every packet on the line and on its way is a process of its own. Times in ms."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from twin.reference_parts import Packet, Process

__all__ = ["Link"]


class Link:
    """A line that serialises one packet after the other and delivers each a fixed delay later."""

    def __init__(
        self, env: simpy.Environment, *, serialise_ms: float, delay_ms: float, to: Callable[[Packet], None]
    ) -> None:
        self.env = env
        self.serialise_ms, self.delay_ms, self.to = serialise_ms, delay_ms, to
        self.line = simpy.Resource(env)

    def send(self, packet: Packet) -> None:
        """Put a packet at the end of the line."""
        self.env.process(self._carry(packet))

    def _carry(self, packet: Packet) -> Process:
        with self.line.request() as turn:
            yield turn
            yield self.env.timeout(self.serialise_ms)
        yield self.env.timeout(self.delay_ms)
        self.to(packet)
