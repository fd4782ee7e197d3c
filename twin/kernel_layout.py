"""Where what stands in the arrays of the data plane: one name per column."""

from __future__ import annotations

__all__ = ["COUNTERS", "DELAY_BINS", "DELAY_FINE_BINS", "DELAY_FINE_MS"]

# Columns of `par` (parameters of a cell).
(
    P_NUE, P_NPRB, P_BPP_DL, P_BPP_UL, P_CAP_DL, P_CAP_UL, P_BITS, P_BATCH, P_BATCH_MS, P_FULL_DL, P_FULL_UL,
    P_UL_GRANT, P_DL_PIPE, P_BUF, P_BASE, P_DLF, P_DLS, P_ULF, P_ULS, P_DU_PAR, P_SKIP, P_DEADLINE, P_LATE,
    P_INFLIGHT,
    P_RESUME, P_SECOND, P_CU_BASE, P_CU_PKT, P_CU_PAR, P_CU_BUF, P_FH, P_MH, P_BH, P_MH_SER, P_BH_SER, P_PERIOD,
    P_DU_QUOTA, P_CU_QUOTA, P_DU_FACTOR, P_CU_FACTOR, P_IV_DL, P_IV_UL,
    P_RESYNC, P_PACE_MS, P_BURST_DU, P_BURST_CU, P_HOLD_STALL, P_HOLD_WORK, P_KEY, P_HOLD_CU_STALL,
    P_HOLD_CU_WORK, N_PAR,
) = range(52)  # fmt: skip

# Columns of `st` (state of a cell).
(
    S_DU_FREE, S_DU_END, S_DU_LEFT, S_DU_FLAG, S_MASK, S_RETX_DL, S_RETX_UL, S_LAST_DL, S_LAST_UL, S_RR,
    S_CU_FREE, S_CU_END, S_CU_LEFT, S_CU_FLAG, S_TICK, S_BH_DL, S_MH_DL, S_BH_UL, S_MH_UL, S_PEND_HEAD, S_PEND_TAIL,
    S_JUMP, S_F1_HEAD, S_F1_TAIL, S_AHEAD_DL, S_AHEAD_UL,
    S_SLOT, S_BUSY, S_AT, S_START, S_PRB_DL, S_PRB_UL, S_AGAIN_DL, S_AGAIN_UL, S_DOWN, S_CU_FROM, S_CU_UNTIL, N_ST,
) = range(38)  # fmt: skip

# Columns of `line` (a leg of a cell in one direction: its noise, then its state). Rows: LINE_*.
(
    L_ON, L_JITTER, L_SHAPE, L_CORRELATION, L_LOSS, L_TO_BAD, L_TO_GOOD, L_LOSS_BAD, L_LIMIT, L_WINDOW, L_DELAY,
    L_COUNT, L_Z, L_BAD, L_LAST, N_LINE,
) = range(16)  # fmt: skip
LINE_FH, LINE_MH_DL, LINE_MH_UL, LINE_BH_DL, LINE_BH_UL, N_LINES = range(6)

# Columns of `ue` (state of a UE in one direction; direction 0 is down, 1 is up): when its next packet is sent, transit
# time of the last one that arrived (-1: none yet), jitter, interval between packets; up to when that interval counts
# (infinity: for good), then the time of the next packet, and the interval from there on.
U_NEXT, U_TRANSIT, U_JITTER, U_INTERVAL, U_UNTIL, U_THEN, U_AFTER, N_UE = range(8)
# Columns of `cnt` (packets of a UE in one direction): in the queue since the start, ready at the DU, bits sent,
# packets done.
C_IN, C_READY, C_SENT, C_DONE, N_CNT = range(5)

COUNTERS = (
    "slots", "slots_ok", "slots_late", "slots_skipped", "offered_bits_dl", "offered_bits_ul", "delivered_bits_dl",
    "delivered_bits_ul", "dropped_packets_dl", "dropped_packets_ul", "packets_dl", "packets_ul", "delay_sum_ms_dl",
    "delay_sum_ms_ul", "prb_used_dl", "prb_used_ul", "prb_available_dl", "prb_available_ul", "tb_ok_dl", "tb_ok_ul",
    "tb_retx_dl", "tb_retx_ul", "cpu_ms_du", "cpu_ms_cu", "stall_ms_du", "stall_ms_cu", "cgroup_throttled_ms_du",
    "throttled_periods_du", "throttled_periods_cu", "cu_packet_ms", "cu_base_ms",
    "jitter_sum_ms_dl", "jitter_sum_ms_ul",
    "dropped_cu_dl", "dropped_cu_ul", "dropped_link_dl", "dropped_link_ul", "slots_down", "slots_fronthaul",
    "cu_sojourn_ms", "cu_packets",
)  # fmt: skip
"""What the kernel counts per cell since the counters were last set to zero; sums of bits, packets, PRBs, slots or ms.

`slots` is the number of ms that passed; without lock-step it is the sum of ok, late and skipped but for slots that are
still to begin. What a CU does is counted in its first cell, what it drops in the cell of the packet. `dropped_cu_*`,
`dropped_link_*` are part of `dropped_packets_*`, `slots_down` (of an outage) of `slots_skipped`, `slots_fronthaul`
(lost on the fronthaul) of `slots_late`. `cu_sojourn_ms` is the time from a packet's arrival at the CU until it has
been worked off, summed over `cu_packets`.
"""
(
    K_SLOTS, K_OK, K_LATE, K_SKIP, K_OFF_DL, K_OFF_UL, K_DEL_DL, K_DEL_UL, K_DROP_DL, K_DROP_UL, K_PKT_DL, K_PKT_UL,
    K_DLY_DL, K_DLY_UL, K_PRB_DL, K_PRB_UL, K_AVL_DL, K_AVL_UL, K_TB_DL, K_TB_UL, K_RETX_DL, K_RETX_UL, K_CPU_DU,
    K_CPU_CU,
    K_STALL_DU, K_STALL_CU, K_CGROUP_DU, K_THR_DU, K_THR_CU, K_CU_PKT, K_CU_BASE,
    K_JIT_DL, K_JIT_UL,
    K_DROP_CU_DL, K_DROP_CU_UL, K_DROP_LINK_DL, K_DROP_LINK_UL, K_DOWN, K_FRONTHAUL,
    K_CU_SOJOURN, K_CU_PACKETS, N_COUNTERS,
) = range(42)  # fmt: skip

DELAY_FINE_MS, DELAY_FINE_BINS, DELAY_BINS = 0.1, 1000, 3000  # 0.1 ms up to 100 ms, then 1 ms up to 2.1 s
