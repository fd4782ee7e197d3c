"""What all sources share: threads that listen until they are told to stop, and a memory of what was heard when."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from bridge.telemetry.source import KEPT_S, Now, Sample, SourceMetric, sample_of

__all__ = ["Heard", "ListeningSource", "TroubleError", "enough"]

log = logging.getLogger(__name__)
T = TypeVar("T")
_MOST_KEPT = 20_000
_JOIN_S = 10.0


class TroubleError(Exception):
    """A part of a source cannot listen now; the text is one line that says what to do about it."""


def enough(heard: int, expected: float) -> bool:
    """Say whether so many reports of those expected stand for the whole window: four fifths, and one at least."""
    return heard >= max(1, int(0.8 * expected + 1e-9))


class Heard(Generic[T]):
    """What was heard in the last `kept_s` seconds, by time. Any thread may add and ask."""

    def __init__(self, kept_s: float = KEPT_S) -> None:
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._at_s: list[float] = []
        self._items: list[T] = []

    def add(self, at_s: float, item: T) -> None:
        """Keep it, and forget what is too old."""
        with self._lock:
            place = bisect_right(self._at_s, at_s)
            self._at_s.insert(place, at_s)
            self._items.insert(place, item)
            old = max(bisect_right(self._at_s, at_s - self._kept_s), len(self._at_s) - _MOST_KEPT)
            if old > 0:
                del self._at_s[:old], self._items[:old]

    def between(self, start_s: float, end_s: float) -> list[T]:
        """Return what was heard after `start_s` and not after `end_s`, in order."""
        with self._lock:
            return self._items[bisect_right(self._at_s, start_s) : bisect_right(self._at_s, end_s)]

    def timed(self, start_s: float, end_s: float) -> list[tuple[float, T]]:
        """Return the same with the times."""
        with self._lock:
            rows = slice(bisect_right(self._at_s, start_s), bisect_right(self._at_s, end_s))
            return list(zip(self._at_s[rows], self._items[rows], strict=True))


class ListeningSource:
    """A source that listens in threads, one for each of its parts; a part that fails is tried again and again."""

    def __init__(self, name: str, offered: Sequence[SourceMetric], now: Now, *, stale_after_s: float) -> None:
        self._name, self._offered, self._now = name, tuple(offered), now
        self._stale_after_s = stale_after_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._troubles: dict[str, str] = {}
        self._times_heard: dict[str, int] = {}
        self._logged: set[str] = set()
        self._last_heard_s: float | None = None
        self._started_s: float | None = None
        self.retry_s = 1.0
        """The pause before a part that failed is tried again [s]; it doubles up to 16 times this."""

    def metrics(self) -> tuple[SourceMetric, ...]:
        """Return what this source offers, always the same."""
        return self._offered

    def start(self) -> None:
        """Begin to listen, and return at once. A source that was started or closed before stays as it is."""
        self._check()
        with self._lock:
            if self._threads or self._stop.is_set():
                return
            self._started_s = self._now()
            for part, listen in self._parts().items():
                thread = threading.Thread(
                    target=self._keep_listening, args=(part, listen), name=f"telemetry {self._name}", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def sample(self, start_s: float, end_s: float) -> Sample:
        """Return the metrics of the window; see `TelemetrySource`."""
        return sample_of(self._offered, self._values(start_s, end_s) if end_s > start_s else {})

    @property
    def last_heard_s(self) -> float | None:
        """When the source was last heard; None before the first time."""
        return self._last_heard_s

    @property
    def problem(self) -> str:
        """What is wrong now, in one line; empty while all is well."""
        troubles = list(dict.fromkeys(self._troubles.copy().values()))
        if not troubles and self._started_s is not None and not self._stop.is_set():
            silent_s = self._now() - (self._last_heard_s if self._last_heard_s is not None else self._started_s)
            if silent_s > self._stale_after_s:
                troubles = [f"nothing heard for {silent_s:.0f} s{self._silence()}"]
        return f"{self._name}: {'; '.join(troubles)}" if troubles else ""

    def close(self) -> None:
        """Stop listening; may be called twice, and without `start`."""
        self._stop.set()
        self._interrupt()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(_JOIN_S)

    def _note(self, part: str, heard_s: float | None = None) -> None:
        """Note that a part works, and when it was heard if it was."""
        self._troubles.pop(part, None)
        if part in self._logged:
            self._logged.discard(part)
            log.info("%s: is heard again", self._name)
        if heard_s is not None:
            self._last_heard_s = heard_s
            self._times_heard[part] = self._times_heard.get(part, 0) + 1

    def _say(self, part: str, trouble: str, *, loud: bool = True) -> None:
        """Note what is wrong with a part, and log it where it is new; not `loud` where that may be over at once."""
        if loud and (part not in self._logged or self._troubles.get(part) != trouble):
            self._logged.add(part)
            log.warning("%s: %s", self._name, trouble)
        self._troubles[part] = trouble

    def _keep_listening(self, part: str, listen: Callable[[], None]) -> None:
        failures = 0
        while not self._stop.is_set():
            before = self._times_heard.get(part, 0)
            try:
                listen()
                trouble = ""
            except TroubleError as error:
                trouble = str(error)
            except Exception as error:  # what comes from outside must not silence a source for good
                trouble = f"{type(error).__name__}: {error}"
            if self._stop.is_set():
                return
            was_heard = self._times_heard.get(part, 0) > before
            failures = 0 if was_heard else failures + 1
            if trouble:
                self._say(part, trouble, loud=failures != 1 or not before)
            if trouble or not was_heard:  # else it ended as it should, and goes on at once
                self._stop.wait(self.retry_s * min(16.0, 2.0 ** max(0, failures - 1)))

    # What a source adds.

    def _parts(self) -> dict[str, Callable[[], None]]:
        """Return what listens, by name: each call blocks until `_stop` is set, or ends in trouble."""
        raise NotImplementedError

    def _values(self, start_s: float, end_s: float) -> dict[str, float]:
        """Return the metrics of the window that were heard well enough."""
        raise NotImplementedError

    def _check(self) -> None:
        """Raise InputError where this source can never work."""

    def _interrupt(self) -> None:
        """Wake up whatever blocks in `_parts`; `_stop` is set."""

    def _silence(self) -> str:
        """Return what silence may mean, to stand behind 'nothing heard for 9 s'."""
        return ""
