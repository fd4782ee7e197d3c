"""`rantwin promote RUN`: the next certified step of a run carried out on a testbed, as a confirmed commit."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from bridge.plan import Mode, Plan
from bridge.promotion import Promotion, State
from bridge.reasons import Reason, RefusedForReasons
from bridge.testbed import TestbedStatus
from col.errors import InputError
from col.specification import Specification, Verdict
from tui.agent_link import connect
from tui.certificate_files import load_certificates
from tui.console import EXIT_DONE, EXIT_FAILED, print_json
from tui.plan_view import ending, plan_lines, promotion_json, reason_lines, standing, testbed_line
from tui.promotion_run import Answer, LeftToLease, Operator, carry_out
from tui.promotion_steps import Step, next_step, ready_plan, request_for
from tui.promotion_watch import choose_view
from tui.run_folder import RunFolder, find_run

if TYPE_CHECKING:
    from bridge.client import TestbedClient

__all__ = ["promote_command"]

_SLACK_S = 60.0


def promote_command(args: argparse.Namespace) -> int:
    """Promote one step, or all that are left."""
    if args.repair and not args.why:
        raise InputError("a repair needs a reason: --why TEXT", key="--repair")
    folder = RunFolder.open(find_run(args.runs_dir, args.run_folder))
    run = folder.path.resolve().name
    certificates = load_certificates(folder.path)
    done: list[dict[str, Any]] = []
    code = EXIT_DONE
    with connect(args) as client:
        status = client.status()
        _say(testbed_line(status))
        number = args.step
        while (step := next_step(certificates, status, number=number, run=run)) is not None:
            code = _promote(client, status, step, run, args, done)
            if code != EXIT_DONE or args.dry_run or not args.all:
                break
            status, number = client.status(), None
        else:
            if not done:
                _say(f"nothing to do: the testbed is at the end of the path of {run}")
    if args.json:
        print_json({"run": str(folder.path), "promotions": done, "exit_code": code})
    return code


def _promote(
    client: TestbedClient,
    status: TestbedStatus,
    step: Step,
    run: str,
    args: argparse.Namespace,
    done: list[dict[str, Any]],
) -> int:
    horizon = Specification.parse(status.specification).horizon
    window_s = status.backend.plant.wall_window_s or status.backend.plant.window_s
    watched_s = horizon * window_s
    request = request_for(
        step,
        run=run,
        mode=Mode.REPAIR if args.repair else Mode.PROMOTION,
        why=args.why,
        lease_ttl_s=args.lease,
        trial_timeout_s=args.trial_timeout or max(600.0, 3 * watched_s + _SLACK_S),
        auto_confirm=args.auto_confirm,
        dry_run=args.dry_run,
    )
    wait_s = args.wait if args.wait is not None else 2 * watched_s + 10.0
    plan = ready_plan(client, request, wait_s=wait_s, pause_s=window_s / 2, say=_say)
    _say(f"step {step.number} of {step.count} of {run}")
    for line in plan_lines(plan):
        _say(line)
    if args.dry_run or not plan.is_allowed:
        if plan.is_allowed:
            _say("nothing stands against it; nothing was applied (--dry-run)")
        done.append(_plan_json(plan, step))
        return EXIT_DONE if plan.is_allowed else EXIT_FAILED
    if not args.yes and not _yes(f"apply this under a lease of {request.lease_ttl_s:g} s?"):
        _say("nothing applied")
        done.append({**_plan_json(plan, step), "state": "not applied"})
        return EXIT_FAILED
    try:
        promotion = carry_out(client, plan, choose_view(sys.stderr, quiet=args.quiet), _operator(args))
    except RefusedForReasons as error:
        _say("refused, nothing was applied:")
        for line in reason_lines(error.details):
            _say(line)
        done.append({**_plan_json(plan, step), "state": State.REFUSED, "reasons": _reasons(error.details)})
        return EXIT_FAILED
    except LeftToLease as left:
        _say(str(left))
        done.append({"step": step.number, **promotion_json(left.promotion), "state": "left to the lease"})
        return EXIT_FAILED
    for line in ending(promotion):
        print(line, file=sys.stderr if args.json else sys.stdout, flush=True)
    done.append({"step": step.number, **promotion_json(promotion)})
    return EXIT_DONE if promotion.state is State.CONFIRMED else EXIT_FAILED


def _operator(args: argparse.Namespace) -> Operator:
    def passed(promotion: Promotion) -> Answer:
        if args.yes:
            return Answer.CONFIRM
        _say(standing(promotion))
        return Answer.CONFIRM if _yes("φ held. Confirm, so that it stays?") else Answer.ROLL_BACK

    def interrupted(promotion: Promotion) -> Answer:
        if not sys.stdin.isatty():
            return Answer.ROLL_BACK
        may_confirm = promotion.verdict is Verdict.PASS
        choices = {"r": Answer.ROLL_BACK, "l": Answer.LEAVE, "g": Answer.GO_ON}
        words = "[r]oll back, [l]eave it to the lease, [g]o on"
        if may_confirm:
            choices["c"], words = Answer.CONFIRM, f"[c]onfirm, {words}"
        _say(f"stopped: {standing(promotion)}")
        try:
            while (answer := _answer(f"{words}? ")) not in choices:
                if not answer:
                    return Answer.ROLL_BACK
        except KeyboardInterrupt:
            return Answer.LEAVE
        return choices[answer]

    return Operator(passed=passed, interrupted=interrupted, say=_say)


def _yes(question: str) -> bool:
    return _answer(f"{question} [y/N] ") in ("y", "yes")


def _answer(question: str) -> str:
    """Return a line of stdin, empty at its end; the question goes to stderr, since stdout is for results."""
    print(question, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        print(file=sys.stderr)
    return line.strip().lower()


def _plan_json(plan: Plan, step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "promotion_id": plan.request.promotion_id,
        "state": "allowed" if plan.is_allowed else State.REFUSED,
        "changes": [{"control": c.control, "before": c.before, "after": c.after, "unit": c.unit} for c in plan.changes],
        "digest": plan.digest,
        "certificate": step.certificate.digest,
        "reasons": _reasons(plan.reasons),
        "drift": plan.drift,
        "notes": plan.notes,
    }


def _reasons(reasons: tuple[Reason, ...]) -> list[dict[str, str]]:
    return [{"code": str(reason.code), "text": reason.text} for reason in reasons]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
