"""Watching a promotion: a lost reply, timers, the windows that count, the verdict, and keeping what passed."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

import numpy as np

from bridge.backends.base import Reading
from bridge.engine_desk import Desk
from bridge.engine_rollback import begin, step, whose
from bridge.engine_windows import Recorder, merge
from bridge.identity import AGENT, Identity
from bridge.plan import Mode
from bridge.promotion import Actor, Cause, Event, State
from bridge.reasons import Reason, ReasonCode, RefusedForReasons
from bridge.records import Record
from bridge.watchdog import Watchdog, WatchState
from col.errors import RefusedError, UnreachableError
from col.plant import Windows
from col.specification import Specification, Verdict

__all__ = ["Watch"]

_MOST_JUDGED = 200
_MOST_LATE = 20
"""A window that comes so many windows after its successors is not even recorded any more."""
_GRACE_WINDOWS = 0.5
_GRACE_S = 0.25
"""A window that is later than both is missing. Less than the one window that a rollback has after its cause."""


class Watch:
    """What happens to the promotion in flight between its apply and its end."""

    def __init__(self, desk: Desk, recorder: Recorder) -> None:
        self._desk, self._recorder = desk, recorder
        self.is_blind = False
        """Whether controls or windows of the testbed could not be read at the last look."""
        self.specification = Specification.parse(desk.settings.requirements.specification, source="requirements")

    def horizon(self, record: Record) -> int:
        """Return the windows of one horizon: of φ, in exploration as many as were asked for."""
        asked = record.request.windows if record.request.mode is Mode.EXPLORATION else 0
        return asked or self.specification.horizon

    def tick(self) -> None:
        """Do for the promotion in flight whatever is due now."""
        record = self._desk.active
        if record is None:
            return
        if record.state is State.APPLYING:
            # Nobody is in `apply` any more: it was broken off by an error of the journal.
            begin(self._desk, Actor.AGENT, Cause.APPLY_FAILED, "applying was broken off")
        elif record.state is State.ROLLING_BACK:
            step(self._desk)
        elif not self.check_timers():
            if record.state is State.UNKNOWN:
                self.reconcile()
            else:
                self._watch(record)

    def check_timers(self) -> bool:
        """Roll back if a timer ran out; return whether one did."""
        record = self._desk.active
        if record is None or record.timers is None or record.state is State.ROLLING_BACK:
            return False
        expiry = record.timers.expiry(self._desk.now_s)
        if expiry is None:
            return False
        begin(self._desk, expiry.actor, expiry.cause, expiry.text, cause_s=expiry.at_s)
        return True

    def reconcile(self) -> None:
        """Find out by reading back what an apply without an answer did; again at the next tick if that fails."""
        desk, record = self._desk, self._desk.active
        reading = desk.read()
        if record is None or record.state is not State.UNKNOWN or reading is None or self.check_timers():
            return
        found = whose(record, reading)
        values = {c: reading.controls[c] for c in record.set_values}
        if len(found.ours) == len(record.set_values) and not reading.automation:
            self.started(record, Event.READ_BACK_TARGET, reading, first_sequence=reading.next_sequence)
            return
        is_base = len(found.base) == len(record.set_values)
        text = "no answer to apply, and it had no effect" if is_base else "no answer to apply, and a part of the effect"
        cause = Cause.APPLY_FAILED
        if found.others:
            text, cause = "no answer to apply, and somebody else's values are in force", Cause.TESTBED_CHANGED
        event = Event.READ_BACK_BASE if is_base else Event.READ_BACK_OTHER
        details = {"read_back": values, "cause": str(cause), "text": text, "cause_s": desk.now_s}
        desk.move(
            record,
            event,
            Actor.TESTBED,
            details=details,
            read_back=dict(reading.controls),
            cause=cause,
            cause_text=text,
            cause_s=desk.now_s,
        )
        step(desk)

    def started(self, record: Record, event: Event, reading: Reading, *, first_sequence: int) -> Record:
        """Begin to watch: the target is in force, windows count from `first_sequence` on."""
        desk, plant = self._desk, self._desk.calls.describe().plant
        settling_s = desk.settings.settle_s * plant.wall_window_s / plant.window_s
        timers = record.timers
        if event is Event.APPLIED and timers is not None:
            # Whoever called apply waited for us until now: the time in which the agent was busy is not its silence.
            timers = timers.renewed(desk.now_s)
        if event is Event.READ_BACK_TARGET or not record.set_values:
            # Nothing of ours began the windows anew: the one in progress may have just begun.
            settling_s = max(settling_s, plant.wall_window_s)
        return desk.move(
            record,
            event,
            Actor.TESTBED,
            details={"read_back": {c: reading.controls[c] for c in record.set_values}, "read_back_s": desk.read_s},
            read_back=dict(reading.controls),
            first_sequence=first_sequence,
            watch_begins_s=desk.now_s + settling_s,
            windows_needed=self.horizon(record) + desk.settings.watch.initial_delay_windows,
            timers=timers,
            is_outcome_unknown=False,
        )

    def _watch(self, record: Record) -> None:
        desk = self._desk
        reading = desk.read()
        if reading is not None and self._changed(record, reading):
            return
        since = max(record.first_sequence or 0, self._recorder.last + 1 - _MOST_LATE)
        self.is_blind = not self._recorder.pull(since) or reading is None
        first = self._judged_from(record)
        windows, lost = self._counted(record, first)
        if not len(windows) or (record.windows and int(windows.sequence[-1]) == record.windows[-1].sequence):
            self._try_to_keep(record)
            return
        state = Watchdog(
            self.specification,
            self.horizon(record),
            desk.settings.watch
            if first == record.first_sequence
            else replace(desk.settings.watch, initial_delay_windows=0),
            first_sequence=first,
            in_force=record.in_force,
            tolerance=record.tolerance,
        ).judge(windows)
        record = desk.save(
            replace(
                record,
                windows=state.watched,
                windows_needed=max(state.windows_needed, record.windows_needed),
                verdict=state.verdict,
                robustness=_known(state, record.robustness),
                lost=lost,
            )
        )
        self._decide(record, state, windows, lost)

    def _decide(self, record: Record, state: WatchState, windows: Windows, lost: tuple[int, ...]) -> None:
        desk = self._desk
        if state.changed:
            control, (ours, there) = next(iter(state.changed.items()))
            begin(desk, Actor.TESTBED, Cause.TESTBED_CHANGED, f"a window had {control} at {there:g}, not {ours:g}")
        elif state.give_up is not None:
            at_s = self._ended_s(record, windows, lost, state.last_sequence)
            begin(desk, Actor.WATCHDOG, state.give_up, _why(state, lost), cause_s=at_s)
        elif record.verdict is Verdict.PASS and record.request.auto_confirm:
            self._try_to_keep(record)
        elif record.request.mode is Mode.EXPLORATION and len(windows) >= self._asked(record):
            at_s = self._ended_s(record, windows, lost, int(windows.sequence[-1]))
            begin(desk, Actor.AGENT, Cause.TRIAL_OVER, f"{len(windows)} windows were watched", cause_s=at_s)

    def _asked(self, record: Record) -> int:
        return self.horizon(record) + self._desk.settings.watch.initial_delay_windows

    def _try_to_keep(self, record: Record) -> None:
        if record.verdict is Verdict.PASS and record.request.auto_confirm and not self.is_blind:
            with contextlib.suppress(RefusedError, UnreachableError):
                self.keep(record, AGENT, Actor.AGENT)

    def _judged_from(self, record: Record) -> int:
        """Return the first window that is judged: of a trial that waits long, whole rounds at its end."""
        first, asked = record.first_sequence or 0, self.horizon(record)
        rounds = (self._recorder.last - first - self._desk.settings.watch.initial_delay_windows) // asked
        if rounds * asked <= _MOST_JUDGED:
            return first
        kept = max(1, _MOST_JUDGED // asked)
        return first + self._desk.settings.watch.initial_delay_windows + (rounds - kept) * asked

    def keep(self, record: Record, who: Identity, actor: Actor) -> Record:
        """Confirm what is in force after one more look at it.

        Raises:
            UnreachableError: the testbed cannot be read; nothing changed.
            RefusedError: a timer ran out while the testbed was read; the promotion is rolling back.
            RefusedForReasons: something else is in force; the promotion is rolling back.
        """
        desk = self._desk
        reading = desk.read()
        if reading is None:
            raise UnreachableError(f"the testbed cannot be read: {desk.calls.problem}")
        if self._changed(record, reading):
            text = f"{record.cause_text or 'the testbed was changed by somebody else'}: rolled back"
            raise RefusedForReasons((Reason(code=ReasonCode.CONFLICT, text=text),))
        if self.check_timers():
            over = desk.find(record.promotion_id)
            raise RefusedError((f"promotion {record.promotion_id} is {over.state} ({over.cause_text})",))
        # The automation stays suspended: it would move what is confirmed here.
        facts = {"confirmed": {**desk.confirmed, **record.set_values}, "automation": False, "last_change_s": desk.now_s}
        details = {"values": dict(record.set_values), "robustness": record.robustness}
        return desk.move(record, Event.CONFIRM, actor, who=who, details=details, facts=facts)

    def _changed(self, record: Record, reading: Reading) -> bool:
        """Roll back if anything but the target is in force; return whether that is so."""
        foreign = {
            c: (value, reading.controls[c])
            for c, value in record.in_force.items()
            if c in reading.controls and not record.near(c, reading.controls[c], value)
        }
        if not foreign and not reading.automation:
            return False
        text = "the testbed's automation was switched on"
        if foreign:
            control, (ours, there) = next(iter(foreign.items()))
            text = f"somebody else changed {control} from {ours:g} to {there:g}"
        begin(self._desk, Actor.TESTBED, Cause.TESTBED_CHANGED, text)
        return True

    def _counted(self, record: Record, first: int) -> tuple[Windows, tuple[int, ...]]:
        """Return the windows from `first` on, a row for each that should be there by now, and those that were lost.

        A window that did not come in time, or came after its successor, is a row without metrics for good.
        """
        recent = self._recorder.recent
        seen = self._recorder.none() if recent is None else recent.take(recent.sequence >= first)
        seen = seen.take(~np.isin(seen.sequence, record.lost))
        due = max(
            self._due(record) - (first - (record.first_sequence or 0)),
            int(seen.sequence[-1]) - first + 1 if len(seen) else 0,
        )
        there = set(seen.sequence.tolist())
        lost = tuple(s for s in range(first, first + due) if s not in there)
        return (merge(seen, _blank(seen, record, lost)) if len(seen) else _blank(seen, record, lost)), lost

    def _due(self, record: Record) -> int:
        """Return how many windows must have closed by now: a testbed that stands still sends none at all."""
        wall_s = self._desk.calls.describe().plant.wall_window_s
        if wall_s <= 0 or record.watch_begins_s is None:
            return 0
        grace_s = max(_GRACE_WINDOWS * wall_s, _GRACE_S)
        return max(0, math.floor((self._desk.now_s - record.watch_begins_s - grace_s) / wall_s))

    def _ended_s(self, record: Record, windows: Windows, lost: tuple[int, ...], sequence: int | None) -> float | None:
        """Return when a window ended, on the agent's monotonic clock."""
        desk, plant = self._desk, self._desk.calls.describe().plant
        if sequence is None or record.first_sequence is None or plant.wall_window_s <= 0:
            return None
        rows = np.flatnonzero(windows.sequence == sequence)
        if sequence not in lost and len(rows) and desk.reading is not None:
            ago_s = (desk.reading.at_s - float(windows.end_s[rows[0]])) * plant.wall_window_s / plant.window_s
            return desk.read_s - max(0.0, ago_s)
        return (record.watch_begins_s or 0.0) + (sequence - record.first_sequence + 1) * plant.wall_window_s


def _blank(like: Windows, record: Record, sequence: tuple[int, ...]) -> Windows:
    n = len(sequence)
    unknown = np.full(n, np.nan)
    return Windows(
        sequence=np.array(sequence, dtype=np.int64),
        start_s=unknown,
        end_s=unknown,
        run=np.zeros(n, dtype=np.int64),
        controls={c: np.full(n, record.in_force.get(c, np.nan)) for c in like.controls},
        metrics={m: unknown for m in like.metrics},
        provenance=like.provenance,
    )


def _known(state: WatchState, before: float | None) -> float | None:
    """Return the robustness once it is known, its upper bound where that is a failure already.

    After a pass `before` stands while the next round is watched.
    """
    if state.verdict is None:
        return None
    bound = state.robustness_high if state.verdict is Verdict.FAIL else state.robustness_low
    return bound if math.isfinite(bound) else before


def _why(state: WatchState, lost: tuple[int, ...]) -> str:
    if state.give_up is Cause.SPECIFICATION_FAILED:
        return f"the specification failed: robustness at most {state.robustness_high:.3g}"
    return f"no verdict: {len(lost)} windows are missing" if lost else "no verdict: values are missing"
