"""Promotions: what is in flight and for how long, the queue, the plan with the gate's reasons, and those before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest

from bridge.plan import Plan
from bridge.promotion import Promotion, State, WatchedWindow
from bridge.testbed import JournalEntry
from tui.plan_view import ending, evidence_lines, seconds, window_line
from tui.promotion_watch import counted_down
from tui.watch.marks import (
    FAIL,
    HOLD,
    LOST,
    PASS,
    Frame,
    Line,
    Mark,
    Span,
    age,
    cut,
    fit,
    rule,
    unit_word,
    verdict_mark,
    wrap,
)
from tui.watch.pane import LinesPane
from tui.watch.state import Connection, PromotionView, StepView, WatchState

__all__ = ["PromotionsPane", "clock", "countdown", "promotions_frame", "state_mark", "window_mark"]

_TWO_COLUMNS_FROM = 130
_MOST_WINDOWS = 12
_LOW = 0.3
_STATES = {
    State.PLANNED: (".", "dim"),
    State.GATED: (".", "text"),
    State.REFUSED: ("x", "fail"),
    State.APPLYING: ("*", "trial"),
    State.UNKNOWN: ("?", "hold"),
    State.WATCHING: ("*", "trial"),
    State.CONFIRMED: ("+", "pass"),
    State.ROLLING_BACK: ("<", "hold"),
    State.ROLLED_BACK: ("<", "hold"),
    State.CONFLICT: ("!", "fail"),
}
_STEPS = {"done": ("+", "pass"), "next": (">", "trial"), "later": (".", "dim")}


def state_mark(state: State) -> Mark:
    """Return the mark of a promotion's state."""
    return Mark(str(state).upper(), *_STATES[state])


def window_mark(window: WatchedWindow) -> Mark:
    """Return what a watched window says of φ so far; a missing metric never passes."""
    if window.missing or math.isnan(window.robustness_low) or math.isnan(window.robustness_high):
        return HOLD
    if window.robustness_high < 0:
        return FAIL
    return PASS if window.robustness_low >= 0 else HOLD


def clock(wall_s: float) -> str:
    """Return the time of day in UTC."""
    return f"{datetime.fromtimestamp(wall_s, UTC):%H:%M:%S}"


def countdown(name: str, left_s: float | None, whole_s: float, width: int = 12) -> Line:
    """Return a timer that runs down: a bar, seconds, and a word where there is little left."""
    if left_s is None:
        return ((f"{name:<9}", "text"), ("does not run", "dim"))
    share = min(max(left_s / whole_s, 0.0), 1.0) if whole_s > 0 else 0.0
    is_low = share <= _LOW
    full = math.ceil(share * width - 1e-9)
    spans: list[Span] = [
        (f"{name:<9}", "text"),
        ("█" * full, "hold" if is_low else "pass"),
        ("░" * (width - full), "dim"),
        (f" {seconds(left_s)} of {seconds(whole_s)}", "text"),
    ]
    if is_low:
        spans += [(" ", "text"), ("RUNS OUT !" if left_s > 0 else "OVER x", "fail")]
    return tuple(spans)


def promotions_frame(state: WatchState, width: int, height: int) -> Frame:
    """Return the view; two columns where there is room."""
    view = state.promotions
    units = {row.key: unit_word(row.unit) for row in state.rows}
    column = width if width < _TWO_COLUMNS_FROM else (width - 3) // 2
    now = [*_in_flight(view, state, column), (), *_before(view, column)]
    ahead = [*_queue(view, units, column, state.now_wall_s), (), *_plan(view, column)]
    if column == width:
        return Frame(head=(_standing(state, width),), body=(*now, (), *ahead))
    room = height - 3 - len(now)
    if room > 2 and view.journal:
        newest = sorted(view.journal, key=lambda e: e.number, reverse=True)
        now += [(), rule("journal, newest first", column), *(_written(e, column) for e in newest[: room - 1])]
    body = []
    for left, right in zip_longest(now, ahead, fillvalue=()):
        used = cut(left, column)
        body.append((*_padded(used, column), (" │ ", "rule"), *cut(right, column)))
    return Frame(head=(_standing(state, width),), body=tuple(body))


def _written(e: JournalEntry, width: int) -> Line:
    change = e.state_after if e.state_before == e.state_after else f"{e.state_before or '·'} → {e.state_after}"
    return cut([(f"{clock(e.wall_s)} ", "dim"), (f"{e.actor:<9} {e.kind:<16} ", "text"), (change, "dim")], width)


def _padded(line: Line, width: int) -> Line:
    length = sum(len(text) for text, _ in line)
    return (*line, (" " * max(width - length, 0), "text"))


