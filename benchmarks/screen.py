"""How long a key takes until it is painted, what the screen costs while two plants are watched, and what a day leaves.

The whole app runs without a terminal: every key goes through Textual's own event loop, and is taken for painted when
the bytes are made that a terminal is to be sent for the last changed part of the screen, all that follows from the key
done. Meanwhile both plants bring a window a second, of 4 gNBs (then 40) with 20 metrics each: the twin's through a run
folder that another process writes, the testbed's from a link in memory in place of the gRPC client. The share of a core
is this process's CPU time over the wall time, drawn four times a second on 200x50. `cpu_*_ms` is what the thread that
draws had of the processor for a key: on a machine that others load as well it tells more than the time on the wall.

Then a day of windows comes as fast as it is taken, while the screen draws; `replay_growth_mb` is by how much the
process grew from the end of its sixth hour to the end of the day.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from textual._compositor import CompositorUpdate
from textual.events import Key

from benchmarks.common import Settings, Yardstick, run_benchmark
from bridge.backends.base import BackendDescription, Reading
from bridge.promotion import Promotion
from bridge.testbed import JournalEntry, TestbedStatus
from col.errors import InputError
from col.plant import Control, Metric, PlantDescription, Windows
from tui.run_folder import RunFolder
from tui.watch.app import WatchApp
from tui.watch.feeds import Feeds
from tui.watch.feeds_testbed import TestbedFeed

__all__ = ["main", "measure"]

METRICS = 20
RATE_HZ = 1.0
HISTORY = 240
KEYS = ("t", "1", "1", "z", "z", "j", "j", "k", "r", "right", "up", "l", "y", "m", "p", "space", "space")
"""One round of what an operator presses: views, plants, a gNB, zoom, rows, the region's cursor, freeze."""
LOAD_S, QUICK_LOAD_S = 30.0, 8.0
ROUNDS, QUICK_ROUNDS = 12, 3
SIZE = (200, 50)
POLL_S = 0.005
REPLAY_WINDOWS, REPLAY_CHUNK = 5760, 16


def _names(gnbs: int) -> tuple[list[str], list[str]]:
    controls = [f"cpu_{kind}_{i}" for kind in ("du", "cu") for i in range(1, gnbs + 1)]
    return controls, [f"m{k:02d}_{i}" for i in range(1, gnbs + 1) for k in range(METRICS)]


def _windows(first: int, n: int, gnbs: int, seed: int) -> Windows:
    rng = np.random.default_rng([seed, first])
    controls, metrics = _names(gnbs)
    start = np.asarray(15.0 * (first + np.arange(n)), dtype=np.float64)
    return Windows(
        sequence=np.arange(first, first + n),
        start_s=start,
        end_s=start + 15.0,
        run=np.zeros(n, dtype=np.int64),
        controls={name: np.full(n, 1.2) for name in controls},
        metrics={name: 10.0 + rng.normal(size=n) for name in metrics},
    )


def _specification(gnbs: int) -> str:
    return f"always[0,4]({' and '.join(f'm00_{i} >= 5' for i in range(1, gnbs + 1))})"


def _run_folder(root: Path, gnbs: int, seed: int) -> RunFolder:
    controls, metrics = _names(gnbs)
    manifest: dict[str, Any] = {
        "format": 1,
        "scenario": "screen",
        "scenario_digest": "0" * 16,
        "seed": seed,
        "settings": {"passive_windows": 5760, "max_trials": 60},
        "specification": _specification(gnbs),
        "specification_metrics": [name for name in metrics if name.startswith("m00_")],
        "alpha": 0.9,
        "window_s": 15.0,
        "controls": [
            {"name": name, "unit": "core", "lower": 0.1, "upper": 1.5, "resolution": 0.01, "reference": 1.2}
            for name in controls
        ],
        "units": dict.fromkeys(metrics, "Mbit/s"),
        "groups": [
            {"title": f"gNB {i}", "x": f"cpu_du_{i}", "y": f"cpu_cu_{i}", "suffixes": [str(i), str(i), f"h{i % 2}"]}
            for i in range(1, gnbs + 1)
        ],
    }
    folder = RunFolder.create(root, manifest, 'name = "screen"\n', datetime(2026, 1, 1))
    folder.append_passive(_windows(0, HISTORY, gnbs, seed))
    return folder


def _write(path: str, gnbs: int, seed: int) -> None:
    """Go on with a run as a rehearsal does, a window at a time; ended by whoever started it."""
    folder = RunFolder.open(Path(path))
    folder.claim()
    first = HISTORY
    while True:
        folder.append_passive(_windows(first, 1, gnbs, seed))
        first += 1
        time.sleep(1.0 / RATE_HZ)


