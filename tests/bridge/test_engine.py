from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.promotion import Actor, Cause, State
from bridge.reasons import ReasonCode, RefusedForReasons
from col.errors import InputError, RefusedError
from col.specification import Verdict
from tests.bridge.engine_world import BASE, OPERATOR, OTHER, SETTINGS, TARGET, VIEWER, World
from tests.bridge.scripted_backend import WINDOW_S


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_promotion_that_holds_is_confirmed_and_becomes_the_confirmed_configuration(world: World) -> None:
    assert world.apply().state is State.WATCHING
    assert world.testbed.values == TARGET
    world.wait(5 + 3 * WINDOW_S + 1, heartbeat="p1")
    seen = world.engine.promotion("p1")
    assert (seen.verdict, len(seen.windows), seen.state) == (Verdict.PASS, 3, State.WATCHING)
    assert world.engine.confirm(OPERATOR, "p1").state is State.CONFIRMED
    assert world.engine.status().confirmed == TARGET
    assert world.testbed.values == TARGET
    assert world.states() == ["planned", "gated", "applying", "watching", "confirmed"]
    assert world.journal.verify().is_sound


def test_a_promotion_that_violates_goes_back_at_the_end_of_its_first_bad_window(world: World) -> None:
    world.apply(target={"cpu_a": 0.5})
    world.wait(5 + WINDOW_S + 1, heartbeat="p1")
    seen = world.engine.promotion("p1")
    assert (seen.state, seen.cause, seen.verdict) == (
        State.ROLLED_BACK,
        Cause.SPECIFICATION_FAILED,
        Verdict.FAIL,
    )
    assert world.testbed.values == BASE
    last = world.engine.journal(1, 1000, "p1")[-1].details
    assert 0 <= float(str(last["restored_s"])) - float(str(last["cause_s"])) <= 1.0 + 1e-6


def test_a_confirm_before_the_verdict_is_refused_and_changes_nothing(world: World) -> None:
    world.apply()
    with pytest.raises(RefusedError, match="0 of 3 windows"):
        world.engine.confirm(OPERATOR, "p1")
    assert world.engine.promotion("p1").state is State.WATCHING


def test_a_promotion_that_asked_for_it_is_confirmed_by_itself(world: World) -> None:
    world.apply(auto_confirm=True)
    world.wait(5 + 3 * WINDOW_S + 1, heartbeat="p1")
    assert world.engine.promotion("p1").state is State.CONFIRMED
    assert world.engine.journal(1, 99, "p1")[-1].actor == Actor.AGENT


def test_without_heartbeats_the_lease_ends_it_one_time_to_live_after_the_last_one(world: World) -> None:
    world.apply()
    world.wait(20, heartbeat="p1")
    last_s = world.clock.monotonic()
    world.wait(9)
    assert world.engine.promotion("p1").state is State.WATCHING
    world.wait(2)
    seen = world.engine.promotion("p1")
    assert (seen.state, seen.cause) == (State.ROLLED_BACK, Cause.LEASE_EXPIRED)
    assert world.testbed.values == BASE
    assert world.engine.journal(1, 99, "p1")[-1].details["cause_s"] == last_s + 10.0


def test_a_heartbeat_that_comes_too_late_does_not_revive_the_lease(world: World) -> None:
    world.apply()
    world.clock.advance(10.0)  # no tick came between
    assert world.engine.renew_lease(OPERATOR, "p1").state is State.ROLLED_BACK
    assert world.testbed.values == BASE


def test_nobody_else_can_keep_the_lease_alive(world: World) -> None:
    world.apply()
    with pytest.raises(RefusedError, match="olga's, not otto's"):
        world.engine.renew_lease(OTHER, "p1")


def test_what_passed_but_is_not_confirmed_goes_back_at_its_deadline(world: World) -> None:
    world.apply(trial_timeout_s=80.0)
    world.wait(79, heartbeat="p1")
    assert world.engine.promotion("p1").verdict is Verdict.PASS
    world.wait(2, heartbeat="p1")
    assert world.engine.promotion("p1").cause is Cause.DEADLINE_PASSED
    assert world.testbed.values == BASE


def test_an_extended_deadline_counts_from_the_call_and_has_its_limit(world: World) -> None:
    world.apply(trial_timeout_s=20.0)
    world.wait(15, heartbeat="p1")
    assert world.engine.extend(OPERATOR, "p1", 30.0).deadline_remaining_s == 30.0
    world.wait(20, heartbeat="p1")
    assert world.engine.promotion("p1").state is State.WATCHING
    for odd in (0.0, -1.0, float("nan"), 3600.1):
        with pytest.raises(InputError, match="trial_timeout_s"):
            world.engine.extend(OPERATOR, "p1", odd)
    assert "extended" in [e.kind for e in world.engine.journal(1, 99, "p1")]


