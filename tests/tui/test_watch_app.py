"""The app: every key, every state of the world, at every size; without threads and without a real terminal."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from bridge.promotion import State
from col.errors import InputError, UnreachableError
from col.specification import Verdict
from tests.tui.watch_world import PASSED, WatchWorld, entry, promotion
from tui.watch.app import REFRESHES_S, WatchApp
from tui.watch.dialogs import AskWord
from tui.watch.feeds_testbed import NO_TESTBED
from tui.watch.keys import BINDINGS, TABS, read_keymap
from tui.watch.palette import WatchCommands
from tui.watch.state import Connection, Show
from tui.watch.themes import THEMES

Steps = Callable[[WatchApp, Pilot], Awaitable[None]]


def drive(
    world: WatchWorld, steps: Steps, *, size: tuple[int, int] = (100, 30), notifications: bool = False, **changes
) -> WatchApp:
    """Run the app of a world through some steps and return it."""
    app = world.app(**changes)

    async def run() -> None:
        async with app.run_test(size=size, notifications=notifications) as pilot:
            await pilot.pause()
            await steps(app, pilot)

    asyncio.run(run())
    return app


def strip_of(app: WatchApp) -> str:
    return str(app.query_one("#strip", Static).render())


def picture(app: WatchApp) -> str:
    """Return what is on the screen as text."""
    height = app.size.height
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines[:height])


async def refreshed(world: WatchWorld, app: WatchApp, pilot: Pilot) -> None:
    world.look()
    app.refresh_state()
    await pilot.pause()


async def settled(pilot: Pilot, app: WatchApp) -> None:
    await app.workers.wait_for_complete()
    await pilot.pause()
    app.refresh_state()
    await pilot.pause()


async def until(pilot: Pilot, happened: Callable[[], bool]) -> None:
    """Wait for something that Textual does in its own time."""
    for _ in range(500):
        if happened():
            return
        await pilot.pause(0.02)
    raise AssertionError("did not happen")


def notices(world: WatchWorld) -> str:
    return " | ".join(notice.text for notice in world.feeds._notices)


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, _, key in TABS])
def test_each_view_has_its_key(tmp_path, name, key):
    async def steps(app, pilot):
        await pilot.press("l" if name != "journal" else "p")
        await pilot.press(key)
        await pilot.pause()
        assert app.tab == name
        assert app.view is not None
        assert app.view.display

    drive(WatchWorld(tmp_path), steps)


@pytest.mark.parametrize("key", ["colon", "ctrl+p"])
def test_the_palette_has_our_own_commands(tmp_path, key):
    async def steps(app, pilot):
        await pilot.press(key)
        await until(pilot, lambda: type(app.screen).__name__ == "CommandPalette")
        await pilot.press("escape")
        await pilot.pause()
        provider = WatchCommands(app.screen)
        hits = [hit async for hit in provider.search("export json")]
        await hits[0].command()
        names = [str(hit.display) for hit in [hit async for hit in provider.discover()]]
        assert {"Kill", "Rehearse", "Export SVG", f"Run {app.feeds._twin.path.name}"} <= set(names)

    drive(WatchWorld(tmp_path), steps)
    assert len(list(tmp_path.glob("rantwin-plants-*.json"))) == 1


def test_slash_filters_rows_while_it_is_typed_and_escape_gives_them_back(tmp_path):
    async def steps(app, pilot):
        all_rows = len(app.state.shown_rows)
        await pilot.press("slash", *"pow")
        assert {row.key for row in app.state.shown_rows} == {"pow_h1"}
        await pilot.press("enter")
        assert app.look.filter == "pow"
        assert "/pow" in strip_of(app)
        assert not app.query_one("#filter", Input).display
        await pilot.press("escape")
        assert len(app.state.shown_rows) == all_rows

    drive(WatchWorld(tmp_path), steps)


@pytest.mark.parametrize("key", ["1", "2", "3", "4"])
def test_a_number_shows_one_gnb_and_again_all(tmp_path, key):
    async def steps(app, pilot):
        await pilot.press(key)
        assert {row.place for row in app.state.shown_rows} == {key}
        await pilot.press(key)
        assert app.look.gnb == ""
        await pilot.press(key, "0")
        assert app.look.gnb == ""

    drive(WatchWorld(tmp_path), steps)


def test_a_gnb_that_is_not_there_changes_nothing(tmp_path):
    async def steps(app, pilot):
        app.action_gnb("9")
        assert app.look.gnb == ""

    drive(WatchWorld(tmp_path), steps)


def test_t_shows_both_then_the_twin_then_the_testbed(tmp_path):
    async def steps(app, pilot):
        seen = []
        for _ in range(3):
            await pilot.press("t")
            seen.append(app.state.show)
        assert seen == [Show.TWIN, Show.TESTBED, Show.BOTH]

    drive(WatchWorld(tmp_path), steps)


def test_z_leaves_the_view_and_the_strip_alone(tmp_path):
    async def steps(app, pilot):
        before = app.view.size.height
        await pilot.press("z")
        await pilot.pause()
        assert app.view.size.height > before
        assert not app.query_one("#keys").display
        assert "EMULATED" in picture(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.view.size.height == before

    drive(WatchWorld(tmp_path), steps)


def test_space_keeps_what_is_shown_but_not_what_is_in_flight(tmp_path):
    world = WatchWorld(tmp_path)

    async def steps(app, pilot):
        await pilot.press("space")
        await pilot.pause()
        assert "FROZEN" in strip_of(app)
        world.link.close_windows(5)
        world.link.says = replace(world.link.says, active=promotion())
        await refreshed(world, app, pilot)
        assert len(app.state.testbed.sequence) == 40
        assert "WATCHING" in strip_of(app)
        await pilot.press("space")
        await pilot.pause()
        assert len(app.state.testbed.sequence) == 45

    drive(world, steps)


def test_plus_and_minus_change_how_often_it_draws_up_to_four_times_a_second(tmp_path):
    async def steps(app, pilot):
        await pilot.press("minus")
        assert app.look.refresh_s == 1.0
        await pilot.press("plus", "plus", "plus", "plus")
        assert app.look.refresh_s == 0.25
        await pilot.press(*["minus"] * 9)
        assert app.look.refresh_s == max(REFRESHES_S)

    drive(WatchWorld(tmp_path), steps)


@pytest.mark.parametrize(("kind", "presses"), [("csv", 0), ("json", 1), ("svg", 2)])
def test_e_exports_what_is_shown(tmp_path, kind, presses):
    async def steps(app, pilot):
        await pilot.press("1", "e")
        await pilot.pause()
        await pilot.press(*["down"] * presses, "enter")
        await pilot.pause()

    drive(WatchWorld(tmp_path), steps)
    (file,) = tmp_path.glob(f"rantwin-plants-*.{kind}")
    text = file.read_text()
    if kind == "csv":
        lines = text.splitlines()
        assert lines[0] == "plant,emulated,group,place,row,unit,window,value"
        assert any(line.startswith("testbed,True,gNB,1,thp_dl_1,Mbit/s,39,") for line in lines)
        assert not any(",thp_dl_2," in line for line in lines)
    elif kind == "json":
        content = json.loads(text)
        assert content["emulated"] is True
        assert len(content["plants"]["testbed"]["windows"]) == 40
    else:
        assert "<svg" in text
        assert "EMULATED" in text


def test_the_journal_is_exported_whole_and_never_over_another_file(tmp_path):
    world = WatchWorld(tmp_path)
    world.link.entries = [entry(1), entry(2)]
    world.look()

    async def steps(app, pilot):
        await pilot.press("l")
        await pilot.pause()
        app.action_export_as("csv")
        app.action_export_as("csv")

    drive(world, steps)
    files = sorted(tmp_path.glob("rantwin-journal-*.csv"))
    assert len(files) == 2
    assert [line.split(",")[0] for line in files[0].read_text().splitlines()] == ["number", "1", "2"]


def test_q_leaves(tmp_path):
    async def steps(app, pilot):
        await pilot.press("q")
        await pilot.pause()

    app = drive(WatchWorld(tmp_path), steps)
    assert app.return_code == 0


def test_a_state_that_comes_while_the_screen_closes_is_no_error(tmp_path):
    async def steps(app, pilot):
        await app.query("#strip").remove()
        app.refresh_state()
        await pilot.pause()

    drive(WatchWorld(tmp_path), steps)


# --- acts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a", "c", "R", "ctrl+k", "s"])
def test_without_operate_no_key_changes_the_testbed(tmp_path, key):
    world = WatchWorld(tmp_path)
    world.link.says = replace(world.link.says, active=promotion(**PASSED))
    world.look()

    async def steps(app, pilot):
        await pilot.press(key)
        await pilot.pause()
        assert not isinstance(app.screen, AskWord)
        await settled(pilot, app)

    drive(world, steps)
    assert world.link.asked == []
    assert "read-only" in notices(world)


def test_the_footer_offers_only_what_may_be_done(tmp_path):
    def keys_of(app: WatchApp) -> set[str]:
        return {b.id for bindings in app._bindings.key_to_bindings.values() for b in bindings if b.show}

    assert "approve" not in keys_of(WatchWorld(tmp_path / "a").app())
    assert {"approve", "kill_switch"} <= keys_of(WatchWorld(tmp_path / "b").app(operate=True))


def test_confirm_needs_the_typed_word(tmp_path):
    world = WatchWorld(tmp_path)
    world.link.says = replace(world.link.says, active=promotion(**PASSED))
    world.look()

    async def steps(app, pilot):
        await pilot.press("c")
        await pilot.pause()
        assert isinstance(app.screen, AskWord)
        await pilot.press("y", "enter")
        await pilot.pause()
        assert world.link.asked == []
        await pilot.press(*"confirm", "enter")
        await settled(pilot, app)

    drive(world, steps, operate=True)
    assert world.link.asked == ["confirm p-1"]


def test_what_has_not_passed_is_not_confirmed(tmp_path):
    world = WatchWorld(tmp_path)
    world.link.says = replace(world.link.says, active=promotion(verdict=Verdict.FAIL))
    world.look()

    async def steps(app, pilot):
        await pilot.press("c")
        await pilot.pause()
        assert not isinstance(app.screen, AskWord)

    drive(world, steps, operate=True)
    assert "cannot be confirmed: verdict fail" in notices(world)


def test_roll_back_needs_the_typed_word_and_escape_changes_nothing(tmp_path):
    world = WatchWorld(tmp_path)
    world.link.says = replace(world.link.says, active=promotion())
    world.look()

    async def steps(app, pilot):
        await pilot.press("R")
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert world.link.asked == []
        await pilot.press("R")
        await pilot.pause()
        await pilot.press(*"rollback", "enter")
        await settled(pilot, app)

    drive(world, steps, operate=True)
    assert world.link.asked == ["cancel p-1"]


@pytest.mark.parametrize("before", [(), ("slash",), ("R",), ("e",)])
def test_the_kill_switch_is_one_chord_wherever_one_is(tmp_path, before):
    world = WatchWorld(tmp_path)
    world.link.says = replace(world.link.says, active=promotion())
    world.look()

    async def steps(app, pilot):
        for key in before:
            await pilot.press(key)
            await pilot.pause()
        await pilot.press("ctrl+k")
        await settled(pilot, app)

    drive(world, steps, operate=True)
    assert world.link.asked == ["kill switch"]
    assert "rolled back" in notices(world)


def test_approve_says_why_there_is_nothing_to_apply(tmp_path):
    world = WatchWorld(tmp_path)

    async def steps(app, pilot):
        await pilot.press("a")
        await pilot.pause()

    drive(world, steps, operate=True)
    assert "no certificates" in notices(world)


def test_words_with_brackets_are_shown_as_they_are(tmp_path):
    async def steps(app, pilot):
        app.tell("[/] [0.1, 1.5]")
        await until(pilot, lambda: "[/] [0.1, 1.5]" in picture(app))

    drive(WatchWorld(tmp_path), steps, notifications=True)


def test_what_the_agent_refuses_is_said_and_the_screen_goes_on(tmp_path):
    world = WatchWorld(tmp_path)
    world.link.says = replace(world.link.says, active=promotion())
    world.look()

    async def steps(app, pilot):
        world.link.fails = UnreachableError("unix:agent: gone")
        await pilot.press("ctrl+k")
        await settled(pilot, app)
        await pilot.press("t")
        assert app.state.show is Show.TWIN

    drive(world, steps, operate=True)
    assert "gone" in notices(world)


def test_a_lease_that_is_kept_is_asked_about_before_leaving(tmp_path):
    world = WatchWorld(tmp_path)

    async def steps(app, pilot):
        world.operator.keeps = "p-1"
        await pilot.press("q")
        await pilot.pause()
        assert isinstance(app.screen, AskWord)
        await pilot.press("escape")
        await pilot.pause()
        assert app.is_running

    drive(world, steps, operate=True)


def test_a_rehearsal_is_started_stopped_and_resumed_with_keys(tmp_path, monkeypatch):
    world = WatchWorld(tmp_path, finish=False)
    done = []
    monkeypatch.setattr(world.runner, "start", lambda **more: done.append(("start", more)))
    monkeypatch.setattr(world.runner, "resume", lambda run: done.append(("resume", run)))

    async def steps(app, pilot):
        await pilot.press("u")
        await pilot.press("n")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("x")
        await pilot.pause()

    drive(world, steps, scenario="mine.toml")
    assert done == [("resume", world.run.path), ("start", {"scenario": "mine.toml"})]
    assert "no rehearsal runs" in notices(world)


# --- states of the world ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (250, 80)])
def test_every_view_draws_with_nothing_there_and_with_everything(tmp_path, size):
    drawn = []

    async def steps(app, pilot):
        for name, _, _ in TABS:
            app.action_tab(name)
            await pilot.pause()
            await pilot.pause()
            assert app.tab == name
            drawn.append(picture(app))

    drive(WatchWorld(tmp_path / "empty", run=False, testbed=False), steps, size=size)
    full = WatchWorld(tmp_path / "full")
    full.link.says = replace(full.link.says, active=promotion(**PASSED))
    full.link.entries = [entry(1)]
    full.look()
    drive(full, steps, size=size)
    empty, filled = drawn[: len(TABS)], drawn[len(TABS) :]
    assert all("rantwin serve" in view or "testbed" in view for view in empty)
    # An emulated testbed is marked as such on every view, in the first line.
    assert all("EMULATED" in view.splitlines()[0] for view in filled)
    assert not any("EMULATED" in view.splitlines()[0] for view in empty)


def test_no_run_and_no_testbed_say_what_to_do(tmp_path):
    async def steps(app, pilot):
        await pilot.pause()
        shown = picture(app)
        assert "rantwin rehearse" in shown
        assert "rantwin serve" in shown
        assert "EMULATED" not in strip_of(app)

    drive(WatchWorld(tmp_path, run=False, testbed=False), steps)
    assert "rantwin serve" in NO_TESTBED


def test_a_testbed_is_lost_and_found_on_the_screen(tmp_path):
    world = WatchWorld(tmp_path)

    async def steps(app, pilot):
        world.link.fails = UnreachableError("unix:agent: gone")
        await refreshed(world, app, pilot)
        assert app.state.testbed.connection is Connection.LOST
        assert "testbed LOST" in strip_of(app)
        world.link.fails = None
        world.link.close_windows(2, skip=3)
        await refreshed(world, app, pilot)
        assert "LOST" not in strip_of(app)
        assert app.state.testbed.holes == ((40, 42),)

    drive(world, steps)


def test_the_strip_counts_a_trial_down_and_greys_what_is_old(tmp_path):
    world = WatchWorld(tmp_path)
    world.link.says = replace(world.link.says, active=promotion())
    world.look()

    async def steps(app, pilot):
        assert "lease 9 s" in strip_of(app)
        world.clock.now_s += 4
        app.refresh_state()
        await pilot.pause()
        assert "lease 5 s" in strip_of(app)
        world.clock.now_s += 60
        app.refresh_state()
        await pilot.pause()
        assert "stale 64 s" in strip_of(app)

    drive(world, steps, size=(120, 30))


def test_a_flood_of_states_is_drawn_once(tmp_path):
    async def steps(app, pilot):
        drawn = []
        show = app.show_state
        app.show_state = lambda state: drawn.append(state) or show(state)
        for _ in range(200):
            app.refresh_state()
        await pilot.pause()
        assert 1 <= len(drawn) < 20

    drive(WatchWorld(tmp_path), steps)


def test_it_is_resized_from_small_to_large_and_back(tmp_path):
    async def steps(app, pilot):
        for size in ((250, 80), (80, 24), (100, 30), (60, 16)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert len(picture(app).splitlines()) == size[1]
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert app.screen.has_class("-narrow")

    drive(WatchWorld(tmp_path), steps)


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
def test_each_theme_of_ours_can_be_chosen(tmp_path, monkeypatch, theme):
    monkeypatch.setenv("RANTWIN_THEME", theme)

    async def steps(app, pilot):
        assert app.theme == theme

    drive(WatchWorld(tmp_path), steps)


def test_no_color_leaves_no_colour_and_every_word(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    async def steps(app, pilot):
        await pilot.pause()
        svg = app.export_screenshot()
        colours = {word for word in svg.replace('"', " ").replace(";", " ").split() if word.startswith("#")}
        fills = {c.strip(",") for c in colours if len(c.strip(",")) == 7}
        grey = {c for c in fills if c[1:3] == c[3:5] == c[5:7]}
        assert fills - grey <= {"#ff5f57", "#febc2e", "#28c840", "#c5c8c6"}  # of the picture's frame
        assert "EMULATED" in picture(app)

    drive(WatchWorld(tmp_path), steps)


# --- keymap -----------------------------------------------------------------------------------------------------------


def test_a_key_can_be_another_one(tmp_path):
    path = tmp_path / "watch.toml"
    path.write_text('[keys]\nfreeze = "f5"\n')

    async def steps(app, pilot):
        await pilot.press("f5")
        await pilot.pause()
        assert app.state.frozen

    drive(WatchWorld(tmp_path / "w"), steps, keymap=read_keymap(path))


def test_a_keymap_of_unknown_names_is_refused_with_the_known_ones(tmp_path):
    path = tmp_path / "watch.toml"
    path.write_text('[keys]\nfreez = "f5"\n')
    with pytest.raises(InputError, match="freeze"):
        read_keymap(path)
    path.write_text("[keys\n")
    with pytest.raises(InputError, match="not TOML"):
        read_keymap(path)
    assert read_keymap(Path(tmp_path / "none.toml")) == {}


def test_every_binding_has_an_id_of_its_own_and_words():
    ids = [binding.id for binding in BINDINGS]
    assert len(ids) == len(set(ids))
    assert all(binding.description and binding.tooltip for binding in BINDINGS)


def test_a_promotion_that_ended_stays_in_the_strip(tmp_path):
    world = WatchWorld(tmp_path)
    world.feed.take_promotion(promotion(state=State.ROLLED_BACK))
    world.look()

    async def steps(app, pilot):
        assert "last: ROLLED BACK" in strip_of(app)

    drive(world, steps, size=(120, 30))
