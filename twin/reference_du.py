"""DU of the reference model: its slot clock, what each slot costs, what becomes of slots that end too late.

All times in ms, all work in CPU-ms; direction 0 is down, 1 is up.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import simpy

from twin.link_noise import RETRANSMIT_MS, LinkNoise
from twin.parameters import CellParameters
from twin.reference_cpu import CfsBandwidth
from twin.reference_links import NoiseSource
from twin.reference_mac import Grant, Mac, Ue
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
    chance,
    lognormal,
)

__all__ = ["Du"]


class Du:
    """A DU with its MAC; `uplink` takes its packets towards the CU, `deliver` those that arrived at UEs.

    `frail`: a slot that an outage meets half-way is lost.
    """

    def __init__(
        self,
        env: simpy.Environment,
        cell: CellParameters,
        draws: Draws,
        log: CellRun,
        *,
        uplink: Callable[[Packet], None],
        deliver: Callable[[Packet], None],
        lost: Callable[[Packet, str], None],
        frail: bool = False,
    ) -> None:
        self.env, self.cell, self.draws, self.log, self.frail = env, cell, draws, log, frail
        self.uplink, self.deliver, self.lost = uplink, deliver, lost
        du = cell.du
        self.cpu = CfsBandwidth(env, first_refill_ms=draws.du_refill_ms)
        self.slot_noise = lognormal(draws.slot_normal, math.sqrt(math.log1p(du.slot_cv**2)))
        rho = math.exp(-SLOW_BLOCK_MS / du.slow_tau_ms) if du.slow_tau_ms > 0 else 0.0
        self.slow = lognormal(autoregression(draws.slow_du_normal, rho), du.slow_sd)
        self.mac = Mac(cell, gone=self._gone, draw=lambda n, ue, way: chance(draws.radio_key, n, 2 * ue + way))
        self.full_buffer = (cell.full_buffer_dl, cell.full_buffer_ul)
        self.factor, self.contention = draws.du_factor, 1.0
        self.parallelism = du.parallelism
        self.held_work_ms: float | None = None
        self.down_from = self.down_until = -math.inf
        self.down = False
        self.busy: simpy.Event | None = None
        """Comes when the slot under way is over; None between slots."""
        self.fronthaul_ms = cell.links.fronthaul_ms
        self.fronthaul_noise: LinkNoise | None = cell.fronthaul_noise
        self._fronthaul = NoiseSource(draws.link_key, 0)
        self._served: deque[bool] = deque(maxlen=max(du.inflight_slots, 1))
        self._pending = [0, 0]  # repetitions after a stall that are still to be granted
        self._last_prb = [0.0, 0.0]  # PRBs of the last grant that was none of these
        self.slots = env.process(self._lock_step() if cell.lock_step else self._real_time())

    def queue(self, packet: Packet) -> None:
        """Put a packet at the end of its UE's queue, if that has room."""
        queue = self.mac.ues[packet.ue].bearers[packet.way].queue
        gone = packet.way == DOWN and self.down and self.env.now < self.down_until
        if gone or len(queue) >= self.cell.buffer_packets:
            self.lost(packet, "outage" if gone else "queue")
        else:
            packet.arrived_ms = self.env.now
            queue.append(packet)

    def fail(self, until_ms: float) -> None:
        """Let the DU be gone from now on, until a fresh process takes over."""
        if not self.down_from <= self.env.now < self.down_until:
            self.down_from = self.env.now
        self.down_until = until_ms

    def leave(self, slot: int) -> Ue:
        """Take a UE out of the MAC; where a slot that is under way can be cut short, that carries nothing of it."""
        ue = self.mac.ues.pop(slot)
        ue.broken = self.frail
        return ue

    # Slot clocks.

    def _real_time(self) -> Process:
        env, du = self.env, self.cell.du
        jumping = False  # the slot clock leaves out slots until it is near enough to the present
        for n in range(len(self.slot_noise)):
            if env.now < n:
                yield env.timeout(n - env.now)
            start = env.now
            if self.down_from <= n < self.down_until:
                self._lose_all()
                self._record(n, "down", start)
                jumping = False
                continue
            self.down = False
            jumping = start - n > (min(du.resync_ms, du.skip_after_ms) if jumping else du.skip_after_ms)
            if jumping:
                self._served.append(False)
                self._record(n, "skipped", start)
                continue
            yield from self._slot(n, float(n), start)

    def _lock_step(self) -> Process:
        env, step = self.env, self.cell.lock_step
        assert step is not None
        k, start = 0, 0.0
        while start < len(self.slot_noise):
            yield env.timeout(start - env.now)
            if self.down_from <= start < self.down_until:
                self._lose_all()
                start = self.down_until
                continue
            self.down = False
            yield from self._slot(k, start, start)
            message_ms = 2.0 * self.fronthaul_ms
            if self.fronthaul_noise is not None:
                noise = self.fronthaul_noise
                if self._fronthaul.lost(k, noise):
                    message_ms += RETRANSMIT_MS
                else:
                    message_ms = 2.0 * max(self.fronthaul_ms + self._fronthaul.jitter_ms(k, noise), 0.0)
            start = max(start + 1.0 / step.pace_cap, env.now + message_ms)
            k += 1

    def _lose_all(self) -> None:
        """Forget everything, when an outage begins; what the UEs have to send stays theirs."""
        if self.down:
            return
        self.down = True
        self._pending = [0, 0]
        self._served.clear()
        for ue in self.mac.ues.values():
            while ue.bearers[DOWN].queue:
                self.lost(ue.bearers[DOWN].queue.popleft(), "outage")
            for bearer in ue.bearers:
                bearer.blocks.clear()
            for packet in ue.bearers[UP].queue:
                packet.left_bits = packet.bits

    # A slot.

    def _slot(self, n: int, due: float, start: float) -> Process:
        self.busy = self.env.event()
        yield from self._handle(n, due, start)
        over, self.busy = self.busy, None
        over.succeed()

    def _handle(self, n: int, due: float, start: float) -> Process:
        env, cell, du, mac = self.env, self.cell, self.cell.du, self.mac
        real_time = cell.lock_step is None
        late = real_time and start - due > du.deadline_ms
        plans: list[list[Grant]] = [[], []]
        prb, costly = [0.0, 0.0], [0.0, 0.0]
        again = self._pending[DOWN] > 0, self._pending[UP] > 0
        for way in (DOWN, UP):
            if mac.caps[way] <= 0.0:
                continue
            padded = self.mac.room(way, n) if self._prb_held(way) else 0
            if again[way]:
                prb[way] = costly[way] = padded or self._last_prb[way]
            elif self.full_buffer[way]:
                prb[way] = costly[way] = mac.caps[way]
            else:
                plans[way] = mac.plan(way, n, due, start)
                prb[way] = float(sum(grant.prb for grant in plans[way]))
                costly[way] = mac.work_prb(way, plans[way])
                padding = max(padded - prb[way], 0.0)
                prb[way], costly[way] = prb[way] + padding, costly[way] + padding
        work = self._work_ms(due, prb, costly) * (du.late_cost if late else 1.0)
        pauses = yield from self.cpu.run(work, self.parallelism, resume_ms=du.resume_ms)
        work += du.resume_ms * len(pauses)
        if real_time and sum(pauses) > 1.0:  # the UEs' feedback for what was in flight found nobody listening
            for way in (DOWN, UP):
                if mac.caps[way] > 0.0 and self._last_prb[way] > 0.0:
                    self._pending[way] += sum(self._served) if du.inflight_slots > 0 else 0
            self._served.clear()
        late = late or (real_time and env.now - due > du.deadline_ms)
        if late or self._on_fronthaul(n):
            self._served.append(False)
            self._record(n, "late", start, work, pauses)
            return
        if self.frail and start < self.down_from <= env.now:
            self._record(n, "down", start, work, pauses)
            return
        self._served.append(True)
        bits = [0.0, 0.0]
        for way in (DOWN, UP):
            if again[way] and prb[way] > 0.0:
                self._pending[way] -= 1
            elif self.full_buffer[way]:
                bits[way] = prb[way] * (cell.bits_per_prb_dl, cell.bits_per_prb_ul)[way]
            if not again[way] and prb[way] > 0.0:
                self._last_prb[way] = prb[way]
            mac.carry(way, n, due, plans[way])
        mac.end_slot()
        self._record(n, "ok", start, work, pauses, (prb[0], prb[1]), again, (bits[0], bits[1]))

    def _prb_held(self, way: int) -> bool:
        return ("prb_dl", "prb_ul")[way] in self.mac.held

    def _work_ms(self, due: float, prb: Sequence[float], costly: Sequence[float]) -> float:
        du = self.cell.du
        if self.held_work_ms is not None:
            return self.held_work_ms * self.contention
        wide = self.cell.base_prb_share * (self.mac.n_prb / self.cell.n_prb - 1.0)
        work = du.base_ms * (1.0 + wide)
        for way, fixed_ms, full_ms in ((DOWN, du.dl_fixed_ms, du.dl_full_ms), (UP, du.ul_fixed_ms, du.ul_full_ms)):
            if prb[way] > 0.0:
                work += fixed_ms + full_ms * costly[way] / self.cell.n_prb
        noise = float(self.slot_noise[int(due)] * self.slow[int(due) // SLOW_BLOCK_MS])
        return work * noise * self.factor * self.contention

    def _on_fronthaul(self, n: int) -> bool:
        """Return whether slot n, in time so far, is lost on the fronthaul; in lock-step none is."""
        noise = self.fronthaul_noise
        if noise is None or self.cell.lock_step is not None:
            return False
        if self._fronthaul.lost(n, noise):
            return True
        delay_ms = max(self.fronthaul_ms + self._fronthaul.jitter_ms(n, noise), 0.0)
        return 0.0 < noise.window_ms < delay_ms

    def _gone(self, packet: Packet, due: float) -> None:
        if packet.way == DOWN:
            packet.user.live[DOWN].remove(packet)
            self.env.process(self._air(packet, due))
        else:
            self.uplink(packet)

    def _air(self, packet: Packet, due: float) -> Process:
        """Take a downlink packet through the DU's pipeline, the fronthaul and a slot on the air."""
        ready = due + self.cell.dl_pipeline_ms
        if self.cell.lock_step is not None:  # the next message cannot carry what is not done yet
            ready = max(ready, self.env.now)
        at = ready + self.fronthaul_ms + 1.0
        yield self.env.timeout(max(at - self.env.now, 0.0))
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
