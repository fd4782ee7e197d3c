"""Ctrl-C and a supervisor's SIGTERM: both end a command in the same way, and neither is lost.

An exception that a signal's handler raises is dropped, with a line on stderr, wherever Python runs a callback whose
errors nobody can take: weak references, `__del__`, the locks of the import system. So the handler also remembers, and a
command asks at its safe points.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from tui.progress import Progress, Status

__all__ = ["StoppableProgress", "Stopping", "stoppable"]


class Stopping:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self._asked = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if a stop was asked for and not heard yet."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def heard(self) -> None:
        """Forget the request: whoever caught the interrupt deals with it and goes on."""
        self._asked = False

    def take(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        self._asked = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def stoppable() -> Iterator[Stopping]:
    """Let SIGTERM and SIGINT raise KeyboardInterrupt inside; one that is ignored on purpose (nohup) stays so."""
    stopping = Stopping()
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    taken = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in taken:
        signal.signal(number, stopping.take)
    try:
        yield stopping
    finally:
        for number in taken:
            signal.signal(number, before[number])


class StoppableProgress(Progress):
    """Shows what another progress shows; every update is a point where the command can stop."""

    def __init__(self, shown: Progress, stopping: Stopping) -> None:
        self._shown, self._stopping = shown, stopping
        self.says_lines = shown.says_lines

    def __enter__(self) -> Progress:
        """Begin to show."""
        self._shown.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop showing."""
        self._shown.__exit__(*exception)

    def update(self, status: Status, line: str = "") -> None:
        """Show the status, then stop if somebody asked for it."""
        self._shown.update(status, line)
        self._stopping.check()
