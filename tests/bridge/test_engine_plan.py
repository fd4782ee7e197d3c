from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.promotion import State
from bridge.reasons import ReasonCode, RefusedForReasons
from bridge.records import IdTakenError, UnknownIdError
from col.errors import InputError, RefusedError, UnreachableError
from tests.bridge.engine_world import OPERATOR, OTHER, SETTINGS, World
from tests.bridge.scripted_backend import Fault


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_plan_applies_nothing_and_says_before_and_after(world: World) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    assert {c.control: (c.before, c.after) for c in plan.changes} == {"cpu_a": (2.0, 1.5), "cpu_b": (2.0, 1.75)}
    assert plan.after == {"cpu_a": 1.5, "cpu_b": 1.75, "bias": 0.0}
    assert world.testbed.applied() == []
    assert world.states() == ["planned", "gated"]


def test_the_same_question_gets_the_stored_answer_also_after_a_restart(world: World) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    written = world.journal.head()[0]
    world.testbed.change(bias=3.0)
    assert world.engine.plan(OPERATOR, world.request()) == plan
    assert world.journal.head()[0] == written
    world.restart()
    again = world.engine.plan(OPERATOR, world.request())
    assert replace(again, expires_in_s=0.0) == replace(plan, expires_in_s=0.0)


def test_one_id_for_two_requests_is_an_error_of_whoever_asks(world: World) -> None:
    world.engine.plan(OPERATOR, world.request())
    with pytest.raises(IdTakenError, match="another request"):
        world.engine.plan(OPERATOR, world.request(lease_ttl_s=11.0))


def test_an_id_whose_record_is_no_longer_kept_is_not_used_again(tmp_path: Path) -> None:
    world = World(tmp_path, settings=replace(SETTINGS, promotions_kept=1))
    for promotion_id in ("p1", "p2", "p3"):
        world.apply(promotion_id)
        world.engine.cancel(OPERATOR, promotion_id, "")
    with pytest.raises(UnknownIdError, match="no such promotion"):
        world.engine.promotion("p1")
    with pytest.raises(IdTakenError, match="used before"):
        world.engine.plan(OPERATOR, world.request("p1"))


def test_applying_twice_acts_once_in_every_later_state_and_after_a_restart(world: World) -> None:
    digest = world.engine.plan(OPERATOR, world.request()).digest
    for _ in range(3):
        assert world.engine.apply(OPERATOR, "p1", digest).state is State.WATCHING
    world.wait(51, heartbeat="p1")
    world.engine.confirm(OPERATOR, "p1")
    assert world.engine.confirm(OPERATOR, "p1").state is State.CONFIRMED
    assert world.engine.apply(OPERATOR, "p1", digest).state is State.CONFIRMED
    world.restart()
    assert world.engine.apply(OPERATOR, "p1", digest).state is State.CONFIRMED
    assert len(world.testbed.applied()) == 1


def test_another_digest_than_the_plans_applies_nothing(world: World) -> None:
    world.engine.plan(OPERATOR, world.request())
    with pytest.raises(InputError, match="digest"):
        world.engine.apply(OPERATOR, "p1", "0" * 64)
    assert world.testbed.applied() == []


def test_a_plan_that_the_testbed_has_moved_away_from_is_stale(world: World) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    world.testbed.change(bias=3.0)
    with pytest.raises(RefusedForReasons) as refusal:
        world.engine.apply(OPERATOR, "p1", plan.digest)
    assert refusal.value.details[0].code is ReasonCode.PLAN_STALE
    assert refusal.value.details[0].facts == {"bias": "0 -> 3"}
    assert world.engine.promotion("p1").state is State.REFUSED
    with pytest.raises(RefusedForReasons):
        world.engine.apply(OPERATOR, "p1", plan.digest)  # for good, also if the testbed comes back
    assert world.testbed.applied() == []


def test_a_plan_made_before_something_else_was_confirmed_is_stale(world: World) -> None:
    early = world.engine.plan(OTHER, world.request("p2", target={"cpu_a": 1.5}))
    world.apply("p1", auto_confirm=True)
    world.wait(55, heartbeat="p1")
    with pytest.raises(RefusedForReasons, match="plan again"):
        world.engine.apply(OTHER, "p2", early.digest)


def test_a_plan_expires(world: World) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    world.clock.advance(299.0)
    assert world.engine.plan(OPERATOR, world.request()).expires_in_s == 1.0
    world.clock.advance(2.0)
    with pytest.raises(RefusedForReasons) as refusal:
        world.engine.apply(OPERATOR, "p1", plan.digest)
    assert [r.code for r in refusal.value.details] == [ReasonCode.PLAN_EXPIRED]
    assert world.testbed.applied() == []


def test_a_plan_that_nobody_applies_ends_by_itself(world: World) -> None:
    world.engine.plan(OPERATOR, world.request())
    world.clock.advance(301.0)
    world.engine.tick()
    assert world.engine.promotion("p1").state is State.REFUSED


