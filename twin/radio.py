"""Link adaptation and transport block sizes at a given SNR, from the tables of 3GPP TS 38.214.

They are 5.1.3.1-1 and -2 (MCS), 5.2.2.1-2 and -3 (CQI) and 5.1.3.2-1 (block sizes).

The recordings that the twin is calibrated on carry no radio errors (the radio always acknowledges), so without
`twin.link_adaptation` SNR only chooses the MCS; lost blocks then come from late slots alone, in the data plane.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from enum import StrEnum

__all__ = [
    "McsTable",
    "bits_per_prb",
    "cqi_at_snr",
    "cqi_efficiency",
    "cqi_thresholds_db",
    "mcs_at_snr",
    "mcs_of_cqi",
    "modulation",
    "snr_threshold_db",
    "snr_thresholds_db",
    "tbs_bits",
]


class McsTable(StrEnum):
    """Which modulation-and-coding table a cell uses."""

    QAM64 = "qam64"
    QAM256 = "qam256"


def _rows(*groups: tuple[int, tuple[float, ...]]) -> tuple[tuple[int, float], ...]:
    return tuple((order, rate / 1024.0) for order, rates in groups for rate in rates)


_MCS = {
    McsTable.QAM64: _rows(
        (2, (120, 157, 193, 251, 308, 379, 449, 526, 602, 679)),
        (4, (340, 378, 434, 490, 553, 616, 658)),
        (6, (438, 466, 517, 567, 616, 666, 719, 772, 822, 873, 910, 948)),
    ),
    McsTable.QAM256: _rows(
        (2, (120, 193, 308, 449, 602)),
        (4, (378, 434, 490, 553, 616, 658)),
        (6, (466, 517, 567, 616, 666, 719, 772, 822, 873)),
        (8, (682.5, 711, 754, 797, 841, 885, 916.5, 948)),
    ),
}
_CQI = {
    McsTable.QAM64: _rows(
        (2, (78, 120, 193, 308, 449, 602)), (4, (378, 490, 616)), (6, (466, 567, 666, 772, 873, 948))
    ),
    McsTable.QAM256: _rows(
        (2, (78, 193, 449)), (4, (378, 490, 616)), (6, (466, 567, 666, 772, 873)), (8, (711, 797, 885, 948))
    ),
}
# MCS that srsRAN takes at a CQI of 1..15 (lib/scheduler/support/mcs_calculator.cpp).
_MCS_OF_CQI = {
    McsTable.QAM64: (0, 0, 2, 4, 6, 8, 11, 13, 15, 18, 20, 22, 24, 26, 28),
    McsTable.QAM256: (0, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27),
}
_LOWEST_CQI_DB = -2.0  # [A] how far below the threshold of MCS 0 a CQI of 1 reaches, where 2 means that MCS too
# SINR at 10 % block error in AWGN [dB], near 25 PRB, from the link-level curves of ns-3 5G-LENA.
_SNR_DB = {
    McsTable.QAM64: (
        *(-1.0, -0.5, 0.3, 1.3, 2.0, 2.8, 3.4, 4.2, 4.8, 5.6, 6.2, 6.9, 7.8, 8.5, 9.3, 10.4, 11.0),
        *(11.7, 12.2, 13.2, 14.1, 14.9, 15.8, 16.9, 17.9, 18.8, 19.8, 20.6, 21.7),
    ),
    McsTable.QAM256: (
        *(
            -1.0,
            0.3,
            2.0,
            3.4,
            4.8,
            6.9,
            7.8,
            8.5,
            9.3,
            10.4,
            11.0,
            12.2,
            13.2,
            14.1,
            14.9,
            15.8,
            16.9,
            17.9,
            18.8,
            19.8,
        ),
        *(20.8, 21.7, 22.6, 23.6, 24.6, 25.5, 26.5, 27.1),
    ),
}
_TBS: tuple[int, ...] = (
    *range(24, 193, 8),
    *range(208, 385, 16),
    *range(408, 577, 24),
    *range(608, 769, 32),
    *(
        808,
        848,
        888,
        928,
        984,
        1032,
        1064,
        1128,
        1160,
        1192,
        1224,
        1256,
        1288,
        1320,
        1352,
        1416,
        1480,
        1544,
        1608,
        1672,
    ),
    *(1736, 1800, 1864, 1928, 2024, 2088, 2152, 2216, 2280, 2408, 2472, 2536, 2600, 2664, 2728, 2792, 2856, 2976, 3104),
    *(3240, 3368, 3496, 3624, 3752, 3824),
)
_RE_PER_PRB_CAP = 156


def modulation(mcs: int, table: McsTable) -> tuple[int, float]:
    """Return (bits per symbol, code rate) of an MCS index."""
    return _MCS[table][mcs]


def cqi_efficiency(cqi: int, table: McsTable) -> float:
    """Return the spectral efficiency [bit/s/Hz] that a CQI index of 1..15 reports."""
    order, rate = _CQI[table][cqi - 1]
    return order * rate


def snr_threshold_db(mcs: int, table: McsTable) -> float:
    """Return the SNR [dB] at which an MCS has 10 % block error in AWGN."""
    return _SNR_DB[table][mcs]


def mcs_at_snr(snr_db: float, table: McsTable, *, cap: int | None = None) -> int:
    """Return the highest MCS that `snr_db` supports, at most `cap`; index 0 below the lowest threshold."""
    best = max(0, bisect_right(_SNR_DB[table], snr_db) - 1)
    return best if cap is None else min(best, cap)


def snr_thresholds_db(table: McsTable) -> tuple[float, ...]:
    """Return `snr_threshold_db` of every MCS of a table, rising."""
    return _SNR_DB[table]


def mcs_of_cqi(cqi: int, table: McsTable) -> int:
    """Return the MCS that srsRAN takes at a CQI of 1..15."""
    return _MCS_OF_CQI[table][cqi - 1]


def cqi_thresholds_db(table: McsTable) -> tuple[float, ...]:
    """Return the least SNR [dB] at which a UE reports CQI 1, 2, ... 15: that of its MCS in `mcs_of_cqi`."""
    thresholds = [_SNR_DB[table][mcs] for mcs in _MCS_OF_CQI[table]]
    if thresholds[0] == thresholds[1]:
        thresholds[0] += _LOWEST_CQI_DB
    return tuple(thresholds)


def cqi_at_snr(snr_db: float, table: McsTable) -> int:
    """Return the CQI that a UE reports at an SNR; 0 (out of range) below the lowest threshold."""
    return bisect_right(cqi_thresholds_db(table), snr_db)


def tbs_bits(re_per_prb: int, n_prb: int, mcs: int, table: McsTable, *, layers: int = 1) -> int:
    """Return the block size [bit] of `n_prb` PRBs with `re_per_prb` resource elements each (TS 38.214 5.1.3.2)."""
    order, rate = modulation(mcs, table)
    information = min(_RE_PER_PRB_CAP, re_per_prb) * n_prb * rate * order * layers
    if information <= 3824:
        step = 1 << max(3, math.floor(math.log2(information)) - 6)
        quantised = max(24, step * math.floor(information / step))
        return next(size for size in _TBS if size >= quantised)
    step = 1 << (math.floor(math.log2(information - 24)) - 5)
    quantised = max(3840, step * math.floor((information - 24) / step + 0.5))
    if rate <= 0.25:
        blocks = math.ceil((quantised + 24) / 3816)
    elif quantised > 8424:
        blocks = math.ceil((quantised + 24) / 8424)
    else:
        blocks = 1
    return 8 * blocks * math.ceil((quantised + 24) / (8 * blocks)) - 24


def bits_per_prb(snr_db: float, table: McsTable, *, n_prb: int, re_per_prb: int, mcs_cap: int | None = None) -> float:
    """Return the bits that a PRB carries in a slot at `snr_db`: the block over the whole carrier, divided evenly."""
    return tbs_bits(re_per_prb, n_prb, mcs_at_snr(snr_db, table, cap=mcs_cap), table) / n_prb
