"""One row of the side-by-side view: its columns, and what stands in them for each plant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from tui.watch.marks import Line, Mark, Span, age, fit, inside_mark, number, unit_word
from tui.watch.sparkline import Scale
from tui.watch.state import Connection, GapRow, PlantView, Row, RowKind, Show, WatchState

__all__ = [
    "Columns",
    "Side",
    "axis_words",
    "columns_for",
    "header",
    "interval_words",
    "lies",
    "row_line",
    "shown_plants",
]

_VALUE, _GAP, _VERDICT, _AGE, _AXIS, _INTERVAL = 8, 8, 6, 6, 15, 17


@dataclass(frozen=True, slots=True)
class Columns:
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


def has_rows(plant: PlantView) -> bool:
    """Return whether a plant is worth a column: it is there, or it was."""
    return plant.connection is not Connection.NONE or bool(plant.rows)


def shown_plants(state: WatchState) -> Show:
    """Return which plants get columns: those that are asked for, unless one of the two never was there."""
    if state.show is not Show.BOTH or has_rows(state.twin) == has_rows(state.testbed):
        return state.show
    return Show.TWIN if has_rows(state.twin) else Show.TESTBED


def columns_for(state: WatchState, rows: Sequence[Row], width: int) -> Columns:
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
    return Columns(
        label=label,
        twin=bar if shows_twin else 0,
        testbed=bar if shows_testbed else 0,
        shows_twin=shows_twin,
        shows_testbed=shows_testbed,
        axis=axis,
        interval=interval,
        twin_age=twin_age,
    )


def header(c: Columns) -> Line:
    """Return the titles of the columns."""
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


class Side:
    """A plant as one column draws it: values of now, and since when."""

    def __init__(self, plant: PlantView, now_s: float) -> None:
        self._plant = plant
        self.role = plant.name if plant.name in ("twin", "testbed") else "text"
        self.is_stale = plant.is_stale(now_s)
        self.age_s = None if plant.received_s is None else now_s - plant.received_s
        self._age = "run" if self.age_s is None else age(self.age_s)

    @property
    def looks(self) -> tuple[object, ...]:
        """What there is in a row's look beyond its numbers."""
        return (self.role, self.is_stale, self._age)

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
        return self._age, False


def row_line(
    row: Row, picture: tuple[str, str, Scale], c: Columns, twin: Side, testbed: Side, gap: GapRow | None
) -> Line:
    """Return one row: `picture` is the bars of twin and testbed, and the axis that both share."""
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
        spans.append((f" {fit(axis_words(picture[2]), c.axis)}", "dim"))
    if c.shows_twin and c.shows_testbed:
        amount = math.nan if gap is None else gap.gap
        spans.append((f" {fit(number(amount, sign=True), _GAP, right=True)}", "stale" if is_old else "text"))
    if c.shows_testbed:
        if c.interval:
            spans.append((f" {fit(interval_words(gap), c.interval)}", "dim"))
        spans += [(" ", "text"), *lies(gap, is_old).cells(_VERDICT), testbed_age]
    return tuple(span for span in spans if span[0])


def lies(gap: GapRow | None, is_old: bool) -> Mark:
    """Return whether the testbed lies in what the twin predicts; nothing where nothing is predicted."""
    if gap is None or (gap.inside is None and math.isnan(gap.low) and math.isnan(gap.high)):
        return Mark("", "", "dim")
    return inside_mark(gap.inside, stale=is_old)


def axis_words(scale: Scale) -> str:
    """Return the ends of an axis."""
    return "" if scale.is_empty else f"{number(scale.low)}…{number(scale.high)}"


def interval_words(gap: GapRow | None) -> str:
    """Return what the twin predicts, empty where it predicts nothing."""
    if gap is None or (math.isnan(gap.low) and math.isnan(gap.high)):
        return ""
    return f"[{number(gap.low)}, {number(gap.high)}]"
