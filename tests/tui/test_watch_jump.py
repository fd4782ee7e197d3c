"""Jump labels: a letter at everything that can be reached, and nothing typed there reaches the view."""

import pytest

from bridge.promotion import State
from tests.tui.watch_pilot import drive, picture, refreshed, until
from tests.tui.watch_world import WatchWorld, promotion
from tui.watch.jump import LETTERS, JumpLine, jump_labels, labelled
from tui.watch.keys import TABS
from tui.watch.marks import plain


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
        await until(pilot, lambda: world.link.asked == ["kill switch"])

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
