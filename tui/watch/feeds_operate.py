"""What the operator may do from the screen: carry out the next certified step, confirm, roll back, the kill switch.

Every method here waits for the agent and belongs into a thread. Nothing here decides who may operate: the app asks
first, and the agent knows its operators itself.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bridge.plan import Mode, Plan, PlanRequest
from bridge.promotion import Promotion
from bridge.testbed import TestbedStatus
from col.certificate import SignedCertificate
from col.errors import InputError, OutcomeUnknownError, RantwinError, RefusedError, UnreachableError
from col.specification import Specification
from tui.certificate_files import changes_of
from tui.plan_view import ending
from tui.promotion_steps import Step, next_step, ready_plan, request_for
from tui.watch.feeds_testbed import TestbedFeed
from tui.watch.state import StepView

if TYPE_CHECKING:
    from bridge.client import TestbedClient

__all__ = ["Operator", "steps_of"]

LEASE_TTL_S = 10.0
_SLACK_S, _PLAN_AGAIN_S, _LOOK_S, _ENDS_S = 60.0, 5.0, 0.2, 2.0


def steps_of(
    certificates: Sequence[SignedCertificate], status: TestbedStatus | None, *, run: str
) -> tuple[tuple[StepView, ...], Step | None, str]:
    """Return the queue of a run's certified steps, the one that comes next, and words where none does."""
    following: Step | None = None
    words, is_done = "", False
    if status is not None and certificates:
        try:
            following = next_step(certificates, status, run=run)
            is_done = following is None
            words = f"the testbed is at the end of the path of {run}" if is_done else ""
        except (InputError, RefusedError) as error:
            words = str(error)
    elif not certificates:
        words = "this run has no certificates: 'rantwin certify RUN' makes them"
    units = {} if status is None else {c.name: c.unit for c in status.backend.plant.controls}
    steps = []
    for number, signed in enumerate(certificates, start=1):
        certificate = signed.certificate()
        changes = changes_of(certificate.base, certificate.target)
        state = ""
        if following is not None:
            state = "next" if number == following.number else "done" if number < following.number else "later"
        elif is_done:
            state = "done"
        steps.append(
            StepView(
                number=number,
                count=len(certificates),
                changes=tuple((name, before, after, units.get(name, "")) for name, (before, after) in changes.items()),
                bound=certificate.bound,
                passes=certificate.passes,
                horizons=certificate.horizons,
                expires_wall_s=certificate.expires_at_s,
                state=state,
            )
        )
    return tuple(steps), following, words


