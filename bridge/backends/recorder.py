"""Windows of a testbed that records none itself: a thread looks at it at every boundary and keeps what lies between.

A window's number is the whole number of window lengths between 1970 and its start, so that numbers go on growing over
restarts of the agent without anything being kept. Who changes the testbed interrupts: the window in progress is
discarded, and a new row of windows begins where `resume` says.
"""

from __future__ import annotations

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

S = TypeVar("S")
_KEPT = 4_096
_TOO_LATE = 0.5
"""A look that comes later than this share of a window after its boundary says nothing about either side of it."""


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
    """Looks, and keeps windows. `look` returns a snapshot, `close_window` makes a row of the two around a window."""

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
        self._epoch = 0
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
            self._changed.notify_all()

    def resume(self, at_s: float) -> int:
        """Begin windows again at that time; return the number of the first."""
        with self._changed:
            self._begin(at_s)
            self._changed.notify_all()
            return self._number(0)

    def next_sequence(self, now_s: float) -> int:
        """Return the number of the first window that begins at `now_s` or later."""
        with self._changed:
            if self._begin_s is None:  # while something is being changed no number is settled yet
                return math.floor(now_s / self._window_s) + 1
            return self._number(max(0, math.ceil((now_s - self._begin_s) / self._window_s)))

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
        self._begin_s, self._epoch = at_s, self._epoch + 1
        self._first = max(math.floor(at_s / self._window_s), last + 1)

    def _number(self, index: int) -> int:
        return self._first + index

    def _run(self) -> None:
        epoch, boundary, before = -1, 0, None
        last_run = 0
        while True:
            with self._changed:
                if self._ended:
                    return
                if self._epoch != epoch:
                    epoch, boundary, before = self._epoch, 0, None
                begin_s = self._begin_s
                if begin_s is None:
                    self._changed.wait()
                    continue
                left_s = begin_s + boundary * self._window_s - self._now()
                if left_s > 0.0:
                    self._changed.wait(min(left_s, 1.0))
                    continue
            snapshot: S | None = self._look()
            late_s = self._now() - (begin_s + boundary * self._window_s)
            if late_s > _TOO_LATE * self._window_s:
                snapshot = None
            row = None
            start_s = begin_s + (boundary - 1) * self._window_s
            if boundary > 0:
                if before is not None and snapshot is not None:
                    row = self._row(before, snapshot, start_s, start_s + self._window_s)
                    last_run = row.run
                else:
                    row = Row(run=last_run, controls={}, metrics={})
            with self._changed:
                if self._epoch != epoch:
                    continue
                if row is not None:
                    self._rows.append((self._number(boundary - 1), start_s, row))
            boundary, before = boundary + 1, snapshot
