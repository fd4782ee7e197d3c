"""Jobs side by side: the same results whoever does them, and again where a worker is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from col.errors import InputError, PlantError, RantwinError, UnreachableError
from twin.job_pool import JobPool, ProcessJobs, ThreadJobs, in_order
from twin.job_pool_dask import DaskJobs, code_digest

PATIENCE_S = 120.0


def squared(job: int) -> int:
    return job * job


def squared_or_lost_once(job: tuple[int, str]) -> int:
    """Kill the worker at the first attempt, as the kernel does where memory ends."""
    number, mark = job
    path = Path(mark)
    if number == 3 and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def always_lost(job: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return job


def refused(job: int) -> int:
    raise InputError("must be another one", key="job", value=job)


def slow(job: int) -> int:
    time.sleep(3600.0 if job else 0.0)
    return os.getpid()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers of one thread, each a process of its own."""
    distributed = pytest.importorskip("distributed", reason="needs the package distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as made:
        yield made.scheduler_address


@pytest.fixture(params=["threads", "processes", "dask"])
def pool(request: pytest.FixtureRequest) -> Iterator[JobPool]:
    if request.param == "threads":
        yield ThreadJobs(2)
    elif request.param == "processes":
        yield ProcessJobs(2, preload=())
    else:
        with DaskJobs(request.getfixturevalue("cluster"), patience_s=PATIENCE_S) as made:
            yield made


def test_results_come_in_the_order_of_the_jobs(pool: JobPool) -> None:
    assert in_order(pool, squared, range(7)) == [job * job for job in range(7)]
    assert in_order(pool, squared, []) == []


def test_an_error_of_a_job_is_raised_as_it_is(pool: JobPool) -> None:
    with pytest.raises(InputError, match="job = 5: must be another one"):
        in_order(pool, refused, [5])


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_a_job_whose_worker_is_killed_is_done_again(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    jobs = [(number, str(tmp_path / "killed")) for number in range(6)]
    pool = ProcessJobs(2, preload=()) if kind == "processes" else DaskJobs(request.getfixturevalue("cluster"))
    assert in_order(pool, squared_or_lost_once, jobs) == [0, 1, 4, 9, 16, 25]
    assert (tmp_path / "killed").exists()


def test_a_job_that_kills_every_worker_is_given_up_with_a_reason() -> None:
    with pytest.raises(PlantError, match="died 3 times in a row with 1 jobs left"):
        in_order(ProcessJobs(1, preload=()), always_lost, [1])


def test_processes_end_when_nobody_asks_any_more() -> None:
    results = ProcessJobs(2, preload=()).results(slow, [0, 1])
    _, worker = next(results)
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_scheduler_that_is_not_there_and_an_address_that_is_none_are_told_in_a_line() -> None:
    pytest.importorskip("distributed", reason="needs the package distributed")
    with pytest.raises(UnreachableError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        DaskJobs("tcp://127.0.0.1:9", patience_s=1.0)
    with pytest.raises(RantwinError, match="--dask"):
        DaskJobs("nonsense://x", patience_s=1.0)


def test_a_digest_of_our_code_is_the_same_in_every_process() -> None:
    program = "from twin.job_pool_dask import code_digest; print(code_digest())"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert found.stdout.strip() == code_digest()
