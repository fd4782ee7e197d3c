"""Every key of the app, without threads and without a real terminal."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from bridge.promotion import State
from col.errors import InputError, UnreachableError
from tests.tui.watch_pilot import drive, picture, refreshed, strip_of, until
from tests.tui.watch_states import made_state
from tests.tui.watch_world import WatchWorld, entry, promotion
from tui.watch.app import REFRESHES_S
from tui.watch.keymap import read_settings
from tui.watch.keys import BINDINGS, TABS
from tui.watch.palette import WatchCommands
from tui.watch.state import Connection, Show

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
        names = [str(getattr(hit, "display", "")) for hit in [hit async for hit in provider.discover()]]
        assert {"Kill", "Rehearse", "Export SVG", f"Run {app.feeds._twin.path.name}"} <= set(names)

    drive(WatchWorld(tmp_path), steps)
    assert len(list(tmp_path.glob("rantwin-plants-*.json"))) == 1


def test_slash_filters_rows_while_it_is_typed_and_escape_gives_them_back(tmp_path):
    async def steps(app, pilot):
        all_rows = len(app.state.shown_rows)
        await pilot.press("slash", *"pow")
        await until(pilot, lambda: {row.key for row in app.state.shown_rows} == {"pow_h1"})
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


def test_a_testbed_that_is_lost_is_said_to_be_on_a_frozen_screen_too(tmp_path):
    world = WatchWorld(tmp_path)

    async def steps(app, pilot):
        await pilot.press("space")
        world.link.fails = UnreachableError("gone")
        await refreshed(world, app, pilot)
        assert app.state.frozen
        assert app.state.testbed.connection is Connection.LOST
        assert "LOST" in strip_of(app)
        assert len(app.state.testbed.sequence) == 40

    drive(world, steps)


@pytest.mark.parametrize("typed", ["", "gNB"])
def test_a_name_that_reads_as_markup_is_a_name_in_the_palette_too(tmp_path, typed):
    async def steps(app, pilot):
        state = made_state()
        rows = tuple(replace(row, place="[/b]") if row.place == "2" else row for row in state.twin.rows)
        app._timer.stop()
        app.show_state(replace(state, twin=replace(state.twin, rows=rows), testbed=replace(state.testbed, rows=rows)))
        await pilot.press("colon", *typed)
        await until(pilot, lambda: "gNB [/b]" in picture(app) or (not typed and "Approve" in picture(app)))

    drive(WatchWorld(tmp_path), steps, size=(100, 80))


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


# --- keymap -----------------------------------------------------------------------------------------------------------


def test_a_key_can_be_another_one(tmp_path):
    path = tmp_path / "watch.toml"
    path.write_text('[keys]\nfreeze = "f5"\n')

    async def steps(app, pilot):
        await pilot.press("f5")
        await pilot.pause()
        assert app.state.frozen

    drive(WatchWorld(tmp_path / "w"), steps, keymap=read_settings(path).keys)


def test_a_keymap_of_unknown_names_is_refused_with_the_known_ones(tmp_path):
    path = tmp_path / "watch.toml"
    path.write_text('[keys]\nfreez = "f5"\n')
    with pytest.raises(InputError, match="freeze"):
        read_settings(path)
    path.write_text("[keys\n")
    with pytest.raises(InputError, match="not TOML"):
        read_settings(path)
    assert read_settings(Path(tmp_path / "none.toml")).keys == {}


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
