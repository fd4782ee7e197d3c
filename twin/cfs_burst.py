"""CFS burst: quota not used in a period that a cgroup may use later (cpu.max.burst, docs.kernel.org sched-bwc)."""

from __future__ import annotations

from dataclasses import dataclass, field

from col.errors import InputError
from twin.strict import limits

__all__ = ["CfsBurst"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CfsBurst:
    """Most CPU-ms that are carried over, of every DU and every CU; `[cfs]` of a scenario.

    At each refill the quota left becomes min(left + quota, quota + burst). Linux takes no burst above the quota; here
    min(burst, quota) counts, with the quota as it is at the refill.
    """

    burst_du_ms: float = field(default=0.0, metadata=limits(lower=0, upper=100_000))
    burst_cu_ms: float = field(default=0.0, metadata=limits(lower=0, upper=100_000))

    def __post_init__(self) -> None:
        for key in ("burst_du_ms", "burst_cu_ms"):
            if not 0.0 <= getattr(self, key) <= 1e5:
                raise InputError("must lie in 0 to 100000 CPU-ms", key=key, value=getattr(self, key))
