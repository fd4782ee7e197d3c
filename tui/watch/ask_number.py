"""A dialog that asks for a whole number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

__all__ = ["AskNumber"]

_MOST = 6


class AskNumber(ModalScreen[int | None]):
    """Asks for a whole number of at least 0, `now` being what it is: dismissed with it, with None on Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "refuse", "no, change nothing", id="number-no")]
    DEFAULT_CSS = """
    AskNumber {
        align: center middle;
        & > Vertical { width: 72; max-width: 98%; height: auto; max-height: 96%; background: $surface;
                       border: heavy $primary; padding: 0 1; }
        & .title { text-style: bold; width: 1fr; }
        & .how { color: $text-muted; width: 1fr; }
        & Input { background: $boost; }
    }
    """

    def __init__(self, title: str, lines: Sequence[str], now: int) -> None:
        super().__init__()
        self._title, self._lines, self._now = title, tuple(lines), now

    def compose(self) -> ComposeResult:
        """Lay out title, lines, and the field."""
        with Vertical():
            yield Label(self._title, classes="title", markup=False)
            yield Static("\n".join(self._lines), markup=False)
            yield Label("type a number and press Enter; Escape changes nothing", classes="how", markup=False)
            yield Input(
                value=str(self._now), id="number", restrict=rf"[0-9]{{0,{_MOST}}}", select_on_focus=True, compact=True
            )

    def on_mount(self) -> None:
        """Be ready to type."""
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _answered(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value:
            self.dismiss(int(event.value))

    def action_refuse(self) -> None:
        """Change nothing."""
        self.dismiss(None)
