"""The gate: every reason against a plan, from what is known of the testbed now. It asks nobody and keeps nothing.

No reason hides another: all that apply are returned. What each mode asks:

* a promotion asks for everything;
* a repair asks for the same and for a `why`, but not that the testbed satisfies φ now (that alone is waived, and with
  it the drift of the metrics in conjuncts of φ that fail now, or that are not measured any more: the twin predicted
  that they hold, so that this gap is the violation itself, and to insist on it would refuse every repair);
* exploration asks for no certificate and knows no drift, but for the operator's mode with its box and steps; it may
  change nothing, since a trial of the confirmed configuration is a trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from bridge.backends.base import BackendDescription, Reading
from bridge.blast import blast_reasons, spacing_reason
from bridge.drift import Drift, estimate_drift
from bridge.gate_certificate import certificate_reasons, read_certificate, vector_reasons
from bridge.gate_change import changes_between, check_numbers, exploration_reasons, target_reasons
from bridge.gate_now import (
    at_configuration,
    conflict_reasons,
    drift_reasons,
    failing_metrics,
    metric_reasons,
    since_in_force,
    specification_reasons,
)
from bridge.gate_words import shown
from bridge.plan import Change, Mode, PlanRequest
from bridge.promotion import Promotion
from bridge.reasons import Reason, ReasonCode
from bridge.settings import EngineSettings
from col.plant import Windows
from col.specification import Specification

__all__ = ["GateResult", "Observation", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known of the testbed at the moment of a plan.

    `reading` is None while the testbed cannot be read. `windows` are the latest closed ones (those of other
    configurations than the one in force are left out by the gate itself). `last_change_s_ago` is in seconds of the
    agent's monotonic clock since anything was applied or rolled back, None if nothing was; `now_wall_s` in seconds
    since 1970. `problems` are reasons that the agent itself has against any plan.
    """

    description: BackendDescription
    reading: Reading | None
    confirmed: Mapping[str, float]
    windows: Windows
    active: Promotion | None
    now_wall_s: float
    last_change_s_ago: float | None = None
    problems: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """Every reason against a plan, and what it would change: `before` and `after` are full control vectors.

    `drift` is None where it is not known or not asked (exploration); `evidence` has what it rests on. `notes` say what
    limits the plan without forbidding it.
    """

    reasons: tuple[Reason, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    changes: tuple[Change, ...]
    drift: float | None = None
    notes: tuple[str, ...] = ()
    evidence: Drift | None = None


def check(request: PlanRequest, observation: Observation, settings: EngineSettings) -> GateResult:
    """Return all that speaks against a request.

    Controls that are not named take their confirmed values; `changes` are those that are not in force.

    Raises:
        InputError: the request has a target that is no finite number, or the agent's own φ cannot be read.
    """
    check_numbers(request.target)
    controls = observation.description.plant.controls
    before, unread = _before(observation)
    after = {
        c.name: request.target.get(c.name, observation.confirmed.get(c.name, before.get(c.name))) for c in controls
    }
    planned = {name: float(value) for name, value in after.items() if value is not None}
    changes = changes_between(before, planned, controls)
    explores = request.mode is Mode.EXPLORATION
    here = observation.windows
    if observation.reading is None or not observation.reading.automation:
        here = since_in_force(here, at_configuration(here, before, controls))
    now, notes = _now(request, observation, settings, here)
    evidence, drift = ([], None) if explores else _evidence(request, observation, settings, before, planned, notes)
    reasons = [
        *observation.problems,
        *unread,
        *_in_flight(observation),
        *evidence,
        *target_reasons(request.target, changes, controls, may_stay=explores),
        *(exploration_reasons(changes, settings.exploration, controls) if explores else ()),
        *_blast(changes, observation, settings, explores=explores),
        *now,
    ]
    overall = None if drift is None else drift.overall
    return GateResult(
        reasons=tuple({(r.code, r.text): r for r in reasons}.values()),
        before=before,
        after=planned,
        changes=changes,
        drift=overall if overall is None or math.isfinite(overall) else None,
        notes=tuple(notes),
        evidence=drift,
    )


@lru_cache(maxsize=8)
def _parsed(text: str) -> Specification:
    return Specification.parse(text, source="requirements")


def _before(observation: Observation) -> tuple[dict[str, float], list[Reason]]:
    """Return the full control vector in force, as far as it is known, and what is not known of it."""
    reading = observation.reading
    if reading is None:
        if any(p.code is ReasonCode.BACKEND_UNREACHABLE for p in observation.problems):
            return dict(observation.confirmed), []
        text = "the testbed cannot be read: not known what is in force"
        return dict(observation.confirmed), [Reason(code=ReasonCode.BACKEND_UNREACHABLE, text=text)]
    before, reasons = {}, []
    for control in observation.description.plant.controls:
        value = reading.controls.get(control.name)
        if value is not None and math.isfinite(value):
            before[control.name] = float(value)
            continue
        if (confirmed := observation.confirmed.get(control.name)) is not None:
            before[control.name] = confirmed
        text = f"the testbed does not say what is in force for {control.name}"
        facts = {"control": control.name}
        reasons.append(Reason(code=ReasonCode.BACKEND_UNREACHABLE, text=text, facts=facts))
    return before, reasons


def _in_flight(observation: Observation) -> list[Reason]:
    """Return the promotion that is under way, or that somebody else has been at work."""
    active, reading = observation.active, observation.reading
    if active is not None and active.state.is_in_flight:
        text = f"promotion {shown(active.promotion_id)} of {shown(active.who.name)} is under way ({active.state})"
        facts = {"promotion_id": active.promotion_id, "state": str(active.state)}
        return [Reason(code=ReasonCode.TRIAL_IN_FLIGHT, text=text, facts=facts)]
    if reading is None or reading.automation:
        return []
    return conflict_reasons(reading, observation.confirmed, observation.description.plant.controls)


def _evidence(
    request: PlanRequest,
    observation: Observation,
    settings: EngineSettings,
    before: Mapping[str, float],
    after: Mapping[str, float],
    notes: list[str],
) -> tuple[list[Reason], Drift | None]:
    """Return what is wrong with the certificate, and the drift against what it predicts; what is waived is noted."""
    requirements, description = settings.requirements, observation.description
    certificate, reasons = read_certificate(request.certificate, requirements.trusted_keys)
    if certificate is None:
        return reasons, None
    specification = _parsed(requirements.specification)
    controls = description.plant.controls
    reasons += certificate_reasons(certificate, requirements, specification, description, observation.now_wall_s)
    reasons += vector_reasons(certificate, before, after, controls)
    windows = at_configuration(observation.windows, certificate.base, controls)

    def drift_of(metrics: frozenset[str]) -> Drift:
        return estimate_drift(windows, certificate.predictions, least=requirements.drift_windows, needed=metrics)

    drift = drift_of(specification.metrics)
    against = drift_reasons(drift, requirements, description)
    if against and request.mode is Mode.REPAIR and len(windows) >= requirements.drift_windows:
        holding = specification.metrics - failing_metrics(specification, windows, frozenset(drift.unknown))
        left = drift_reasons(drift_of(holding), requirements, description) if holding else []
        notes += [f"waived for a repair: {reason.text}" for reason in against if reason not in left]
        against = left
    return [*reasons, *against], drift


def _blast(
    changes: tuple[Change, ...], observation: Observation, settings: EngineSettings, *, explores: bool
) -> list[Reason]:
    """Return where too much would change at once; exploration has steps of its own."""
    limits = settings.exploration if explores else settings.blast
    return [
        *blast_reasons(
            changes,
            observation.description,
            observation.windows,
            largest_step=limits.largest_step,
            most_gnbs=limits.most_gnbs,
        ),
        *spacing_reason(observation.last_change_s_ago, settings.blast.min_spacing_s),
    ]


def _now(
    request: PlanRequest, observation: Observation, settings: EngineSettings, here: Windows
) -> tuple[list[Reason], list[str]]:
    """Return what speaks against the testbed as it is, and notes: what is waived for a repair, what else moves it."""
    specification = _parsed(settings.requirements.specification)
    accept = settings.requirements.accept_estimated
    reasons = metric_reasons(specification, observation.description, observation.windows, accept)
    failing, robustness = specification_reasons(specification, here, observation.reading)
    notes = []
    if request.mode is Mode.REPAIR:
        notes += [f"waived for a repair: {reason.text}" for reason in failing]
        if not request.why.strip():
            text = "a repair needs a reason: say why"
            reasons.append(Reason(code=ReasonCode.REPAIR_NEEDS_REASON, text=text))
    else:
        reasons += failing
    if not failing:
        notes.append(f"the testbed satisfies the specification now: robustness {robustness:.3g}")
    if observation.reading is not None and observation.reading.automation:
        notes.append("the testbed's own automation moves controls; it is suspended during the trial")
    return reasons, notes
