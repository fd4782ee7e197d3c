"""Feeds: a run folder as it grows, an agent that comes and goes, the gap between them, what the operator does."""

import os
from dataclasses import replace

import numpy as np
import pytest

from bridge.promotion import State
from col.errors import PlantError, UnreachableError
from tests.tui.made_run import make_run, trial, windows
from tests.tui.watch_pilot import wait_until
from tests.tui.watch_world import (
    AT_REFERENCE,
    Clock,
    ScriptedLink,
    WatchWorld,
    description,
    entry,
    promotion,
    status,
)
from tui.run_folder import RunFolder
from tui.watch.feeds import Look
from tui.watch.feeds_testbed import NO_TESTBED, TestbedFeed
from tui.watch.feeds_twin import KEEP, NO_RUN, TwinFeed, writer_of
from tui.watch.state import Connection, Rehearsal

# --- the twin's side --------------------------------------------------------------------------------------------------


def test_a_finished_run_is_shown_with_its_newest_windows_and_no_age(tmp_path):
    folder = make_run(tmp_path, passive=480, trials=6)
    folder.close()
    picture = TwinFeed(folder.path).poll(0.0)
    assert picture.rehearsal.state is Rehearsal.FINISHED
    assert (picture.rehearsal.passive_done, picture.rehearsal.trials_done, picture.rehearsal.violations) == (480, 6, 1)
    assert len(picture.plant.sequence) == KEEP
    assert picture.plant.sequence[-1] == 480 + 30 - 1
    assert picture.plant.received_s is None
    assert [place.cell for place in picture.places] == ["1", "2", "3", "4"]


def test_a_run_that_is_written_grows_on_the_screen(tmp_path):
    folder = make_run(tmp_path, passive=120, trials=0, finish=False)
    feed = TwinFeed(folder.path)
    before = feed.poll(10.0)
    assert before.rehearsal.state is Rehearsal.RUNNING
    folder.append_passive(windows(120, 60, 2))
    folder.append_trial(*trial(0, 180))
    after = feed.poll(11.0)
    assert after.rehearsal.trials_done == 1
    assert after.plant.sequence[-1] == 184
    assert after.plant.received_s == 11.0
    assert after.trials[0].number == 1
    folder.close()
    assert feed.poll(12.0).rehearsal.state is Rehearsal.STOPPED


def test_nothing_is_read_again_where_nothing_changed(tmp_path):
    folder = make_run(tmp_path)
    folder.close()
    feed = TwinFeed(folder.path)
    assert feed.poll(0.0) is feed.poll(1.0)


def test_the_end_of_a_run_joins_its_parts_and_the_screen_follows(tmp_path):
    folder = make_run(tmp_path, finish=False)
    feed = TwinFeed(folder.path)
    before = feed.poll(0.0)
    folder.merge()
    folder.write_json("summary.json", {"reason": "all trials made", "region_volume": 0.03})
    folder.close()
    after = feed.poll(1.0)
    assert np.array_equal(after.plant.sequence, before.plant.sequence)
    assert after.rehearsal.state is Rehearsal.FINISHED
    assert after.rehearsal.region_share == 0.03


def test_a_line_that_is_being_written_waits_until_it_is_whole(tmp_path):
    folder = make_run(tmp_path, trials=1, finish=False)
    path = folder.path / "interventions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    feed = TwinFeed(folder.path)
    assert feed.poll(0.0).rehearsal.trials_done == 1
    path.write_bytes(whole + whole)
    assert feed.poll(1.0).rehearsal.trials_done == 2
    folder.close()


def test_no_run_and_a_broken_run_are_said_in_words(tmp_path):
    assert "not a run folder" in TwinFeed(tmp_path).poll(0.0).plant.words
    folder = make_run(tmp_path)
    folder.close()
    (folder.path / "windows.parquet").write_bytes(b"no parquet")
    picture = TwinFeed(folder.path).poll(0.0)
    assert picture.plant.connection is Connection.NONE
    assert "windows.parquet" in picture.plant.words


