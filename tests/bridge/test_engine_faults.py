"""Every way in which applying can fail, and where the testbed stands afterwards. The truth is read from the testbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.promotion import Cause, State
from bridge.reasons import ReasonCode, RefusedForReasons
from col.specification import Verdict
from tests.bridge.engine_world import BASE, OPERATOR, TARGET, World
from tests.bridge.scripted_backend import WINDOW_S, Fault


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_testbed_that_refuses_is_not_changed_and_says_why(world: World) -> None:
    world.testbed.faults["apply"].append(Fault.REFUSE)
    with pytest.raises(RefusedForReasons, match="out of service") as refusal:
        world.apply()
    assert [r.code for r in refusal.value.details] == [ReasonCode.TESTBED_REFUSED]
    assert world.engine.promotion("p1").state is State.REFUSED
    assert world.testbed.values == BASE


def test_a_testbed_that_refuses_with_its_automation_suspended_gets_it_back(tmp_path: Path) -> None:
    world = World(tmp_path, automation=True)
    world.testbed.faults["apply"].append(Fault.REFUSE)
    assert world.apply().state is State.ROLLED_BACK
    assert world.testbed.automation


@pytest.mark.parametrize("fault", [Fault.NO_EFFECT, Fault.PARTIAL])
def test_an_acknowledgement_without_its_whole_effect_is_taken_back(world: World, fault: Fault) -> None:
    world.testbed.faults["apply"].append(fault)
    seen = world.apply()
    assert (seen.state, seen.cause) == (State.ROLLED_BACK, Cause.APPLY_FAILED)
    assert "cpu_b" in seen.cause_text
    assert world.testbed.values == BASE


@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.LOST_BEFORE, Fault.UNREACHABLE, Fault.CRASH])
def test_a_lost_reply_is_settled_by_reading_back_and_never_by_applying_again(world: World, fault: Fault) -> None:
    world.testbed.faults["apply"].append(fault)
    seen = world.apply()
    assert "unknown" in world.states()
    if fault is Fault.LOST_AFTER:
        assert seen.state is State.WATCHING
        assert seen.first_sequence is not None
        world.wait(5 + 4 * WINDOW_S, heartbeat="p1")
        assert world.engine.promotion("p1").verdict is Verdict.PASS
    else:
        assert (seen.state, seen.cause) == (State.ROLLED_BACK, Cause.APPLY_FAILED)
        assert world.testbed.values == BASE
    assert [v for v in world.testbed.applied() if v != {"cpu_a": 2.0, "cpu_b": 2.0}] == [{"cpu_a": 1.5, "cpu_b": 1.75}]


@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.LOST_BEFORE])
def test_while_the_testbed_cannot_be_read_the_outcome_stays_unknown(world: World, fault: Fault) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    world.testbed.faults["apply"].append(fault)
    world.testbed.faults["read"].append(Fault.NONE)  # the look before the apply
    world.testbed.always["read"] = Fault.UNREACHABLE
    assert world.engine.apply(OPERATOR, "p1", plan.digest).state is State.UNKNOWN
    world.wait(5, heartbeat="p1")
    assert world.engine.promotion("p1").state is State.UNKNOWN
    del world.testbed.always["read"]
    world.wait(1, heartbeat="p1")
    expected = State.WATCHING if fault is Fault.LOST_AFTER else State.ROLLED_BACK
    assert world.engine.promotion("p1").state is expected


def test_an_unknown_outcome_ends_with_the_lease_as_soon_as_the_testbed_answers(world: World) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    world.testbed.faults["apply"].append(Fault.LOST_AFTER)
    world.testbed.faults["read"].append(Fault.NONE)
    world.testbed.always["read"] = Fault.UNREACHABLE
    world.engine.apply(OPERATOR, "p1", plan.digest)
    world.wait(30)
    seen = world.engine.promotion("p1")
    assert (seen.state, seen.cause) == (State.ROLLING_BACK, Cause.LEASE_EXPIRED)
    assert world.testbed.values == TARGET
    del world.testbed.always["read"]
    world.wait(1)
    assert world.engine.promotion("p1").state is State.ROLLED_BACK
    assert world.testbed.values == BASE


def test_a_request_that_takes_effect_after_its_promotion_is_over_is_taken_back(world: World) -> None:
    world.testbed.faults["apply"].append(Fault.LATE)
    assert world.apply().state is State.ROLLED_BACK
    world.testbed.let_late_requests_in()
    assert world.testbed.values == TARGET
    world.wait(1)
    assert world.testbed.values == BASE
    assert "late effect" in [e.kind for e in world.engine.journal(1, 100)]


def test_behind_a_request_without_an_answer_goes_one_that_settles_what_comes_last(world: World) -> None:
    world.testbed.faults["apply"].append(Fault.LATE)
    world.apply()
    assert world.testbed.applied() == [{"cpu_a": 1.5, "cpu_b": 1.75}, {"cpu_a": 2.0, "cpu_b": 2.0}]


def test_a_request_of_an_agent_that_died_waiting_for_its_answer_may_still_come_and_is_taken_back(world: World) -> None:
    class Died(BaseException):
        pass

    world.testbed.faults["apply"].append(Died())
    with pytest.raises(Died):
        world.apply()
    world.testbed._late.append({"cpu_a": 1.5, "cpu_b": 1.75})
    world.restart()
    assert world.engine.promotion("p1").state is State.ROLLED_BACK
    assert world.testbed.applied()[-1] == {"cpu_a": 2.0, "cpu_b": 2.0}
    world.testbed.let_late_requests_in()
    world.wait(1)
    assert world.testbed.values == BASE


def test_a_lost_reply_with_somebody_elses_value_in_force_is_a_conflict(world: World) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    world.testbed.faults["apply"].append(Fault.LOST_AFTER)
    world.testbed.before_call = lambda name: (
        world.testbed.values.update(cpu_a=3.0) if name == "read" and world.testbed.values["cpu_b"] == 1.75 else None
    )
    seen = world.engine.apply(OPERATOR, "p1", plan.digest)
    assert (seen.state, dict(seen.conflicts)) == (State.CONFLICT, {"cpu_a": (1.5, 3.0)})
    assert world.testbed.values == {"cpu_a": 3.0, "cpu_b": 2.0, "bias": 0.0}


def test_automation_that_cannot_be_suspended_is_not_applied_over(tmp_path: Path) -> None:
    world = World(tmp_path, automation=True)
    world.testbed.faults["set_automation"].append(Fault.UNREACHABLE)
    seen = world.apply()
    assert (seen.state, world.testbed.automation, world.testbed.values) == (State.ROLLED_BACK, True, BASE)
    assert {"cpu_a": 1.5, "cpu_b": 1.75} not in world.testbed.applied()


def test_automation_that_only_says_it_is_suspended_ends_the_trial(tmp_path: Path) -> None:
    world = World(tmp_path, automation=True)
    world.testbed.faults["set_automation"].append(Fault.NO_EFFECT)
    seen = world.apply()
    assert (seen.state, seen.cause) == (State.ROLLED_BACK, Cause.APPLY_FAILED)
    assert world.testbed.values == BASE
