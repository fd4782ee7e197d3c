"""UEs that come, go and move: the part of the data plane that keeps a slot of its arrays for each.

A cell has `CellParameters.ue_slots` slots (`n_ue` where that is 0); a slot is free or has one UE attached, slots 0 to
`n_ue` - 1 from the start. The scheduler's turn goes over all slots, free ones too. Everything here happens at `now_ms`,
between two slots. A slot that the DU has begun is over: it keeps what it carried, even if it ends later. Only in cells
that are moved event by event (lock-step, several cells to a CU; see `twin.kernel`) can one be under way: it then
carries nothing of a UE that leaves.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from twin import kernel_layout as kn
from twin import kernel_radio_layout as kr
from twin.channel_state import Channel
from twin.parameters import CellParameters

__all__ = ["UeSlots"]

FloatArray = NDArray[np.float64]
_DROPS = (kn.K_DROP_DL, kn.K_DROP_UL)
_AHEAD = (kn.S_AHEAD_DL, kn.S_AHEAD_UL)


class UeSlots:
    """What `DataPlane` can do with single UEs."""

    cells: tuple[CellParameters, ...]
    now_ms: int
    _par: FloatArray
    _st: FloatArray
    _counters: FloatArray
    _ue: FloatArray
    _cnt: NDArray[np.int64]
    _give: NDArray[np.int64]
    _sent: FloatArray
    _ready: FloatArray
    _pend: FloatArray
    _f1: FloatArray
    _mac: FloatArray
    _air: FloatArray
    _harq: FloatArray
    _channel: Channel | None

    def _set_up_ues(self, phase: FloatArray) -> None:
        """Take the phases of senders as shares of their interval, shape (g, 2, slots)."""
        self._phase = phase
        self._ue[:, :, :, [kn.U_NEXT, kn.U_INTERVAL, kn.U_UNTIL]] = np.inf
        self._ue[:, :, :, kn.U_TRANSIT] = -1.0
        self._attached = np.zeros((len(self.cells), phase.shape[2]), dtype=bool)
        for c, cell in enumerate(self.cells):
            self._attached[c, : cell.n_ue] = True
        self._done_before = np.zeros((len(self.cells), 2, phase.shape[2]), dtype=np.int64)

    def _slots(self, cell: int) -> int:
        return max(self.cells[cell].n_ue, self.cells[cell].ue_slots)

    def _check_attached(self, cell: int, slot: int) -> None:
        if not (0 <= slot < self._slots(cell) and self._attached[cell, slot]):
            raise InputError(f"has no UE attached in cell {cell}", key="slot", value=slot)

    def _check_free(self, cell: int, slot: int) -> None:
        if not 0 <= slot < self._slots(cell):
            raise InputError(f"must lie in 0 to {self._slots(cell) - 1} in cell {cell}", key="slot", value=slot)
        if self._attached[cell, slot]:
            raise InputError(f"has a UE attached in cell {cell}", key="slot", value=slot)

    def attached(self, cell: int) -> tuple[int, ...]:
        """Return the slots of a cell that have a UE, rising."""
        return tuple(int(slot) for slot in np.flatnonzero(self._attached[cell]))

    def attach(self, cell: int, slot: int) -> None:
        """Attach a new UE, without load: `set_ue_load` gives it one. It has no packets and a jitter of 0.

        Raises:
            InputError: there is no such slot, or it is taken.
        """
        self._check_free(cell, slot)
        self._attached[cell, slot] = True
        if self._channel is not None:
            self._channel.place(cell, slot)

    def detach(self, cell: int, slot: int) -> None:
        """Take a UE away: its senders stop, and whatever was sent and not delivered is lost.

        That is what is between core and CU, CU and DU, in its queues, and between DU and CU; all of it is counted in
        `dropped_packets_*` of the cell.

        Raises:
            InputError: there is no UE in that slot.
        """
        self._check_attached(cell, slot)
        for way in (0, 1):
            lost = len(self._queued(cell, way, slot)) + len(self._take_flying(cell, way, slot))
            ahead = self._ahead(cell, way, slot)
            self._st[cell, _AHEAD[way]] -= ahead
            self._counters[cell, _DROPS[way]] += lost - ahead
        self._empty(cell, slot)

    def set_ue_load(self, cell: int, slot: int, *, dl_mbps: float, ul_mbps: float) -> None:
        """Set what is offered by one UE's senders in Mbit/s: a packet at a constant interval, or none at all.

        A sender that is at work has used up a share of its interval, and keeps that share: its next packet comes when
        the rest of the new interval is over; one that stood still begins at the phase that its slot has from the start,
        or where it stopped. What it has sent before stays sent, at the times at which it was.
        `set_load(cell, ...)` shares its load among the UEs attached now, in the same way.

        Raises:
            InputError: there is no UE in that slot, or the load is out of bounds.
        """
        self._check_attached(cell, slot)
        for way, mbps in ((0, dl_mbps), (1, ul_mbps)):
            self._set_senders(cell, way, (slot,), mbps, 1)

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
        """Hand a UE over from one cell to a free slot of another one.

        * Interruption: no grant in either direction in slots that start before `resume_ms` (on the plane's clock).
        * Its senders go on without a pause: what the UE sends waits in its own queue, what the core sends goes to the
          new cell. So does what left the core and is not taken by the old CU yet.
        * Uplink: the UE's queue goes with it, in order, times of sending kept.
        * Downlink: what the old CU has sent towards the DU or the DU has queued is forwarded to the new DU, where it is
          queued at once and before everything newer; with `forward` false it is lost (`dropped_packets_dl` of the old
          cell).
        * In flight: a packet of which the air carried some bits and which is not delivered is sent again from its first
          bit in the new cell; with `lose_in_flight` it is lost instead (dropped in the old cell), in both directions:
          all packets up to the last bit sent.
        * Uplink packets between the old DU and its CU are taken by the new cell's CU, at the same times.
        * What the new slot's queues have no room for is dropped in the new cell.
        * Interarrival jitter goes on with the UE (RFC 3550 sees one stream). Outer loops, HARQ and the scheduler's
          average begin anew; the channel is the one to the new site (`twin.channel`), or `set_snr`'s of the new slot.
        * Counters: load is counted in the cell where it was sent, delivery in the cell where it ends.

        Raises:
            InputError: no UE in the old slot, no free new slot, one cell twice, or `resume_ms` in the past.
        """
        self._check_attached(from_cell, slot)
        self._check_free(to_cell, to_slot)
        if from_cell == to_cell:
            raise InputError("must be another cell", key="to_cell", value=to_cell)
        if not self.now_ms <= resume_ms < math.inf:
            raise InputError(f"must not lie before now ({self.now_ms} ms)", key="resume_ms", value=resume_ms)
        self._schedule_ue_by_ue(to_cell)
        for way in (0, 1):
            ahead = self._ahead(from_cell, way, slot)
            self._st[from_cell, _AHEAD[way]] -= ahead
            self._st[to_cell, _AHEAD[way]] += ahead
            sent = self._queued(from_cell, way, slot)
            in_flight = 0
            if lose_in_flight:
                begun = -(-int(self._cnt[from_cell, way, slot, kn.C_SENT]) // self.cells[from_cell].packet_bits)
                in_flight = begun - int(self._cnt[from_cell, way, slot, kn.C_DONE])
            flying = self._take_flying(from_cell, way, slot)
            if way == 1:
                self._join_midhaul(to_cell, to_slot, flying)
                forwarded = sent[in_flight:]
            elif forward:
                forwarded = np.concatenate([sent[in_flight:], flying[:, 1]])
            else:
                in_flight, forwarded = len(sent) + len(flying), sent[:0]
            self._counters[from_cell, _DROPS[way]] += in_flight
            room = self.cells[to_cell].buffer_packets
            self._counters[to_cell, _DROPS[way]] += max(len(forwarded) - room, 0)
            self._fill_queue(to_cell, way, to_slot, forwarded[:room])
            self._ue[to_cell, way, to_slot] = self._ue[from_cell, way, slot]
        self._empty(from_cell, slot)
        self._attached[to_cell, to_slot] = True
        self._air[to_cell, 0, to_slot, kr.A_BAR] = resume_ms
        if self._channel is not None:
            self._channel.move(from_cell, slot, to_cell, to_slot)

    def ue_delivered_bits(self, cell: int) -> dict[int, tuple[int, int]]:
        """Return the bits, (down, up), that the DU delivered of each attached UE's packets since it was asked last.

        Whole packets, when the last bit of one leaves its queue; what a UE got before it moved here is not among them.
        """
        done = self._cnt[cell, :, :, kn.C_DONE]
        bits = (done - self._done_before[cell]) * self.cells[cell].packet_bits
        self._done_before[cell] = done
        return {slot: (int(bits[0, slot]), int(bits[1, slot])) for slot in self.attached(cell)}

    def _schedule_ue_by_ue(self, cell: int) -> None:
        """Let the MAC of a cell look at each UE (`twin.plane_radio`)."""
        raise NotImplementedError

    def _set_senders(self, cell: int, way: int, slots: tuple[int, ...], mbps: float, share: int) -> None:
        """Set the rate of each of some senders to a share of `mbps`; at 0 what was sent before still comes."""
        if not 0.0 <= mbps <= 1e5:
            raise InputError("must lie in 0 to 100000 Mbit/s", key="load", value=mbps)
        new = self.cells[cell].packet_bits * share / (mbps * 1000.0) if mbps > 0.0 else np.inf
        for u in slots:
            self._change_sender(self._ue[cell, way, u], new, cell, way, u)

    def _change_sender(self, row: FloatArray, new: float, cell: int, way: int, u: int) -> None:
        """Give a sender another interval from now on; what it has sent and nobody has taken yet keeps its times."""
        now = float(self.now_ms)
        waits = row[kn.U_NEXT] <= now  # something sent is not taken: then the change is for what comes after that
        pending = waits and row[kn.U_UNTIL] < np.inf
        first, old = (float(v) for v in row[[kn.U_THEN, kn.U_AFTER] if pending else [kn.U_NEXT, kn.U_INTERVAL]])
        passed = waits and first <= now
        if passed:
            first += old * (math.floor((now - first) / old) + 1.0)
        if np.isfinite(
            first
        ):  # what is left of the interval, in shares of it; more than one if packets were taken ahead
            share = (first - now) / old
            if not np.isfinite(new):
                self._phase[cell, way, u] = share
        else:
            share = self._phase[cell, way, u]
        then = now + share * new if np.isfinite(new) else np.inf
        if not waits:
            row[[kn.U_NEXT, kn.U_INTERVAL, kn.U_UNTIL]] = then, new, np.inf
            return
        row[[kn.U_THEN, kn.U_AFTER]] = then, new
        if passed:  # or the change before this one is to come yet, and what is on its way is still older
            row[kn.U_UNTIL] = now

    def _ahead(self, cell: int, way: int, slot: int) -> float:
        """Return how many packets of a sender were taken that are sent later than now, less those that still wait."""
        row, now = self._ue[cell, way, slot], float(self.now_ms)
        due, until, then = float(row[kn.U_NEXT]), float(row[kn.U_UNTIL]), float(row[kn.U_THEN])
        if not np.isfinite(due):
            return 0.0
        ahead = math.ceil((due - min(now, until)) / row[kn.U_INTERVAL]) - 1
        if until < np.inf and then <= now:
            ahead -= math.floor((now - then) / row[kn.U_AFTER]) + 1
        return float(ahead)

    def _queued(self, cell: int, way: int, slot: int) -> FloatArray:
        """Return when the packets in a queue were sent, in order."""
        ring = self._sent.shape[3] - 1
        done, into = self._cnt[cell, way, slot, [kn.C_DONE, kn.C_IN]]
        queued: FloatArray = self._sent[cell, way, slot, np.arange(done, into) & ring]
        return queued

    def _fill_queue(self, cell: int, way: int, slot: int, sent: FloatArray) -> None:
        """Put packets into an empty queue."""
        count = len(sent)
        self._sent[cell, way, slot, :count] = sent
        self._cnt[cell, way, slot] = 0
        self._cnt[cell, way, slot, kn.C_IN] = count
        self._done_before[cell, way, slot] = 0
        if way == 0:
            self._ready[cell, slot, :count] = self.now_ms
            self._cnt[cell, way, slot, kn.C_READY] = count

    def _take_flying(self, cell: int, way: int, slot: int) -> FloatArray:
        """Take a UE's packets out of the midhaul and return them, rows (time at its end, time sent, UE)."""
        ring = (self._f1, self._pend)[way][cell]
        columns = ((kn.S_F1_HEAD, kn.S_F1_TAIL), (kn.S_PEND_HEAD, kn.S_PEND_TAIL))[way]
        rows = self._flying(cell, way)
        mine = rows[:, 2] == slot
        if mine.any():
            self._refill(cell, ring, columns, rows[~mine])
        taken: FloatArray = rows[mine]
        return taken

    def _flying(self, cell: int, way: int) -> FloatArray:
        ring = (self._f1, self._pend)[way][cell]
        head, tail = (
            int(self._st[cell, column])
            for column in ((kn.S_F1_HEAD, kn.S_F1_TAIL), (kn.S_PEND_HEAD, kn.S_PEND_TAIL))[way]
        )
        rows: FloatArray = ring[np.arange(head, tail) & (len(ring) - 1)]
        return rows

    def _refill(self, cell: int, ring: FloatArray, columns: tuple[int, int], rows: FloatArray) -> None:
        head = int(self._st[cell, columns[0]])
        ring[np.arange(head, head + len(rows)) & (len(ring) - 1)] = rows
        self._st[cell, columns[1]] = head + len(rows)

    def _join_midhaul(self, cell: int, slot: int, flying: FloatArray) -> None:
        """Let a UE's uplink packets reach another CU when they would have reached their own."""
        if not len(flying):
            return
        flying[:, 2] = slot
        rows = np.concatenate([self._flying(cell, 1), flying])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        self._refill(cell, self._pend[cell], (kn.S_PEND_HEAD, kn.S_PEND_TAIL), rows)

    def _empty(self, cell: int, slot: int) -> None:
        """Leave a slot as if no UE had ever been there."""
        self._attached[cell, slot] = False
        self._ue[cell, :, slot] = 0.0
        self._ue[cell, :, slot, [kn.U_NEXT, kn.U_INTERVAL, kn.U_UNTIL]] = np.inf
        self._ue[cell, :, slot, kn.U_TRANSIT] = -1.0
        self._cnt[cell, :, slot] = 0
        self._done_before[cell, :, slot] = 0
        self._give[cell, :, slot] = 0
        self._forget_air(cell, slot)

    def _forget_air(self, cell: int, slot: int) -> None:
        """Begin link adaptation, HARQ and averages of a slot anew (`twin.plane_radio`)."""
        raise NotImplementedError
