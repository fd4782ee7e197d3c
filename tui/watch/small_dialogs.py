"""A dialog that asks for one of a few choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

__all__ = ["ChooseDialog"]


class ChooseDialog(ModalScreen[str]):
    """Asks for one of `choices` (id -> words); dismissed with its id, with an empty text where none was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Leave")]

    def __init__(self, title: str, choices: Mapping[str, str]) -> None:
        super().__init__()
        self._title, self._choices = title, dict(choices)

    def compose(self) -> ComposeResult:
        """Make title and choices."""
        width = max(map(len, self._choices), default=0)
        with Vertical(id="choose"):
            yield Label(self._title)
            yield OptionList(*(Option(f"{name:<{width}}  {words}", id=name) for name, words in self._choices.items()))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id or "")

    def action_leave(self) -> None:
        """Choose nothing."""
        self.dismiss("")