class _Link:
    """An agent in memory that closes a window a second."""

    def __init__(self, gnbs: int, seed: int) -> None:
        self._gnbs, self._seed = gnbs, seed
        self._left = threading.Event()
        controls, metrics = _names(gnbs)
        plant = PlantDescription(
            plant_id="bench",
            controls=tuple(
                Control(name=n, unit="core", lower=0.1, upper=1.5, resolution=0.01, reference=1.2) for n in controls
            ),
            metrics=tuple(Metric(name=name, unit="Mbit/s") for name in metrics),
            window_s=15.0,
            wall_window_s=1.0,
            emulated=True,
        )
        in_force = dict.fromkeys(controls, 1.2)
        cells = {f"gnb{i}": (f"cpu_du_{i}", f"cpu_cu_{i}") for i in range(1, gnbs + 1)}
        self._status = TestbedStatus(
            backend=BackendDescription(plant=plant, stack="bench", radio_mode="rt", gnbs=cells),
            reading=Reading(controls=in_force, at_s=0.0, next_sequence=HISTORY),
            confirmed=in_force,
            specification=_specification(gnbs),
            alpha=0.9,
            active=None,
            exploration_enabled=False,
            journal_entries=0,
        )

    def status(self) -> TestbedStatus:
        return self._status

    def windows(self, since: int, limit: int) -> Windows:
        return _windows(since, limit, self._gnbs, self._seed + 1)

    def watch_windows(self, since: int) -> Iterator[Windows]:
        yield _windows(since, HISTORY, self._gnbs, self._seed + 1)
        following = since + HISTORY
        while not self._left.wait(1.0 / RATE_HZ):
            yield _windows(following, 1, self._gnbs, self._seed + 1)
            following += 1

    def journal(self, since: int, limit: int, promotion_id: str = "") -> tuple[JournalEntry, ...]:
        return ()

    def promotion(self, promotion_id: str) -> Promotion:
        raise InputError("no such promotion", key=promotion_id)

    def close(self) -> None:
        self._left.set()


class _Timed(WatchApp):
    """Notes when it painted, and when it did what a key asks for."""

    painted_s = 0.0
    acted_s = 0.0
    written = 0

    def _display(self, screen: Any, renderable: Any) -> None:
        super()._display(screen, renderable)
        if isinstance(renderable, CompositorUpdate):  # what a terminal would be sent is made, and counted
            self.written += len(renderable.render_segments(self.console).encode())
            self.painted_s = time.perf_counter()

    async def run_action(self, *args: Any, **kwargs: Any) -> bool:
        done = await super().run_action(*args, **kwargs)
        self.acted_s = time.perf_counter()
        return done

    @property
    def is_quiet(self) -> bool:
        """Whether no message waits and nothing has to be painted."""
        pumps = (self, self.screen, self.view)
        is_clean = not (self.screen._dirty_widgets or self.screen._layout_required or self.screen._repaint_required)
        return is_clean and all(pump._message_queue.empty() for pump in pumps)


@dataclass(frozen=True, slots=True)
class _Figures:
    """What one session of the screen gave: rows of (wall ms, CPU ms) for each key that painted, the share of a core."""

    keys: np.ndarray[Any, np.dtype[np.float64]]
    without_paint: int = 0
    share: float = 0.0
    bytes_per_s: float = 0.0

    def quantile(self, q: float, column: int = 0) -> float:
        return round(float(np.quantile(self.keys[:, column], q)), 1)


