"""Why something was refused: one code per reason, so that programs can tell them apart, and one line for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from col.errors import RefusedError

__all__ = ["Reason", "ReasonCode", "RefusedForReasons"]


class ReasonCode(StrEnum):
    """What a reason is; the text travels as `ErrorInfo.reason` in upper case."""

    CERTIFICATE_MISSING = "certificate_missing"
    CERTIFICATE_FORGED = "certificate_forged"
    CERTIFICATE_UNTRUSTED_KEY = "certificate_untrusted_key"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    OTHER_SPECIFICATION = "other_specification"
    OTHER_SCENARIO = "other_scenario"
    OTHER_TESTBED = "other_testbed"
    OTHER_STACK = "other_stack"
    OTHER_RADIO_MODE = "other_radio_mode"
    OTHER_CALIBRATION = "other_calibration"
    OTHER_WINDOW = "other_window"
    BOUND_BELOW_ALPHA = "bound_below_alpha"
    UNCERTIFIED_CONTROL = "uncertified_control"
    UNCERTIFIED_TARGET = "uncertified_target"
    UNKNOWN_CONTROL = "unknown_control"
    NOT_LIVE = "not_live"
    NO_CHANGE = "no_change"
    OUT_OF_BOUNDS = "out_of_bounds"
    OFF_RESOLUTION = "off_resolution"
    STEP_TOO_LARGE = "step_too_large"
    TOO_MANY_GNBS = "too_many_gnbs"
    LAST_HEALTHY_CELL = "last_healthy_cell"
    TOO_SOON = "too_soon"
    DRIFT = "drift"
    DRIFT_UNKNOWN = "drift_unknown"
    METRIC_MISSING = "metric_missing"
    METRIC_ESTIMATED = "metric_estimated"
    SPECIFICATION_FAILS_NOW = "specification_fails_now"
    SPECIFICATION_INCONCLUSIVE_NOW = "specification_inconclusive_now"
    TRIAL_IN_FLIGHT = "trial_in_flight"
    PLAN_STALE = "plan_stale"
    PLAN_EXPIRED = "plan_expired"
    CONFLICT = "conflict"
    EXPLORATION_OFF = "exploration_off"
    OUTSIDE_EXPLORATION_BOX = "outside_exploration_box"
    TESTBED_REFUSED = "testbed_refused"
    BACKEND_UNREACHABLE = "backend_unreachable"
    JOURNAL_FULL = "journal_full"
    JOURNAL_DAMAGED = "journal_damaged"
    REPAIR_NEEDS_REASON = "repair_needs_reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason: what it is, one line for people with the numbers and their units, and the same as data."""

    code: ReasonCode
    text: str
    facts: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


class RefusedForReasons(RefusedError):
    """A refusal with its reasons as data: what the engine raises, and the client again at the other end of the wire."""

    def __init__(self, details: tuple[Reason, ...]) -> None:
        self.details = details
        super().__init__(tuple(str(reason) for reason in details))
