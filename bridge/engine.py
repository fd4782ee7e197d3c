"""The engine: every operation of a testbed's agent, synchronous, in one thread, over a backend and a journal.

The thread that owns it calls `recover` once, then `tick` at every poll interval and the operations in between;
heartbeats that wait go before a tick, so that a busy agent does not look like a dead controller. No operation waits for
time to pass; each makes a few calls to the backend, all bounded.
"""

from __future__ import annotations

import contextlib
from importlib.metadata import PackageNotFoundError, version

from bridge.backends.base import Backend
from bridge.clock import Clock
from bridge.engine_desk import Desk, Gate, require_operator
from bridge.engine_plan import Planner
from bridge.engine_request import check_timeout
from bridge.engine_rollback import begin, finish_kill, revert_late_effect, step
from bridge.engine_watch import Watch
from bridge.engine_windows import Recorder
from bridge.identity import AGENT, Identity
from bridge.journal import Draft, Journal, JournalError
from bridge.plan import Plan, PlanRequest
from bridge.promotion import Actor, Cause, Event, Promotion, State
from bridge.reasons import Reason, ReasonCode, RefusedForReasons
from bridge.records import Record
from bridge.settings import EngineSettings
from bridge.testbed import JournalEntry, TestbedStatus
from bridge.transitions import TransitionError
from col.errors import RantwinError, RefusedError, UnreachableError
from col.plant import Windows
from col.specification import Verdict

__all__ = ["Engine"]

_MOST_ROWS = 10_000
_LEASED = (State.APPLYING, State.UNKNOWN, State.WATCHING)