class Operator:
    """Acts on one testbed with a client of its own; tells the feed what it hears, so that the screen shows it at once.

    `step` is what `approve` carries out; the feeds set it. `waits_for` says for what an approve waits.
    """

    def __init__(
        self,
        open_client: Callable[[], TestbedClient],
        testbed: TestbedFeed,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open, self._testbed, self._clock = open_client, testbed, clock
        self._lock = threading.Lock()
        self._client: TestbedClient | None = None
        self._closed = threading.Event()
        self._busy = threading.Lock()
        self._plan_key: object = None
        self._plan_s = -_PLAN_AGAIN_S
        self.step: Step | None = None
        self.run = ""
        self._plan: tuple[str, Plan] | None = None
        self.plan_trouble = ""
        self.waits_for = ""
        self.keeps: str = ""
        """The promotion whose lease this screen keeps."""

    @property
    def plan(self) -> Plan | None:
        """What the gate said of `step`; None as long as it was asked about another one."""
        asked, step = self._plan, self.step
        return asked[1] if asked is not None and step is not None and asked[0] == step.certificate.digest else None

    def close(self) -> None:
        """Let the agent go; a lease that is kept runs out."""
        self._closed.set()
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _linked(self) -> TestbedClient:
        with self._lock:
            if self._closed.is_set():
                raise UnreachableError("the screen is closing")
            if self._client is None:
                self._client = self._open()
            return self._client

    def look(self, status: TestbedStatus | None) -> None:
        """Ask the gate about the next step, as a dry run, which leaves nothing at the agent; not more than it takes."""
        step = self.step
        if step is None or status is None or status.active is not None:
            self._plan_key = None
            return
        key = (step.certificate.digest, tuple(status.confirmed.items()))
        if key == self._plan_key and self._clock() - self._plan_s < _PLAN_AGAIN_S:
            return
        self._plan_key, self._plan_s = key, self._clock()
        try:
            plan = self._linked().plan(self._request(status, step, "", dry_run=True))
            self._plan, self.plan_trouble = (step.certificate.digest, plan), ""
        except RantwinError as error:
            self._plan, self.plan_trouble = None, str(error)

    def approve(self, status: TestbedStatus, why: str, step: Step | None = None) -> str:
        """Plan and apply the next step, and keep its lease until it has ended; return how it ended, in words.

        `step` is the one that was shown when it was asked for (None: the one of now): no other is ever carried out.

        Raises:
            RantwinError: nothing was applied, or the agent was lost: then the lease brings the testbed back.
        """
        following = self.step
        if following is None:
            raise RefusedError(("there is no certified step to carry out",))
        if step is not None and step.certificate.digest != following.certificate.digest:
            raise RefusedError((f"nothing was applied: step {following.number} is the next one now; ask again",))
        step = following
        if not self._busy.acquire(timeout=_ENDS_S):  # one that has just ended is seen to its end first
            raise RefusedError(("another promotion of this screen is under way",))
        try:
            return self._carry_out(step, status, why)
        finally:
            self.waits_for, self.keeps = "", ""
            self._busy.release()

    def _carry_out(self, step: Step, status: TestbedStatus, why: str) -> str:
        from bridge.client import LeaseKeeper

        client = self._linked()
        request = self._request(status, step, why, dry_run=False)
        watched_s = _watched_s(status)

        def say(words: str) -> None:
            self.waits_for = words

        plan = ready_plan(client, request, wait_s=2 * watched_s + 10.0, pause_s=watched_s / 10, say=say)
        self.waits_for = ""
        if not plan.is_allowed:
            raise RefusedError(tuple(reason.text for reason in plan.reasons))
        self.keeps = request.promotion_id
        latest: list[Promotion] = []

        def heard(promotion: Promotion) -> None:
            latest[:] = [promotion]
            self._testbed.take_promotion(promotion)

        with LeaseKeeper(client, request.promotion_id, request.lease_ttl_s, on_change=heard) as keeper:
            heard(_applied(client, plan, request.lease_ttl_s))
            while not latest[0].state.is_final and not self._closed.wait(_LOOK_S):
                if keeper.error is not None:
                    with contextlib.suppress(UnreachableError):
                        heard(client.promotion(request.promotion_id))
                    if not latest[0].state.is_final:
                        raise keeper.error
        return "; ".join(ending(latest[0]))

    def confirm(self, promotion_id: str) -> str:
        """Keep what is in force."""
        self._testbed.take_promotion(promotion := self._linked().confirm(promotion_id))
        return "; ".join(ending(promotion))

    def roll_back(self, promotion_id: str, why: str) -> str:
        """Bring the testbed back now."""
        self._testbed.take_promotion(promotion := self._linked().cancel(promotion_id, why or "rolled back on screen"))
        return "; ".join(ending(promotion))

    def kill(self, why: str) -> str:
        """Bring the testbed back to its confirmed configuration, without analysis."""
        promotions = self._linked().roll_back_everything(why or "kill switch")
        for promotion in promotions:
            self._testbed.take_promotion(promotion)
        if not promotions:
            return "kill switch: nothing was in flight, the confirmed configuration is in force"
        return "kill switch: " + "; ".join(f"{p.promotion_id} {p.state}" for p in promotions)

    def _request(self, status: TestbedStatus, step: Step, why: str, *, dry_run: bool) -> PlanRequest:
        return request_for(
            step,
            run=self.run,
            mode=Mode.PROMOTION,
            why=why,
            lease_ttl_s=LEASE_TTL_S,
            trial_timeout_s=max(600.0, 3 * _watched_s(status) + _SLACK_S),
            auto_confirm=False,
            dry_run=dry_run,
        )


def _watched_s(status: TestbedStatus) -> float:
    """Return how long the horizon of φ takes on the clock."""
    window_s = status.backend.plant.wall_window_s or status.backend.plant.window_s
    return Specification.parse(status.specification).horizon * window_s


def _applied(client: TestbedClient, plan: Plan, ttl_s: float) -> Promotion:
    """Apply once; where no answer came, ask what became of it for as long as the lease may run."""
    promotion_id = plan.request.promotion_id
    try:
        return client.apply(promotion_id, plan.digest)
    except OutcomeUnknownError:
        until = time.monotonic() + ttl_s + 10.0
        while True:
            try:
                return client.promotion(promotion_id)
            except (UnreachableError, OutcomeUnknownError):
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)