def test_a_dry_run_writes_nothing_and_leaves_its_id_free(world: World) -> None:
    before = world.journal.head()
    dry = world.engine.plan(OPERATOR, world.request(dry_run=True))
    assert dry.is_allowed
    assert world.journal.head() == before
    with pytest.raises(UnknownIdError):
        world.engine.apply(OPERATOR, "p1", dry.digest)
    assert world.engine.plan(OPERATOR, world.request()).digest == dry.digest


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"promotion_id": ""}, "promotion_id"),
        ({"promotion_id": "a/b"}, "promotion_id"),
        ({"promotion_id": "p" * 129}, "promotion_id"),
        ({"target": {"cpu_a": float("nan")}}, "target.cpu_a"),
        ({"target": {"cpu_a": float("inf")}}, "target.cpu_a"),
        ({"lease_ttl_s": 0.5}, "lease_ttl_s"),
        ({"lease_ttl_s": 121.0}, "lease_ttl_s"),
        ({"lease_ttl_s": float("nan")}, "lease_ttl_s"),
        ({"trial_timeout_s": 0.0}, "trial_timeout_s"),
        ({"trial_timeout_s": 1e9}, "trial_timeout_s"),
        ({"windows": -1}, "windows"),
        ({"windows": 1_001}, "windows"),
        ({"why": "x" * 1_001}, "why"),
    ],
)
def test_a_malformed_request_is_named_and_not_written(world: World, changes: dict[str, object], key: str) -> None:
    before = world.journal.head()
    with pytest.raises(InputError, match=key):
        world.engine.plan(OPERATOR, replace(world.request(), **changes))  # type: ignore[arg-type]
    assert world.journal.head() == before


def test_a_testbed_that_cannot_be_read_gets_no_plan_and_no_apply(world: World) -> None:
    plan = world.engine.plan(OPERATOR, world.request())
    world.testbed.always["read"] = Fault.UNREACHABLE
    refused = world.engine.plan(OPERATOR, world.request("p2"))
    assert [r.code for r in refused.reasons] == [ReasonCode.BACKEND_UNREACHABLE]
    with pytest.raises(UnreachableError, match="nothing was applied"):
        world.engine.apply(OPERATOR, "p1", plan.digest)
    assert world.testbed.applied() == []
    del world.testbed.always["read"]
    assert world.engine.apply(OPERATOR, "p1", plan.digest).state is State.WATCHING


def fill(world: World, name: str) -> None:
    """Ask until there is no room for another plan."""
    for i in range(10_000):
        plan = world.engine.plan(OTHER, world.request(f"{name}{i}"))
        if ReasonCode.JOURNAL_FULL in [r.code for r in plan.reasons]:
            return
    raise AssertionError("there is room for ever")


def test_with_the_journal_full_plans_are_refused_and_a_trial_in_flight_still_goes_back(tmp_path: Path) -> None:
    world = World(tmp_path, journal_options={"max_bytes": 2**18, "reserve_bytes": 2**16})
    early = world.engine.plan(OPERATOR, world.request("p2"))
    world.apply()
    fill(world, "q")
    assert "full" in " ".join(world.engine.status().problems)
    world.wait(12)
    assert world.engine.promotion("p1").state is State.ROLLED_BACK
    assert world.testbed.values["cpu_a"] == 2.0
    fill(world, "r")
    with pytest.raises(RefusedForReasons, match="full"):
        world.engine.apply(OPERATOR, "p2", early.digest)
    assert world.testbed.values["cpu_a"] == 2.0
    assert world.journal.verify().is_sound


def test_an_unknown_promotion_is_said_to_be_unknown(world: World) -> None:
    acts: list[Callable[[], object]] = [
        lambda: world.engine.promotion("nix"),
        lambda: world.engine.confirm(OPERATOR, "nix"),
        lambda: world.engine.cancel(OPERATOR, "nix", ""),
        lambda: world.engine.renew_lease(OPERATOR, "nix"),
        lambda: world.engine.extend(OPERATOR, "nix", 1.0),
        lambda: world.engine.apply(OPERATOR, "nix", ""),
    ]
    for act in acts:
        with pytest.raises(UnknownIdError):
            act()


def test_what_is_over_takes_no_confirm_and_no_new_deadline(world: World) -> None:
    world.apply()
    world.engine.cancel(OPERATOR, "p1", "lunch")
    with pytest.raises(RefusedError, match=r"rolled back .*lunch"):
        world.engine.confirm(OPERATOR, "p1")
    with pytest.raises(RefusedError, match=r"rolled back .*lunch"):
        world.engine.extend(OPERATOR, "p1", 9.0)


def test_a_plan_whose_gate_never_answered_because_the_agent_died_is_asked_again(world: World) -> None:
    class Died(BaseException):
        pass

    append = world.journal.append

    def die_at_the_second(*args: Any, **more: Any) -> Any:
        if args[0].kind == "gate passed":
            raise Died
        return append(*args, **more)

    world.journal.append = die_at_the_second  # type: ignore[method-assign]
    with pytest.raises(Died):
        world.engine.plan(OPERATOR, world.request())
    world.restart()
    assert world.engine.promotion("p1").state is State.PLANNED
    digest = world.engine.plan(OPERATOR, world.request()).digest
    assert world.states() == ["planned", "gated"]
    assert world.engine.apply(OPERATOR, "p1", digest).state is State.WATCHING
