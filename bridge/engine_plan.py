"""From a request to what is in force: the plan, the gate (asked twice), and the one apply."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from bridge.backends.base import Reading
from bridge.engine_desk import Desk
from bridge.engine_request import check_request
from bridge.engine_rollback import begin, whose
from bridge.engine_watch import Watch
from bridge.engine_windows import Recorder
from bridge.gate import GateResult, Observation
from bridge.identity import Identity
from bridge.journal import JournalFullError
from bridge.lease import Timers
from bridge.plan import Plan, PlanRequest, plan_digest
from bridge.promotion import Actor, Cause, Event, State
from bridge.reasons import Reason, ReasonCode, RefusedForReasons
from bridge.records import IdTakenError, Record
from col.errors import InputError, PlantError, RefusedError, UnreachableError

__all__ = ["Planner"]

_MOST_WAITING = 100
"""Plans that were allowed and not applied."""


class Planner:
    """Plans, and applies them."""

    def __init__(self, desk: Desk, recorder: Recorder, watch: Watch) -> None:
        self._desk, self._recorder, self._watch = desk, recorder, watch

    def plan(self, who: Identity, request: PlanRequest) -> Plan:
        """Check a request and keep the plan; the operation of `bridge.testbed.Testbed`."""
        desk = self._desk
        check_request(request, desk.settings)
        stored = self._stored(request)
        if stored is not None and stored.state is not State.PLANNED:
            left_s = stored.planned_s + desk.settings.plan_ttl_s - desk.now_s
            in_time = stored.state is State.GATED and 0 < left_s <= desk.settings.plan_ttl_s
            reasons = stored.reasons if stored.state is State.REFUSED else stored.plan.reasons
            return replace(stored.plan, reasons=reasons, expires_in_s=left_s if in_time else 0.0)
        has_room = desk.journal.has_room()
        result, digest = self._ask(request, () if has_room else (_full("the disk or the journal is full"),))
        plan = Plan(
            request=request,
            before=dict(result.before),
            after=dict(result.after),
            changes=result.changes,
            digest=digest,
            reasons=result.reasons,
            drift=result.drift,
            expires_in_s=0.0 if result.reasons else desk.settings.plan_ttl_s,
            notes=result.notes,
        )
        if request.dry_run or not has_room:
            return plan
        try:
            self._keep(who, plan, stored)
        except JournalFullError as error:
            return replace(plan, reasons=(*plan.reasons, _full(str(error))), expires_in_s=0.0)
        return plan

    def _keep(self, who: Identity, plan: Plan, begun: Record | None) -> None:
        """Write the plan and what the gate said; `begun` is one whose gate never answered because the agent died."""
        desk = self._desk
        record = Record(
            plan=plan,
            state=State.PLANNED,
            who=who,
            version=1,
            created_wall_s=desk.clock.wall(),
            planned_s=desk.now_s,
            reasons=plan.reasons,
        )
        request = plan.request
        details = {
            "mode": str(request.mode),
            "target": dict(request.target),
            "why": request.why,
            "certificate": None if request.certificate is None else request.certificate.digest,
            "changes": {c.control: [c.before, c.after] for c in plan.changes},
            "digest": plan.digest,
        }
        if begun is None:
            desk.planned(record, who, details)
        else:
            record = replace(record, version=begun.version)
        reasons = {
            "reasons": [[str(r.code), r.text] for r in plan.reasons],
            "drift": plan.drift,
            "notes": list(plan.notes),
        }
        event = Event.GATE_PASSED if plan.is_allowed else Event.GATE_REFUSED
        desk.move(record, event, Actor.AGENT, who=who, details=reasons)
        while len(desk.gated) > _MOST_WAITING:
            self.end(next(iter(desk.gated.values())), "newer plans took its place: plan again")

    def apply(self, who: Identity, promotion_id: str, digest: str) -> Record:
        """Apply the plan of that digest; the operation of `bridge.testbed.Testbed`."""
        desk = self._desk
        record = desk.find(promotion_id)
        if digest != record.plan.digest:
            raise InputError("is not the digest of this promotion's plan", key="digest", value=digest[:64])
        if record.state is State.REFUSED:
            raise RefusedForReasons(record.reasons)
        if record.state is State.PLANNED:
            raise RefusedError(("the gate has not answered for this plan: plan again",))
        if record.state is not State.GATED:
            return record  # asked twice: acts once
        self.expire(record)
        result, fresh = self._ask(record.request, self._against_now())
        reading = desk.reading
        if reading is None or any(r.code is ReasonCode.BACKEND_UNREACHABLE for r in result.reasons):
            raise UnreachableError(f"the testbed cannot be read, nothing was applied: {desk.calls.problem}")
        reasons = result.reasons
        if fresh != digest:
            text = "the testbed is not as it was when the plan was made: plan again"
            reasons = (Reason(code=ReasonCode.PLAN_STALE, text=text, facts=_moved(record.plan, result)), *reasons)
        if reasons:
            self._refuse(record, who, reasons)
        record = self._begin(who, record, reading)
        self._carry_out(record, reading)
        return desk.find(promotion_id)

    def expire(self, record: Record) -> None:
        """Raise RefusedForReasons, and end the plan, if it is older than a plan may be."""
        desk = self._desk
        age_s = desk.now_s - record.planned_s
        if 0 <= age_s <= desk.settings.plan_ttl_s:
            return
        raise RefusedForReasons(
            (self.end(record, f"the plan is older than {desk.settings.plan_ttl_s:g} s: plan again"),)
        )

    def end(self, record: Record, text: str) -> Reason:
        """End a plan that was not applied."""
        desk = self._desk
        reason = Reason(code=ReasonCode.PLAN_EXPIRED, text=text)
        details = {"age_s": desk.now_s - record.planned_s, "text": text}
        is_begun = record.state is State.PLANNED
        event, actor = (Event.GATE_REFUSED, Actor.AGENT) if is_begun else (Event.PLAN_EXPIRED, Actor.DEADLINE)
        desk.move(record, event, actor, reasons=(reason,), details=details)
        return reason

    def _refuse(self, record: Record, who: Identity, reasons: tuple[Reason, ...]) -> None:
        details = {"reasons": [[str(r.code), r.text] for r in reasons]}
        self._desk.move(record, Event.GATE_REFUSED, Actor.AGENT, who=who, details=details, reasons=reasons)
        raise RefusedForReasons(reasons)

    def _begin(self, who: Identity, record: Record, reading: Reading) -> Record:
        """Make durable all that the way back needs, before anything is applied."""
        desk, now_s = self._desk, self._desk.now_s
        after = record.plan.after
        values = {c: v for c, v in after.items() if not desk.near(c, reading.controls.get(c, math.nan), v)}
        previous = {c: desk.confirmed[c] for c in values}
        request = record.request
        # The lease is that of whoever applies, who need not be the one who planned.
        return desk.move(
            replace(record, who=who),
            Event.APPLY,
            Actor.OPERATOR,
            who=who,
            details={
                "previous": previous,
                "values": values,
                "automation": reading.automation,
                "mode": str(request.mode),
                "lease_ttl_s": request.lease_ttl_s,
                "trial_timeout_s": request.trial_timeout_s,
            },
            facts={"touched": sorted(desk.touched | values.keys()), "last_change_s": now_s, "late": {}},
            timers=Timers.started(now_s, lease_ttl_s=request.lease_ttl_s, trial_timeout_s=request.trial_timeout_s),
            previous=previous,
            set_values=values,
            in_force=dict(after),
            tolerance={c: desk.resolution.get(c, 0.0) / 2 for c in after},
            automation=reading.automation,
        )

    def _carry_out(self, record: Record, before: Reading) -> None:
        desk = self._desk
        try:
            if before.automation:
                desk.calls.set_automation(False)
            answer = None
            if record.set_values:  # a trial of what is in force already sets nothing, and no backend is asked to
                answer = desk.calls.apply(record.set_values, settle_s=desk.settings.settle_s)
        except RefusedError as error:
            self._refused_by_testbed(record, error)
            return
        except PlantError as error:
            # Also where the backend says that nothing was done: what is in force says so, and nobody else.
            self._lost(record, str(error))
            return
        reading = desk.read()
        if reading is None:
            self._lost(record, f"applied, but it cannot be read back: {desk.calls.problem}")
            return
        found = whose(record, reading)
        if found.base or found.others or reading.automation:
            wrong = ", ".join([*found.base, *found.others]) or "the automation"
            text = f"acknowledged, but without effect on {wrong}"
            begin(desk, Actor.AGENT, Cause.APPLY_FAILED, text, is_broken_off=False)
            return
        first = reading.next_sequence if answer is None else answer.next_sequence
        self._watch.started(record, Event.APPLIED, reading, first_sequence=first)

    def _lost(self, record: Record, why: str) -> None:
        self._desk.move(
            record, Event.REPLY_LOST, Actor.TESTBED, details={"text": why}, cause_text=why, is_outcome_unknown=True
        )
        self._watch.reconcile()

    def _refused_by_testbed(self, record: Record, error: RefusedError) -> None:
        desk = self._desk
        text = f"the testbed refused: {'; '.join(error.reasons)}"
        reading = desk.read()
        is_base = reading is not None and not whose(record, reading).ours and not whose(record, reading).others
        if reading is None or not is_base or record.automation:
            begin(desk, Actor.AGENT, Cause.APPLY_FAILED, text, is_broken_off=False)
            return
        reason = Reason(code=ReasonCode.TESTBED_REFUSED, text=text)
        desk.move(
            record,
            Event.APPLY_REFUSED,
            Actor.TESTBED,
            details={"text": text},
            reasons=(reason,),
            read_back=dict(reading.controls),
        )
        raise RefusedForReasons((reason,))

    def _ask(self, request: PlanRequest, problems: tuple[Reason, ...]) -> tuple[GateResult, str]:
        """Ask the gate with what is known now; also the digest of what it was told."""
        desk = self._desk
        description = desk.calls.describe()
        reading = desk.read()
        desk.learn(reading)
        self._recorder.pull()
        seen = reading
        if reading is not None and reading.automation and desk.automation:
            # What the automation does from moment to moment is no configuration: it returns to the confirmed one.
            seen = replace(reading, controls={**reading.controls, **desk.confirmed})
        ago_s = None if desk.last_change_s is None else desk.now_s - desk.last_change_s
        count = self._watch.specification.horizon + 2 * desk.settings.requirements.drift_windows
        observation = Observation(
            description=description,
            reading=seen,
            confirmed=desk.confirmed,
            windows=self._recorder.latest(max(count, 50)),
            active=None if desk.active is None else desk.active.promotion(desk.now_s),
            now_wall_s=desk.clock.wall(),
            last_change_s_ago=ago_s,
            problems=(*desk.problems(), *problems),
        )
        result = desk.gate(request, observation, desk.settings)
        before: Mapping[str, float] = result.before if seen is None else seen.controls
        return result, plan_digest(request, before, desk.confirmed)

    def _against_now(self) -> tuple[Reason, ...]:
        return () if self._desk.journal.has_room() else (_full("the disk or the journal is full"),)

    def _stored(self, request: PlanRequest) -> Record | None:
        desk = self._desk
        try:
            stored = desk.find(request.promotion_id)
        except InputError:
            if desk.journal.was_used(request.promotion_id):
                raise IdTakenError(
                    "was used before: choose another one", key="promotion_id", value=request.promotion_id
                ) from None
            return None
        if replace(stored.request, dry_run=request.dry_run) != request:
            raise IdTakenError(
                "belongs to another request: choose another one", key="promotion_id", value=request.promotion_id
            )
        return stored


def _full(text: str) -> Reason:
    return Reason(code=ReasonCode.JOURNAL_FULL, text=text)


def _moved(plan: Plan, result: GateResult) -> dict[str, str]:
    return {
        c: f"{plan.before.get(c, math.nan):g} -> {value:g}"
        for c, value in result.before.items()
        if plan.before.get(c) != value
    }
