"""From what a plant says of itself to the rows of the screen, and from its windows to their columns.

Nothing here knows a metric by name: a row's place follows from the end of its name (`thp_dl_1` is of gNB 1 where there
is a gNB 1, `pow_h1` of host h1 where nothing else has that end), a total from the unit that its parts share.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from col.errors import InputError
from col.plant import Control, Metric, MetricKind, Windows
from col.specification import Specification
from tui.watch.state import PHI, GnbPlace, Row, RowGroup, RowKind

__all__ = ["Layout", "columns_of", "holes_in", "layout_of", "places_of"]

FloatArray = NDArray[np.float64]

_SUMMED = frozenset({"Mbit/s", "kbit/s", "core", "cores", "W", "kB", "MB", "GB", ""})
"""Units whose RAN row is the sum over the gNBs; for every other unit it is their mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The rows of a plant, what the totals are made of (key -> parts, whether a sum), and φ."""

    rows: tuple[Row, ...]
    totals: Mapping[str, tuple[tuple[str, ...], bool]]
    specification: Specification | None = None


def places_of(
    groups: Iterable[Mapping[str, object]] = (),
    gnbs: Mapping[str, Sequence[str]] | None = None,
    controls: Collection[str] = (),
) -> tuple[GnbPlace, ...]:
    """Return where the gNBs stand: by a run's manifest (`groups`), or a testbed (`gnbs`: name -> metrics, controls)."""
    places: dict[str, GnbPlace] = {}
    for group in groups:
        suffixes = group.get("suffixes", ())
        parts = [str(end) for end in suffixes] if isinstance(suffixes, list | tuple) else []
        if not parts:
            continue
        host = parts[-1] if len(parts) > 1 else ""
        cu = parts[1] if len(parts) > 2 else parts[0]
        axes = tuple(str(group[axis]) for axis in ("x", "y") if group.get(axis))
        places[parts[0]] = GnbPlace(cell=parts[0], cu=cu, host=host, controls=axes)
    for name, names in (gnbs or {}).items():
        # A testbed calls its gNBs as it likes; its metrics and controls end in what the rows call them.
        ends = Counter(end for _, _, end in (one.rpartition("_") for one in names) if end)
        cell = ends.most_common(1)[0][0] if ends else name
        places.setdefault(cell, GnbPlace(cell=cell, cu=cell, controls=tuple(n for n in names if n in controls)))
    return tuple(places.values())


def layout_of(
    controls: Sequence[Control],
    metrics: Sequence[Metric],
    places: Sequence[GnbPlace],
    *,
    estimated: frozenset[str] = frozenset(),
    specification: str = "",
) -> Layout:
    """Return the rows: φ and the totals, then each gNB's, then each host's; targets first, controls next."""
    ends = _Ends(places)
    rows: list[Row] = []
    for metric in metrics:
        group, place, label = ends.place(metric.name)
        rows.append(
            Row(
                key=metric.name, label=label, unit=metric.unit, group=group, place=place,
                description=metric.description, estimated=metric.name in estimated,
                target=metric.kind is MetricKind.TARGET,
            )
        )  # fmt: skip
    owned = {name: place.cell for place in places for name in place.controls}
    for control in controls:
        group, place, label = ends.place(control.name)
        if group is not RowGroup.GNB and control.name in owned:
            group, place = RowGroup.GNB, owned[control.name]
        rows.append(
            Row(
                key=control.name, label=label, unit=control.unit, group=group, place=place,
                kind=RowKind.CONTROL, description=control.description,
            )
        )  # fmt: skip
    totals, total_rows = _totals(rows)
    parsed = _parsed(specification, {m.name for m in metrics})
    head = [Row(key=PHI, label="φ robustness", unit="1", group=RowGroup.RAN, kind=RowKind.ROBUSTNESS,
                description="margin of the specification over the horizon that ends here; below 0 it fails",
                target=True)] if parsed else []  # fmt: skip
    order = list(RowGroup)
    cells = [place.cell for place in places]
    total_rows.sort(key=_rank)
    rows.sort(
        key=lambda r: (
            order.index(r.group),
            cells.index(r.place) if r.place in cells else len(cells),
            r.place,
            _rank(r),
        )
    )
    return Layout(rows=(*head, *total_rows, *rows), totals=totals, specification=parsed)


