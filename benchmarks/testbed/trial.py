"""What the fault cases share: targets that hold, waiting, and how a case must end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.testbed.plant import PATIENCE_S, boot_s
from benchmarks.testbed.world import World
from bridge.client import TestbedClient
from bridge.promotion import Promotion, State
from col.errors import InputError, RantwinError, RefusedError, UnreachableError
from col.specification import Verdict

__all__ = [
    "CONTROL",
    "OTHER",
    "Case",
    "Ended",
    "apply",
    "at_rest",
    "confirmed",
    "in_background",
    "is_over",
    "is_passed",
    "pair_target",
    "refused",
    "require",
    "rolled_back",
    "target",
    "wait_journal",
]

CONTROL, OTHER = "cpu_du_1", "cpu_cu_1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """`expected` has to be in force; `cause_s` is when the cause was, None where nothing had to be brought back."""

    expected: Mapping[str, float]
    cause_s: float | None = None


Case = Callable[[World], Ended]


def target(world: World) -> dict[str, float]:
    """Return a target that holds: to and fro between two harmless limits."""
    low, high = world.levels.du
    return {CONTROL: low if world.confirmed()[CONTROL] > (low + high) / 2 else high}


def pair_target(world: World) -> dict[str, float]:
    """Return a target over two controls."""
    low, high = world.levels.cu
    return {**target(world), OTHER: low if world.confirmed()[OTHER] > (low + high) / 2 else high}


def is_passed(promotion: Promotion) -> bool:
    """Tell whether the verdict is pass, or nothing more can happen."""
    return promotion.verdict is Verdict.PASS or promotion.state.is_final


def is_over(promotion: Promotion) -> bool:
    """Tell whether nothing more can happen."""
    return promotion.state.is_final


def apply(world: World, client: TestbedClient, target: Mapping[str, float], **changes: object) -> Promotion:
    """Plan once the gate lets it through, and apply; again where a window in between made it refuse."""
    until = boot_s() + PATIENCE_S
    while True:
        plan = world.plan(client, target, **changes)
        try:
            return client.apply(plan.request.promotion_id, plan.digest)
        except RefusedError:
            if boot_s() > until:
                raise


def rolled_back(world: World, promotion_id: str) -> Ended:
    """Wait until a promotion is rolled back."""
    with world.client() as client:
        promotion = world.wait(client, promotion_id, is_over, renew=False)
    require(promotion.state is State.ROLLED_BACK, f"{promotion_id} ended {promotion.state}")
    return Ended(expected=world.confirmed(), cause_s=world.cause_s(promotion_id))


def confirmed(world: World, client: TestbedClient, promotion: Promotion) -> Ended:
    """Wait until a promotion has passed, and confirm it."""
    world.wait(client, promotion.promotion_id, is_passed)
    client.confirm(promotion.promotion_id)
    return Ended(expected={**promotion.plan.before, **promotion.plan.request.target})


def at_rest(world: World) -> None:
    """Wait until no promotion is in flight and the testbed can be read; leaves nothing switched on."""
    world.plant.behave()
    until = boot_s() + PATIENCE_S
    with world.client() as client:
        while True:
            with contextlib.suppress(UnreachableError):
                status = client.status()
                if status.reading is not None and status.active is None:
                    return
            if boot_s() > until:
                raise RuntimeError("the world does not come to rest")
            time.sleep(0.05)


def require(holds: bool, what: str) -> None:
    """Raise RuntimeError unless it holds."""
    if not holds:
        raise RuntimeError(what)


def wait_journal(world: World, state: State, promotion_id: str) -> None:
    """Wait until the journal has a promotion in that state."""
    until = boot_s() + PATIENCE_S
    while not any(e.state_after == str(state) for e in world.journal(promotion_id)):
        require(boot_s() < until, f"{promotion_id} never became {state}")
        time.sleep(0.005)


def in_background(act: Callable[[], object], errors: list[BaseException] | None = None) -> threading.Thread:
    """Start to do something whose errors of ours are kept, not raised."""

    def run() -> None:
        try:
            act()
        except (RantwinError, OSError) as error:
            if errors is not None:
                errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def refused(act: Callable[[], object]) -> bool:
    """Tell whether an act is refused as malformed or out of turn."""
    try:
        act()
    except (InputError, RefusedError):
        return True
    return False
