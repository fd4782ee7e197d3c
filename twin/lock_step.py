"""The virtual radio's lock-step (ZeroMQ): no clock drives the slots, each waits for the one before it.

Slot k starts at s_k = max(s_(k-1) + 1 / pace_cap, e_(k-1) + 2 d_(k-1)), where e is the end of its processing and d the
fronthaul's delay: samples are asked for and sent back. s_0 = 0. Too little CPU so stretches slots: the pace is
min(pace_cap, quota / demand, 1 / (processing time + 2 d)) slots a ms. No slot is skipped, late or lost, whatever
`DuCompute` says of deadlines, and no stall makes HARQ repeat (`inflight_slots` means nothing).

A virtual radio applies no gain: neither transmit nor receive gain changes anything unless a channel emulator stands
between gNB and UE.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from col.errors import InputError
from twin.strict import limits

__all__ = ["LockStep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockStep:
    """Pace of the virtual radio; `[radio.lock_step]` of a scenario with radio mode zmq."""

    pace_cap: float = field(default=1.0, metadata=limits(lower=0.01, upper=10))
    """Most slots a ms, whatever the CPU: between 0.06 and 4 were seen on real machines."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.pace_cap <= 10.0:
            raise InputError("must lie in 0.01 to 10 slots a ms", key="pace_cap", value=self.pace_cap)
