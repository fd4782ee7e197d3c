"""What widgets say upwards; the app acts on it. Each is a Textual message, so that it bubbles from any view."""

from __future__ import annotations

from textual.message import Message

from tui.watch.state import WatchState

__all__ = [
    "AxesChosen",
    "CursorMoved",
    "GnbChosen",
    "StateChanged",
]


class StateChanged(Message):
    """A new state is there. A flood of them collapses to the last one."""

    def __init__(self, state: WatchState) -> None:
        super().__init__()
        self.state = state

    def can_replace(self, message: Message) -> bool:
        """Whether this one makes an older one that still waits unnecessary."""
        return isinstance(message, StateChanged)


class CursorMoved(Message):
    """The region's cursor is at (x, y), in the units of the two controls shown."""

    def __init__(self, x: float, y: float) -> None:
        super().__init__()
        self.x, self.y = x, y

    def can_replace(self, message: Message) -> bool:
        """Whether this one makes an older one that still waits unnecessary."""
        return isinstance(message, CursorMoved)


class AxesChosen(Message):
    """The slice is to be over these two controls."""

    def __init__(self, x: str, y: str) -> None:
        super().__init__()
        self.x, self.y = x, y


class GnbChosen(Message):
    """This gNB is to be looked at; empty for all."""

    def __init__(self, gnb: str) -> None:
        super().__init__()
        self.gnb = gnb
