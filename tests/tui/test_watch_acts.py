"""What goes beyond looking: refused without --operate, asked with a typed word, said how it ended."""

from dataclasses import replace

import pytest

from bridge.promotion import State
from col.errors import UnreachableError
from col.specification import Verdict
from tests.tui.watch_pilot import drive, notices, picture, settled, until
from tests.tui.watch_world import PASSED, WatchWorld, entry, promotion
from tui.watch.app import WatchApp
from tui.watch.dialogs import AskWord
from tui.watch.state import Show

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
    def keys_of(app: WatchApp) -> set[str | None]:
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


def test_what_a_terminal_would_obey_never_reaches_it(tmp_path):
    world = WatchWorld(tmp_path)
    evil = {"why": "\x1b]0;mine\x07\x1b[2J\x9b31m", "error": "two\nlines"}
    world.link.entries = [replace(entry(1), details=evil)]
    world.look()

    async def steps(app, pilot):
        app.tell("\x1b[2Jall is well\r\nno")
        await pilot.press("l")
        await until(pilot, lambda: "mine" in picture(app) and "all is well" in picture(app))
        assert [c for c in picture(app) if ord(c) < 32 or 127 <= ord(c) < 160] == ["\n"] * (app.size.height - 1)

    drive(world, steps, size=(200, 50), notifications=True)


def test_a_kill_switch_that_fails_as_nobody_thought_of_is_said_to_have_failed(tmp_path, monkeypatch):
    world = WatchWorld(tmp_path)

    def fails(_):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(world.operator, "kill", fails)

    async def steps(app, pilot):
        await pilot.press("ctrl+k")
        await until(pilot, lambda: not app.workers or not list(app.workers))

    drive(world, steps, operate=True)
    assert "failed: RuntimeError: no such thing" in notices(world)


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


def test_a_lease_whose_promotion_has_ended_is_not_asked_about(tmp_path):
    world = WatchWorld(tmp_path)
    world.feed.take_promotion(promotion(state=State.ROLLED_BACK))
    world.look()

    async def steps(app, pilot):
        world.operator.keeps = "p-1"
        await pilot.press("q")
        await pilot.pause()
        assert not isinstance(app.screen, AskWord)

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
    assert done == [("resume", world.path), ("start", {"scenario": "mine.toml"})]
    assert "no rehearsal runs" in notices(world)
