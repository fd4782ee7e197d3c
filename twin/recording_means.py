"""What a recorded run says: means of a steady setting, and the time course of a run with live changes of the quota."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from col.errors import InputError
from twin.recording_lines import short, to_number
from twin.recording_messages import CellReport, CgroupSample, RawRecording
from twin.recording_rows import Setting, StepSample, rounded

__all__ = ["CARRIER_PRB", "measure_setting", "measure_steps"]

CARRIER_PRB = 25
"""PRBs of the recorded carrier (5 MHz at 15 kHz); a direction without a cap may use them all."""
_MOST_PRB = 275
_MOST_UES = 64
_PERIOD_S = 1.0
"""Nominal period of the gNB's reports where the run does not say otherwise (`period_ms`)."""
_LONGEST_S = 86400.0
_DROP_S = 5.0
"""Transients after a change of quota last 1 to 2 s; the first seconds of a setting do not count."""
_EARLY_S, _LATE_S = 0.25, 0.6
"""How far outside of the window the first and the last cgroup sample may lie: they come once a second."""
_LEAST_REPORTS = 5
_LEAST_S = 4.0
_MOST_CPUS = 256
_USER_HZ = 100.0
"""Ticks a second in which Linux reports CPU time."""


@dataclass(frozen=True, slots=True)
class _CpuUse:
    """Sums of counters over the pairs of samples that can be trusted."""

    span_s: float
    usage_s: float
    throttled_s: float
    periods: float
    throttled_periods: float
    steal_share: float | None
    dropped: int

    @property
    def throttled_share_of_periods(self) -> float:
        return self.throttled_periods / self.periods if self.periods > 0.0 else 0.0


def _cpu_use(samples: Sequence[CgroupSample]) -> _CpuUse:
    """Sum the counters from sample to sample, without pairs that cannot be: a restart, a flipped digit.

    CFS lets a group use little more than its quota, so a jump in CPU time above it is a fault of the recording.
    """
    kept: list[tuple[float, float, float, float, float]] = []
    ticks: list[tuple[float, float]] = []
    cpus = _count_cpus(samples)
    for a, b in pairwise(samples):
        span = b.t_s - a.t_s
        usage, throttled = b.usage_s - a.usage_s, b.throttled_s - a.throttled_s
        periods, hit = b.periods - a.periods, b.throttled_periods - a.throttled_periods
        quota = max(a.quota_cores, b.quota_cores)
        if (
            0.0 <= usage <= (1.5 * quota + 0.3) * (span + 0.1)
            and 0.0 <= throttled <= cpus * (span + 0.1)
            and 0.0 <= hit <= periods <= 1000.0 * span + 2.0
        ):
            kept.append((span, usage, throttled, periods, hit))
        steal = _difference(a, b, lambda s: s.steal_jiffies)
        whole = _difference(a, b, lambda s: s.all_jiffies)
        if 0.0 <= steal <= whole:
            ticks.append((steal, whole))
    sums = [math.fsum(pair[i] for pair in kept) for i in range(5)]
    stolen, all_ticks = math.fsum(t[0] for t in ticks), math.fsum(t[1] for t in ticks)
    dropped = max(len(samples) - 1, 0) - len(kept)
    steal_share = stolen / all_ticks if all_ticks > 0.0 else None
    return _CpuUse(sums[0], sums[1], sums[2], sums[3], sums[4], steal_share, dropped)


def _difference(a: CgroupSample, b: CgroupSample, read: Callable[[CgroupSample], float | None]) -> float:
    first, last = read(a), read(b)
    return math.nan if first is None or last is None else last - first


def _count_cpus(samples: Sequence[CgroupSample]) -> float:
    """Return how many CPUs the host had, after its ticks, and one more for what ticks miss."""
    rates = [_difference(a, b, lambda s: s.all_jiffies) / (b.t_s - a.t_s) for a, b in pairwise(samples)]
    known = [r for r in rates if 0.0 < r <= _MOST_CPUS * _USER_HZ]
    return 1.0 + (median(known) / _USER_HZ if known else _MOST_CPUS)


