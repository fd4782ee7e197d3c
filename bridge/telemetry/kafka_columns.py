"""Between the columns of a message on a bus and our metrics: names, units, and what is possible at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.telemetry.door import number
from bridge.telemetry.units import UNIT_OF, stem_of, unit_factor
from col.errors import InputError
from col.plant import MetricKind, Windows

__all__ = ["Column", "kind_of", "published_columns", "read_columns", "read_message", "write_window"]

_MOST = {
    "Mbit/s": 1e5, "ms": 1e6, "1": 1e9, "%": 100.0, "core": 1024.0, "MiB": 1e8, "MB": 1e8, "kB": 1e9, "W": 1000.0,
    "dB": 60.0,
}  # fmt: skip
"""What is above is no measurement. Of watts: testbeds publish 4.6e12 W where a power counter wrapped."""
_SHARES = frozenset({"loss_dl", "loss_ul", "nok_dl", "nok_ul", "late_du", "stall_cu", "stall_du"})
_TARGETS = ("thp", "dly", "jit", "pow")

# column of the published testbed's measurements, its unit, our metric
_PUBLISHED = (
    ("DU{n}_cpu_usage_percent", "% of a core", "cpuu_du_{n}"),
    ("DU{n}_memory_usage_mb", "MB", "memu_du_{n}"),
    ("CU{n}_cpu_usage_percent", "% of a core", "cpuu_cu_{n}"),
    ("CU{n}_memory_usage_mb", "MB", "memu_cu_{n}"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A metric of ours and the column that has it: ours = theirs * factor, impossible outside [low, high]."""

    metric: str
    unit: str
    column: str
    factor: float
    low: float
    high: float


def published_columns(dus: Sequence[str], cus: Sequence[str]) -> dict[str, object]:
    """Return the table of columns of the testbed whose measurements were published with the paper."""
    found: dict[str, object] = {}
    for column, unit, metric in _PUBLISHED:
        for n in dus if "_du_" in metric else cus:
            found[metric.format(n=n)] = {"column": column.format(n=n), "unit": unit}
    return found


def kind_of(metric: str) -> MetricKind:
    """Return what a metric is for, by its name."""
    return MetricKind.TARGET if metric.startswith(_TARGETS) else MetricKind.OBSERVABLE


def read_columns(table: Mapping[str, object]) -> tuple[Column, ...]:
    """Return the columns of a table: our metric -> the column's name, or {column, unit, ours}.

    `unit` is the column's own (ours where it is left out), `ours` that of a metric whose name does not say it.

    Raises:
        InputError: a unit is unknown or does not convert.
    """
    found = []
    for metric, entry in table.items():
        spec: Mapping[str, object] = {"column": entry} if isinstance(entry, str) else {}
        if isinstance(entry, Mapping):
            spec = entry
        column, ours = spec.get("column"), spec.get("ours", UNIT_OF.get(stem_of(metric)))
        unit = spec.get("unit", ours)
        if not isinstance(column, str) or not column or set(spec) - {"column", "unit", "ours"}:
            raise InputError('must be a column or {column = "...", unit = "..."}', key=f"columns.{metric}", value=entry)
        if not isinstance(ours, str) or not isinstance(unit, str):
            raise InputError("its name says no unit: give `ours`", key=f"columns.{metric}", value=entry)
        try:
            factor = unit_factor(unit, ours)
        except InputError as error:
            raise InputError(str(error), key=f"columns.{metric}") from error
        high = 1.0 if stem_of(metric) in _SHARES else _MOST.get(ours, math.inf)
        low = -high if ours == "dB" else 0.0
        found.append(Column(metric=metric, unit=ours, column=column, factor=factor, low=low, high=high))
    if len({one.column for one in found}) < len(found):
        raise InputError("names one column twice", key="columns")
    return tuple(found)


def read_message(body: bytes | None, columns: Sequence[Column]) -> tuple[float | None, dict[str, float]]:
    """Return how many seconds a message says that it covers (None: nothing), and the metrics found in it."""
    try:
        content: Any = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None, {}
    if not isinstance(content, dict):
        return None, {}
    start_s, end_s = (number(content.get(key), -1e12, 1e12) for key in ("start_s", "end_s"))
    span_s = end_s - start_s if start_s is not None and end_s is not None and end_s > start_s else None
    values = {}
    for one in columns:
        theirs = number(content.get(one.column), -1e300, 1e300)
        if theirs is not None and one.low <= theirs * one.factor <= one.high:
            values[one.metric] = theirs * one.factor
    return span_s, values


def write_window(windows: Windows, row: int, columns: Sequence[Column]) -> bytes:
    """Return a window of ours as a message: known columns in their names and units, others in ours; null is missing."""
    by_metric = {one.metric: one for one in columns}
    content: dict[str, object] = {
        "sequence": int(windows.sequence[row]),
        "start_s": float(windows.start_s[row]),
        "end_s": float(windows.end_s[row]),
    }
    for name, column in (*windows.controls.items(), *windows.metrics.items()):
        value, known = float(column[row]), by_metric.get(name)
        key = name if known is None else known.column
        content[key] = None if not math.isfinite(value) else value if known is None else value / known.factor
    estimated = sorted(name for name, how in windows.provenance.items() if how == "estimated")
    if estimated:
        content["estimated"] = [by_metric[name].column if name in by_metric else name for name in estimated]
    return json.dumps(content, allow_nan=False).encode()
