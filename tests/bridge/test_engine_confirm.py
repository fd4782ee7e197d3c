"""Between the verdict and the confirm: what is confirmed has held until the moment in which it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.promotion import Cause, State
from bridge.reasons import ReasonCode, RefusedForReasons
from bridge.settings import WatchLimits
from col.errors import RefusedError, UnreachableError
from col.specification import Verdict
from tests.bridge.engine_world import BASE, OPERATOR, SETTINGS, World
from tests.bridge.scripted_backend import WINDOW_S, Fault


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def turn_bad(world: World) -> None:
    world.testbed.advance()
    world.testbed.behaviour = lambda values: {"late_a": 0.5, "late_b": 0.5}


def turn_good(world: World) -> None:
    world.testbed.advance()
    world.testbed.behaviour = lambda values: {"late_a": 0.0, "late_b": 0.0}


def test_a_window_that_closed_since_the_last_look_is_judged_before_the_confirm(world: World) -> None:
    world.apply()
    world.wait(5 + 3 * WINDOW_S + 1, heartbeat="p1")
    assert world.engine.promotion("p1").verdict is Verdict.PASS
    turn_bad(world)
    for _ in range(3):  # a bad window closes, and no look comes before the confirm
        world.clock.advance(WINDOW_S / 3)
        world.engine.renew_lease(OPERATOR, "p1")
    with pytest.raises(RefusedError, match="specification failed"):
        world.engine.confirm(OPERATOR, "p1")
    assert world.engine.promotion("p1").cause is Cause.SPECIFICATION_FAILED
    assert world.testbed.values == BASE


@pytest.mark.parametrize("auto_confirm", [False, True])
def test_a_lease_that_runs_out_while_the_confirm_looks_at_the_testbed_is_over(world: World, auto_confirm: bool) -> None:
    world.apply(auto_confirm=auto_confirm)
    world.wait(5 + 3 * WINDOW_S - 1, heartbeat="p1")
    world.clock.advance(1)
    if not auto_confirm:
        world.engine.tick()

    def take_long(name: str) -> None:
        if name == "read":
            world.clock.advance(6.0)

    world.testbed.after_call = take_long
    if auto_confirm:
        world.engine.tick()
    else:
        with pytest.raises(RefusedError, match="no heartbeat"):
            world.engine.confirm(OPERATOR, "p1")
    world.testbed.after_call = lambda name: None
    world.wait(1)
    seen = world.engine.promotion("p1")
    assert (seen.state, seen.cause) == (State.ROLLED_BACK, Cause.LEASE_EXPIRED)
    assert world.testbed.values == BASE


def test_after_a_round_that_failed_an_older_pass_confirms_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, replace(SETTINGS, watch=WatchLimits(failure_limit=2)))
    world.apply()
    world.wait(5 + 3 * WINDOW_S + 1, heartbeat="p1")
    assert world.engine.promotion("p1").verdict is Verdict.PASS
    turn_bad(world)
    world.wait(WINDOW_S, heartbeat="p1")
    turn_good(world)
    assert world.engine.promotion("p1").state is State.WATCHING  # one failed round is allowed here
    with pytest.raises(RefusedError, match="verdict"):
        world.engine.confirm(OPERATOR, "p1")
    world.wait(3 * WINDOW_S, heartbeat="p1")
    assert world.engine.confirm(OPERATOR, "p1").state is State.CONFIRMED


def test_after_a_round_with_a_missing_window_an_older_pass_confirms_nothing(world: World) -> None:
    world.apply()
    world.wait(5 + 3 * WINDOW_S + 1, heartbeat="p1")
    first = world.engine.promotion("p1").first_sequence
    assert first is not None
    world.testbed.without_numbers.add(first + 4)
    world.wait(3 * WINDOW_S, heartbeat="p1")
    with pytest.raises(RefusedError, match="verdict"):
        world.engine.confirm(OPERATOR, "p1")
    world.wait(3 * WINDOW_S, heartbeat="p1")
    assert world.engine.confirm(OPERATOR, "p1").state is State.CONFIRMED


@pytest.mark.parametrize("bad_after", [40, None])
def test_a_promotion_that_waits_very_long_for_its_confirm_is_watched_all_the_time(
    world: World, bad_after: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.engine_windows._PULL", 30)
    world.apply(lease_ttl_s=60.0, trial_timeout_s=3600.0)
    for window in range(45):
        if window == bad_after:
            turn_bad(world)
        world.wait(WINDOW_S, heartbeat="p1", step_s=WINDOW_S)
    seen = world.engine.promotion("p1")
    if bad_after is None:
        assert seen.state is State.WATCHING, seen.cause_text
        assert seen.verdict is Verdict.PASS
    else:
        assert seen.cause is Cause.SPECIFICATION_FAILED
        assert world.testbed.values == BASE


def test_an_exploration_of_more_windows_than_one_call_brings_is_watched_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.engine_windows._PULL", 30)
    world.explore(windows=40, lease_ttl_s=60.0, trial_timeout_s=3600.0)
    world.wait(42 * WINDOW_S, heartbeat="p1", step_s=WINDOW_S)
    assert world.engine.promotion("p1").cause is Cause.TRIAL_OVER


def test_a_plan_that_was_withdrawn_says_so_when_it_is_applied(world: World) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    world.engine.cancel(OPERATOR, "p1", "lunch")
    with pytest.raises(RefusedForReasons, match="lunch") as refusal:
        world.engine.apply(OPERATOR, "p1", plan.digest)
    assert [r.code for r in refusal.value.details] == [ReasonCode.PLAN_EXPIRED]


def test_what_cannot_be_seen_now_is_not_confirmed(world: World) -> None:
    world.apply()
    world.wait(5 + 3 * WINDOW_S + 1, heartbeat="p1")
    world.testbed.always["windows"] = Fault.UNREACHABLE
    with pytest.raises(UnreachableError, match="nobody answers"):
        world.engine.confirm(OPERATOR, "p1")
    del world.testbed.always["windows"]
    assert world.engine.confirm(OPERATOR, "p1").state is State.CONFIRMED


def test_a_plan_that_was_ended_is_not_shown_as_allowed_when_it_is_asked_for_again(world: World) -> None:
    world.engine.plan(OPERATOR, world.request())
    world.clock.advance(301.0)
    world.engine.tick()
    again = world.engine.plan(OPERATOR, world.request())
    assert not again.is_allowed
    assert [r.code for r in again.reasons] == [ReasonCode.PLAN_EXPIRED]
