"""The controller dies, or its connection; requests come twice, too early, or from two at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.testbed.cable import Cable
from benchmarks.testbed.controller import Controller
from benchmarks.testbed.plant import PATIENCE_S, boot_s
from benchmarks.testbed.trial import (
    OTHER,
    Ended,
    apply,
    confirmed,
    in_background,
    is_passed,
    refused,
    require,
    rolled_back,
    target,
    wait_journal,
)
from benchmarks.testbed.world import World
from bridge.client import LeaseKeeper, TestbedClient
from bridge.promotion import State
from col.errors import OutcomeUnknownError


def _controller_killed(world: World, words: str) -> Ended:
    ttl_s, until = max(0.5, world.wall_window_s), boot_s() + PATIENCE_S
    while True:
        with world.client() as client:
            plan = world.plan(client, target(world), lease_ttl_s=ttl_s)
            promotion_id = plan.request.promotion_id
        controller = Controller(world.agent.address, promotion_id, plan.digest, ttl_s)
        came = controller.wait_for(words)
        controller.kill()
        if came:
            return rolled_back(world, promotion_id)
        # A window that was no good made the gate refuse, or the trial end before: on a busy machine that happens.
        require(boot_s() < until, "it is refused, or does not hold, again and again")


def controller_killed_while_watching(world: World) -> Ended:
    """Kill it as soon as the target is in force."""
    return _controller_killed(world, "watching")


def controller_killed_after_pass(world: World) -> Ended:
    """Kill it between the verdict and its confirm."""
    return _controller_killed(world, "verdict pass")


@contextmanager
def _cabled(world: World) -> Iterator[tuple[Cable, TestbedClient]]:
    path = world.folder / "cable.sock"
    path.unlink(missing_ok=True)
    with (
        Cable(path, world.folder / "agent.sock") as cable,
        TestbedClient(cable.address, timeout_s=1.0, connect_s=1.0) as client,
    ):
        yield cable, client


def connection_cut_and_restored(world: World) -> Ended:
    """Cut for less than the lease: nothing is rolled back, and the promotion can be confirmed."""
    ttl_s = 6.0
    with _cabled(world) as (cable, client):
        promotion = apply(world, client, target(world), lease_ttl_s=ttl_s)
        with LeaseKeeper(client, promotion.promotion_id, ttl_s):
            cable.cut()
            time.sleep(0.1 * ttl_s)
            cable.mend()
            return confirmed(world, client, promotion)


def connection_cut_for_good(world: World) -> Ended:
    """Cut the connection until the lease is over."""
    ttl_s = max(0.5, world.wall_window_s)
    with _cabled(world) as (cable, client):
        promotion = apply(world, client, target(world), lease_ttl_s=ttl_s)
        with LeaseKeeper(client, promotion.promotion_id, ttl_s):
            time.sleep(0.5 * ttl_s)
            cable.cut()
            return rolled_back(world, promotion.promotion_id)


def answer_to_apply_lost(world: World) -> Ended:
    """Lose the answer: the controller asks what became of its request and goes on."""
    with _cabled(world) as (cable, client):
        plan = world.plan(client, target(world))
        promotion_id = plan.request.promotion_id
        world.plant.misbehave(hang={"count": 1, "seconds": 0.3, "requests": ["apply"]})
        errors: list[BaseException] = []
        thread = in_background(lambda: client.apply(promotion_id, plan.digest), errors)
        wait_journal(world, State.APPLYING, promotion_id)
        cable.lose_answers()
        thread.join(PATIENCE_S)
        require(any(isinstance(e, OutcomeUnknownError) for e in errors), f"the answer was not lost: {errors}")
        cable.cut()
        cable.mend()
        promotion = client.promotion(promotion_id)
        require(promotion.state is State.WATCHING, f"applied once, and it is {promotion.state}")
        return confirmed(world, client, promotion)


def requests_duplicated(world: World) -> Ended:
    """Every request twice, apply and confirm at once from two threads: acts once."""
    with world.client() as client, world.client() as twin:
        plan = world.plan(client, target(world))
        promotion_id = plan.request.promotion_id
        require(client.plan(plan.request).digest == plan.digest, "the same plan twice")
        again = in_background(lambda: twin.apply(promotion_id, plan.digest))
        promotion = client.apply(promotion_id, plan.digest)
        again.join(PATIENCE_S)
        world.wait(client, promotion_id, is_passed)
        again = in_background(lambda: twin.confirm(promotion_id))
        client.confirm(promotion_id)
        again.join(PATIENCE_S)
        client.confirm(promotion_id)
        ended = Ended(expected={**promotion.plan.before, **plan.request.target})
        for state in ("applying", "confirmed"):
            count = sum(e.state_after == state and e.state_before != state for e in world.journal(promotion_id))
            require(count == 1, f"{state} {count} times")
        return ended


def requests_reordered(world: World) -> Ended:
    """Confirm before apply, apply before plan, cancel before apply: each refused, and nothing is applied."""
    with world.client() as client:
        request = world.request(target(world))
        for early in (
            lambda: client.apply(request.promotion_id, "0" * 64),
            lambda: client.confirm(request.promotion_id),
            lambda: client.cancel(request.promotion_id, "before it was planned"),
        ):
            require(refused(early), "an unknown promotion was acted on")
        plan = world.plan(client, target(world))
        require(refused(lambda: client.confirm(plan.request.promotion_id)), "confirmed before it was applied")
        client.cancel(plan.request.promotion_id, "before it was applied")
        require(refused(lambda: client.apply(plan.request.promotion_id, plan.digest)), "applied after it was cancelled")
    return Ended(expected=world.confirmed())


def two_controllers(world: World) -> Ended:
    """Two plans at once, applied at once: one is carried out, the other refused."""
    with world.client() as one, world.client() as two:
        first = world.plan(one, target(world))
        second = two.plan(world.request({**target(world), OTHER: world.levels.other}))
        require(second.is_allowed, "the second plan alone is allowed")
        threads = [
            in_background(lambda: one.apply(first.request.promotion_id, first.digest)),
            in_background(lambda: two.apply(second.request.promotion_id, second.digest)),
        ]
        for thread in threads:
            thread.join(PATIENCE_S)
        both = [one.promotion(plan.request.promotion_id) for plan in (first, second)]
        flying = [promotion for promotion in both if promotion.state is State.WATCHING]
        require(len(flying) == 1, f"in flight: {len(flying)}")
        loser = next(promotion for promotion in both if promotion.state is not State.WATCHING)
        require(refused(lambda: two.confirm(loser.promotion_id)), "the other one was confirmed")
        return confirmed(world, one, flying[0])
