"""The beat of what happens once a window: when a window begins, and as often while there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twin.mechanism import Process

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["Beat"]


class Beat:
    """Calls `act` at the start of every window, after all windows that end there are closed.

    Where no window begins for the length of one, in a warm-up or while a configuration settles, it is called then: a
    long warm-up brings a run to the state in which it would be found, and whether somebody looks at a window that is
    discarded later makes no difference.
    """

    def __init__(self, ran: RanState, act: Callable[[], Process]) -> None:
        """Take what happens at a beat; it may go on after it, and knows by `number` that the next beat came."""
        self._ran, self._act = ran, act
        self.number = 0
        self._last_ms = -1

    def start(self) -> Process:
        """Return the process that beats before the first window."""
        return self._later(0)

    def seen(self) -> None:
        """Beat: a window begins. To be called from `Mechanism.seen`."""
        if self._ran.now_ms > self._last_ms:
            self._last_ms = self._ran.now_ms
            self.number += 1
            self._ran.env.process(self._beat())
            self._ran.env.process(self._later(self.number))

    def _beat(self) -> Process:
        yield self._ran.wait(0)
        yield from self._act()

    def _later(self, number: int) -> Process:
        yield self._ran.wait(self._ran.scenario.window_slots)
        if number == self.number:
            self.seen()
