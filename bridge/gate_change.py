"""What the gate asks of the change itself: controls that exist, settable values, and exploration's own box."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bridge.gate_words import shown
from bridge.plan import Change
from bridge.reasons import Reason, ReasonCode
from bridge.settings import Exploration
from col.errors import InputError
from col.limits import limit_of
from col.plant import Control

__all__ = ["changes_between", "check_numbers", "exploration_reasons", "is_same", "target_reasons"]

_MOST_CONTROLS = 10_000


def check_numbers(target: Mapping[str, float]) -> None:
    """Raise InputError where a target is no number that a control could take."""
    if len(target) > _MOST_CONTROLS:
        raise InputError(f"names more than {_MOST_CONTROLS} controls", source="plan", key="target")
    for name, value in target.items():
        if not _is_finite(value):
            raise InputError("must be a finite number", source="plan", key=f"target.{shown(str(name))}")


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def is_same(control: Control, value: float, other: float) -> bool:
    """Whether two values of a control are the same to the testbed: no more than half a resolution apart."""
    return abs(value - other) <= control.resolution / 2 + 1e-9


def changes_between(
    before: Mapping[str, float], after: Mapping[str, float], controls: Sequence[Control]
) -> tuple[Change, ...]:
    """Return the controls that would not be as they are, in the testbed's order."""
    return tuple(
        Change(control=c.name, before=before[c.name], after=after[c.name], unit=c.unit)
        for c in controls
        if c.name in before and c.name in after and not is_same(c, before[c.name], after[c.name])
    )


def target_reasons(
    target: Mapping[str, float], changes: Sequence[Change], controls: Sequence[Control], *, may_stay: bool
) -> list[Reason]:
    """Return which named controls cannot be set so. `may_stay`: a plan that changes nothing is allowed."""
    known = {c.name: c for c in controls}
    changed = {c.control for c in changes}
    reasons = []
    for name in sorted(target):
        control = known.get(name)
        if control is None:
            text = f"this testbed has no control {shown(name)}"
            reasons.append(Reason(code=ReasonCode.UNKNOWN_CONTROL, text=text, facts={"control": shown(name)}))
            continue
        reasons += _value_reasons(control, float(target[name]))
    for name in sorted(changed):
        if not known[name].live:
            text = f"{name} cannot be changed while the testbed runs: it needs a restart"
            reasons.append(Reason(code=ReasonCode.NOT_LIVE, text=text, facts={"control": name}))
    if not changes and not may_stay:
        reasons.append(Reason(code=ReasonCode.NO_CHANGE, text="everything that is asked for is in force already"))
    return reasons


def _value_reasons(control: Control, value: float) -> list[Reason]:
    reasons = []
    facts = {"control": control.name, "value": repr(value)}
    if not control.lower - 1e-9 <= value <= control.upper + 1e-9:
        text = f"{control.name} = {value:g} {control.unit} lies outside [{control.lower:g}, {control.upper:g}]"
        bounds = {"lower": repr(control.lower), "upper": repr(control.upper)}
        reasons.append(Reason(code=ReasonCode.OUT_OF_BOUNDS, text=text, facts={**facts, **bounds}))
    steps = (value - control.lower) / control.resolution
    is_off = math.isfinite(steps) and abs(steps - math.floor(steps + 0.5)) > 1e-3
    if is_off and abs(value - control.upper) > 1e-9:
        nearest = control.snap(min(max(value, control.lower), control.upper))
        text = (
            f"{control.name} = {value:.9g} {control.unit} cannot be set: the steps are {control.resolution:g} "
            f"{control.unit}, the nearest value is {nearest:.9g}"
        )
        more = {"resolution": repr(control.resolution)}
        reasons.append(Reason(code=ReasonCode.OFF_RESOLUTION, text=text, facts={**facts, **more}))
    return reasons


def exploration_reasons(
    changes: Sequence[Change], exploration: Exploration, controls: Sequence[Control]
) -> list[Reason]:
    """Return why the operator's exploration mode does not cover these changes.

    A control that the box does not name (nor its kind, see `col.limits`) may not be explored; one end that is not
    named is the control's own.
    """
    reasons = []
    if not exploration.enabled:
        text = "exploration is switched off at this agent: only certified interventions are carried out"
        reasons.append(Reason(code=ReasonCode.EXPLORATION_OFF, text=text))
    known = {c.name: c for c in controls}
    for change in changes:
        control = known[change.control]
        lower, upper = (limit_of(control.name, ends) for ends in (exploration.lower, exploration.upper))
        if lower is None and upper is None:
            text = f"{control.name} may not be explored: the operator's box does not name it"
            reasons.append(Reason(code=ReasonCode.OUTSIDE_EXPLORATION_BOX, text=text, facts={"control": control.name}))
            continue
        low = control.lower if lower is None else lower
        high = control.upper if upper is None else upper
        if not low - 1e-9 <= change.after <= high + 1e-9:
            text = f"{control.name} = {change.after:g} {control.unit} lies outside the explored box [{low:g}, {high:g}]"
            facts = {"control": control.name, "value": repr(change.after), "lower": repr(low), "upper": repr(high)}
            reasons.append(Reason(code=ReasonCode.OUTSIDE_EXPLORATION_BOX, text=text, facts=facts))
    return reasons