def test_who_writes_a_run_is_found_without_taking_its_lock(tmp_path):
    folder = make_run(tmp_path, finish=False)
    assert writer_of(folder.path / "run.json") == os.getpid()
    folder.close()
    assert writer_of(folder.path / "run.json") is None


# --- the testbed's side -----------------------------------------------------------------------------------------------


def feed_of(link: ScriptedLink) -> tuple[TestbedFeed, Clock]:
    clock = Clock()
    return TestbedFeed(lambda: link, "unix:agent", ours="1.0", clock=clock), clock


def test_no_testbed_says_how_to_start_one(tmp_path):
    feed, _ = feed_of(ScriptedLink())
    feed.take_error(UnreachableError("unix:agent: nobody there"))
    plant = feed.poll(0.0).plant
    assert plant.connection is Connection.NONE
    assert NO_TESTBED in plant.words


def test_a_testbed_is_followed_from_its_history_on():
    link = ScriptedLink()
    feed, clock = feed_of(link)
    feed.step_status(link)
    feed.step_windows(link)
    link.close_windows(2)
    clock.now_s += 30
    feed.step_windows(link)
    plant = feed.poll(clock()).plant
    assert plant.connection is Connection.CONNECTED
    assert plant.emulated
    assert list(plant.sequence) == list(range(42))
    assert plant.received_s == clock()
    assert plant.in_force == AT_REFERENCE


def test_a_testbed_that_was_lost_keeps_its_numbers_and_is_resumed_where_it_was_left():
    link = ScriptedLink()
    feed, clock = feed_of(link)
    feed.step_status(link)
    feed.step_windows(link)
    link.fails = UnreachableError("unix:agent: gone")
    with pytest.raises(UnreachableError):
        feed.step_status(link)
    feed.take_error(link.fails)
    clock.now_s += 7
    lost = feed.poll(clock()).plant
    assert lost.connection is Connection.LOST
    assert lost.words.startswith("lost 7 s ago, reconnecting")
    assert len(lost.sequence) == 40
    assert lost.is_stale(clock())
    link.fails = None
    link.close_windows(3)
    feed.step_status(link)
    feed.step_windows(link)
    found = feed.poll(clock()).plant
    assert found.connection is Connection.CONNECTED
    assert list(found.sequence) == list(range(43))
    assert found.holes == ()


def test_windows_that_the_agent_never_had_are_a_hole():
    link = ScriptedLink()
    feed, clock = feed_of(link)
    feed.step_status(link)
    feed.step_windows(link)
    link.close_windows(3, skip=4)
    feed.step_windows(link)
    assert feed.poll(clock()).plant.holes == ((40, 43),)


def test_a_day_of_windows_leaves_no_more_than_what_is_shown():
    link = ScriptedLink()
    feed, clock = feed_of(link)
    feed.step_status(link)
    for first in range(0, 5760, 480):
        feed.take_windows(windows(first, 480, 0, AT_REFERENCE, seed=2))
    plant = feed.poll(clock()).plant
    assert len(plant.sequence) == KEEP
    assert plant.sequence[-1] == 5759


def test_a_window_that_a_rollback_discards_is_no_other_testbed():
    feed = TestbedFeed(ScriptedLink, "unix:a", clock=Clock())
    feed.take_status(status(next_sequence=41))
    feed.take_windows(windows(0, 40, 0, AT_REFERENCE))
    feed.take_promotion(promotion(state=State.ROLLED_BACK))
    feed.take_status(status(next_sequence=40))  # the window in progress began anew
    picture = feed.poll(0.0)
    assert len(picture.plant.sequence) == 40
    assert [p.state for p in picture.promotions] == [State.ROLLED_BACK]


