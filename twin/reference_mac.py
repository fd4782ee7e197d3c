"""MAC of the reference model: queues of UEs, shares of PRBs, transport blocks, what fails and what is repeated.

Direction 0 is down, 1 is up; times in ms, PRBs and bits of one slot.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twin.air import AirInterface
from twin.harq import combined_snr_db
from twin.link_adaptation import block_error_rate, decoder_iterations, outer_loop_step, work_per_prb
from twin.parameters import CellParameters, GrantPolicy, Scheduler
from twin.radio import cqi_thresholds_db, snr_thresholds_db
from twin.reference_parts import DOWN, UP, Packet, in_turn, share

__all__ = ["Bearer", "Block", "Grant", "Mac", "Ue"]


@dataclass(slots=True, eq=False)
class Block:
    """A transport block that is not decoded yet, and the pieces of packets in it."""

    pieces: list[tuple[Packet, int]]
    prb: int
    mcs: int
    due_slot: float
    oldest: int
    """Place of its first bit in the stream of its bearer."""
    snr_db: list[float] = field(default_factory=list)
    """At which its transmissions so far were received."""
    first: bool = True

    @property
    def bits(self) -> int:
        """How many bits it carries."""
        return sum(bits for _, bits in self.pieces)


@dataclass(slots=True, eq=False)
class Bearer:
    """One direction of a UE."""

    queue: deque[Packet] = field(default_factory=deque)
    """Packets that were not delivered, in order; bits of them may be in blocks."""
    blocks: list[Block] = field(default_factory=list)
    granted: int = 0
    """Bits granted so far: the place in the stream of the next one."""
    offset_db: float = 0.0
    failures: int = 0
    """Transmissions that failed, in a row."""
    average_bits: float = 0.0


@dataclass(slots=True, eq=False)
class Ue:
    """A UE attached to a cell."""

    slot: int
    bearers: tuple[Bearer, Bearer] = field(default_factory=lambda: (Bearer(), Bearer()))
    resume_ms: float = -math.inf
    """Nothing is granted in slots that start before this."""
    broken: bool = False
    """Whether its link failed in the slot that is being carried."""

    def clear(self) -> None:
        """Forget its packets and blocks."""
        for bearer in self.bearers:
            bearer.queue.clear()
            bearer.blocks.clear()


@dataclass(slots=True)
class Grant:
    """PRBs of a slot for one UE: bits of new data, or a block once more."""

    ue: Ue
    prb: int
    bits: int
    mcs: int
    block: Block | None = None


class Mac:
    """Grants of a cell, slot by slot: `plan` says what a slot will carry, `carry` does it."""

    def __init__(
        self, cell: CellParameters, *, gone: Callable[[Packet, float], None], draw: Callable[[int, int, int], float]
    ) -> None:
        """`gone` takes a packet that was wholly decoded in a slot; `draw` gives u for (slot, UE, direction)."""
        self.cell, self.gone, self.draw = cell, gone, draw
        self.ues: dict[int, Ue] = {slot: Ue(slot) for slot in range(cell.n_ue)}
        self.turns = max(cell.ue_slots, cell.n_ue)
        self.turn = 0
        # Uplink PRBs that control signalling leaves; less of it while the downlink is off.
        pucch = cell.pucch_prb * (1.0 if cell.cap_prb_dl > 0 else 0.35)
        self.caps = [float(cell.cap_prb_dl), min(float(cell.cap_prb_ul), cell.n_prb - pucch)]
        self.n_prb = cell.n_prb
        air = cell.air
        self.snr_db = [[air.snr_dl_db if air else 0.0] * self.turns, [air.snr_ul_db if air else 0.0] * self.turns]
        self.held: dict[str, float] = {}

    def set_bandwidth(self, n_prb: int) -> None:
        """Change the carrier's width; caps of the cell's own stay where they were narrower than its first width."""
        cell, self.n_prb = self.cell, n_prb
        pucch = cell.pucch_prb * (1.0 if cell.cap_prb_dl > 0 else 0.35)
        most = [cap if cap < cell.n_prb else n_prb for cap in (cell.cap_prb_dl, cell.cap_prb_ul)]
        self.caps = [float(min(most[DOWN], n_prb)), max(min(float(most[UP]), n_prb - pucch), 0.0)]

    def room(self, way: int, n: int) -> int:
        """Return how many PRBs slot n has, or must have where that is held."""
        held = self.held.get(("prb_dl", "prb_ul")[way])
        if held is None:
            return int(self.caps[way])
        mean = held / 100.0 * self.caps[way]
        return math.floor((n + 1) * mean) - math.floor(n * mean)

    def _snr(self, way: int, ue: Ue) -> float:
        return self.held.get(("sdl", "snr")[way], self.snr_db[way][ue.slot])

    # Link adaptation.

    def _mcs(self, way: int, ue: Ue) -> int:
        air = self.cell.air
        if air is None:
            return 0
        held = self.held.get(("mcs_dl", "mcs_ul")[way])
        if held is not None:
            return int(held)
        estimate = self._snr(way, ue)
        if way == DOWN:  # all that the gNB knows is the CQI
            known = cqi_thresholds_db(air.mcs_table)
            estimate = max([level for level in known if level <= estimate], default=known[0])
        estimate += ue.bearers[way].offset_db
        cap = air.adaptation.caps(air.mcs_table)[way]
        supported = [mcs for mcs, least in enumerate(snr_thresholds_db(air.mcs_table)) if least <= estimate]
        return min(max(supported, default=0), cap)

    def _bits_per_prb(self, way: int, mcs: int) -> int:
        if self.cell.air is None:
            return (self.cell.bits_per_prb_dl, self.cell.bits_per_prb_ul)[way]
        return self.cell.air.bits(way)[mcs]

    def work_prb(self, way: int, grants: Sequence[Grant]) -> float:
        """Return the PRBs of some grants, each weighed with what it costs to process."""
        air = self.cell.air
        if air is None:
            return float(sum(grant.prb for grant in grants))
        total, share_ = 0.0, air.adaptation.mcs_work_share
        for grant in grants:
            if way == DOWN:
                total += grant.prb * work_per_prb(grant.mcs, air.mcs_table, share=share_)
            else:
                margin = self._snr(way, grant.ue) - snr_thresholds_db(air.mcs_table)[grant.mcs]
                iterations = decoder_iterations(margin)
                total += grant.prb * work_per_prb(grant.mcs, air.mcs_table, share=share_, iterations=iterations)
        return total

    # Grants.

    def plan(self, way: int, n: int, due: float, start: float) -> list[Grant]:
        """Return what slot n, due at `due` and starting now, is to carry in one direction."""
        cell, whole = self.cell, self.room(way, n)
        left = whole
        served = [ue for ue in self._in_turn() if start >= ue.resume_ms]
        grants: list[Grant] = []
        rest = []
        for ue in served:
            again = [block for block in ue.bearers[way].blocks if block.due_slot <= n]
            if again:
                block = min(again, key=lambda b: b.oldest)
                prb = min(block.prb, whole)
                if prb <= left:
                    grants.append(Grant(ue, prb, block.bits, block.mcs, block))
                    left -= prb
            else:
                rest.append(ue)
        if cell.air is not None:
            rest = [ue for ue in rest if len(ue.bearers[way].blocks) < cell.air.harq.processes]
        return grants + self._plan_new(way, due, start, rest, left)

    def _plan_new(self, way: int, due: float, start: float, ues: Sequence[Ue], left: int) -> list[Grant]:
        cell = self.cell
        # Downlink is scheduled on what is there now, uplink on what the UE had time to report and to be granted.
        needs, waited = [], []
        for ue in ues:
            queue = ue.bearers[way].queue
            ready = [p for p in queue if p.left_bits and (way == DOWN or p.sent_ms <= due - cell.ul_grant_ms)]
            needs.append(sum(p.left_bits for p in ready))
            waited.append((start - ready[0].arrived_ms if way == DOWN else due - ready[0].sent_ms) if ready else -1.0)
        if not any(needs):
            return []
        mcs = [self._mcs(way, ue) for ue in ues]
        rate = [self._bits_per_prb(way, m) for m in mcs]
        prbs = [-(-bits // bits_per_prb) for bits, bits_per_prb in zip(needs, rate, strict=True)]
        if cell.grant_policy is GrantPolicy.BATCH and max(waited) < cell.batch_ms:
            full = sum(bits / bits_per_prb for bits, bits_per_prb in zip(needs, rate, strict=True))
            if full < int(self.caps[way]):
                return []
        if cell.scheduler is Scheduler.RR:
            given = share(prbs, left, 0)
        else:
            given = [0] * len(ues)
            for i in sorted(range(len(ues)), key=lambda i: -self._preference(way, ues[i], rate[i])):
                given[i] = min(prbs[i], left)
                left -= given[i]
        return [
            Grant(ue, prb, min(bits, prb * bits_per_prb), m)
            for ue, prb, bits, bits_per_prb, m in zip(ues, given, needs, rate, mcs, strict=True)
            if prb > 0
        ]

    def _preference(self, way: int, ue: Ue, bits_per_prb: int) -> float:
        everything = bits_per_prb * self.cell.n_prb
        return everything / math.pow(max(ue.bearers[way].average_bits, 1.0), self.cell.pf_fairness)

    def _in_turn(self) -> list[Ue]:
        return [self.ues[slot] for slot in in_turn(self.turns, self.turn) if slot in self.ues]

    # What comes of them.

    def carry(self, way: int, n: int, due: float, grants: Sequence[Grant]) -> None:
        """Send what was planned, in a slot that ends in time now."""
        order = [ue.slot for ue in self._in_turn()]
        for grant in sorted(grants, key=lambda grant: order.index(grant.ue.slot)):
            if grant.ue.broken:  # downlink, in this very slot
                continue
            bearer = grant.ue.bearers[way]
            block = grant.block
            if block is None:
                pieces, bits = [], grant.bits
                for packet in bearer.queue:
                    part = min(bits, packet.left_bits)
                    if part:
                        pieces.append((packet, part))
                        packet.left_bits -= part
                        bits -= part
                block = Block(pieces, grant.prb, grant.mcs, 0.0, bearer.granted)
                bearer.granted += grant.bits
                bearer.blocks.append(block)
            failed = self._fails(way, n, due, grant.ue, block)
            if grant.ue.broken:
                continue
            if not failed:
                bearer.blocks.remove(block)
            self._hand_on(bearer, due)
        for ue in self.ues.values():
            bits = sum(grant.bits for grant in grants if grant.ue is ue and grant.block is None)
            bearer = ue.bearers[way]
            bearer.average_bits += (bits - bearer.average_bits) / self.cell.pf_slots

    def _hand_on(self, bearer: Bearer, due: float) -> None:
        """Let packets go whose bits, and those of all before them, were decoded."""
        missing = {id(packet) for block in bearer.blocks for packet, _ in block.pieces}
        while bearer.queue and bearer.queue[0].left_bits == 0 and id(bearer.queue[0]) not in missing:
            self.gone(bearer.queue.popleft(), due)

    def _fails(self, way: int, n: int, due: float, ue: Ue, block: Block) -> bool:
        """Send a block in slot n and say whether it failed."""
        air, bearer = self.cell.air, ue.bearers[way]
        if air is None:
            return False
        block.snr_db.append(self._snr(way, ue))
        risk = self.held.get(("bler_dl", "bler_ul")[way], self._risk(air, block))
        failed = self.draw(n, ue.slot, way) < risk
        if block.first:
            highest = block.mcs >= air.adaptation.caps(air.mcs_table)[way]
            if (failed and block.mcs > 0) or (not failed and not highest):
                bearer.offset_db = outer_loop_step(bearer.offset_db, failed, air.adaptation)
        block.first = False
        bearer.failures = bearer.failures + 1 if failed else 0
        if failed:
            block.due_slot = n + air.harq.rtt_slots
            if len(block.snr_db) > air.harq.max_retx:  # RLC sends it anew
                block.snr_db.clear()
                block.due_slot = n + air.harq.rlc_ms
            if bearer.failures >= air.harq.rlf_kos:
                self._break_link(ue, due + air.harq.rlf_ms)
        return failed

    def _risk(self, air: AirInterface, block: Block) -> float:
        combined = combined_snr_db(block.snr_db)
        return block_error_rate(combined, block.mcs, air.mcs_table, slope_db=air.adaptation.slope_db)

    def end_slot(self) -> None:
        """Let the next UE come first, after a slot in time."""
        self.turn = (self.turn + 1) % self.turns
        for ue in self.ues.values():
            ue.broken = False

    def _break_link(self, ue: Ue, until_ms: float) -> None:
        """Let a UE establish its link anew: all that was not delivered is sent anew, after an interruption."""
        ue.resume_ms = max(ue.resume_ms, until_ms)
        ue.broken = True
        for bearer in ue.bearers:
            bearer.blocks.clear()
            bearer.offset_db, bearer.failures = 0.0, 0
            for packet in bearer.queue:
                packet.left_bits = packet.bits
