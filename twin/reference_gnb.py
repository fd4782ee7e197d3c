"""A gNB of the reference model: its UEs and their senders, its links, its DU, wired to its CU.

All times in ms, rates in Mbit/s; direction 0 is down, 1 is up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import simpy

from twin.link_noise import LinkState
from twin.parameters import CellParameters
from twin.reference_cu import Cu
from twin.reference_du import Du
from twin.reference_links import Link, NoiseSource
from twin.reference_parts import DOWN, UP, CellRun, Draws, Packet, Process

__all__ = ["Gnb", "Sender", "User"]


class Sender:
    """Emits a packet of a UE in one direction at a constant interval, which may change."""

    def __init__(self, user: User, way: int, phase: float) -> None:
        self.user, self.way, self.phase = user, way, phase
        self.interval_ms, self.due_ms = math.inf, math.inf
        self._settings = 0

    def set_interval(self, interval_ms: float) -> None:
        """Go on at another interval, from now on; infinite is off. The share of the interval used up is kept."""
        now = self.user.env.now
        if math.isinf(interval_ms):
            if math.isfinite(self.interval_ms):
                self.phase = min(max((self.due_ms - now) / self.interval_ms, 0.0), 1.0)
            self.due_ms = math.inf
        elif math.isfinite(self.interval_ms):
            self.due_ms = now + (self.due_ms - now) * interval_ms / self.interval_ms
        else:
            self.due_ms = now + self.phase * interval_ms
        self.interval_ms = interval_ms
        self._settings += 1
        if math.isfinite(interval_ms):
            self.user.env.process(self._send(self._settings))

    def _send(self, settings: int) -> Process:
        env = self.user.env
        while True:
            yield env.timeout(self.due_ms - env.now)
            if settings != self._settings:
                return
            self.user.emit(self.way)
            self.due_ms += self.interval_ms


@dataclass(slots=True, eq=False)
class User:
    """A UE: where it is attached, its senders, and its packets between sender and receiver, in order."""

    env: simpy.Environment
    number: int
    gnb: Gnb
    slot: int
    senders: tuple[Sender, ...] = ()
    live: tuple[list[Packet], list[Packet]] = field(default_factory=lambda: ([], []))

    def emit(self, way: int) -> None:
        """Send a packet."""
        packet = Packet(way, self.slot, self.env.now, self.gnb.cell.packet_bits, user=self, cell=self.gnb.number)
        self.gnb.log.sent[way].append(packet.sent_ms)
        self.live[way].append(packet)
        if way == DOWN:
            packet.place = "backhaul"
            self.gnb.cu.backhaul_down.send(packet)
        else:
            self.gnb.du.queue(packet)

    def set_load(self, dl_mbps: float, ul_mbps: float) -> None:
        """Offer this from now on."""
        for sender, mbps in zip(self.senders, (dl_mbps, ul_mbps), strict=True):
            sender.set_interval(self.gnb.cell.packet_bits / (mbps * 1000.0) if mbps > 0.0 else math.inf)


class Gnb:
    """The links and the DU of one cell."""

    def __init__(
        self, env: simpy.Environment, cell: CellParameters, draws: Draws, number: int, *, frail: bool = False
    ) -> None:
        self.env, self.cell, self.draws, self.number = env, cell, draws, number
        self.log = CellRun()
        self.users: dict[int, User] = {}
        self.cu: Cu
        self.du = Du(env, cell, draws, self.log, uplink=self._uplink, deliver=self.deliver, lost=self.lose, frail=frail)
        links = cell.links
        midhaul: dict[str, Any] = {
            "rate_mbps": links.midhaul_mbps, "delay_ms": links.midhaul_ms, "overhead": links.overhead,
            "noise": cell.midhaul_noise, "lost": self.lose,
        }  # fmt: skip
        self.midhaul_down = Link(env, **midhaul, to=self._at_du, source=NoiseSource(draws.link_key, 1))
        self.midhaul_up = Link(env, **midhaul, to=self._at_cu, source=NoiseSource(draws.link_key, 2))

    def set_midhaul(self, state: LinkState) -> None:
        """Change the midhaul from now on."""
        for link in (self.midhaul_down, self.midhaul_up):
            link.rate_mbps, link.delay_ms, link.noise = state.rate_mbps, state.delay_ms, state.noise

    # A packet's way.

    def _uplink(self, packet: Packet) -> None:
        packet.place = "midhaul"
        self.midhaul_up.send(packet)

    def _at_cu(self, packet: Packet) -> None:
        """Let the CU that serves the UE now take an uplink packet."""
        if not packet.void:
            packet.place = "cu"
            packet.user.live[UP].remove(packet)  # what its CU has taken goes on whatever becomes of the UE
            packet.user.gnb.cu.receive(packet)

    def _at_du(self, packet: Packet) -> None:
        if not packet.void:
            packet.place = "du"
            self.du.queue(packet)

    def lose(self, packet: Packet, where: str) -> None:
        """Note a packet that is lost."""
        if packet.void:
            return
        live = packet.user.live[packet.way]
        if packet in live:
            live.remove(packet)
        at = packet.arrived_ms if where == "cu" else self.env.now
        self.log.dropped[packet.way].append((at, where))

    def deliver(self, packet: Packet) -> None:
        """Note a packet that arrived."""
        self.log.delivered[packet.way].append((packet.user.number, packet.sent_ms, self.env.now))
