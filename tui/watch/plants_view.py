"""Twin, testbed and the gap between them, side by side: the same rows in the same order, on one scale.

`plants_frame` is the picture as a pure function; `PlantsPane` is the widget around it. Its columns depend on the
width alone: what is left out below 100 columns is said for the row under the cursor, at the bottom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, overload

from rich.cells import cell_len
from textual.binding import Binding, BindingType

from tui.watch.marks import LOST, Frame, Line, Mark, Span, age, cut, fit, inside_mark, number, rule, unit_word, wrap
from tui.watch.pane import LinesPane
from tui.watch.sparkline import Scale, bars, chart, last_windows, scales
from tui.watch.state import Connection, GapRow, PlantView, Row, RowGroup, RowKind, Show, WatchState

__all__ = ["PlantsPane", "connection_line", "place_title", "plants_frame"]

_VALUE, _GAP, _VERDICT, _AGE, _AXIS, _INTERVAL = 8, 8, 6, 6, 15, 17
_BLOCK = 32
_CHART_FROM = 34
"""Height from which both plants are drawn over each other for the row under the cursor."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Widths of the columns; 0 is left out. `twin` and `testbed` are those of their bars."""

    label: int
    twin: int
    testbed: int
    shows_twin: bool
    shows_testbed: bool
    axis: int = 0
    interval: int = 0
    twin_age: int = 0
    age: int = _AGE


def place_title(row: Row) -> str:
    """Return what a group of rows is called."""
    return str(row.group) if not row.place else f"{row.group} {row.place}"


def has_rows(plant: PlantView) -> bool:
    """Return whether a plant is worth a column: it is there, or it was."""
    return plant.connection is not Connection.NONE or bool(plant.rows)


def shown_plants(state: WatchState) -> Show:
    """Return which plants get columns: those that are asked for, unless one of the two never was there."""
    if state.show is not Show.BOTH or has_rows(state.twin) == has_rows(state.testbed):
        return state.show
    return Show.TWIN if has_rows(state.twin) else Show.TESTBED


def connection_line(plant: PlantView, now_s: float, width: int) -> Line:
    """Return one line on a plant: what it is, whether it is there, how old its newest window is."""
    spans: list[Span] = [(plant.name.upper(), plant.name if plant.name in ("twin", "testbed") else "title")]
    if plant.title:
        spans.append((f" {plant.title}", "text"))
    if plant.emulated:
        spans += [(" ", "text"), ("EMULATED", "emulated")]
    if plant.connection is Connection.LOST:
        spans.append((f"  {LOST.text}", LOST.role))
    if plant.words:
        spans.append((f"  {plant.words}", "hold" if plant.connection is not Connection.CONNECTED else "dim"))
    if plant.received_s is not None:
        old = age(now_s - plant.received_s)
        spans.append((f"  stale {old}", "hold") if plant.is_stale(now_s) else (f"  {old} ago", "dim"))
    if plant.holes:
        lost = sum(last - first + 1 for first, last in plant.holes)
        spans.append((f"  hole of {lost} window{'s' if lost > 1 else ''}", "hold"))
    spans += [(f"  {problem}", "fail") for problem in plant.problems]
    return cut(spans, width)


def plants_frame(state: WatchState, width: int, height: int, cursor: str = "") -> Frame:
    """Return the view; `cursor` is the key of the row that is explained at the bottom."""
    rows = state.shown_rows
    columns = _columns(state, rows, width)
    head = [connection_line(state.twin, state.now_s, width)] if state.show is not Show.TESTBED else []
    head += [connection_line(state.testbed, state.now_s, width)] if state.show is not Show.TWIN else []
    if not rows:
        return Frame(head=tuple(head), body=_nothing(state, width))
    head.append(_header(columns))
    body = _Lines(state, rows, columns, width)
    chosen = next((row for row in rows if row.key == cursor), None)
    foot = _explained(state, chosen, width, height) if chosen is not None else ()
    return Frame(head=tuple(head), body=body, foot=foot, keys=body.keys)


