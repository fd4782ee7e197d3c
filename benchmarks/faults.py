"""Faults injected into promotions on the emulated testbed, with real processes: how many end as they must, how soon.

What is in force is read from the testbed's own process. A case ends well if that is the last confirmed configuration
(where somebody else interfered: theirs where they set it) and the journal's chain verifies; the time is from the cause,
as the journal has it, to the first reading from which on the testbed has been back.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import Settings, Yardstick, run_benchmark
from benchmarks.testbed.disk import small_disk
from benchmarks.testbed.fault_cases import CASES
from benchmarks.testbed.trial import at_rest
from benchmarks.testbed.world import World, open_world
from bridge.journal_reader import JournalReader

__all__ = ["main", "measure", "run_case"]

REPEATS = 20
WALL_WINDOW_S = 0.5
SIDE_BY_SIDE = 4
NEEDS_DISK = "disk full"


@contextmanager
def _world(name: str, seed: int) -> Iterator[World | None]:
    if name != NEEDS_DISK:
        with open_world(wall_window_s=WALL_WINDOW_S, seed=seed, state=None) as world:
            yield world
        return
    with tempfile.TemporaryDirectory(prefix="rw") as folder, small_disk(Path(folder) / "disk") as disk:
        if disk is None:
            yield None
            return
        with open_world(wall_window_s=WALL_WINDOW_S, seed=seed, state=disk / "agent") as world:
            yield world


def run_case(job: tuple[str, int, int]) -> dict[str, Any]:
    """Run one case several times in one world; return how often it ended well, times in s, and what went wrong."""
    name, repeats, seed = job
    out: dict[str, Any] = {"case": name, "runs": 0, "back": 0, "times_s": [], "faults": [], "skipped": ""}
    with _world(name, seed) as world:
        if world is None:
            return out | {"skipped": "takes root, to mount a tmpfs"}
        for _ in range(repeats):
            out["runs"] += 1
            fault, took_s = _once(world, name)
            out["back"] += not fault
            out["times_s"] += [] if took_s is None else [round(took_s, 4)]
            out["faults"] += [fault] if fault else []
    return out


def _once(world: World, name: str) -> tuple[str, float | None]:
    at_rest(world)
    with world.recording() as recording:
        try:
            ended = CASES[name](world)
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
    repeats = 1 if settings.quick else REPEATS
    jobs = [(name, repeats, settings.seed + k) for k, name in enumerate(CASES)]
    rows = []
    with ProcessPoolExecutor(SIDE_BY_SIDE) as pool:
        for row in pool.map(run_case, jobs):
            rows.append(row)
            longest = f"{max(row['times_s']):.2f} s" if row["times_s"] else "-"
            said = row["skipped"] or f"{row['back']} of {row['runs']} back, longest {longest}"
            print(f"  {row['case']:<40} {said} {'; '.join(row['faults'][:2])}", file=sys.stderr, flush=True)
    yardstick.sample()
    runs, times = sum(r["runs"] for r in rows), [t for r in rows for t in r["times_s"]]
    return {
        "share_back": sum(r["back"] for r in rows) / runs,
        "longest_s": max(times),
        "window_s": WALL_WINDOW_S,
        "within_one_window": all(t <= WALL_WINDOW_S for t in times),
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


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    return run_benchmark("faults", measure, argv, description=__doc__.splitlines()[0] if __doc__ else "")


if __name__ == "__main__":
    raise SystemExit(main())
