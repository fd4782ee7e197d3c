"""A remote testbed as a plant: what learns on the twin learns on a testbed behind an agent, and cannot tell.

Every trial goes through the agent's exploration mode: gate, lease, watchdog, journal, and the way back.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bridge.backends.base import Reading
from bridge.client import LeaseKeeper, TestbedClient
from bridge.plan import Mode, Plan, PlanRequest
from bridge.promotion import Cause, Promotion, State
from bridge.reasons import ReasonCode
from col.errors import InputError, OutcomeUnknownError, RefusedError, UnreachableError
from col.plant import (
    Intervention,
    PlantDescription,
    Trial,
    TrialOutcome,
    Windows,
    concatenate_windows,
)
from col.specification import Specification

__all__ = ["RemotePlant"]

MOST_WINDOWS = 1_000_000
SHORTEST_TRIAL_S = 60.0
PASSING = {ReasonCode.TOO_SOON, ReasonCode.TRIAL_IN_FLIGHT, ReasonCode.SPECIFICATION_INCONCLUSIVE_NOW}
"""Reasons that go away by waiting."""


class RemotePlant:
    """The testbed behind a client, as a `col.plant.Plant`.

    Its history reaches from the agent's first window to the last one that this plant has watched (at the beginning:
    that was there), so that reading it moves nothing. `patience_s` is how long it waits beyond what windows take: for
    an agent that does not answer, for a testbed without new windows, and for reasons of the gate that pass by
    themselves. `new_id` names the trials.

    Errors: InputError (nothing was changed), UnreachableError, PlantError. A trial that the gate or the testbed
    refuses, or whose end is not known, says so in its outcome.
    """

    def __init__(
        self,
        client: TestbedClient,
        *,
        patience_s: float = 30.0,
        lease_ttl_s: float = 10.0,
        new_id: Callable[[], str] = lambda: f"trial-{uuid.uuid4()}",
        why: str = "trial of a rehearsal on the testbed",
    ) -> None:
        self._client, self._patience_s, self._lease_ttl_s = client, patience_s, lease_ttl_s
        self._new_id, self._why = new_id, why
        self._description: PlantDescription | None = None
        self._watched: int | None = None

    def describe(self) -> PlantDescription:
        """Return what the testbed is."""
        if self._description is None:
            self._description = self._client.status().backend.plant
        return self._description

    def history(self, since: int) -> Windows:
        """Return the windows recorded by the agent from a number on, up to the last one watched."""
        if self._watched is None:
            everything = self._client.windows(0, MOST_WINDOWS)
            self._watched = int(everything.sequence[-1]) if len(everything) else -1
        windows = self._client.windows(max(since, 0), MOST_WINDOWS)
        return windows.take(windows.sequence <= self._watched)

    def observe(self, n: int) -> Windows:
        """Change nothing and return the `n` windows that begin after the call."""
        if n < 1:
            raise InputError("must be at least 1", key="n", value=n)
        self._settle_history()
        windows = self._collect(self._fresh_reading().next_sequence, n)
        self._watched = int(windows.sequence[-1])
        return windows

    def trial(self, x: Intervention, n: int, *, keep: bool = False) -> Trial:
        """Apply `x` under a lease, watch `n` windows, and go back unless `keep`.

        The agent keeps only what has passed its φ: with `keep`, at least one horizon is watched, and a trial that is
        not kept is a rolled-back one.
        """
        if n < 1:
            raise InputError("must be at least 1", key="n", value=n)
        self.describe().check(x)
        self._settle_history()
        watched = max(n, self._horizon()) if keep else n
        request = PlanRequest(
            promotion_id=self._new_id(),
            target=dict(x.values),
            mode=Mode.EXPLORATION,
            why=self._why,
            windows=watched,
            lease_ttl_s=self._lease_ttl_s,
            trial_timeout_s=SHORTEST_TRIAL_S + 2 * (watched + 2) * self.describe().wall_window_s,
            auto_confirm=keep,
        )
        try:
            plan = self._plan(request)
        except RefusedError as error:
            return self._refused(x, error.reasons)
        full = Intervention(plan.after)
        if not plan.is_allowed:
            return self._refused(full, tuple(str(reason) for reason in plan.reasons))
        promotion_id = plan.request.promotion_id
        with LeaseKeeper(self._client, promotion_id, request.lease_ttl_s):
            try:
                applied = self._apply(promotion_id, plan.digest)
            except RefusedError as error:
                return self._refused(full, error.reasons)
            return self._follow(full, applied, n, keep=keep)

    def _plan(self, request: PlanRequest) -> Plan:
        until_s = time.monotonic() + self._patience_s
        while True:
            plan = self._client.plan(request)
            if plan.is_allowed or not {r.code for r in plan.reasons} <= PASSING or time.monotonic() >= until_s:
                return plan
            time.sleep(min(1.0, max(0.05, self.describe().wall_window_s / 4)))
            request = replace(request, promotion_id=self._new_id())

    def _apply(self, promotion_id: str, digest: str) -> Promotion:
        try:
            return self._client.apply(promotion_id, digest)
        except OutcomeUnknownError:
            # Whatever became of it, the agent knows; the lease sees to it that nothing stays that nobody watches.
            return self._ask(promotion_id)

    def _ask(self, promotion_id: str) -> Promotion:
        until_s = time.monotonic() + self._patience_s
        while True:
            try:
                return self._client.promotion(promotion_id)
            except UnreachableError:
                if time.monotonic() >= until_s:
                    raise
            time.sleep(0.1)

    def _follow(self, full: Intervention, promotion: Promotion, n: int, *, keep: bool) -> Trial:
        read_back = Intervention(promotion.read_back) if promotion.state is State.WATCHING else None
        try:
            for change in self._client.watch(promotion.promotion_id):
                promotion = change
                if change.state is State.WATCHING and change.read_back:
                    read_back = Intervention(change.read_back)
        except UnreachableError:
            promotion = self._ask(promotion.promotion_id)
        nothing = self._nothing()
        if not promotion.state.is_final or promotion.state is State.CONFLICT:
            text = promotion.cause_text or f"left in state {promotion.state}"
            return self._trial(full, TrialOutcome.UNKNOWN, nothing, (text,), read_back)
        if promotion.state is State.REFUSED:
            return self._refused(full, tuple(str(r) for r in promotion.reasons) or (promotion.cause_text,))
        held = promotion.state is State.CONFIRMED or (promotion.cause is Cause.TRIAL_OVER and not keep)
        windows = self._of_trial(promotion, n)
        if held and len(windows) == n:
            return self._trial(full, TrialOutcome.HELD, windows, (), read_back)
        text = promotion.cause_text or str(promotion.cause)
        if not len(windows):
            # Nothing was seen of it: no observation, and the testbed is back.
            return self._refused(full, (text,))
        return self._trial(full, TrialOutcome.ROLLED_BACK, windows, (text,), read_back)

    def _of_trial(self, promotion: Promotion, n: int) -> Windows:
        """Return the last `n` windows that were watched, fewer where it ended before."""
        watched = [w.sequence for w in promotion.windows][-n:]
        if not watched:
            return self._nothing()
        windows = self._client.windows(watched[0], watched[-1] - watched[0] + 1)
        return windows.take(np.isin(windows.sequence, watched))

    def _trial(
        self,
        full: Intervention,
        outcome: TrialOutcome,
        windows: Windows,
        reasons: tuple[str, ...],
        read_back: Intervention | None,
    ) -> Trial:
        if len(windows):
            self._watched = int(windows.sequence[-1])
        return Trial(intervention=full, outcome=outcome, windows=windows, reasons=reasons, read_back=read_back)

    def _refused(self, x: Intervention, reasons: tuple[str, ...]) -> Trial:
        given = reasons or ("refused",)
        return Trial(intervention=x, outcome=TrialOutcome.REFUSED, windows=self._nothing(), reasons=given)

    def _collect(self, since: int, n: int) -> Windows:
        limit_s = 3.0 * (n + 2) * self.describe().wall_window_s + self._patience_s
        until_s = time.monotonic() + limit_s
        found: list[Windows] = []
        missing = n
        for windows in self._client.watch_windows(since):
            if len(windows):
                found.append(windows.take(slice(0, missing)))
                missing -= len(found[-1])
            if not missing:
                return concatenate_windows(found)
            if time.monotonic() > until_s:
                break
        raise UnreachableError(f"the testbed gave {n - missing} of {n} windows in {limit_s:.0f} s")

    def _fresh_reading(self) -> Reading:
        """Return a reading that the agent made after the call: only what begins after it is new."""
        until_s = time.monotonic() + self._patience_s
        first: Reading | None = None
        while True:
            status = self._client.status()
            now = status.reading
            if now is not None and first is not None and now.at_s != first.at_s:
                return now
            first = first or now
            if time.monotonic() >= until_s:
                problems = "; ".join(status.problems) or "its clock stands still"
                raise UnreachableError(f"the testbed cannot be read: {problems}")
            time.sleep(0.05)

    def _horizon(self) -> int:
        return Specification.parse(self._client.status().specification, source="the agent").horizon

    def _settle_history(self) -> None:
        if self._watched is None:
            self.history(MOST_WINDOWS)

    def _nothing(self) -> Windows:
        description = self.describe()
        return Windows.empty([c.name for c in description.controls], [m.name for m in description.metrics])
