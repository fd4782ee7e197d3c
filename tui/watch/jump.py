"""Jump labels: a key shows a letter at each row, gNB and view that can be reached; typing it goes there.

The line that takes the letters lies over the keys at the bottom, so that nothing moves. While labels are shown, the
view keeps its picture: a row that moved would carry another row's letter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells
from rich.text import Text
from textual import events
from textual.widgets import Static

from tui.watch.keys import TABS
from tui.watch.marks import Line

if TYPE_CHECKING:
    from tui.watch.app import WatchApp
    from tui.watch.pane import LinesPane

__all__ = ["JumpLine", "JumpPlace", "jump_labels", "labelled"]

_TAB_LETTERS = {name: "?" if key == "question_mark" else key for name, _, key in TABS}
LETTERS = "".join(letter for letter in "asdfghjklqwertyuiopzxcvbnm" if letter not in _TAB_LETTERS.values())
"""What rows are labelled with: those under the fingers first, without the keys of the views, which keep theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JumpPlace:
    """A place of a view: the cell of its label, in the widget, and the key that the view knows it by."""

    x: int
    y: int
    key: str


def jump_labels(count: int, letters: str = LETTERS) -> list[str]:
    """Return that many labels, short ones first; none begins another, so that the last letter decides."""
    longer = 0
    while len(letters) - longer + longer * len(letters) < count and longer < len(letters):
        longer += 1
    single = list(letters[: len(letters) - longer])
    return [*single, *(a + b for a in letters[len(letters) - longer :] for b in letters)][:count]


class JumpLine(Static, can_focus=True):
    """Takes the letters of a label. Escape, a click or a letter of no label leaves everything as it was."""

    DEFAULT_CSS = """
    JumpLine { layer: jump; dock: bottom; width: 1fr; height: 1; background: $boost; color: $foreground; }
    """

    def __init__(self, app: WatchApp) -> None:
        super().__init__(id="jump")
        self._watch = app
        self._view: LinesPane = app.view
        self._typed = ""
        self._goes: dict[str, Callable[[], None]] = {}

    def begin(self) -> None:
        """Label what can be reached now."""
        view = self._view
        places = view.jump_places()
        labels = jump_labels(len(places))
        for label, place in zip(labels, places, strict=False):
            self._goes[label] = lambda key=place.key: view.jump_to(key)  # type: ignore[misc]  # the key of now, not of the last
        for name, letter in _TAB_LETTERS.items():
            self._goes[letter] = lambda name=name: self._watch.action_tab(name)  # type: ignore[misc]  # as above
        view.show_labels({(p.x, p.y): label for label, p in zip(labels, places, strict=False)})
        self._watch.label_tabs(_TAB_LETTERS)
        self.screen.set_focus(self, scroll_visible=False)
        self._say()

    def _say(self) -> None:
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(" jump ", "bold reverse")
        text.append(f" {self._typed}… the letters of a row or a view; Escape leaves")
        self.update(text, layout=False)

    def on_key(self, event: events.Key) -> None:
        """Take a letter; nothing that is typed here reaches the view."""
        event.stop()
        event.prevent_default()
        self._typed += event.character or ""
        chosen = self._goes.get(self._typed)
        if chosen is None and event.is_printable and any(label.startswith(self._typed) for label in self._goes):
            self._say()
            return
        self.end()
        if chosen is not None and event.is_printable:
            chosen()

    def on_blur(self) -> None:
        """Leave: somebody clicked elsewhere, or a dialog came."""
        self.end(focus=False)

    def end(self, *, focus: bool = True) -> None:
        """Take the labels away."""
        if not self._goes:
            return
        self._goes = {}
        self._view.show_labels({})
        self._watch.label_tabs({})
        if focus:
            self.screen.set_focus(self._watch.view, scroll_visible=False)
        self.remove()


def labelled(line: Line, x: int, label: str) -> Line:
    """Return a line with a label over its cells from `x` on."""
    cells = [(cell, role) for text, role in line for cell in chop_cells(text, 1)]
    before, at = [], 0
    while cells and at < x:
        before.append(cells.pop(0))
        at += cell_len(before[-1][0])
    before += [(" ", "text")] * (x - at)
    covered = 0
    while cells and covered < cell_len(label):
        covered += cell_len(cells.pop(0)[0])
    return (*before, (label, "pointer"), *cells)
