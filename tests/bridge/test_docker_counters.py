"""Counters from files and statistics as kernels and engines write them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.backends.docker_counters import Counters, find_cgroup, from_stats, usage_between

ID = "8ab977d04aa14dc0b575c5b01f4e7931df5135f0c9732882420d771552a69fd1"

V2 = {
    # As of Documentation/admin-guide/cgroup-v2.rst; a kernel of 6.x writes every line that is here.
    "cpu.stat": """\
usage_usec 12345678
user_usec 10000000
system_usec 2345678
core_sched.force_idle_usec 0
nr_periods 1200
nr_throttled 300
throttled_usec 4500000
nr_bursts 0
burst_usec 0
""",
    "cpu.max": "120000 100000\n",
    "memory.current": "52428800\n",
    "memory.max": "67108864\n",
    "memory.stat": "anon 31457280\nfile 20971520\nkernel 1064960\ninactive_anon 31457280\ninactive_file 10485760\n",
}
V1 = {
    "cpu/cpu.stat": "nr_periods 1200\nnr_throttled 300\nthrottled_time 4500000000\n",
    "cpu/cpu.cfs_quota_us": "60000\n",
    "cpu/cpu.cfs_period_us": "50000\n",
    "cpuacct/cpuacct.usage": "12345678000\n",
    "memory/memory.usage_in_bytes": "52428800\n",
    "memory/memory.limit_in_bytes": "67108864\n",
    "memory/memory.stat": "cache 20971520\nrss 31457280\ninactive_file 1\ntotal_inactive_file 10485760\n",
}


def write_v2(root: Path, name: str, changes: dict[str, str] | None = None) -> None:
    for file, text in (V2 | (changes or {})).items():
        path = root / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_v1(root: Path, name: str, changes: dict[str, str] | None = None) -> None:
    for file, text in (V1 | (changes or {})).items():
        controller, _, rest = file.partition("/")
        path = root / controller / name / rest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("write", "name", "parent"),
    [
        (write_v2, f"system.slice/docker-{ID}.scope", ""),
        (write_v2, f"docker/{ID}", ""),
        (write_v2, f"ran.slice/docker-{ID}.scope", "ran.slice"),
        (write_v1, f"docker/{ID}", ""),
        (write_v1, f"ran/{ID}", "/ran"),
        (write_v1, f"system.slice/docker-{ID}.scope", ""),
    ],
)
def test_both_versions_say_the_same_wherever_an_engine_puts_a_container(
    tmp_path: Path, write: Any, name: str, parent: str
) -> None:
    write(tmp_path, name)
    cgroup = find_cgroup(tmp_path, ID, parent)
    assert cgroup is not None
    counters, limits = cgroup.counters(5.0), cgroup.limits()
    assert counters.cpu_s == pytest.approx(12.345678)
    assert (counters.periods, counters.throttled_periods, counters.throttled_s) == (1200, 300, 4.5)
    assert counters.memory_bytes == 40 * 2**20
    assert (limits.cpu, limits.memory) == pytest.approx((1.2, 64.0))


@pytest.mark.parametrize(
    ("write", "changes"),
    [
        (write_v2, {"cpu.max": "max 100000\n", "memory.max": "max\n"}),
        (write_v1, {"cpu/cpu.cfs_quota_us": "-1\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"}),
    ],
)
def test_no_limit_is_infinite(tmp_path: Path, write: Any, changes: dict[str, str]) -> None:
    write(tmp_path, f"docker/{ID}", changes)
    cgroup = find_cgroup(tmp_path, ID)
    assert cgroup is not None
    assert (cgroup.limits().cpu, cgroup.limits().memory) == (math.inf, math.inf)


def test_a_kernel_without_bandwidth_control_counts_no_periods(tmp_path: Path) -> None:
    write_v2(tmp_path, f"docker/{ID}", {"cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\n"})
    cgroup = find_cgroup(tmp_path, ID)
    assert cgroup is not None
    assert cgroup.counters(0.0).periods == 0


def test_a_container_that_is_not_there_has_no_cgroup_and_one_that_ended_fails(tmp_path: Path) -> None:
    assert find_cgroup(tmp_path, ID) is None
    write_v2(tmp_path, f"docker/{ID}")
    cgroup = find_cgroup(tmp_path, ID)
    assert cgroup is not None
    for file in V2:
        (tmp_path / "docker" / ID / file).unlink()
    with pytest.raises(OSError, match="cpu"):
        cgroup.counters(0.0)


def test_a_cgroup_made_anew_is_another_incarnation(tmp_path: Path) -> None:
    write_v2(tmp_path, f"docker/{ID}")
    cgroup = find_cgroup(tmp_path, ID)
    assert cgroup is not None
    before = cgroup.incarnation()
    assert cgroup.incarnation() == before
    (tmp_path / "docker" / ID).rename(tmp_path / "docker" / "old")
    write_v2(tmp_path, f"docker/{ID}")
    assert cgroup.incarnation() != before


def stats(**memory: Any) -> dict[str, Any]:
    """The answer of an engine 20.10 to `stats?stream=false&one-shot=true`, without what is not read."""
    return {
        "read": "2026-11-22T07:53:59.418151324Z",
        "preread": "0001-01-01T00:00:00Z",
        "cpu_stats": {
            "cpu_usage": {"total_usage": 12345678000, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
            "system_cpu_usage": 50271090000000,
            "online_cpus": 2,
            "throttling_data": {"periods": 1200, "throttled_periods": 300, "throttled_time": 4500000000},
        },
        "precpu_stats": {"cpu_usage": {"total_usage": 0}, "throttling_data": {}},
        "memory_stats": {"usage": 52428800, **memory},
    }


@pytest.mark.parametrize(
    "details", [{"inactive_file": 1, "total_inactive_file": 10485760}, {"inactive_file": 10485760}]
)
def test_an_engines_statistics_say_what_the_files_say(details: dict[str, int]) -> None:
    counters = from_stats(stats(stats=details), "2026-11-22T07:00:00Z")
    assert counters is not None
    assert counters.at_s == pytest.approx(1795334039.418151324, abs=1e-6)
    assert counters.cpu_s == pytest.approx(12.345678)
    assert (counters.periods, counters.throttled_periods, counters.throttled_s) == (1200, 300, 4.5)
    assert counters.memory_bytes == 40 * 2**20


def test_statistics_of_a_container_that_does_not_run_are_none() -> None:
    dead = stats() | {"read": "0001-01-01T00:00:00Z"}
    assert from_stats(dead, "") is None
    assert from_stats(stats() | {"memory_stats": {}}, "") is None


BEFORE = Counters(
    at_s=100.0, incarnation="a", cpu_s=10.0, periods=100, throttled_periods=20, throttled_s=1.0, memory_bytes=2**20
)
AFTER = Counters(
    at_s=110.0, incarnation="a", cpu_s=14.0, periods=200, throttled_periods=45, throttled_s=3.0, memory_bytes=2**21
)


def test_usage_is_what_passed_between_two_readings() -> None:
    usage = usage_between(BEFORE, AFTER)
    assert (usage.cpu, usage.throttled_time, usage.throttled_periods, usage.memory) == pytest.approx(
        (0.4, 0.2, 0.25, 2.0)
    )


def test_two_threads_that_stand_still_stand_still_all_of_the_time_and_not_twice_that() -> None:
    assert usage_between(BEFORE, replace(AFTER, throttled_s=18.0)).throttled_time == 1.0


def test_without_a_quota_nothing_is_throttled() -> None:
    usage = usage_between(replace(BEFORE, periods=0), replace(AFTER, periods=0, throttled_periods=20, throttled_s=1.0))
    assert (usage.throttled_time, usage.throttled_periods) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, AFTER),
        (BEFORE, None),
        (BEFORE, replace(AFTER, incarnation="b")),
        (BEFORE, replace(AFTER, cpu_s=9.0)),
        (BEFORE, replace(AFTER, periods=5)),
        (BEFORE, replace(AFTER, at_s=100.0)),
    ],
)
def test_what_cannot_be_compared_is_missing(before: Counters | None, after: Counters | None) -> None:
    usage = usage_between(before, after)
    assert all(math.isnan(v) for v in (usage.cpu, usage.throttled_time, usage.throttled_periods, usage.memory))
