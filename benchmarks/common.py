"""What every benchmark shares: its options, the yardstick, the machine that it ran on, and one way to say the result.

A benchmark is a module with a `measure(settings, yardstick)` that returns its figures, and a `main` that hands it to
`run_benchmark`. The figures that it must have are in `FIGURES`, the bars that they are held against in `BARS`.
Absolute speeds mean little on a shared machine, so each is stated beside a yardstick taken in the same minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import simpy

__all__ = ["BARS", "FIGURES", "Bar", "NotHereError", "Settings", "Yardstick", "run_benchmark", "timeouts_per_cpu_s"]

FIGURES: Mapping[str, tuple[str, ...]] = {
    "speed": ("norm",),
    "agreement": ("worst_relative_error",),
    "scale": ("cost_ratio", "mb_per_gnb"),
    "calibration": ("throughput_nrmse", "cpu_nrmse", "throttled_nrmse"),
    "rehearsal": ("coverage", "false_safe", "unsafe", "violations", "wall_s_median"),
    "learning": ("coverage_25", "coverage_50", "unsafe_25", "unsafe_50", "false_safe_max"),
    "step": ("median_ms",),
    "faults": ("share_back", "longest_s"),
    "latency": ("apply_p99_ms", "rollback_p99_ms"),
    "lab": (
        "throughput_nrmse",
        "cpu_nrmse",
        "throttled_nrmse",
        "delay_nrmse",
        "jitter_nrmse",
        "knee_du_error",
        "knee_cu_error",
    ),
    "screen": ("p95_ms", "core_share"),
    "transfer": ("unsafe_free_share", "coverage", "trials"),
}
"""Keys that the `--json` output of each benchmark has, by the benchmark's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What a figure must reach and what would be better still; `None` where nothing is asked."""

    must: float
    goal: float | None = None
    higher_is_better: bool = True

    def met(self, value: float) -> bool:
        """Return whether `value` reaches what it must."""
        return value >= self.must if self.higher_is_better else value <= self.must

    def describe(self, value: float) -> str:
        """Return one phrase that holds `value` against the bar."""
        goal = "" if self.goal is None else f", goal {self.goal:g}"
        return f"must {self.must:g}{goal}: {'met' if self.met(value) else 'MISSED'}"


BARS: Mapping[str, Bar] = {
    "norm": Bar(must=500, goal=1500),
    "worst_relative_error": Bar(must=0.01, goal=0.001, higher_is_better=False),
    "cost_ratio": Bar(must=1.2, higher_is_better=False),
    "mb_per_gnb": Bar(must=5, higher_is_better=False),
    "throughput_nrmse": Bar(must=0.05, goal=0.03, higher_is_better=False),
    "cpu_nrmse": Bar(must=0.10, higher_is_better=False),
    "throttled_nrmse": Bar(must=0.10, higher_is_better=False),
    "coverage_25": Bar(must=0.80, goal=0.92),
    "coverage_50": Bar(must=0.87, goal=0.95),
    "unsafe_25": Bar(must=0, higher_is_better=False),
    "unsafe_50": Bar(must=0, higher_is_better=False),
    "false_safe_max": Bar(must=0.02, goal=0.01, higher_is_better=False),
    "share_back": Bar(must=1.0),
    "apply_p99_ms": Bar(must=1000, goal=300, higher_is_better=False),
    "knee_du_error": Bar(must=0.05, higher_is_better=False),
    "knee_cu_error": Bar(must=0.05, higher_is_better=False),
    "rollback_p99_ms": Bar(must=1000, goal=300, higher_is_better=False),
    "p95_ms": Bar(must=50, goal=30, higher_is_better=False),
    "core_share": Bar(must=0.10, goal=0.05, higher_is_better=False),
    "median_ms": Bar(must=100, goal=20, higher_is_better=False),
}
"""What the figures are held against, by key."""


class NotHereError(Exception):
    """This machine lacks what a benchmark runs on; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line asked for: `quick` is a short form for every change, `seed` starts every stream.

    `backend` is what stands behind the agent, for benchmarks that have a choice.
    """

    quick: bool = False
    seed: int = 1
    backend: str = ""


def timeouts_per_cpu_s(*, timeouts: int = 200_000, processes: int = 100) -> float:
    """Return how many bare SimPy timeouts this core does in a CPU second: `processes` that do nothing but wait."""
    env = simpy.Environment()
    each = timeouts // processes

    def wait(delay: float) -> Generator[simpy.Event, Any, None]:
        for _ in range(each):
            yield env.timeout(delay)

    for index in range(processes):
        env.process(wait(1.0 + index / processes))
    start = time.process_time()
    env.run()
    return each * processes / (time.process_time() - start)


@dataclass(slots=True)
class Yardstick:
    """SimPy timeouts per CPU second, sampled around and, by whoever measures long, between what is measured."""

    samples: list[float] = field(default_factory=list)
    timeouts: int = 200_000

    def sample(self) -> None:
        """Take one more sample, a few tenths of a CPU second."""
        self.samples.append(timeouts_per_cpu_s(timeouts=self.timeouts))

    @property
    def per_cpu_s(self) -> float:
        """The median of the samples so far."""
        return median(self.samples)

    def norm(self, simulated_s: float, cpu_s: float) -> float:
        """Return simulated seconds per CPU second on a core that does 1.0 M SimPy timeouts per CPU second.

        Takes one more sample first, so that the yardstick stands on both sides of what was measured.
        """
        self.sample()
        return simulated_s / cpu_s / (self.per_cpu_s / 1e6)

    def to_json(self) -> dict[str, Any]:
        """Return what it is, its median and its samples."""
        return {
            "what": "bare SimPy timeouts per CPU second, 100 processes",
            "timeouts_per_cpu_s": round(self.per_cpu_s),
            "samples": [round(s) for s in self.samples],
        }


