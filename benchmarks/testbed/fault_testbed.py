"""The testbed violates φ, is changed by somebody else, or misbehaves."""

from __future__ import annotations

from benchmarks.testbed.plant import boot_s
from benchmarks.testbed.trial import (
    CONTROL,
    OTHER,
    Case,
    Ended,
    apply,
    confirmed,
    is_over,
    is_passed,
    pair_target,
    require,
    rolled_back,
    target,
)
from benchmarks.testbed.world import World
from bridge.promotion import State
from col.errors import RefusedError


def violation(world: World) -> Ended:
    """Promote a target that starves a DU."""
    with world.client() as client:
        promotion = apply(world, client, {CONTROL: world.levels.starved})
        world.wait(client, promotion.promotion_id, is_over)
    return rolled_back(world, promotion.promotion_id)


def somebody_else_interferes(world: World) -> Ended:
    """Somebody else sets one of our two controls: ours goes back, theirs is left and reported."""
    theirs = world.levels.theirs
    with world.client() as client:
        promotion = apply(world, client, pair_target(world))
        world.plant.set({OTHER: theirs})
        cause_s = boot_s()
        over = world.wait(client, promotion.promotion_id, is_over)
    require(over.state is State.CONFLICT and OTHER in over.conflicts, f"ended {over.state}, {dict(over.conflicts)}")
    expected = {**world.confirmed(), OTHER: theirs}
    require(abs(world.plant.in_force()[OTHER] - theirs) < 1e-9, "what somebody else had set was overwritten")
    return Ended(expected=expected, cause_s=cause_s)


def misbehaves(fault: str, setting: object, *, pair: bool = False, before: bool = True) -> Case:
    """Return the case of a testbed that misbehaves in a promotion; whatever passes in spite of it is cancelled."""

    def case(world: World) -> Ended:
        with world.client() as client:
            plan = world.plan(client, pair_target(world) if pair else target(world))
            promotion_id = plan.request.promotion_id
            if before:
                world.plant.misbehave(**{fault: setting})
            try:
                client.apply(promotion_id, plan.digest)
            except RefusedError:
                return Ended(expected=world.confirmed())
            if not before:
                world.plant.misbehave(**{fault: setting})
            promotion = world.wait(client, promotion_id, is_passed)
            if not promotion.state.is_final:
                client.cancel(promotion_id, "it passed in spite of everything")
        return rolled_back(world, promotion_id)

    return case


def holds_in_spite_of(fault: str, setting: object) -> Case:
    """Return the case of a misbehaviour that must not cost a promotion that holds."""

    def case(world: World) -> Ended:
        with world.client() as client:
            plan = world.plan(client, target(world))
            world.plant.misbehave(**{fault: setting})
            return confirmed(world, client, client.apply(plan.request.promotion_id, plan.digest))

    return case