def test_an_hour_on_the_wall_clock_moves_no_timer(world: World) -> None:
    world.apply()
    for step_s in (3600.0, -7200.0):
        world.clock.step_wall(step_s)
        world.wait(5, heartbeat="p1")
        assert world.engine.promotion("p1").state is State.WATCHING


def test_after_a_pass_it_is_watched_until_it_is_confirmed(world: World) -> None:
    world.apply()
    world.wait(55, heartbeat="p1")
    assert world.engine.promotion("p1").verdict is Verdict.PASS
    world.testbed.behaviour = lambda values: {"late_a": 0.5, "late_b": 0.5}
    world.wait(2 * WINDOW_S, heartbeat="p1")
    assert world.engine.promotion("p1").cause is Cause.SPECIFICATION_FAILED
    assert world.testbed.values == BASE


def test_a_cancelled_trial_goes_back_at_once_and_a_cancelled_plan_is_withdrawn(world: World) -> None:
    world.apply()
    seen = world.engine.cancel(OPERATOR, "p1", "lunch")
    assert (seen.state, seen.cause) == (State.ROLLED_BACK, Cause.CANCELLED)
    assert world.testbed.values == BASE
    assert world.engine.cancel(OPERATOR, "p1", "again").state is State.ROLLED_BACK
    plan = world.engine.plan(OPERATOR, world.request("p2"))
    assert world.engine.cancel(OPERATOR, "p2", "").state is State.REFUSED
    with pytest.raises(RefusedError):
        world.engine.apply(OPERATOR, "p2", plan.digest)
    assert len(world.testbed.applied()) == 2


def test_what_is_confirmed_cannot_be_cancelled(world: World) -> None:
    world.apply(auto_confirm=True)
    world.wait(55, heartbeat="p1")
    with pytest.raises(RefusedError, match="confirmed already"):
        world.engine.cancel(OPERATOR, "p1", "")
    assert world.testbed.values == TARGET


def test_exploration_always_goes_back_at_its_end(world: World) -> None:
    world.explore(windows=4)
    world.wait(5 + 3 * WINDOW_S + 1, heartbeat="p1")
    assert world.engine.promotion("p1").state is State.WATCHING
    world.wait(WINDOW_S, heartbeat="p1")
    seen = world.engine.promotion("p1")
    assert (seen.state, seen.cause, seen.verdict) == (State.ROLLED_BACK, Cause.TRIAL_OVER, Verdict.PASS)
    assert len(seen.windows) == 4
    assert world.testbed.values == BASE


def test_exploration_that_is_to_be_kept_is_confirmed(world: World) -> None:
    world.explore(windows=3, auto_confirm=True)
    world.wait(55, heartbeat="p1")
    assert world.engine.promotion("p1").state is State.CONFIRMED
    assert world.testbed.values == TARGET


def test_the_windows_that_count_begin_after_the_settling(world: World) -> None:
    first = world.apply().first_sequence
    world.wait(55, heartbeat="p1")
    seen = world.engine.promotion("p1")
    counted = world.engine.windows(first or 0, 3)
    assert [w.sequence for w in seen.windows] == counted.sequence.tolist()
    applied_s = 6 * WINDOW_S
    assert counted.start_s[0] == applied_s + SETTINGS.settle_s
    assert set(counted.controls["cpu_a"]) == {1.5}


def test_of_two_trials_at_once_the_second_is_refused(world: World) -> None:
    early = world.engine.plan(OTHER, world.request("p2"))
    world.apply()
    late = world.engine.plan(OTHER, world.request("p3"))
    assert [r.code for r in late.reasons] == [ReasonCode.TRIAL_IN_FLIGHT]
    with pytest.raises(RefusedForReasons) as refusal:
        world.engine.apply(OTHER, "p2", early.digest)
    codes = [r.code for r in refusal.value.details]
    assert codes == [ReasonCode.PLAN_STALE, ReasonCode.TRIAL_IN_FLIGHT]  # all that applies
    assert len(world.testbed.applied()) == 1


