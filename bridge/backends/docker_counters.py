"""What a container has used so far and what it may use, from cgroup v1 or v2 files or from an engine's statistics.

The kernel counts up from a cgroup's beginning, and a container that starts anew has a new one: two readings are only
to be compared where `incarnation` is the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

__all__ = ["MIB", "Cgroup", "Counters", "Limits", "Usage", "find_cgroup", "from_stats", "usage_between"]

MIB = 1024.0 * 1024.0
_NO_LIMIT_V1 = 1 << 60
"""Cgroup v1 writes no memory limit as the largest number of pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a container may use: cores and MiB, infinite where there is no limit."""

    cpu: float
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a container has used since it started, at `at_s` of the clock given: seconds, periods, bytes."""

    at_s: float
    incarnation: str
    cpu_s: float
    periods: int
    throttled_periods: int
    throttled_s: float
    memory_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container used over a time: cores, share of time and of CFS periods throttled, MiB at its end."""

    cpu: float
    throttled_time: float
    throttled_periods: float
    memory: float

    @classmethod
    def missing(cls) -> Usage:
        """Return the usage of nobody knows."""
        return cls(cpu=math.nan, throttled_time=math.nan, throttled_periods=math.nan, memory=math.nan)


def usage_between(before: Counters | None, after: Counters | None) -> Usage:
    """Return what was used between two readings; all missing unless they are of the same incarnation.

    Throttled time is summed over the CPUs on which a container stood still: with several threads that is more than
    the time that passed, and counts as all of it.
    """
    if before is None or after is None or before.incarnation != after.incarnation:
        return Usage.missing()
    seconds, periods = after.at_s - before.at_s, after.periods - before.periods
    deltas = (
        after.cpu_s - before.cpu_s,
        after.throttled_s - before.throttled_s,
        periods,
        after.throttled_periods - before.throttled_periods,
    )
    if seconds <= 0.0 or min(deltas) < 0:
        return Usage.missing()
    return Usage(
        cpu=deltas[0] / seconds,
        throttled_time=min(1.0, deltas[1] / seconds),
        throttled_periods=min(1.0, deltas[3] / periods) if periods else 0.0,
        memory=after.memory_bytes / MIB,
    )


class Cgroup:
    """The files of one container's cgroup."""

    def __init__(self, cpu: Path, account: Path, memory: Path, *, unified: bool) -> None:
        """Take the directories with the files of CPU bandwidth, CPU accounting and memory."""
        self._cpu, self._account, self._memory, self._unified = cpu, account, memory, unified

    def incarnation(self) -> str:
        """Return what changes with every start of the container; OSError once it has none."""
        found = self._cpu.stat()
        return f"{found.st_dev}:{found.st_ino}"

    def counters(self, at_s: float) -> Counters:
        """Return what has been used; OSError or ValueError if the files are not there or not as they should be."""
        cpu = _table(self._cpu / "cpu.stat")
        memory = _table(self._memory / "memory.stat")
        if self._unified:
            cpu_s, throttled_s = cpu["usage_usec"] / 1e6, cpu.get("throttled_usec", 0) / 1e6
            used, idle = _number(self._memory / "memory.current"), memory.get("inactive_file", 0)
        else:
            cpu_s = _number(self._account / "cpuacct.usage") / 1e9
            throttled_s = cpu.get("throttled_time", 0) / 1e9
            used, idle = _number(self._memory / "memory.usage_in_bytes"), memory.get("total_inactive_file", 0)
        return Counters(
            at_s=at_s,
            incarnation=self.incarnation(),
            cpu_s=cpu_s,
            periods=cpu.get("nr_periods", 0),
            throttled_periods=cpu.get("nr_throttled", 0),
            throttled_s=throttled_s,
            memory_bytes=float(max(0, used - idle)),
        )

    def limits(self) -> Limits:
        """Return what the kernel allows now; errors as of `counters`."""
        if self._unified:
            quota_text, period_text = (self._cpu / "cpu.max").read_text("ascii").split()
            cpu = math.inf if quota_text == "max" else int(quota_text) / int(period_text)
            text = (self._memory / "memory.max").read_text("ascii").strip()
            return Limits(cpu=cpu, memory=math.inf if text == "max" else int(text) / MIB)
        quota, period = _number(self._cpu / "cpu.cfs_quota_us"), _number(self._cpu / "cpu.cfs_period_us")
        limit = _number(self._memory / "memory.limit_in_bytes")
        return Limits(
            cpu=math.inf if quota < 0 else quota / period, memory=math.inf if limit >= _NO_LIMIT_V1 else limit / MIB
        )


def find_cgroup(root: Path, container: str, parent: str = "") -> Cgroup | None:
    """Return the cgroup of a running container below a cgroup file system, None if it is not there.

    `container` is the full id; `parent` the engine's `HostConfig.CgroupParent`. Engines name it by their driver:
    `docker/ID` (cgroupfs), `system.slice/docker-ID.scope` (systemd).
    """
    slices = [parent.strip("/")] if parent else []
    names = [f"{p}/{container}" for p in [*slices, "docker"]]
    names += [f"{p}/docker-{container}.scope" for p in [*slices, "system.slice"]]
    for name in names:
        cpu = root / "cpu" / name
        if (cpu / "cpu.cfs_quota_us").is_file():
            return Cgroup(cpu, root / "cpuacct" / name, root / "memory" / name, unified=False)
        for base in (root, root / "unified"):
            if (base / name / "cpu.max").is_file():
                return Cgroup(base / name, base / name, base / name, unified=True)
    return None


def from_stats(answer: Mapping[str, Any], started_at: str) -> Counters | None:
    """Return the counters in an engine's answer to `stats`, on the engine's own clock; None where it has none.

    Of a container that does not run the engine sends zeros, dated to the year 1.
    """
    at = str(answer["read"])
    if at.startswith("0001-"):
        return None
    cpu, memory = answer["cpu_stats"], answer.get("memory_stats") or {}
    throttling = cpu.get("throttling_data") or {}
    if "usage" not in memory:
        return None
    details = memory.get("stats") or {}
    idle = details.get("total_inactive_file", details.get("inactive_file", 0))
    return Counters(
        at_s=_epoch_s(at),
        incarnation=started_at,
        cpu_s=int(cpu["cpu_usage"]["total_usage"]) / 1e9,
        periods=int(throttling.get("periods", 0)),
        throttled_periods=int(throttling.get("throttled_periods", 0)),
        throttled_s=int(throttling.get("throttled_time", 0)) / 1e9,
        memory_bytes=float(max(0, int(memory["usage"]) - int(idle))),
    )


def _epoch_s(text: str) -> float:
    """Return seconds since 1970 of an RFC 3339 time in UTC, with its nanoseconds as far as a float goes."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


def _number(path: Path) -> int:
    return int(path.read_text("ascii"))


def _table(path: Path) -> dict[str, int]:
    """Return the numbers of a file of `name number` lines."""
    found = {}
    for line in path.read_text("ascii").splitlines():
        name, _, number = line.partition(" ")
        found[name] = int(number)
    return found
