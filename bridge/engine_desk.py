"""What the parts of the engine share: journal, testbed, the promotion in flight; and how a promotion is moved."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bridge.backends.base import Backend, Reading
from bridge.clock import Clock
from bridge.engine_calls import Calls
from bridge.gate import GateResult, Observation
from bridge.identity import AGENT, Identity
from bridge.journal import Draft, Journal, JournalError
from bridge.plan import PlanRequest
from bridge.promotion import Actor, Event, State
from bridge.reasons import Reason, ReasonCode
from bridge.records import Record, UnknownIdError
from bridge.settings import EngineSettings
from bridge.transitions import next_state
from col.errors import InputError, RefusedError

__all__ = ["Desk", "Gate", "require_operator"]

Gate = Callable[[PlanRequest, Observation, EngineSettings], GateResult]
"""The gate, as the engine is given it."""


_FACTS = ("confirmed", "automation", "touched", "resolution", "last_change_s", "late", "kill")
"""What is remembered beside promotions; `kill` is a kill switch that is not carried out yet, `late` what a request
without an answer may still set."""


class Desk:
    """State that the parts of the engine share, all in one thread.

    `active` is the promotion in flight; `reading` what was in force when the testbed was last read (None if it could
    not be); `version` grows with every change that somebody may watch.
    """

    def __init__(self, backend: Backend, journal: Journal, gate: Gate, settings: EngineSettings, clock: Clock) -> None:
        self.calls = Calls(backend)
        self.journal, self.gate, self.settings, self.clock = journal, gate, settings, clock
        self.reading: Reading | None = None
        self.read_s = clock.monotonic()
        self.started_s = clock.monotonic()
        self.version = 0
        self.damage = ""
        self.late_noted: dict[str, float] = {}
        self._unwritten: list[tuple[Draft, Record | None, Mapping[str, object]]] = []
        facts = {name: journal.fact(name) for name in _FACTS}
        self.is_other_boot = journal.fact("boot") != clock.boot
        if self.is_other_boot and facts["last_change_s"] is not None:
            facts["last_change_s"] = 0.0  # monotonic time began anew: it was before that
        self._take(facts)
        self.unreadable = journal.unreadable()
        unfinished = journal.unfinished()
        self.active: Record | None = next((r for r in unfinished if r.state.is_in_flight), None)
        self.gated = {r.promotion_id: r for r in unfinished if not r.state.is_in_flight}

    def _take(self, facts: Mapping[str, Any]) -> None:
        for name, value in facts.items():
            if name == "confirmed":
                self.confirmed: dict[str, float] = dict(value or {})
            elif name == "automation":
                self.automation = bool(value)
            elif name == "touched":
                self.touched: frozenset[str] = frozenset(value or ())
            elif name == "resolution":
                self.resolution: dict[str, float] = dict(value or {})
            elif name == "last_change_s":
                self.last_change_s: float | None = value
            elif name == "late":
                self.late: dict[str, float] = dict(value or {})
            elif name == "kill":
                self.kill: dict[str, Any] | None = value

    @property
    def now_s(self) -> float:
        """Monotonic seconds of the agent."""
        return self.clock.monotonic()

    def near(self, control: str, value: float, other: float) -> bool:
        """Return whether two values of a control are the same as far as the testbed can tell: half a resolution."""
        return abs(value - other) <= self.resolution.get(control, 0.0) / 2 + 1e-9

    def read(self) -> Reading | None:
        """Read the testbed; None if that is not possible now."""
        self.reading = self.calls.try_read()
        self.read_s = self.now_s
        return self.reading

    def find(self, promotion_id: str) -> Record:
        """Return a promotion's record; UnknownIdError for an id that is not known."""
        record = self.active
        if record is None or record.promotion_id != promotion_id:
            record = self.gated.get(promotion_id) or self.journal.record(promotion_id)
        if record is None:
            raise UnknownIdError("no such promotion", key="promotion_id", value=promotion_id[:64])
        return record

    def planned(self, record: Record, who: Identity, details: Mapping[str, object]) -> None:
        """Write a new promotion."""
        draft = Draft(
            kind="planned",
            who=who.name,
            actor=Actor.OPERATOR,
            promotion_id=record.promotion_id,
            state_after=record.state,
            details={"proof": who.proof, **details},
        )
        self._append(draft, record, {}, is_critical=False)
        self._keep(record)

    def learn(self, reading: Reading | None) -> None:
        """At the first start, what is in force becomes the confirmed configuration; InputError for another testbed."""
        description = self.calls.description
        if description is None:
            return
        known, here = self.journal.fact("testbed"), description.plant.plant_id
        if known is not None and known != here:
            raise InputError(f"belongs to testbed {known!r}, not to {here!r}", source=str(self.journal.path))
        new = [c for c in description.plant.controls if c.name not in self.confirmed]
        if not new or reading is None:
            return
        values = {c.name: reading.controls[c.name] for c in new}
        automation = self.automation if known is not None else reading.automation
        facts = {
            "confirmed": {**self.confirmed, **values},
            "automation": automation,
            "resolution": {c.name: c.resolution for c in description.plant.controls},
            "testbed": here,
        }
        kind = "new controls" if known is not None else "first reading"
        details = {"values": values, "automation": automation, "testbed": here}
        self.note(Draft(kind=kind, who=AGENT.name, actor=Actor.AGENT, details=details), facts)

    def problems(self) -> tuple[Reason, ...]:
        """Return what the agent itself has against any plan."""
        found = []
        if self.damage:
            found.append(Reason(code=ReasonCode.JOURNAL_DAMAGED, text=f"the journal is damaged: {self.damage}"))
        if self.kill is not None:
            found.append(Reason(code=ReasonCode.TRIAL_IN_FLIGHT, text="everything is being rolled back"))
        return tuple(found)

    def move(
        self,
        record: Record,
        event: Event,
        actor: Actor,
        *,
        who: Identity = AGENT,
        details: Mapping[str, object] | None = None,
        facts: Mapping[str, object] | None = None,
        **changes: Any,
    ) -> Record:
        """Write a transition, and make it so once it is durable; return the record after it.

        Everything from `applying` on may use the journal's reserve. Rolling back does not wait for a journal that
        cannot be written at all: what it needs is durable already, and the entry is written as soon as possible.
        """
        after = next_state(record.state, event, actor)
        moved = replace(record, state=after, version=record.version + 1, **changes)
        draft = Draft(
            kind=str(event),
            who=who.name,
            actor=str(actor),
            promotion_id=record.promotion_id,
            state_before=str(record.state),
            state_after=str(after),
            details={"proof": who.proof, **(details or {})},
        )
        self._append(draft, moved, facts or {}, is_critical=record.state.is_in_flight)
        self._keep(moved)
        return moved

    def note(self, draft: Draft, facts: Mapping[str, object] | None = None) -> None:
        """Write an entry that belongs to no transition; critical: it comes before something that brings values back."""
        self._append(draft, None, facts or {}, is_critical=True)
        self.version += 1

    def change(self, record: Record, who: Identity, kind: str, details: Mapping[str, object], **changes: Any) -> Record:
        """Write a change of a promotion that leaves it in its state."""
        changed = replace(record, version=record.version + 1, **changes)
        draft = Draft(
            kind=kind,
            who=who.name,
            actor=Actor.OPERATOR,
            promotion_id=record.promotion_id,
            state_before=record.state,
            state_after=record.state,
            details={"proof": who.proof, **details},
        )
        self._append(draft, changed, {}, is_critical=False)
        self._keep(changed)
        return changed

    def renew(self, record: Record) -> Record:
        """Take a heartbeat."""
        assert record.timers is not None
        return self.save(replace(record, timers=record.timers.renewed(self.now_s)))

    def order_kill(self, draft: Draft, order: dict[str, Any]) -> None:
        """Write the kill switch; it works without a journal too, only that a restart forgets it then."""
        self.kill = order
        with contextlib.suppress(JournalError):
            self.note(draft, {"kill": order})

    def save(self, record: Record) -> Record:
        """Keep a record that changed without a transition; what cannot be written now is only remembered."""
        record = replace(record, version=record.version + 1)
        with contextlib.suppress(JournalError):
            self.flush()
            self.journal.save(record)
        self._keep(record)
        return record

    def flush(self) -> None:
        """Write the entries that could not be written when their time had come."""
        while self._unwritten:
            draft, record, facts = self._unwritten[0]
            self.journal.append(draft, record, facts, is_critical=True)
            self._unwritten.pop(0)

    def _append(self, draft: Draft, record: Record | None, facts: Mapping[str, object], *, is_critical: bool) -> None:
        try:
            self.flush()
            self.journal.append(draft, record, facts, is_critical=is_critical)
        except JournalError:
            if draft.state_after != State.ROLLING_BACK:
                raise
            self._unwritten.append((draft, record, facts))
        self._take(facts)

    def _keep(self, record: Record) -> None:
        self.version += 1
        self.gated.pop(record.promotion_id, None)
        if record.state.is_in_flight:
            self.active = record
            return
        if self.active is not None and self.active.promotion_id == record.promotion_id:
            self.active = None
        if not record.state.is_final:
            self.gated[record.promotion_id] = record
        else:
            with contextlib.suppress(JournalError):
                self.journal.prune(self.settings.promotions_kept)


def require_operator(who: Identity) -> None:
    """Raise RefusedError unless this identity may change the testbed."""
    if not who.may_operate:
        raise RefusedError((f"{who.name} may look at this testbed, not change it",))
