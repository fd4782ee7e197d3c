"""One recorded run of a gNB: tolerant of a cut or shuffled file, and strict about every number in it.

A recording is JSON, one object a line (`.jsonl` or `.jsonl.gz`). Lines carry `t` (Unix time at the recorder, s) and
`kind`: `meta` (how the run was made), `cgroup` (cumulative CPU counters of the gNB's control group), `event` (the quota
was set), `msg` (one JSON metrics message of srsRAN Project, told apart by its top-level key). Other kinds and messages
are skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from col.errors import InputError
from twin.recording_lines import read_lines, to_number

__all__ = ["CellReport", "CgroupSample", "RawRecording", "read_recording"]

_MOST_RATE_BPS = 1e11
_MOST_COUNT = 1e7
_MOST_TIME_S = 1e11
_MOST_COUNTER = 1e19


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupSample:
    """Cumulative counters of the gNB's control group at one moment; times in s, summed over CPUs."""

    t_s: float
    quota_cores: float
    usage_s: float
    throttled_s: float
    periods: float
    throttled_periods: float
    steal_jiffies: float | None
    """CPU time that the hypervisor took from the host, in ticks; None where the recorder did not see it."""
    all_jiffies: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellReport:
    """One scheduler report of srsRAN, summed over cells and UEs; counts are those of the report's period."""

    t_s: float
    dl_mbps: float
    ul_mbps: float
    dl_ok: float
    dl_nok: float
    ul_ok: float
    ul_nok: float
    slots: float
    errors: float
    late_dl: float
    late_ul: float
    mcs_dl: float | None
    """Mean over the UEs that were sent something, None where there was none."""
    n_ue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRecording:
    """What one file holds, in order of time, without repeats and unusable values; `notes` says what was left out."""

    source: str
    meta: dict[str, Any]
    samples: tuple[CgroupSample, ...]
    reports: tuple[CellReport, ...]
    changes: tuple[tuple[float, float], ...]
    """(time in s, cores) at which a quota was set."""
    modulations: frozenset[str]
    """Those that carried downlink data, such as `qam256`."""
    has_commands: bool
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Tally:
    """What the lines of one file gave."""

    metas: list[dict[str, Any]] = field(default_factory=list)
    samples: dict[float, CgroupSample] = field(default_factory=dict)
    reports: dict[float, CellReport] = field(default_factory=dict)
    changes: dict[float, float] = field(default_factory=dict)
    modulations: set[str] = field(default_factory=set)
    commands: int = 0
    repeated: int = 0
    bad_samples: int = 0
    bad_reports: int = 0
    bad_events: int = 0

    def add(self, line: dict[str, Any]) -> None:
        kind, message = line.get("kind"), line.get("msg")
        t_s = to_number(line.get("t"), 0.0, _MOST_TIME_S)
        if kind == "meta":
            self.metas += [line] if line not in self.metas else []
        elif kind == "cgroup":
            sample = None if t_s is None else _sample(t_s, line)
            self.bad_samples += sample is None
            if sample is not None:
                self.repeated += sample.t_s in self.samples
                self.samples.setdefault(sample.t_s, sample)
        elif kind == "event" and line.get("ev") == "set_cpus":
            cores = to_number(line.get("cpus"), 1e-3, 1024.0)
            if t_s is None or cores is None:
                self.bad_events += 1
            else:
                self.changes.setdefault(t_s, cores)
        elif kind == "cmd":
            self.commands += 1
        elif kind == "msg" and isinstance(message, dict):
            if "cells" in message:
                report = None if t_s is None else _report(t_s, message["cells"])
                self.bad_reports += report is None
                if report is not None:
                    self.repeated += report.t_s in self.reports
                    self.reports.setdefault(report.t_s, report)
            elif "du_low" in message:
                self.modulations |= _modulations(message["du_low"])

    def notes(self) -> Iterator[str]:
        for count, what in (
            (self.repeated, "repeated lines were skipped"),
            (self.bad_samples, "cgroup lines with a missing or absurd value were skipped"),
            (self.bad_reports, "cell reports with a missing or absurd value were skipped"),
            (self.bad_events, "quota events with a missing or absurd value were skipped"),
        ):
            if count:
                yield f"{count} {what}"


