"""A promotion: its states, who moves it, and what is known of it. The transition table is in `transitions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.identity import Identity
from bridge.plan import Plan
from bridge.reasons import Reason
from col.specification import Verdict

__all__ = ["Actor", "Cause", "Event", "Promotion", "State", "WatchedWindow"]


class State(StrEnum):
    """Where a promotion stands."""

    PLANNED = "planned"
    GATED = "gated"
    REFUSED = "refused"
    APPLYING = "applying"
    UNKNOWN = "unknown"
    WATCHING = "watching"
    CONFIRMED = "confirmed"
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"
    CONFLICT = "conflict"

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to it."""
        return self in (State.REFUSED, State.CONFIRMED, State.ROLLED_BACK, State.CONFLICT)

    @property
    def is_in_flight(self) -> bool:
        """Whether the testbed may differ from its confirmed configuration because of it."""
        return self in (State.APPLYING, State.UNKNOWN, State.WATCHING, State.ROLLING_BACK)


class Event(StrEnum):
    """What can happen to a promotion."""

    GATE_PASSED = "gate passed"
    GATE_REFUSED = "gate refused"
    APPLY = "apply"
    PLAN_EXPIRED = "plan expired"
    APPLIED = "applied"
    APPLY_REFUSED = "apply refused"
    REPLY_LOST = "reply lost"
    READ_BACK_TARGET = "read back target"
    READ_BACK_BASE = "read back base"
    READ_BACK_OTHER = "read back other"
    CONFIRM = "confirm"
    ROLL_BACK = "roll back"
    REVERTED = "reverted"
    REVERT_CONFLICT = "revert conflict"


class Actor(StrEnum):
    """Who makes an event happen."""

    OPERATOR = "operator"
    LEASE = "lease"
    DEADLINE = "deadline"
    WATCHDOG = "watchdog"
    AGENT = "agent"
    TESTBED = "testbed"
    RECOVERY = "recovery"


class Cause(StrEnum):
    """Why a promotion is rolled back."""

    NONE = "none"
    LEASE_EXPIRED = "lease expired"
    DEADLINE_PASSED = "deadline passed"
    SPECIFICATION_FAILED = "specification failed"
    INCONCLUSIVE = "inconclusive"
    CANCELLED = "cancelled"
    KILL_SWITCH = "kill switch"
    AGENT_RESTARTED = "agent restarted"
    APPLY_FAILED = "apply failed"
    TESTBED_CHANGED = "testbed changed"
    TRIAL_OVER = "trial over"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedWindow:
    """A window watched in a promotion and what φ says once it is known: robustness bounds of the trace so far."""

    sequence: int
    robustness_low: float
    robustness_high: float
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What is known of a promotion, as it stands.

    Times ending in `_s` are the agent's monotonic seconds; `lease_remaining_s` and `deadline_remaining_s` are for
    whoever has another clock (None where the timer does not run). `version` grows with every change, windows included.
    `conflicts` are controls that somebody else changed: control -> (what we had set, what is there).
    """

    promotion_id: str
    plan: Plan
    state: State
    who: Identity
    version: int
    created_wall_s: float
    reasons: tuple[Reason, ...] = ()
    verdict: Verdict | None = None
    robustness: float | None = None
    windows: tuple[WatchedWindow, ...] = ()
    windows_needed: int = 0
    first_sequence: int | None = None
    lease_remaining_s: float | None = None
    deadline_remaining_s: float | None = None
    auto_confirm: bool = False
    cause: Cause = Cause.NONE
    cause_text: str = ""
    conflicts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    read_back: Mapping[str, float] = field(default_factory=dict)
