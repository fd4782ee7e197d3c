"""Twin, testbed and the gap between them, side by side: the same rows in the same order, on one scale.

`plants_frame` is the picture as a pure function; `PlantsPane` is the widget around it. Its columns depend on the
width alone: what is left out below 100 columns is said for the row under the cursor, at the bottom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, overload

from textual.binding import Binding, BindingType

from tui.watch.kept import Kept
from tui.watch.marks import LOST, Frame, Line, Span, age, cut, fit, number, rule, unit_word, wrap
from tui.watch.pane import LinesPane
from tui.watch.plants_row import (
    Columns,
    Side,
    axis_words,
    columns_for,
    header,
    interval_words,
    lies,
    row_line,
    shown_plants,
)
from tui.watch.sparkline import bars, chart, last_windows, scales
from tui.watch.state import Connection, PlantView, Row, RowGroup, RowKind, Show, WatchState

__all__ = ["PlantsPane", "connection_line", "place_title", "plants_frame"]

_BLOCK = 32
_CHART_FROM = 34
"""Height from which both plants are drawn over each other for the row under the cursor."""


def place_title(row: Row) -> str:
    """Return what a group of rows is called."""
    return str(row.group) if not row.place else f"{row.group} {row.place}"


def connection_line(plant: PlantView, now_s: float, width: int) -> Line:
    """Return one line on a plant: what it is, whether it is there, how old its newest window is."""
    spans: list[Span] = [(plant.name.upper(), plant.name if plant.name in ("twin", "testbed") else "title")]
    if plant.title:
        spans.append((f" {plant.title}", "text"))
    if plant.emulated:
        spans += [(" ", "text"), ("EMULATED", "emulated")]
    if plant.connection is Connection.LOST:
        spans.append((f"  {LOST.text}", LOST.role))
    if plant.received_s is not None:
        old = age(now_s - plant.received_s)
        spans.append((f"  stale {old}", "hold") if plant.is_stale(now_s) else (f"  {old} ago", "dim"))
    if plant.holes:
        lost = sum(last - first + 1 for first, last in plant.holes)
        spans.append((f"  hole of {lost} window{'s' if lost > 1 else ''}", "hold"))
    spans += [(f"  {problem}", "fail") for problem in plant.problems]
    if plant.words:
        spans.append((f"  {plant.words}", "hold" if plant.connection is not Connection.CONNECTED else "dim"))
    return cut(spans, width)


class Memory:
    """What of the view before can be shown again: a pane keeps one, so that a second without a window costs little."""

    def __init__(self) -> None:
        self.columns: Kept[Columns] = Kept()
        self.entries: Kept[_Entries] = Kept()
        self.body: Kept[_Lines] = Kept()
        self.chart: Kept[tuple[Line, ...]] = Kept()


def plants_frame(state: WatchState, width: int, height: int, cursor: str = "", memory: Memory | None = None) -> Frame:
    """Return the view; `cursor` is the key of the row that is explained at the bottom."""
    memory = memory or Memory()
    rows, shown = state.shown_rows, shown_plants(state)
    twin_has_age = state.twin.received_s is not None
    columns = memory.columns.get((rows,), (shown, twin_has_age, width), lambda: columns_for(state, rows, width))
    head = [connection_line(state.twin, state.now_s, width)] if state.show is not Show.TESTBED else []
    head += [connection_line(state.testbed, state.now_s, width)] if state.show is not Show.TWIN else []
    if not rows:
        return Frame(head=tuple(head), body=_nothing(state, width))
    head.append(header(columns))
    entries = memory.entries.get((rows,), None, lambda: _Entries.of(rows))
    twin, testbed = Side(state.twin, state.now_s), Side(state.testbed, state.now_s)
    body = memory.body.get(
        (entries, state.twin.values, state.twin.sequence, state.testbed.values, state.testbed.sequence, state.gap.rows),
        (columns, width, twin.looks, testbed.looks),
        lambda: _Lines(state, entries, columns, width),
    )
    chosen = entries.by_key.get(cursor)
    foot = _explained(state, chosen, width, height, memory) if chosen is not None else ()
    return Frame(head=tuple(head), body=body, foot=foot, keys=entries.keys)


@dataclass(frozen=True, slots=True)
class _Entries:
    """What each line of the body is: a row, or the title of a group."""

    of_lines: tuple[Row | str, ...]
    keys: tuple[str, ...]
    by_key: Mapping[str, Row]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Entries:
        lines: list[Row | str] = []
        before = None
        for row in rows:
            if (row.group, row.place) != before:
                before = (row.group, row.place)
                lines.append(place_title(row))
            lines.append(row)
        keys = tuple(line.key if isinstance(line, Row) else "" for line in lines)
        return cls(tuple(lines), keys, {row.key: row for row in rows})


class _Lines(Sequence[Line]):
    """The lines of the body, made by blocks when they are looked at: of 40 gNBs' rows a screen shows some dozens."""

    def __init__(self, state: WatchState, entries: _Entries, columns: Columns, width: int) -> None:
        self._state, self._columns, self._width = state, columns, width
        self._entries = entries.of_lines
        self._sides = Side(state.twin, state.now_s), Side(state.testbed, state.now_s)
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
            row_line(entry, next(pictures), columns, twin_side, testbed_side, gaps.get(entry.key))
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


