"""Windows of a testbed that records none itself: a thread looks at it at every boundary and keeps what lies between.

A window's number is the whole number of window lengths between 1970 and its start, so that numbers go on growing over
restarts of the agent without anything being kept. Who changes the testbed interrupts: the window in progress is
discarded, and a new row of windows begins where `resume` says.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from bridge.clock import Clock
from col.plant import Provenance, Windows

__all__ = ["Recorder", "Row", "TestbedClock"]

log = logging.getLogger(__name__)

S = TypeVar("S")
_KEPT = 4_096
_MOST_BEHIND = 20
"""Windows; whoever is further behind (a machine that slept) begins anew, which leaves a gap in the numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One closed window; what is absent is missing."""

    run: int
    controls: Mapping[str, float]
    metrics: Mapping[str, float]


class TestbedClock:
    """Seconds since 1970 that never go back while the process lives, whatever is done to the wall clock."""

    __test__ = False  # for pytest: not a class of tests

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoch_s = clock.wall() - clock.monotonic()

    def __call__(self) -> float:
        """Return the time now."""
        return self._epoch_s + self._clock.monotonic()


class Recorder(Generic[S]):
    """Looks, and keeps windows. `look` returns a snapshot, `row` makes a row of the two around a window.

    On a busy machine a look may come late, even after the next boundary: `row` judges whether it still says enough.
    """

    def __init__(
        self,
        window_s: float,
        now: Callable[[], float],
        look: Callable[[], S],
        row: Callable[[S, S, float, float], Row],
        columns: tuple[Sequence[str], Sequence[str]],
        provenance: Mapping[str, Provenance],
    ) -> None:
        """Take the window's length, the clock, and the names of controls and metrics; `start` begins to look."""
        self._window_s, self._now, self._look, self._row = window_s, now, look, row
        self._columns, self._provenance = columns, dict(provenance)
        self._rows: deque[tuple[int, float, Row]] = deque(maxlen=_KEPT)
        self._changed = threading.Condition()
        self._begin_s: float | None = None
        self._first = 0
        self._epoch, self._seen_epoch, self._is_new = 0, -1, False
        self._boundary, self._last_run = 0, 0
        self._before: S | None = None
        self._thread: threading.Thread | None = None
        self._ended = False

    def start(self) -> None:
        """Begin the first window now; nothing if it has begun."""
        with self._changed:
            if self._thread is not None or self._ended:
                return
            self._begin(self._now())
            self._thread = threading.Thread(target=self._run, name="rantwin windows", daemon=True)
            self._thread.start()

    def interrupt(self) -> None:
        """Discard the window in progress; no other one begins before `resume`."""
        with self._changed:
            self._begin_s = None
            self._epoch += 1
            self._is_new = True
            self._changed.notify_all()

    def resume(self, at_s: float) -> int:
        """Begin windows again at that time; return the number of the first."""
        with self._changed:
            self._begin(at_s)
            self._changed.notify_all()
            return self._first

    def next_sequence(self, now_s: float) -> int:
        """Return the number of the first window that begins at `now_s` or later."""
        with self._changed:
            if self._begin_s is None:  # while something is being changed no number is settled yet
                return math.floor(now_s / self._window_s) + 1
            return self._first + max(0, math.ceil((now_s - self._begin_s) / self._window_s))

    def windows(self, since: int, limit: int) -> Windows:
        """Return closed windows from a number on, in order, at most `limit`."""
        with self._changed:
            found = [row for row in self._rows if row[0] >= since][: max(0, limit)]
        controls, metrics = self._columns
        start_s = np.array([row[1] for row in found], dtype=np.float64)

        def column(name: str, values: Sequence[Mapping[str, float]]) -> np.ndarray:
            return np.array([one.get(name, math.nan) for one in values], dtype=np.float64)

        return Windows(
            sequence=np.array([row[0] for row in found], dtype=np.int64),
            start_s=start_s,
            end_s=start_s + self._window_s,
            run=np.array([row[2].run for row in found], dtype=np.int64),
            controls={name: column(name, [row[2].controls for row in found]) for name in controls},
            metrics={name: column(name, [row[2].metrics for row in found]) for name in metrics},
            provenance=self._provenance,
        )

    def close(self) -> None:
        """Stop looking."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    # ------------------------------------------------------------------------------------------------------------------

    def _begin(self, at_s: float) -> None:
        last = self._rows[-1][0] if self._rows else -1
        self._begin_s, self._epoch, self._is_new = at_s, self._epoch + 1, True
        self._first = max(math.floor(at_s / self._window_s), last + 1)

    def _run(self) -> None:
        while True:
            wait_s = self.step()
            with self._changed:
                if self._ended:
                    return
                if wait_s > 0.0 and not self._is_new:
                    self._changed.wait(min(wait_s, 1.0))
                self._is_new = False

    def step(self) -> float:
        """Look if a boundary has come, and keep the window that it closes; return how long nothing is to be done [s].

        For the recorder's own thread, and for tests that have none.
        """
        with self._changed:
            if self._epoch != self._seen_epoch:
                self._seen_epoch, self._boundary, self._before = self._epoch, 0, None
            if self._begin_s is None:
                return math.inf
            due_s = self._begin_s + self._boundary * self._window_s
            if (left_s := due_s - self._now()) > 0.0:
                return left_s
            if -left_s > _MOST_BEHIND * self._window_s:
                self._begin(self._now())
                return 0.0
            epoch, boundary, before = self._epoch, self._boundary, self._before
        after = self._seen()
        row = None
        if boundary > 0:
            row = Row(run=self._last_run, controls={}, metrics={})
            if before is not None and after is not None:
                row = self._closed(before, after, due_s) or row
        with self._changed:
            if self._epoch == epoch:
                self._boundary, self._before = boundary + 1, after
                if row is not None:
                    self._last_run = row.run
                    self._rows.append((self._first + boundary - 1, due_s - self._window_s, row))
        return 0.0

    def _seen(self) -> S | None:
        """Look; a look that fails is one that has seen nothing, and the next one may do better."""
        try:
            return self._look()
        except Exception:
            log.exception("the testbed could not be looked at")
            return None

    def _closed(self, before: S, after: S, end_s: float) -> Row | None:
        try:
            return self._row(before, after, end_s - self._window_s, end_s)
        except Exception:
            log.exception("a window could not be worked out")
            return None
