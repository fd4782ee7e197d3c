"""Every key of the screen and of each view does what it says; a key without a test here fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from tests.tui.watch_pilot import until
from tests.tui.watch_shown import ShownFeeds, shown_app
from tests.tui.watch_states import made_state
from tui.watch.app import WatchApp
from tui.watch.dialogs import Choose
from tui.watch.feeds import Look
from tui.watch.jump import JumpLine
from tui.watch.keymap import view_bindings
from tui.watch.keys import BINDINGS
from tui.watch.region_view import RegionPane
from tui.watch.state import Show, WatchState
from tui.watch.topology_view import TopologyPane

Check = Callable[[WatchApp, Pilot[Any], str], Awaitable[None]]
APP: dict[str, Check] = {}
VIEW: dict[str, Check] = {}


def of(table: dict[str, Check], *ids: str) -> Callable[[Check], Check]:
    """Put a check into the table under these ids."""

    def put(check: Check) -> Check:
        table.update(dict.fromkeys(ids, check))
        return check

    return put


def run(check: Check, keys: Sequence[str], *, view: str = "plants", gnbs: int = 4, operate: bool = False) -> None:
    """Press each of the keys in a view, from the same state, and check what it did."""
    begin = made_state(gnbs)
    app = shown_app(begin, operate=operate)

    async def steps() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            for key in keys:
                await _reset(app, pilot, begin, view)
                await check(app, pilot, key)

    asyncio.run(steps())


async def _reset(app: WatchApp, pilot: Pilot[Any], begin: WatchState, view: str) -> None:
    while len(app.screen_stack) > 1:
        app.pop_screen()
        await pilot.pause()
    assert isinstance(app.feeds, ShownFeeds)
    app.feeds.shown = begin
    app.look = Look(operate=app.look.operate)
    for pane in app.query(RegionPane):
        pane.at, pane._trial = None, 0
    app.action_tab(view)
    app.refresh_state()
    app.view.action_ends(-1)
    await until(pilot, lambda: app.view.has_focus and bool(app.view.shown.head or app.view.shown.body))
    await until(pilot, lambda: app.state.gnb == "" and app.view.state is app.state)


# --- keys of the app --------------------------------------------------------------------------------------------------


@of(APP, "help", "plants", "region", "promotions", "journal", "topology")
async def shows_its_view(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    view = {"question_mark": "help", "f1": "help", "p": "plants", "r": "region", "m": "promotions", "l": "journal"}
    app.action_tab("journal" if key != "l" else "plants")
    await pilot.press(key)
    assert app.tab == view.get(key, "topology")
    await until(pilot, lambda: app.view.has_focus and bool(app.view.display))


@of(APP, "commands")
async def opens_the_palette(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: type(app.screen).__name__ == "CommandPalette")


@of(APP, "quit")
async def leaves(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    left = []
    app.acts.leave = lambda: left.append(True)  # type: ignore[method-assign]
    await pilot.press(key)
    await until(pilot, lambda: bool(left))


ACTS = {
    "approve": "approve", "confirm": "confirm", "roll_back": "roll back", "kill_switch": "kill switch",
    "rehearse": "rehearse", "stop": "stop", "resume": "resume", "pause": "pause", "step": "step", "budget": "budget",
    "serve": "serve",
}  # fmt: skip


@of(APP, *ACTS)
async def asks_for_its_act(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    asked: list[str] = []
    app.acts.ask = asked.append  # type: ignore[method-assign,assignment]
    await pilot.press(key)
    await until(pilot, lambda: bool(asked))
    name = next(b.id for b in BINDINGS if key in b.key.split(","))
    assert asked == [ACTS[str(name)]]


@of(APP, "filter")
async def asks_what_rows_must_contain(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.focused, Input))
    await pilot.press(*"pow", "enter")
    await until(pilot, lambda: {row.label for row in app.state.shown_rows} == {"pow"})
    assert app.view.has_focus


@of(APP, "show")
async def shows_one_plant(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: app.state.show is Show.TWIN)


@of(APP, "freeze")
async def freezes(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: app.state.frozen)
    await pilot.press(key)
    await until(pilot, lambda: not app.state.frozen)


@of(APP, "zoom")
async def zooms(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    before = app.view.size.height
    await pilot.press(key)
    await until(pilot, lambda: app.view.size.height > before)
    await pilot.press(key)
    await until(pilot, lambda: app.view.size.height == before)


@of(APP, "jump")
async def jumps(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: bool(app.query(JumpLine)) and isinstance(app.focused, JumpLine))
    await pilot.press("y")
    await until(pilot, lambda: app.tab == "topology" and not app.query(JumpLine))


@of(APP, "export")
async def asks_as_what_to_export(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, Choose))
    assert [option.id for option in app.screen.query_one(OptionList).options] == ["csv", "json", "svg"]


@of(APP, "gnb_1", "gnb_2", "gnb_3", "gnb_4")
async def shows_one_gnb(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: app.state.gnb == key)
    assert {row.place for row in app.state.shown_rows if str(row.group) == "gNB"} == {key}


@of(APP, "gnb_all")
async def shows_all_gnbs(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    app.action_gnb("2")
    await pilot.press(key)
    await until(pilot, lambda: app.state.gnb == "")


@of(APP, "faster", "slower")
async def draws_more_or_less_often(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    before = app.look.refresh_s
    await pilot.press(key)
    await until(pilot, lambda: app.look.refresh_s != before)
    assert (app.look.refresh_s > before) == (key == "minus")


@of(APP, "back")
async def goes_back(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    app.action_gnb("2")
    app.action_zoom()
    await pilot.press(key)
    await until(pilot, lambda: not app.zoomed)
    assert app.look.gnb == "2"  # one thing at a time
    await pilot.press(key)
    await until(pilot, lambda: app.look.gnb == "")


# --- keys of the views ------------------------------------------------------------------------------------------------


def standing(app: WatchApp) -> tuple[str, int]:
    """Return where a view stands: its cursor, and how far it is scrolled."""
    return app.view.cursor, round(app.view.scroll_y)


@of(VIEW, "row-down", "page-down", "last")
async def goes_down(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    before = standing(app)
    await pilot.press(key)
    if isinstance(app.view, RegionPane):
        return  # a map fits: there is nothing to scroll
    await until(pilot, lambda: standing(app) != before)


@of(VIEW, "row-up", "page-up", "first")
async def goes_up(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    begin = standing(app)
    app.view.action_ends(1)
    await pilot.pause()
    end = standing(app)
    await pilot.press(key)
    if isinstance(app.view, RegionPane):
        return
    assert end != begin
    await until(pilot, lambda: standing(app) != end)


@of(VIEW, "group-next", "group-before")
async def goes_from_group_to_group(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    app.view.put_cursor("dly_dl_2")
    place = "3" if key == "right_square_bracket" else "1"
    await pilot.press(key)
    await until(pilot, lambda: app.view.cursor == f"thp_dl_{place}")


def _region(app: WatchApp) -> RegionPane:
    assert isinstance(app.view, RegionPane)
    return app.view


async def _moved(app: WatchApp, pilot: Pilot[Any], key: str) -> tuple[float, float]:
    begin = _region(app).at = 1.5, 1.5
    await pilot.press(key)
    await until(pilot, lambda: _region(app).at not in (None, begin))
    at = _region(app).at
    assert at is not None
    return at[0] - begin[0], at[1] - begin[1]


@of(VIEW, *(f"region-{far}{way}" for far in ("", "far-") for way in ("left", "right", "up", "down")))
async def moves_the_cursor(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    x, y = await _moved(app, pilot, key)
    way = key.removeprefix("shift+")
    far = 0.2 if key.startswith("shift") else 0.0
    moved = {"left": -x, "right": x, "up": y, "down": -y}[way]
    assert moved > far
    assert (y if way in ("left", "right") else x) == 0


@of(VIEW, "region-home")
async def goes_to_what_is_in_force(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    await _moved(app, pilot, "shift+left")
    await pilot.press(key)
    current = app.state.region.current
    await until(pilot, lambda: _region(app).at == (current["cpu_du_1"], current["cpu_cu_1"]))


@of(VIEW, "region-x", "region-y")
async def chooses_a_control(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, Choose))
    await pilot.press(*"cpu_cu_2", "enter")
    axis = key.lower()
    await until(pilot, lambda: getattr(app.state.region, axis) == "cpu_cu_2")


@of(VIEW, "region-next-trial", "region-trial-before")
async def goes_through_the_trials(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    trials = app.state.region.trials
    trial = trials[0] if key == "full_stop" else trials[-1]
    await pilot.press(key)
    wanted = pytest.approx((trial.values["cpu_du_1"], trial.values["cpu_cu_1"]), abs=0.026)  # of half a step at most
    await until(pilot, lambda: _region(app).at == wanted)


@of(VIEW, "topology-left", "topology-right")
async def goes_from_gnb_to_gnb(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    app.view.put_cursor("2")
    await pilot.press(key)
    view = app.view
    assert isinstance(view, TopologyPane)
    await until(pilot, lambda: view.cell == ("3" if key == "right" else "1"))


@of(VIEW, "topology-enter")
async def looks_at_the_gnb(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
    app.view.put_cursor("2")
    await pilot.press(key)
    await until(pilot, lambda: app.look.gnb == "2")


# --- each of them -----------------------------------------------------------------------------------------------------


def _each(bindings: tuple[Binding, ...], table: dict[str, Check]) -> dict[Check, list[str]]:
    """Return the keys by what checks them."""
    found: dict[Check, list[str]] = {}
    for binding in bindings:
        assert binding.id in table, f"the key {binding.key} has no test"
        found.setdefault(table[binding.id], []).extend(binding.key.split(","))
    return found


@pytest.mark.parametrize("check", dict.fromkeys(APP.values()))
def test_a_key_of_the_app_does_what_it_says(check: Check) -> None:
    run(check, _each(tuple(BINDINGS), APP)[check])


@pytest.mark.parametrize("view", view_bindings())
def test_a_key_of_a_view_does_what_it_says(view: str) -> None:
    keys = _each(view_bindings()[view], VIEW)
    by_key = {key: check for check, several in keys.items() for key in several}

    async def check(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
        await by_key[key](app, pilot, key)

    run(check, list(by_key), view=view, gnbs=40 if view == "topology" else 4)


def test_no_test_is_of_a_key_that_there_is_not() -> None:
    assert set(APP) == {binding.id for binding in BINDINGS}
    assert set(VIEW) == {binding.id for bindings in view_bindings().values() for binding in bindings}


def test_what_leaves_by_another_way_asks_as_well() -> None:
    """Textual's own Ctrl+Q and the palette's Quit must not let a lease go unasked."""
    run(leaves, ["ctrl+q"])


def test_in_a_dialog_no_key_of_the_app_works_but_the_kill_switch() -> None:
    async def check(app: WatchApp, pilot: Pilot[Any], key: str) -> None:
        asked: list[str] = []
        app.acts.ask = asked.append  # type: ignore[method-assign,assignment]
        app.action_export()
        await until(pilot, lambda: isinstance(app.screen, Choose))
        await pilot.press(*"tzamc")
        assert (app.look.show, app.zoomed, app.tab, asked) == (Show.BOTH, False, "plants", [])
        await pilot.press(key)
        await until(pilot, lambda: asked == ["kill switch"])

    run(check, ["ctrl+k"], operate=True)


def test_keys_of_the_views_pressed_while_there_is_nothing_at_all_break_nothing() -> None:
    app = shown_app(WatchState())

    async def steps() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            for view, bindings in view_bindings().items():
                app.action_tab(view)
                await pilot.press(*(key for binding in bindings for key in binding.key.split(",")))
                assert len(app.screen_stack) == 1, view

    asyncio.run(steps())
    assert app.return_code in (0, None)