def run_benchmark(
    name: str,
    measure: Callable[[Settings, Yardstick], Mapping[str, Any]],
    argv: Sequence[str] | None = None,
    *,
    description: str = "",
    backends: Sequence[str] = (),
) -> int:
    """Parse the options, measure between two samples of the yardstick, say the result; return the exit code.

    Where there are `backends` to choose from, the first is what is measured if nothing is said.
    `measure` returns at least the figures that `FIGURES[name]` lists (KeyError otherwise), and may add more. With
    `--json` one object goes to stdout; without it, a table. With `--strict` a bar that is missed gives exit code 1.
    Where it raises NotHereError the exit code is 3; 0 of a quick form outside CI, which such a machine is to pass.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description or None)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--quick", action="store_true", help="a short form, for every change: coarser figures")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a figure misses what it must reach")
    parser.add_argument("--seed", type=int, default=Settings().seed, help="seed of every random stream (%(default)s)")
    if backends:
        parser.add_argument("--backend", choices=backends, default=backends[0], help="what stands behind the agent")
    options = parser.parse_args(argv)
    settings = Settings(quick=options.quick, seed=options.seed, backend=getattr(options, "backend", ""))

    yardstick = Yardstick(timeouts=50_000 if options.quick else 200_000)
    yardstick.sample()
    wall, cpu = time.perf_counter(), cpu_s()
    try:
        figures = dict(measure(settings, yardstick))
    except NotHereError as error:
        print(f"{name}: skipped, {error}", file=sys.stderr)
        return 0 if settings.quick and not os.environ.get("CI") else 3  # CI has all that it takes
    wall, cpu = time.perf_counter() - wall, cpu_s() - cpu
    yardstick.sample()
    absent = [key for key in FIGURES[name] if key not in figures]
    if absent:
        raise KeyError(f"benchmark {name} lacks {', '.join(absent)}")

    held = {key: BARS[key] for key in FIGURES[name] if key in BARS and figures[key] is not None}
    missed = [key for key, bar in held.items() if not bar.met(figures[key])]
    if options.json:
        result = {
            "benchmark": name,
            "quick": options.quick,
            "seed": options.seed,
            **({"backend": settings.backend} if settings.backend else {}),
            **figures,
            "missed": missed,
            "yardstick": yardstick.to_json(),
            "wall_s": round(wall, 3),
            "cpu_s": round(cpu, 3),
            "machine": machine(),
            "versions": versions(),
            "commit": commit(),
        }
        print(json.dumps(result, indent=2, allow_nan=False))
    else:
        say(
            f"{name} on {settings.backend}" if settings.backend else name,
            figures,
            held,
            yardstick,
            wall_s=wall,
            cpu_s=cpu,
            quick=options.quick,
            seed=options.seed,
        )
    return 1 if missed and options.strict else 0


def say(
    name: str,
    figures: Mapping[str, Any],
    held: Mapping[str, Bar],
    yardstick: Yardstick,
    *,
    wall_s: float,
    cpu_s: float,
    quick: bool,
    seed: int,
) -> None:
    """Print the result for people: figures beside their bars, then yardstick, machine and versions."""
    print(f"{name}{' (quick form: coarse figures)' if quick else ''}, seed {seed}, commit {commit() or 'unknown'}")
    for key, value in figures.items():
        text = f"{value:.4g}" if isinstance(value, float) else f"{value}"
        print(f"  {key:<28} {text:>12}  {held[key].describe(value) if key in held else ''}".rstrip())
    samples = [s / 1e6 for s in yardstick.samples]
    spread = f"{min(samples):.2f} to {max(samples):.2f}, n={len(samples)}"
    print(f"  yardstick: {yardstick.per_cpu_s / 1e6:.2f} M SimPy timeouts per CPU s ({spread})")
    print(f"  took {wall_s:.1f} s, {cpu_s:.1f} CPU s")
    print("  machine: " + ", ".join(f"{key} {value}" for key, value in machine().items()))
    print("  versions: " + ", ".join(f"{key} {value}" for key, value in versions().items()))
    sys.stdout.flush()


def cpu_s() -> float:
    """Return the CPU seconds of this process and of those that it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def machine() -> dict[str, Any]:
    """Return what the figures were measured on: processor, cores that this process may use, memory, load, system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = named[0] if named else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model,
        "cores": cores,
        "memory_gib": round(memory, 1),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.platform(terse=True),
    }


def versions() -> dict[str, str]:
    """Return the versions that can move a figure."""
    names = ("rantwin", "numpy", "scipy", "scikit-learn", "numba", "simpy", "grpcio", "pgmpy")
    found = {"python": platform.python_version()}
    for distribution in names:
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the commit of the working copy, marked when there are changes on top; None outside of one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None
