"""Speed of the twin as *norm*: simulated s per CPU s on a core that does 1.0 M SimPy timeouts per CPU second.

Four gNBs with three UEs each, 10 Mbit/s of packets down and 10 up per gNB. `norm` is the data plane with plenty of CPU,
`norm_throttled` with quotas that throttle DU and CU, `norm_twin` whole trials of the default scenario (control plane,
windows and metrics included, warm-up and settling time counted as simulated), `norm_steering_3` and `_10` trials of
traffic-steering that begin with 3 and 10 UEs a cell, which share 10 + 10 Mbit/s, come, go and are handed over,
`norm_plain` the data plane without its compiler. Every repetition runs all of them between two samples of the
yardstick; the figures are medians.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.agreement import streams
from benchmarks.common import Settings, Yardstick, run_benchmark
from twin.dataplane import DataPlane
from twin.parameters import CellParameters
from twin.population import Population, Start
from twin.scenario import Scenario, load_scenario
from twin.twin import Twin

__all__ = ["main", "measure", "simulated_s_per_cpu_s"]

GNBS = 4
FRAME_SLOTS = 15_000
PLAIN_SLOTS = 1000


def data_plane(seed: int, *, du_cores: float = 16.0, cu_cores: float = 16.0) -> DataPlane:
    """Return the workload: 4 gNBs, 3 UEs each, 10 + 10 Mbit/s of packets."""
    plane = DataPlane([CellParameters(n_ue=3) for _ in range(GNBS)], streams(seed))
    for cell in range(GNBS):
        plane.set_load(cell, dl_mbps=10.0, ul_mbps=10.0)
        plane.set_quota(cell, du_cores=du_cores, cu_cores=cu_cores)
    return plane


def simulated_s_per_cpu_s(advance: Callable[[], float]) -> float:
    """Return simulated seconds per CPU second of something that returns how many seconds it simulated."""
    start = time.process_time()
    simulated_s = advance()
    return simulated_s / (time.process_time() - start)


def plain_simulated_s_per_cpu_s(seed: int) -> float:
    """Return the same of the uncompiled kernel, from a process of its own."""
    code = (
        "from benchmarks import speed\n"
        f"plane = speed.data_plane({seed})\n"
        "plane.advance(100)\n"
        f"run = lambda: (plane.advance({PLAIN_SLOTS}), {PLAIN_SLOTS} / 1000.0)[1]\n"
        "print(speed.simulated_s_per_cpu_s(run))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def steering(ues: int) -> Scenario:
    """Return traffic-steering with cells that begin with so many UEs, at the load of the other workloads."""
    scenario = load_scenario("traffic-steering")
    walk = scenario.part(Population)
    assert walk is not None
    walk = replace(
        walk, start=Start.ATTACHED, upper_ues=ues + 2, dl_mbps=10.0 / ues, ul_mbps=10.0 / ues,
        gain_probability=0.1, lose_probability=0.1, gain_probability_of={},
    )  # fmt: skip
    gnbs = tuple(replace(gnb, ues=ues) for gnb in scenario.topology.gnbs)
    return replace(scenario, topology=replace(scenario.topology, gnbs=gnbs), tables={**scenario.tables, "ues": walk})


def workloads(settings: Settings) -> dict[str, Callable[[], float]]:
    """Return what is measured in this process, by key: each call simulates some seconds and returns how many."""
    frames = 1 if settings.quick else 4

    def frames_of(plane: DataPlane) -> Callable[[], float]:
        def advance() -> float:
            plane.advance(frames * FRAME_SLOTS)
            plane.take_counters()
            return frames * FRAME_SLOTS / 1000.0

        return advance

    windows = 1 if settings.quick else 5

    def trials_of(scenario: Scenario) -> Callable[[], float]:
        twin = Twin(scenario, settings.seed)
        trial_s = scenario.window.warmup_s + scenario.window.settle_s + windows * scenario.window.length_s

        def trial() -> float:
            twin.trial(twin.confirmed, windows)
            return trial_s

        return trial

    return {
        "norm": frames_of(data_plane(settings.seed)),
        "norm_throttled": frames_of(data_plane(settings.seed, du_cores=0.65, cu_cores=0.42)),
        "norm_twin": trials_of(load_scenario("cpu-allocation")),
        **{f"norm_steering_{ues}": trials_of(steering(ues)) for ues in (3, 10)},
    }


def measure(settings: Settings, yardstick: Yardstick) -> dict[str, Any]:
    """Return the medians of all norms, the raw figures and how far the repetitions spread."""
    measured = workloads(settings)
    for advance in measured.values():
        advance()  # compiles, and lets queues and quotas settle
    raw: dict[str, list[float]] = {key: [] for key in [*measured, "norm_plain"]}
    norms: dict[str, list[float]] = {key: [] for key in raw}
    yardstick.sample()
    for _ in range(3 if settings.quick else 9):
        speeds = {key: simulated_s_per_cpu_s(advance) for key, advance in measured.items()}
        if len(norms["norm_plain"]) < 3:
            speeds["norm_plain"] = plain_simulated_s_per_cpu_s(settings.seed)
        yardstick.sample()
        unit = (yardstick.samples[-2] + yardstick.samples[-1]) / 2.0 / 1e6
        for key, speed in speeds.items():
            raw[key].append(speed)
            norms[key].append(speed / unit)
    figures: dict[str, Any] = {key: median(values) for key, values in norms.items()}
    figures |= {f"{key}_range": f"{min(values):.1f} to {max(values):.1f}" for key, values in norms.items()}
    figures |= {f"{key}_raw_s_per_cpu_s": round(median(values), 2) for key, values in raw.items()}
    return figures


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    return run_benchmark("speed", measure, argv, description=(__doc__ or "").partition("\n")[0])


if __name__ == "__main__":
    sys.exit(main())