def measure_setting(raw: RawRecording) -> tuple[Setting, tuple[str, ...]]:
    """Return the means of one run and what to know about them.

    Raises:
        InputError: the run does not say its quota and times, or too little of it can be used.
    """
    meta = _Meta(raw)
    quota, t_quota = meta.number("quota", 1e-3, 1024.0), meta.number("t_quota", 0.0, 1e11)
    drop = meta.number("drop_first_s", 0.0, _LONGEST_S, default=_DROP_S)
    length = meta.number("secs", 0.0, _LONGEST_S)
    if length <= drop + _LEAST_S:
        raise InputError(f"must be more than {drop + _LEAST_S:g} s", source=raw.source, key="meta.secs", value=length)
    period = meta.number("period_ms", 10.0, 60e3, default=1000.0 * _PERIOD_S) / 1000.0
    cap_dl = meta.whole("dl_max_rb", 0, _MOST_PRB, pattern=r"^d(\d+)_u\d+_q", default=CARRIER_PRB)
    cap_ul = meta.whole("ul_max_rb", 0, _MOST_PRB, pattern=r"^d\d+_u(\d+)_q", default=CARRIER_PRB)
    repetition = meta.whole("rep", 1, 10**6, pattern=r"_r(\d+)(?:\.|$)", default=1)

    begin, end = t_quota + drop, t_quota + length
    samples = [s for s in raw.samples if begin - _EARLY_S <= s.t_s <= end + _LATE_S]
    reports = [r for r in raw.reports if begin < r.t_s <= end]
    if len(samples) < 2:
        raise InputError(_too_little("cgroup lines", len(samples), 2), source=raw.source, key="cgroup")
    notes = list(raw.notes)
    wrong = [s.quota_cores for s in samples if abs(s.quota_cores - quota) > 1e-6]
    if len(wrong) * 2 > len(samples):
        says = f"the cgroup lines of the run say {wrong[0]:g} cores"
        raise InputError(says, source=raw.source, key="meta.quota", value=quota)
    if wrong:
        notes.append(f"{len(wrong)} cgroup lines under another quota ({wrong[0]:g} cores) were left out")
        samples = [s for s in samples if abs(s.quota_cores - quota) <= 1e-6]
    if len(reports) < _LEAST_REPORTS:
        few = _too_little("cells messages", len(reports), _LEAST_REPORTS)
        raise InputError(few, source=raw.source, key="msg.cells")
    use = _cpu_use(samples)
    if use.span_s < _LEAST_S or use.periods <= 0.0:
        raise InputError(
            f"CPU counters are intact over {use.span_s:.3g} s of the run: at least {_LEAST_S:g} s are needed",
            source=raw.source, key="cgroup",
        )  # fmt: skip
    if use.dropped:
        notes.append(f"{use.dropped} steps of the CPU counters go backwards or too far (restart?) and were left out")
    expected = (length - drop) / period
    if len(reports) < 0.9 * expected or use.span_s < 0.9 * (length - drop):
        notes.append(f"short: {len(reports)} of {expected:.0f} reports and {use.span_s:.0f} s of CPU counters")
    seen_ues = sorted(r.n_ue for r in reports)[len(reports) // 2]
    n_ue = meta.whole("ues", 1, _MOST_UES, pattern=r"^q[\d.]+_u(\d+)", default=seen_ues)
    if seen_ues not in (0, n_ue):
        notes.append(f"the run says {n_ue} UEs but most reports have {seen_ues}")
    interval = median(b.t_s - a.t_s for a, b in pairwise(reports))

    def rate(read: Callable[[CellReport], float]) -> float:
        return math.fsum(map(read, reports)) / (len(reports) * period)

    dl, ul = [r.dl_mbps for r in reports], [r.ul_mbps for r in reports]
    dl_ok, dl_nok, ul_ok, ul_nok = (
        rate(lambda r, name=name: float(getattr(r, name)))  # type: ignore[misc]
        for name in ("dl_ok", "dl_nok", "ul_ok", "ul_nok")
    )
    mcs = [r.mcs_dl for r in reports if r.mcs_dl is not None]
    values = {
        "window_s": use.span_s, "report_interval_s": interval, "dl_mbps": _mean(dl), "dl_mbps_std": _std(dl),
        "ul_mbps": _mean(ul), "ul_mbps_std": _std(ul), "cpu_cores": use.usage_s / use.span_s,
        "throttled_share": use.throttled_s / use.span_s, "throttled_periods": use.throttled_share_of_periods,
        "nok_ratio_dl": _ratio(dl_nok, dl_ok), "nok_ratio_ul": _ratio(ul_nok, ul_ok), "ok_per_s_dl": dl_ok,
        "nok_per_s_dl": dl_nok, "ok_per_s_ul": ul_ok, "nok_per_s_ul": ul_nok,
        "slots_scheduled_per_s": rate(lambda r: r.slots), "late_harqs_dl_per_s": rate(lambda r: r.late_dl),
        "late_harqs_ul_per_s": rate(lambda r: r.late_ul), "errors_per_s": rate(lambda r: r.errors),
        "host_steal_share": use.steal_share,
        "mcs_dl": _mean(mcs) if mcs else None,
    }  # fmt: skip
    setting = Setting(
        source=raw.source, quota_cores=quota, n_ue=n_ue, cap_prb_dl=cap_dl, cap_prb_ul=cap_ul, repetition=repetition,
        reports=len(reports), **{n: None if v is None else rounded(v) for n, v in values.items()},  # type: ignore[arg-type]
    )  # fmt: skip
    return setting, tuple(notes)


def measure_steps(raw: RawRecording) -> tuple[tuple[StepSample, ...], tuple[str, ...]]:
    """Return the time course of a run with live changes of the quota, and what to know about it.

    Raises:
        InputError: no change of quota or too few usable lines in the file.
    """
    period = _Meta(raw).number("period_ms", 10.0, 60e3, default=1000.0 * _PERIOD_S) / 1000.0
    times = [s.t_s for s in raw.samples]
    changes: list[tuple[float, float]] = []
    for t_s, cores in raw.changes:
        seen = bisect_left(times, t_s)  # the next sample must confirm the change
        if seen < len(times) and times[seen] <= t_s + 2.0 and abs(raw.samples[seen].quota_cores - cores) <= 1e-6:
            changes.append((t_s, cores))
    if not changes:
        raise InputError(
            "missing: no line that the cgroup lines confirm says when the quota was set",
            source=raw.source,
            key="event.set_cpus",
        )
    steps: list[StepSample] = []
    skipped, before = 0, -math.inf
    for report in raw.reports:
        start = before if report.t_s - before <= 1.5 * period else report.t_s - period
        before = report.t_s
        before_change = [c for c in changes if c[0] < report.t_s]
        if not before_change:
            continue
        changed_s, quota = before_change[-1]
        first, final = _nearest(times, max(start, times[0])), _nearest(times, report.t_s)
        use = _cpu_use(raw.samples[first : final + 1])
        if abs(times[final] - report.t_s) > 0.5 * period or use.span_s < 0.5 * period or use.periods <= 0.0:
            skipped += 1
            continue
        values = (
            report.t_s - changes[0][0], quota, report.t_s - changed_s, report.dl_mbps,
            report.ul_mbps, use.usage_s / use.span_s, use.throttled_share_of_periods,
        )  # fmt: skip
        names = ("t_s", "quota_cores", "since_change_s", "dl_mbps", "ul_mbps", "cpu_cores", "throttled_periods")
        # Unix times carry 1e-7 s at most, so a difference of two of them is kept to the microsecond.
        steps.append(StepSample(**{n: rounded(round(v, 6)) for n, v in zip(names, values, strict=True)}))
    if len(steps) < _LEAST_REPORTS:
        raise InputError(_too_little("cells messages", len(steps), _LEAST_REPORTS), source=raw.source, key="msg.cells")
    notes = list(raw.notes)
    if skipped:
        notes.append(f"{skipped} reports without intact CPU counters were skipped")
    if len(changes) < len(raw.changes):
        notes.append(
            f"{len(raw.changes) - len(changes)} changes of quota that the cgroup lines do not confirm were skipped"
        )
    return tuple(steps), tuple(notes)


def _nearest(times: Sequence[float], t: float) -> int:
    right = min(bisect_left(times, t), len(times) - 1)
    return right - 1 if right > 0 and t - times[right - 1] <= times[right] - t else right


def _too_little(what: str, count: int, least: int) -> str:
    return f"{count} usable {what} while the run was steady: at least {least} are needed"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _std(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else math.nan


def _ratio(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest > 0.0 else 0.0


class _Meta:
    """The meta line of a run, each value checked as it is asked for; some may stand in the file's name instead."""

    def __init__(self, raw: RawRecording) -> None:
        self._meta: dict[str, Any] = raw.meta
        self._source = raw.source

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        if key not in self._meta:
            if default is None:
                raise InputError(f"missing: a number in {low:g} to {high:g}", source=self._source, key=f"meta.{key}")
            return default
        value = to_number(self._meta[key], low, high)
        if value is None:
            raise InputError(
                f"must be a number in {low:g} to {high:g}", source=self._source, key=f"meta.{key}",
                value=short(self._meta[key]),
            )  # fmt: skip
        return value

    def whole(self, key: str, low: int, high: int, *, pattern: str, default: int) -> int:
        if key in self._meta:
            value = self.number(key, low, high)
        else:
            found = re.search(pattern, self._source)
            value = float(found[1][:9]) if found is not None else float(default)
        if value != int(value) or not low <= value <= high:
            raise InputError(
                f"must be a whole number in {low} to {high}", source=self._source, key=f"meta.{key}", value=value
            )
        return int(value)