def _explained(state: WatchState, row: Row, width: int, height: int, memory: Memory) -> tuple[Line, ...]:
    """Return what there is to say of one row, and the chart of both plants where there is room for it."""
    gap = state.gap.rows.get(row.key)
    title = f"{place_title(row)} {row.label}" if row.place else row.label
    lines: list[Line] = [rule(f"{title}, {unit_word(row.unit)}", width)]
    says = row.description or row.key
    if row.estimated:
        says += "; estimated on the testbed, not measured"
    _, ago = Side(state.twin, state.now_s).value(row.key)
    if ago:
        says += f"; the twin's is {ago} windows old"
    if row.kind is RowKind.CONTROL and row.key in state.testbed.confirmed:
        says += f"; confirmed {number(state.testbed.confirmed[row.key])}"
    lines.append(((fit(says, width), "text"),))
    mark = lies(gap, Side(state.testbed, state.now_s).is_stale)
    if gap is not None and mark.word:
        where = f"twin predicts {interval_words(gap)} {unit_word(row.unit)}, testbed's mean {number(gap.mean)}: "
        lines.append(cut([(where, "dim"), (mark.text, mark.role), (f"  {state.gap.words}", "dim")], width))
    else:
        none = "what is set is not predicted" if row.kind is RowKind.CONTROL else "the twin predicts no interval here"
        lines.append(((fit(f"{none}  {state.gap.words}", width), "dim"),))
    twin, bed = state.twin, state.testbed
    seen = (twin.sequence, twin.values, bed.sequence, bed.values)
    if height >= _CHART_FROM:
        band = None if gap is None else (gap.low, gap.high)
        tall = 6 if height < 46 else 8
        lines += memory.chart.get(seen, (row, width, tall, band), lambda: _chart(state, row, width, tall, band))
        legend: Line = ((" ⠤⠒⠤ twin ", "twin"), (" ▀▄▀ testbed ", "testbed"))
        lines.append((*legend, (" ╌╌╌ predicted interval ", "band")) if mark.word else legend)
    else:
        lines += memory.chart.get(seen, (row, width), lambda: _axis(state, row, width))
    return tuple(lines)


def _chart(state: WatchState, row: Row, width: int, tall: int, band: tuple[float, float] | None) -> tuple[Line, ...]:
    twin, bed = state.twin, state.testbed
    twins = last_windows(twin.sequence, twin.values, [row.key], min(max(2 * width, 8), len(twin.sequence) or 1))
    beds = last_windows(bed.sequence, bed.values, [row.key], min(width, len(bed.sequence) or 1))
    return chart(twins[0], beds[0], width=width, height=tall, band=band, unit=unit_word(row.unit))


def _axis(state: WatchState, row: Row, width: int) -> tuple[Line, ...]:
    """Return the axis of a row's bars in words, where there is no room for a chart."""
    points = max(width // 4, 8)
    tables = (last_windows(p.sequence, p.values, [row.key], points) for p in (state.twin, state.testbed))
    [scale] = scales(*tables)
    axis = f"axis of the bars {axis_words(scale)} {unit_word(row.unit)}, one for both plants, newest at the right"
    return (((fit(axis, width), "dim"),),)


class PlantsPane(LinesPane):
    """The side-by-side view with a cursor over its rows."""

    HELP = "Arrows choose a row, which is explained at the bottom; [ and ] go from group to group."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "group(-1)", "group before", show=False, id="group-before"),
        Binding("right_square_bracket", "group(1)", "next group", show=False, id="group-next"),
    ]

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._memory = Memory()

    def frame(self, width: int, height: int) -> Frame:
        """Return the picture of the state."""
        return plants_frame(self.state, width, height, self.cursor, self._memory)

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
