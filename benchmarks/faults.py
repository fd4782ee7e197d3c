"""Faults injected into promotions, with real processes: how many end as they must, how soon.

The testbed is the emulated one, or (`--backend docker`) a lab of real containers on Docker engines of the benchmark's
own: there engines, containers and what an engine answers misbehave for real.

What is in force is read from the testbed's own process, of containers from the kernel. A case ends well if that is the
last confirmed configuration (where somebody else interfered: theirs where they set it) and the journal's chain
verifies; the time is from the cause, as the journal has it (where there was no engine to act on, from when there was
one again), to the first reading from which on the testbed has been back.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import NotHereError, Settings, Yardstick, run_benchmark
from benchmarks.testbed.disk import small_disk
from benchmarks.testbed.fault_cases import CASES, LAB_CASES
from benchmarks.testbed.lab_world import LAB_WINDOW_S, open_lab_world
from benchmarks.testbed.own_engine import OwnEngine, why_no_engine
from benchmarks.testbed.trial import Case, at_rest
from benchmarks.testbed.world import World, open_world
from bridge.journal_reader import JournalReader

__all__ = ["main", "measure", "run_cases"]

REPEATS = 20
WALL_WINDOW_S = 0.5
SIDE_BY_SIDE = 4
LABS_SIDE_BY_SIDE = 2
"""Each has a gNB that works for real."""
NEEDS_DISK = "disk full"
QUICK_LAB_CASES = ("violation", "DU killed", "engine killed while watching", "agent killed while watching")
"""A lab's trial takes some ten seconds."""


def _cases(backend: str) -> Mapping[str, Case]:
    return LAB_CASES if backend == "docker" else CASES


@contextmanager
def _state(name: str) -> Iterator[Path | str | None]:
    """Yield where the agent keeps its journal (None: where it does anyway), or why the case cannot be run."""
    if name != NEEDS_DISK:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="rw") as folder, small_disk(Path(folder) / "disk") as disk:
        yield "takes root, to mount a tmpfs" if disk is None else disk / "agent"


@contextmanager
def _world(backend: str, seed: int, state: Path | None) -> Iterator[World]:
    if backend != "docker":
        with open_world(wall_window_s=WALL_WINDOW_S, seed=seed, state=state) as world:
            yield world
        return
    engine = OwnEngine()
    try:
        engine.start()
        with open_lab_world(engine, state=state) as world:
            yield world
    finally:
        engine.close()


def run_cases(job: tuple[str, tuple[str, ...], int, int]) -> list[dict[str, Any]]:
    """Run cases several times each in one world; return for each how often it ended well, and what went wrong."""
    backend, names, repeats, seed = job
    with _state(names[0]) as state:
        if isinstance(state, str):
            return [_row(name) | {"skipped": state} for name in names]
        with _world(backend, seed, state) as world:
            return [_run(world, _cases(backend)[name], name, repeats) for name in names]


def _row(name: str) -> dict[str, Any]:
    return {"case": name, "runs": 0, "back": 0, "times_s": [], "faults": [], "skipped": ""}


def _run(world: World, case: Case, name: str, repeats: int) -> dict[str, Any]:
    out = _row(name)
    for _ in range(repeats):
        out["runs"] += 1
        fault, took_s = _once(world, case, name)
        out["back"] += not fault
        out["times_s"] += [] if took_s is None else [round(took_s, 4)]
        out["faults"] += [fault] if fault else []
    return out


def _once(world: World, case: Case, name: str) -> tuple[str, float | None]:
    at_rest(world)
    with world.recording() as recording:
        try:
            ended = case(world)
            at_rest(world)
        except Exception as error:  # whatever it is, it is what went wrong in this run
            world.plant.behave()
            return f"{type(error).__name__}: {error}", None
        recording.wait_for(ended.expected)
    found, back_s = world.plant.in_force(), recording.back_since(ended.expected)
    if name == "somebody else interferes":
        world.plant.set(world.confirmed())
    wrong = {c: (found[c], v) for c, v in ended.expected.items() if abs(found[c] - v) > 1e-6}
    if wrong or back_s is None:
        return f"in force, expected: {wrong}", None
    reader = JournalReader.open_file(world.config.journal)
    try:
        verified = reader.verify()
    finally:
        reader.close()
    if verified.problem:
        return f"journal: {verified.problem}", None
    # Where the target never came into force, the testbed was back before the cause.
    return "", None if ended.cause_s is None else max(0.0, back_s - ended.cause_s)


def measure(settings: Settings, yardstick: Yardstick) -> dict[str, Any]:
    """Run every case, some worlds side by side: most of the time they wait for windows."""
    docker = settings.backend == "docker"
    if docker and (why := why_no_engine()):
        raise NotHereError(f"no lab can run here: {why}")
    window_s = LAB_WINDOW_S if docker else WALL_WINDOW_S
    rows = []
    with ProcessPoolExecutor(LABS_SIDE_BY_SIDE if docker else SIDE_BY_SIDE) as pool:
        for some in pool.map(run_cases, _jobs(settings)):
            for row in some:
                rows.append(row)
                longest = f"{max(row['times_s']):.2f} s" if row["times_s"] else "-"
                said = row["skipped"] or f"{row['back']} of {row['runs']} back, longest {longest}"
                print(f"  {row['case']:<40} {said} {'; '.join(row['faults'][:2])}", file=sys.stderr, flush=True)
    yardstick.sample()
    runs, times = sum(r["runs"] for r in rows), [t for r in rows for t in r["times_s"]]
    return {
        "share_back": sum(r["back"] for r in rows) / runs,
        "longest_s": max(times),
        "window_s": window_s,
        "within_one_window": all(t <= window_s for t in times),
        "runs": runs,
        "cases": {
            r["case"]: {
                "runs": r["runs"],
                "back": r["back"],
                "longest_s": max(r["times_s"], default=None),
                **({"faults": r["faults"][:3]} if r["faults"] else {}),
                **({"skipped": r["skipped"]} if r["skipped"] else {}),
            }
            for r in rows
        },
    }


def _jobs(settings: Settings) -> list[tuple[str, tuple[str, ...], int, int]]:
    """Return what is run in one world each: a case, or in the quick form of the lab some (it takes long to start)."""
    if settings.quick and settings.backend == "docker":
        return [(settings.backend, QUICK_LAB_CASES, 1, settings.seed)]
    repeats = 1 if settings.quick else REPEATS
    names = _cases(settings.backend)
    return [(settings.backend, (name,), repeats, settings.seed + k) for k, name in enumerate(names)]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    about = __doc__.splitlines()[0] if __doc__ else ""
    return run_benchmark("faults", measure, argv, description=about, backends=("emulated", "docker"))


if __name__ == "__main__":
    raise SystemExit(main())