class _Ends:
    """Which end of a name means which place."""

    def __init__(self, places: Sequence[GnbPlace]) -> None:
        self._cells = {place.cell for place in places}
        self._hosts = {place.host for place in places if place.host}
        self._cus = {place.cu: place.cell for place in reversed(places) if place.cu}

    def place(self, name: str) -> tuple[RowGroup, str, str]:
        """Return group, place and the name without its end."""
        stem, _, end = name.rpartition("_")
        if not stem:
            return RowGroup.RAN, "", name
        if end in self._cells:
            return RowGroup.GNB, end, stem
        if end in self._hosts:
            return RowGroup.HOST, end, stem
        if end in self._cus:
            return RowGroup.GNB, self._cus[end], name
        # A testbed does not say its hosts; what ends in a letter and a number besides the gNBs is taken for one.
        if len(end) > 1 and end[0].isalpha() and end[1:].isdigit():
            return RowGroup.HOST, end, stem
        return RowGroup.RAN, "", name


def _rank(row: Row) -> int:
    """Put first what φ speaks of, then what an operator may set, then the rest."""
    return 0 if row.target else 1 if row.kind is RowKind.CONTROL else 2


def _totals(rows: Sequence[Row]) -> tuple[dict[str, tuple[tuple[str, ...], bool]], list[Row]]:
    parts: dict[tuple[RowGroup, str], list[Row]] = {}
    for row in rows:
        if row.place:
            parts.setdefault((row.group, row.label), []).append(row)
    totals: dict[str, tuple[tuple[str, ...], bool]] = {}
    made = []
    for (group, label), members in parts.items():
        if len(members) < 2:
            continue
        is_sum = members[0].unit in _SUMMED
        of = "gNBs" if group is RowGroup.GNB else "hosts"
        key = f"RAN:{label}"
        totals[key] = (tuple(row.key for row in members), is_sum)
        made.append(
            Row(
                key=key, label=f"{label} {'sum' if is_sum else 'mean'}", unit=members[0].unit, group=RowGroup.RAN,
                kind=RowKind.TOTAL, description=f"{members[0].description}; {'sum' if is_sum else 'mean'} over {of}",
                estimated=any(row.estimated for row in members), target=members[0].target,
            )
        )  # fmt: skip
    return totals, made


def _parsed(text: str, metrics: set[str]) -> Specification | None:
    """Return φ where the plant has all that it needs."""
    if not text:
        return None
    try:
        specification = Specification.parse(text)
    except InputError:
        return None
    return specification if set(specification.metrics) <= metrics else None


def columns_of(layout: Layout, windows: Windows) -> dict[str, FloatArray]:
    """Return a column for each row, shape (n,)."""
    columns: dict[str, FloatArray] = {**windows.controls, **windows.metrics}
    nothing = np.full(len(windows), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN, which is what is meant
        for key, (parts, is_sum) in layout.totals.items():
            table = np.array([columns.get(part, nothing) for part in parts])
            columns[key] = table.sum(axis=0) if is_sum else np.nanmean(table, axis=0)
    if layout.specification is not None:
        columns[PHI] = _robustness(layout.specification, windows)
    return {row.key: columns.get(row.key, nothing) for row in layout.rows}


def _robustness(specification: Specification, windows: Windows) -> FloatArray:
    """Return φ's robustness over the horizon that ends with each window, NaN where it is not whole or windows miss."""
    n, horizon = len(windows), specification.horizon
    result = np.full(n, np.nan)
    if n < horizon or any(name not in windows.metrics for name in specification.metrics):
        return result
    trace = {name: sliding_window_view(windows.metrics[name], horizon) for name in specification.metrics}
    value = np.asarray(specification.robustness(trace), dtype=float)
    whole = windows.sequence[horizon - 1 :] - windows.sequence[: n - horizon + 1] == horizon - 1
    result[horizon - 1 :] = np.where(whole, value, np.nan)
    return result


def holes_in(sequence: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """Return the numbers that miss between those that are there, as (first, last)."""
    jumps = np.flatnonzero(np.diff(sequence) > 1)
    return tuple((int(sequence[k]) + 1, int(sequence[k + 1]) - 1) for k in jumps)
