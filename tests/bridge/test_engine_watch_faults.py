"""What can happen to windows and values while a promotion is watched: nothing of it ever passes for φ."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.promotion import Cause, State
from bridge.reasons import ReasonCode, RefusedForReasons
from col.errors import UnreachableError
from col.specification import Verdict
from tests.bridge.engine_world import BASE, OPERATOR, World, restored_after_s
from tests.bridge.scripted_backend import WINDOW_S, Fault


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_testbed_that_stands_still_runs_into_the_inconclusive_limit_by_time(world: World) -> None:
    world.apply()
    world.testbed.freeze()
    world.wait(5 + 2 * WINDOW_S + 0.5 * WINDOW_S - 1, heartbeat="p1")
    assert world.engine.promotion("p1").state is State.WATCHING
    world.wait(2, heartbeat="p1")
    seen = world.engine.promotion("p1")
    assert (seen.state, seen.cause) == (State.ROLLED_BACK, Cause.INCONCLUSIVE)
    assert world.testbed.values == BASE
    assert 0 < restored_after_s(world) < WINDOW_S


def test_values_that_are_missing_never_pass_and_end_at_the_limit(world: World) -> None:
    first = world.apply().first_sequence or 0
    world.testbed.without_numbers = {first, first + 1}
    world.wait(5 + 2 * WINDOW_S + 1, heartbeat="p1")
    seen = world.engine.promotion("p1")
    assert (seen.cause, seen.verdict) == (Cause.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    assert world.testbed.values == BASE


def test_one_missing_window_is_no_pass_and_a_whole_round_after_it_is(world: World) -> None:
    first = world.apply().first_sequence or 0
    world.testbed.missing = {first + 1}
    world.wait(5 + 3 * WINDOW_S + 1, heartbeat="p1")
    assert world.engine.promotion("p1").verdict is None
    world.wait(3 * WINDOW_S, heartbeat="p1")
    assert world.engine.promotion("p1").verdict is Verdict.PASS


def test_a_window_that_comes_too_late_stays_missing(world: World) -> None:
    first = world.apply().first_sequence or 0
    world.testbed.held_back = {first}
    world.wait(5 + 2 * WINDOW_S + 1, heartbeat="p1")
    world.testbed.held_back = set()
    world.wait(WINDOW_S, heartbeat="p1")
    seen = world.engine.promotion("p1")
    assert seen.windows[0].missing
    assert seen.verdict is None


def test_a_window_that_is_a_little_late_counts(world: World) -> None:
    first = world.apply().first_sequence or 0
    world.testbed.held_back = {first + 2}
    world.wait(5 + 3 * WINDOW_S + 5, heartbeat="p1")
    assert len(world.engine.promotion("p1").windows) == 2
    world.testbed.held_back = set()
    world.wait(1, heartbeat="p1")
    assert world.engine.promotion("p1").verdict is Verdict.PASS


def test_windows_that_come_twice_count_once(world: World) -> None:
    world.testbed.repeats_all = True
    world.apply()
    world.wait(5 + 2 * WINDOW_S + 1, heartbeat="p1")
    assert len(world.engine.promotion("p1").windows) == 2
    recorded = world.engine.windows(0, 100).sequence.tolist()
    assert recorded == sorted(set(recorded))


def test_a_value_that_somebody_else_changed_is_reported_and_not_overwritten(world: World) -> None:
    world.apply()
    world.wait(3, heartbeat="p1")
    world.testbed.change(cpu_a=3.0)
    world.wait(1, heartbeat="p1")
    seen = world.engine.promotion("p1")
    assert (seen.state, seen.cause) == (State.CONFLICT, Cause.TESTBED_CHANGED)
    assert dict(seen.conflicts) == {"cpu_a": (1.5, 3.0)}
    assert world.testbed.values == {"cpu_a": 3.0, "cpu_b": 2.0, "bias": 0.0}
    assert any("cpu_a is 3" in p for p in world.engine.status().problems)


def test_a_control_that_we_did_not_set_ends_the_trial_when_it_moves_and_is_left_alone(world: World) -> None:
    world.apply()
    world.testbed.change(bias=2.0)
    world.wait(1, heartbeat="p1")
    seen = world.engine.promotion("p1")
    assert (seen.state, seen.cause) == (State.ROLLED_BACK, Cause.TESTBED_CHANGED)
    assert world.testbed.values == {**BASE, "bias": 2.0}


def test_automation_that_somebody_switched_on_ends_the_trial(world: World) -> None:
    world.apply()
    world.testbed.automation = True
    world.wait(1, heartbeat="p1")
    assert world.engine.promotion("p1").cause is Cause.TESTBED_CHANGED
    assert world.testbed.values == BASE


def test_a_change_between_the_last_look_and_the_confirm_is_not_confirmed(world: World) -> None:
    world.apply()
    world.wait(52, heartbeat="p1")
    world.testbed.change(cpu_a=3.0)
    with pytest.raises(RefusedForReasons) as refusal:
        world.engine.confirm(OPERATOR, "p1")
    assert [r.code for r in refusal.value.details] == [ReasonCode.CONFLICT]
    assert world.engine.promotion("p1").state is State.CONFLICT
    assert world.engine.status().confirmed == BASE


def test_a_confirm_that_cannot_be_read_back_keeps_watching(world: World) -> None:
    world.apply()
    world.wait(52, heartbeat="p1")
    world.testbed.faults["read"].append(Fault.UNREACHABLE)
    with pytest.raises(UnreachableError):
        world.engine.confirm(OPERATOR, "p1")
    assert world.engine.confirm(OPERATOR, "p1").state is State.CONFIRMED


def test_a_short_outage_while_watching_does_no_harm(world: World) -> None:
    world.apply()
    world.wait(10, heartbeat="p1")
    for call in ("read", "windows"):
        world.testbed.always[call] = Fault.UNREACHABLE
    world.wait(8, heartbeat="p1")
    world.testbed.always.clear()
    world.wait(40, heartbeat="p1")
    assert world.engine.promotion("p1").verdict is Verdict.PASS


def test_numbers_that_begin_again_are_noticed(world: World) -> None:
    assert world.engine.windows(0, 100).sequence.tolist() == [0, 1, 2, 3, 4, 5]
    world.testbed._rows.clear()
    world.testbed._sequence = 0
    world.wait(2 * WINDOW_S)
    assert world.engine.windows(0, 100).sequence.tolist() == [0, 1]