class _Lines(Sequence[Line]):
    """The lines of the body, made by blocks when they are looked at: of 40 gNBs' rows a screen shows some dozens."""

    def __init__(self, state: WatchState, rows: Sequence[Row], columns: _Columns, width: int) -> None:
        self._state, self._columns, self._width = state, columns, width
        self._entries: list[Row | str] = []
        before = None
        for row in rows:
            if (row.group, row.place) != before:
                before = (row.group, row.place)
                self._entries.append(place_title(row))
            self._entries.append(row)
        self.keys = tuple(entry.key if isinstance(entry, Row) else "" for entry in self._entries)
        self._sides = _Side(state.twin, state.now_s), _Side(state.testbed, state.now_s)
        self._blocks: dict[int, list[Line]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Line: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...

    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        block, at = divmod(index % len(self), _BLOCK)
        if block not in self._blocks:
            self._blocks[block] = self._made(self._entries[block * _BLOCK : (block + 1) * _BLOCK])
        return self._blocks[block][at]

    def _made(self, entries: Sequence[Row | str]) -> list[Line]:
        keys = [entry.key for entry in entries if isinstance(entry, Row)]
        columns, (twin_side, testbed_side) = self._columns, self._sides
        twin = last_windows(self._state.twin.sequence, self._state.twin.values, keys, columns.twin)
        testbed = last_windows(self._state.testbed.sequence, self._state.testbed.values, keys, columns.testbed)
        axes = scales(twin, testbed)
        pictures = iter(zip(bars(twin, axes), bars(testbed, axes), axes, strict=True))
        gaps = self._state.gap.rows
        return [
            _row(entry, next(pictures), columns, twin_side, testbed_side, gaps.get(entry.key))
            if isinstance(entry, Row)
            else rule(entry, self._width)
            for entry in entries
        ]


def _nothing(state: WatchState, width: int) -> tuple[Line, ...]:
    if state.filter or state.gnb:
        what = f"gNB {state.gnb}" if state.gnb and not state.filter else f"'{state.filter}'"
        return ((), ((fit(f"no row for {what}; Escape shows all", width), "hold"),))
    lines: list[Line] = [()]
    for plant in (state.twin, state.testbed):
        lines += [((line, "text"),) for line in wrap(f"{plant.name}: {plant.words or 'not there'}", width, "  ")]
    return tuple(lines)


def _columns(state: WatchState, rows: Sequence[Row], width: int) -> _Columns:
    """Return what fits: first bars, then the interval, both ages and the axis; what is left over goes to the bars."""
    shown = shown_plants(state)
    both = shown is Show.BOTH
    shows_twin, shows_testbed = shown is not Show.TESTBED, shown is not Show.TWIN
    longest = max((cell_len(row.label) + cell_len(unit_word(row.unit)) + 3 for row in rows), default=12)
    label = min(max(longest, 12), 18 if width < 100 else 30)
    plants = 2 if both else 1
    fixed = 1 + label + plants * (_VALUE + 2)
    if shows_testbed:
        fixed += 1 + _VERDICT + 1 + _AGE
    if both:
        fixed += 1 + _GAP
    axis = interval = twin_age = 0
    if width >= 100:
        interval = _INTERVAL if shows_testbed else 0
        twin_age = _AGE if shows_twin and state.twin.received_s is not None else 0
        fixed += sum(w + 1 for w in (interval, twin_age) if w)
    if width >= 116:
        axis = _AXIS
        fixed += axis + 1
    bar = max((width - fixed) // plants, 0)
    bar = bar if bar >= 4 else 0
    return _Columns(
        label=label,
        twin=bar if shows_twin else 0,
        testbed=bar if shows_testbed else 0,
        shows_twin=shows_twin,
        shows_testbed=shows_testbed,
        axis=axis,
        interval=interval,
        twin_age=twin_age,
    )


def _header(c: _Columns) -> Line:
    spans: list[Span] = [(fit(" metric", c.label + 1), "dim")]
    for shown, name, bar, old in (
        (c.shows_twin, "twin", c.twin, c.twin_age),
        (c.shows_testbed, "testbed", c.testbed, c.age if c.twin_age else 0),
    ):
        if shown:
            spans.append((f" {fit(name, _VALUE, right=True)} {' ' * bar}", name))
            spans.append((f" {fit('age', old, right=True)}" if old else "", "dim"))
    spans.append((f" {fit('axis', c.axis)}" if c.axis else "", "dim"))
    if c.shows_twin and c.shows_testbed:
        spans.append((f" {fit('gap', _GAP, right=True)}", "dim"))
    if c.shows_testbed:
        spans.append((f" {fit('predicted', c.interval)}" if c.interval else "", "dim"))
        spans.append((f" {fit('inside', _VERDICT)}", "dim"))
        if not c.twin_age:
            spans.append((f" {fit('age', c.age, right=True)}", "dim"))
    return tuple(span for span in spans if span[0])


class _Side:
    """A plant as one column draws it: values of now, and since when."""

    def __init__(self, plant: PlantView, now_s: float) -> None:
        self._plant = plant
        self.role = plant.name if plant.name in ("twin", "testbed") else "text"
        self.is_stale = plant.is_stale(now_s)
        self.age_s = None if plant.received_s is None else now_s - plant.received_s

    def value(self, key: str) -> tuple[float, int]:
        """Return the newest value that there is and how many windows ago it was; NaN if there is none at all."""
        column = self._plant.values.get(key)
        if column is None or not len(column):
            return math.nan, 0
        newest = float(column[-1])
        if not math.isnan(newest):
            return newest, 0
        for ago, value in enumerate(reversed(column.tolist())):
            if not math.isnan(value):
                return value, ago
        return math.nan, 0

    def age_text(self, ago: int, is_there: bool) -> tuple[str, bool]:
        """Return how old a number is and whether that is too old; a number that has been missing is as well."""
        if not is_there:
            return "none" if len(self._plant.sequence) else "", False
        if self.is_stale:
            return "stale", True
        if ago:
            return f"-{ago} win", True
        return ("run" if self.age_s is None else age(self.age_s)), False


def _row(
    row: Row, picture: tuple[str, str, Scale], c: _Columns, twin: _Side, testbed: _Side, gap: GapRow | None
) -> Line:
    unit = unit_word(row.unit)
    room = c.label - cell_len(unit) - 1
    role = "title" if row.kind is RowKind.ROBUSTNESS else "key" if row.kind is RowKind.CONTROL else "text"
    spans: list[Span] = [(" " + fit(row.label, room), role), (f" {unit}", "dim")]
    testbed_age: Span = ("", "dim")
    is_old = False
    for shown, side, bar, width, old_width in (
        (c.shows_twin, twin, picture[0], c.twin, c.twin_age),
        (c.shows_testbed, testbed, picture[1], c.testbed, c.age),
    ):
        if not shown:
            continue
        value, ago = side.value(row.key)
        text, stale = side.age_text(ago, not math.isnan(value))
        spans.append((f" {fit(number(value), _VALUE, right=True)} ", "stale" if stale else side.role))
        spans.append((bar if width else "", "stale" if stale else side.role))
        old: Span = (f" {fit(text, old_width, right=True)}" if old_width else "", "hold" if stale else "dim")
        if side is testbed:
            is_old = stale
            if not c.twin_age:
                testbed_age = old
                continue
        spans.append(old)
    if c.axis:
        spans.append((f" {fit(_axis(picture[2]), c.axis)}", "dim"))
    if c.shows_twin and c.shows_testbed:
        amount = math.nan if gap is None else gap.gap
        spans.append((f" {fit(number(amount, sign=True), _GAP, right=True)}", "stale" if is_old else "text"))
    if c.shows_testbed:
        if c.interval:
            spans.append((f" {fit(_interval(gap), c.interval)}", "dim"))
        spans += [(" ", "text"), *_lies(gap, is_old).cells(_VERDICT), testbed_age]
    return tuple(span for span in spans if span[0])


def _lies(gap: GapRow | None, is_old: bool) -> Mark:
    """Return whether the testbed lies in what the twin predicts; nothing where nothing is predicted."""
    if gap is None or (gap.inside is None and math.isnan(gap.low) and math.isnan(gap.high)):
        return Mark("", "", "dim")
    return inside_mark(gap.inside, stale=is_old)


def _axis(scale: Scale) -> str:
    return "" if scale.is_empty else f"{number(scale.low)}…{number(scale.high)}"


def _interval(gap: GapRow | None) -> str:
    if gap is None or (math.isnan(gap.low) and math.isnan(gap.high)):
        return ""
    return f"[{number(gap.low)}, {number(gap.high)}]"


def _explained(state: WatchState, row: Row, width: int, height: int) -> tuple[Line, ...]:
    """Return what there is to say of one row, and the chart of both plants where there is room for it."""
    gap = state.gap.rows.get(row.key)
    title = f"{place_title(row)} {row.label}" if row.place else row.label
    lines: list[Line] = [rule(f"{title}, {unit_word(row.unit)}", width)]
    says = row.description or row.key
    if row.estimated:
        says += "; estimated on the testbed, not measured"
    _, ago = _Side(state.twin, state.now_s).value(row.key)
    if ago:
        says += f"; the twin's is {ago} windows old"
    if row.kind is RowKind.CONTROL and row.key in state.testbed.confirmed:
        says += f"; confirmed {number(state.testbed.confirmed[row.key])}"
    lines.append(((fit(says, width), "text"),))
    mark = _lies(gap, _Side(state.testbed, state.now_s).is_stale)
    if gap is not None and mark.word:
        where = f"twin predicts {_interval(gap)} {unit_word(row.unit)}, testbed's mean {number(gap.mean)}: "
        lines.append(cut([(where, "dim"), (mark.text, mark.role), (f"  {state.gap.words}", "dim")], width))
    else:
        none = "what is set is not predicted" if row.kind is RowKind.CONTROL else "the twin predicts no interval here"
        lines.append(((fit(f"{none}  {state.gap.words}", width), "dim"),))
    keys = [row.key]
    points = max(2 * width, 8)
    twin = last_windows(state.twin.sequence, state.twin.values, keys, min(points, len(state.twin.sequence) or 1))
    bed = last_windows(state.testbed.sequence, state.testbed.values, keys, min(width, len(state.testbed.sequence) or 1))
    if height >= _CHART_FROM:
        band = None if gap is None else (gap.low, gap.high)
        tall = 6 if height < 46 else 8
        lines += chart(twin[0], bed[0], width=width, height=tall, band=band, unit=unit_word(row.unit))
        legend: Line = ((" ⠤⠒⠤ twin ", "twin"), (" ▀▄▀ testbed ", "testbed"))
        lines.append((*legend, (" ╌╌╌ predicted interval ", "band")) if mark.word else legend)
    else:
        [scale] = scales(twin[:, -max(width // 4, 8) :], bed[:, -max(width // 4, 8) :])
        axis = f"axis of the bars {_axis(scale)} {unit_word(row.unit)}, one for both plants, newest at the right"
        lines.append(((fit(axis, width), "dim"),))
    return tuple(lines)


class PlantsPane(LinesPane):
    """The side-by-side view with a cursor over its rows."""

    HELP = "Arrows choose a row, which is explained at the bottom; [ and ] go from group to group."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "group(-1)", "group before", show=False, id="group-before"),
        Binding("right_square_bracket", "group(1)", "next group", show=False, id="group-next"),
    ]

    def frame(self, width: int, height: int) -> Frame:
        """Return the picture of the state."""
        return plants_frame(self.state, width, height, self.cursor)

    def action_group(self, step: int) -> None:
        """Go to the first row of the group before or after."""
        rows = self.state.shown_rows
        if not rows:
            return
        starts = [k for k, row in enumerate(rows) if not k or (row.group, row.place) != _place(rows[k - 1])]
        at = next((k for k, row in enumerate(rows) if row.key == self.cursor), 0)
        now = max((n for n, start in enumerate(starts) if start <= at), default=0)
        self.put_cursor(rows[starts[min(max(now + step, 0), len(starts) - 1)]].key)


def _place(row: Row) -> tuple[RowGroup, str]:
    return row.group, row.place
