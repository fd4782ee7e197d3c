"""Every way in which a testbed can fail, and where it stands afterwards. The truth is read from the testbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.promotion import Cause, State
from bridge.reasons import ReasonCode, RefusedForReasons
from col.errors import InputError, PlantError, UnreachableError
from col.specification import Verdict
from tests.bridge.engine_world import OPERATOR, World
from tests.bridge.scripted_backend import WINDOW_S, Fault

BASE = {"cpu_a": 2.0, "cpu_b": 2.0, "bias": 0.0}
TARGET = {"cpu_a": 1.5, "cpu_b": 1.75, "bias": 0.0}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def restored_after_s(world: World, promotion_id: str = "p1") -> float:
    details = world.engine.journal(1, 10_000, promotion_id)[-1].details
    return float(str(details["restored_s"])) - float(str(details["cause_s"]))


# --- apply ------------------------------------------------------------------------------------------------------------


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


# --- watching ---------------------------------------------------------------------------------------------------------


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


# --- rolling back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["apply", "read"])
@pytest.mark.parametrize(
    "fault",
    [Fault.UNREACHABLE, Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.REFUSE, Fault.NO_EFFECT, Fault.PARTIAL, Fault.CRASH],
)
def test_a_rollback_is_tried_until_it_is_read_back(world: World, call: str, fault: Fault) -> None:
    world.apply()
    world.testbed.always[call] = fault
    world.engine.cancel(OPERATOR, "p1", "")
    world.wait(20)
    if call == "apply" and fault not in (Fault.LOST_AFTER, Fault.PARTIAL):
        assert world.engine.promotion("p1").state is State.ROLLING_BACK
        assert world.testbed.values == TARGET
    world.testbed.always.clear()
    world.wait(1)
    assert world.engine.promotion("p1").state is State.ROLLED_BACK
    assert world.testbed.values == BASE


def test_a_reading_that_is_not_a_number_proves_nothing(world: World) -> None:
    world.apply()
    world.testbed.always["read"] = Fault.NAN
    world.engine.cancel(OPERATOR, "p1", "")
    world.wait(5)
    assert world.engine.promotion("p1").state is State.ROLLING_BACK
    assert any("no number for cpu_a" in p for p in world.engine.status().problems)
    world.testbed.always.clear()
    world.wait(1)
    assert world.testbed.values == BASE


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.NO_EFFECT, Fault.LOST_AFTER, Fault.CRASH])
def test_automation_is_switched_on_again_until_it_is(tmp_path: Path, fault: Fault) -> None:
    world = World(tmp_path, automation=True)
    world.apply()
    world.testbed.always["set_automation"] = fault
    world.engine.cancel(OPERATOR, "p1", "")
    world.wait(3)
    world.testbed.always.clear()
    world.wait(1)
    assert world.engine.promotion("p1").state is State.ROLLED_BACK
    assert (world.testbed.automation, world.testbed.values) == (True, BASE)


def test_what_the_automation_does_after_it_is_back_is_no_conflict(tmp_path: Path) -> None:
    world = World(tmp_path, automation=True)
    world.apply()
    world.testbed.after_call = lambda name: (
        world.testbed.values.update(cpu_a=2.6) if name == "set_automation" and world.testbed.automation else None
    )
    world.testbed.faults["set_automation"].append(Fault.LOST_AFTER)
    world.engine.cancel(OPERATOR, "p1", "")
    world.testbed.values["cpu_a"] = 2.6
    world.wait(1)
    seen = world.engine.promotion("p1")
    assert (seen.state, dict(seen.conflicts)) == (State.ROLLED_BACK, {})


def test_a_kill_switch_that_nobody_answers_stands_until_somebody_does_also_over_a_restart(world: World) -> None:
    world.apply(auto_confirm=True)
    world.wait(55, heartbeat="p1")
    world.testbed.change(cpu_a=3.0)
    world.testbed.always["read"] = Fault.UNREACHABLE
    with pytest.raises(UnreachableError, match="tried again"):
        world.engine.roll_back_everything(OPERATOR, "smoke")
    world.restart()
    world.wait(3)
    assert world.testbed.values["cpu_a"] == 3.0
    world.testbed.always.clear()
    world.wait(1)
    assert world.testbed.values == TARGET
    world.testbed.change(cpu_a=3.0)
    world.wait(3)
    assert world.testbed.values["cpu_a"] == 3.0  # once


def test_a_kill_switch_is_not_done_before_the_automation_runs_again(tmp_path: Path) -> None:
    world = World(tmp_path, automation=True)
    world.apply()
    world.engine.cancel(OPERATOR, "p1", "")
    world.testbed.automation = False
    world.testbed.faults["set_automation"].append(Fault.NO_EFFECT)
    with pytest.raises(UnreachableError):
        world.engine.roll_back_everything(OPERATOR, "")
    world.wait(1)
    assert world.testbed.automation


def test_a_reading_without_a_control_that_we_set_proves_nothing_even_before_the_first_description(
    world: World,
) -> None:
    world.apply()
    world.die()
    world.testbed.always["describe"] = Fault.UNREACHABLE
    hidden = world.testbed.values.pop("cpu_a")
    world.start()
    world.wait(2)
    assert world.engine.promotion("p1").state is State.ROLLING_BACK
    world.testbed.values["cpu_a"] = hidden
    world.wait(2)
    assert world.engine.promotion("p1").state is State.ROLLED_BACK  # the journal has all that the way back needs
    assert world.testbed.values == BASE


def test_what_arrived_after_all_is_not_taken_for_a_late_effect(world: World) -> None:
    world.testbed.faults["apply"].append(Fault.LOST_AFTER)
    assert world.apply().state is State.WATCHING
    world.engine.cancel(OPERATOR, "p1", "")
    world.testbed.change(cpu_a=1.5)  # by hand this time
    world.wait(2)
    assert world.testbed.values["cpu_a"] == 1.5


def test_a_control_that_the_testbed_got_later_is_learned(world: World) -> None:
    world.die()
    world.testbed.more_controls = ("cpu_c",)
    world.testbed.values["cpu_c"] = 1.0
    world.start()
    assert world.engine.status().confirmed == {**BASE, "cpu_c": 1.0}
    world.apply(target={"cpu_c": 1.5})
    world.engine.cancel(OPERATOR, "p1", "")
    assert world.testbed.values["cpu_c"] == 1.0


def test_a_testbed_that_answers_nonsense_does_not_stop_the_agent(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.die()
    world.testbed.faults["describe"].append(PlantError("nonsense"))
    world.start()
    world.testbed.faults["describe"].append(PlantError("nonsense"))
    world.engine.tick()
    world.engine.tick()
    assert world.engine.status().confirmed == BASE


def test_the_journal_of_another_testbed_is_refused_at_the_start_and_nothing_is_rolled_back_there(
    world: World,
) -> None:
    world.apply()
    world.die()
    world.testbed.plant_id = "another"
    with pytest.raises(InputError, match="belongs to testbed 'scripted', not to 'another'"):
        world.start()
    world.engine.close()
    assert world.testbed.values == TARGET


# --- the journal ------------------------------------------------------------------------------------------------------


def test_previous_values_are_durable_before_anything_is_applied(world: World) -> None:
    seen: list[object] = []

    def look(name: str) -> None:
        if name == "apply" and not seen:
            entry = world.journal.entries(1, 100, "p1")[-1]
            stored = world.journal.record("p1")
            assert stored is not None
            seen.extend([entry.state_after, entry.details["previous"], dict(stored.previous)])

    world.testbed.before_call = look
    world.apply()
    assert seen == ["applying", {"cpu_a": 2.0, "cpu_b": 2.0}, {"cpu_a": 2.0, "cpu_b": 2.0}]


def test_a_journal_that_cannot_be_written_at_all_does_not_stop_a_rollback(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bridge.journal import Journal, JournalFullError

    world.apply()

    def full(*args: object, **more: object) -> None:
        raise JournalFullError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        patch.setattr(Journal, "save", full)
        world.wait(12)
        assert world.testbed.values == BASE
        assert world.engine.promotion("p1").state is State.ROLLING_BACK  # not over before it is written
    world.wait(1)
    assert world.engine.promotion("p1").state is State.ROLLED_BACK
    assert world.states()[-2:] == ["rolling back", "rolled back"]
    assert world.journal.verify().is_sound


def test_a_damaged_journal_is_found_at_the_start_and_refuses_plans(world: World) -> None:
    import sqlite3

    world.apply()
    world.die()
    with sqlite3.connect(world.folder / "journal.db") as connection:
        connection.execute("UPDATE entries SET who = 'nobody' WHERE number = 2")
    connection.close()
    world.start()
    assert world.testbed.values == BASE
    plan = world.engine.plan(OPERATOR, world.request("p2"))
    assert [r.code for r in plan.reasons] == [ReasonCode.JOURNAL_DAMAGED]
    assert "entry 2" in plan.reasons[0].text
