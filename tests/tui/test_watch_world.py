"""The app in every state of its world, at every size."""

import subprocess
import sys
from dataclasses import replace

import pytest

from col.errors import UnreachableError
from tests.tui.watch_pilot import drive, notices, picture, refreshed, strip_of, until
from tests.tui.watch_world import PASSED, WatchWorld, entry, promotion
from tui.cli import main
from tui.config_dir import ConfigDir
from tui.watch.feeds_process import AgentStarter
from tui.watch.feeds_testbed import NO_TESTBED
from tui.watch.keys import TABS
from tui.watch.state import Connection
from tui.watch.themes import THEMES

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
    assert "rantwin lab up" in NO_TESTBED


def test_the_embedded_testbed_is_started_from_the_screen_and_a_start_that_fails_is_said(tmp_path):
    world = WatchWorld(tmp_path, testbed=False)
    script = "import sys; print('rantwin: something is in the way', file=sys.stderr); sys.exit(2)"
    world.feeds.starter = AgentStarter(ConfigDir(tmp_path / "c"), command=(sys.executable, "-c", script))

    async def steps(app, pilot):
        await pilot.press("s")

        def is_said() -> bool:
            world.feeds.step()
            return "something is in the way" in notices(world)

        await until(pilot, is_said)

    drive(world, steps, operate=True)
    assert "starts the agent and the embedded EMULATED testbed" in notices(world)
    assert "the agent ended with exit code 2" in notices(world)


def test_a_testbed_that_is_there_is_not_started_again(tmp_path):
    world = WatchWorld(tmp_path)
    world.feeds.starter = AgentStarter(ConfigDir(tmp_path / "c"), command=("false",))

    async def steps(app, pilot):
        await pilot.press("s")
        await pilot.pause()

    drive(world, steps, operate=True)
    assert "the testbed is there already" in notices(world)


@pytest.mark.parametrize("theirs", ["0.1", "99.0"])
def test_an_agent_older_or_newer_than_this_screen_is_named_on_every_size(tmp_path, theirs):
    world = WatchWorld(tmp_path)
    world.link.says = replace(world.link.says, agent_version=theirs)
    world.look()

    async def steps(app, pilot):
        await until(pilot, lambda: f"agent is version {theirs}" in picture(app))

    drive(world, steps, size=(80, 24))


def test_a_hole_is_marked_on_a_small_screen(tmp_path):
    world = WatchWorld(tmp_path)
    world.link.close_windows(2, skip=3)
    world.look()

    async def steps(app, pilot):
        await until(pilot, lambda: "hole of 3 windows" in picture(app))

    drive(world, steps, size=(80, 24))


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

        def noted(state):
            drawn.append(state)
            show(state)

        app.show_state = noted
        app._timer.stop()  # nothing but the flood, however long it takes
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
def test_each_theme_of_ours_can_be_chosen(tmp_path, theme):
    async def steps(app, pilot):
        assert app.theme == theme

    drive(WatchWorld(tmp_path), steps, theme=theme)


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


# --- the command ---


def test_no_other_command_imports_the_toolkit_of_the_screen():
    code = "import sys; from tui.cli import build_parser; build_parser(); assert 'textual' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_screen_needs_a_terminal_and_says_what_prints_instead(capsys):
    assert main(["watch"]) == 2
    assert "rantwin status" in capsys.readouterr().err


def test_without_textual_there_is_one_clear_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "textual", None)
    assert main(["watch"]) == 2
    assert "needs Textual" in capsys.readouterr().err
