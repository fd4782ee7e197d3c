"""The agent dies, or the machine under it misbehaves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.testbed.disk import fill
from benchmarks.testbed.plant import PATIENCE_S
from benchmarks.testbed.trial import (
    Ended,
    apply,
    confirmed,
    in_background,
    is_passed,
    require,
    rolled_back,
    target,
    wait_journal,
)
from benchmarks.testbed.world import World
from bridge.promotion import State
from bridge.reasons import ReasonCode


@contextmanager
def standing_still(world: World) -> Iterator[None]:
    """Let the testbed stand still for as long as it is entered."""
    world.plant.stop()
    try:
        yield
    finally:
        world.plant.go_on()


def restarted(world: World) -> float:
    """Kill the agent, start it again as its supervisor would, and return when it began to recover."""
    world.agent.kill()
    world.agent.start()
    return max(e.monotonic_s for e in world.journal() if e.kind == "agent started")


def agent_killed_while_planned(world: World) -> Ended:
    """Kill it with a plan that nobody has applied yet."""
    with world.client() as client:
        world.plan(client, target(world))
    restarted(world)
    return Ended(expected=world.confirmed())


def agent_killed_while_watching(world: World) -> Ended:
    """Kill it with the target in force."""
    with world.client() as client:
        apply(world, client, target(world))
    return Ended(expected=world.confirmed(), cause_s=restarted(world))


def agent_killed_after_pass(world: World) -> Ended:
    """Kill it once the verdict is pass and nobody has confirmed."""
    with world.client() as client:
        promotion = apply(world, client, target(world))
        world.wait(client, promotion.promotion_id, is_passed)
    return Ended(expected=world.confirmed(), cause_s=restarted(world))


def agent_killed_after_confirm(world: World) -> Ended:
    """Kill it right after a confirm: the target is what stays."""
    with world.client() as client:
        ended = confirmed(world, client, apply(world, client, target(world)))
    restarted(world)
    return ended


def _killed_in(world: World, state: State) -> Ended:
    """Kill the agent in a state that it passes through while the testbed does not answer."""
    with world.client() as client:
        plan = world.plan(client, target(world))
        promotion_id = plan.request.promotion_id
        if state is State.ROLLING_BACK:
            client.apply(promotion_id, plan.digest)
        with standing_still(world):
            if state is State.ROLLING_BACK:
                thread = in_background(lambda: client.cancel(promotion_id, "to see it die"))
            else:
                thread = in_background(lambda: client.apply(promotion_id, plan.digest))
            wait_journal(world, state, promotion_id)
            world.agent.kill()
        thread.join(PATIENCE_S)
    world.agent.start()
    return Ended(
        expected=world.confirmed(), cause_s=max(e.monotonic_s for e in world.journal() if e.kind == "agent started")
    )


def agent_killed_while_rolling_back(world: World) -> Ended:
    """Kill it with a rollback ordered that the testbed has not heard of."""
    return _killed_in(world, State.ROLLING_BACK)


def agent_killed_in_apply(world: World) -> Ended:
    """Die while the testbed holds the request, which it carries out, if it does, for nobody."""
    with world.client() as client:
        plan = world.plan(client, target(world))
        promotion_id = plan.request.promotion_id
        world.plant.misbehave(hang={"count": 1, "seconds": 0.2, "requests": ["apply"]})
        thread = in_background(lambda: client.apply(promotion_id, plan.digest))
        wait_journal(world, State.APPLYING, promotion_id)
        world.plant.wait_hanging()
        world.agent.kill()
        thread.join(PATIENCE_S)
    world.agent.start()
    return Ended(
        expected=world.confirmed(), cause_s=max(e.monotonic_s for e in world.journal() if e.kind == "agent started")
    )


def agent_killed_while_unknown(world: World) -> Ended:
    """Die not knowing: the testbed stands still while the request is on its way."""
    with world.client() as client:
        plan = world.plan(client, target(world))
        promotion_id = plan.request.promotion_id
        world.plant.misbehave(hang={"count": 1, "requests": ["apply"]})
        thread = in_background(lambda: client.apply(promotion_id, plan.digest))
        wait_journal(world, State.APPLYING, promotion_id)
        world.plant.wait_hanging()
        with standing_still(world):
            wait_journal(world, State.UNKNOWN, promotion_id)
            world.agent.kill()
        thread.join(PATIENCE_S)
    world.plant.behave()
    world.agent.start()
    return Ended(
        expected=world.confirmed(), cause_s=max(e.monotonic_s for e in world.journal() if e.kind == "agent started")
    )


def disk_full(world: World) -> Ended:
    """Full while a trial is watched: it is rolled back and written down, and new plans are refused."""
    with world.client() as client:
        promotion = apply(world, client, target(world))
        filler = fill(world.config.state_dir)
        try:
            client.cancel(promotion.promotion_id, "the disk is full")
            ended = rolled_back(world, promotion.promotion_id)
            plan = client.plan(world.request(target(world)))
            codes = {reason.code for reason in plan.reasons}
            require(ReasonCode.JOURNAL_FULL in codes, f"planned with the disk full: {sorted(codes)}")
        finally:
            filler.unlink()
    return ended


def wall_clock_stepped_on(world: World) -> Ended:
    """Step an hour forward and two back while a trial is watched: no timer moves."""
    with world.client() as client:
        promotion = apply(world, client, target(world))
        try:
            for seconds in (3600.0, -3600.0):
                world.agent.step_wall_clock(seconds)
                time.sleep(1.5 * world.wall_window_s)
                world.wait(client, promotion.promotion_id, lambda p: True)
            return confirmed(world, client, promotion)
        finally:
            world.agent.step_wall_clock(0.0)


def wall_clock_stepped_back_and_controller_silent(world: World) -> Ended:
    """Step an hour back while nobody renews: the lease ends when it should."""
    with world.client() as client:
        promotion = apply(world, client, target(world), lease_ttl_s=max(0.5, world.wall_window_s))
    world.agent.step_wall_clock(-3600.0)
    try:
        return rolled_back(world, promotion.promotion_id)
    finally:
        world.agent.step_wall_clock(0.0)
