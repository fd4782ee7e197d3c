"""Reading the public 5G data set, or windows in its columns, as recorded windows of a scenario's network.

Its known faults are mended, and said: power of a wrapped energy counter is missing, values that are no numbers are
missing, rows without a limit are left out. Columns that correspond to nothing here are named, not refused.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from col.plant import Control, PlantDescription, Windows
from col.trace import RecordedTrace
from tui.dataset_columns import MOST_WATTS, columns_of
from twin.control_kinds import KINDS, kind_of
from twin.scenario import Scenario

__all__ = ["Recording", "read_dataset", "recorded_trace"]

FloatArray = NDArray[np.float64]

_FRAME = ("sequence", "start_s", "end_s", "run")
_MOST_BYTES = 500_000_000
_MISSING = frozenset({"", "nan", "null", "none", "na", "n/a", "-", "⌀"})
_DATA_COLUMN = re.compile(r"(DU|CU)\d+_\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Recorded windows by the names of the twin, NaN where a value is missing; `mended` and `unused` are for people."""

    windows: Windows
    mended: Sequence[str]
    unused: Sequence[str]
    source: str


def read_dataset(path: Path, scenario: Scenario) -> Recording:
    """Read a CSV file whose columns are those of the data set, and the twin's own where it has more.

    Without columns for the time, row k is window k of the scenario's length.

    Raises:
        InputError: not such a file; the line names row and column.
    """
    head, rows = _rows(path)
    known = {column.name: column for columns in columns_of(scenario.topology).values() for column in columns}
    own = {metric.name for metric in scenario.topology.metrics()} | _settable(scenario)
    found = {k: name for k, name in enumerate(head) if name in known or name in own or name in _FRAME}
    if not any(name in known for name in found.values()):
        other = next((name for name in head if _DATA_COLUMN.fullmatch(name)), "")
        wanted = f"no gNB of {scenario.name} is called so" if other else "no column such as DU1_cpu_limit"
        raise InputError(f"is no table of the 5G data set: {wanted}", source=path.name, key=other)
    values: dict[str, list[float]] = {name: [] for name in found.values()}
    strange = dict.fromkeys(found.values(), 0)
    for number, row in enumerate(rows, start=2):
        if len(row) != len(head):
            raise InputError(f"has {len(row)} fields, the head has {len(head)}: is the file cut off?",
                             source=path.name, key=f"line {number}")  # fmt: skip
        for k, name in found.items():
            value, is_number = _number(row[k])
            strange[name] += not is_number
            values[name].append(value)
    mended = [f"{name}: {count} values are no numbers" for name, count in strange.items() if count]
    columns = {name: np.array(column) for name, column in values.items()}
    if not len(next(iter(columns.values()))):
        raise InputError("has no rows", source=path.name)
    variables = _variables(columns, scenario, mended)
    windows = _windows(variables, columns, scenario, mended, path.name)
    unused = [name for k, name in enumerate(head) if k not in found]
    return Recording(windows=windows, mended=mended, unused=unused, source=path.name)


