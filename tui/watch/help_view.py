"""Help: the words of the screen, the keys that are live now, and what each view is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from textual.binding import Binding, BindingsMap
from textual.keys import format_key

from tui.watch.marks import FAIL, HOLD, LOST, PASS, TRIAL, Frame, Line, cut, fit, rule, wrap
from tui.watch.pane import LinesPane
from tui.watch.topology_state import DRIFT

__all__ = ["VIEWS", "HelpPane", "KeyHelp", "ViewHelp", "first_keys", "help_frame", "keys_of"]


@dataclass(frozen=True, slots=True)
class KeyHelp:
    """A key and what it does."""

    key: str
    words: str


@dataclass(frozen=True, slots=True)
class ViewHelp:
    """A view: its name, what it is for, and keys that matter there: the ids of their bindings, and what they do."""

    name: str
    words: str
    keys: tuple[tuple[str, str], ...] = ()


VIEWS = (
    ViewHelp(
        "Plants",
        "Twin and testbed side by side, one row for each metric and control, the gap (twin minus testbed) and whether "
        "the testbed's mean lies in the interval that the twin predicts. Bars of both plants are on one scale; "
        "· is a window without a value. An age in windows (-3 win) says that the metric is missing since then.",
        (("row-up row-down", "row, explained at the bottom"), ("group-before group-next", "group before, next group"),
         ("show", "twin, testbed or both"), ("gnb_1 gnb_2 gnb_3 gnb_4 gnb_all", "one gNB, all")),
    ),
    ViewHelp(
        "Region",
        "The lower bound of P(φ | do(x)) over two controls, the others held. Inside the border the bound is at least "
        "α. The cursor says bound, cost and what limits first.",
        (("region-left region-up region-down region-right", "cursor; with Shift five steps"),
         ("region-x region-y", "choose the controls"),
         ("region-next-trial region-trial-before", "next trial, trial before"),
         ("region-home", "configuration in force")),
    ),
    ViewHelp(
        "Promotions",
        "What is in flight with lease and deadline, its windows and verdicts; the queue of certified steps; the plan "
        "of the next with every reason of the gate. Two triggers bring the testbed back: the lease and φ.",
        (("approve", "approve the next step"), ("confirm", "confirm"), ("roll_back", "roll back"),
         ("kill_switch", "kill switch: back at once, not asked")),
    ),
    ViewHelp(
        "Journal",
        "Every transition that the agent wrote down before it acted on it.",
        (("row-up row-down", "entry, shown whole at the bottom"), ("filter", "only entries that contain a text"),
         ("export", "export")),
    ),
    ViewHelp(
        "Topology",
        "RU, DU, CU, the links between them, hosts and core, each with its state. FAIL x: a target of specifications "
        "lies outside its prediction. none - is not measured.",
        (("topology-left topology-right", "gNB"), ("topology-enter", "its rows side by side")),
    ),
)  # fmt: skip
_WORDS = (
    (PASS, "the testbed lies in what the twin predicts; φ holds; the bound is at least α"),
    (FAIL, "it does not"),
    (DRIFT, "of a part: what is no target of specifications lies outside, so the twin is wrong there"),
    (HOLD, "cannot be said: missing, old, or not all windows are there; never counts as PASS"),
    (TRIAL, "being changed by the promotion in flight"),
    (LOST, "the connection is gone; what is shown is the last that came"),
)


def keys_of(bindings: Iterable[tuple[str, Binding]]) -> tuple[KeyHelp, ...]:
    """Return live keys, those of one action together, in the order of the bindings."""
    merged: dict[str, tuple[list[str], str]] = {}
    for key, binding in bindings:
        if not binding.description or binding.system or binding.action == "quit":  # Ctrl+Q leaves as q does
            continue
        shown, _ = merged.setdefault(binding.action, ([], binding.tooltip or binding.description))
        shown.append(_shown_key(binding, key))
    return tuple(KeyHelp(" ".join(dict.fromkeys(keys)), words) for keys, words in merged.values())


def _shown_key(binding: Binding, key: str) -> str:
    return binding.key_display or format_key(key).replace("ctrl+", "^")


def first_keys(known: Iterable[BindingsMap]) -> dict[str, str]:
    """Return the first key of each binding by its id, as people read it."""
    shown: dict[str, str] = {}
    for bindings in known:
        for key, group in bindings.key_to_bindings.items():
            for binding in group:
                shown.setdefault(binding.id or "", _shown_key(binding, key))
    return shown


def help_frame(
    keys: Sequence[KeyHelp],
    width: int,
    *,
    first: Mapping[str, str] | None = None,
    operate: bool = False,
    about: str = "",
) -> Frame:
    """Return the view; it begins with the view `about`, that one comes from. `first` has a key for each id."""
    mode = "this screen may change the testbed" if operate else "read-only: rantwin watch --operate may change it"
    body: list[Line] = []
    first = first or {}
    for view in VIEWS:
        if view.name == about:
            body += [*_about(view, first, width), ()]
    body.append(rule("words", width))
    for mark, words in _WORDS:
        for k, line in enumerate(wrap(words, max(width - 9, 10))):
            body.append((*(mark.cells(9) if not k else ((" " * 9, "text"),)), (line, "text")))
    body += [(), rule(f"keys ({mode})", width), *_two_columns(keys, width)]
    for view in VIEWS:
        if view.name != about:
            body += [(), *_about(view, first, width)]
    return Frame(body=tuple(body))


def _about(view: ViewHelp, first: Mapping[str, str], width: int) -> list[Line]:
    lines: list[Line] = [rule(view.name, width)]
    lines += [((line, "text"),) for line in wrap(view.words, width)]
    named = [KeyHelp(" ".join(first.get(name, "–") for name in ids.split()), words) for ids, words in view.keys]
    return [*lines, *(cut(_key_line(key, 10), width) for key in named)]


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
        panes = list(self.screen.query(LinesPane))
        first = first_keys([self.app._bindings, *(pane._bindings for pane in panes)])
        seen = [pane for pane in panes if pane is not self and pane.turn]
        last = max(seen, key=lambda pane: pane.turn, default=None)
        about = "" if last is None else type(last).__name__.removesuffix("Pane")
        return help_frame(keys_of(live), width, first=first, operate=self.state.operate, about=about)
