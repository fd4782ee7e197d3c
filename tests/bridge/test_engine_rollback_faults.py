"""Every way in which going back, and writing it down, can fail: it is tried until the testbed says that it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.promotion import State
from bridge.reasons import ReasonCode
from col.errors import InputError, PlantError, UnreachableError
from tests.bridge.engine_world import BASE, OPERATOR, TARGET, World
from tests.bridge.scripted_backend import Fault


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


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
