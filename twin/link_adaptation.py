"""Link adaptation: from the SNR of a UE to its MCS, to the errors of its transport blocks and to what they cost.

* The UE's SNR is constant over a block of 100 ms. Uplink, the gNB knows it: e = SNR. Downlink it knows the CQI only:
  e = the least SNR of that CQI (`twin.radio.cqi_thresholds_db`), and at CQI 0 that of CQI 1.
* The MCS is the highest one whose threshold (10 % block error, `twin.radio.snr_threshold_db`) is at most e + o, not
  above `mcs_cap_*`; the lowest one below all thresholds. It is chosen anew with each block of new data.
* o is the outer loop of that UE and direction (OLLA), 0 at first and within +-`olla_limit_db`: the first transmission
  of a block moves it by -`olla_step_db` (1 - p) / p where the block fails, p = `olla_target`, and by +`olla_step_db`
  where it does not, unless it was sent with the highest MCS allowed (or MCS 0 failed). Repetitions do not move it.
  At its balance a share p of the first transmissions fails. As in srsRAN (lib/scheduler, outer_loop_link_adaptation.h).
* A block sent with MCS m at SNR g fails with probability 0.5 erfc((g - g50) / (sqrt 2 s)), where s = `slope_db` and
  g50 = threshold(m) - 1.28 s, so that it is 10 % at the threshold. s is 0.2 dB in AWGN (a fit to the link-level curves
  of ns-3 5G-LENA); fading within a block of time makes it 1 to 2 dB [A].
* The part of the DU's demand that grows with granted PRBs grows with w per PRB: w = (1 - a) + a SE / SE_top, uplink
  (1 - a) + a (SE / SE_top) I / 1.5, a = `mcs_work_share` [A], SE the efficiency of the MCS, SE_top that of the highest
  of its table, I the decoder's iterations: 1.5 + 4.5 exp(-D / 0.7 dB) within 1.5..6, D = SNR - threshold(MCS) in dB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from col.errors import InputError
from twin.radio import McsTable, modulation, snr_threshold_db, snr_thresholds_db, tbs_bits
from twin.strict import limits

__all__ = [
    "TOP_DECODER_ITERATIONS",
    "LinkAdaptation",
    "block_error_rate",
    "decoder_iterations",
    "outer_loop_step",
    "prb_bits",
    "work_per_prb",
]

TEN_PERCENT = 1.2815515655446004
"""Standard deviations above its median at which the normal law that a block error curve follows has 10 % left."""
TOP_DECODER_ITERATIONS = 1.5
"""LDPC iterations of a block with SNR to spare (early stop), on average."""
_ITERATIONS_AT_THRESHOLD, _ITERATION_FALL_DB = 6.0, 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAdaptation:
    """How the MCS follows the SNR, how often blocks fail and what decoding costs. Defaults: srsRAN's where it has one.

    `[link_adaptation]` of a scenario; without it (and without a channel) every block is decoded and the MCS constant.
    """

    mcs_cap_dl: int = field(default=28, metadata=limits(lower=0, upper=28))
    """Highest MCS index downlink; above the table's last one it is that."""
    mcs_cap_ul: int = field(default=28, metadata=limits(lower=0, upper=28))
    olla_step_db: float = field(default=0.001, metadata=limits(lower=0, upper=10))
    """What a decoded block adds to the outer loop [dB]; 0 switches the loop off."""
    olla_target: float = field(default=0.01, metadata=limits(above=0, upper=0.9))
    """Share of first transmissions that may fail."""
    olla_limit_db: float = field(default=5.0, metadata=limits(lower=0, upper=30))
    slope_db: float = field(default=1.0, metadata=limits(lower=0.01, upper=10))
    """Standard deviation of the block error curve [dB] [A]."""
    mcs_work_share: float = field(default=0.5, metadata=limits(lower=0, upper=1))
    """Share of the demand per PRB that is in proportion to the bits in it, and uplink to decoder iterations [A]."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) and v >= 0 for v in (self.olla_step_db, self.olla_limit_db)):
            raise InputError("must be a finite number, zero or above", key="olla_step_db", value=self.olla_step_db)
        if not 0.0 < self.olla_target < 1.0:
            raise InputError("must lie above 0 and below 1", key="olla_target", value=self.olla_target)
        if not (math.isfinite(self.slope_db) and self.slope_db > 0):
            raise InputError("must be above 0 dB", key="slope_db", value=self.slope_db)
        if not 0.0 <= self.mcs_work_share <= 1.0:
            raise InputError("must lie in 0 to 1", key="mcs_work_share", value=self.mcs_work_share)
        for key, cap in (("mcs_cap_dl", self.mcs_cap_dl), ("mcs_cap_ul", self.mcs_cap_ul)):
            if not 0 <= cap <= 28:
                raise InputError("must lie in 0 to 28", key=key, value=cap)

    def caps(self, table: McsTable) -> tuple[int, int]:
        """Return the highest MCS that may be used, down and up."""
        last = len(snr_thresholds_db(table)) - 1
        return min(self.mcs_cap_dl, last), min(self.mcs_cap_ul, last)


def block_error_rate(snr_db: float, mcs: int, table: McsTable, *, slope_db: float) -> float:
    """Return the probability that a block sent with an MCS at an SNR (for a repetition: the combined one) fails."""
    median = snr_threshold_db(mcs, table) - TEN_PERCENT * slope_db
    return 0.5 * math.erfc((snr_db - median) / (math.sqrt(2.0) * slope_db))


def outer_loop_step(offset_db: float, failed: bool, settings: LinkAdaptation) -> float:
    """Return the outer loop's offset [dB] after the first transmission of a block."""
    down = settings.olla_step_db * (1.0 - settings.olla_target) / settings.olla_target
    moved = offset_db - down if failed else offset_db + settings.olla_step_db
    return min(max(moved, -settings.olla_limit_db), settings.olla_limit_db)


def decoder_iterations(margin_db: float) -> float:
    """Return the mean iterations of the LDPC decoder at an SNR that much above the MCS's threshold [A, shape]."""
    span = _ITERATIONS_AT_THRESHOLD - TOP_DECODER_ITERATIONS
    extra = span * math.exp(-margin_db / _ITERATION_FALL_DB) if margin_db > 0 else span
    return TOP_DECODER_ITERATIONS + extra


def work_per_prb(mcs: int, table: McsTable, *, share: float, iterations: float = TOP_DECODER_ITERATIONS) -> float:
    """Return the demand of a granted PRB relative to one with the table's highest MCS and SNR to spare."""
    efficiency, top = (
        order * rate for order, rate in (modulation(m, table) for m in (mcs, len(snr_thresholds_db(table)) - 1))
    )
    return 1.0 - share + share * (efficiency / top) * (iterations / TOP_DECODER_ITERATIONS)


def prb_bits(top_bits: float, table: McsTable, *, n_prb: int, re_per_prb: int) -> tuple[int, ...]:
    """Return the bits that a PRB carries in a slot with each MCS of a table, at least 1.

    `top_bits` (as measured) with the highest one, and with the others in the ratio of the block sizes of `n_prb` PRBs.
    """
    last = len(snr_thresholds_db(table)) - 1
    top = tbs_bits(re_per_prb, n_prb, last, table)
    return tuple(max(1, round(top_bits * tbs_bits(re_per_prb, n_prb, m, table) / top)) for m in range(last + 1))
