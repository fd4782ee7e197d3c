"""What goes wrong with real containers: their engine dies or stands still, processes die or are frozen."""

from __future__ import annotations

import time

from benchmarks.testbed.lab_plant import LabPlant
from benchmarks.testbed.plant import PATIENCE_S, boot_s
from benchmarks.testbed.trial import Case, Ended, apply, confirmed, is_over, is_passed, require, rolled_back, target
from benchmarks.testbed.world import World
from bridge.promotion import Promotion, State


def lab_of(world: World) -> LabPlant:
    """Return the testbed of a world of containers."""
    assert isinstance(world.plant, LabPlant)
    return world.plant


def killed(key: str) -> Case:
    """Return the case of a DU or CU that is killed (SIGKILL) in a trial, and started anew by its engine."""

    def case(world: World) -> Ended:
        with world.client() as client:
            promotion = apply(world, client, target(world))
            lab_of(world).kill_container(key)
            world.wait(client, promotion.promotion_id, is_over)
        return rolled_back(world, promotion.promotion_id)

    return case


def engine_killed_while_watching(world: World) -> Ended:
    """Kill the engine with the target in force; it is started anew, its containers run on meanwhile.

    Whether the trial passes in spite of that is no matter: what is not confirmed has to be taken back.
    """
    lab = lab_of(world)
    with world.client() as client:
        promotion = apply(world, client, target(world))
        lab.kill_engine()
        over = world.wait(client, promotion.promotion_id, is_passed)
        if not over.state.is_final:
            client.cancel(promotion.promotion_id, "its engine was killed")
    return _back(world, promotion)


def engine_killed_while_rolling_back(world: World) -> Ended:
    """Kill the engine, and order the way back while it is away."""
    lab = lab_of(world)
    with world.client() as client:
        promotion = apply(world, client, target(world))
        lab.kill_engine()
        client.cancel(promotion.promotion_id, "while its engine is away")
    return _back(world, promotion)


def engine_killed_in(fault: str) -> Case:
    """Return the case of an engine that dies over the request to apply, before or after it was carried out."""

    def case(world: World) -> Ended:
        with world.client() as client:
            plan = world.plan(client, target(world))
            world.plant.misbehave(**{fault: 1})
            promotion = client.apply(plan.request.promotion_id, plan.digest)
            promotion = world.wait(client, promotion.promotion_id, is_passed)
            if not promotion.state.is_final:
                client.cancel(promotion.promotion_id, "its engine was killed")
        return _back(world, promotion)

    return case


def engine_and_agent_killed(world: World) -> Ended:
    """Kill both with the target in force; the agent is back before its engine."""
    with world.client() as client:
        promotion = apply(world, client, target(world))
    lab_of(world).kill_engine()
    world.agent.kill()
    world.agent.start()
    return _back(world, promotion)


def engine_stands_still(world: World) -> Ended:
    """Let the engine answer nobody for longer than a call may take: the kernel's files go on, the trial holds."""
    with world.client() as client:
        promotion = apply(world, client, target(world))
        world.plant.stop()
        time.sleep(3.0)
        world.plant.go_on()
        over = world.wait(client, promotion.promotion_id, is_passed)
        if over.state.is_final:
            return _back(world, promotion)
        return confirmed(world, client, promotion)


def _back(world: World, promotion: Promotion) -> Ended:
    """Wait for the end of what is rolled back; the time counts from when there was an engine to do it."""
    lab = lab_of(world)
    until = boot_s() + 2 * PATIENCE_S
    with world.client() as client:
        while not (now := client.promotion(promotion.promotion_id)).state.is_final:
            require(boot_s() < until, f"{promotion.promotion_id} stays {now.state}")
            time.sleep(0.05)
    require(now.state is State.ROLLED_BACK, f"{promotion.promotion_id} ended {now.state}")
    cause_s = world.cause_s(promotion.promotion_id)
    if cause_s is not None and lab.engine_back_s is not None:
        cause_s = max(cause_s, lab.engine_back_s)
    return Ended(expected=world.confirmed(), cause_s=cause_s)
