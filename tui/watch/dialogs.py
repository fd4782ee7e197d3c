"""Dialogs: a question that a typed word answers, and a choice from a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

__all__ = ["AskWord", "Choose"]


class AskWord(ModalScreen[bool]):
    """A question that is answered by typing a word: True once it was typed, False on Escape.

    An empty word: Enter is enough. Anything else that is typed is refused, so that no habit of pressing Enter or `y`
    ever changes a testbed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "refuse", "no, change nothing", id="dialog-no"),
        Binding("pageup", "page(-1)", "up", show=False, id="dialog-up"),
        Binding("pagedown", "page(1)", "down", show=False, id="dialog-down"),
    ]
    DEFAULT_CSS = """
    AskWord {
        align: center middle;
        & > Vertical { width: 96; max-width: 98%; height: auto; max-height: 96%; background: $surface;
                       border: heavy $warning; padding: 0 1; }
        & VerticalScroll { height: auto; max-height: 16; }
        & .title { text-style: bold; width: 1fr; }
        & .how { color: $text-muted; width: 1fr; }
        & Input { border: tall $warning; height: 3; }
    }
    """

    def __init__(self, title: str, lines: Sequence[str], word: str) -> None:
        super().__init__()
        self._title, self._lines, self._word = title, tuple(lines), word

    def compose(self) -> ComposeResult:
        """Lay out title, lines, and the field."""
        how = f"type {self._word} and press Enter" if self._word else "press Enter to do it"
        with Vertical():
            yield Label(self._title, classes="title", markup=False)
            with VerticalScroll(can_focus=False):
                yield Static("\n".join(self._lines), markup=False)
            yield Label(f"{how}; Escape changes nothing", classes="how", markup=False)
            yield Input(placeholder=self._word, id="word")

    def on_mount(self) -> None:
        """Leave the lines the room that the field does not need."""
        self.query_one(Input).focus()
        self._give_room()

    def on_resize(self) -> None:
        """Keep the field in sight on a small screen."""
        self._give_room()

    def _give_room(self) -> None:
        self.query_one(VerticalScroll).styles.max_height = max(self.app.size.height - 9, 3)

    @on(Input.Submitted)
    def _answered(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip() == self._word:
            self.dismiss(True)
        else:
            self.query_one(".how", Label).update(f"that is not '{self._word}'; Escape changes nothing")
            event.input.clear()

    def action_refuse(self) -> None:
        """Answer no."""
        self.dismiss(False)

    def action_page(self, step: int) -> None:
        """Scroll the lines."""
        lines = self.query_one(VerticalScroll)
        lines.scroll_relative(y=step * max(lines.size.height - 1, 1), animate=False)


class Choose(ModalScreen[str | None]):
    """A choice from a list: the name that was chosen, None on Escape. Typing narrows the list down.

    `options` are names, or names with words about each.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", id="choose-leave"),
        Binding("down", "list(1)", "down", show=False, id="choose-down", priority=True),
        Binding("up", "list(-1)", "up", show=False, id="choose-up", priority=True),
    ]
    DEFAULT_CSS = """
    Choose {
        align: center middle;
        & > Vertical { width: 48; max-width: 96%; height: auto; max-height: 90%; background: $surface;
                       border: heavy $primary; padding: 0 1; }
        & Label { text-style: bold; }
        & Input { background: $boost; }
        & OptionList { height: auto; max-height: 14; border: none; }
    }
    """

    def __init__(self, title: str, options: Sequence[str] | Mapping[str, str], chosen: str = "") -> None:
        super().__init__()
        named = options if isinstance(options, Mapping) else dict.fromkeys(options, "")
        width = max(map(len, named), default=0)
        self._title, self._chosen = title, chosen
        self._options = {name: f"{name:<{width}}  {words}".rstrip() for name, words in named.items()}

    def compose(self) -> ComposeResult:
        """Lay out title, filter and list."""
        with Vertical():
            yield Label(f"{self._title} (type to narrow down)", markup=False)
            yield Input(placeholder="contains …", id="contains", compact=True)
            yield OptionList()

    def on_mount(self) -> None:
        """Fill the list and put the cursor on what is chosen now."""
        self._fill("")
        self.query_one(Input).focus()

    def _fill(self, contains: str) -> None:
        listed = [name for name, shown in self._options.items() if contains.casefold() in shown.casefold()]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(Text(self._options[name]), id=name) for name in listed])
        options.highlighted = listed.index(self._chosen) if self._chosen in listed else 0 if listed else None

    @on(Input.Changed)
    def _narrowed(self, event: Input.Changed) -> None:
        event.stop()
        self._fill(event.value)

    @on(Input.Submitted)
    def _taken(self, event: Input.Submitted) -> None:
        event.stop()
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            self.dismiss(options.get_option_at_index(options.highlighted).id)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(event.option.id)

    def action_leave(self) -> None:
        """Choose nothing."""
        self.dismiss(None)

    def action_list(self, step: int) -> None:
        """Move in the list without leaving the field."""
        options = self.query_one(OptionList)
        if step > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()
