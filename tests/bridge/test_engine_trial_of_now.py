"""A trial of what is in force already: watched like any other, and no backend is asked to set nothing."""

from __future__ import annotations

from pathlib import Path

from bridge.promotion import Cause, State
from tests.bridge.engine_world import World
from tests.bridge.scripted_backend import WINDOW_S


def test_a_trial_of_the_configuration_in_force_sets_nothing_and_is_watched(tmp_path: Path) -> None:
    world = World(tmp_path)
    in_force = dict(world.testbed.values)
    applied = len(world.testbed.applied())
    seen = world.explore(target=in_force, windows=3)
    assert seen.state is State.WATCHING
    world.wait(4 * WINDOW_S + 1, heartbeat="p1")
    seen = world.engine.promotion("p1")
    assert (seen.state, seen.cause, len(seen.windows)) == (State.ROLLED_BACK, Cause.TRIAL_OVER, 3)
    assert len(world.testbed.applied()) == applied
    assert world.testbed.values == in_force


def test_the_window_in_progress_is_waited_for_and_none_is_taken_for_missing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.wait(1)  # a window has just begun: the first that counts is almost a whole one away
    world.explore(target=dict(world.testbed.values), windows=3)
    world.wait(5 * WINDOW_S, heartbeat="p1")
    seen = world.engine.promotion("p1")
    assert (seen.cause, [w.missing for w in seen.windows]) == (Cause.TRIAL_OVER, [(), (), ()])
