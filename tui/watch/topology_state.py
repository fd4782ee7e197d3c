"""How each part of the RAN stands: which rows belong to it, and what they say together.

A part's rows are found by the pieces of their names that name a part (`cpuu_du_1` has `du`): what a plant does not
measure at a part is said to be so, and never counts as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from tui.watch.kept import Kept
from tui.watch.marks import FAIL, HOLD, LOST, PASS, TRIAL, Mark
from tui.watch.state import Connection, GnbPlace, Row, RowGroup, RowKind, WatchState

__all__ = ["DRIFT", "NOT_MEASURED", "SEEN", "STALE", "Part", "PartState", "cell_parts", "core_state", "host_state"]

SEEN = Mark("SEEN", "o", "text")
NOT_MEASURED = Mark("none", "-", "dim")
STALE = Mark("STALE", "?", "hold")
DRIFT = Mark("DRIFT", "~", "hold")
"""What the twin did not predict, but no target of specifications: the twin is wrong there, the testbed need not be."""


class Part(StrEnum):
    """A part of one gNB, from the radio to the core; `CELL` is what a UE sees of them together."""

    RU = "RU"
    FRONTHAUL = "fronthaul"
    DU = "DU"
    MIDHAUL = "midhaul"
    CU = "CU"
    BACKHAUL = "backhaul"
    CELL = "end to end"


_PIECES = {
    Part.RU: {"ru", "rsrp", "sinr", "cqi"},
    Part.FRONTHAUL: {"fh", "fronthaul", "ofh"},
    Part.DU: {"du", "prb", "nok", "mcs", "bler", "mac"},
    Part.MIDHAUL: {"mh", "midhaul", "f1", "f1u", "f1c"},
    Part.CU: {"cu", "cuup", "cucp", "pdcp"},
    Part.BACKHAUL: {"bh", "backhaul", "n2", "n3"},
}
_CORE = {"core", "upf", "amf", "smf", "n4", "n6", "5gc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartState:
    """A part: its mark, and the rows behind it, those outside their interval first."""

    part: str
    mark: Mark
    rows: tuple[Row, ...] = ()


def part_of(row: Row) -> Part:
    """Return the part of a gNB that a row tells of."""
    return _part_named(row.label, row.key)


@lru_cache(maxsize=4096)
def _part_named(label: str, key: str) -> Part:
    pieces = set(label.casefold().split("_")) | set(key.casefold().split("_"))
    return next((part for part, names in _PIECES.items() if pieces & names), Part.CELL)


def _is_core(row: Row) -> bool:
    return bool(set(row.label.casefold().split("_")) & _CORE)


def cell_parts(state: WatchState, place: GnbPlace, all_rows: Sequence[Row]) -> tuple[PartState, ...]:
    """Return how each part of a gNB stands; `all_rows` are the state's."""
    at = _PLACED.get((all_rows,), None, lambda: _placed(all_rows))
    owned = set(place.controls)
    rows = [r for r in at.get("", ()) if r.key in owned and r.group is not RowGroup.GNB]
    rows += [r for r in at.get(place.cell, ()) if r.group is RowGroup.GNB]
    by_part: dict[Part, list[Row]] = {part: [] for part in Part}
    for row in rows:
        by_part[part_of(row)].append(row)
    if place.cu:  # a shared CU's rows stand with the first of its gNBs, and tell of all of them
        sharing = [p.cell for p in state.topology if p.cu == place.cu and p.cell != place.cell]
        by_part[Part.CU] += [
            r for cell in sharing for r in at.get(cell, ()) if r.group is RowGroup.GNB and part_of(r) is Part.CU
        ]
    return tuple(_judged(state, str(part), by_part[part]) for part in Part)


_PLACED: Kept[dict[str, list[Row]]] = Kept()


def _placed(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows by place: of forty gNBs each looks at its own alone."""
    at: dict[str, list[Row]] = {}
    for row in rows:
        at.setdefault(row.place, []).append(row)
    return at


def host_state(state: WatchState, host: str, all_rows: Sequence[Row]) -> PartState:
    """Return how a host stands."""
    return _judged(state, host, [r for r in all_rows if r.group is RowGroup.HOST and r.place == host])


def core_state(state: WatchState, all_rows: Sequence[Row]) -> PartState:
    """Return how the core stands."""
    return _judged(state, "core", [r for r in all_rows if r.group is RowGroup.RAN and _is_core(r)])


def _judged(state: WatchState, part: str, rows: Iterable[Row]) -> PartState:
    rows = list(rows)
    gaps = state.gap.rows
    said = {r.key: gaps[r.key].inside for r in rows if r.key in gaps}
    rows.sort(key=lambda r: (said.get(r.key) is not False, said.get(r.key) is None, not r.target))
    return PartState(part=part, mark=_mark(state, rows, said), rows=tuple(rows))


def _mark(state: WatchState, rows: list[Row], said: dict[str, bool | None]) -> Mark:
    if not rows:
        return NOT_MEASURED
    bed = state.testbed
    if bed.connection is Connection.LOST:
        return LOST
    active = state.promotions.active
    touched = {c.control for c in active.plan.changes} if active is not None and active.state.is_in_flight else set()
    if any(r.key in touched for r in rows):
        return TRIAL
    if bed.connection is not Connection.CONNECTED:
        return SEEN if any(_has_value(state.twin.values.get(r.key)) for r in rows) else NOT_MEASURED
    if bed.is_stale(state.now_s):
        return STALE
    outside = [r for r in rows if said.get(r.key) is False]
    if outside:
        return FAIL if any(r.target for r in outside) else DRIFT
    if any(said.values()):
        return PASS
    metrics = [r for r in rows if r.kind is not RowKind.CONTROL]
    if any(r.target for r in metrics):
        return HOLD
    return SEEN if any(_has_value(bed.values.get(r.key)) for r in rows) else NOT_MEASURED


def _has_value(column: object) -> bool:
    values = np.asarray(column if column is not None else [], dtype=float)
    return bool(len(values)) and bool(np.isfinite(values[-1]))
