"""A rehearsal steered from the screen: pause, step, go on, budget, and what the screen shows of it while it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.widgets import Input

from col.errors import InputError
from col.region import Region
from tests.tui.made_region_file import box_region
from tests.tui.made_run import CONTROLS, make_run
from tests.tui.watch_pilot import drive, notices, settled
from tests.tui.watch_states import made_region, made_state
from tests.tui.watch_world import WatchWorld
from tui.console import plain_json
from tui.progress import Progress, Status
from tui.progress_file import StoredProgress
from tui.run_folder import PROGRESS, RunFolder
from tui.steering import Hold, Steering, read_steering, write_steering
from tui.watch.ask_number import AskNumber
from tui.watch.feeds_region import RegionFeed
from tui.watch.feeds_twin import TwinFeed
from tui.watch.region_map import heat_map
from tui.watch.region_view import region_frame
from tui.watch.state import PromotionView, Rehearsal, RehearsalView
from tui.watch.strip import strip_text

NEXT = dict.fromkeys(CONTROLS, 1.0)


class Writer:
    """A run that this process writes, as a rehearsal does; `says` is what it says of itself."""

    def __init__(self, root: Path, **changes: Any) -> None:
        self.folder = make_run(root, finish=False, **changes)
        self.progress = StoredProgress(Progress(), self.folder)
        self.progress.__enter__()

    def says(self, **changes: Any) -> None:
        status = {"passive_done": 240, "passive_total": 240, "trials_done": 6, "trials_total": 9, **changes}
        self.progress.update(Status(title="rehearse", **status), "news")

    def ends(self) -> None:
        self.progress.__exit__()
        self.folder.close()


def test_what_the_process_says_of_itself_is_shown_until_it_ends(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    feed = TwinFeed(writer.folder.path)
    writer.says(doing="trial 7: cpu_du_1 1.05", region_share=0.031, left_s=12.5)
    first = feed.poll(0.0)
    assert first.rehearsal.state is Rehearsal.RUNNING
    assert first.rehearsal.words == "trial 7: cpu_du_1 1.05"
    assert (first.rehearsal.trials_total, first.rehearsal.region_share, first.rehearsal.left_s) == (9, 0.031, 12.5)
    writer.says(doing="paused before trial 8", paused=True, following=NEXT)
    second = feed.poll(1.0)
    assert second.rehearsal.state is Rehearsal.PAUSED
    assert second.rehearsal.following == NEXT
    assert second.windows is first.windows  # nothing that did not change is read or put together again
    writer.ends()
    third = feed.poll(2.0)
    assert third.rehearsal.state is Rehearsal.STOPPED
    assert third.rehearsal.following == {}
    assert not (writer.folder.path / PROGRESS).exists()


def test_what_a_process_said_that_was_killed_is_not_believed(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.says(paused=True, doing="paused before trial 7")
    writer.folder.close()
    assert TwinFeed(writer.folder.path).poll(0.0).rehearsal.state is Rehearsal.STOPPED
    again = RunFolder.open(writer.folder.path)
    again.claim()
    assert TwinFeed(writer.folder.path).poll(0.0).rehearsal.state is Rehearsal.RUNNING
    again.close()


def test_a_stopped_run_shows_the_budget_that_is_wanted(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.ends()
    write_steering(writer.folder.path, Steering(max_trials=80))
    assert TwinFeed(writer.folder.path).poll(0.0).rehearsal.trials_total == 80
    (writer.folder.path / "steering.json").write_text("{")
    assert TwinFeed(writer.folder.path).poll(0.0).rehearsal.trials_total == 6


def test_the_status_in_the_folder_is_written_where_it_is_another_one(tmp_path: Path) -> None:
    folder = make_run(tmp_path, finish=False)
    now_s = [0.0]
    progress = StoredProgress(Progress(), folder, clock=lambda: now_s[0])
    status = Status(title="rehearse", doing="one")
    path = folder.path / PROGRESS

    def said() -> tuple[str, int]:
        return json.loads(path.read_text())["doing"], path.stat().st_ino

    progress.update(status)
    first = said()
    status.doing = "two"
    progress.update(status)
    assert said() == first  # too soon
    now_s[0] += 0.25
    progress.update(status)
    second = said()
    assert second[0] == "two"
    held = os.open(path, os.O_RDONLY)  # so that its number is not used again
    now_s[0] += 10.0
    progress.update(status, "the same")
    assert said() == second
    os.close(held)
    folder.close()


# --- the region while it grows ----------------------------------------------------------------------------------------


def grown(path: Path, reach: float) -> None:
    """Store a region that holds where all controls are above `reach`."""
    box_region(CONTROLS, reach).save(path)


def test_the_map_follows_the_region_of_a_run_that_goes_on(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    now_s = [100.0]
    twin, feed = TwinFeed(writer.folder.path), RegionFeed(writer.folder.path, clock=lambda: now_s[0])

    def seen() -> tuple[str, float]:
        view = feed.view(twin.poll(0.0), None, None, current={}, confirmed={})
        return view.words, float("nan") if view.lower is None else float((view.lower >= view.alpha).mean())

    writer.says(paused=True, following=NEXT)
    assert "no region yet" in seen()[0]
    shares = []
    for reach in (1.1, 0.8, 0.5):
        grown(writer.folder.path / "region.npz", reach)
        shares.append(seen()[1])
        now_s[0] += 10.0
    assert 0 < shares[0] < shares[1] < shares[2]
    view = feed.view(twin.poll(0.0), ("cpu_du_2", "cpu_cu_3"), (1.4, 1.4), current={}, confirmed={})
    assert view.following == NEXT
    assert view.cursor_bound >= 0.9
    writer.ends()


def test_what_holds_at_the_cursor_is_that_of_the_region_in_sight(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    now_s = [100.0]
    twin, feed = TwinFeed(writer.folder.path), RegionFeed(writer.folder.path, clock=lambda: now_s[0])
    bounds = []
    for reach in (1.2, 0.8):
        grown(writer.folder.path / "region.npz", reach)
        for cursor in ((1.0, 1.0), (0.5, 0.5)):
            view = feed.view(twin.poll(0.0), None, cursor, current={}, confirmed={"cpu_du_4": 1.4})
            assert view.cursor == cursor
            assert len(view.cursor_words) == len(CONTROLS)
            bounds.append(view.cursor_bound >= 0.9)
        now_s[0] += 10.0
    assert bounds == [False, False, True, False]
    writer.ends()


def test_a_region_that_changes_often_is_read_as_often_as_costs_little(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    now_s = [100.0]

    def clock() -> float:
        now_s[0] += 0.01  # what each look at the clock takes: reading it takes as long
        return now_s[0]

    twin, feed = TwinFeed(writer.folder.path), RegionFeed(writer.folder.path, clock=clock)
    read: list[Any] = []
    for k in range(60):
        grown(writer.folder.path / "region.npz", 1.0 - k / 100)
        view = feed.view(twin.poll(0.0), None, None, current={}, confirmed={})
        assert view.lower is not None
        if not read or read[-1] is not view.lower:
            read.append(view.lower)
    assert 2 <= len(read) <= 60 / 10
    now_s[0] += 60.0
    last = feed.view(twin.poll(0.0), None, None, current={}, confirmed={}).lower
    assert last is not None
    assert not np.array_equal(last, read[-1])
    writer.ends()


# --- what is drawn ----------------------------------------------------------------------------------------------------


def paused(**changes: Any) -> RehearsalView:
    words = "paused before trial 7: cpu_du_1 1.05"
    view = RehearsalView(state=Rehearsal.PAUSED, run="runs/made-up", passive_done=240, passive_total=240, trials_done=6,
                         trials_total=9, words=words, following=NEXT)  # fmt: skip
    return replace(view, **changes)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
def test_a_pause_is_said_with_what_comes_next_at_every_size(size: tuple[int, int]) -> None:
    region = replace(made_region(), following={"cpu_du_1": 1.0, "cpu_cu_1": 1.5})
    state = replace(made_state(), rehearsal=paused(), region=region, promotions=PromotionView())
    text = region_frame(state, *size).text
    assert "rehearsal PAUSED before trial 7: cpu_du_1 1.05" in text
    assert "trials 6/9" in text
    assert text.count("▷") == 2  # on the map and in the legend
    assert "PAUSED" in strip_text(state, size[0]).plain


def test_without_a_next_trial_the_map_has_no_mark_for_it() -> None:
    assert not any("▷" in text for line in heat_map(made_region(), 80, 24) for text, _ in line)
    assert "▷" not in region_frame(made_state(), 120, 40).text


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> WatchWorld:
    return WatchWorld(tmp_path, finish=False)


def hold(world: WatchWorld, **said: Any) -> RunFolder:
    """Let this process write the run; what it says is `said`."""
    folder = RunFolder.open(world.path)
    folder.claim()
    status = {"passive_total": 240, "passive_done": 240, "trials_total": 6, "trials_done": 6, **said}
    (folder.path / PROGRESS).write_text(json.dumps(plain_json(status)))
    world.look()
    return folder


def press(world: WatchWorld, *keys: str, operate: bool = False, after: Callable[[Any], None] | None = None) -> None:
    async def steps(app: Any, pilot: Any) -> None:
        for key in keys:
            await pilot.press(key)
            await settled(pilot, app)
            if after is not None:
                after(app)

    drive(world, steps, operate=operate)


def test_pause_waits_before_the_next_trial_and_the_same_key_goes_on(world: WatchWorld) -> None:
    folder = hold(world)
    press(world, "P")
    assert read_steering(world.path).hold == Hold()
    assert "pauses as soon as" in notices(world)
    press(world, "P")
    assert read_steering(world.path).hold is None
    press(world, "P", "u")
    assert read_steering(world.path).hold is None
    folder.close()


def test_steps_are_counted_from_what_there_is(world: WatchWorld) -> None:
    folder = hold(world, paused=True)
    press(world, "S", "S")
    assert read_steering(world.path).hold == Hold(windows=240, trials=8)
    folder.close()


def test_the_budget_is_asked_for_and_another_wish_stays(world: WatchWorld) -> None:
    folder = hold(world)
    press(world, "P", "B", "1", "2", "enter")
    assert read_steering(world.path) == Steering(hold=Hold(), max_trials=12)
    press(world, "B", "3", "escape")
    press(world, "B", "backspace", "enter", "x", "minus", "4", "0", "enter")
    assert read_steering(world.path).max_trials == 40
    folder.close()


def test_the_dialog_begins_with_what_it_is_now(world: WatchWorld) -> None:
    folder = hold(world)
    asked: list[str] = []

    def look(app: Any) -> None:
        if isinstance(app.screen, AskNumber):
            asked.append(app.screen.query_one("#number", Input).value)

    press(world, "B", after=look)
    assert asked == ["6"]
    folder.close()


@pytest.mark.parametrize("key", ["P", "S"])
def test_what_does_not_run_is_neither_paused_nor_stepped(world: WatchWorld, key: str) -> None:
    press(world, key)
    assert "no rehearsal runs" in notices(world)
    assert read_steering(world.path) == Steering()


def test_a_stopped_run_that_was_paused_still_is_when_it_goes_on_and_that_is_said(world: WatchWorld) -> None:
    write_steering(world.path, Steering().paused())
    press(world, "u")
    assert "waits where it was paused: u again" in notices(world)
    assert read_steering(world.path).hold == Hold()


@pytest.mark.parametrize("key", ["u", "S", "B"])
def test_what_leads_to_trials_on_a_testbed_needs_operate(tmp_path: Path, key: str) -> None:
    world = WatchWorld(tmp_path, finish=False)
    manifest = json.loads((world.path / "run.json").read_text())
    on = {"address": "unix:agent", "plant_id": "lab", "stack": "real", "emulated": False, "notes": []}
    (world.path / "run.json").write_text(json.dumps({**manifest, "on": on}))
    write_steering(world.path, Steering().paused())
    world.feeds.choose(world.path)
    folder = hold(world, paused=True)
    press(world, key)
    assert "this run tries on a testbed" in notices(world)
    assert read_steering(world.path) == Steering().paused()
    press(world, "S", operate=True)
    assert read_steering(world.path).hold == Hold(windows=240, trials=7)
    folder.close()


def test_a_finished_run_gets_no_other_budget(tmp_path: Path) -> None:
    world = WatchWorld(tmp_path)
    press(world, "B")
    assert "the rehearsal is finished" in notices(world)


def test_a_folder_that_cannot_be_written_is_said(world: WatchWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hold(world)

    opened = Path.open

    def full(self: Path, mode: str = "r", **more: Any) -> Any:
        if "w" in mode and "steering" in self.name:
            raise OSError(28, "No space left on device", str(self))
        return opened(self, mode, **more)

    monkeypatch.setattr(Path, "open", full)
    press(world, "P")
    monkeypatch.undo()
    assert "steering.json: cannot be written (No space left on device)" in notices(world)
    folder.close()


def test_a_budget_that_was_not_written_is_not_said_to_hold(world: WatchWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hold(world)

    def full(*_: object) -> None:
        raise InputError("cannot be written (No space left on device)")

    monkeypatch.setattr("tui.watch.feeds_process.write_steering", full)
    press(world, "B", "9", "enter")
    assert "cannot be written" in notices(world)
    assert "trials in all" not in notices(world)
    folder.close()


def test_a_region_stored_in_haste_is_the_same_region(tmp_path: Path) -> None:
    region = box_region(CONTROLS, 0.8)
    region.save(tmp_path / "a.npz")
    region.save(tmp_path / "b.npz", compressed=False)
    x = np.random.default_rng(0).uniform(0.1, 1.5, size=(100, len(CONTROLS)))
    a, b = (Region.load(tmp_path / name).lower_bound(x) for name in ("a.npz", "b.npz"))
    np.testing.assert_array_equal(a, b)
