"""Jump labels: a letter at everything that can be reached, and nothing typed there reaches the view."""

import math
from dataclasses import replace

import pytest

from bridge.promotion import State
from tests.tui.watch_pilot import drive, picture, refreshed, until
from tests.tui.watch_states import made_state
from tests.tui.watch_world import WatchWorld, promotion
from tui.watch.jump import LETTERS, JumpLine, jump_labels, labelled
from tui.watch.keys import TABS
from tui.watch.marks import plain
from tui.watch.messages import CursorMoved
from tui.watch.region_view import region_frame


@pytest.mark.parametrize("count", [0, 1, 3, len(LETTERS), len(LETTERS) + 1, 100, len(LETTERS) ** 2])
def test_no_label_begins_another_and_short_ones_come_first(count: int) -> None:
    labels = jump_labels(count)
    assert len(set(labels)) == len(labels) == count
    assert not [(a, b) for a in labels for b in labels if a != b and b.startswith(a)]
    assert [len(label) for label in labels] == sorted(len(label) for label in labels)


def test_more_places_than_labels_leave_the_last_without_one() -> None:
    assert len(jump_labels(10_000)) == len(LETTERS) ** 2


def test_a_label_covers_cells_and_moves_none() -> None:
    line = (("gNB ", "text"), ("äö", "dim"))
    assert plain(labelled(line, 0, "as")) == "asB äö"
    assert plain(labelled(line, 5, "a")) == "gNB äa"
    assert plain(labelled((), 3, "a")) == "   a"


@pytest.mark.parametrize("key", ["ctrl+o", "f"])
def test_a_letter_puts_the_cursor_on_its_row(tmp_path, key: str) -> None:
    async def steps(app, pilot) -> None:
        before = app.view.cursor
        await pilot.press(key)
        await pilot.pause()
        place = app.view.jump_places()[3]
        label = jump_labels(len(app.view.jump_places()))[3]
        assert picture(app).splitlines()[app.view.region.y + place.y].startswith(label)
        assert "jump" in picture(app).splitlines()[-1]
        await pilot.press(*label)
        await pilot.pause()
        assert app.view.cursor == place.key != before
        assert app.focused is app.view
        assert "jump" not in picture(app).splitlines()[-1]

    drive(WatchWorld(tmp_path), steps)


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, _, key in TABS])
def test_the_letter_of_a_view_goes_there(tmp_path, name: str, key: str) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("l" if name != "journal" else "p", "ctrl+o", key)
        await pilot.pause()
        assert app.tab == name
        assert app.focused is app.view

    drive(WatchWorld(tmp_path), steps)


def test_the_view_in_sight_is_in_brackets_while_it_has_a_letter(tmp_path) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("ctrl+o")
        await pilot.pause()
        assert "p[Plants]" in picture(app)
        assert "rRegion" in picture(app)

    drive(WatchWorld(tmp_path), steps, size=(80, 24))


@pytest.mark.parametrize("key", ["escape", "8", "enter", "up"])
def test_what_is_no_label_changes_nothing(tmp_path, key: str) -> None:
    async def steps(app, pilot) -> None:
        before = app.view.cursor, app.tab, app.look
        await pilot.press("ctrl+o", key)
        await pilot.pause()
        assert not app.query(JumpLine)
        assert (app.view.cursor, app.tab, app.look) == before
        assert app.focused is app.view

    drive(WatchWorld(tmp_path), steps)


def test_while_labels_are_shown_rows_stay_and_news_of_the_testbed_do_not(tmp_path) -> None:
    world = WatchWorld(tmp_path)

    async def steps(app, pilot) -> None:
        await pilot.press("ctrl+o")
        await pilot.pause()
        held = app.view.state
        world.link.close_windows(3)
        world.feed.take_promotion(promotion(state=State.ROLLED_BACK))
        await refreshed(world, app, pilot)
        assert app.view.state is held
        assert "ROLLED BACK" in picture(app).splitlines()[0]
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.view.state.testbed.sequence) == 43

    drive(world, steps, size=(120, 30))


def test_the_kill_switch_works_while_labels_are_shown(tmp_path) -> None:
    world = WatchWorld(tmp_path)

    async def steps(app, pilot) -> None:
        await pilot.press("ctrl+o", "ctrl+k")
        await app.workers.wait_for_complete()
        assert world.link.asked == ["kill switch"]

    drive(world, steps, operate=True)


def test_a_click_or_another_size_takes_the_labels_away(tmp_path) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("ctrl+o")
        await pilot.pause()
        await pilot.click(app.view, offset=(5, 6))
        await pilot.pause()
        assert not app.query(JumpLine)
        await pilot.press("ctrl+o")
        await pilot.pause()
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert not app.view._labels

    drive(WatchWorld(tmp_path), steps)


def test_a_letter_goes_to_a_trial_of_the_region(tmp_path) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("r", "ctrl+o")
        await pilot.pause()
        places = app.view.jump_places()
        trials = app.state.region.trials
        assert [place.key for place in places] == [str(trial.number) for trial in reversed(trials)]
        await pilot.press(jump_labels(len(places))[1])
        await pilot.pause()
        axes = app.state.region.x, app.state.region.y
        assert app.view.at == tuple(trials[-2].values[axis] for axis in axes)
        await pilot.press("full_stop")
        assert app.view.at == tuple(trials[-1].values[axis] for axis in axes)

    drive(WatchWorld(tmp_path), steps, size=(120, 40))


def test_numbers_of_the_place_before_do_not_stand_at_the_cursor(tmp_path) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("r")
        await pilot.pause()
        known = replace(app.state.region, cursor=(1.0, 1.0), cursor_bound=0.5, cursor_cost=9.9, cursor_words=("w",))
        app.state = replace(app.state, region=known)
        app.post_message(CursorMoved(1.2, 1.0))
        await until(pilot, lambda: app.state.region.cursor == (1.2, 1.0))
        region = app.state.region
        assert math.isnan(region.cursor_bound)
        assert math.isnan(region.cursor_cost)
        assert region.cursor_words == ()

    drive(WatchWorld(tmp_path), steps, size=(120, 40))


def test_the_cost_stands_at_the_cursor_of_an_empty_region_too() -> None:
    state = made_state()
    region = replace(state.region, cursor=(1.0, 1.0), cursor_bound=0.2, cursor_cost=1.5, cursor_words=(), words="empty")
    assert "cost 1.5" in region_frame(replace(state, region=region), 120, 40, (1.0, 1.0)).text
    asked = replace(state, region=replace(region, cursor_cost=math.nan))
    assert "cost …" in region_frame(asked, 120, 40, (1.0, 1.0)).text


def test_rows_that_scroll_carry_no_label_of_another(tmp_path) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("ctrl+o")
        await pilot.pause()
        app.view.scroll_y += 2
        await pilot.pause()
        assert not app.view._labels
        await pilot.press("escape")
        await pilot.pause()
        assert app.focused is app.view

    drive(WatchWorld(tmp_path), steps, size=(80, 24))
