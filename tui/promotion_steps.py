"""Which certified step of a run comes next, and the plan for it: asked again while what is missing comes by itself."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bridge.plan import Mode, Plan, PlanRequest
from bridge.reasons import ReasonCode
from bridge.testbed import TestbedStatus
from col.certificate import SignedCertificate
from col.errors import InputError, RefusedError
from tui.certificate_files import changes_of

if TYPE_CHECKING:
    from bridge.client import TestbedClient

__all__ = ["PASSING", "Step", "next_step", "ready_plan", "request_for"]

PASSING = frozenset(
    {
        ReasonCode.TOO_SOON,
        ReasonCode.SPECIFICATION_INCONCLUSIVE_NOW,
        ReasonCode.DRIFT_UNKNOWN,
        ReasonCode.TRIAL_IN_FLIGHT,
    }
)
"""Reasons that pass with time alone: more windows, spacing, the end of somebody else's trial."""

_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.2, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A certified step: its number in the path (from 1) of `count`, and its certificate."""

    number: int
    count: int
    certificate: SignedCertificate


def next_step(
    certificates: Sequence[SignedCertificate], status: TestbedStatus, *, number: int | None = None, run: str
) -> Step | None:
    """Return the step that begins at the confirmed configuration, None where the path's end is in force already.

    Raises:
        InputError: the run has no certificates, or none of that number.
        RefusedError: no step begins at the configuration that is confirmed.
    """
    if not certificates:
        raise InputError("has no certificates: 'rantwin certify RUN' makes them", source=run)
    count = len(certificates)
    if number is not None:
        if not 1 <= number <= count:
            raise InputError(f"the run has steps 1 to {count}", key="--step", value=number)
        return Step(number=number, count=count, certificate=certificates[number - 1])
    for place, signed in enumerate(certificates, start=1):
        if _same(signed.certificate().base, status):
            return Step(number=place, count=count, certificate=signed)
    if _same(certificates[-1].certificate().target, status):
        return None
    here = ", ".join(f"{name} {value:g}" for name, value in status.confirmed.items())
    raise RefusedError((f"no certified step of {run} begins at the confirmed configuration ({here})",))


def _same(values: Mapping[str, float], status: TestbedStatus) -> bool:
    """Whether values are those confirmed, as near as the gate wants it: half a resolution."""
    near = {control.name: control.resolution / 2 + 1e-9 for control in status.backend.plant.controls}
    confirmed = status.confirmed
    return values.keys() == confirmed.keys() and all(
        abs(value - confirmed[name]) <= near.get(name, 0.0) for name, value in values.items()
    )


def request_for(
    step: Step,
    *,
    run: str,
    mode: Mode,
    why: str,
    lease_ttl_s: float,
    trial_timeout_s: float,
    auto_confirm: bool,
    dry_run: bool = False,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex[:8],
) -> PlanRequest:
    """Return the request for a step, with an id of its own."""
    certificate = step.certificate.certificate()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", run).strip("-._")[:80] or "run"
    return PlanRequest(
        promotion_id=f"{name}-{step.number:02d}-{new_id()}",
        target={name: after for name, (_, after) in changes_of(certificate.base, certificate.target).items()},
        certificate=step.certificate,
        mode=mode,
        why=why or f"step {step.number} of {step.count} of {run}",
        lease_ttl_s=lease_ttl_s,
        trial_timeout_s=trial_timeout_s,
        auto_confirm=auto_confirm,
        dry_run=dry_run,
    )


def ready_plan(
    client: TestbedClient,
    request: PlanRequest,
    *,
    wait_s: float,
    pause_s: float,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Plan:
    """Return the plan, asked for again every `pause_s` while only reasons that pass stand against it.

    Until then it is asked for as a dry run, which leaves nothing at the agent; after `wait_s` seconds it is what it is.
    """
    until, said = clock() + wait_s, ""
    pause_s = min(max(pause_s, _LEAST_PAUSE_S), _MOST_PAUSE_S)
    while True:
        plan = client.plan(replace(request, dry_run=True))
        passing = bool(plan.reasons) and all(reason.code in PASSING for reason in plan.reasons)
        if not passing or clock() >= until:
            return plan if request.dry_run else client.plan(request)
        text = "; ".join(reason.text for reason in plan.reasons)
        if text != said:
            said = text
            say(f"waits, at most {until - clock():.0f} s more: {text}")
        sleep(pause_s)