def _standing(state: WatchState, width: int) -> Line:
    plant, drift = state.testbed, state.gap.drift
    spans: list[Span] = [("TESTBED", "testbed"), (f" {plant.title or 'none'} ", "text")]
    if plant.emulated:
        spans += [("EMULATED", "emulated"), (" ", "text")]
    if plant.connection is Connection.LOST:
        since_s = 0.0 if state.promotions.received_s is None else state.now_s - state.promotions.received_s
        return cut([*spans, (" ", "text"), (LOST.text, LOST.role), (f"  told {age(since_s)} ago", "hold")], width)
    if plant.connection is Connection.CONNECTED and drift is None:
        spans.append((" drift unknown ?", "dim"))
    elif plant.connection is Connection.CONNECTED and drift is not None:
        mark = PASS if drift <= 1 else HOLD  # the limit is the gate's, among its reasons
        spans += [
            (f" drift {drift:.2f} ", "text"),
            (mark.text, mark.role),
            (" (1 is the edge of the prediction)", "dim"),
        ]
    if state.promotions.exploration_enabled:
        spans.append(("  exploration is on !", "hold"))
    spans.append(("" if state.operate else "  read-only", "dim"))
    return cut(spans, width)


def _in_flight(view: PromotionView, state: WatchState, width: int) -> list[Line]:
    lines: list[Line] = [rule("in flight", width)]
    if view.active is None:
        gone = "" if state.testbed.connection is Connection.CONNECTED else state.testbed.words
        words = (view.waits_for and f"waits for {view.waits_for}") or gone or view.words or "nothing"
        return [*lines, *(((line, "hold" if view.waits_for else "text"),) for line in wrap(words, width))]
    since_s = 0.0 if view.received_s is None else max(state.now_s - view.received_s, 0.0)
    active = counted_down(view.active, since_s)
    mark = state_mark(active.state)
    verdict = verdict_mark(active.verdict)
    says = "no verdict yet" if active.verdict is None else f"φ {active.verdict}"
    lines.append(
        cut([(mark.text, mark.role), ("  ", "text"), (verdict.text, verdict.role), (f" {says}", "text")], width)
    )
    whose = f"{active.plan.request.mode} {active.promotion_id}, by {active.who.name}"
    lines.append(((fit(whose, width), "dim"),))
    lines += [cut(line, width) for line in _timers(active, view.keeps_lease)]
    lines += _changes(active.plan, width)
    lines += _windows(active, width)
    for control, (ours, theirs) in active.conflicts.items():
        lines.append(cut([("CONFLICT !", "fail"), (f" {control}: we set {ours:g}, now {theirs:g}", "text")], width))
    if active.cause_text:
        lines += [((line, "hold"),) for line in wrap(f"cause: {active.cause_text}", width, "  ")]
    if state.testbed.connection is Connection.LOST and not active.state.is_final:
        words = "the testbed goes back by itself when lease or deadline is over, whether this screen hears of it or not"
        lines += [((line, "hold"),) for line in wrap(words, width)]
    elif active.verdict == "pass" and not active.state.is_final:
        word = "confirms itself" if active.auto_confirm else "c keeps it, R brings the testbed back"
        lines.append(((fit(f"verdict is there: {word}", width), "pass"),))
    return lines


def _timers(active: Promotion, keeps: bool) -> list[Line]:
    lease = countdown("lease", active.lease_remaining_s, active.plan.request.lease_ttl_s)
    if active.lease_remaining_s is not None:
        lease = (*lease, ("  kept by this screen" if keeps else "  kept elsewhere, or by nobody", "dim"))
    return [lease, countdown("deadline", active.deadline_remaining_s, active.plan.request.trial_timeout_s)]


def _changes(plan: Plan, width: int) -> list[Line]:
    """Return the plan as a diff, each value with its unit."""
    name = max((len(change.control) for change in plan.changes), default=0)
    lines: list[Line] = []
    for change in plan.changes:
        unit = unit_word(change.unit)
        lines.append(
            cut(
                [(f"  {change.control:<{name}} ", "key"), (f"{change.before:>8.3f} ", "text"), ("-> ", "dim"),
                 (f"{change.after:>8.3f} {unit}", "title"), (f"  ({change.after - change.before:+.3f} {unit})", "dim")],
                width,
            )
        )  # fmt: skip
    return lines or [(("  no control would change", "dim"),)]


def _windows(active: Promotion, width: int) -> list[Line]:
    """Return the windows up to the verdict, one a line, and those watched on until it is confirmed as one."""
    needed = active.windows_needed
    first = max(min(len(active.windows), needed) - _MOST_WINDOWS, 0)
    lines: list[Line] = []
    if first:
        lines.append(((f"        {first} windows before", "dim"),))
    for k, window in enumerate(active.windows[first:needed], start=first + 1):
        lines.append(cut([*window_mark(window).cells(), (f"  {window_line(window, k, needed)}", "text")], width))
    if not active.state.is_final and len(active.windows) < needed:
        lines.append(((f"        {needed - len(active.windows)} of {needed} windows to come", "dim"),))
    return [*lines, *_watched_on(active.windows[needed:], width)]