def test_the_automation_is_suspended_for_the_trial_and_runs_again_after_it(tmp_path: Path) -> None:
    world = World(tmp_path, automation=True)
    world.testbed.values["cpu_a"] = 2.35  # its doing: no reason against a plan, and no conflict
    world.apply()
    assert not world.testbed.automation
    assert world.testbed.values == TARGET
    world.engine.cancel(OPERATOR, "p1", "")
    assert world.testbed.automation
    assert world.testbed.values == BASE


def test_what_is_confirmed_keeps_the_automation_off(tmp_path: Path) -> None:
    world = World(tmp_path, automation=True)
    world.apply(auto_confirm=True)
    world.wait(55, heartbeat="p1")
    assert world.engine.promotion("p1").state is State.CONFIRMED
    world.engine.roll_back_everything(OPERATOR, "")
    assert (world.testbed.automation, world.testbed.values) == (False, TARGET)


def test_the_kill_switch_ends_trial_and_waiting_plans_without_analysis(world: World) -> None:
    world.engine.plan(OTHER, world.request("p2"))
    world.apply()
    world.testbed.change(cpu_a=3.0)  # somebody else's value goes too
    ended = world.engine.roll_back_everything(OPERATOR, "smoke")
    assert {(p.promotion_id, p.state, p.cause) for p in ended} == {
        ("p1", State.ROLLED_BACK, Cause.KILL_SWITCH),
        ("p2", State.REFUSED, Cause.KILL_SWITCH),
    }
    assert world.testbed.values == BASE
    assert world.engine.plan(OPERATOR, world.request("p3")).is_allowed


def test_the_kill_switch_restores_what_we_once_set_when_nothing_is_in_flight_and_nothing_else(world: World) -> None:
    world.apply(auto_confirm=True)
    world.wait(55, heartbeat="p1")
    world.testbed.change(cpu_a=3.0, bias=2.0)
    assert world.engine.roll_back_everything(OPERATOR, "") == ()
    assert world.testbed.values == {**TARGET, "bias": 2.0}


def test_a_viewer_changes_nothing(world: World) -> None:
    world.apply()
    for act in (
        lambda: world.engine.plan(VIEWER, world.request("p2")),
        lambda: world.engine.apply(VIEWER, "p1", "x"),
        lambda: world.engine.confirm(VIEWER, "p1"),
        lambda: world.engine.cancel(VIEWER, "p1", ""),
        lambda: world.engine.extend(VIEWER, "p1", 1.0),
        lambda: world.engine.renew_lease(VIEWER, "p1"),
        lambda: world.engine.roll_back_everything(VIEWER, ""),
    ):
        with pytest.raises(RefusedError, match="not change it"):
            act()


def test_stopping_the_agent_brings_an_unconfirmed_trial_back_first(world: World) -> None:
    world.apply()
    world.engine.close()
    assert world.testbed.values == BASE


def test_the_version_grows_with_every_change_that_somebody_may_watch(world: World) -> None:
    seen = [world.engine.version]
    world.apply()
    seen.append(world.engine.version)
    world.wait(21, heartbeat="p1")  # a window came
    seen.append(world.engine.version)
    world.engine.cancel(OPERATOR, "p1", "")
    seen.append(world.engine.version)
    world.clock.advance(0.1)
    world.engine.tick()  # nothing new
    assert seen == sorted(set(seen))
    assert world.engine.version == seen[-1]


def test_without_rollback_the_violating_configuration_stays(tmp_path: Path) -> None:
    world = World(tmp_path, settings=replace(SETTINGS, rollback_enabled=False))
    world.apply(target={"cpu_a": 0.5})
    world.wait(30, heartbeat="p1")
    assert world.testbed.values["cpu_a"] == 0.5  # the control case: it is the rollback that brings it back


def test_what_the_automation_does_between_plan_and_apply_makes_no_plan_stale(tmp_path: Path) -> None:
    world = World(tmp_path, automation=True)
    plan = world.engine.plan(OPERATOR, world.request(target={"cpu_a": 1.5}))
    world.testbed.values |= {"cpu_a": 2.4, "cpu_b": 1.6}
    assert world.engine.apply(OPERATOR, "p1", plan.digest).state is State.WATCHING
    assert world.testbed.values == {**BASE, "cpu_a": 1.5}  # a do() on the full vector, whatever it left behind
    world.engine.cancel(OPERATOR, "p1", "")
    assert world.testbed.values == BASE


def test_time_in_which_the_agent_was_busy_applying_is_not_its_controllers_silence(world: World) -> None:
    world.testbed.after_call = lambda name: world.clock.advance(8.0) if name == "apply" else None
    assert world.apply().lease_remaining_s == 10.0
