"""The RAN as it stands: RU, fronthaul, DU, midhaul, CU, backhaul of each gNB, the hosts under them, the core behind."""

from __future__ import annotations

import math
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType

from tui.watch.jump import JumpPlace
from tui.watch.marks import FAIL, Frame, Line, Span, cut, fit, number, rule, unit_word
from tui.watch.messages import GnbChosen
from tui.watch.pane import LinesPane
from tui.watch.state import Connection, GnbPlace, PlantView, Row, RowKind, WatchState
from tui.watch.topology_state import DRIFT, NOT_MEASURED, Part, PartState, cell_parts, core_state, host_state

__all__ = ["TopologyPane", "topology_frame"]

_BOX = 19
_WIDEST = 34
_MOST_BANDS = 2
_SHORT = {
    Part.RU: "RU", Part.FRONTHAUL: "front", Part.DU: "DU", Part.MIDHAUL: "mid", Part.CU: "CU", Part.BACKHAUL: "back",
    Part.CELL: "e2e",
}  # fmt: skip
_LINKS = {str(Part.FRONTHAUL), str(Part.MIDHAUL), str(Part.BACKHAUL)}


def topology_frame(state: WatchState, width: int, height: int, cell: str = "") -> Frame:
    """Return the view; `cell` is the gNB that is explained at the bottom."""
    places = state.topology
    if not places:
        return Frame(body=((), (("no gNBs are known yet: neither a run nor a testbed is there", "hold"),)))
    cell = cell if any(place.cell == cell for place in places) else places[0].cell
    rows = state.rows
    parts = {place.cell: cell_parts(state, place, rows) for place in places}
    a_band = max(width // _BOX, 1)
    if math.ceil(len(places) / a_band) > _MOST_BANDS:
        body, keys = _table(places, parts, cell)
    else:
        body, keys = [], []
        for first in range(0, len(places), a_band):
            band = places[first : first + a_band]
            across = min(width // min(len(places), a_band), _WIDEST)
            body += _boxes(state, band, parts, across, cell)
    keys += [""] * (len(body) - len(keys))
    tail = [*_hosts(state, places, rows, width), _core(state, rows, width)]
    head = (_legend(state, width),)
    return Frame(
        head=head,
        body=(*body, *tail),
        foot=_explained(state, cell, parts[cell], width, 3 if height < 30 else 8),
        keys=(*keys, *([""] * len(tail))),
    )


def _shown_plant(state: WatchState) -> PlantView:
    return state.testbed if state.testbed.connection is not Connection.NONE else state.twin


def _legend(state: WatchState, width: int) -> Line:
    plant = _shown_plant(state)
    spans: list[Span] = [(plant.name.upper(), plant.name), (" ", "text")]
    if plant.emulated:
        spans += [("EMULATED", "emulated"), (" ", "text")]
    for word, role in (
        ("PASS +", "pass"), ("FAIL x", "fail"), ("DRIFT ~", "hold"), ("HOLD ?", "hold"), ("TRIAL *", "trial"),
        ("SEEN o", "text"),
    ):  # fmt: skip
        spans += [(" ", "text"), (word, role)]
    spans.append(("  as predicted, target off, other off, unsaid, changing, no prediction", "dim"))
    return cut(spans, width)


def _boxes(
    state: WatchState, band: tuple[GnbPlace, ...], parts: dict[str, tuple[PartState, ...]], across: int, cell: str
) -> list[Line]:
    columns = [_box(state, place, parts[place.cell], across - 1, place.cell == cell) for place in band]
    return [tuple(span for column in columns for span in (*column[k], (" ", "text"))) for k in range(len(columns[0]))]


def _box(state: WatchState, place: GnbPlace, parts: tuple[PartState, ...], width: int, is_chosen: bool) -> list[Line]:
    """Return one gNB as a box of fixed height, so that boxes stand beside each other."""
    inner = width - 4
    title = f" {'›' if is_chosen else ''}gNB {place.cell} "
    edge = "title" if is_chosen else "rule"
    lines: list[Line] = [(("┌─", edge), (title, "title"), ("─" * max(inner - len(title) + 1, 0) + "┐", edge))]
    for state_of in parts:
        mark = state_of.mark
        is_link = state_of.part in _LINKS
        room = inner - len(mark.text)
        prefix = "┆ " if is_link else ""
        is_long = len(prefix + state_of.part) >= room
        name = prefix + (_SHORT[Part(state_of.part)] if is_long else state_of.part)
        if state_of.part == Part.CU and place.cu and place.cu != place.cell:
            name += f" {place.cu}"
        lines.append(
            (("│ ", edge), (fit(name, room), "dim" if is_link else "text"), (mark.text, mark.role), (" │", edge))
        )
        if not is_link and state_of.part != Part.CELL and state_of.part != Part.RU:
            lines.append(
                (("│ ", edge), (fit("  " + _headline(state, state_of.rows, inner - 2), inner), "dim"), (" │", edge))
            )
    lines.append((("└" + "─" * (width // 2 - 1) + "┬" + "─" * (width - width // 2 - 2) + "┘", edge),))
    return lines


def _headline(state: WatchState, rows: tuple[Row, ...], width: int) -> str:
    """Return what is set at a part, or its first number; its name only where there is room for the unit as well."""
    plant = _shown_plant(state)
    for row in sorted(rows, key=lambda r: r.kind is not RowKind.CONTROL):
        value = plant.in_force.get(row.key, plant.latest(row.key))
        if not math.isnan(value):
            short = f"{number(value)} {unit_word(row.unit)}"
            return f"{row.label} {short}" if len(row.label) + 1 + len(short) <= width else short
    return ""


def _table(
    places: tuple[GnbPlace, ...], parts: dict[str, tuple[PartState, ...]], cell: str
) -> tuple[list[Line], list[str]]:
    lines: list[Line] = [
        (("  gNB     ", "dim"), *((fit(_SHORT[part], 8), "dim") for part in Part), ("host", "dim")),
    ]
    keys = [""]
    for place in places:
        glyph = "›" if place.cell == cell else " "
        spans: list[Span] = [(f"{glyph} {fit(place.cell, 7)} ", "title" if place.cell == cell else "text")]
        spans += [span for state_of in parts[place.cell] for span in state_of.mark.cells(8)]
        lines.append((*spans, (place.host, "dim")))
        keys.append(place.cell)
    return lines, keys


def _hosts(state: WatchState, places: tuple[GnbPlace, ...], rows: tuple[Row, ...], width: int) -> list[Line]:
    from_rows = [row.place for row in rows if row.group == "host"]
    hosts = dict.fromkeys([*(p.host for p in places if p.host), *from_rows])
    plant = _shown_plant(state)
    lines: list[Line] = []
    for host in hosts:
        stands = host_state(state, host, rows)
        carried = ", ".join(p.cell for p in places if p.host == host)
        numbers = "  ".join(
            f"{row.label} {number(plant.latest(row.key))} {unit_word(row.unit)}" for row in stands.rows[:4]
        )
        carries = f"  carries gNB {carried}" if carried else ""
        spans: list[Span] = [(f"host {host:<6}", "title"), *stands.mark.cells(8), (f" {numbers}", "text")]
        lines.append(cut([*spans, (carries, "dim")], width))
    return lines


def _core(state: WatchState, rows: tuple[Row, ...], width: int) -> Line:
    stands = core_state(state, rows)
    plant = _shown_plant(state)
    numbers = "  ".join(f"{r.label} {number(plant.latest(r.key))} {unit_word(r.unit)}" for r in stands.rows[:4])
    if stands.mark is NOT_MEASURED:
        numbers = "no metric of the core is described by either plant"
    return cut([("core       ", "title"), *stands.mark.cells(8), (f" {numbers}", "dim")], width)


def _explained(state: WatchState, cell: str, parts: tuple[PartState, ...], width: int, most: int) -> tuple[Line, ...]:
    """Return which rows of a gNB lie outside what the twin predicts, always in the same number of lines."""
    outside = [row for part in parts for row in part.rows if _is_outside(state, row)]
    lines: list[Line] = [rule(f"gNB {cell}: {len(outside) or 'nothing'} outside the prediction", width)]
    for row in outside[:most]:
        gap = state.gap.rows[row.key]
        unit = unit_word(row.unit)
        mark = FAIL if row.target else DRIFT
        says = f" {row.label} mean {number(gap.mean)} {unit}, predicted [{number(gap.low)}, {number(gap.high)}] {unit}"
        lines.append(cut([*mark.cells(7), (says, "text")], width))
    if not outside:
        lines.append((("arrows choose a gNB, Enter shows its rows side by side", "dim"),))
    return tuple(lines + [()] * (most + 1 - len(lines)))


def _is_outside(state: WatchState, row: Row) -> bool:
    gap = state.gap.rows.get(row.key)
    return gap is not None and gap.inside is False


class TopologyPane(LinesPane):
    """The topology with a cursor over the gNBs."""

    HELP = "Arrows choose a gNB, Enter looks at it alone."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "cell(-1)", "gNB before", show=False, id="topology-left"),
        Binding("right", "cell(1)", "next gNB", show=False, id="topology-right"),
        Binding("enter", "choose", "Rows", id="topology-enter"),
    ]

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.cell = ""

    def frame(self, width: int, height: int) -> Frame:
        """Return the picture of the state."""
        return topology_frame(self.state, width, height, self.cell or self.cursor)

    def jump_places(self) -> list[JumpPlace]:
        """Return the gNBs in sight: the lines of the table, or the titles of the boxes."""
        places, top = super().jump_places(), round(self.scroll_y)
        if places:
            return places
        titles = {f" {mark}gNB {place.cell} ": place.cell for place in self.state.topology for mark in ("", "›")}
        for row, line in enumerate(self.shown.body[top : top + self._body_height]):
            x = 0
            for text, _ in line:
                if text in titles:
                    places.append(JumpPlace(x=x, y=len(self.shown.head) + row, key=titles[text]))
                x += cell_len(text)
        return places

    def put_cursor(self, key: str) -> None:
        """Put the cursor on a gNB."""
        self.cell = key
        super().put_cursor(key)

    def action_cell(self, step: int) -> None:
        """Go to the next gNB or the one before."""
        cells = [place.cell for place in self.state.topology]
        if not cells:
            return
        at = cells.index(self.cell) if self.cell in cells else 0
        self.cell = cells[min(max(at + step, 0), len(cells) - 1)]
        self.cursor = self.cell
        self.rebuild()
        self.keep_cursor_in_sight()

    def action_cursor(self, step: int) -> None:
        """Go along the table of gNBs, or scroll where they stand side by side."""
        if any(self.shown.keys):
            self.action_cell(step)
        else:
            super().action_cursor(step)

    def action_choose(self) -> None:
        """Ask to look at this gNB alone."""
        if self.state.topology:
            self.post_message(GnbChosen(self.cell or self.state.topology[0].cell))