def read_recording(path: Path, source: str = "") -> RawRecording:
    """Read one file; `source` is what errors call it (its name where empty).

    Raises:
        InputError: not a file of JSON lines, or its `meta` line is missing or there are two that differ.
    """
    source = source or "".join(c if c.isprintable() else "?" for c in path.name)
    notes: list[str] = []
    seen: set[bytes] = set()
    tally, unreadable, cut = _Tally(), 0, False
    for line in read_lines(path, source, notes):
        if line in seen:
            tally.repeated += 1
            continue
        seen.add(line)
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):  # ValueError: JSON, UTF-8 or a number of too many digits
            content = None
        cut = not isinstance(content, dict)
        unreadable += cut
        if isinstance(content, dict):
            tally.add(content)
    if unreadable * 2 > len(seen):
        raise InputError("most lines are no JSON objects: one gNB or cgroup message a line is expected", source=source)
    if unreadable:
        notes.append(f"{unreadable} unreadable lines were skipped" + (", the last one among them" if cut else ""))
    if not tally.metas:
        raise InputError(
            'missing: a line {"kind": "meta", ...} must say how the run was made', source=source, key="meta"
        )
    if len(tally.metas) > 1:
        raise InputError("two meta lines that differ: one run a file", source=source, key="meta")
    notes += tally.notes()
    return RawRecording(
        source=source, meta=tally.metas[0],
        samples=tuple(tally.samples[t] for t in sorted(tally.samples)),
        reports=tuple(tally.reports[t] for t in sorted(tally.reports)),
        changes=tuple(sorted(tally.changes.items())), modulations=frozenset(tally.modulations),
        has_commands=tally.commands > 0, notes=tuple(notes),
    )  # fmt: skip


def _sample(t_s: float, line: dict[str, Any]) -> CgroupSample | None:
    names = ("usage_ns", "throttled_ns", "nr_periods", "nr_throttled")
    counters = [to_number(line.get(name), 0.0, _MOST_COUNTER) for name in names]
    quota = to_number(line.get("quota"), 1e-3, 1024.0)
    usage, throttled, periods, throttled_periods = counters
    if quota is None or usage is None or throttled is None or periods is None or throttled_periods is None:
        return None
    raw = line.get("host_jiffies")
    ticks = [to_number(x, 0.0, _MOST_COUNTER) for x in raw[:8]] if isinstance(raw, list) and len(raw) >= 8 else []
    jiffies = [x for x in ticks if x is not None]
    known = len(jiffies) == 8
    return CgroupSample(
        t_s=t_s, quota_cores=quota, usage_s=usage / 1e9, throttled_s=throttled / 1e9, periods=periods,
        throttled_periods=throttled_periods, steal_jiffies=jiffies[7] if known else None,
        all_jiffies=sum(jiffies) if known else None,
    )  # fmt: skip


def _report(t_s: float, cells: object) -> CellReport | None:
    """Return the report, None where any value is missing or absurd: a sum over half of the UEs misleads."""
    if not isinstance(cells, list) or not cells:
        return None
    ue_sums = dict.fromkeys(("dl_brate", "ul_brate", "dl_nof_ok", "dl_nof_nok", "ul_nof_ok", "ul_nof_nok"), 0.0)
    cell_sums = dict.fromkeys(("error_indication_count", "late_dl_harqs", "late_ul_harqs"), 0.0)
    slots, n_ue = 0.0, 0
    mcs: list[float] = []
    for cell in cells:
        metrics = cell.get("cell_metrics") if isinstance(cell, dict) else None
        ues = cell.get("ue_list", []) if isinstance(cell, dict) else None
        if not isinstance(metrics, dict) or not isinstance(ues, list):
            return None
        histogram = metrics.get("latency_histogram")
        for name in cell_sums:
            value = to_number(metrics.get(name), 0.0, _MOST_COUNT)
            if value is None:
                return None
            cell_sums[name] += value
        for bin_ in histogram if isinstance(histogram, list) and histogram else [None]:
            value = to_number(bin_, 0.0, _MOST_COUNT)
            if value is None:
                return None
            slots += value
        for ue in ues:
            if not isinstance(ue, dict):
                return None
            for name in ue_sums:
                value = to_number(ue.get(name), 0.0, _MOST_RATE_BPS if name.endswith("brate") else _MOST_COUNT)
                if value is None:
                    return None
                ue_sums[name] += value
            index = to_number(ue.get("dl_mcs"), 0.0, 31.0)
            if index is None:
                return None
            if ue["dl_nof_ok"] + ue["dl_nof_nok"] > 0:  # an index of 0 also stands for "nothing sent"
                mcs.append(index)
        n_ue += len(ues)
    return CellReport(
        t_s=t_s, dl_mbps=ue_sums["dl_brate"] / 1e6, ul_mbps=ue_sums["ul_brate"] / 1e6, dl_ok=ue_sums["dl_nof_ok"],
        dl_nok=ue_sums["dl_nof_nok"], ul_ok=ue_sums["ul_nof_ok"], ul_nok=ue_sums["ul_nof_nok"], slots=slots,
        errors=cell_sums["error_indication_count"], late_dl=cell_sums["late_dl_harqs"],
        late_ul=cell_sums["late_ul_harqs"], mcs_dl=sum(mcs) / len(mcs) if mcs else None, n_ue=n_ue,
    )  # fmt: skip


_MODULATION = re.compile(r"(qpsk|qam\d+)_mod_throughput_mbps")


def _modulations(du_low: object) -> set[str]:
    downlink = du_low.get("dl") if isinstance(du_low, dict) else None
    mapper = downlink.get("modulation_mapper") if isinstance(downlink, dict) else None
    found = set()
    for key, value in mapper.items() if isinstance(mapper, dict) else ():
        match = _MODULATION.fullmatch(key)
        if match and to_number(value, 1e-9, 1e9):
            found.add(match[1])
    return found
