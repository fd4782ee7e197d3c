"""What is painted again, and what is not: counted in lines, never in seconds."""

import asyncio
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from textual import events

from tests.tui.watch_pilot import drive, until
from tests.tui.watch_states import made_state
from tests.tui.watch_world import WatchWorld
from tui.watch.kept import Kept
from tui.watch.painter import thumb_of
from tui.watch.plants_view import Memory, PlantsPane, plants_frame
from tui.watch.state import WatchState


def _stands(app) -> None:
    """Let nothing draw by itself."""
    if app._timer is not None:
        app._timer.stop()


def test_the_same_state_again_paints_nothing_and_one_number_paints_its_line(tmp_path):
    async def steps(app, pilot):
        _stands(app)
        state = made_state()
        app.show_state(state)
        before = app.view.repaints
        app.show_state(replace(state))
        assert app.view.repaints == before
        key = state.rows[3].key
        column = state.testbed.values[key].copy()
        column[-1] += 0.5
        values = {**state.testbed.values, key: column}
        app.show_state(replace(state, testbed=replace(state.testbed, values=values)))
        assert app.view.repaints == before + 1

    drive(WatchWorld(tmp_path), steps, size=(120, 40))


def test_a_step_of_the_cursor_paints_two_rows_and_what_is_said_of_them(tmp_path):
    async def steps(app, pilot):
        _stands(app)
        app.show_state(made_state())
        await pilot.pause()
        before, foot = app.view.repaints, len(app.view.shown.foot)
        app.view.action_cursor(1)
        assert 2 <= app.view.repaints - before <= 2 + foot

    drive(WatchWorld(tmp_path), steps, size=(120, 40))


def test_a_view_that_comes_into_sight_again_is_not_made_twice(tmp_path):
    frames = 0

    async def steps(app, pilot):
        nonlocal frames
        _stands(app)
        app.show_state(made_state())
        pane = app.query_one("#view-plants", PlantsPane)
        app.action_tab("journal")
        await pilot.pause()
        make = pane.frame

        def counted(width, height):
            nonlocal frames
            frames += 1
            return make(width, height)

        pane.frame = counted
        app.action_tab("plants")
        await pilot.pause()
        await until(pilot, lambda: pane.is_on_screen)
        await pilot.pause()
        assert frames == 1

    drive(WatchWorld(tmp_path), steps, size=(120, 40))


def test_a_view_has_the_focus_at_once_and_keeps_it(tmp_path):
    async def steps(app, pilot):
        assert app.focused is app.view
        for tab in ("region", "journal", "plants", "topology", "promotions", "plants"):
            app.action_tab(tab)
            assert app.focused is app.view
        await pilot.pause()
        await pilot.pause()
        assert app.focused is app.view
        assert app.tab == "plants"

    drive(WatchWorld(tmp_path), steps)


def test_keys_that_follow_each_other_without_a_pause_reach_the_view_of_the_first(tmp_path):
    async def steps(app, pilot):
        await pilot.press("r")
        await pilot.press("p", "j", "j")
        pane = app.query_one("#view-plants", PlantsPane)
        keys = [key for key in pane.shown.keys if key]
        await until(pilot, lambda: pane.cursor == keys[2])

    drive(WatchWorld(tmp_path), steps)


def test_the_first_picture_in_a_new_size_is_right_and_the_only_one(tmp_path):
    async def steps(app, pilot):
        _stands(app)
        app.show_state(made_state())
        await pilot.resize_terminal(140, 45)
        await until(pilot, lambda: app.view.size.width == 139)
        strips = app.view.render_lines(app.view.outer_size.region)
        assert len(strips) == app.view.size.height
        assert {strip.cell_length for strip in strips} == {140}

    drive(WatchWorld(tmp_path), steps)


