"""Carrying out a plan: apply, keep the lease, watch, and confirm or go back, whatever the operator or the line does."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bridge.plan import Plan
from bridge.promotion import Promotion, State
from col.errors import InputError, OutcomeUnknownError, RantwinError, RefusedError, UnreachableError
from col.specification import Verdict
from tui.promotion_watch import Follower, View
from tui.stopping import Stopping, stoppable

if TYPE_CHECKING:
    from bridge.client import TestbedClient

__all__ = ["Answer", "LeftToLease", "Operator", "carry_out"]

_AGAIN_S = 1.0


class Answer(StrEnum):
    """What an operator may want of a promotion."""

    CONFIRM = "confirm"
    ROLL_BACK = "roll back"
    LEAVE = "leave it to the lease"
    GO_ON = "go on watching"


class LeftToLease(RantwinError):
    """The operator left: nobody renews the lease any more, so the testbed goes back by itself."""

    def __init__(self, promotion: Promotion) -> None:
        self.promotion = promotion
        ttl_s = promotion.plan.request.lease_ttl_s
        super().__init__(f"left to the lease: within {ttl_s:g} s the testbed goes back by itself")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who decides: `passed` when φ has passed and nobody confirmed yet, `interrupted` after Ctrl-C; `say` tells."""

    passed: Callable[[Promotion], Answer]
    interrupted: Callable[[Promotion], Answer]
    say: Callable[[str], None]


def carry_out(client: TestbedClient, plan: Plan, view: Callable[[], View], operator: Operator) -> Promotion:
    """Apply a plan and see it to its end; return the promotion in its final state.

    Raises:
        RefusedError: the gate or the state refused; nothing was applied.
        LeftToLease: the operator left it.
        UnreachableError: the agent does not answer any more; the lease brings the testbed back.
    """
    from bridge.client import LeaseKeeper

    ttl_s = plan.request.lease_ttl_s
    with stoppable() as stopping:
        # The lease is kept from before the apply: that may take as long as the lease itself.
        renewed: queue.SimpleQueue[Promotion] = queue.SimpleQueue()
        with LeaseKeeper(client, plan.request.promotion_id, ttl_s, on_change=renewed.put):
            promotion = _applied(client, plan, ttl_s)
            if promotion.state.is_final:
                return promotion
            with Follower(client, promotion, renewed, patience_s=3 * ttl_s + 30.0) as follower:
                return _Watch(client, follower, view, operator, stopping).run()


class _Watch:
    """The loop between what the agent says and what the operator wants."""

    def __init__(
        self,
        client: TestbedClient,
        follower: Follower,
        view: Callable[[], View],
        operator: Operator,
        stopping: Stopping,
    ) -> None:
        self._client, self._follower, self._view, self._operator = client, follower, view, operator
        self._stopping = stopping
        self._wanted: Answer | None = None
        self._asks_from = 0
        self._asked_at = 0.0

    def run(self) -> Promotion:
        while True:
            try:
                with self._view() as view:
                    promotion = self._until_something_is_to_be_decided(view)
                if promotion.state.is_final:
                    return promotion
                self._want(self._operator.passed(promotion))
            except KeyboardInterrupt:
                self._stopping.heard()
                if self._follower.latest.state.is_final:
                    return self._follower.latest
                self._want(self._operator.interrupted(self._follower.latest))

    def _until_something_is_to_be_decided(self, view: View) -> Promotion:
        while True:
            view.show(self._follower)
            self._stopping.check()
            promotion = self._follower.latest
            if promotion.state.is_final:
                return promotion
            if self._wanted is not None:
                self._ask_the_agent()
            elif promotion.version >= self._asks_from and _waits_for_confirm(promotion):
                return promotion
            self._follower.wait()

    def _want(self, answer: Answer) -> None:
        if answer is Answer.LEAVE:
            raise LeftToLease(self._follower.latest)
        self._wanted = None if answer is Answer.GO_ON else answer
        self._asked_at = 0.0

    def _ask_the_agent(self) -> None:
        """Ask for what is wanted, and again while there is no answer: the same id acts once."""
        if time.monotonic() - self._asked_at < _AGAIN_S:
            return
        self._asked_at = time.monotonic()
        promotion_id = self._follower.latest.promotion_id
        try:
            if self._wanted is Answer.CONFIRM:
                self._follower.take(self._client.confirm(promotion_id))
            else:
                self._follower.take(self._client.cancel(promotion_id, "the operator rolled it back"))
        except (RefusedError, InputError) as error:
            # Its end is near, and the agent tells it; or the pass was taken back, and may come again.
            self._operator.say(str(error))
            self._wanted, self._asks_from = None, self._follower.latest.version + 1
        except (UnreachableError, OutcomeUnknownError) as error:
            self._operator.say(f"no answer to '{self._wanted}', asks again: {error}")


def _waits_for_confirm(promotion: Promotion) -> bool:
    return promotion.state is State.WATCHING and promotion.verdict is Verdict.PASS and not promotion.auto_confirm


def _applied(client: TestbedClient, plan: Plan, ttl_s: float) -> Promotion:
    """Apply once; where no answer came, ask what became of it for as long as the lease may run."""
    try:
        return client.apply(plan.request.promotion_id, plan.digest)
    except OutcomeUnknownError:
        until = time.monotonic() + ttl_s + 10.0
        while True:
            try:
                return client.promotion(plan.request.promotion_id)
            except (UnreachableError, OutcomeUnknownError):
                if time.monotonic() > until:
                    raise
                time.sleep(_AGAIN_S)
