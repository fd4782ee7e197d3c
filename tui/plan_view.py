"""A plan and a promotion in words: what would change, on what evidence, what stands against it, what is happening.

Lines of text without colour or width: a terminal, a log and a test see the same words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.plan import Plan
from bridge.promotion import Cause, Promotion, State, WatchedWindow
from bridge.reasons import Reason
from bridge.testbed import TestbedStatus
from tui.figures.svg import number

__all__ = [
    "change_lines",
    "ending",
    "evidence_lines",
    "plan_lines",
    "promotion_json",
    "reason_lines",
    "seconds",
    "standing",
    "testbed_line",
    "window_line",
    "windows_watched",
]


def testbed_line(status: TestbedStatus) -> str:
    """Return what testbed that is, EMULATED where it is."""
    plant = status.backend.plant
    emulated = "EMULATED testbed" if plant.emulated else "testbed"
    return f"{emulated} {plant.plant_id}: {status.backend.stack}, radio mode {status.backend.radio_mode}"


def change_lines(plan: Plan) -> list[str]:
    """Return the plan as a diff: control, value before, value after, difference, each with its unit."""
    if not plan.changes:
        return ["  no control would change"]
    width = max(len(change.control) for change in plan.changes)
    return [
        f"  {change.control:<{width}}  {change.before:>7.3f} -> {change.after:>7.3f} {change.unit}"
        f"  ({change.after - change.before:+.3f} {change.unit})"
        for change in plan.changes
    ]


def evidence_lines(plan: Plan) -> list[str]:
    """Return what speaks for the plan: the certificate's bound and horizons, its calibration, the drift now."""
    signed = plan.request.certificate
    drift = "unknown" if plan.drift is None else f"{plan.drift:.2f} (1 is the edge of what the twin predicts)"
    if signed is None:
        return ["  no certificate: exploration, inside the box that the operator set at the agent", f"  drift {drift}"]
    certificate = signed.certificate()
    until = f"{datetime.fromtimestamp(certificate.expires_at_s, UTC):%Y-%m-%d %H:%M} UTC"
    return [
        f"  P(φ | do(x)) ≥ {certificate.bound:.3f} with {number(100 * (1 - certificate.delta), 1)} % confidence, "
        f"α {certificate.alpha:g}: φ held in {certificate.passes} of {certificate.horizons} fresh horizons on the twin",
        f"  scenario {certificate.scenario}, calibration {certificate.calibration_id}, valid until {until}",
        f"  certificate {signed.digest[:12]}, key {certificate.key_id[:16]}; drift {drift}",
    ]


def reason_lines(reasons: Sequence[Reason]) -> list[str]:
    """Return every reason against a plan, its code first."""
    return [f"  {reason.code}: {reason.text}" for reason in reasons]


def plan_lines(plan: Plan) -> list[str]:
    """Return a plan as it is shown before anybody says yes."""
    lines = [f"plan {plan.request.promotion_id} ({plan.request.mode}):", *change_lines(plan)]
    lines += ["evidence:", *evidence_lines(plan)]
    lines += [f"  note: {note}" for note in plan.notes]
    if plan.reasons:
        lines += [f"refused, {len(plan.reasons)} reason{'s' if len(plan.reasons) > 1 else ''}:"]
        lines += reason_lines(plan.reasons)
    return lines


def window_line(window: WatchedWindow, count: int, needed: int) -> str:
    """Return one watched window: its number and how far φ is from failing, as far as that is known."""
    name = f"window {count} of {needed}" if count <= needed else f"window {count}, after the verdict"
    if window.missing:
        return f"{name}: inconclusive, missing {', '.join(window.missing)}"
    return f"{name}: robustness {_between(window.robustness_low, window.robustness_high)}"


def windows_watched(promotion: Promotion) -> str:
    """Return how many windows were watched, of those that the verdict needs; more until it is confirmed come on top."""
    needed = promotion.windows_needed
    more = len(promotion.windows) - needed
    return f"{min(len(promotion.windows), needed)} of {needed}" + (f" and {more} more" if more > 0 else "")


def standing(promotion: Promotion) -> str:
    """Return where a promotion stands, in one line: state, windows, verdict, lease, deadline."""
    parts = [str(promotion.state).upper(), f"windows {windows_watched(promotion)}"]
    if promotion.verdict is not None:
        parts.append(f"φ {promotion.verdict}")
    if promotion.robustness is not None:
        parts.append(f"robustness {promotion.robustness:+.3f}")
    if promotion.lease_remaining_s is not None:
        parts.append(f"lease {seconds(promotion.lease_remaining_s)}")
    if promotion.deadline_remaining_s is not None:
        parts.append(f"deadline {seconds(promotion.deadline_remaining_s)}")
    return ", ".join(parts)


def ending(promotion: Promotion) -> list[str]:
    """Return how a promotion ended and why."""
    match promotion.state:
        case State.CONFIRMED:
            return [f"confirmed: {_configuration(promotion.plan)} stay in force"]
        case State.REFUSED:
            return ["refused:", *reason_lines(promotion.reasons or promotion.plan.reasons)]
    why = promotion.cause_text or (str(promotion.cause) if promotion.cause is not Cause.NONE else "")
    lines = [f"{promotion.state}: {why}" if why else str(promotion.state)]
    lines += [
        f"  {control}: we had set {ours:g}, somebody else set {theirs:g}; left as it is"
        for control, (ours, theirs) in promotion.conflicts.items()
    ]
    return lines


def seconds(value: float) -> str:
    """Return a time left: seconds below two minutes, minutes above."""
    value = max(value, 0.0)
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def promotion_json(promotion: Promotion) -> dict[str, Any]:
    """Return a promotion for machines."""
    return {
        "promotion_id": promotion.promotion_id,
        "state": promotion.state,
        "mode": promotion.plan.request.mode,
        "verdict": promotion.verdict,
        "robustness": promotion.robustness,
        "cause": promotion.cause,
        "cause_text": promotion.cause_text,
        "windows": [
            {
                "sequence": w.sequence,
                "robustness_low": w.robustness_low,
                "robustness_high": w.robustness_high,
                "missing": w.missing,
            }
            for w in promotion.windows
        ],
        "before": promotion.plan.before,
        "after": promotion.plan.after,
        "read_back": promotion.read_back,
        "reasons": [{"code": r.code, "text": r.text} for r in promotion.reasons or promotion.plan.reasons],
        "conflicts": promotion.conflicts,
        "who": promotion.who.name,
    }


def _configuration(plan: Plan) -> str:
    return ", ".join(f"{change.control} {change.after:g} {change.unit}" for change in plan.changes)


def _between(low: float, high: float) -> str:
    """Return bounds of a robustness: what later windows may still take away from it is not known yet."""
    if high - low < 5e-4:
        return f"{low:+.3f}"
    if math.isinf(low):
        return "not known yet" if math.isinf(high) else f"{high:+.3f} so far"
    return f"{low:+.3f} or more" if math.isinf(high) else f"between {low:+.3f} and {high:+.3f}"