# --- scrolling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "room", "top", "thumb"),
    [
        (10, 20, 0, None), (20, 20, 0, None), (40, 20, 0, range(0, 10)), (40, 20, 20, range(10, 20)),
        (900, 30, 0, range(0, 1)), (900, 30, 870, range(29, 30)), (5, 0, 0, None),
    ],
)  # fmt: skip
def test_the_thumb_shows_which_lines_are_in_sight(lines, room, top, thumb):
    assert thumb_of(lines, room, top) == thumb


def test_wheel_and_bar_scroll_and_stop_at_the_ends(tmp_path):
    async def steps(app, pilot):
        _stands(app)
        app.show_state(made_state())
        pane = app.view
        last = pane.max_scroll_y
        assert last > 0
        for kind, wanted in ((events.MouseScrollDown, 1), (events.MouseScrollUp, 0), (events.MouseScrollUp, 0)):
            pane.post_message(kind(pane, 3, 5, 0, 0, 0, False, False, False))
            await until(pilot, partial(lambda down: (pane.scroll_y > 0) == down, bool(wanted)))
        await pilot.mouse_down(pane, offset=(pane.size.width, pane.size.height - 1))
        await pilot.mouse_up(pane, offset=(pane.size.width, pane.size.height - 1))
        await until(pilot, lambda: pane.scroll_y == last)
        bars = [line.bar for line in pane._drawn(pane.size.height)]
        assert set(bars) == {"", "thumb", "track"}

    drive(WatchWorld(tmp_path), steps, size=(100, 30))


def test_fewer_rows_leave_no_empty_lines_above(tmp_path):
    async def steps(app, pilot):
        _stands(app)
        app.show_state(made_state())
        pane = app.view
        pane.action_ends(1)
        assert pane.scroll_y > 0
        app.show_state(replace(made_state(), filter="thp_dl"))
        assert pane.scroll_y <= pane.max_scroll_y

    drive(WatchWorld(tmp_path), steps, size=(100, 24))


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_an_answer_is_kept_for_the_same_things_and_equal_values_only():
    kept: Kept[list[int]] = Kept()
    things = (np.zeros(3), {"a": 1})
    first = kept.get(things, ("x", 1), lambda: [1])
    assert kept.get((things[0], things[1]), ("x", 1), lambda: [2]) is first
    assert kept.get(things, ("x", 2), lambda: [3]) == [3]
    assert kept.get((np.zeros(3), things[1]), ("x", 2), lambda: [4]) == [4]
    assert kept.get(things, ("x", 2), lambda: [5]) == [5]


def test_a_view_from_memory_reads_as_one_that_is_made_anew():
    memory = Memory()
    state = made_state()
    for later in range(6):
        shown: WatchState = replace(state, now_s=state.now_s + later)
        if later == 3:
            key = state.rows[5].key
            values = {**state.twin.values, key: state.twin.values[key] * 2}
            state = shown = replace(shown, twin=replace(state.twin, values=values))
        for width, height in ((120, 40), (80, 24)):
            cursor = state.rows[5].key
            assert (
                plants_frame(shown, width, height, cursor, memory).text
                == plants_frame(shown, width, height, cursor).text
            )


def test_forty_gnbs_cost_no_more_lines_than_are_in_sight(tmp_path):
    async def steps(app, pilot):
        _stands(app)
        app.show_state(made_state(gnbs=40))
        pane = app.view
        assert len(pane.shown.body) > 700
        assert sum(len(block) for block in pane.shown.body._blocks.values()) <= pane.size.height + 64

    drive(WatchWorld(tmp_path), steps, size=(200, 50))


def test_drawing_goes_on_while_windows_flood_in(tmp_path):
    """A flood of states collapses: each is handed over, the last one is shown."""
    world = WatchWorld(tmp_path)

    async def steps(app, pilot):
        for _ in range(200):
            app.refresh_state()
        world.link.close_windows(30)
        world.look()
        app.refresh_state()
        await until(pilot, lambda: int(app.state.testbed.sequence[-1]) == int(world.link.recorded.sequence[-1]))
        await asyncio.sleep(0)

    drive(world, steps)
