"""The beat of what happens once a window: when a window begins, and as often before the first one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twin.mechanism import Process

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["Beat"]


class Beat:
    """Calls `act` at the start of every window, after all windows that end there are closed.

    Before the first window there is no such start; then it is called every length of a window, from one length after
    the run's start on, so that a long warm-up brings a run to the state in which it would be found.
    """

    def __init__(self, ran: RanState, act: Callable[[], Process]) -> None:
        """Take what happens at a beat; it may go on after it, and knows by `number` that the next beat came."""
        self._ran, self._act = ran, act
        self.number = 0
        self._windows = False

    def seen(self) -> None:
        """Beat: a window begins. To be called from `Mechanism.seen`."""
        self._windows = True
        self._ran.env.process(self._beat())

    def warm_up(self) -> Process:
        """Return the process that beats until the first window begins."""
        while True:
            yield self._ran.wait(self._ran.scenario.window_slots)
            if self._windows:
                return
            self._ran.env.process(self._beat())

    def _beat(self) -> Process:
        yield self._ran.wait(0)
        self.number += 1
        yield from self._act()
