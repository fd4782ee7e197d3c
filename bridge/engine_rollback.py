"""The way back: only what we set, only where it is still ours, read back, tried again until the testbed answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bridge.backends.base import Reading
from bridge.engine_desk import Desk
from bridge.identity import AGENT, Identity
from bridge.journal import Draft, JournalError
from bridge.promotion import Actor, Cause, Event, State
from bridge.records import Record
from col.errors import PlantError

__all__ = ["Ownership", "begin", "finish_kill", "revert_late_effect", "step", "whose"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Whose the values in force are, control by control: back at the base, still ours, or somebody else's."""

    base: tuple[str, ...]
    ours: tuple[str, ...]
    others: Mapping[str, tuple[float, float]]


def whose(record: Record, reading: Reading) -> Ownership:
    """Tell for each control that we set whose value is in force; PlantError if the reading does not say."""
    base, ours, others = [], [], {}
    for control, value in record.set_values.items():
        there = reading.controls.get(control, math.nan)
        if math.isnan(there):
            raise PlantError(f"the testbed's reading has no number for {control}")
        if record.near(control, there, value):
            ours.append(control)
        elif record.near(control, there, record.previous[control]):
            base.append(control)
        else:
            others[control] = (value, there)
    return Ownership(base=tuple(base), ours=tuple(ours), others=others)


def begin(
    desk: Desk,
    actor: Actor,
    cause: Cause,
    text: str,
    *,
    cause_s: float | None = None,
    who: Identity = AGENT,
    is_forced: bool = False,
    is_broken_off: bool = True,
) -> None:
    """Roll the promotion in flight back from now on, and take the first step at once.

    `is_broken_off` is False where the testbed has answered an apply, so that nothing can come late.
    """
    record = desk.active
    if record is None:
        return
    if record.state is not State.ROLLING_BACK:
        at_s = desk.now_s if cause_s is None else cause_s
        desk.move(
            record,
            Event.ROLL_BACK,
            actor,
            who=who,
            details={"cause": str(cause), "text": text, "cause_s": at_s},
            cause=cause,
            cause_text=text,
            cause_s=at_s,
            is_forced=is_forced,
            # Whoever was applying is dead, or broke off: its request may still be on its way.
            is_outcome_unknown=record.is_outcome_unknown or (record.state is State.APPLYING and is_broken_off),
        )
    elif is_forced and not record.is_forced:
        desk.save(replace(record, is_forced=True))
    step(desk)


def step(desk: Desk) -> None:
    """Take one step of the rollback in flight; what cannot be done now is left to the next one."""
    record = desk.active
    if record is None or record.state is not State.ROLLING_BACK:
        return
    try:
        if not desk.settings.rollback_enabled:
            _finish(desk, record, None, {})
        elif record.is_reverted:
            _finish_automation(desk, record, record.conflicts)
        else:
            _revert(desk, record)
    except JournalError:
        raise
    except PlantError as error:
        desk.calls.problem = f"the rollback is not finished: {error}"


def _revert(desk: Desk, record: Record) -> None:
    reading = desk.read()
    if reading is None:
        return
    now = whose(record, reading)
    back = [*now.ours, *(now.others if record.is_forced else ())]
    if record.is_outcome_unknown:
        # A request without an answer may still be on its way: one of ours behind it settles what comes last.
        back += now.base
    others = {} if record.is_forced else dict(now.others)
    if back:
        desk.calls.apply({c: record.previous[c] for c in back}, settle_s=desk.settings.settle_s)
        reading = desk.read()
        if reading is None or not all(record.near(c, reading.controls[c], record.previous[c]) for c in back):
            return
    record = desk.save(replace(record, is_reverted=True, conflicts=others, read_back=dict(reading.controls)))
    _finish_automation(desk, record, others)


def _finish_automation(desk: Desk, record: Record, others: Mapping[str, tuple[float, float]]) -> None:
    reading = desk.read()
    if reading is None:
        return
    if record.automation and not reading.automation:
        desk.calls.set_automation(True)
        reading = desk.read()
        if reading is None or not reading.automation:
            return
    _finish(desk, record, reading, others)


def _finish(desk: Desk, record: Record, reading: Reading | None, others: Mapping[str, tuple[float, float]]) -> None:
    now_s = desk.now_s
    desk.move(
        record,
        Event.REVERT_CONFLICT if others else Event.REVERTED,
        Actor.TESTBED,
        details={
            "cause": str(record.cause),
            "cause_s": record.cause_s,
            "restored_s": now_s,
            "read_back": {} if reading is None else {c: reading.controls[c] for c in record.set_values},
            "conflicts": others,
            "automation": None if reading is None else reading.automation,
        },
        facts={"last_change_s": now_s, "late": dict(record.set_values) if record.is_outcome_unknown else {}},
        conflicts=dict(others),
    )


def finish_kill(desk: Desk) -> bool:
    """Carry out the kill switch for what is not in flight: controls that we ever set, back to the confirmed values.

    Returns whether it is done; otherwise the next call goes on. It overwrites what somebody else set there.
    """
    if desk.kill is None:
        return True
    reading = desk.read()
    if reading is None:
        return False
    wrong = _wrong(desk, reading)
    if desk.settings.rollback_enabled:
        try:
            if not _is_confirmed(desk, reading, wrong):
                return False
        except PlantError as error:
            desk.calls.problem = f"not everything is rolled back: {error}"
            return False
    now_s = desk.now_s
    details = {"overwritten": wrong, "restored_s": now_s, "cause_s": desk.kill.get("cause_s")}
    facts: dict[str, object] = {"kill": None}
    if wrong:
        facts["last_change_s"] = now_s
    desk.note(Draft(kind="everything rolled back", who=AGENT.name, actor=Actor.TESTBED, details=details), facts)
    return True


def _is_confirmed(desk: Desk, reading: Reading, wrong: Mapping[str, object]) -> bool:
    """Set what is wrong, then the automation; return whether both read back as confirmed."""
    if wrong:
        desk.calls.apply({c: desk.confirmed[c] for c in wrong}, settle_s=desk.settings.settle_s)
        after = desk.read()
        if after is None or _wrong(desk, after):
            return False
        reading = after
    if desk.touched and reading.automation != desk.automation:
        desk.calls.set_automation(desk.automation)
        after = desk.read()
        return after is not None and after.automation == desk.automation
    return True


def _wrong(desk: Desk, reading: Reading) -> dict[str, tuple[float, float]]:
    return {
        c: (desk.confirmed[c], reading.controls[c])
        for c in sorted(desk.touched)
        if c in reading.controls and c in desk.confirmed and not desk.near(c, reading.controls[c], desk.confirmed[c])
    }


def revert_late_effect(desk: Desk, reading: Reading) -> None:
    """Take back what an apply without an answer did after its promotion was over: the values are still ours."""
    late = {
        c: value
        for c, value in desk.late.items()
        if c in reading.controls
        and desk.near(c, reading.controls[c], value)
        and not desk.near(c, desk.confirmed[c], value)
    }
    if not late or not desk.settings.rollback_enabled:
        desk.late_noted = {}
        return
    if late != desk.late_noted:  # once, however often it has to be tried
        desk.note(Draft(kind="late effect", who=AGENT.name, actor=Actor.TESTBED, details={"values": late}))
        desk.late_noted = late
    try:
        desk.calls.apply({c: desk.confirmed[c] for c in late}, settle_s=desk.settings.settle_s)
    except PlantError as error:
        desk.calls.problem = f"a late effect is not taken back: {error}"
