"""State of the data plane and the door to its compiled kernel: quotas and loads in, counters out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from twin import kernel_layout as kn
from twin.kernel import advance_alone
from twin.kernel_together import advance_together
from twin.parameters import CFS_PERIOD_MS, CellParameters, GrantPolicy
from twin.plane_compute import PlaneCompute
from twin.plane_radio import PlaneRadio
from twin.slow_noise import SLOW_BLOCK_MS, SlowNoise
from twin.ue_slots import UeSlots

__all__ = ["Counters", "DataPlane", "PacketLog"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counters:
    """What happened since the counters were last taken; every column has shape (g,), g cells."""

    columns: Mapping[str, FloatArray]

    def __getitem__(self, name: str) -> FloatArray:
        return self.columns[name]


@dataclass(frozen=True, slots=True)
class PacketLog:
    """Times in ms at which packets were sent and delivered, one array (packets, 2) a direction."""

    downlink: FloatArray
    uplink: FloatArray


class DataPlane(PlaneRadio, UeSlots, PlaneCompute):
    """All cells' slots and packets from time 0 on; `advance` moves them, everything else is set between two calls.

    `streams` names one generator per source of chance: `slot` (demand from slot to slot), `slow_du`, `slow_cu` (slow
    noise of the host), `phase` (phases of senders and CFS periods). `du_factor` and `cu_factor`, shape (g,), multiply
    the compute demand: the random effect of this process run. `log_packets` keeps that many packets per cell and
    direction. `cu_of`, shape (g,), says which CU serves each cell (any numbers; None: each has its own). What a CU is
    (cost, factor, phase of its period) and the noise of its backhaul are those of its first cell. Links with noise
    draw one key a cell from a stream `links`.
    """

    def __init__(
        self,
        cells: Sequence[CellParameters],
        streams: Mapping[str, np.random.Generator],
        *,
        du_factor: FloatArray | None = None,
        cu_factor: FloatArray | None = None,
        log_packets: int = 0,
        cu_of: Sequence[int] | None = None,
    ) -> None:
        if not cells:
            raise InputError("needs at least one cell", key="cells")
        if cu_of is not None and len(cu_of) != len(cells):
            raise InputError(f"needs a CU for each of {len(cells)} cells", key="cu_of", value=list(cu_of))
        self.cells = tuple(cells)
        self.now_ms = 0
        g = len(cells)
        n_ue = max(max(c.n_ue, c.ue_slots) for c in cells)
        places = 1 << (max(c.buffer_packets for c in cells) + 8).bit_length()  # rings are addressed by a mask
        self._streams = dict(streams)
        self._par = np.zeros((g, kn.N_PAR))
        self._st = np.zeros((g, kn.N_ST))
        self._counters = np.zeros((g, kn.N_COUNTERS))
        self._ue = np.zeros((g, 2, n_ue, kn.N_UE))
        self._cnt = np.zeros((g, 2, n_ue, kn.N_CNT), dtype=np.int64)
        self._sent = np.zeros((g, 2, n_ue, places))
        self._ready = np.zeros((g, n_ue, places))
        # The uplink between DU and CU holds at most what the CU's buffer and a full cell allow.
        self._pend = np.zeros((g, 16384, 3))
        self._f1 = np.zeros_like(self._pend)  # the same for the downlink
        self._hist = np.zeros((g, 2, kn.DELAY_BINS), dtype=np.int64)
        self._log = np.zeros((g, 2, max(log_packets, 0), 2))
        self._n_log = np.zeros((g, 2), dtype=np.int64)
        for c, cell in enumerate(self.cells):
            self._fill(c, cell)
        self._set_up_compute(range(g) if cu_of is None else cu_of, du_factor, cu_factor)
        self._give = np.zeros((g, 2, n_ue), dtype=np.int64)
        phase = self._streams["phase"]
        self._st[:, kn.S_DU_END] = phase.uniform(0.0, CFS_PERIOD_MS, g)
        self._st[:, kn.S_CU_END] = phase.uniform(0.0, CFS_PERIOD_MS, g)
        self._set_up_ues(phase.uniform(0.0, 1.0, (g, 2, n_ue)))
        self._set_up_radio(n_ue)
        tau_ms = np.array([cell.du.slow_tau_ms for cell in cells])
        self._slow_du, self._slow_cu = (
            SlowNoise(self._streams[name], sd=np.array(sd), tau_ms=tau_ms)
            for name, sd in (
                ("slow_du", [cell.du.slow_sd for cell in cells]),
                ("slow_cu", [cell.cu.slow_sd for cell in cells]),
            )
        )

    def _fill(self, c: int, cell: CellParameters) -> None:
        p, du, cu, links = self._par[c], cell.du, cell.cu, cell.links
        wire_kbit = cell.packet_bits * links.overhead / 1000.0
        pucch = cell.pucch_prb * (1.0 if cell.cap_prb_dl > 0 else 0.35)
        for column, value in {
            kn.P_NUE: max(cell.n_ue, cell.ue_slots), kn.P_NPRB: cell.n_prb,
            kn.P_BPP_DL: cell.bits_per_prb_dl, kn.P_BPP_UL: cell.bits_per_prb_ul,
            kn.P_CAP_DL: cell.cap_prb_dl, kn.P_CAP_UL: min(cell.cap_prb_ul, cell.n_prb - pucch), kn.P_BITS:
            cell.packet_bits,
            kn.P_BATCH: cell.grant_policy is GrantPolicy.BATCH, kn.P_BATCH_MS: cell.batch_ms,
            kn.P_FULL_DL: cell.full_buffer_dl, kn.P_FULL_UL: cell.full_buffer_ul, kn.P_UL_GRANT: cell.ul_grant_ms,
            kn.P_DL_PIPE: cell.dl_pipeline_ms, kn.P_BUF: cell.buffer_packets, kn.P_BASE: du.base_ms, kn.P_DLF:
            du.dl_fixed_ms,
            kn.P_DLS: du.dl_full_ms, kn.P_ULF: du.ul_fixed_ms, kn.P_ULS: du.ul_full_ms, kn.P_DU_PAR: du.parallelism,
            kn.P_SKIP: du.skip_after_ms, kn.P_DEADLINE: du.deadline_ms, kn.P_LATE: du.late_cost,
            kn.P_INFLIGHT: du.inflight_slots, kn.P_RESUME: du.resume_ms, kn.P_RESYNC: min(du.resync_ms,
            du.skip_after_ms),
            kn.P_SECOND: du.second_cpu_ms,
            kn.P_CU_BASE: cu.base_share, kn.P_CU_PKT: cu.packet_ms, kn.P_CU_PAR: cu.parallelism, kn.P_CU_BUF:
            cu.buffer_ms,
            kn.P_FH: links.fronthaul_ms, kn.P_MH: links.midhaul_ms, kn.P_BH: links.backhaul_ms,
            kn.P_MH_SER: wire_kbit / links.midhaul_mbps, kn.P_BH_SER: wire_kbit / links.backhaul_mbps,
            kn.P_PERIOD: CFS_PERIOD_MS, kn.P_DU_QUOTA: 16.0 * CFS_PERIOD_MS, kn.P_CU_QUOTA: 16.0 * CFS_PERIOD_MS,
            kn.P_IV_DL: np.inf, kn.P_IV_UL: np.inf,
        }.items():  # fmt: skip
            p[column] = value

    def set_load(self, cell: int, *, dl_mbps: float, ul_mbps: float) -> None:
        """Set what is offered at the senders of a cell in Mbit/s, shared equally by the UEs attached."""
        there = self.attached(cell)
        for way, mbps in ((0, dl_mbps), (1, ul_mbps)):
            self._set_senders(cell, way, there, mbps, len(there))

    def advance(self, n_slots: int) -> None:
        """Move all cells on by `n_slots` slots of 1 ms."""
        if n_slots < 0:
            raise InputError("must be zero or above", key="n_slots", value=n_slots)
        while n_slots > 0:
            step = min(n_slots, 15000)
            back = min(self._back, self.now_ms)
            first, last = (self.now_ms - back) // SLOW_BLOCK_MS, (self.now_ms + step - 1) // SLOW_BLOCK_MS
            slow_du = self._slow_du.blocks(first, last)
            # What reached the CU just before, or will while the DU stalls, is worked off in these slots too.
            slow_cu = self._slow_cu.blocks(self.now_ms // SLOW_BLOCK_MS - 1, last + 1)
            cv = np.array([[c.du.slot_cv] for c in self.cells])
            sd = np.sqrt(np.log1p(cv * cv))
            # Slot by slot, so that the numbers do not depend on where calls are cut.
            noise = np.ascontiguousarray(self._streams["slot"].standard_normal((step, len(self.cells))).T)
            noise *= sd
            noise -= 0.5 * sd * sd
            np.exp(noise, out=noise)
            if self._back:
                noise = np.concatenate([self._late_noise[:, self._late_noise.shape[1] - back :], noise], axis=1)
                self._late_noise = noise[:, -self._back :].copy()
            radio = self._radio(first, last)
            for advance, rows in ((advance_alone, self._alone), (advance_together, self._heads)):
                if rows.size:
                    advance(
                        self.now_ms, step, rows, self._follow, self._par, self._st, self._counters, self._ue, self._cnt,
                        self._sent, self._ready, self._pend, self._f1, self._hist, self._give, self._line, noise,
                        slow_du, slow_cu, back, self._log, self._n_log, radio,
                    )  # fmt: skip
            if radio is not None and self._with_air.any():
                self._note_radio(radio[4], first, step)
            self.now_ms += step
            n_slots -= step

    def take_counters(self) -> Counters:
        """Return the counters since they were last taken and set them to zero.

        Besides the kernel's sums: `tb_nok_*` (HARQ transmissions counted NOK), `backlog_bits_*` and `jitter_ms_*`
        (mean over UEs) as they are now, `delay_p99_ms_*`, `cu_budget_ms` (CPU-ms that the quota left for packets).
        """
        columns = {name: self._counters[:, i].copy() for i, name in enumerate(kn.COUNTERS)}
        nok_share = np.array([c.du.nok_share for c in self.cells])
        quota = self._par[:, kn.P_CU_QUOTA] / CFS_PERIOD_MS
        parallelism = self._par[:, kn.P_CU_PAR]
        span = columns["slots"]
        columns["cu_budget_ms"] = np.maximum(np.minimum(quota, parallelism) * span - columns["cu_base_ms"], 0.0)
        columns["cu_budget_ms"][self._home != np.arange(len(self.cells))] = 0.0
        for way, name in enumerate(("dl", "ul")):
            columns[f"tb_nok_{name}"] = columns[f"tb_retx_{name}"] * nok_share
            bits = self._par[:, kn.P_BITS]
            counts = self._cnt[:, way]
            queued = counts[:, :, kn.C_IN].sum(axis=1) * bits - counts[:, :, kn.C_SENT].sum(axis=1)
            columns[f"backlog_bits_{name}"] = queued
            columns[f"delay_p99_ms_{name}"] = _quantile(self._hist[:, way], 0.99)
            jitter = [self._ue[c, way, here, kn.U_JITTER] for c, here in enumerate(self._attached)]
            columns[f"jitter_ms_{name}"] = np.array([ues.mean() if ues.size else 0.0 for ues in jitter])
        columns |= self._take_radio_counters()
        self._counters[:] = 0.0
        self._hist[:] = 0
        return Counters(columns)

    def peek(self, counter: str) -> FloatArray:
        """Return one of the kernel's counters since they were last taken, shape (g,), without taking it."""
        return self._counters[:, kn.COUNTERS.index(counter)].copy()

    def backlog_bits(self, cell: int, *, dl: bool) -> float:
        """Return what the queues of a cell's UEs hold now in one direction, without taking anything."""
        counts = self._cnt[cell, 0 if dl else 1]
        return float(counts[:, kn.C_IN].sum() * self._par[cell, kn.P_BITS] - counts[:, kn.C_SENT].sum())

    def packet_log(self, cell: int) -> PacketLog:
        """Return the packets of a cell logged so far, in order of delivery."""
        down, up = (self._log[cell, way, : self._n_log[cell, way]].copy() for way in (0, 1))
        return PacketLog(down, up)


def _quantile(hist: NDArray[np.int64], q: float) -> FloatArray:
    """Return the quantile of each row of a delay histogram in ms, NaN where it is empty."""
    fine = np.arange(kn.DELAY_FINE_BINS + 1) * kn.DELAY_FINE_MS
    edges = np.concatenate([fine, fine[-1] + np.arange(1, kn.DELAY_BINS - kn.DELAY_FINE_BINS + 1)])
    out = np.full(hist.shape[0], np.nan)
    for row in range(hist.shape[0]):
        total = hist[row].sum()
        if total == 0:
            continue
        cumulative = np.cumsum(hist[row])
        bin_ = int(np.searchsorted(cumulative, q * total))
        below = cumulative[bin_ - 1] if bin_ else 0
        share = (q * total - below) / hist[row, bin_]
        out[row] = edges[bin_] + share * (edges[bin_ + 1] - edges[bin_])
    return out