def test_another_testbed_behind_the_same_address_begins_anew():
    link = ScriptedLink()
    feed, clock = feed_of(link)
    feed.step_status(link)
    feed.step_windows(link)
    link.says = status(plant=description(plant_id="other", emulated=False))
    feed.step_status(link)
    plant = feed.poll(clock()).plant
    assert not len(plant.sequence)
    assert not plant.emulated


def test_an_agent_of_another_version_is_said_to_be():
    link = ScriptedLink()
    link.says = replace(link.says, agent_version="9.9")
    feed, clock = feed_of(link)
    feed.step_status(link)
    assert "version 9.9, this screen 1.0" in feed.poll(clock()).plant.words


def test_an_answer_that_makes_no_sense_is_words_and_no_end():
    link = ScriptedLink()
    feed, clock = feed_of(link)
    feed.step_status(link)
    feed.take_error(PlantError("the agent's answer makes no sense: state 99"))
    assert "makes no sense" in feed.poll(clock()).plant.words


def test_a_promotion_is_shown_to_its_end_also_when_the_status_no_longer_has_it():
    link = ScriptedLink()
    feed, clock = feed_of(link)
    link.says = replace(link.says, active=promotion())
    feed.step_status(link)
    link.says = replace(link.says, active=None)
    link.known["p-1"] = promotion(state=State.ROLLED_BACK, version=5)
    feed.step_status(link)
    assert [p.state for p in feed.poll(clock()).promotions] == [State.ROLLED_BACK]


def test_the_journal_is_read_on_from_where_it_was_and_anew_when_it_is_another():
    link = ScriptedLink()
    link.entries = [entry(1), entry(2)]
    feed, clock = feed_of(link)
    feed.step_status(link)
    link.entries.append(entry(3))
    feed.step_status(link)
    assert [e.number for e in feed.poll(clock()).journal] == [1, 2, 3]
    link.entries = [entry(1, "agent started")]
    feed.step_status(link)
    assert [e.kind for e in feed.poll(clock()).journal] == ["agent started"]


def test_threads_reconnect_by_themselves():
    link = ScriptedLink()
    link.fails = UnreachableError("not yet")
    feed = TestbedFeed(lambda: link, "unix:agent")
    feed.start()
    try:
        wait_until(lambda: "not yet" in feed.poll(0.0).plant.words)
        link.fails = None
        wait_until(lambda: len(feed.poll(0.0).plant.sequence) == 40)
    finally:
        feed.stop()


# --- together ---------------------------------------------------------------------------------------------------------


def test_with_nothing_there_the_state_says_what_to_do(tmp_path):
    state = WatchWorld(tmp_path, run=False, testbed=False).feeds.state(Look())
    assert state.twin.words == NO_RUN
    assert state.testbed.words == NO_TESTBED
    assert state.rows == ()


def test_a_run_that_comes_later_is_found(tmp_path):
    world = WatchWorld(tmp_path, run=False)
    make_run(world.runs_dir).close()
    world.clock.now_s += 10
    world.look()
    world.look()
    assert world.feeds.state(Look()).rehearsal.trials_done == 6


def test_without_windows_at_the_testbeds_configuration_there_is_no_gap(tmp_path):
    gap = WatchWorld(tmp_path).feeds.state(Look()).gap
    assert all(np.isnan(row.gap) for row in gap.rows.values())
    assert "no gap" in gap.words


def test_the_gap_is_taken_from_the_twins_windows_at_the_same_configuration(tmp_path):
    world = WatchWorld(tmp_path, finish=False)
    folder = RunFolder.open(world.path)
    record, _ = trial(6, 240)
    at_reference = windows(270, 5, 106, AT_REFERENCE, seed=3)
    folder.append_trial({**record, "index": 6, "controls": AT_REFERENCE}, at_reference)
    world.look()
    state = world.feeds.state(Look())
    row = state.gap.rows["pow_h1"]
    assert row.gap == pytest.approx(at_reference.metrics["pow_h1"][-1] - world.link.recorded.metrics["pow_h1"][-1])
    assert state.twin.latest("pow_h1") - state.testbed.latest("pow_h1") == pytest.approx(row.gap)
    assert "at the testbed's configuration" in state.twin.title


