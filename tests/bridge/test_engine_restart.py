"""What a restart of the agent, or of its machine, must not be fooled by. After a reboot monotonic time starts anew."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.gate import GateResult, Observation
from bridge.journal import Journal
from bridge.journal_chain import Verification
from bridge.plan import PlanRequest
from bridge.promotion import Cause, State
from bridge.reasons import ReasonCode, RefusedForReasons
from bridge.records import IdTakenError
from bridge.settings import EngineSettings
from col.certificate import SignedCertificate
from tests.bridge import engine_world
from tests.bridge.engine_world import BASE, OPERATOR, SETTINGS, World
from tests.bridge.scripted_backend import WINDOW_S, Fault

YESTERDAY_S = 86_400.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def reboot(world: World, up_s: float) -> None:
    """The machine dies, comes back a day later, and the agent is started when it has been up for so long."""
    world.die()
    testbed_s = world.testbed.testbed_s
    world.clock.wall_s += YESTERDAY_S
    world.clock.boot = "another boot"
    world.clock.monotonic_s = up_s
    world.testbed._origin_s = up_s - testbed_s  # the testbed is another machine, whose clock goes on
    world.start()


@pytest.mark.parametrize("up_s", [5.0, 1100.0])
def test_a_plan_of_before_a_reboot_is_too_old_however_long_the_machine_has_been_up(world: World, up_s: float) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    reboot(world, up_s)
    with pytest.raises(RefusedForReasons) as refusal:
        world.engine.apply(OPERATOR, "p1", plan.digest)
    assert [r.code for r in refusal.value.details] == [ReasonCode.PLAN_EXPIRED]
    assert world.testbed.applied() == []


@pytest.mark.parametrize("up_s", [5.0, 1100.0])
def test_a_trial_of_before_a_reboot_goes_back_at_once(world: World, up_s: float) -> None:
    world.apply(trial_timeout_s=3600.0, lease_ttl_s=120.0)
    reboot(world, up_s)
    seen = world.engine.promotion("p1")
    assert (seen.state, seen.cause) == (State.ROLLED_BACK, Cause.AGENT_RESTARTED)
    assert world.testbed.values == BASE


def test_the_last_change_is_at_least_as_long_ago_as_the_machine_is_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float | None] = []

    def gate(request: PlanRequest, observation: Observation, settings: EngineSettings) -> GateResult:
        seen.append(observation.last_change_s_ago)
        return GateResult(reasons=(), before={}, after={}, changes=())

    world.apply()
    world.wait(5 + 3 * WINDOW_S + 1, heartbeat="p1")
    world.engine.confirm(OPERATOR, "p1")
    monkeypatch.setattr(engine_world, "open_gate", gate)
    for up_s in (5.0, 5000.0):
        reboot(world, up_s)
        world.engine.plan(OPERATOR, world.request("p2", dry_run=True))
    assert seen == [5.0, 5000.0]


def test_a_restart_on_the_same_boot_keeps_its_plans(world: World) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    world.restart()
    assert world.engine.apply(OPERATOR, "p1", plan.digest).state is State.WATCHING


def test_a_record_that_cannot_be_read_is_rolled_back_to_the_confirmed_configuration(world: World) -> None:
    world.apply()
    world.die()
    with sqlite3.connect(world.folder / "journal.db") as connection:
        connection.execute("UPDATE promotions SET record = substr(record, 1, 40)")
    connection.close()
    world.start()
    assert world.testbed.values == BASE
    plan = world.engine.plan(OPERATOR, world.request("p2"))
    assert ReasonCode.JOURNAL_DAMAGED in [r.code for r in plan.reasons]


def test_the_way_back_after_a_restart_does_not_wait_for_the_check_of_a_long_journal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.apply()
    world.die()
    checked_at: list[dict[str, float]] = []
    verify = Journal.verify

    def watched(journal: Journal) -> Verification:
        checked_at.append(dict(world.testbed.values))
        return verify(journal)

    monkeypatch.setattr(Journal, "verify", watched)
    world.start()
    assert checked_at == [BASE]


def test_a_stop_tries_the_way_back_again_when_its_answer_is_lost(world: World) -> None:
    world.apply()
    world.testbed.faults["apply"].append(Fault.LOST_BEFORE)
    world.engine.close()
    assert world.testbed.values == BASE


def test_a_late_effect_that_cannot_be_taken_back_is_noted_once(world: World) -> None:
    world.testbed.faults["apply"].append(Fault.LATE)
    world.apply()
    world.testbed.let_late_requests_in()
    world.testbed.always["apply"] = Fault.NO_EFFECT
    world.wait(50)
    notes = [e for e in world.engine.journal(1, 10_000) if e.kind == "late effect"]
    assert len(notes) == 1
    world.testbed.always.clear()
    world.wait(1)
    assert world.testbed.values == BASE


def test_plans_that_nobody_applies_are_kept_in_a_bounded_number(world: World) -> None:
    for number in range(130):
        world.engine.plan(OPERATOR, world.request(f"p{number}"))
    waiting = [r for r in world.journal.unfinished() if r.state is State.GATED]
    assert len(waiting) <= 100
    assert world.engine.promotion("p0").state is State.REFUSED
    assert world.engine.promotion("p129").state is State.GATED


def test_an_agent_that_would_not_roll_back_says_so_all_the_time(tmp_path: Path) -> None:
    world = World(tmp_path, replace(SETTINGS, rollback_enabled=False))
    assert any("rolling back is switched off" in p for p in world.engine.status().problems)


def test_records_of_what_is_over_make_room_when_the_journal_is_full_of_them(tmp_path: Path) -> None:
    world = World(tmp_path, journal_options={"max_bytes": 2**21, "reserve_bytes": 2**16})
    large = SignedCertificate(payload=bytes(100_000), signature=bytes(64))
    for number in range(30):
        plan = world.engine.plan(OPERATOR, world.request(f"p{number}", certificate=large))
        assert plan.is_allowed, plan.reasons
        world.engine.cancel(OPERATOR, f"p{number}", "")
    assert world.engine.promotion("p29").state is State.REFUSED
    with pytest.raises(IdTakenError):
        world.engine.plan(OPERATOR, world.request("p0"))
