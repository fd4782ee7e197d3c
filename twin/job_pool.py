"""Jobs side by side: in threads, in processes of this machine, or wherever `twin.job_pool_dask` sends them.

A job is one argument of one function, both picklable for everything but threads. What comes out depends on the jobs
alone: not on how many workers there are, nor on where or in which order jobs are done. A job whose worker is lost is
done again.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Protocol, TypeVar

from col.errors import PlantError

__all__ = ["FRUITLESS_ROUNDS", "JobPool", "ProcessJobs", "ThreadJobs", "in_order"]

J = TypeVar("J")
R = TypeVar("R")

FRUITLESS_ROUNDS = 3
"""So often in a row may workers be lost before any job is done."""


class JobPool(Protocol):
    """Where jobs are done."""

    def results(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R]]:
        """Yield (place of the job in `jobs`, what the function returned) as jobs are done; its errors are raised.

        Whoever stops asking, by an exception or by closing the iterator, ends what is still at work.

        Raises:
            PlantError: workers are lost again and again.
            UnreachableError: the workers cannot be reached.
        """
        ...


def in_order(pool: JobPool, function: Callable[[J], R], jobs: Sequence[J]) -> list[R]:
    """Return the results of all jobs in the order of the jobs."""
    found = dict(pool.results(function, jobs))
    return [found[place] for place in range(len(jobs))]


class ThreadJobs:
    """Threads of this process: the data plane lets go of the interpreter lock while it works."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def results(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R]]:
        """See `JobPool`; with one worker, or one job, in the caller's thread."""
        if self._workers == 1 or len(jobs) <= 1:
            for place, job in enumerate(jobs):
                yield place, function(job)
            return
        executor = ThreadPoolExecutor(min(self._workers, len(jobs)))
        try:
            futures = {executor.submit(function, job): place for place, job in enumerate(jobs)}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            executor.shutdown(cancel_futures=True)


class ProcessJobs:
    """Processes of this machine, fresh ones each time; they end with the iterator, whatever they are doing."""

    def __init__(self, workers: int, *, preload: Sequence[str] = ("twin.twin",)) -> None:
        """Take how many at once, and the modules that they find imported."""
        self._workers = workers
        # A server that forks them: no thread of this process is copied half-way, and imports are paid for once.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["__main__", *preload])

    def results(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R]]:
        """See `JobPool`."""
        waiting = dict(enumerate(jobs))
        fruitless = 0
        while waiting:
            before = len(waiting)
            for place, result in self._round(function, waiting):
                del waiting[place]
                yield place, result
            fruitless = fruitless + 1 if len(waiting) == before else 0
            if fruitless == FRUITLESS_ROUNDS:
                raise PlantError(
                    f"worker processes died {fruitless} times in a row with {len(waiting)} jobs left "
                    "(out of memory? fewer workers need less)"
                )

    def _round(self, function: Callable[[J], R], waiting: dict[int, J]) -> Iterator[tuple[int, R]]:
        """Do jobs until all are done or a worker is lost, which breaks what runs beside it too."""
        others = set(multiprocessing.active_children())
        executor = ProcessPoolExecutor(
            min(self._workers, len(waiting)), mp_context=self._context, initializer=_leave_interrupts_to_the_parent
        )
        futures: dict[Future[R], int] = {}
        try:
            try:
                for place, job in list(waiting.items()):
                    futures[executor.submit(function, job)] = place
            except BrokenProcessPool:
                pass
            for future in as_completed(futures):
                try:
                    result = future.result()
                except BrokenProcessPool:
                    continue
                yield futures[future], result
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            _end(set(multiprocessing.active_children()) - others)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(processes: set[BaseProcess]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
