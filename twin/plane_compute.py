"""Compute and links of the data plane: what may be set between two calls besides quotas, demand and load."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from twin import kernel_layout as kn
from twin.kernel_links import SHAPES
from twin.link_noise import LEGS, LinkNoise, LinkState
from twin.parameters import CFS_PERIOD_MS, CellParameters

__all__ = ["PlaneCompute"]

FloatArray = NDArray[np.float64]

_LINES = {
    "fronthaul": (kn.LINE_FH,),
    "midhaul": (kn.LINE_MH_DL, kn.LINE_MH_UL),
    "backhaul": (kn.LINE_BH_DL, kn.LINE_BH_UL),
}
_FREE = {
    kn.LINE_MH_DL: kn.S_MH_DL,
    kn.LINE_MH_UL: kn.S_MH_UL,
    kn.LINE_BH_DL: kn.S_BH_DL,
    kn.LINE_BH_UL: kn.S_BH_UL,
}
_DELAY = {"fronthaul": kn.P_FH, "midhaul": kn.P_MH, "backhaul": kn.P_BH}
_SERIAL = {"midhaul": kn.P_MH_SER, "backhaul": kn.P_BH_SER}
_MOST_LATE_MS = 10_000.0


def _in_bounds(key: str, value: float, lower: float, upper: float) -> None:
    if not lower <= value <= upper:
        raise InputError(f"must lie in {lower:g} to {upper:g}", key=key, value=value)


class PlaneCompute:
    """What `DataPlane` can do with DUs, CUs and links; everything holds from `now_ms` on.

    CUs are numbered 0, 1, ... in the order in which cells name them (`cu_of` of `DataPlane`).
    """

    cells: tuple[CellParameters, ...]
    now_ms: int
    _streams: dict[str, np.random.Generator]
    _par: FloatArray
    _st: FloatArray
    _counters: FloatArray
    _cnt: NDArray[np.int64]
    _f1: FloatArray

    def _set_up_compute(self, cu_of: Sequence[int], du_factor: FloatArray | None, cu_factor: FloatArray | None) -> None:
        g = len(self.cells)
        self._home = np.arange(g)
        self._follow = np.full(g, -1)
        rows: dict[int, list[int]] = {}
        for c, cu in enumerate(cu_of):
            rows.setdefault(int(cu), []).append(c)
        self._cu_rows = tuple(tuple(cells) for cells in rows.values())
        for cells in self._cu_rows:
            self._home[list(cells)] = cells[0]
            self._follow[list(cells[:-1])] = cells[1:]
        self._demand = np.ones((g, 2))
        self._contention = np.ones((g, 2))
        self._held_work = np.zeros(g)
        self._par[:, kn.P_HOLD_CU_STALL] = -1.0
        for way, factor in enumerate((du_factor, cu_factor)):
            self._demand[:, way] = 1.0 if factor is None else factor
        self._apply_factors()
        self._du_quota = self._par[:, kn.P_DU_QUOTA].copy()
        self._stall_held = np.zeros(g, dtype=bool)
        self._line = np.zeros((g, kn.N_LINES, kn.N_LINE))
        self._line[:, :, kn.L_Z] = np.nan
        self._line[:, :, kn.L_LIMIT] = self._line[:, :, kn.L_WINDOW] = np.inf
        if "links" in self._streams:
            self._par[:, kn.P_KEY] = self._streams["links"].integers(0, 1 << 32, g)
        late = 0.0
        for c, cell in enumerate(self.cells):
            shared = len(rows[int(cu_of[c])]) > 1
            if cell.lock_step is not None:
                self._par[c, kn.P_PACE_MS] = 1.0 / cell.lock_step.pace_cap
            elif shared:
                _in_bounds("skip_after_ms", cell.du.skip_after_ms, 0.0, _MOST_LATE_MS)
                late = max(late, cell.du.skip_after_ms)
            if cell.burst is not None:
                self.set_burst(c, du_ms=cell.burst.burst_du_ms, cu_ms=cell.burst.burst_cu_ms)
            noises = (cell.fronthaul_noise, cell.midhaul_noise, cell.backhaul_noise)
            for leg, noise in zip(LEGS, noises, strict=True):
                if noise is not None and (leg != "backhaul" or self._home[c] == c):
                    self._set_noise(c, leg, noise)
        eventful = np.array([self._eventful(c) for c in range(g)])
        self._alone = np.flatnonzero(~eventful)
        self._heads = np.flatnonzero(eventful & (self._home == np.arange(g)))
        self._back = math.ceil(late) + 1 if late else 0
        self._late_noise = np.zeros((g, 0))

    def _apply_factors(self) -> None:
        factors = self._demand * self._contention
        self._par[:, kn.P_DU_FACTOR] = factors[:, 0]
        self._par[:, kn.P_CU_FACTOR] = factors[:, 1]
        self._par[:, kn.P_HOLD_WORK] = self._held_work * self._contention[:, 0]

    def set_quota(self, cell: int, *, du_cores: float | None = None, cu_cores: float | None = None) -> None:
        """Set the CFS quota of a cell's DU, or of the CU that serves it, in cores; it counts from the next refill on.

        Raises:
            InputError: not above 0 (what resuming costs in each period, for a DU) and at most 1024 cores.
        """
        for column, cores in ((kn.P_DU_QUOTA, du_cores), (kn.P_CU_QUOTA, cu_cores)):
            if cores is not None:
                # A period must do more than what resuming costs, or no work would ever end.
                least = self.cells[cell].du.resume_ms / CFS_PERIOD_MS if column == kn.P_DU_QUOTA else 0.0
                if not least < cores <= 1024.0:
                    raise InputError(f"must be above {least:g} and at most 1024 cores", key="quota", value=cores)
                if column == kn.P_CU_QUOTA:
                    self._par[self._home[cell], column] = cores * CFS_PERIOD_MS
                    continue
                self._du_quota[cell] = cores * CFS_PERIOD_MS
                if not self._stall_held[cell]:
                    self._par[cell, column] = cores * CFS_PERIOD_MS

    def set_demand(self, cell: int, *, du_factor: float, cu_factor: float) -> None:
        """Set what multiplies the compute demand of a cell's DU, and of the CU that serves it, from now on.

        Raises:
            InputError: a factor is not above 0 and at most 100.
        """
        self._set_factors(self._demand, cell, du_factor, cu_factor)

    def _set_factors(self, factors: FloatArray, cell: int, du_factor: float, cu_factor: float) -> None:
        for row, way, factor in ((cell, 0, du_factor), (int(self._home[cell]), 1, cu_factor)):
            if not 0.0 < factor <= 100.0:
                raise InputError("must be above 0 and at most 100", key="factor", value=factor)
            factors[row, way] = factor
        self._apply_factors()

    def set_parallelism(self, cell: int, *, du: float | None = None, cu: float | None = None) -> None:
        """Set at how many CPU-ms a ms a cell's DU, or the CU that serves it, runs from now on while it has work.

        That is what the host leaves it.

        Raises:
            InputError: not above 0 and at most 1024.
        """
        for row, column, pace in ((cell, kn.P_DU_PAR, du), (int(self._home[cell]), kn.P_CU_PAR, cu)):
            if pace is not None:
                if not 0.0 < pace <= 1024.0:
                    raise InputError("must be above 0 and at most 1024", key="parallelism", value=pace)
                self._par[row, column] = pace

    def set_burst(self, cell: int, *, du_ms: float | None = None, cu_ms: float | None = None) -> None:
        """Set how much unused quota a cell's DU, or the CU that serves it, carries over, in CPU-ms.

        At each refill from now on the quota left becomes min(left + quota, quota + min(burst, quota)), for every period
        that passed; 0 (from the start) is CFS without burst: what is left of a period's quota is lost.

        Raises:
            InputError: not in 0 to 100000 CPU-ms.
        """
        for row, column, burst in ((cell, kn.P_BURST_DU, du_ms), (int(self._home[cell]), kn.P_BURST_CU, cu_ms)):
            if burst is not None:
                _in_bounds("burst_ms", burst, 0.0, 1e5)
                self._par[row, column] = burst

    def set_link(self, cell: int, leg: str, link: LinkState) -> None:
        """Set delay, rate and noise of a cell's fronthaul, midhaul or backhaul, both directions; see `LinkState`.

        A backhaul is that of the CU: cells of one CU share it, whichever of them is named. What is on its way keeps
        its time of arrival, what waits for the line keeps its place; a packet that comes later never overtakes. Where
        the last slot started after `now_ms` (a late slot in real time), the downlink of the backhaul that reaches the
        CU by then has passed already.

        Raises:
            InputError: no such leg, or noise in a data plane that was built without a stream `links`.
        """
        if leg not in LEGS:
            raise InputError(f"must be one of {', '.join(LEGS)}", key="leg", value=leg)
        row = int(self._home[cell]) if leg == "backhaul" else cell
        for line in _LINES[leg]:
            state = self._line[row, line]
            if state[kn.L_ON] == 0.0 and line in _FREE:  # from now on order is kept by remembering who came last
                state[kn.L_LAST] = self._st[row, _FREE[line]] + self._par[row, _DELAY[leg]]
                state[kn.L_ON] = 1.0
        self._par[row, _DELAY[leg]] = link.delay_ms
        if leg in _SERIAL:
            for c in self._members(row) if leg == "backhaul" else (cell,):
                wire_kbit = self.cells[c].packet_bits * self.cells[c].links.overhead / 1000.0
                self._par[c, _SERIAL[leg]] = wire_kbit / link.rate_mbps
        self._set_noise(row, leg, link.noise)

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
        self._check_end(until_ms)
        c, s, counts = cell, self._st[cell], self._cnt[cell]
        s[kn.S_DOWN] = until_ms
        if s[kn.S_BUSY] != 0.0:
            s[kn.S_BUSY] = 0.0
            s[kn.S_SLOT] += 1.0
            s[kn.S_DU_FREE] = float(self.now_ms)
        elif s[kn.S_DU_FREE] > self.now_ms and self._eventful(cell):
            s[kn.S_DU_FREE] = float(self.now_ms)
        s[[kn.S_MASK, kn.S_RETX_DL, kn.S_RETX_UL, kn.S_LAST_DL, kn.S_LAST_UL, kn.S_JUMP]] = 0.0
        self._forget_blocks(cell)
        # Downlink: the DU's queues, and of what is on its way what comes too early.
        lost = int((counts[0, :, kn.C_IN] - counts[0, :, kn.C_DONE]).sum())
        counts[0, :, kn.C_READY] = counts[0, :, kn.C_DONE] = counts[0, :, kn.C_IN]
        counts[0, :, kn.C_SENT] = counts[0, :, kn.C_IN] * int(self._par[c, kn.P_BITS])
        head, tail = int(s[kn.S_F1_HEAD]), int(s[kn.S_F1_TAIL])
        places = np.arange(head, tail) & (self._f1.shape[1] - 1)
        early = int(np.searchsorted(self._f1[c, places, 0], until_ms, side="left"))
        s[kn.S_F1_HEAD] += early
        self._counters[c, kn.K_DROP_DL] += lost + early
        # Uplink: segments that were received are forgotten.
        counts[1, :, kn.C_SENT] = counts[1, :, kn.C_DONE] * int(self._par[c, kn.P_BITS])

    def _forget_blocks(self, cell: int) -> None:
        """Forget what a DU knows of its UEs' links: see `twin.plane_radio`."""
        raise NotImplementedError

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
        self._check_end(until_ms)
        if not 0 <= cu < len(self._cu_rows):
            raise InputError(f"must lie in 0 to {len(self._cu_rows) - 1}", key="cu", value=cu)
        s = self._st[self._cu_rows[cu][0]]
        if not s[kn.S_CU_FROM] <= self.now_ms < s[kn.S_CU_UNTIL]:
            s[kn.S_CU_FROM] = float(self.now_ms)
        s[kn.S_CU_UNTIL] = until_ms

    def contention(self, cell: int, *, du_factor: float, cu_factor: float) -> None:
        """Set by what other work on the host multiplies the demand of a cell's DU and of the CU that serves it.

        It is a multiplier beside that of `set_demand`, which it leaves alone; 1 and 1 from the start. The CU has one
        factor, whichever of its cells is named.

        Raises:
            InputError: a factor is not above 0 and at most 100.
        """
        self._set_factors(self._contention, cell, du_factor, cu_factor)

    def hold_stall(self, cell: int, share: float | None) -> None:
        """Hold the share of time that a cell's DU stands throttled, whatever its quota; None lets it go.

        From now on the DU stands in the last `share` of every period of its cgroup, the one under way included (so it
        may stand at once), and runs at its parallelism before. From the next refill on there is no quota, until then
        the one in force binds too; when the hold ends there is none until the next refill. The stall and what it does
        to slots are those of throttling: each adds `resume_ms` of work; it is counted from where it stops the DU to
        the period's end.

        Raises:
            InputError: not in 0 to 0.95.
        """
        if share is not None:
            _in_bounds("share", share, 0.0, 0.95)
        self._stall_held[cell] = share is not None
        self._par[cell, kn.P_HOLD_STALL] = 0.0 if share is None else share * CFS_PERIOD_MS
        self._par[cell, kn.P_DU_QUOTA] = self._du_quota[cell] if share is None else np.inf

    def hold_demand(self, cell: int, ms_per_slot: float | None) -> None:
        """Hold the demand of every slot of a cell's DU in CPU-ms, whatever is granted in it; None lets it go.

        Grants, noise and `set_demand` no longer matter for it; `late_cost`, `resume_ms` and `contention` still do.

        Raises:
            InputError: not in 0.001 to 1000.
        """
        if ms_per_slot is not None:
            _in_bounds("ms_per_slot", ms_per_slot, 0.001, 1000.0)
        self._held_work[cell] = 0.0 if ms_per_slot is None else ms_per_slot
        self._apply_factors()

    def hold_cu_stall(self, cu: int, share: float | None) -> None:
        """Hold the share of time that a CU stands throttled, whatever its quota; None lets it go. See `hold_stall`.

        Raises:
            InputError: no such CU, or not in 0 to 0.95.
        """
        if share is not None:
            _in_bounds("share", share, 0.0, 0.95)
        self._par[self._cu_rows[cu][0], kn.P_HOLD_CU_STALL] = -1.0 if share is None else share * CFS_PERIOD_MS

    def hold_cu_demand(self, cu: int, cores: float | None) -> None:
        """Hold a CU's demand, in CPU-ms each ms, whatever packets there are; None lets it go.

        It is all steady work then, and packets take none. What they would have asked for still counts in the counters
        that say what the CU could carry (`cu_packet_ms`, `cu_base_ms`). Noise, `set_demand` and `contention` no longer
        matter.

        Raises:
            InputError: no such CU, or not in 0.001 to 1000.
        """
        if cores is not None:
            _in_bounds("cores", cores, 0.001, 1000.0)
        self._par[self._cu_rows[cu][0], kn.P_HOLD_CU_WORK] = 0.0 if cores is None else cores

    def _members(self, row: int) -> tuple[int, ...]:
        return next(cells for cells in self._cu_rows if row in cells)

    def _eventful(self, cell: int) -> bool:
        """Say whether a cell is moved event by event."""
        return self._par[cell, kn.P_PACE_MS] > 0.0 or len(self._members(cell)) > 1

    def _check_end(self, until_ms: float) -> None:
        if not (math.isfinite(until_ms) and until_ms >= self.now_ms):
            raise InputError(f"must be finite and not before now ({self.now_ms} ms)", key="until_ms", value=until_ms)

    def _set_noise(self, row: int, leg: str, noise: LinkNoise | None) -> None:
        if noise is not None and "links" not in self._streams:
            raise InputError("links with noise need a stream of chance", key="links", value=leg)
        values: Mapping[int, float] = {kn.L_JITTER: 0.0, kn.L_LOSS: 0.0, kn.L_TO_BAD: 0.0, kn.L_LIMIT: np.inf}
        values = {**values, kn.L_TO_GOOD: 1.0, kn.L_LOSS_BAD: 0.0, kn.L_WINDOW: np.inf}
        if noise is not None:
            values = {
                kn.L_JITTER: noise.jitter_ms,
                kn.L_SHAPE: float(SHAPES.index(noise.distribution.value)),
                kn.L_CORRELATION: noise.correlation,
                kn.L_LOSS: noise.loss,
                kn.L_TO_BAD: noise.to_bad,
                kn.L_TO_GOOD: noise.to_good,
                kn.L_LOSS_BAD: noise.loss_bad,
                kn.L_LIMIT: float(noise.limit_packets),
                kn.L_WINDOW: noise.window_ms or np.inf,
                kn.L_ON: 1.0,
            }
        for line in _LINES[leg]:
            for column, value in values.items():
                self._line[row, line, column] = value
