"""How long an apply takes, from the request to the read-back, and a rollback, from its order to the read-back.

Real processes: an emulated testbed (`--backend docker`: a lab of real containers on a Docker engine of the benchmark's
own), an agent with its journal on this disk, a client over a Unix socket. The apply is timed at the client, gate and
journal included; the rollback from the moment it was ordered (as a verdict does) to the read-back that ends it, both as
the journal has them, and for comparison at the client of the cancel.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.common import NotHereError, Settings, Yardstick, run_benchmark
from benchmarks.testbed.lab_world import open_lab_world
from benchmarks.testbed.own_engine import OwnEngine, why_no_engine
from benchmarks.testbed.trial import target
from benchmarks.testbed.world import World, open_world

__all__ = ["main", "measure"]

CYCLES, QUICK_CYCLES = 200, 20
WALL_WINDOW_S = 0.3


def measure(settings: Settings, yardstick: Yardstick) -> dict[str, Any]:
    """Apply and roll back again and again."""
    with _world(settings) as world:
        times = [_cycle(world) for _ in range(QUICK_CYCLES if settings.quick else CYCLES)]
    yardstick.sample()
    apply_ms, rollback_ms, cancel_ms = (1000.0 * np.array(column) for column in zip(*times, strict=True))
    figures: dict[str, Any] = {"cycles": len(times)}
    for name, values in (("apply", apply_ms), ("rollback", rollback_ms), ("cancel", cancel_ms)):
        for share in (50, 99):
            figures[f"{name}_p{share}_ms"] = round(float(np.quantile(values, share / 100)), 2)
        figures[f"{name}_max_ms"] = round(float(values.max()), 2)
    return figures


@contextmanager
def _world(settings: Settings) -> Iterator[World]:
    if settings.backend != "docker":
        with open_world(wall_window_s=WALL_WINDOW_S, seed=settings.seed, state=None) as world:
            yield world
        return
    if why := why_no_engine():
        raise NotHereError(f"no lab can run here: {why}")
    engine = OwnEngine()
    try:
        engine.start()
        with open_lab_world(engine) as world:
            yield world
    finally:
        engine.close()


def _cycle(world: World) -> tuple[float, float, float]:
    """Return the seconds of one apply, of the rollback behind it, and of the call that ordered that."""
    with world.client() as client:
        plan = world.plan(client, target(world))
        promotion_id = plan.request.promotion_id
        began_s = time.perf_counter()
        client.apply(promotion_id, plan.digest)
        applied_s = time.perf_counter()
        client.cancel(promotion_id, "to time the way back")
        cancelled_s = time.perf_counter()
    entries = world.journal(promotion_id)
    ordered_s = next(e.monotonic_s for e in entries if e.state_after == "rolling back")
    restored_s = next(float(str(e.details["restored_s"])) for e in entries if "restored_s" in e.details)
    return applied_s - began_s, restored_s - ordered_s, cancelled_s - applied_s


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    about = __doc__.splitlines()[0] if __doc__ else ""
    return run_benchmark("latency", measure, argv, description=about, backends=("emulated", "docker"))


if __name__ == "__main__":
    raise SystemExit(main())
