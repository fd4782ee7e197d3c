"""Hybrid ARQ and what stands behind it: how a transport block that was not decoded is repeated, and delivery in order.

Per UE and direction, with one block per slot at most:

* A block sent in slot n that fails is due again in slot n + `rtt_slots`. The first slot from then on that serves the UE
  and has room repeats it: same bits, as many PRBs (no more than the slot has), the MCS it had; the UE gets no new data
  in that slot. Of several blocks due the one with the oldest data goes first. Repetitions are granted before new data,
  UE by UE in the scheduler's turn; what finds too few PRBs left stays due, and its UE gets no new data either.
* Repetitions are combined (chase combining): the j-th fails with the probability of the SNR 10 log10(sum of 10^(g/10))
  over the SNRs g [dB] of all transmissions so far. What arrived is forgotten when the block is given up.
* After `max_retx` repetitions the block is given up by HARQ (counted in `harq_lost_*`) and repeated by RLC
  (acknowledged mode) as a new block, `rlc_ms` later: same bits, PRBs and MCS, nothing combined with what was before.
* While `processes` blocks of a UE and direction are not decoded it gets no new data there.
* Chance: the transmission of UE slot u in slot n fails where uniform(key, n, 2 u + way) of `twin.kernel_random` is
  below its probability; way is 0 down, 1 up; the key is 32 bits of the cell's stream `air`.
* A UE's data are delivered in order: a packet leaves its queue at the end of the slot (see `twin.kernel`) that decodes
  the last block still missing of it and of all packets before it.
* Link failure: after `rlf_kos` transmissions in a row of a UE and direction that failed, the UE re-establishes its
  connection. Slots that start before a + `rlf_ms` (a the nominal time of slot n) have no grants for it, and a grant
  uplink in slot n itself is void if the failure was downlink; then all packets not delivered are sent anew from their
  first bit, both directions, and its outer loops and counts of failures start at 0.
* Slots lost for want of CPU are no transmission: what was due stays due. What a stall makes of blocks in flight
  (`DuCompute.inflight_slots`) stays as it is without HARQ: such a slot repeats for nothing, nothing fails in it.

Timers: srsRAN's defaults (16 processes, 4 repetitions, 100 failures; k1, k2 of at least 4 slots, so 8 slots a round).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from col.errors import InputError
from twin.link_adaptation import block_error_rate
from twin.radio import McsTable
from twin.strict import limits

__all__ = ["MOST_PROCESSES", "Harq", "combined_snr_db", "mean_transmissions", "residual_error"]

MOST_PROCESSES = 16
"""HARQ processes of a UE and direction (TS 38.214, 5.1 and 6.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harq:
    """Retransmissions of a UE's blocks. `[harq]` of a scenario; used wherever link adaptation is."""

    max_retx: int = field(default=4, metadata=limits(lower=0, upper=16))
    rtt_slots: int = field(default=8, metadata=limits(lower=1, upper=100))
    """Slots from a transmission to the first one that can repeat it."""
    processes: int = field(default=16, metadata=limits(lower=1, upper=16))
    rlc_ms: float = field(default=50.0, metadata=limits(lower=1, upper=10_000))
    """From the transmission that HARQ gives up on to the slot from which on RLC repeats it, in slots of 1 ms [A]."""
    rlf_kos: int = field(default=100, metadata=limits(lower=1, upper=1_000_000))
    """Failures in a row that end the radio link."""
    rlf_ms: float = field(default=2000.0, metadata=limits(lower=1, upper=100_000))
    """How long re-establishment takes [A]."""

    def __post_init__(self) -> None:
        for key, least, most in (
            ("max_retx", 0, 16),
            ("rtt_slots", 1, 100),
            ("processes", 1, MOST_PROCESSES),
            ("rlf_kos", 1, 1_000_000),
        ):
            if not least <= getattr(self, key) <= most:
                raise InputError(f"must lie in {least} to {most}", key=key, value=getattr(self, key))
        for key in ("rlc_ms", "rlf_ms"):
            if not (math.isfinite(getattr(self, key)) and getattr(self, key) >= 1.0):
                raise InputError("must be at least 1 ms", key=key, value=getattr(self, key))


def combined_snr_db(snr_db: Sequence[float]) -> float:
    """Return the SNR [dB] after chase combining of transmissions received at these SNRs."""
    return 10.0 * math.log10(sum(10.0 ** (g / 10.0) for g in snr_db))


def _errors(snr_db: float, mcs: int, table: McsTable, harq: Harq, slope_db: float) -> list[float]:
    return [
        block_error_rate(combined_snr_db([snr_db] * sent), mcs, table, slope_db=slope_db)
        for sent in range(1, harq.max_retx + 2)
    ]


def residual_error(snr_db: float, mcs: int, table: McsTable, harq: Harq, *, slope_db: float) -> float:
    """Return the probability that HARQ gives up on a block, at a constant SNR."""
    return math.prod(_errors(snr_db, mcs, table, harq, slope_db))


def mean_transmissions(snr_db: float, mcs: int, table: McsTable, harq: Harq, *, slope_db: float) -> float:
    """Return how often a block is sent by HARQ on average, at a constant SNR."""
    errors = _errors(snr_db, mcs, table, harq, slope_db)
    return 1.0 + sum(math.prod(errors[:sent]) for sent in range(1, len(errors)))
