from __future__ import annotations

from pathlib import Path

import pytest

from bridge.promotion import Cause, State
from col.specification import Verdict
from tests.bridge.engine_world import OPERATOR, World
from tests.bridge.scripted_backend import WINDOW_S

BASE = {"cpu_a": 2.0, "cpu_b": 2.0, "bias": 0.0}
TARGET = {"cpu_a": 1.5, "cpu_b": 1.75, "bias": 0.0}


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
