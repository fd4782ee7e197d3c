"""Requests, plans and reasons, to the wire and from it."""

from __future__ import annotations

from bridge.convert_values import (
    MOST_NAMES,
    EnumTable,
    check_digest,
    check_most,
    check_name,
    check_number,
    check_numbers,
    check_promotion_id,
    check_whole,
    check_why,
    clean_line,
    clean_lines,
    duration_from,
    duration_to,
)
from bridge.plan import Change, Mode, Plan, PlanRequest
from bridge.reasons import Reason, ReasonCode
from col.certificate import MOST_BYTES, SignedCertificate
from col.errors import InputError
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb

__all__ = [
    "MODES",
    "MOST_REASONS",
    "MOST_WATCHED_WINDOWS",
    "REASON_CODES",
    "plan_from",
    "plan_to",
    "reason_from",
    "reason_to",
    "request_from",
    "request_to",
    "trial_timeout_from",
    "trial_timeout_to",
]

MOST_WATCHED_WINDOWS = 10_000
MOST_REASONS = 1000
LONGEST_LEASE_S = 86_400.0
LONGEST_TRIAL_S = 7 * 86_400.0
SHORTEST_S = 1e-3

MODES = EnumTable(Mode, pb.Mode, "MODE")
REASON_CODES = EnumTable(ReasonCode, pb.ReasonCode, "REASON_CODE")


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
    check_most(len(message.changes), MOST_NAMES, "changes")
    check_most(len(message.reasons), MOST_REASONS, "reasons")
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
