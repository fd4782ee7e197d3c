"""The air interface of a cell whose blocks may fail: link adaptation and HARQ with the tables that the kernel reads."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from twin.harq import Harq
from twin.link_adaptation import TEN_PERCENT, LinkAdaptation, prb_bits, work_per_prb
from twin.radio import McsTable, cqi_thresholds_db, snr_thresholds_db

__all__ = ["MCS_ROWS", "AirInterface"]

MCS_ROWS = 32
"""Places for MCS indices in the kernel's tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AirInterface:
    """Blocks that fail and MCS that follow the SNR, for the UEs of a cell.

    `top_bits_*` are the bits per PRB and slot with the table's highest MCS; `snr_*_db` holds until `set_snr` or a
    channel says otherwise.
    """

    mcs_table: McsTable = McsTable.QAM256
    adaptation: LinkAdaptation = field(default_factory=LinkAdaptation)
    harq: Harq = field(default_factory=Harq)
    snr_dl_db: float = 30.0
    snr_ul_db: float = 30.0
    top_bits_dl: float = 848.0
    top_bits_ul: float = 966.0
    re_per_prb_dl: int = 116
    re_per_prb_ul: int = 132
    table_prb: int = 25
    """Carrier whose block sizes give the ratio of bits per PRB between two MCS."""

    def __post_init__(self) -> None:
        for key in ("snr_dl_db", "snr_ul_db"):
            if not math.isfinite(getattr(self, key)):
                raise InputError("must be a finite number of dB", key=key, value=getattr(self, key))
        for key in ("top_bits_dl", "top_bits_ul", "re_per_prb_dl", "re_per_prb_ul", "table_prb"):
            if not 1 <= getattr(self, key) < 1e6:
                raise InputError("must be at least 1", key=key, value=getattr(self, key))

    def bits(self, way: int) -> tuple[int, ...]:
        """Return the bits that a PRB carries in a slot with each MCS, down (0) or up (1)."""
        top, re = ((self.top_bits_dl, self.re_per_prb_dl), (self.top_bits_ul, self.re_per_prb_ul))[way]
        return prb_bits(top, self.mcs_table, n_prb=self.table_prb, re_per_prb=re)

    def kernel_table(self, way: int) -> NDArray[np.float64]:
        """Return the rows threshold [dB], g50 [dB], bits per PRB, demand per PRB; a column an MCS, shape (4, 32)."""
        adaptation = self.adaptation
        thresholds = np.array(snr_thresholds_db(self.mcs_table))
        count = len(thresholds)
        table = np.zeros((4, MCS_ROWS))
        table[0, :] = np.inf
        table[0, :count] = thresholds
        table[1, :count] = thresholds - TEN_PERCENT * adaptation.slope_db
        table[2, :count] = self.bits(way)
        share = adaptation.mcs_work_share
        table[3, :count] = [work_per_prb(m, self.mcs_table, share=share) - (1.0 - share) for m in range(count)]
        return table

    def cqi_thresholds_db(self) -> NDArray[np.float64]:
        """Return the least SNR of CQI 1..15."""
        return np.array(cqi_thresholds_db(self.mcs_table))
