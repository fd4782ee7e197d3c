"""Cost and memory of the twin from 4 to 400 gNBs, and what two workers gain.

A trial of one window (warm-up and settling time counted as simulated) of cpu-allocation and of its groups of 40 and of
400 gNBs, each size in a process of its own that has compiled and simulated the 4 gNBs before. `cost_ratio` is the
largest CPU time per gNB and simulated second over that of 4 gNBs, in units of what SimPy timeouts take in the same
process right before and after (a core's own speed moves by more than the bar allows). `mb_per_gnb` is how the peak of
resident memory grows from 4 to 400 gNBs, scenario and windows included. `speed_up` is wall time with one worker over
that with two, the start of the workers not counted for Dask.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import Settings, Yardstick, run_benchmark, timeouts_per_cpu_s
from twin.job_pool import JobPool, ProcessJobs, ThreadJobs, in_order
from twin.scenario import load_scenario
from twin.twin import Twin

__all__ = ["SIZES", "main", "measure", "one_size"]

SIZES = {4: "cpu-allocation", 40: "gnbs-40", 400: "gnbs-400"}
WINDOWS = 1
SHARED = "gnbs-40"
"""What is simulated by two workers: ten groups a run."""


def one_size(gnbs: int, seed: int, repeats: int) -> dict[str, float]:
    """Return CPU s per gNB and simulated s (median), and the peak of memory [MB], of this process.

    CPU seconds are those of a core that does 1.0 M SimPy timeouts in one.
    """
    _trial(SIZES[4], seed)
    scenario = load_scenario(SIZES[gnbs])
    twin = Twin(scenario, seed)
    simulated_s = scenario.window.warmup_s + scenario.window.settle_s + WINDOWS * scenario.window.length_s
    costs = []
    speed = timeouts_per_cpu_s(timeouts=50_000)
    for _ in range(repeats):
        start = time.process_time()
        twin.trial(twin.confirmed, WINDOWS)
        cpu_s, before = time.process_time() - start, speed
        speed = timeouts_per_cpu_s(timeouts=50_000)
        costs.append(cpu_s / simulated_s / gnbs * (before + speed) / 2e6)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return {"cpu_s_per_gnb_s": median(costs), "peak_mb": peak_mb}


def _trial(name: str, seed: int) -> None:
    twin = Twin(load_scenario(name), seed)
    twin.trial(twin.confirmed, WINDOWS)


def measure(settings: Settings, yardstick: Yardstick) -> dict[str, Any]:
    """Measure every size by turns, so that what else the machine does falls on all, then the workers."""
    _trial(SIZES[4], settings.seed)  # compiles for all
    rounds = 1 if settings.quick else 3
    found: dict[int, list[dict[str, float]]] = {gnbs: [] for gnbs in SIZES}
    for _ in range(rounds):
        for gnbs in SIZES:
            repeats = max(1, 40 // gnbs) * (1 if settings.quick else 2)
            found[gnbs].append(_apart(gnbs, settings.seed, repeats))
        yardstick.sample()
    costs = {gnbs: median(one["cpu_s_per_gnb_s"] for one in rows) for gnbs, rows in found.items()}
    peaks = {gnbs: median(one["peak_mb"] for one in rows) for gnbs, rows in found.items()}
    least, most = min(SIZES), max(SIZES)
    return {
        "cost_ratio": max(cost / costs[least] for cost in costs.values()),
        "mb_per_gnb": max(0.0, peaks[most] - peaks[least]) / (most - least),
        "sizes": {
            str(gnbs): {
                "normed_cpu_ms_per_gnb_and_simulated_s": round(1000.0 * costs[gnbs], 4),
                "norm_of_four_gnbs": round(1.0 / (4.0 * costs[gnbs])),
                "peak_mb": round(peaks[gnbs], 1),
            }
            for gnbs in SIZES
        },
        "speed_up": _speed_ups(settings),
    }


def _apart(gnbs: int, seed: int, repeats: int) -> dict[str, float]:
    program = (
        f"import json; from benchmarks.scale import one_size; print(json.dumps(one_size({gnbs}, {seed}, {repeats})))"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _speed_ups(settings: Settings) -> dict[str, float | None]:
    """Return wall time with one worker over that with two, by kind of worker; None where a package is missing."""
    windows = 20 if settings.quick else 60
    alone_s = _wall_s(ThreadJobs(1), settings.seed, windows)
    found: dict[str, float | None] = {
        "threads": alone_s / _wall_s(ThreadJobs(2), settings.seed, windows),
        "processes": alone_s / _wall_s(ProcessJobs(2), settings.seed, windows),
    }
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        return {**found, "dask": None}
    from twin.job_pool_dask import DaskJobs

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        DaskJobs(cluster.scheduler_address) as jobs,
    ):
        in_order(jobs, _warm, [settings.seed, settings.seed])
        return {**found, "dask": alone_s / _wall_s(jobs, settings.seed, windows)}


def _warm(seed: int) -> None:
    _trial(SIZES[4], seed)


def _wall_s(pool: JobPool, seed: int, windows: int) -> float:
    twin = Twin(load_scenario(SHARED), seed, pool=pool)
    start = time.perf_counter()
    twin.trial(twin.confirmed, windows)
    return time.perf_counter() - start


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    return run_benchmark("scale", measure, argv, description=__doc__.splitlines()[0] if __doc__ else "")


if __name__ == "__main__":
    raise SystemExit(main())