def measure(settings: Settings, yardstick: Yardstick) -> dict[str, Any]:
    """Press keys while both plants are watched, then watch alone, then let a day pass."""
    rounds = QUICK_ROUNDS if settings.quick else ROUNDS
    load_s = QUICK_LOAD_S if settings.quick else LOAD_S
    four = _measured(4, rounds, load_s, settings.seed)
    yardstick.sample()
    forty = _measured(40, max(1, rounds // 4), load_s / 2, settings.seed)
    yardstick.sample()
    replay_s, growth_mb = _replayed(4, REPLAY_WINDOWS // (8 if settings.quick else 1), settings.seed)
    return {
        "p95_ms": four.quantile(0.95),
        "p50_ms": four.quantile(0.5),
        "max_ms": four.quantile(1.0),
        "cpu_p95_ms": four.quantile(0.95, 1),
        "cpu_p50_ms": four.quantile(0.5, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "keys": len(four.keys),
        "keys_without_paint": four.without_paint,
        "core_share": round(four.share, 4),
        "load_s": load_s,
        "bytes_per_s": round(four.bytes_per_s),
        "p95_40_gnbs_ms": forty.quantile(0.95),
        "p50_40_gnbs_ms": forty.quantile(0.5),
        "cpu_p95_40_gnbs_ms": forty.quantile(0.95, 1),
        "core_share_40_gnbs": round(forty.share, 4),
        "replay_s": round(replay_s, 1),
        "replay_growth_mb": round(growth_mb, 1),
    }


def _measured(gnbs: int, rounds: int, load_s: float, seed: int) -> _Figures:
    with TemporaryDirectory(prefix="rw") as name:
        folder = _run_folder(Path(name), gnbs, seed)
        folder.close()
        context = multiprocessing.get_context("spawn")
        writer = context.Process(target=_write, args=(str(folder.path), gnbs, seed), daemon=True)
        writer.start()
        try:
            return asyncio.run(_drive(folder.path, gnbs, rounds, load_s, seed))
        finally:
            writer.terminate()
            writer.join()


async def _drive(run: Path, gnbs: int, rounds: int, load_s: float, seed: int) -> _Figures:
    link = _Link(gnbs, seed)
    app = _Timed(Feeds(run=run, runs_dir=run.parent, testbed=TestbedFeed(lambda: link, "memory")), folder=run)
    async with app.run_test(size=SIZE) as pilot:
        app.action_refresh(1)  # to four drawings a second
        while not (len(app.state.testbed.sequence) and len(app.state.twin.sequence)):
            await pilot.pause(0.1)
        await pilot.pause(2.0)
        times = [await _press(app, key) for _ in range(rounds) for key in KEYS]
        share = bytes_per_s = 0.0
        if load_s:
            app.action_tab("plants")
            await pilot.pause(1.0)
            cpu_s, wall_s, written = time.process_time(), time.perf_counter(), app.written
            await asyncio.sleep(load_s)
            wall_s = time.perf_counter() - wall_s
            share, bytes_per_s = (time.process_time() - cpu_s) / wall_s, (app.written - written) / wall_s
    painted = [row for row in times if row is not None]
    return _Figures(np.array(painted), len(times) - len(painted), share, bytes_per_s)


async def _press(app: _Timed, key: str) -> tuple[float, float] | None:
    """Return the milliseconds from a key to the last paint that it brought, and those of CPU time of this thread."""
    began_s, cpu_s = time.perf_counter(), time.thread_time()
    app.post_message(Key(key, key if len(key) == 1 else None))
    quiet = 0
    while quiet < 2 and time.perf_counter() < began_s + 10.0:
        await asyncio.sleep(POLL_S)
        quiet = quiet + 1 if app.acted_s > began_s and app.is_quiet else 0
    painted_s, cpu_s = app.painted_s, time.thread_time() - cpu_s
    await asyncio.sleep(0.03)
    return (1000.0 * (painted_s - began_s), 1000.0 * cpu_s) if painted_s > began_s else None


def _replayed(gnbs: int, windows: int, seed: int) -> tuple[float, float]:
    """Return the seconds that it took to take so many windows, and by how many MB the process grew meanwhile."""
    with TemporaryDirectory(prefix="rw") as name:
        folder = _run_folder(Path(name), gnbs, seed)
        try:
            return asyncio.run(_drive_replay(folder, gnbs, windows, seed))
        finally:
            folder.close()


async def _drive_replay(folder: RunFolder, gnbs: int, windows: int, seed: int) -> tuple[float, float]:
    link = _Link(gnbs, seed)
    bed = TestbedFeed(lambda: link, "memory")
    bed.step_status(link)
    # Nothing follows by itself: what both plants bring is handed over here, as fast as it is taken.
    feeds = Feeds(run=folder.path, runs_dir=folder.path.parent, testbed=bed)
    app = _Timed(feeds, folder=folder.path, follow=False)
    began_s, early_mb = time.perf_counter(), 0.0
    async with app.run_test(size=SIZE):
        for first in range(HISTORY, HISTORY + windows, REPLAY_CHUNK):
            folder.append_passive(_windows(first, REPLAY_CHUNK, gnbs, seed))
            for k in range(first, first + REPLAY_CHUNK):
                bed.take_windows(_windows(k, 1, gnbs, seed + 1))
            feeds.step()
            app.refresh_state()
            await asyncio.sleep(POLL_S)
            if not early_mb and first - HISTORY >= windows // 4:
                early_mb = _resident_mb()
    return time.perf_counter() - began_s, _resident_mb() - early_mb


def _resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    return run_benchmark("screen", measure, argv, description=__doc__.splitlines()[0] if __doc__ else "")


if __name__ == "__main__":
    raise SystemExit(main())
