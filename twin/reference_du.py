"""DU of the reference model: one slot after the other, its queues, its grants and what becomes of them.

All times in ms, all work in CPU-ms; direction 0 is down, 1 is up.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import simpy

from twin.parameters import CellParameters, GrantPolicy
from twin.reference_cpu import CfsBandwidth
from twin.reference_parts import (
    DOWN,
    SLOW_BLOCK_MS,
    UP,
    CellRun,
    Draws,
    Packet,
    Process,
    Slot,
    autoregression,
    in_turn,
    lognormal,
    share,
)

__all__ = ["Du"]


class Du:
    """A DU with the queues of its UEs; `uplink` takes its packets towards the CU, `deliver` those that arrived."""

    def __init__(
        self,
        env: simpy.Environment,
        cell: CellParameters,
        draws: Draws,
        log: CellRun,
        *,
        uplink: Callable[[Packet], None],
        deliver: Callable[[Packet], None],
    ) -> None:
        self.env, self.cell, self.draws, self.log = env, cell, draws, log
        self.uplink, self.deliver = uplink, deliver
        du = cell.du
        self.cpu = CfsBandwidth(env, first_refill_ms=draws.du_refill_ms)
        self.slot_noise = lognormal(draws.slot_normal, math.sqrt(math.log1p(du.slot_cv**2)))
        rho = math.exp(-SLOW_BLOCK_MS / du.slow_tau_ms) if du.slow_tau_ms > 0 else 0.0
        self.slow = lognormal(autoregression(draws.slow_du_normal, rho), du.slow_sd)
        self.queues: tuple[list[deque[Packet]], ...] = tuple([deque() for _ in range(cell.n_ue)] for _ in (DOWN, UP))
        # Uplink PRBs that control signalling leaves; less of it while the downlink is off.
        pucch = cell.pucch_prb * (1.0 if cell.cap_prb_dl > 0 else 0.35)
        self.caps = (float(cell.cap_prb_dl), min(float(cell.cap_prb_ul), cell.n_prb - pucch))
        self.full_buffer = (cell.full_buffer_dl, cell.full_buffer_ul)
        self.bits_per_prb = (cell.bits_per_prb_dl, cell.bits_per_prb_ul)
        self.slots = env.process(self._slots())

    def queue(self, packet: Packet) -> None:
        """Put a packet at the end of its UE's queue, if that has room."""
        queue = self.queues[packet.way][packet.ue]
        if len(queue) >= self.cell.buffer_packets:
            self.log.dropped[packet.way].append((self.env.now, "queue"))
        else:
            packet.arrived_ms = self.env.now
            queue.append(packet)

    def _slots(self) -> Process:
        env, cell, du = self.env, self.cell, self.cell.du
        served: deque[bool] = deque(maxlen=max(du.inflight_slots, 1))
        pending = [0, 0]  # retransmissions still to be granted
        last_prb = [0.0, 0.0]  # PRBs of the last grant of new data
        turn = 0  # the UE that comes first
        jumping = False  # the slot clock leaves out slots until it is near enough to the present
        for n in range(len(self.slot_noise)):
            if env.now < n:
                yield env.timeout(n - env.now)
            start = env.now
            jumping = start - n > (min(du.resync_ms, du.skip_after_ms) if jumping else du.skip_after_ms)
            if jumping:
                served.append(False)
                self._record(n, "skipped", start)
                continue
            late = start - n > du.deadline_ms
            prb = [0.0, 0.0]
            grants: list[list[int]] = [[], []]
            again = pending[DOWN] > 0, pending[UP] > 0
            for way in (DOWN, UP):
                if self.caps[way] <= 0.0:
                    continue
                if again[way]:
                    prb[way] = last_prb[way]
                elif self.full_buffer[way]:
                    prb[way] = self.caps[way]
                else:
                    grants[way], prb[way] = self._grant(way, n, start, turn)
            work = du.base_ms
            for way, fixed_ms, full_ms in ((DOWN, du.dl_fixed_ms, du.dl_full_ms), (UP, du.ul_fixed_ms, du.ul_full_ms)):
                if prb[way] > 0.0:
                    work += fixed_ms + full_ms * prb[way] / cell.n_prb
            work *= self.slot_noise[n] * self.slow[n // SLOW_BLOCK_MS] * self.draws.du_factor
            if late:
                work *= du.late_cost
            pauses = yield from self.cpu.run(work, du.parallelism, resume_ms=du.resume_ms)
            work += du.resume_ms * len(pauses)
            if sum(pauses) > 1.0:  # the UEs' feedback for what was in flight found nobody listening
                for way in (DOWN, UP):
                    if self.caps[way] > 0.0 and last_prb[way] > 0.0:
                        pending[way] += sum(served) if du.inflight_slots > 0 else 0
                served.clear()
            if late or env.now - n > du.deadline_ms:
                served.append(False)
                self._record(n, "late", start, work, pauses)
                continue
            served.append(True)
            bits = [0.0, 0.0]
            for way in (DOWN, UP):
                if prb[way] <= 0.0:
                    continue
                if again[way]:
                    pending[way] -= 1
                    continue
                last_prb[way] = prb[way]
                if self.full_buffer[way]:
                    bits[way] = prb[way] * self.bits_per_prb[way]
                else:
                    self._transmit(way, n, grants[way], turn)
            turn = (turn + 1) % cell.n_ue
            self._record(n, "ok", start, work, pauses, (prb[0], prb[1]), again, (bits[0], bits[1]))

    def _grant(self, way: int, n: int, start: float, turn: int) -> tuple[list[int], float]:
        """Return the bits that each UE may send in slot n, and how many PRBs they take."""
        cell = self.cell
        nothing = [0] * cell.n_ue
        # Downlink is scheduled on what is there now, uplink on what the UE had time to report and to be granted.
        if way == DOWN:
            eligible = [list(queue) for queue in self.queues[DOWN]]
            waited = [start - queue[0].arrived_ms for queue in eligible if queue]
        else:
            eligible = [[p for p in queue if p.sent_ms <= n - cell.ul_grant_ms] for queue in self.queues[UP]]
            waited = [n - queue[0].sent_ms for queue in eligible if queue]
        backlog = [sum(p.left_bits for p in queue) for queue in eligible]
        if not waited:
            return nothing, 0.0
        whole, per_prb = int(self.caps[way]), self.bits_per_prb[way]
        waiting = cell.grant_policy is GrantPolicy.BATCH and sum(backlog) < whole * per_prb
        if waiting and max(waited) < cell.batch_ms:
            return nothing, 0.0
        prbs = share([-(-bits // per_prb) for bits in backlog], whole, turn)
        return [min(bits, prb * per_prb) for bits, prb in zip(backlog, prbs, strict=True)], float(sum(prbs))

    def _transmit(self, way: int, n: int, grants: list[int], turn: int) -> None:
        """Let the UEs' queues go by the bits granted; a packet goes on when its last bit went."""
        for ue in in_turn(self.cell.n_ue, turn):
            bits, queue = grants[ue], self.queues[way][ue]
            while bits > 0:
                part = min(bits, queue[0].left_bits)
                bits -= part
                queue[0].left_bits -= part
                if queue[0].left_bits == 0:
                    packet = queue.popleft()
                    if way == DOWN:
                        self.env.process(self._air(packet, n))
                    else:
                        self.uplink(packet)

    def _air(self, packet: Packet, n: int) -> Process:
        """Take a downlink packet through the DU's pipeline, the fronthaul and a slot on the air."""
        at = n + self.cell.dl_pipeline_ms + self.cell.links.fronthaul_ms + 1.0
        yield self.env.timeout(at - self.env.now)
        self.deliver(packet)

    def _record(
        self,
        n: int,
        outcome: str,
        start: float,
        work: float = 0.0,
        pauses: Sequence[float] = (),
        prb: tuple[float, float] = (0.0, 0.0),
        again: tuple[bool, bool] = (False, False),
        bits: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        # A long pause throttles a second CPU's run queue too, and the cgroup's statistics add the two up.
        cgroup = sum(pause + max(pause - self.cell.du.second_cpu_ms, 0.0) for pause in pauses)
        again = (again[0] and prb[0] > 0.0, again[1] and prb[1] > 0.0)
        self.log.slots.append(Slot(n, outcome, start, self.env.now, work, sum(pauses), cgroup, prb, again, bits))
