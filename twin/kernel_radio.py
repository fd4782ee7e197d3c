"""The air in the kernel: what a UE's SNR means for its MCS, its errors and the DU's work (`twin.link_adaptation`)."""

from __future__ import annotations

import math
from typing import Any

from twin.kernel_jit import inlined
from twin.kernel_radio_layout import (
    A_BLER,
    A_BPP,
    A_KNOWN,
    A_MCS,
    A_OLLA,
    A_SNR,
    A_WORK,
    M_CAP_DL,
    M_FLAT_WORK,
    M_HOLD_BLER_DL,
    M_HOLD_MCS_DL,
    M_ROOT2_SLOPE,
    T_BITS,
    T_CQI,
    T_MEDIAN,
    T_THRESHOLD,
    T_WORK,
)

__all__ = ["choose_mcs", "demand_per_prb", "error_rate", "new_block"]

_CQIS = 15


@inlined
def new_block(c: int, n_ue: int, block: int, air: Any, snr: Any, tab: Any) -> None:
    """Take the SNR of a block of 100 ms: what the MAC knows of it downlink is the CQI."""
    for u in range(n_ue):
        down = snr[c, 0, u, block]
        cqi = 0
        while cqi < _CQIS and tab[c, 0, T_CQI, cqi] <= down:
            cqi += 1
        air[c, 0, u, A_SNR] = down
        air[c, 0, u, A_KNOWN] = tab[c, 0, T_CQI, max(cqi - 1, 0)]
        air[c, 0, u, A_BLER] = -1.0
        air[c, 1, u, A_SNR] = snr[c, 1, u, block]
        air[c, 1, u, A_KNOWN] = snr[c, 1, u, block]
        air[c, 1, u, A_BLER] = -1.0


@inlined
def error_rate(c: int, way: int, snr_db: float, mcs: int, m: Any, tab: Any) -> Any:
    """Return the probability that a block is not decoded."""
    if m[M_HOLD_BLER_DL + way] >= 0.0:
        return m[M_HOLD_BLER_DL + way]
    return 0.5 * math.erfc((snr_db - tab[c, way, T_MEDIAN, mcs]) / m[M_ROOT2_SLOPE])


@inlined
def demand_per_prb(c: int, way: int, snr_db: float, mcs: int, m: Any, tab: Any) -> Any:
    """Return the demand of a PRB relative to one with the highest MCS and SNR to spare."""
    iterations = 1.0
    if way == 1:
        margin = snr_db - tab[c, way, T_THRESHOLD, mcs]
        iterations += 3.0 * (math.exp(-margin / 0.7) if margin > 0.0 else 1.0)
    return m[M_FLAT_WORK] + tab[c, way, T_WORK, mcs] * iterations


@inlined
def choose_mcs(c: int, way: int, u: int, m: Any, air: Any, tab: Any) -> None:
    """Choose the MCS of a UE's next block of new data and keep what follows from it."""
    mcs = int(air[c, way, u, A_MCS])
    before = mcs
    if m[M_HOLD_MCS_DL + way] >= 0.0:
        mcs = int(m[M_HOLD_MCS_DL + way])
    else:
        known = air[c, way, u, A_KNOWN] + air[c, way, u, A_OLLA]
        cap = int(m[M_CAP_DL + way])
        while mcs < cap and tab[c, way, T_THRESHOLD, mcs + 1] <= known:
            mcs += 1
        while mcs > 0 and (mcs > cap or tab[c, way, T_THRESHOLD, mcs] > known):
            mcs -= 1
    if mcs != before or air[c, way, u, A_BLER] < 0.0:
        snr_db = air[c, way, u, A_SNR]
        air[c, way, u, A_MCS] = mcs
        air[c, way, u, A_BPP] = tab[c, way, T_BITS, mcs]
        air[c, way, u, A_BLER] = error_rate(c, way, snr_db, mcs, m, tab)
        air[c, way, u, A_WORK] = demand_per_prb(c, way, snr_db, mcs, m, tab)
