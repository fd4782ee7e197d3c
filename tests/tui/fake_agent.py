"""An agent in memory: what the command line needs of `bridge.client.TestbedClient`; a test says what happens."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from bridge.backends.base import BackendDescription, Reading
from bridge.identity import Identity, Role
from bridge.plan import Change, Plan, PlanRequest
from bridge.promotion import Cause, Promotion, State
from bridge.reasons import Reason
from bridge.testbed import TestbedStatus
from col.certificate import Certificate, Prediction
from col.errors import RantwinError
from col.plant import Control, PlantDescription
from col.specification import Verdict

BASE = {"cpu_a": 1.2, "cpu_b": 1.2}
OPERATOR = Identity(name="olga", role=Role.OPERATOR, proof="test")


def certificate(base: Mapping[str, float], target: Mapping[str, float]) -> Certificate:
    return Certificate(
        testbed_id="embedded", stack="s", radio_mode="rt", scenario="made-up", scenario_digest="d",
        calibration_id="c", window_s=15.0, specification="always[0,4](a >= 1)", alpha=0.9, delta=0.05, bound=0.91,
        horizons=47, passes=47, base=dict(base), target=dict(target),
        predictions={"a": Prediction(base_low=1, base_high=2, target_low=1, target_high=2)},
        issued_at_s=1_790_000_000.0, expires_at_s=1_800_000_000.0,
    )  # fmt: skip


def status(confirmed: Mapping[str, float] = BASE) -> TestbedStatus:
    controls = tuple(
        Control(name=n, unit="core", lower=0.1, upper=1.5, resolution=0.01, reference=1.2) for n in confirmed
    )
    plant = PlantDescription(
        plant_id="embedded", controls=controls, metrics=(), window_s=15.0, wall_window_s=0.01, emulated=True
    )
    return TestbedStatus(
        backend=BackendDescription(plant=plant, stack="s", radio_mode="rt", gnbs={}),
        reading=Reading(controls=dict(confirmed), at_s=0.0, next_sequence=0),
        confirmed=dict(confirmed),
        specification="always[0,4](a >= 1)",
        alpha=0.9,
        active=None,
        exploration_enabled=False,
        journal_entries=0,
    )


class FakeAgent:
    """Plans are answered with `reasons`, in turn; `happens` is what a watch yields, an error is raised in it."""

    def __init__(self, reasons: list[tuple[Reason, ...]] | None = None) -> None:
        self.reasons = reasons or [()]
        self.asked: list[str] = []
        self.requests: list[PlanRequest] = []
        self.news: queue.SimpleQueue[Promotion | RantwinError] = queue.SimpleQueue()
        self.apply_fails: RantwinError | None = None
        self.after_apply: Callable[[], None] = lambda: None
        self.confirm_fails: list[RantwinError] = []
        self._promotion: Promotion | None = None

    def __enter__(self) -> FakeAgent:
        return self

    def __exit__(self, *_: object) -> None:
        self.asked.append("closed")

    def status(self) -> TestbedStatus:
        return status()

    def plan(self, request: PlanRequest) -> Plan:
        self.requests.append(request)
        reasons = self.reasons.pop(0) if len(self.reasons) > 1 else self.reasons[0]
        changes = tuple(Change(control=n, before=BASE[n], after=v, unit="core") for n, v in request.target.items())
        plan = Plan(request=request, before=BASE, after={**BASE, **request.target}, changes=changes, digest="d" * 64)
        plan = replace(plan, reasons=reasons)
        self._promotion = Promotion(
            promotion_id=request.promotion_id, plan=plan, state=State.WATCHING, who=OPERATOR, version=1,
            created_wall_s=0.0, windows_needed=5, auto_confirm=request.auto_confirm,
        )  # fmt: skip
        return plan

    def apply(self, promotion_id: str, digest: str) -> Promotion:
        self.asked.append("apply")
        if self.apply_fails is not None:
            raise self.apply_fails
        self.after_apply()
        return self.now()

    def now(self, **changes: object) -> Promotion:
        assert self._promotion is not None
        if changes:
            version = self._promotion.version + 1
            self._promotion = replace(self._promotion, version=version, **changes)  # type: ignore[arg-type]
        return self._promotion

    def happen(self, **changes: object) -> None:
        self.news.put(self.now(**changes))

    def passes(self) -> None:
        self.happen(verdict=Verdict.PASS, robustness=0.05)

    def fails(self) -> None:
        self.happen(
            state=State.ROLLED_BACK, verdict=Verdict.FAIL, cause=Cause.SPECIFICATION_FAILED, cause_text="φ failed"
        )

    def watch(self, promotion_id: str) -> Iterator[Promotion]:
        while True:
            news = self.news.get()
            if isinstance(news, RantwinError):
                raise news
            yield news

    def promotion(self, promotion_id: str) -> Promotion:
        self.asked.append("promotion")
        return self.now()

    def confirm(self, promotion_id: str) -> Promotion:
        self.asked.append("confirm")
        if self.confirm_fails:
            raise self.confirm_fails.pop(0)
        return self.now(state=State.CONFIRMED)

    def cancel(self, promotion_id: str, why: str) -> Promotion:
        self.asked.append("cancel")
        return self.now(state=State.ROLLED_BACK, cause=Cause.CANCELLED, cause_text=why)

    def renew_lease(self, promotion_id: str) -> Promotion:
        return self.now()
