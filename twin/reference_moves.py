"""UEs of the reference model that come, go and hand over; semantics as of `twin.ue_slots`."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from twin.reference_gnb import Gnb, Sender, User
from twin.reference_mac import Ue
from twin.reference_parts import DOWN, UP, Packet, Process

__all__ = ["Moves"]


class Moves:
    """What happens to UEs of some gNBs."""

    def __init__(self, env: simpy.Environment, gnbs: list[Gnb]) -> None:
        self.env, self.gnbs = env, gnbs
        self._users = 0
        for gnb in gnbs:
            for slot in range(gnb.cell.n_ue):
                self._add(gnb, slot)

    def _add(self, gnb: Gnb, slot: int) -> None:
        user = User(self.env, self._users, gnb, slot)
        user.senders = tuple(Sender(user, way, float(gnb.draws.sender_phase[way, slot])) for way in (DOWN, UP))
        gnb.users[slot] = user
        self._users += 1

    def attach(self, cell: int, slot: int) -> None:
        """Add a UE without load."""
        gnb = self.gnbs[cell]
        gnb.du.mac.ues[slot] = Ue(slot)
        self._add(gnb, slot)

    def detach(self, cell: int, slot: int) -> None:
        """Take a UE away with all that was sent and not delivered."""
        gnb = self.gnbs[cell]
        user = gnb.users.pop(slot)
        user.set_load(0.0, 0.0)
        old = gnb.du.leave(slot)

        def lose() -> None:
            old.clear()
            for way in (DOWN, UP):
                for packet in list(user.live[way]):
                    gnb.lose(packet, "detached")
                    packet.void = True

        self.env.process(_once_idle(gnb, lose))

    def move_ue(
        self,
        from_cell: int,
        slot: int,
        to_cell: int,
        to_slot: int,
        *,
        resume_ms: float,
        forward: bool = True,
        lose_in_flight: bool = False,
    ) -> None:
        """Hand a UE over: its senders at once, what the DU holds when the slot under way is over."""
        source, target = self.gnbs[from_cell], self.gnbs[to_cell]
        user = source.users.pop(slot)
        old, new = source.du.leave(slot), Ue(to_slot, resume_ms=resume_ms)
        target.users[to_slot] = user
        target.du.mac.ues[to_slot] = new
        user.gnb, user.slot = target, to_slot
        coming = [packet for packet in user.live[DOWN] if packet.place in {"midhaul", "cu"}]
        coming.sort(key=lambda packet: packet.sent_ms)
        for packet in coming:
            packet.void = True

        def hand_over() -> None:
            for way, bearer in zip((DOWN, UP), old.bearers, strict=True):
                held = list(bearer.queue)
                if lose_in_flight:
                    in_air = max((k + 1 for k, packet in enumerate(held) if packet.left_bits < packet.bits), default=0)
                    for packet in held[:in_air]:
                        source.lose(packet, "handover")
                    held = held[in_air:]
                if way == DOWN:
                    held += [_again(packet, user) for packet in coming]
                    if not forward:
                        for packet in held:
                            source.lose(packet, "handover")
                        held = []
                queue = new.bearers[way].queue
                newer = list(queue)
                queue.clear()
                for packet in (*held, *newer):
                    packet.left_bits, packet.ue, packet.cell = packet.bits, to_slot, to_cell
                    if len(queue) < target.cell.buffer_packets:
                        packet.arrived_ms = self.env.now
                        queue.append(packet)
                    else:
                        target.lose(packet, "queue")
            old.clear()

        self.env.process(_once_idle(source, hand_over))


def _again(packet: Packet, user: User) -> Packet:
    """Return what goes on in place of a packet that its old CU has still to work off."""
    copy = Packet(packet.way, packet.ue, packet.sent_ms, packet.bits, user=user, place="du")
    live = user.live[packet.way]
    live[live.index(packet)] = copy
    return copy


def _once_idle(gnb: Gnb, act: Callable[[], None]) -> Process:
    if gnb.du.busy is not None and not gnb.du.frail:
        yield gnb.du.busy
    act()