def test_numbers_at_the_testbeds_configuration_go_with_the_testbed(tmp_path):
    world = WatchWorld(tmp_path, finish=False)
    record, _ = trial(6, 240)
    at_reference = windows(270, 5, 106, AT_REFERENCE, seed=3)
    RunFolder.open(world.path).append_trial({**record, "index": 6, "controls": AT_REFERENCE}, at_reference)
    world.look()
    assert "at the testbed's configuration" in world.feeds.state(Look()).twin.title
    world.link.recorded = windows(0, 0, 0, AT_REFERENCE)
    world.link.says = status(0, plant=description(plant_id="another bed"))
    world.look()
    twin = world.feeds.state(Look()).twin
    assert "at the testbed's configuration" not in twin.title
    assert twin.sequence[-1] == 274


def test_what_the_testbed_gives_in_another_unit_stands_on_no_scale_with_the_twins(tmp_path):
    world = WatchWorld(tmp_path, finish=False)
    plant = description()
    metrics = tuple(replace(m, unit="kW") if m.name == "pow_h1" else m for m in plant.metrics)
    world.link.says = replace(
        world.link.says, backend=replace(world.link.says.backend, plant=replace(plant, metrics=metrics))
    )
    world.look()
    state = world.feeds.state(Look())
    assert np.isnan(state.testbed.latest("pow_h1"))
    assert "pow_h1" not in state.gap.rows
    assert "cpu_cu_1" in state.gap.rows
    assert state.testbed.problems[-1] == "pow_h1 is in kW here and in W on the twin: not shown"
    values = state.testbed.values
    world.look()
    assert world.feeds.state(Look()).testbed.values is values


def test_a_specification_that_only_a_newer_agent_understands_ends_nothing(tmp_path):
    world = WatchWorld(tmp_path)
    world.link.says = replace(world.link.says, specification="usually[0,4](thp_dl_1 >= 1)")
    world.look()
    state = world.feeds.state(Look())
    assert state.testbed.connection is Connection.CONNECTED
    assert state.gap.rows
    assert all(np.isnan(row.mean) for row in state.gap.rows.values())


@pytest.mark.parametrize("line", ["{not json\n", "[]\n", '{"index": 1}\n'])
def test_a_damaged_line_of_a_run_is_said_and_the_testbed_is_followed_on(tmp_path, line):
    world = WatchWorld(tmp_path, finish=False)
    with (world.path / "interventions.jsonl").open("a") as journal:
        journal.write(line)
    world.link.close_windows(1)
    for _ in range(2):
        world.look()
        state = world.feeds.state(Look())
        assert "the run cannot be read" in state.twin.words
        assert state.testbed.sequence[-1] == 40


def test_a_manifest_without_what_a_screen_needs_is_said(tmp_path):
    (tmp_path / "run.json").write_text('{"scenario": "s", "scenario_digest": "d", "seed": 0, "settings": {}}')
    assert "the run cannot be read" in TwinFeed(tmp_path).poll(0.0).plant.words


def test_what_goes_wrong_in_a_round_is_said_once_and_the_next_one_comes(tmp_path, monkeypatch):
    world, rounds = WatchWorld(tmp_path), []

    def fails():
        rounds.append(1)
        if len(rounds) == 3:
            world.feeds._stop.set()
        world.feeds.wake()
        raise RuntimeError("no such thing")

    monkeypatch.setattr(world.feeds, "step", fails)
    world.feeds._follow()
    assert len(rounds) == 3
    assert [n.text for n in world.feeds.state(Look()).messages] == ["the screen failed: RuntimeError: no such thing"]


def test_a_run_without_a_region_says_why(tmp_path):
    assert "no region yet" in WatchWorld(tmp_path).feeds.state(Look()).region.words
