"""The gate: every reason against a plan, from what is known of the testbed now. It asks nobody and keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.backends.base import BackendDescription, Reading
from bridge.plan import Change, PlanRequest
from bridge.promotion import Promotion
from bridge.reasons import Reason
from bridge.settings import EngineSettings
from col.plant import Windows

__all__ = ["GateResult", "Observation", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known of the testbed at the moment of a plan.

    `reading` is None while the testbed cannot be read. `windows` are the latest closed ones (those of other
    configurations than `confirmed` are left out by the gate itself). `last_change_s_ago` is in seconds of the agent's
    monotonic clock since anything was applied or rolled back, None if nothing was; `now_wall_s` in seconds since 1970.
    `problems` are reasons that the agent itself has against any plan.
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

    `drift` is None where it is not known or not asked (exploration).
    """

    reasons: tuple[Reason, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    changes: tuple[Change, ...]
    drift: float | None = None
    notes: tuple[str, ...] = ()


def check(request: PlanRequest, observation: Observation, settings: EngineSettings) -> GateResult:
    """Return all that speaks against a request; InputError where the request itself is malformed."""
    before = dict(observation.reading.controls if observation.reading is not None else observation.confirmed)
    after = {**observation.confirmed, **request.target}
    changes = tuple(
        Change(control=c.name, before=before[c.name], after=after[c.name], unit=c.unit)
        for c in observation.description.plant.controls
        if c.name in before and c.name in after and before[c.name] != after[c.name]
    )
    return GateResult(reasons=observation.problems, before=before, after=after, changes=changes)
