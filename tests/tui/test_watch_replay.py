"""A day of windows at speed: what the screen holds does not grow, and what it kept is what it would make anew."""

import asyncio
import gc
import tracemalloc

import numpy as np

from col.plant import Control, Metric, Windows
from tests.tui.made_run import make_run, manifest, windows
from tests.tui.watch_world import AT_REFERENCE, WatchWorld, status
from tui.run_folder import RunFolder
from tui.watch.feeds_gap import _columns_at
from tui.watch.feeds_rows import columns_of, layout_of, places_of
from tui.watch.feeds_twin import KEEP
from tui.watch.run_windows import MOST, RunWindows

DAY = 5760
CHUNK = 48
PHI_TEXT = "always[0,4](thp_dl_1 >= 0.95*load_dl_1 and thp_ul_2 >= 0.95*load_ul_2)"


def _day(seed: int, settings: dict[str, float] | None) -> Windows:
    return windows(0, DAY, 0, settings, seed=seed)


def test_a_day_of_windows_leaves_no_more_behind_than_its_first_half(tmp_path):
    world = WatchWorld(tmp_path, passive=CHUNK, trials=0, finish=False)
    folder = RunFolder.open(world.path)
    folder.claim()
    twin, bed = _day(1, AT_REFERENCE), _day(2, AT_REFERENCE)
    world.link.recorded = bed.take(slice(0, CHUNK))
    world.look()
    app = world.app()
    held: list[int] = []

    async def run() -> None:
        async with app.run_test(size=(120, 40), notifications=False):
            assert app._timer is not None
            app._timer.stop()
            for first in range(CHUNK, DAY, CHUNK):
                folder.append_passive(twin.take(slice(first, first + CHUNK)))
                world.clock.now_s += CHUNK
                world.feed.take_windows(bed.take(slice(first, first + CHUNK)))
                world.feed.take_status(status(next_sequence=first + CHUNK))
                world.feeds.step()
                app.refresh_state()
                await asyncio.sleep(0)
                app.view.render_lines(app.view.outer_size.region)
                if first >= DAY // 2 and (not held or first + CHUNK >= DAY):
                    app.view._painter.forget()  # its strips come and go by the hundred
                    app.view.render_lines(app.view.outer_size.region)
                    gc.collect()
                    held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        asyncio.run(run())
    finally:
        tracemalloc.stop()
        folder.close()
    state = world.feeds.state(app.look)
    assert len(state.testbed.sequence) == KEEP
    assert {len(column) for column in state.testbed.values.values()} == {KEEP}
    assert int(state.testbed.sequence[-1]) == DAY - 1
    # Half a day of one plant's windows is 1 MB here.
    assert held[-1] - held[0] < 500_000


def test_of_a_run_that_goes_on_the_newest_windows_are_kept_and_all_are_counted(tmp_path):
    folder = make_run(tmp_path, passive=60, trials=0, finish=False)
    kept = RunWindows(folder.path)
    assert kept.read()
    assert not kept.read()
    for first in range(60, 60 + 2 * MOST, MOST // 2):
        folder.append_passive(windows(first, MOST // 2, 0))
        assert kept.read()
    assert kept.table is not None
    assert len(kept.table) == MOST
    assert kept.count == 60 + 2 * MOST == int(kept.table.sequence[-1]) + 1
    before = kept.table
    folder.merge()
    assert kept.read()
    assert kept.is_whole
    assert np.array_equal(kept.table.sequence, before.sequence)
    assert kept.count == 60 + 2 * MOST
    folder.close()


def test_parts_that_come_in_another_order_are_put_in_order(tmp_path):
    folder = make_run(tmp_path, passive=60, trials=0, finish=False)
    folder.append_passive(windows(120, 20, 0))
    kept = RunWindows(folder.path)
    kept.read()
    folder.append_passive(windows(60, 60, 0))
    kept.read()
    assert kept.table is not None
    assert np.array_equal(kept.table.sequence, np.arange(140))
    folder.close()


def test_a_part_that_is_damaged_is_read_once_it_is_whole(tmp_path):
    folder = make_run(tmp_path, passive=60, trials=0, finish=False)
    parts = folder.path / "windows.parts"
    good = next(iter(parts.glob("*.parquet"))).read_bytes()
    kept = RunWindows(folder.path)
    kept.read()
    (parts / "zz.parquet").write_bytes(good[:100])
    assert not kept.read()
    (parts / "zz.parquet").write_bytes(good)
    assert kept.read()
    folder.close()


def test_columns_of_chosen_windows_are_those_of_all(tmp_path):
    facts = manifest()
    controls = tuple(Control(**entry) for entry in facts["controls"])
    metrics = tuple(Metric(name=name, unit="1") for name in windows(0, 1, 0).metrics)
    layout = layout_of(controls, metrics, places_of(facts["groups"]), specification=PHI_TEXT)
    assert layout.specification is not None
    table = windows(0, 400, 0, AT_REFERENCE)
    table = table.take(np.delete(np.arange(400), [37, 38, 200, 301]))  # holes
    rng = np.random.default_rng(7)
    everything = columns_of(layout, table)
    for _ in range(20):
        at = np.unique(rng.integers(0, len(table), rng.integers(1, 120)))
        chosen = _columns_at(layout, table, at)
        for name, column in everything.items():
            assert np.array_equal(chosen[name], column[at], equal_nan=True), name


def test_a_status_without_news_leaves_all_columns_as_they_are(tmp_path):
    world = WatchWorld(tmp_path)
    before = world.feeds.state(world.app().look)
    world.feed.step_status(world.link)
    world.feeds.step()
    after = world.feeds.state(world.app().look)
    assert after.testbed.values is before.testbed.values
    assert after.testbed.sequence is before.testbed.sequence
    assert after.gap.rows is before.gap.rows
    assert after.rows is before.rows
