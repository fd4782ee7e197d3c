"""Promotions, plans, reasons, status and journal, to the wire and from it.

The modules `convert*` are the only ones that know how the wire says it. They are strict and bounded both ways: whatever
they return is sound, and InputError names the field that is not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from bridge.convert_plant import backend_from, backend_to, reading_from, reading_to
from bridge.convert_values import (
    MOST_NAMES,
    EnumTable,
    check_digest,
    check_name,
    check_names,
    check_number,
    check_numbers,
    check_promotion_id,
    check_whole,
    check_why,
    clean_line,
    clean_lines,
    duration_from,
    duration_to,
    timestamp_from,
    timestamp_to,
)
from bridge.identity import Identity, Role
from bridge.plan import Change, Mode, Plan, PlanRequest
from bridge.promotion import Cause, Promotion, State, WatchedWindow
from bridge.reasons import Reason, ReasonCode
from bridge.testbed import JournalEntry, TestbedStatus
from col.certificate import MOST_BYTES, SignedCertificate
from col.errors import InputError
from col.specification import Verdict
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb

__all__ = [
    "ENUM_TABLES",
    "entry_from",
    "entry_to",
    "plan_from",
    "plan_to",
    "promotion_from",
    "promotion_to",
    "reason_from",
    "reason_to",
    "request_from",
    "request_to",
    "status_from",
    "status_to",
    "trial_timeout_from",
    "trial_timeout_to",
]

MOST_DETAILS_BYTES = 1024 * 1024
MOST_WATCHED_WINDOWS = 10_000
MOST_REASONS = 1000
LONGEST_LEASE_S = 86_400.0
LONGEST_TRIAL_S = 7 * 86_400.0
SHORTEST_S = 1e-3

MODES = EnumTable(Mode, pb.Mode, "MODE")
STATES = EnumTable(State, pb.PromotionState, "PROMOTION_STATE")
CAUSES = EnumTable(Cause, pb.RollbackCause, "ROLLBACK_CAUSE")
VERDICTS = EnumTable(Verdict, pb.Verdict, "VERDICT")
ROLES = EnumTable(Role, pb.Role, "ROLE")
REASON_CODES = EnumTable(ReasonCode, pb.ReasonCode, "REASON_CODE")
ENUM_TABLES = (MODES, STATES, CAUSES, VERDICTS, ROLES, REASON_CODES)


def reason_to(reason: Reason) -> pb.Reason:
    """Return a reason as a message."""
    facts = {check_name(k, "facts"): clean_line(v) for k, v in list(reason.facts.items())[:100]}
    return pb.Reason(code=REASON_CODES.to(reason.code), text=clean_line(reason.text), facts=facts)


def reason_from(message: pb.Reason) -> Reason:
    """Return a reason, or raise InputError."""
    if len(message.facts) > 100:
        raise InputError("at most 100 facts", key="facts", value=len(message.facts))
    facts = {check_name(key, "facts"): clean_line(value) for key, value in sorted(message.facts.items())}
    return Reason(code=REASON_CODES.read(message.code, "reason.code"), text=clean_line(message.text), facts=facts)


def request_to(request: PlanRequest) -> pb.PromotionRequest:
    """Return a request as a message; InputError where the agent would refuse to read it."""
    certificate = request.certificate
    return pb.PromotionRequest(
        promotion_id=check_promotion_id(request.promotion_id),
        target=check_numbers(request.target, "target"),
        certificate=None if certificate is None else _certificate_to(certificate),
        mode=MODES.to(request.mode),
        why=check_why(request.why),
        watched_windows=check_whole(request.windows, "watched_windows", high=MOST_WATCHED_WINDOWS),
        lease_ttl=duration_to(request.lease_ttl_s, "lease_ttl", low=SHORTEST_S, high=LONGEST_LEASE_S),
        trial_timeout=duration_to(request.trial_timeout_s, "trial_timeout", low=SHORTEST_S, high=LONGEST_TRIAL_S),
        auto_confirm=request.auto_confirm,
        validate_only=request.dry_run,
    )


def request_from(message: pb.PromotionRequest) -> PlanRequest:
    """Return a request, or raise InputError."""
    defaults = PlanRequest(promotion_id="default", target={})
    lease_ttl_s, trial_timeout_s = defaults.lease_ttl_s, defaults.trial_timeout_s
    if message.HasField("lease_ttl"):
        lease_ttl_s = duration_from(message.lease_ttl, "lease_ttl", low=SHORTEST_S, high=LONGEST_LEASE_S)
    if message.HasField("trial_timeout"):
        trial_timeout_s = duration_from(message.trial_timeout, "trial_timeout", low=SHORTEST_S, high=LONGEST_TRIAL_S)
    return PlanRequest(
        promotion_id=check_promotion_id(message.promotion_id),
        target=check_numbers(message.target, "target"),
        certificate=_certificate_from(message.certificate) if message.HasField("certificate") else None,
        mode=MODES.read(message.mode, "mode"),
        why=check_why(message.why),
        windows=check_whole(message.watched_windows, "watched_windows", high=MOST_WATCHED_WINDOWS),
        lease_ttl_s=lease_ttl_s,
        trial_timeout_s=trial_timeout_s,
        auto_confirm=message.auto_confirm,
        dry_run=message.validate_only,
    )


def trial_timeout_to(seconds: float) -> pb.ExtendTrialRequest:
    """Return a request that carries a new deadline."""
    return pb.ExtendTrialRequest(
        trial_timeout=duration_to(seconds, "trial_timeout", low=SHORTEST_S, high=LONGEST_TRIAL_S)
    )


def trial_timeout_from(message: pb.ExtendTrialRequest) -> float:
    """Return the new deadline in seconds from now, or raise InputError."""
    if not message.HasField("trial_timeout"):
        raise InputError("missing", key="trial_timeout")
    return duration_from(message.trial_timeout, "trial_timeout", low=SHORTEST_S, high=LONGEST_TRIAL_S)


def _certificate_to(certificate: SignedCertificate) -> pb.SignedCertificate:
    message = pb.SignedCertificate(payload=certificate.payload, signature=certificate.signature)
    _certificate_from(message)
    return message


def _certificate_from(message: pb.SignedCertificate) -> SignedCertificate:
    if not 0 < len(message.payload) <= MOST_BYTES:
        raise InputError(f"must have 1 to {MOST_BYTES} bytes", key="certificate.payload", value=len(message.payload))
    if len(message.signature) != 64:
        raise InputError("must have 64 bytes", key="certificate.signature", value=len(message.signature))
    return SignedCertificate(payload=message.payload, signature=message.signature)


def plan_to(plan: Plan) -> pb.Plan:
    """Return a plan as a message."""
    return pb.Plan(
        request=request_to(plan.request),
        before=check_numbers(plan.before, "before"),
        after=check_numbers(plan.after, "after"),
        changes=[
            pb.Change(
                control_name=check_name(c.control, "changes"),
                before=check_number(c.before, c.control),
                after=check_number(c.after, c.control),
                unit=check_name(c.unit, c.control, empty=True),
            )
            for c in plan.changes
        ],
        digest=check_digest(plan.digest, "digest"),
        reasons=[reason_to(reason) for reason in plan.reasons[:MOST_REASONS]],
        drift=None if plan.drift is None else check_number(plan.drift, "drift", low=0.0, infinite=True),
        expires_in=duration_to(max(0.0, plan.expires_in_s), "expires_in"),
        notes=clean_lines(plan.notes),
    )


def plan_from(message: pb.Plan) -> Plan:
    """Return a plan, or raise InputError."""
    _bounded(len(message.changes), MOST_NAMES, "changes")
    _bounded(len(message.reasons), MOST_REASONS, "reasons")
    return Plan(
        request=request_from(message.request),
        before=check_numbers(message.before, "before"),
        after=check_numbers(message.after, "after"),
        changes=tuple(
            Change(
                control=check_name(c.control_name, "changes"),
                before=check_number(c.before, c.control_name),
                after=check_number(c.after, c.control_name),
                unit=check_name(c.unit, c.control_name, empty=True),
            )
            for c in message.changes
        ),
        digest=check_digest(message.digest, "digest"),
        reasons=tuple(reason_from(reason) for reason in message.reasons),
        drift=check_number(message.drift, "drift", low=0.0, infinite=True) if message.HasField("drift") else None,
        expires_in_s=duration_from(message.expires_in, "expires_in"),
        notes=clean_lines(message.notes),
    )


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
    _bounded(len(m.reasons), MOST_REASONS, "reasons")
    _bounded(len(m.windows), MOST_WATCHED_WINDOWS, "windows")
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


def status_to(status: TestbedStatus) -> pb.TestbedStatus:
    """Return the agent's picture of its testbed as a message."""
    return pb.TestbedStatus(
        backend=backend_to(status.backend),
        reading=None if status.reading is None else reading_to(status.reading),
        confirmed=check_numbers(status.confirmed, "confirmed"),
        specification=_specification(status.specification),
        alpha=check_number(status.alpha, "alpha", low=0.0, high=1.0),
        active=None if status.active is None else promotion_to(status.active),
        exploration_enabled=status.exploration_enabled,
        journal_entries=check_whole(status.journal_entries, "journal_entries"),
        drift=None if status.drift is None else check_number(status.drift, "drift", low=0.0, infinite=True),
        agent_version=check_name(status.agent_version, "agent_version", empty=True),
        problems=clean_lines(status.problems),
    )


