"""The record of a promotion: all that the engine needs to finish it, also after its own death; kept in the journal."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.identity import Identity, Role
from bridge.lease import Timers
from bridge.plan import Change, Mode, Plan, PlanRequest
from bridge.promotion import Cause, Promotion, State, WatchedWindow
from bridge.reasons import Reason, ReasonCode
from col.certificate import SignedCertificate
from col.errors import InputError
from col.specification import Verdict

__all__ = ["IdTakenError", "Record", "UnknownIdError"]


class IdTakenError(InputError):
    """The promotion id belongs to another request: choose another one."""


class UnknownIdError(InputError):
    """No promotion has this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A promotion as the agent keeps it. Times ending in `_s` are monotonic seconds of the agent.

    `set_values` are the controls that we set and `previous` what they go back to; a value counts as one of them within
    `tolerance` (each in its control's unit). `automation` says that the testbed's automation was on and has to be
    again after a rollback. `watch_begins_s` is when the first window that counts begins. `lost` are windows that did
    not come in time. `is_outcome_unknown`: a request of ours may still be on its way. `is_forced`: the kill switch,
    which overwrites what somebody else set. `is_reverted`: the values are back, the automation may not be yet.
    """

    plan: Plan
    state: State
    who: Identity
    version: int
    created_wall_s: float
    planned_s: float
    reasons: tuple[Reason, ...] = ()
    timers: Timers | None = None
    previous: Mapping[str, float] = field(default_factory=dict)
    set_values: Mapping[str, float] = field(default_factory=dict)
    in_force: Mapping[str, float] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=dict)
    automation: bool = False
    first_sequence: int | None = None
    watch_begins_s: float | None = None
    windows: tuple[WatchedWindow, ...] = ()
    windows_needed: int = 0
    lost: tuple[int, ...] = ()
    verdict: Verdict | None = None
    robustness: float | None = None
    cause: Cause = Cause.NONE
    cause_text: str = ""
    cause_s: float | None = None
    conflicts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    read_back: Mapping[str, float] = field(default_factory=dict)
    is_outcome_unknown: bool = False
    is_forced: bool = False
    is_reverted: bool = False

    @property
    def promotion_id(self) -> str:
        """The id that its controller gave it."""
        return self.plan.request.promotion_id

    @property
    def request(self) -> PlanRequest:
        """What was asked for."""
        return self.plan.request

    def near(self, control: str, value: float, other: float) -> bool:
        """Return whether two values of a control are the same as far as the testbed can tell."""
        return abs(value - other) <= self.tolerance.get(control, 0.0) + 1e-9

    def promotion(self, now_s: float) -> Promotion:
        """Return what others see of it, with what is left of its timers."""
        timers = self.timers if self.state.is_in_flight and self.state is not State.ROLLING_BACK else None
        return Promotion(
            promotion_id=self.promotion_id,
            plan=self.plan,
            state=self.state,
            who=self.who,
            version=self.version,
            created_wall_s=self.created_wall_s,
            reasons=self.reasons,
            verdict=self.verdict,
            robustness=self.robustness,
            windows=self.windows,
            windows_needed=self.windows_needed,
            first_sequence=self.first_sequence,
            lease_remaining_s=None if timers is None else max(0.0, timers.lease_expires_s - now_s),
            deadline_remaining_s=None if timers is None else max(0.0, timers.deadline_s - now_s),
            auto_confirm=self.request.auto_confirm,
            cause=self.cause,
            cause_text=self.cause_text,
            conflicts=self.conflicts,
            read_back=self.read_back,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data; `from_dict` reads it."""
        return {
            "plan": _plan_to_dict(self.plan),
            "state": str(self.state),
            "who": [self.who.name, str(self.who.role), self.who.proof],
            "version": self.version,
            "created_wall_s": self.created_wall_s,
            "planned_s": self.planned_s,
            "reasons": _reasons_to_list(self.reasons),
            "timers": None if self.timers is None else self.timers.to_dict(),
            "previous": dict(self.previous),
            "set_values": dict(self.set_values),
            "in_force": dict(self.in_force),
            "tolerance": dict(self.tolerance),
            "automation": self.automation,
            "first_sequence": self.first_sequence,
            "watch_begins_s": self.watch_begins_s,
            "windows": [[w.sequence, w.robustness_low, w.robustness_high, list(w.missing)] for w in self.windows],
            "windows_needed": self.windows_needed,
            "lost": list(self.lost),
            "verdict": None if self.verdict is None else str(self.verdict),
            "robustness": self.robustness,
            "cause": str(self.cause),
            "cause_text": self.cause_text,
            "cause_s": self.cause_s,
            "conflicts": {c: list(pair) for c, pair in self.conflicts.items()},
            "read_back": dict(self.read_back),
            "is_outcome_unknown": self.is_outcome_unknown,
            "is_forced": self.is_forced,
            "is_reverted": self.is_reverted,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Read what `to_dict` wrote."""
        name, role, proof = data["who"]
        values = dict(data)
        values |= {
            "plan": _plan_from_dict(data["plan"]),
            "state": State(data["state"]),
            "who": Identity(name=name, role=Role(role), proof=proof),
            "reasons": _reasons_from_list(data["reasons"]),
            "timers": None if data["timers"] is None else Timers.from_dict(data["timers"]),
            "windows": tuple(
                WatchedWindow(sequence=s, robustness_low=low, robustness_high=high, missing=tuple(missing))
                for s, low, high, missing in data["windows"]
            ),
            "lost": tuple(data["lost"]),
            "verdict": None if data["verdict"] is None else Verdict(data["verdict"]),
            "cause": Cause(data["cause"]),
            "conflicts": {c: (ours, there) for c, (ours, there) in data["conflicts"].items()},
        }
        return cls(**values)


def _plan_to_dict(plan: Plan) -> dict[str, Any]:
    request = plan.request
    certificate = request.certificate
    signed = None
    if certificate is not None:
        signed = [base64.b64encode(part).decode() for part in (certificate.payload, certificate.signature)]
    return {
        "request": {
            "promotion_id": request.promotion_id,
            "target": dict(request.target),
            "certificate": signed,
            "mode": str(request.mode),
            "why": request.why,
            "windows": request.windows,
            "lease_ttl_s": request.lease_ttl_s,
            "trial_timeout_s": request.trial_timeout_s,
            "auto_confirm": request.auto_confirm,
            "dry_run": request.dry_run,
        },
        "before": dict(plan.before),
        "after": dict(plan.after),
        "changes": [[c.control, c.before, c.after, c.unit] for c in plan.changes],
        "digest": plan.digest,
        "reasons": _reasons_to_list(plan.reasons),
        "drift": plan.drift,
        "expires_in_s": plan.expires_in_s,
        "notes": list(plan.notes),
    }


def _plan_from_dict(data: Mapping[str, Any]) -> Plan:
    request = dict(data["request"])
    if request["certificate"] is not None:
        payload, signature = (base64.b64decode(part) for part in request["certificate"])
        request["certificate"] = SignedCertificate(payload=payload, signature=signature)
    request["mode"] = Mode(request["mode"])
    return Plan(
        request=PlanRequest(**request),
        before=data["before"],
        after=data["after"],
        changes=tuple(Change(control=c, before=b, after=a, unit=u) for c, b, a, u in data["changes"]),
        digest=data["digest"],
        reasons=_reasons_from_list(data["reasons"]),
        drift=data["drift"],
        expires_in_s=data["expires_in_s"],
        notes=tuple(data["notes"]),
    )


def _reasons_to_list(reasons: tuple[Reason, ...]) -> list[Any]:
    return [[str(r.code), r.text, dict(r.facts)] for r in reasons]


def _reasons_from_list(data: list[Any]) -> tuple[Reason, ...]:
    return tuple(Reason(code=ReasonCode(code), text=text, facts=facts) for code, text, facts in data)
