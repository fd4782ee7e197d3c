"""Where what stands in the arrays of the radio part of the data plane: one name per column."""

from __future__ import annotations

__all__ = ["RADIO_COUNTERS"]

# Columns of `mac` (parameters of a cell; what is held is -1 where nothing is).
(
    M_UES, M_ERRORS, M_PF, M_PF_FAIRNESS, M_PF_STEP, M_KEY, M_RTT, M_RETX, M_PROCESSES, M_RLC, M_RLF_KOS, M_RLF_MS,
    M_ROOT2_SLOPE, M_FLAT_WORK, M_CAP_DL, M_CAP_UL, M_OLLA_UP, M_OLLA_DOWN, M_OLLA_LIMIT, M_HOLD_MCS_DL, M_HOLD_MCS_UL,
    M_HOLD_BLER_DL, M_HOLD_BLER_UL, M_HOLD_PRB_DL, M_HOLD_PRB_UL, M_BLOCK, N_MAC,
) = range(27)  # fmt: skip

# Columns of `air` (a UE in one direction): SNR and what the MAC knows of it [dB], outer loop [dB], MCS, bits per PRB,
# error probability (-1: not worked out yet), demand per PRB, average of the scheduler [bit a slot], failures in a row,
# blocks not decoded, time until which it gets no grants [ms] (in direction 0 for both), PRBs of this slot's grant,
# process repeated in this slot (-1 none, -2 one was due and found no room), rank of the scheduler in this slot.
(
    A_SNR, A_KNOWN, A_OLLA, A_MCS, A_BPP, A_BLER, A_WORK, A_AVERAGE, A_KOS, A_OUT, A_BAR, A_PRB, A_REPEAT,
    A_RANK, N_AIR,
) = range(15)  # fmt: skip

# Columns of `harq` (a process): first bit, bits (0: free), PRBs, slot from which on it is due, transmissions so far,
# combined SNR (linear), MCS.
H_FIRST, H_BITS, H_PRB, H_DUE, H_SENT, H_SNR, H_MCS, N_HARQ = range(8)

# Rows of `tab` (a column an MCS, but the last: CQI from 1): threshold [dB], SNR of even odds [dB], bits per PRB, demand
# per PRB in proportion to bits, least SNR of a CQI [dB].
T_THRESHOLD, T_MEDIAN, T_BITS, T_WORK, T_CQI, N_TAB = range(6)

RADIO_COUNTERS = (
    "tb_ue_dl", "tb_ue_ul", "tb_ko_dl", "tb_ko_ul", "tb_new_dl", "tb_new_ul", "mcs_sum_dl", "mcs_sum_ul",
    "harq_lost_dl", "harq_lost_ul", "rlf",
)  # fmt: skip
"""What the kernel counts per cell with an air interface: see `twin.plane_radio`."""
(
    R_TB_DL, R_TB_UL, R_KO_DL, R_KO_UL, R_NEW_DL, R_NEW_UL, R_MCS_DL, R_MCS_UL, R_LOST_DL, R_LOST_UL, R_RLF, N_RADIO,
) = range(12)  # fmt: skip
