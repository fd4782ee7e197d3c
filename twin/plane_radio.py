"""The radio side of the data plane: SNR of the UEs, bandwidth, and variables that are held against their causes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from twin import kernel_layout as kn
from twin import kernel_radio_layout as kr
from twin.air import MCS_ROWS
from twin.channel_state import Channel
from twin.parameters import CellParameters, Scheduler
from twin.slow_noise import SLOW_BLOCK_MS

__all__ = ["HELD_IN_RADIO", "RADIO_COUNTERS", "PlaneRadio"]

FloatArray = NDArray[np.float64]

HELD_IN_RADIO = ("snr", "sdl", "mcs_ul", "mcs_dl", "bler_ul", "bler_dl", "prb_ul", "prb_dl")
"""What `hold` takes: SNR up and down [dB], MCS index, block error rate [1], PRBs granted [% of the cell's largest]."""

RADIO_COUNTERS = ("snr_sum_dl", "snr_sum_ul", "cqi_sum", "ue_ms")
"""Counters of cells with an air interface besides the kernel's own: sums over ms and attached UEs of the SNR [dB] and
the CQI, and the number of summands. Divided by the last: `sdl`, `snr` and `cqi` of a window.
The kernel's are: `tb_ue_*` transmissions to or from a UE, `tb_ko_*` those of them that failed (their ratio: `bler_*`),
`tb_new_*` first transmissions and `mcs_sum_*` the sum of their MCS (the ratio: `mcs_*`), `harq_lost_*` blocks that HARQ
gave up on, `rlf` link failures. All are 0 in other cells."""

_HELD_COLUMN = {
    "mcs_dl": kr.M_HOLD_MCS_DL,
    "mcs_ul": kr.M_HOLD_MCS_UL,
    "bler_dl": kr.M_HOLD_BLER_DL,
    "bler_ul": kr.M_HOLD_BLER_UL,
    "prb_dl": kr.M_HOLD_PRB_DL,
    "prb_ul": kr.M_HOLD_PRB_UL,
}
_HELD_SNR = ("sdl", "snr")
_FINE = 65536.0
"""SNR is summed up in whole parts of a dB, so that the sum is exact and does not depend on where calls are cut."""
_MOST_PRBS = 275


class PlaneRadio:
    """What `DataPlane` can do with the radio of its cells."""

    cells: tuple[CellParameters, ...]
    now_ms: int
    _streams: dict[str, np.random.Generator]
    _par: FloatArray
    _st: FloatArray
    _cnt: NDArray[np.int64]
    _attached: NDArray[np.bool_]
    _done_before: NDArray[np.int64]

    def _set_up_radio(self, slots: int) -> None:
        """Fill the arrays of the air; `slots` is the most that a cell has."""
        g = len(self.cells)
        self._mac = np.zeros((g, kr.N_MAC))
        self._air = np.zeros((g, 2, slots, kr.N_AIR))
        self._harq = np.zeros((g, 2, slots, 16, kr.N_HARQ))
        self._tab = np.zeros((g, 2, kr.N_TAB, MCS_ROWS))
        self._snr = np.zeros((g, 2, slots, 1))
        self._radio_counters = np.zeros((g, kr.N_RADIO))
        self._seen = np.zeros((g, len(RADIO_COUNTERS)))
        self._channel: Channel | None = None
        self._held_snr: dict[tuple[int, int], float] = {}
        self._held_prb: dict[tuple[int, int], float] = {}
        self._with_air = np.array([cell.air is not None for cell in self.cells])
        keys = np.zeros(g)
        if self._with_air.any():
            if "air" not in self._streams:
                raise InputError("needs a stream for cells with an air interface", key="air")
            keys = self._streams["air"].integers(0, 1 << 32, g).astype(np.float64)
        for c, cell in enumerate(self.cells):
            m = self._mac[c]
            m[[*_HELD_COLUMN.values(), kr.M_BLOCK]] = -1.0
            m[kr.M_PF] = cell.scheduler is Scheduler.PF
            m[kr.M_PF_FAIRNESS], m[kr.M_PF_STEP] = cell.pf_fairness, 1.0 / cell.pf_slots
            m[kr.M_UES] = m[kr.M_PF] != 0.0 or cell.air is not None
            self._air[c, 0, :, kr.A_BPP], self._air[c, 1, :, kr.A_BPP] = cell.bits_per_prb_dl, cell.bits_per_prb_ul
            self._air[c, :, :, kr.A_WORK] = 1.0
            if cell.air is None:
                continue
            air, adaptation, harq = cell.air, cell.air.adaptation, cell.air.harq
            m[kr.M_ERRORS], m[kr.M_KEY] = 1.0, keys[c]
            m[kr.M_RTT], m[kr.M_RETX], m[kr.M_PROCESSES] = harq.rtt_slots, harq.max_retx, harq.processes
            m[kr.M_RLC], m[kr.M_RLF_KOS], m[kr.M_RLF_MS] = harq.rlc_ms, harq.rlf_kos, harq.rlf_ms
            m[kr.M_ROOT2_SLOPE] = math.sqrt(2.0) * adaptation.slope_db
            m[kr.M_FLAT_WORK] = 1.0 - adaptation.mcs_work_share
            m[kr.M_CAP_DL], m[kr.M_CAP_UL] = adaptation.caps(air.mcs_table)
            m[kr.M_OLLA_UP], m[kr.M_OLLA_LIMIT] = adaptation.olla_step_db, adaptation.olla_limit_db
            m[kr.M_OLLA_DOWN] = adaptation.olla_step_db * (1.0 - adaptation.olla_target) / adaptation.olla_target
            for way, snr_db in enumerate((air.snr_dl_db, air.snr_ul_db)):
                self._tab[c, way, : kr.T_CQI] = air.kernel_table(way)
                self._tab[c, way, kr.T_CQI, :15] = air.cqi_thresholds_db()
                self._snr[c, way] = snr_db

    def set_channel(self, channel: Channel) -> None:
        """Let a channel say what SNR every UE slot has, from now on; it has as many cells, and slots enough.

        Raises:
            InputError: a cell has no air interface.
        """
        if not self._with_air.all():
            raise InputError("every cell needs an air interface", key="channel")
        self._channel = channel
        self._mac[:, kr.M_BLOCK] = -1.0

    def set_snr(self, way: int, values: NDArray[np.float64]) -> None:
        """Set the SNR [dB] of every UE slot from now on, down (0) or up (1), shape (g, slots) or broadcast to it.

        It takes effect with the next slot. With a channel in place this is an error: the channel sets it.

        Raises:
            InputError: a cell has no air interface, or a value is not finite.
        """
        if self._channel is not None:
            raise InputError("is set by the channel", key="snr")
        if not self._with_air.all():
            raise InputError("every cell needs an air interface", key="snr")
        if not np.isfinite(values).all():
            raise InputError("must be finite", key="snr")
        self._snr[:, way, :, 0] = values
        self._mac[:, kr.M_BLOCK] = -1.0

    def set_gains(self, cell: int, *, tx_db: float | None = None, rx_db: float | None = None) -> None:
        """Set the gNB's gains from now on; without a channel they do nothing.

        Raises:
            InputError: a gain is not finite.
        """
        for gain in (tx_db, rx_db):
            if gain is not None and not math.isfinite(gain):
                raise InputError("must be a finite number of dB", key="gain", value=gain)
        if self._channel is not None:
            self._channel.set_gains(cell, tx_db=tx_db, rx_db=rx_db)
            self._mac[cell, kr.M_BLOCK] = -1.0

    def set_bandwidth(self, cell: int, n_prb: int) -> None:
        """Set the carrier's width from the next slot on; at most 275 PRBs.

        Largest grants become `n_prb`, uplink less control (`pucch_prb`), but never more than `cap_prb_*` where those
        were set below the cell's own width. A PRB carries what it did. Demand: a granted PRB costs what it did, the
        share `base_prb_share` of a slot's base demand (sampling, FFT) is in proportion to the width.
        Blocks to be repeated that are wider now take the whole carrier.

        Raises:
            InputError: not a width that there is.
        """
        if not 1 <= n_prb <= _MOST_PRBS:
            raise InputError(f"must lie in 1 to {_MOST_PRBS} PRBs", key="n_prb", value=n_prb)
        own, p = self.cells[cell], self._par[cell]
        down, up = (n_prb if cap == own.n_prb else min(cap, n_prb) for cap in (own.cap_prb_dl, own.cap_prb_ul))
        control = own.pucch_prb * (1.0 if own.cap_prb_dl > 0 else 0.35)
        p[kn.P_CAP_DL], p[kn.P_CAP_UL] = down, max(min(up, n_prb - control), 0.0)
        wide = 1.0 + own.base_prb_share * (n_prb / own.n_prb - 1.0)
        p[kn.P_BASE] = own.du.base_ms * wide
        self._apply_held_prb(cell)

    def hold(self, cell: int, variable: str, value: float | None) -> None:
        """Hold a variable of a cell at a value against its causes from the next slot on; None lets it go.

        `snr`, `sdl`: the SNR of every UE, up or down; the CQI follows. `mcs_*`: the MCS of every block of new data.
        `bler_*`: the probability that a transmission fails, repetitions included. `prb_*`: PRBs granted in every slot,
        as a share of the largest grant: floor((n + 1) x) - floor(n x) PRBs in slot n where x is their mean number; what
        the UEs do not need is padding, which costs what data cost at the table's highest MCS, and what they need beyond
        waits. Repetitions after a stall take that many PRBs too.

        Raises:
            InputError: no such variable, out of bounds, or (all but `prb_*`) the cell has no air interface.
        """
        if variable not in HELD_IN_RADIO:
            raise InputError(f"must be one of {', '.join(HELD_IN_RADIO)}", key="variable", value=variable)
        stem, _, direction = variable.partition("_")
        if stem != "prb" and self.cells[cell].air is None:
            raise InputError("cannot be held: the cell has no air interface", key=variable)
        lower, upper = {"prb": (0.0, 100.0), "bler": (0.0, 1.0), "mcs": (0.0, 28.0)}.get(stem, (-100.0, 200.0))
        if value is not None and not lower <= value <= upper:
            raise InputError(f"must lie in {lower:g} to {upper:g}", key=variable, value=value)
        if stem in _HELD_SNR:
            key = (cell, _HELD_SNR.index(stem))
            self._held_snr.pop(key, None)
            if value is not None:
                self._held_snr[key] = value
        elif stem == "prb":
            self._held_prb.pop((cell, int(direction == "ul")), None)
            if value is not None:
                self._held_prb[cell, int(direction == "ul")] = value
                self._schedule_ue_by_ue(cell)
            self._apply_held_prb(cell)
        else:
            last = int(np.count_nonzero(np.isfinite(self._tab[cell, 0, kr.T_THRESHOLD]))) - 1
            held = -1.0 if value is None else float(min(round(value), last)) if stem == "mcs" else value
            self._mac[cell, _HELD_COLUMN[variable]] = held
        self._mac[cell, kr.M_BLOCK] = -1.0

    def _apply_held_prb(self, cell: int) -> None:
        for way, column in enumerate((kr.M_HOLD_PRB_DL, kr.M_HOLD_PRB_UL)):
            share = self._held_prb.get((cell, way))
            self._mac[cell, column] = -1.0 if share is None else share / 100.0 * self._par[cell, kn.P_CAP_DL + way]

    def _schedule_ue_by_ue(self, cell: int) -> None:
        """Let the MAC of a cell look at each UE: the others' does without, and is faster."""
        self._mac[cell, kr.M_UES] = 1.0

    def _forget_blocks(self, cell: int) -> None:
        """Let the DU of a cell forget, with its queues, blocks, outer loops, averages and failures of its UEs."""
        self._done_before[cell, 0] += self._cnt[cell, 0, :, kn.C_IN] - self._cnt[cell, 0, :, kn.C_DONE]
        for slot in range(self._air.shape[2]):
            resume = float(self._air[cell, 0, slot, kr.A_BAR])
            self._forget_air(cell, slot)
            self._air[cell, 0, slot, kr.A_BAR] = resume

    def _forget_air(self, cell: int, slot: int) -> None:
        """Begin link adaptation, HARQ and averages of a slot anew."""
        kept = self._air[cell, :, slot][:, [kr.A_BPP, kr.A_WORK]] if self.cells[cell].air is None else None
        self._air[cell, :, slot] = 0.0
        self._air[cell, :, slot, kr.A_REPEAT] = -1.0
        self._harq[cell, :, slot] = 0.0
        if kept is not None:
            self._air[cell, :, slot, [kr.A_BPP, kr.A_WORK]] = kept.T
        self._mac[cell, kr.M_BLOCK] = -1.0

    def _radio(
        self, first: int, last: int
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray] | None:
        """Return what the kernel needs of the air over blocks `first` to `last` of 100 ms; None where no cell has any.

        That is: mac (g, N_MAC), air (g, 2, slots, N_AIR), harq (g, 2, slots, 16, N_HARQ), tab (g, 2, N_TAB, MCS_ROWS),
        SNR (g, 2, slots, blocks or 1) and counters (g, N_RADIO).
        """
        if not self._mac[:, kr.M_UES].any():
            return None
        snr = self._snr
        if self._channel is not None:
            self._mac[:, kr.M_BLOCK] = -1.0  # blocks are numbered from `first` on
            slots = snr.shape[2]
            snr = np.ascontiguousarray(np.swapaxes(self._channel.blocks(first, last)[:, :, :slots], 0, 1))
        if self._held_snr:
            snr = snr.copy()
            for (cell, way), value in self._held_snr.items():
                snr[cell, way] = value
        return self._mac, self._air, self._harq, self._tab, snr, self._radio_counters

    def _note_radio(self, snr: FloatArray, first: int, step: int) -> None:
        """Sum up SNR and CQI over the `step` ms from now on; `first` is the first block of `snr`."""
        blocks = snr.shape[3]
        if blocks == 1:
            times = np.array([float(step)])
        else:
            edges = (first + np.arange(blocks + 1)) * SLOW_BLOCK_MS
            times = np.diff(np.clip(edges, self.now_ms, self.now_ms + step)).astype(np.float64)
        here = (self._attached & self._with_air[:, None])[:, :, None] * times
        for way in (0, 1):
            self._seen[:, way] += (np.where(here > 0.0, np.rint(_FINE * snr[:, way]), 0.0) * here).sum(axis=(1, 2))
        for c in np.flatnonzero(self._with_air):
            cqi = np.searchsorted(self._tab[c, 0, kr.T_CQI, :15], snr[c, 0], side="right")
            self._seen[c, 2] += (cqi * here[c]).sum()
        self._seen[:, 3] += here.sum(axis=(1, 2))

    def _take_radio_counters(self) -> dict[str, FloatArray]:
        columns = {name: self._seen[:, i].copy() for i, name in enumerate(RADIO_COUNTERS)}
        for name in ("snr_sum_dl", "snr_sum_ul"):
            columns[name] /= _FINE
        columns |= {name: self._radio_counters[:, i].copy() for i, name in enumerate(kr.RADIO_COUNTERS)}
        self._seen[:] = 0.0
        self._radio_counters[:] = 0.0
        return columns
