"""Windows that leave the agent for a bus, without ever holding up the engine: the agent's loop only hands them over."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Protocol

from bridge.agent_loop import EngineLike
from col.errors import RantwinError
from col.plant import Windows

__all__ = ["MOST_WAITING", "Publisher", "Publishing"]

log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Windows that wait for a bus that is away; the oldest are dropped first."""
_RETRY_S = 5.0


class Publisher(Protocol):
    """What takes windows; an error means that it did not take all of them."""

    def publish(self, windows: Windows) -> None:
        """Publish windows, or raise a RantwinError."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Publishing:
    """Publishes each window that the engine records from now on; `observe` is called in the engine's thread.

    A bus that is away is tried again every `retry_s`. Windows may be published twice, never out of order: who reads
    them tells them apart by their sequence numbers.
    """

    def __init__(self, publisher: Publisher, *, retry_s: float = _RETRY_S) -> None:
        self._publisher, self._retry_s = publisher, retry_s
        self._next, self._is_new = 0, False
        self._waiting: queue.Queue[Windows] = queue.Queue(MOST_WAITING)
        self._stop = threading.Event()
        self.dropped = 0
        """Windows that a bus missed because it was away for too long."""
        self._thread = threading.Thread(target=self._run, name="rantwin-publish", daemon=True)
        self._thread.start()

    def observe(self, engine: EngineLike) -> None:
        """Hand over the windows that are new."""
        try:
            new = engine.windows(self._next, MOST_WAITING)
        except RantwinError:
            return
        if len(new):
            self._next = int(new.sequence[-1]) + 1
        if not self._is_new:  # what was recorded before the agent's start has been published, or was not to be
            self._is_new = len(new) < MOST_WAITING
            return
        for row in range(len(new)):
            self._hand_over(new.take(slice(row, row + 1)))

    def close(self) -> None:
        """Publish no more."""
        self._stop.set()
        self._thread.join(30.0)
        self._publisher.close()

    def _hand_over(self, window: Windows) -> None:
        while True:
            try:
                self._waiting.put_nowait(window)
                return
            except queue.Full:
                try:
                    self._waiting.get_nowait()
                    self.dropped += 1
                except queue.Empty:  # the other thread was faster
                    continue

    def _run(self) -> None:
        window: Windows | None = None
        while not self._stop.is_set():
            try:
                window = self._waiting.get(timeout=0.1) if window is None else window
            except queue.Empty:
                continue
            try:
                self._publisher.publish(window)
                window = None
            except RantwinError as error:
                log.warning("windows are not published: %s", error)
                self._stop.wait(self._retry_s)