class Engine:
    """The operations of `bridge.testbed.Testbed`, the writing ones with whoever asks; errors as described there."""

    def __init__(self, backend: Backend, journal: Journal, gate: Gate, settings: EngineSettings, clock: Clock) -> None:
        self._desk = Desk(backend, journal, gate, settings, clock)
        self._recorder = Recorder(self._desk)
        self._watch = Watch(self._desk, self._recorder)
        self._planner = Planner(self._desk, self._recorder, self._watch)
        self._journal = journal
        self._drift: float | None = None
        self._problem = ""
        self._is_its_testbed = False

    @property
    def version(self) -> int:
        """A number that grows with every change that somebody may watch: promotions, windows, the journal."""
        return self._desk.version

    def recover(self) -> None:
        """Begin: bring an unconfirmed trial of a former life back, check the chain, learn the testbed at a first start.

        A testbed that cannot be reached is tried again at every tick. InputError if the journal is another testbed's.
        """
        desk = self._desk
        with contextlib.suppress(RantwinError):
            desk.calls.describe()
        desk.learn(None)
        self._is_its_testbed = True
        with contextlib.suppress(JournalError):
            facts = {"boot": desk.clock.boot, "last_change_s": desk.last_change_s}
            desk.note(Draft(kind="agent started", who="agent", actor=Actor.RECOVERY), facts)
        begin(desk, Actor.RECOVERY, Cause.AGENT_RESTARTED, "the agent was started anew", cause_s=desk.started_s)
        if desk.unreadable:
            # Nobody knows what they set: whatever we ever set goes back to what was confirmed.
            why = f"the record of promotion {desk.unreadable[0]} cannot be read"
            order = {"why": why, "who": AGENT.name, "cause_s": desk.started_s}
            desk.order_kill(Draft(kind="kill switch", who=AGENT.name, actor=Actor.RECOVERY, details=order), order)
            finish_kill(desk)
        if desk.is_other_boot:
            for record in list(desk.gated.values()):
                with contextlib.suppress(JournalError):
                    self._planner.end(record, "the machine was started anew since the plan was made: plan again")
        found = self._journal.verify()  # may take long: only now
        desk.damage = found.problem or (f"{desk.unreadable[0]}: cannot be read" if desk.unreadable else "")
        if desk.damage:
            with contextlib.suppress(JournalError):
                details = {"chain": desk.damage}
                desk.note(Draft(kind="journal damaged", who="agent", actor=Actor.RECOVERY, details=details))
        self.tick()

    def tick(self) -> None:
        """Do what is due: timers, reconciling, windows, verdicts, rolling back. Never raises for a testbed's fault."""
        desk = self._desk
        try:
            desk.flush()
            if desk.active is not None:
                self._watch.tick()
            if desk.active is None:
                self._idle()
            self._problem = ""
        except TransitionError:
            raise  # a fault of ours, not of the testbed
        except JournalError as error:
            self._problem = str(error)
        except RantwinError as error:
            desk.calls.problem = str(error)

    def _idle(self) -> None:
        desk = self._desk
        desk.calls.describe()
        if desk.kill is not None:
            finish_kill(desk)
        reading = desk.read()
        if reading is None:
            return
        desk.learn(reading)
        if desk.late:
            revert_late_effect(desk, reading)
        self._recorder.pull()
        for record in list(desk.gated.values()):
            with contextlib.suppress(RefusedError):
                self._planner.expire(record)

    def status(self) -> TestbedStatus:
        """Return the agent's picture of its testbed, as of the last tick; UnreachableError before the first contact."""
        desk = self._desk
        requirements = desk.settings.requirements
        problems = [p for p in (self._problem, desk.calls.problem, *(r.text for r in desk.problems())) if p]
        if desk.reading is not None:
            problems += desk.reading.problems
        if not self._journal.has_room():
            problems.append("the disk or the journal is full: no new plans, rolling back still works")
        if not desk.settings.rollback_enabled:
            problems.append("rolling back is switched off (test.rollback_enabled): whatever is applied stays")
        if desk.active is None and desk.reading is not None and not desk.reading.automation:
            problems += [
                f"{c} is {there:g}, confirmed is {desk.confirmed[c]:g}"
                for c, there in desk.reading.controls.items()
                if c in desk.confirmed and not desk.near(c, there, desk.confirmed[c])
            ]
        return TestbedStatus(
            backend=desk.calls.describe(),
            reading=desk.reading,
            confirmed=dict(desk.confirmed),
            specification=requirements.specification,
            alpha=requirements.alpha,
            active=None if desk.active is None else desk.active.promotion(desk.now_s),
            exploration_enabled=desk.settings.exploration.enabled,
            journal_entries=self._journal.head()[0],
            drift=self._drift,
            agent_version=_version(),
            problems=tuple(problems),
        )

    def windows(self, since: int, limit: int) -> Windows:
        """Return the agent's recorded windows from a sequence number on."""
        return self._recorder.recorded(max(since, 0), _rows(limit))

    def plan(self, who: Identity, request: PlanRequest) -> Plan:
        """Check a request and say what it would change; nothing is applied."""
        require_operator(who)
        plan = self._planner.plan(who, request)
        self._drift = plan.drift if plan.drift is not None else self._drift
        return plan

    def apply(self, who: Identity, promotion_id: str, digest: str) -> Promotion:
        """Apply the plan of that digest under a lease."""
        require_operator(who)
        return self._seen(self._planner.apply(who, promotion_id, digest))

    def confirm(self, who: Identity, promotion_id: str) -> Promotion:
        """Keep what is in force; only with verdict pass, while both timers run."""
        require_operator(who)
        record = self._desk.find(promotion_id)
        if record.state is State.CONFIRMED:
            return self._seen(record)
        self._watch.tick()  # a window may have closed since the last look
        record = self._desk.find(promotion_id)
        if record.state is State.CONFIRMED:
            return self._seen(record)
        if record.state is not State.WATCHING:
            text = f"promotion {promotion_id} is {record.state}{_because(record)}"
            if record.cause is Cause.TESTBED_CHANGED:
                raise RefusedForReasons((Reason(code=ReasonCode.CONFLICT, text=text),))
            raise RefusedError((text,))
        if self._watch.is_blind:
            raise UnreachableError(f"the testbed cannot be read: {self._desk.calls.problem}")
        if record.verdict is not Verdict.PASS:
            watched = f"{len(record.windows)} of {record.windows_needed} windows"
            raise RefusedError((f"the verdict is not pass yet: {watched} were watched",))
        return self._seen(self._watch.keep(record, who, Actor.OPERATOR))

    def cancel(self, who: Identity, promotion_id: str, why: str) -> Promotion:
        """Roll back now; a plan that was not applied yet is withdrawn."""
        require_operator(who)
        desk, record = self._desk, self._desk.find(promotion_id)
        text = f"cancelled by {who.name}{': ' + why[:200] if why else ''}"
        if record.state is State.CONFIRMED:
            raise RefusedError((f"promotion {promotion_id} is confirmed already",))
        if record.state is State.GATED:
            self._withdraw(record, who, Cause.CANCELLED, text)
        elif record.state.is_in_flight:
            begin(desk, Actor.OPERATOR, Cause.CANCELLED, text, who=who)
        return self.promotion(promotion_id)

    def extend(self, who: Identity, promotion_id: str, trial_timeout_s: float) -> Promotion:
        """Set the trial's deadline to that many seconds from now."""
        require_operator(who)
        desk = self._desk
        check_timeout(trial_timeout_s, desk.settings.trial_timeout_max_s)
        self._watch.check_timers()
        record = desk.find(promotion_id)
        if record.state not in _LEASED or record.timers is None:
            raise RefusedError((f"promotion {promotion_id} is {record.state}{_because(record)}",))
        timers = record.timers.extended(desk.now_s, trial_timeout_s)
        return self._seen(desk.change(record, who, "extended", {"trial_timeout_s": trial_timeout_s}, timers=timers))

    def renew_lease(self, who: Identity, promotion_id: str) -> Promotion:
        """Take a heartbeat of the controller; a lease that ran out is not revived, what is over stays so."""
        require_operator(who)
        desk = self._desk
        self._watch.check_timers()
        record = desk.find(promotion_id)
        if record.state in _LEASED and record.timers is not None:
            if record.who.name != who.name:
                # Somebody else's heartbeat would hide that the controller of this trial is dead.
                raise RefusedError((f"the lease of {promotion_id} is {record.who.name}'s, not {who.name}'s",))
            record = desk.renew(record)
        return self._seen(record)

    def promotion(self, promotion_id: str) -> Promotion:
        """Return a promotion as it stands."""
        return self._seen(self._desk.find(promotion_id))

    def journal(self, since: int, limit: int, promotion_id: str = "") -> tuple[JournalEntry, ...]:
        """Return journal entries from a number on, of one promotion if named."""
        return self._journal.entries(since, _rows(limit), promotion_id)

    def roll_back_everything(self, who: Identity, why: str) -> tuple[Promotion, ...]:
        """Kill switch: whatever we set goes back to the confirmed configuration, without analysis.

        Plans that wait are withdrawn. Returns the promotions that it ended or is ending. UnreachableError: the testbed
        does not answer; the order stands, also over a restart, and is carried out as soon as it does.
        """
        require_operator(who)
        desk = self._desk
        text = f"kill switch by {who.name}{': ' + why[:200] if why else ''}"
        order = {"why": why[:200], "who": who.name, "cause_s": desk.now_s}
        draft = Draft(kind="kill switch", who=who.name, actor=Actor.OPERATOR, details={"proof": who.proof, **order})
        desk.order_kill(draft, order)
        ended = list(desk.gated)
        for record in list(desk.gated.values()):
            with contextlib.suppress(JournalError):
                self._withdraw(record, who, Cause.KILL_SWITCH, text)
        if desk.active is not None:
            ended.append(desk.active.promotion_id)
            begin(desk, Actor.OPERATOR, Cause.KILL_SWITCH, text, who=who, is_forced=True)
        if desk.active is None and not finish_kill(desk):
            raise UnreachableError(f"not rolled back yet, it will be tried again: {desk.calls.problem}")
        return tuple(self.promotion(promotion_id) for promotion_id in ended)

    def close(self) -> None:
        """End: nobody would watch a trial any more, so it goes back first; then let go of testbed and journal."""
        try:
            if self._is_its_testbed:
                with contextlib.suppress(RantwinError):
                    begin(self._desk, Actor.AGENT, Cause.AGENT_RESTARTED, "the agent was stopped")
                    step(self._desk)  # again, where the first try failed: the supervisor may not start us anew
        finally:
            with contextlib.suppress(Exception):
                self._desk.calls.close()
            self._journal.close()

    def _withdraw(self, record: Record, who: Identity, cause: Cause, text: str) -> None:
        if record.state is State.GATED:
            self._desk.move(
                record,
                Event.PLAN_EXPIRED,
                Actor.OPERATOR,
                who=who,
                details={"cause": str(cause), "text": text},
                reasons=(Reason(code=ReasonCode.PLAN_EXPIRED, text=text),),
                cause=cause,
                cause_text=text,
            )

    def _seen(self, record: Record) -> Promotion:
        return record.promotion(self._desk.now_s)


def _rows(limit: int) -> int:
    return min(max(limit, 0), _MOST_ROWS)


def _because(record: Record) -> str:
    return f" ({record.cause_text or record.cause})" if record.cause is not Cause.NONE else ""


def _version() -> str:
    try:
        return version("rantwin")
    except PackageNotFoundError:
        return ""
