"""The two timers of a trial: the lease that its controller renews, and the deadline for the explicit confirm.

Both are points on the agent's monotonic clock, so that they can be kept in the journal and a stepped wall clock moves
neither. Either suffices to roll back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from bridge.promotion import Actor, Cause

__all__ = ["Expiry", "Timers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """A timer that ran out: who says so, what it is the cause of, and when it ran out (monotonic seconds)."""

    actor: Actor
    cause: Cause
    at_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """Both timers of one trial. `lease_ttl_s` is a span, the others are monotonic seconds of the agent."""

    lease_ttl_s: float
    lease_expires_s: float
    deadline_s: float

    @classmethod
    def started(cls, now_s: float, *, lease_ttl_s: float, trial_timeout_s: float) -> Self:
        """Return timers that start now."""
        return cls(lease_ttl_s=lease_ttl_s, lease_expires_s=now_s + lease_ttl_s, deadline_s=now_s + trial_timeout_s)

    def renewed(self, now_s: float) -> Self:
        """Return the timers after a heartbeat."""
        return replace(self, lease_expires_s=now_s + self.lease_ttl_s)

    def extended(self, now_s: float, trial_timeout_s: float) -> Self:
        """Return the timers with the deadline that many seconds from now."""
        return replace(self, deadline_s=now_s + trial_timeout_s)

    def expiry(self, now_s: float) -> Expiry | None:
        """Return the timer that ran out first, None while both run."""
        ends = []
        if now_s >= self.lease_expires_s:
            text = f"no heartbeat for {self.lease_ttl_s:g} s"
            ends.append(
                Expiry(actor=Actor.LEASE, cause=Cause.LEASE_EXPIRED, at_s=self.lease_expires_s, text=text),
            )
        if now_s >= self.deadline_s:
            text = "not confirmed before the trial's deadline"
            ends.append(Expiry(actor=Actor.DEADLINE, cause=Cause.DEADLINE_PASSED, at_s=self.deadline_s, text=text))
        return min(ends, key=lambda end: end.at_s, default=None)

    def to_dict(self) -> dict[str, float]:
        """Return the timers as plain data."""
        return {
            "lease_ttl_s": self.lease_ttl_s,
            "lease_expires_s": self.lease_expires_s,
            "deadline_s": self.deadline_s,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, float]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**data)