def status_from(message: pb.TestbedStatus) -> TestbedStatus:
    """Return the agent's picture of its testbed, or raise InputError."""
    return TestbedStatus(
        backend=backend_from(message.backend),
        reading=reading_from(message.reading) if message.HasField("reading") else None,
        confirmed=check_numbers(message.confirmed, "confirmed"),
        specification=_specification(message.specification),
        alpha=check_number(message.alpha, "alpha", low=0.0, high=1.0),
        active=promotion_from(message.active) if message.HasField("active") else None,
        exploration_enabled=message.exploration_enabled,
        journal_entries=check_whole(message.journal_entries, "journal_entries"),
        drift=check_number(message.drift, "drift", low=0.0, infinite=True) if message.HasField("drift") else None,
        agent_version=check_name(message.agent_version, "agent_version", empty=True),
        problems=clean_lines(message.problems),
    )


def _specification(text: str) -> str:
    if len(text) > 20_000:
        raise InputError("longer than 20000 characters", key="specification")
    return "".join(c if c.isprintable() else " " for c in text)


def entry_to(entry: JournalEntry) -> pb.JournalEntry:
    """Return an entry of the journal as a message; what its hash covers comes out unchanged."""
    return pb.JournalEntry(
        number=check_whole(entry.number, "number"),
        written_at=timestamp_to(entry.wall_s, "written_at"),
        monotonic_s=check_number(entry.monotonic_s, "monotonic_s"),
        promotion_id=entry.promotion_id and check_promotion_id(entry.promotion_id),
        details_json=_details_to(entry.details),
        **{key: check_name(getattr(entry, key), key, empty=True) for key in _ENTRY_NAMES},
    )


