"""A plan: what would change, before -> after, checked by the gate and bound to what was observed by its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.reasons import Reason
from col.certificate import SignedCertificate

__all__ = ["Change", "Mode", "Plan", "PlanRequest", "plan_digest"]


class Mode(StrEnum):
    """Why an intervention may go to the testbed."""

    PROMOTION = "promotion"
    EXPLORATION = "exploration"
    REPAIR = "repair"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What is asked for. `target` names the controls to set, in their units; the others keep their confirmed values.

    A promotion and a repair need `certificate`; exploration needs none but the operator's mode at the agent. A repair
    is for a testbed that does not satisfy φ now, and needs a `why`. `windows` are watched in exploration (a promotion
    watches the horizon of φ). `trial_timeout_s` is the deadline for the explicit confirm, on the agent's clock.
    """

    promotion_id: str
    target: Mapping[str, float]
    certificate: SignedCertificate | None = None
    mode: Mode = Mode.PROMOTION
    why: str = ""
    windows: int = 0
    lease_ttl_s: float = 10.0
    trial_timeout_s: float = 600.0
    auto_confirm: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One control: what is in force and what would be, in `unit`."""

    control: str
    before: float
    after: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The agent's answer to a request: what would change and every reason against it.

    `before` and `after` are full control vectors; `digest` covers both, the request and the confirmed configuration,
    so that a plan that the testbed has moved away from is refused. `drift` is the gap between testbed and certificate
    (1 is the edge of what the twin predicted, None is unknown); `notes` say what limits the plan without forbidding it.
    """

    request: PlanRequest
    before: Mapping[str, float]
    after: Mapping[str, float]
    changes: tuple[Change, ...]
    digest: str
    reasons: tuple[Reason, ...] = ()
    drift: float | None = None
    expires_in_s: float = 0.0
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def is_allowed(self) -> bool:
        """Whether the gate found nothing against it."""
        return not self.reasons


def plan_digest(request: PlanRequest, before: Mapping[str, float], confirmed: Mapping[str, float]) -> str:
    """Return the SHA-256 (hex) over all that a plan rests on: the request, what was observed, what is confirmed."""
    certificate = request.certificate
    content = {
        "promotion_id": request.promotion_id,
        "mode": str(request.mode),
        "why": request.why,
        "target": dict(request.target),
        "certificate": None if certificate is None else certificate.digest,
        "windows": request.windows,
        "lease_ttl_s": request.lease_ttl_s,
        "trial_timeout_s": request.trial_timeout_s,
        "auto_confirm": request.auto_confirm,
        "before": dict(before),
        "confirmed": dict(confirmed),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
