"""What is kept of recordings: a row for each steady setting, a row for each second of the run of live quota steps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from col.errors import InputError
from twin.recording_lines import short, to_number

__all__ = ["Setting", "StepSample", "read_rows", "rounded", "write_rows"]

_DIGITS = 9


def rounded(value: float) -> float:
    """Return a measured value with the digits that are kept, so that what is stored equals what was computed."""
    return float(f"{value:.{_DIGITS}g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Means of one recorded run over its steady part (from 5 s after the quota was set to the end).

    Rates are sums over the UEs.
    """

    source: str
    """Name of the file."""
    quota_cores: float
    """CFS quota of the gNB's container in cores; `1.9` was plenty."""
    n_ue: int
    cap_prb_dl: int
    """Largest grant of a slot in PRBs; 0 = the direction was off."""
    cap_prb_ul: int
    repetition: int
    window_s: float
    """Time over which CPU counters were read."""
    reports: int
    """Reports of the gNB over which throughput and counts were taken."""
    report_interval_s: float
    """Median wall time between two reports; the gNB counts its period in slots."""
    dl_mbps: float
    """Downlink MAC throughput in Mbit/s, acknowledged transport blocks only."""
    dl_mbps_std: float
    """Standard deviation over reports (n - 1) in Mbit/s."""
    ul_mbps: float
    ul_mbps_std: float
    cpu_cores: float
    """CPU used in cores."""
    throttled_share: float
    """Time throttled in s a s, summed over CPUs: up to the number of CPUs."""
    throttled_periods: float
    """Share of the CFS periods in which the gNB ran out of quota."""
    nok_ratio_dl: float
    """HARQ transmissions without a good answer in time / all; compute overload here, never the radio."""
    nok_ratio_ul: float
    ok_per_s_dl: float
    nok_per_s_dl: float
    ok_per_s_ul: float
    nok_per_s_ul: float
    slots_scheduled_per_s: float
    """Of 1000 slots; the others were skipped."""
    late_harqs_dl_per_s: float
    """Grants refused because HARQ processes were still waiting."""
    late_harqs_ul_per_s: float
    errors_per_s: float
    """FAPI error indications: messages of the MAC that came too late for their slot."""
    mcs_dl: float | None
    """Mean index of the downlink MCS, None where nothing was sent."""
    host_steal_share: float | None
    """CPU time that the hypervisor took from the whole host / all CPU time; None where not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSample:
    """One report of a run in which the quota was changed live; CPU over the time since the report before."""

    t_s: float
    """Time since the first quota was set; a report tells of the period (1 s) before it."""
    quota_cores: float
    since_change_s: float
    """Below one period the report still covers time before the change."""
    dl_mbps: float
    ul_mbps: float
    cpu_cores: float
    throttled_periods: float


def write_rows(kind: type[Any], rows: Iterable[Any]) -> str:
    """Return rows as a JSON table, one row a line; the same values give the same text everywhere."""
    names = [f.name for f in fields(kind)]
    lines = [json.dumps([getattr(row, name) for name in names]) for row in rows]
    return f'{{"columns": {json.dumps(names)}, "rows": [\n  ' + ",\n  ".join(lines) + "\n ]}"


def read_rows(kind: type[Any], table: object, source: str, key: str) -> list[Any]:
    """Return the rows of such a table.

    Raises:
        InputError: another table, or a value that is missing or out of range.
    """
    names = [f.name for f in fields(kind)]
    if not isinstance(table, dict) or table.get("columns") != names or not isinstance(table.get("rows"), list):
        raise InputError(f"must be a table with the columns {', '.join(names)}", source=source, key=key)
    hints = get_type_hints(kind)
    return [_read_row(kind, hints, names, row, source, f"{key}.rows[{i}]") for i, row in enumerate(table["rows"])]


def _read_row(
    kind: type[Any], hints: Mapping[str, type], names: Sequence[str], row: object, source: str, key: str
) -> Any:
    if not isinstance(row, list) or len(row) != len(names):
        raise InputError(f"must be a list of {len(names)} values", source=source, key=key)
    values: dict[str, object] = {}
    for name, value in zip(names, row, strict=True):
        if hints[name] is str:
            good = isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable()
            values[name] = value
        elif hints[name] is int:
            good = type(value) is int and 0 <= value <= 10**9
            values[name] = value
        else:
            number = to_number(value, 0.0, 1e12)
            good, values[name] = number is not None or (value is None and hints[name] is not float), number
        if not good:
            wanted = {str: "a text", int: "a whole number of at least 0"}.get(hints[name], "a number of at least 0")
            raise InputError(f"{name} must be {wanted}", source=source, key=key, value=short(value))
    return kind(**values)
