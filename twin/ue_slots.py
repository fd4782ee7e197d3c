"""UEs that come, go and move: the part of the data plane that keeps a slot of its arrays for each.

A cell has `CellParameters.ue_slots` slots (`n_ue` where that is 0); a slot is free or has one UE attached, slots 0 to
`n_ue` - 1 from the start. Everything here happens at `now_ms`, between two slots, and before the next one: a slot that
the DU has begun is over (it keeps what it carried, even if it ends later than now).
"""

from __future__ import annotations

__all__ = ["UeSlots"]


class UeSlots:
    """What `DataPlane` can do with single UEs."""

    def attached(self, cell: int) -> tuple[int, ...]:
        """Return the slots of a cell that have a UE, rising."""
        raise NotImplementedError

    def attach(self, cell: int, slot: int) -> None:
        """Attach a new UE, without load: `set_ue_load` gives it one. It has no packets and a jitter of 0.

        Raises:
            InputError: there is no such slot, or it is taken.
        """
        raise NotImplementedError

    def detach(self, cell: int, slot: int) -> None:
        """Take a UE away: its senders stop, and whatever was sent and not delivered is lost.

        That is what is between core and CU, CU and DU, in its queues, and between DU and CU; all of it is counted in
        `dropped_packets_*` of the cell.

        Raises:
            InputError: there is no UE in that slot.
        """
        raise NotImplementedError

    def set_ue_load(self, cell: int, slot: int, *, dl_mbps: float, ul_mbps: float) -> None:
        """Set what is offered by one UE's senders in Mbit/s: a packet at a constant interval, or none at all.

        A sender that is at work has used up a share of its interval, and keeps that share; one that stood still begins
        at the phase that its slot has from the start, or where it stopped. What it has sent before stays sent.
        `set_load(cell, ...)` shares its load among the UEs attached now, in the same way.

        Raises:
            InputError: there is no UE in that slot, or the load is out of bounds.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    def ue_delivered_bits(self, cell: int) -> dict[int, tuple[int, int]]:
        """Return the bits, (down, up), that the DU delivered of each attached UE's packets since it was asked last.

        Whole packets, when the last bit of one leaves its queue; what a UE got before it moved here is not among them.
        """
        raise NotImplementedError