def _rows(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", source=str(path)) from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"is larger than {_MOST_BYTES // 1_000_000} MB", source=path.name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", source=path.name) from error
    reader = csv.reader(text.splitlines(), strict=True)
    head = _next(reader, path.name)
    if head is None:
        raise InputError("is empty", source=path.name)
    names = [name.strip() for name in head]
    twice = next((name for k, name in enumerate(names) if name and name in names[:k]), None)
    if twice is not None:
        raise InputError("stands in the head twice", source=path.name, key=twice[:60])
    return names, _checked(reader, path.name)


def _checked(reader: Iterator[list[str]], source: str) -> Iterator[list[str]]:
    while (row := _next(reader, source)) is not None:
        if row:
            yield row


def _next(reader: Iterator[list[str]], source: str) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise InputError(f"not CSV ({error})", source=source) from error


def _number(text: str) -> tuple[float, bool]:
    """Return a field's value, NaN where it is missing, and whether it is a number or openly missing."""
    stripped = text.strip()
    if stripped.lower() in _MISSING:
        return math.nan, True
    try:
        value = float(stripped)
    except ValueError:
        return math.nan, False
    return (value, True) if math.isfinite(value) else (math.nan, False)


def _settable(scenario: Scenario) -> set[str]:
    return {name for kind in KINDS for name in scenario.topology.names_of_kind(kind)}


def _variables(columns: dict[str, FloatArray], scenario: Scenario, mended: list[str]) -> dict[str, FloatArray]:
    """Return the columns by the names of the twin, in its units; where several say the same, the middle of them."""
    out = {name: column for name, column in columns.items() if name not in _FRAME}
    for variable, places in columns_of(scenario.topology).items():
        stand = [place for place in places if place.name in out]
        parts = []
        for place in stand:
            part = out.pop(place.name) / place.factor
            if variable.startswith("pow_"):
                wrapped = ~(part <= MOST_WATTS) & np.isfinite(part)
                if np.any(wrapped):
                    mended.append(
                        f"{place.name}: {int(wrapped.sum())} values above {MOST_WATTS:g} W are wrapped counters"
                    )
                part = np.where(wrapped, np.nan, part)
            parts.append(part)
        if parts:
            good = np.any(np.isfinite(parts), axis=0)
            out[variable] = np.full(len(good), np.nan)
            out[variable][good] = np.nanmedian(np.array(parts)[:, good], axis=0)
    if any(name.startswith("dly_du_") for name in out):
        mended.append("*_scheduling_processing_latency_ms: taken as microseconds, which is what a gNB reports")
    return out


def _windows(
    variables: dict[str, FloatArray],
    columns: dict[str, FloatArray],
    scenario: Scenario,
    mended: list[str],
    source: str,
) -> Windows:
    settable = _settable(scenario)
    controls = {name: column for name, column in variables.items() if name in settable}
    n = len(next(iter(variables.values())))
    whole = np.ones(n, dtype=bool)
    for column in controls.values():
        whole &= np.isfinite(column)
    if not whole.all():
        mended.append(f"{int((~whole).sum())} rows left out: a limit is missing")
    if not whole.any():
        raise InputError("has no row in which every limit is there", source=source)
    length = scenario.window.length_s
    frame = {name: columns[name] for name in _FRAME if name in columns}
    for name, column in frame.items():
        if not np.all(np.isfinite(column[whole])):
            raise InputError("must be there in every row", source=source, key=name)
    sequence = frame.get("sequence", np.arange(n, dtype=np.float64))[whole]
    if np.any(sequence != np.rint(sequence)) or np.any(np.diff(sequence) <= 0):
        raise InputError("must be whole numbers that increase", source=source, key="sequence")
    starts = np.asarray(frame.get("start_s", length * np.arange(n))[whole], dtype=np.float64)
    return Windows(
        sequence=sequence.astype(np.int64),
        start_s=starts,
        end_s=np.asarray(frame["end_s"][whole] if "end_s" in frame else starts + length, dtype=np.float64),
        run=frame.get("run", np.zeros(n))[whole].astype(np.int64),
        controls={name: column[whole] for name, column in controls.items()},
        metrics={name: column[whole] for name, column in variables.items() if name not in settable},
    )


def recorded_trace(recording: Recording, scenario: Scenario) -> RecordedTrace:
    """Return the recording as a plant that replays it: its controls are what was moved, between its extremes.

    Every window is passive: nothing in the data says which were trials.

    Raises:
        InputError: nothing was moved, or windows that overlap.
    """
    windows, found = recording.windows, []
    for name, column in windows.controls.items():
        steps = np.diff(np.unique(column))
        if len(steps):
            values, counts = np.unique(column, return_counts=True)
            found.append(
                Control(
                    name=name,
                    unit=KINDS[kind_of(name)].unit,
                    lower=float(column.min()),
                    upper=float(column.max()),
                    resolution=float(max(steps.min(), 1e-9)),
                    reference=float(values[np.argmax(counts)]),
                    description="recorded",
                )
            )
    if not found:
        raise InputError("no limit was ever moved: there is nothing to learn from it", source=recording.source)
    about = {metric.name: metric for metric in scenario.topology.metrics()}
    description = PlantDescription(
        plant_id=f"recording:{recording.source}",
        controls=tuple(found),
        metrics=tuple(about[name] for name in windows.metrics if name in about),
        window_s=float(windows.end_s[0] - windows.start_s[0]),
        notes=tuple(recording.mended),
    )
    kept = Windows(
        sequence=windows.sequence,
        start_s=windows.start_s,
        end_s=windows.end_s,
        run=windows.run,
        controls={control.name: windows.controls[control.name] for control in found},
        metrics={name: column for name, column in windows.metrics.items() if name in about},
    )
    return RecordedTrace(description, kept, np.ones(len(kept), dtype=bool))
