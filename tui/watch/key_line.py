"""The lines of tabs above and of live keys below every view; each can be clicked.

Each is one line of text, drawn anew only where it changed. (A widget for each key and tab costs a tenth of a second at
every change of the view.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.style import Style
from rich.text import Text
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Static

from tui.watch.keys import TABS

__all__ = ["KeyLine", "TabLine"]


class TabLine(Static):
    """Shows the names of the views, the one in sight in brackets and reversed: without colours it is told too."""

    def show_tab(self, name: str, letters: Mapping[str, str] | None = None) -> None:
        """Mark the view in sight; `letters` are the jump labels of the views, while there are any."""
        text = Text(no_wrap=True, overflow="ellipsis")
        for tab, title, _ in TABS:
            click = Style.from_meta({"@click": f"app.tab({tab!r})"})
            left, right = "[]" if tab == name else "  "
            if letter := (letters or {}).get(tab, ""):
                text.append(letter, click + Style(bold=True, reverse=True))
                left = left.strip()  # the brackets stay: without colours they alone say which view it is
            text.append(f"{left}{title}{right}", click + Style(reverse=tab == name))
            text.append(" ")
        self.update(text, layout=False)


class KeyLine(Static):
    """Shows keys and what they do: the view's own first, then the app's."""

    def __init__(self, *, id: str) -> None:
        super().__init__("", id=id)
        self._shown: tuple[tuple[str, str, str], ...] = ()

    def show_keys(self, view: Widget | None) -> None:
        """Show the keys that work while this view has the focus."""
        own = [] if view is None else _shown(view._bindings.key_to_bindings.values())
        general = _shown(self.app._bindings.key_to_bindings.values())
        keys = tuple(
            (self.app.get_key_display(binding), binding.description, action)
            for binding, action in [*((b, "") for b in own), *((b, f"app.{b.action}") for b in general)]
        )
        if keys == self._shown:
            return
        self._shown = keys
        text = Text(no_wrap=True, overflow="ellipsis")
        for key, words, action in keys:
            click = Style.from_meta({"@click": action}) if action else Style()
            text.append(key, Style(bold=True, reverse=True) + click)
            text.append(f" {words} ", click)
            text.append(" ")
        self.update(text, layout=False)


def _shown(bindings: Iterable[list[Binding]]) -> list[Binding]:
    """Return the bindings that are to be seen, each once whatever its number of keys."""
    found: dict[str, Binding] = {}
    for group in bindings:
        for binding in group:
            if binding.show:
                found.setdefault(binding.id or binding.action, binding)
    return list(found.values())