def _watched_on(windows: Sequence[WatchedWindow], width: int) -> list[Line]:
    """Return what the windows after the verdict say: it can still be taken back, and the worst of them would do it."""
    if not windows:
        return []
    highs = [w.robustness_high for w in windows if not math.isnan(w.robustness_high)]
    worst = min(highs, default=math.nan)
    missing = sum(bool(w.missing) for w in windows)
    mark = FAIL if worst < 0 else HOLD if missing or math.isnan(worst) else PASS
    says = f"{len(windows)} more since the verdict, lowest robustness {worst:+.3f}"
    if missing:
        says = f"{len(windows)} more since the verdict, {missing} incomplete"
    return [cut([*mark.cells(), (f"  {says}", "text")], width)]


def _queue(view: PromotionView, units: Mapping[str, str], width: int, now_wall_s: float) -> list[Line]:
    lines: list[Line] = [rule("queue: certified steps of the run", width)]
    if not view.steps:
        return [*lines, (("none: a finished rehearsal with certificates has them", "dim"),)]
    for step in view.steps:
        lines += _step(step, units, width, now_wall_s)
    return lines


def _step(step: StepView, units: Mapping[str, str], width: int, now_wall_s: float) -> list[Line]:
    mark = Mark(step.state.upper(), *_STEPS[step.state]) if step.state in _STEPS else Mark("–", "", "dim")
    left_s = step.expires_wall_s - now_wall_s
    spans: list[Span] = [
        (f"{step.number:>2} of {step.count}  ", "text"),
        *mark.cells(8),
        (f"P ≥ {step.bound:.3f}, φ held in {step.passes} of {step.horizons}", "text"),
    ]
    spans.append((f", valid {left_s / 3600:.0f} h", "dim") if left_s > 0 else (", EXPIRED x", "fail"))
    changes = ", ".join(
        f"{c} {before:g} -> {after:g} {unit_word(unit) or units.get(c, '')}".rstrip()
        for c, before, after, unit in step.changes
    )
    return [cut(spans, width), *((("         " + line, "dim"),) for line in wrap(changes, width - 9))]


def _plan(view: PromotionView, width: int) -> list[Line]:
    plan = view.plan
    if plan is None:
        return [rule("plan of the next step", width), (("none", "dim"),)]
    mark = PASS if plan.is_allowed else FAIL
    says = "the gate has nothing against it" if plan.is_allowed else f"the gate refuses: {_count(plan.reasons)}"
    lines: list[Line] = [
        rule(f"plan {plan.request.promotion_id} ({plan.request.mode})", width),
        cut([*mark.cells(), (f"  {says}", "text")], width),
    ]
    for reason in plan.reasons:
        text = wrap(f"x {reason.code}: {reason.text}", width - 2, "  ")
        lines += [((f"  {line}", "wrong"),) for line in text]
    lines += _changes(plan, width)
    for words in evidence_lines(plan):
        lines += [((f"  {line}", "dim"),) for line in wrap(words, width - 2, "  ")]
    for note in plan.notes:
        lines += [((f"  {line}", "text"),) for line in wrap(f"note: {note}", width - 2, "  ")]
    return lines


def _count(reasons: Sequence[object]) -> str:
    return f"{len(reasons)} reason{'s' if len(reasons) != 1 else ''}"


def _before(view: PromotionView, width: int) -> list[Line]:
    lines: list[Line] = [rule("before", width)]
    for promotion in view.promotions:
        if view.active is not None and promotion.promotion_id == view.active.promotion_id:
            continue
        mark = state_mark(promotion.state)
        verdict = verdict_mark(promotion.verdict)
        margin = "" if promotion.robustness is None else f"  ρ {promotion.robustness:+.3f}"
        lines.append(
            cut(
                [(f"{clock(promotion.created_wall_s)} ", "dim"), *mark.cells(14),
                 (f" {promotion.promotion_id} ", "text"),
                 *([] if promotion.verdict is None else [(verdict.text, verdict.role)]), (margin, "text")],
                width,
            )
        )  # fmt: skip
        if promotion.state is not State.CONFIRMED:
            for words in ending(promotion):
                lines += [((f"         {line}", "dim"),) for line in wrap(words.strip(), width - 9, "  ")]
    return lines if len(lines) > 1 else [*lines, (("none that this screen heard of", "dim"),)]


class PromotionsPane(LinesPane):
    """The promotions of the testbed; its acts are the app's keys."""

    HELP = "a approves the next step, c confirms, R rolls back, Ctrl+K brings the testbed back at once."

    def frame(self, width: int, height: int) -> Frame:
        """Return the picture of the state."""
        return promotions_frame(self.state, width, height)