def entry_from(message: pb.JournalEntry) -> JournalEntry:
    """Return an entry of the journal, or raise InputError."""
    return JournalEntry(
        number=check_whole(message.number, "number"),
        wall_s=timestamp_from(message.written_at, "written_at"),
        monotonic_s=check_number(message.monotonic_s, "monotonic_s"),
        promotion_id=message.promotion_id and check_promotion_id(message.promotion_id),
        details=_details_from(message.details_json),
        **{key: check_name(getattr(message, key), key, empty=True) for key in _ENTRY_NAMES},
    )


_ENTRY_NAMES = ("who", "actor", "kind", "state_before", "state_after", "previous_hash", "hash")


def _details_to(details: Mapping[str, object]) -> str:
    try:
        text = json.dumps(dict(details), sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError("are not JSON", key="details") from error
    _bounded(len(text), MOST_DETAILS_BYTES, "details")
    return text


def _details_from(text: str) -> Mapping[str, object]:
    _bounded(len(text), MOST_DETAILS_BYTES, "details_json")
    try:
        details = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("is not JSON", key="details_json") from error
    if not isinstance(details, dict):
        raise InputError("must be an object", key="details_json")
    return details


def _bounded(size: int, most: int, key: str) -> None:
    if size > most:
        raise InputError(f"at most {most}", key=key, value=size)
