"""Help: the words of the screen, the keys that are live now, and what each view is for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textual.binding import Binding
from textual.keys import format_key

from tui.watch.marks import FAIL, HOLD, LOST, PASS, TRIAL, Frame, Line, cut, fit, rule, wrap
from tui.watch.pane import LinesPane

__all__ = ["VIEWS", "HelpPane", "KeyHelp", "ViewHelp", "help_frame", "keys_of"]


@dataclass(frozen=True, slots=True)
class KeyHelp:
    """A key and what it does."""

    key: str
    words: str


@dataclass(frozen=True, slots=True)
class ViewHelp:
    """A view: its name, what it is for, and keys of its own."""

    name: str
    words: str
    keys: tuple[KeyHelp, ...] = ()


VIEWS = (
    ViewHelp(
        "Plants",
        "Twin and testbed side by side, one row for each metric and control, the gap (twin minus testbed) and whether "
        "the testbed's mean lies in the interval that the twin predicts. Bars of both plants are on one scale; "
        "· is a window without a value. An age in windows (-3 win) says that the metric is missing since then.",
        (KeyHelp("↑ ↓", "row, explained at the bottom"), KeyHelp("[ ]", "group before, next group"),
         KeyHelp("t", "twin, testbed or both"), KeyHelp("1-4 0", "one gNB, all")),
    ),
    ViewHelp(
        "Region",
        "The lower bound of P(φ | do(x)) over two controls, the others held. Inside the border the bound is at least "
        "α. The cursor says bound, cost and what limits first.",
        (KeyHelp("← ↑ ↓ →", "cursor; with Shift five steps"), KeyHelp("X Y", "choose the controls"),
         KeyHelp(". ,", "next trial, trial before"), KeyHelp("Home", "configuration in force")),
    ),
    ViewHelp(
        "Promotions",
        "What is in flight with lease and deadline, its windows and verdicts; the queue of certified steps; the plan "
        "of the next with every reason of the gate. Two triggers bring the testbed back: the lease and φ.",
        (KeyHelp("a", "approve the next step"), KeyHelp("c", "confirm"), KeyHelp("R", "roll back"),
         KeyHelp("^k", "kill switch: back at once, not asked")),
    ),
    ViewHelp(
        "Journal",
        "Every transition that the agent wrote down before it acted on it.",
        (KeyHelp("↑ ↓", "entry, shown whole at the bottom"), KeyHelp("/", "only entries that contain a text"),
         KeyHelp("e", "export")),
    ),
    ViewHelp(
        "Topology",
        "RU, DU, CU, the links between them, hosts and core, each with its state. None - is not measured.",
        (KeyHelp("← →", "gNB"), KeyHelp("Enter", "its rows side by side")),
    ),
)  # fmt: skip
_WORDS = (
    (PASS, "the testbed lies in what the twin predicts; φ holds; the bound is at least α"),
    (FAIL, "it does not"),
    (HOLD, "cannot be said: missing, old, or not all windows are there; never counts as PASS"),
    (TRIAL, "being changed by the promotion in flight"),
    (LOST, "the connection is gone; what is shown is the last that came"),
)


def keys_of(bindings: Iterable[tuple[str, Binding]]) -> tuple[KeyHelp, ...]:
    """Return live keys, those of one action together, in the order of the bindings."""
    merged: dict[str, tuple[list[str], str]] = {}
    for key, binding in bindings:
        if not binding.description or binding.system:
            continue
        shown, _ = merged.setdefault(binding.action, ([], binding.tooltip or binding.description))
        shown.append(binding.key_display or format_key(key))
    return tuple(KeyHelp(" ".join(dict.fromkeys(keys)), words) for keys, words in merged.values())


def help_frame(keys: Sequence[KeyHelp], width: int, *, operate: bool = False, about: str = "") -> Frame:
    """Return the view; it begins with the view `about`, that one comes from."""
    mode = "this screen may change the testbed" if operate else "read-only: rantwin watch --operate may change it"
    body: list[Line] = []
    for view in VIEWS:
        if view.name == about:
            body += [*_about(view, width), ()]
    body.append(rule("words", width))
    for mark, words in _WORDS:
        for k, line in enumerate(wrap(words, max(width - 9, 10))):
            body.append((*(mark.cells(9) if not k else ((" " * 9, "text"),)), (line, "text")))
    body += [(), rule(f"keys ({mode})", width), *_two_columns(keys, width)]
    for view in VIEWS:
        if view.name != about:
            body += [(), *_about(view, width)]
    return Frame(body=tuple(body))


def _about(view: ViewHelp, width: int) -> list[Line]:
    lines: list[Line] = [rule(view.name, width)]
    lines += [((line, "text"),) for line in wrap(view.words, width)]
    return [*lines, *(cut(_key_line(key, 10), width) for key in view.keys)]


def _key_line(key: KeyHelp, width: int) -> Line:
    return (("  ", "text"), (fit(key.key, width), "key"), (key.words, "dim"))


def _two_columns(keys: Sequence[KeyHelp], width: int) -> list[Line]:
    """Return the keys in as many columns as there is room for, down first."""
    columns = max(width // 52, 1)
    rows = -(-len(keys) // columns)
    across = width // columns
    lines: list[Line] = []
    for row in range(rows):
        line: list[tuple[str, str]] = []
        for key in keys[row::rows]:
            room = across - 2 - 12
            line += [("  ", "text"), (fit(key.key, 12), "key"), (fit(key.words, room), "dim")]
        lines.append(tuple(line))
    return lines


class HelpPane(LinesPane):
    """The help, with the keys as they are bound now."""

    HELP = "Arrows and page keys scroll; the key of a view goes there."

    def frame(self, width: int, height: int) -> Frame:
        """Return the picture of the state."""
        found = self.app.active_bindings.values()
        live = [(active.binding.key, active.binding) for active in found if active.node is self.app]
        seen = [pane for pane in self.screen.query(LinesPane) if pane is not self and pane.turn]
        last = max(seen, key=lambda pane: pane.turn, default=None)
        about = "" if last is None else type(last).__name__.removesuffix("Pane")
        return help_frame(keys_of(live), width, operate=self.state.operate, about=about)
