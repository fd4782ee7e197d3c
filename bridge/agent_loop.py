"""The one thread that owns the engine: it looks at the testbed every poll interval and carries out what it is given."""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from bridge.identity import Identity
from bridge.plan import Plan, PlanRequest
from bridge.promotion import Promotion
from bridge.status import BusyError
from bridge.testbed import JournalEntry, TestbedStatus
from col.errors import OutcomeUnknownError, UnreachableError
from col.plant import Windows

__all__ = ["AgentLoop", "EngineLike"]

T = TypeVar("T")
log = logging.getLogger(__name__)

MOST_WAITING = 64
"""Of each kind: what cannot wait, and the rest."""


class EngineLike(Protocol):
    """The engine as the agent uses it; the operations are those of `bridge.testbed.Testbed`."""

    @property
    def version(self) -> int:
        """A number that grows with every change that somebody may watch."""
        ...

    def recover(self) -> None:
        """Finish what a former life left open; once, before anything else."""
        ...

    def tick(self) -> None:
        """Look at the testbed and at the timers."""
        ...

    def close(self) -> None:
        """Let go of journal and testbed."""
        ...

    def status(self) -> TestbedStatus:
        """Return the picture of the testbed."""
        ...

    def windows(self, since: int, limit: int) -> Windows:
        """Return recorded windows."""
        ...

    def promotion(self, promotion_id: str) -> Promotion:
        """Return a promotion as it stands."""
        ...

    def journal(self, since: int, limit: int, promotion_id: str = "") -> tuple[JournalEntry, ...]:
        """Return entries of the journal."""
        ...

    def plan(self, who: Identity, request: PlanRequest) -> Plan:
        """Check a request."""
        ...

    def apply(self, who: Identity, promotion_id: str, digest: str) -> Promotion:
        """Apply a plan."""
        ...

    def confirm(self, who: Identity, promotion_id: str) -> Promotion:
        """Keep what is in force."""
        ...

    def cancel(self, who: Identity, promotion_id: str, why: str) -> Promotion:
        """Roll back."""
        ...

    def extend(self, who: Identity, promotion_id: str, trial_timeout_s: float) -> Promotion:
        """Move the deadline."""
        ...

    def renew_lease(self, who: Identity, promotion_id: str) -> Promotion:
        """Take a heartbeat."""
        ...

    def roll_back_everything(self, who: Identity, why: str) -> tuple[Promotion, ...]:
        """Roll back without analysis."""
        ...


@dataclass(order=True, slots=True)
class _Act:
    """What waits for its turn: in the order in which it came, what cannot wait first."""

    is_patient: bool
    number: int
    future: Future[Any] = field(compare=False)
    run: Callable[[], None] = field(compare=False)


class AgentLoop:
    """Runs an engine in a thread of its own. `observers` are called in that thread after every look at the testbed."""

    def __init__(self, engine: EngineLike, *, poll_s: float) -> None:
        self._engine, self._poll_s = engine, poll_s
        self._acts: queue.PriorityQueue[_Act] = queue.PriorityQueue()
        self._count = itertools.count()
        self._counted = threading.Lock()
        self._waiting = {True: 0, False: 0}
        self._changed = threading.Condition()
        self._stopping = False
        self._version = engine.version
        self._complaint = ""
        self._recovered: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="rantwin-engine", daemon=True)
        self.observers: list[Callable[[EngineLike], None]] = []

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` has been called."""
        return self._stopping

    @property
    def version(self) -> int:
        """The engine's version after the last act or look."""
        return self._version

    @property
    def waiting(self) -> int:
        """How many acts wait for their turn."""
        return self._acts.qsize()

    def start(self) -> None:
        """Let the engine recover, then run; returns once it has recovered, raises what kept it from that."""
        self._thread.start()
        self._recovered.result()

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Finish the act in hand, refuse the rest, close the engine."""
        self.end_streams()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def end_streams(self) -> None:
        """Take nothing new and wake everybody who waits for a change."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def call(self, act: Callable[[EngineLike], T], *, timeout_s: float, is_urgent: bool = False) -> T:
        """Carry out an act in the engine's thread and return what it returns or raises; urgent ones go first.

        Raises:
            BusyError: too many wait; nothing was done.
            UnreachableError: its turn did not come in time, or the agent is stopping; nothing was done.
            OutcomeUnknownError: it began and did not end in time.
        """
        if self._stopping:
            raise UnreachableError("the agent is stopping; nothing was done")
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(act(self._engine))
                except BaseException as error:
                    future.set_exception(error)

        with self._counted:
            if self._waiting[is_urgent] >= MOST_WAITING:
                raise BusyError("the agent has too much to do; nothing was done")
            self._waiting[is_urgent] += 1
            self._acts.put(_Act(not is_urgent, next(self._count), future, run))
        if self._stopping and not self._thread.is_alive():
            future.cancel()
        try:
            return future.result(max(0.0, timeout_s))
        except CancelledError:
            raise UnreachableError("the agent is stopping; nothing was done") from None
        except TimeoutError:
            if future.cancel():
                raise UnreachableError("its turn did not come before the deadline; nothing was done") from None
            if future.done():
                return future.result()
            raise OutcomeUnknownError("it did not end before the deadline; ask what became of it") from None

    def wait(self, version: int, timeout_s: float) -> bool:
        """Wait until `version` is another one, the time is over or the agent stops; False if it stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._version != version, timeout_s)
            return not self._stopping

    def _run(self) -> None:
        try:
            self._engine.recover()
        except BaseException as error:
            self._engine.close()
            self._recovered.set_exception(error)
            return
        self._look()
        self._recovered.set_result(None)
        due_s = time.monotonic() + self._poll_s
        while not self._stopping:
            self._carry_out(max(0.0, min(due_s - time.monotonic(), 0.5)), self._poll_s)
            if time.monotonic() >= due_s:
                self._look()
                due_s = time.monotonic() + self._poll_s
            self._notify()
        self._refuse_the_rest()
        self._engine.close()

    def _carry_out(self, timeout_s: float, longest_s: float) -> None:
        """Wait for an act, then carry out what waits.

        What is urgent goes before the next look, so that a heartbeat does not wait for one look after the other; the
        rest for so long only, so that nobody keeps the agent from looking by asking all the time.
        """
        with contextlib.suppress(queue.Empty):
            self._take(timeout_s)
            begun_s = time.monotonic()
            for _ in range(MOST_WAITING):
                if time.monotonic() - begun_s >= longest_s and not self._waiting[True]:
                    return
                self._take(0.0)

    def _take(self, timeout_s: float) -> None:
        act = self._acts.get(timeout=timeout_s) if timeout_s > 0.0 else self._acts.get_nowait()
        with self._counted:
            self._waiting[not act.is_patient] -= 1
        act.run()

    def _look(self) -> None:
        try:
            self._engine.tick()
            for observer in self.observers:
                observer(self._engine)
            self._complaint = ""
        except Exception as error:
            # The next look may do better, and a rollback that is due must have it; said once, not five times a second.
            if repr(error) != self._complaint:
                log.exception("looking at the testbed failed")
            self._complaint = repr(error)

    def _notify(self) -> None:
        if self._engine.version != self._version:
            with self._changed:
                self._version = self._engine.version
                self._changed.notify_all()

    def _refuse_the_rest(self) -> None:
        while True:
            try:
                act = self._acts.get_nowait()
            except queue.Empty:
                return
            act.future.cancel()
