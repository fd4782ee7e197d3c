"""Compute and links of the data plane: what may be set between two calls besides quotas, demand and load."""

from __future__ import annotations

from col.errors import InputError
from twin.link_noise import LinkState

__all__ = ["PlaneCompute"]


class PlaneCompute:
    """What `DataPlane` can do with DUs, CUs and links; everything holds from `now_ms` on.

    CUs are numbered 0, 1, ... in the order in which cells name them (`DataPlane.cu_of`).
    """

    def set_burst(self, cell: int, *, du_ms: float | None = None, cu_ms: float | None = None) -> None:
        """Set how much unused quota a cell's DU, or the CU that serves it, carries over, in CPU-ms.

        At each refill from now on the quota left becomes min(left + quota, quota + min(burst, quota)), for every period
        that passed; 0 (from the start) is CFS without burst: what is left of a period's quota is lost.

        Raises:
            InputError: not in 0 to 100000 CPU-ms.
        """
        raise InputError("not yet", key="set_burst")

    def set_link(self, cell: int, leg: str, state: LinkState) -> None:
        """Set delay, rate and noise of a cell's fronthaul, midhaul or backhaul, both directions; see `LinkState`.

        A backhaul is that of the CU: cells of one CU share it, whichever of them is named. What is on its way keeps
        its time of arrival, what waits for the line keeps its place; a packet that comes later never overtakes. Where
        the last slot started after `now_ms` (a late slot in real time), the downlink of the backhaul that reaches the
        CU by then has passed already.

        Raises:
            InputError: no such leg, or noise in a data plane that was built without a stream `links`.
        """
        raise InputError("not yet", key="set_link")

    def down_du(self, cell: int, until_ms: float) -> None:
        """Let a cell's DU be gone from now until `until_ms`, when a fresh process takes over with an empty state.

        * No slot is handled: real time, slots n with now <= n < `until_ms` are lost (counted as skipped and as
          `slots_down`); in lock-step the next slot starts at `until_ms`.
        * The slot in progress: in real time with a CU of the cell's own, slots numbered below now are still carried
          out, even one that starts or ends later than now. In lock-step, and wherever cells share a CU, the slot that
          is being processed is lost with what it would have carried; the CPU time that it was booked with stays so.
        * Downlink: what the DU has queued is lost, and so is what reaches it before `until_ms` (dropped).
        * Uplink: the UEs keep their queues, to which their senders add as far as there is room; a packet that was sent
          in part is sent anew from its first bit. What has left the DU goes on to the CU.
        * The MAC forgets: no retransmissions pending, the turn of UEs stays. The cgroup's quota and period go on.
        * A second call during an outage may move its end, but not to before now.

        Raises:
            InputError: `until_ms` is before now or not finite.
        """
        raise InputError("not yet", key="down_du")

    def down_cu(self, cu: int, until_ms: float) -> None:
        """Let a CU be gone from now until `until_ms`.

        Packets of either direction that reach it in [now, `until_ms`) are lost (`dropped_packets_*`, `dropped_cu_*`),
        and its steady work of that time is not done. What reached it before is still worked off, as if it had been
        passed on: at most `buffer_ms` of work. With a CU of the cell's own, what reached it by the start of the last
        slot has reached it before, even if that slot started later than now. Quota and period of its cgroup go on;
        DUs go on with what they have queued. A second call during an outage may move its end, but not to before now.

        Raises:
            InputError: no such CU, `until_ms` is before now or not finite.
        """
        raise InputError("not yet", key="down_cu")

    def contention(self, cell: int, *, du_factor: float, cu_factor: float) -> None:
        """Set by what other work on the host multiplies the demand of a cell's DU and of the CU that serves it.

        It is a multiplier beside that of `set_demand`, which it leaves alone; 1 and 1 from the start. The CU has one
        factor, whichever of its cells is named.

        Raises:
            InputError: a factor is not above 0 and at most 100.
        """
        raise InputError("not yet", key="contention")

    def hold_stall(self, cell: int, share: float | None) -> None:
        """Hold the share of time that a cell's DU stands throttled, whatever its quota; None lets it go.

        From the next period on the DU stands in the last `share` of every period of its cgroup and runs at its
        parallelism, without any limit, before. The stall and what it does to slots are those of throttling: each adds
        `resume_ms` of work; it is counted from where it stops the DU to the period's end.

        Raises:
            InputError: not in 0 to 0.95.
        """
        raise InputError("not yet", key="hold_stall")

    def hold_demand(self, cell: int, ms_per_slot: float | None) -> None:
        """Hold the demand of every slot of a cell's DU in CPU-ms, whatever is granted in it; None lets it go.

        Grants, noise and `set_demand` no longer matter for it; `late_cost`, `resume_ms` and `contention` still do.

        Raises:
            InputError: not in 0.001 to 1000.
        """
        raise InputError("not yet", key="hold_demand")
