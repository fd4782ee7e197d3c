"""The journal: every transition that the agent wrote down, newest first, narrowed down by the filter."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.testbed import JournalEntry
from tui.watch.marks import Frame, Line, Span, cut, fit, rule, wrap
from tui.watch.pane import LinesPane
from tui.watch.promotions_view import clock
from tui.watch.state import Connection, WatchState

__all__ = ["JournalPane", "details_text", "journal_frame", "matching"]

_NUMBER, _TIME, _ACTOR, _KIND, _CHANGE, _WHO, _ID = 6, 9, 10, 18, 30, 16, 14
_FOOT = 4


def details_text(entry: JournalEntry) -> str:
    """Return an entry's details in one line."""
    return ", ".join(f"{key} {_value(value)}" for key, value in entry.details.items())


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return str(value)


def matching(entries: Iterable[JournalEntry], wanted: str) -> list[JournalEntry]:
    """Return the entries that contain the text in any field, newest first."""
    wanted = wanted.casefold()
    kept = (e for e in entries if not wanted or wanted in _searched(e).casefold())
    return sorted(kept, key=lambda e: e.number, reverse=True)


def _searched(e: JournalEntry) -> str:
    return f"{e.number} {e.promotion_id} {e.who} {e.actor} {e.kind} {e.state_before} {e.state_after} {details_text(e)}"


def journal_frame(state: WatchState, width: int, height: int, cursor: str = "") -> Frame:
    """Return the view; `cursor` is the number of the entry that is shown whole at the bottom."""
    view = state.promotions
    entries = matching(view.journal, state.filter)
    count = f"{len(entries)} of {view.journal_total} entries"
    if len(view.journal) < view.journal_total:
        count += f" (the last {len(view.journal)} are here)"
    if state.filter:
        count += f" contain '{state.filter}'"
    head = (((fit(count + ", newest first, times in UTC", width), "dim"),), _header(width))
    if not entries:
        words = "no entry contains that; Escape shows all" if view.journal else _nothing(state)
        return Frame(head=head[:1], body=((), *(((line, "hold"),) for line in wrap(words, width))))
    chosen = next((e for e in entries if str(e.number) == cursor), None)
    return Frame(
        head=head,
        body=tuple(_entry(e, width) for e in entries),
        foot=_whole(chosen, width) if chosen is not None and height > 12 else (),
        keys=tuple(str(e.number) for e in entries),
    )


def _nothing(state: WatchState) -> str:
    is_there = state.testbed.connection is Connection.CONNECTED
    return "nothing was written yet" if is_there or not state.testbed.words else state.testbed.words


def _header(width: int) -> Line:
    names = f" {'no.':>{_NUMBER}}  {'time':<{_TIME}}{'actor':<{_ACTOR}}{'what':<{_KIND}}{'state':<{_CHANGE}}"
    if width >= 100:
        names += f"{'who':<{_WHO}}"
    if width >= 130:
        names += f"{'promotion':<{_ID}}details"
    return ((fit(names, width), "dim"),)


def _entry(e: JournalEntry, width: int) -> Line:
    change = e.state_after if e.state_before == e.state_after else f"{e.state_before or '·'} → {e.state_after}"
    spans: list[Span] = [
        (f" {e.number:>{_NUMBER}}  ", "dim"),
        (f"{clock(e.wall_s):<{_TIME}}", "text"),
        (fit(e.actor, _ACTOR - 1) + " ", "text"),
        (fit(e.kind, _KIND - 1) + " ", "title"),
        (fit(change, _CHANGE - 1) + " ", _role(e)),
    ]
    if width >= 100:
        spans.append((fit(e.who, _WHO - 1) + " ", "text"))
    if width >= 130:
        spans += [(fit(e.promotion_id, _ID - 1) + " ", "dim"), (details_text(e), "dim")]
    return cut(spans, width)


def _role(e: JournalEntry) -> str:
    if e.state_before == e.state_after:
        return "dim"
    if e.state_after in ("refused", "conflict"):
        return "wrong"
    if e.state_after == "confirmed":
        return "pass"
    return "hold" if e.state_after in ("rolling back", "rolled back", "unknown") else "text"


def _whole(e: JournalEntry, width: int) -> tuple[Line, ...]:
    """Return one entry with all that it says, in a fixed number of lines."""
    says = f"{e.actor}, asked by {e.who or 'nobody'}, promotion {e.promotion_id or 'none'}, hash {e.hash[:12] or '–'}"
    details = wrap(details_text(e) or "no details", width)
    if len(details) > _FOOT - 2:
        details = [*details[: _FOOT - 3], fit(" ".join(details[_FOOT - 3 :]), width)]
    lines: list[Line] = [rule(f"entry {e.number}: {e.kind}", width), ((fit(says, width), "text"),)]
    lines += [((line, "dim"),) for line in details]
    return tuple(lines + [()] * (_FOOT - len(lines)))


class JournalPane(LinesPane):
    """The journal with a cursor; while that is on the newest entry, it follows."""

    HELP = "Arrows choose an entry, / narrows down, e exports what is left."

    def show(self, state: WatchState) -> None:
        """Draw that state; the cursor follows the newest entry if it was there."""
        newest = max((e.number for e in self.state.promotions.journal), default=-1)
        if self.cursor == str(newest):
            self.cursor = ""
        super().show(state)

    def frame(self, width: int, height: int) -> Frame:
        """Return the picture of the state."""
        return journal_frame(self.state, width, height, self.cursor)
