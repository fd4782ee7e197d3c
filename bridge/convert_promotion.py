"""Promotions, to the wire and from it."""

from __future__ import annotations

import math

from bridge.convert_plan import MOST_REASONS, MOST_WATCHED_WINDOWS, plan_from, plan_to, reason_from, reason_to
from bridge.convert_values import (
    EnumTable,
    check_most,
    check_name,
    check_names,
    check_number,
    check_numbers,
    check_promotion_id,
    check_whole,
    clean_line,
    duration_from,
    duration_to,
    timestamp_from,
    timestamp_to,
)
from bridge.identity import Identity, Role
from bridge.promotion import Cause, Promotion, State, WatchedWindow
from col.specification import Verdict
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb

__all__ = ["CAUSES", "ROLES", "STATES", "VERDICTS", "promotion_from", "promotion_to"]

STATES = EnumTable(State, pb.PromotionState, "PROMOTION_STATE")
CAUSES = EnumTable(Cause, pb.RollbackCause, "ROLLBACK_CAUSE")
VERDICTS = EnumTable(Verdict, pb.Verdict, "VERDICT")
ROLES = EnumTable(Role, pb.Role, "ROLE")


def promotion_to(promotion: Promotion) -> pb.Promotion:
    """Return a promotion as a message."""
    p = promotion
    return pb.Promotion(
        promotion_id=check_promotion_id(p.promotion_id),
        plan=plan_to(p.plan),
        state=STATES.to(p.state),
        who=_identity_to(p.who),
        version=check_whole(p.version, "version"),
        created_at=timestamp_to(p.created_wall_s, "created_at"),
        reasons=[reason_to(reason) for reason in p.reasons[:MOST_REASONS]],
        verdict=None if p.verdict is None else VERDICTS.to(p.verdict),
        robustness=None if p.robustness is None or math.isnan(p.robustness) else p.robustness,
        windows=[_watched_to(w) for w in p.windows[-MOST_WATCHED_WINDOWS:]],
        windows_needed=check_whole(p.windows_needed, "windows_needed", high=MOST_WATCHED_WINDOWS),
        first_sequence=None if p.first_sequence is None else check_whole(p.first_sequence, "first_sequence"),
        lease_remaining=None if p.lease_remaining_s is None else duration_to(max(0.0, p.lease_remaining_s), "lease"),
        deadline_remaining=(
            None if p.deadline_remaining_s is None else duration_to(max(0.0, p.deadline_remaining_s), "deadline")
        ),
        auto_confirm=p.auto_confirm,
        cause=CAUSES.to(p.cause),
        cause_text=clean_line(p.cause_text),
        conflicts=[
            pb.Conflict(
                control_name=check_name(name, "conflicts"),
                set_value=check_number(ours, name),
                found_value=check_number(found, name),
            )
            for name, (ours, found) in p.conflicts.items()
        ],
        read_back=check_numbers(p.read_back, "read_back"),
    )


def promotion_from(message: pb.Promotion) -> Promotion:
    """Return a promotion, or raise InputError."""
    m = message
    check_most(len(m.reasons), MOST_REASONS, "reasons")
    check_most(len(m.windows), MOST_WATCHED_WINDOWS, "windows")
    check_names((c.control_name for c in m.conflicts), "conflicts")
    return Promotion(
        promotion_id=check_promotion_id(m.promotion_id),
        plan=plan_from(m.plan),
        state=STATES.read(m.state, "state"),
        who=_identity_from(m.who),
        version=check_whole(m.version, "version"),
        created_wall_s=timestamp_from(m.created_at, "created_at"),
        reasons=tuple(reason_from(reason) for reason in m.reasons),
        verdict=VERDICTS.read(m.verdict, "verdict") if m.verdict else None,
        robustness=check_number(m.robustness, "robustness", infinite=True) if m.HasField("robustness") else None,
        windows=tuple(_watched_from(w) for w in m.windows),
        windows_needed=check_whole(m.windows_needed, "windows_needed", high=MOST_WATCHED_WINDOWS),
        first_sequence=check_whole(m.first_sequence, "first_sequence") if m.HasField("first_sequence") else None,
        lease_remaining_s=duration_from(m.lease_remaining, "lease") if m.HasField("lease_remaining") else None,
        deadline_remaining_s=(
            duration_from(m.deadline_remaining, "deadline") if m.HasField("deadline_remaining") else None
        ),
        auto_confirm=m.auto_confirm,
        cause=CAUSES.read(m.cause, "cause"),
        cause_text=clean_line(m.cause_text),
        conflicts={
            c.control_name: (check_number(c.set_value, c.control_name), check_number(c.found_value, c.control_name))
            for c in m.conflicts
        },
        read_back=check_numbers(m.read_back, "read_back"),
    )


def _watched_to(window: WatchedWindow) -> pb.WatchedWindow:
    low, high = window.robustness_low, window.robustness_high
    return pb.WatchedWindow(
        sequence=check_whole(window.sequence, "windows.sequence"),
        robustness_low=None if math.isnan(low) or low == -math.inf else low,
        robustness_high=None if math.isnan(high) or high == math.inf else high,
        missing_metric_names=check_names(window.missing, "windows.missing"),
    )


def _watched_from(message: pb.WatchedWindow) -> WatchedWindow:
    low = message.robustness_low if message.HasField("robustness_low") else -math.inf
    high = message.robustness_high if message.HasField("robustness_high") else math.inf
    return WatchedWindow(
        sequence=check_whole(message.sequence, "windows.sequence"),
        robustness_low=check_number(low, "windows.robustness_low", infinite=True),
        robustness_high=check_number(high, "windows.robustness_high", infinite=True),
        missing=check_names(message.missing_metric_names, "windows.missing_metric_names"),
    )


def _identity_to(who: Identity) -> pb.Identity:
    return pb.Identity(name=check_name(who.name, "who"), role=ROLES.to(who.role), proof=clean_line(who.proof))


def _identity_from(message: pb.Identity) -> Identity:
    return Identity(
        name=check_name(message.name, "who"), role=ROLES.read(message.role, "who"), proof=clean_line(message.proof)
    )
