"""The line above every view: EMULATED or not, what is in flight and for how long, how old the data are."""

from __future__ import annotations

from rich.text import Text

from bridge.promotion import State
from col.specification import Verdict
from tui.plan_view import seconds
from tui.promotion_watch import counted_down
from tui.watch.state import Connection, PlantView, PromotionView, Rehearsal, WatchState

__all__ = ["strip_text"]

_BETWEEN = len(" │ ")
_GLYPHS = {Connection.CONNECTED: ("●", "green"), Connection.LOST: ("✗", "red"), Connection.NONE: ("○", "yellow")}


def strip_text(state: WatchState, width: int) -> Text:
    """Return the line in `width` columns: what matters most comes first, and what has no room is left out whole."""
    testbed, promotion = _testbed(state), _promotion(state.promotions, state.now_s)
    *modes, operates = _modes(state)
    shown = [part for part in (testbed, promotion, *modes, operates, _twin(state)) if part]
    room = width
    kept: list[Text] = []
    for part in sorted(shown, key=lambda part: part is not testbed and part is not promotion):
        space = room - (_BETWEEN if kept else 0)
        if len(part) > space and (part is promotion or not kept):
            part.truncate(max(space, 0), overflow="ellipsis")  # what is in flight is said as far as there is room
        if part and len(part) <= space:
            kept.append(part)
            room = space - len(part)
    text = Text(no_wrap=True, overflow="ellipsis")
    for part in (part for part in shown if part in kept):
        text.append(" │ " if text else "", "dim")
        text.append_text(part)
    return text


def _testbed(state: WatchState) -> Text:
    plant = state.testbed
    glyph, colour = _GLYPHS[plant.connection]
    word = {Connection.CONNECTED: "testbed", Connection.LOST: "testbed LOST", Connection.NONE: "no testbed"}
    text = Text()
    if plant.emulated:
        text.append(" EMULATED ", "bold reverse")
        text.append(" ")
    text.append(f"{glyph} ", colour)
    text.append(word[plant.connection], "" if plant.connection is Connection.CONNECTED else "bold")
    text.append_text(_age(plant, state.now_s))
    return text


def _age(plant: PlantView, now_s: float) -> Text:
    if plant.received_s is None:
        return Text()
    old = seconds(now_s - plant.received_s)
    return Text(f" stale {old}", "bold reverse") if plant.is_stale(now_s) else Text(f" {old}", "dim")


def _twin(state: WatchState) -> Text:
    rehearsal = state.rehearsal
    match rehearsal.state:
        case Rehearsal.RUNNING | Rehearsal.PAUSED:
            done = f"{rehearsal.passive_done}/{rehearsal.passive_total} windows"
            if rehearsal.passive_done >= rehearsal.passive_total:
                done = f"trial {rehearsal.trials_done}/{rehearsal.trials_total}"
            if rehearsal.state is Rehearsal.PAUSED:
                return Text(f"‖ rehearsal PAUSED {done}", "bold reverse")
            return Text(f"▶ rehearsal {done}", "bold")
        case Rehearsal.STOPPED:
            return Text(f"■ rehearsal stopped, trial {rehearsal.trials_done}/{rehearsal.trials_total}")
        case Rehearsal.FINISHED:
            return Text(f"✓ run {state.twin.title}", "dim")
        case Rehearsal.NONE:
            return Text("no run", "dim")


def _promotion(view: PromotionView, now_s: float) -> Text:
    if view.waits_for:
        return Text("… waits for the gate", "bold")
    if view.active is None:
        last = view.promotions[0] if view.promotions else None
        return Text(f"last: {str(last.state).upper()}") if last is not None else Text()
    since_s = 0.0 if view.received_s is None else now_s - view.received_s
    active = counted_down(view.active, since_s)
    words = f"{_mark(active.state, active.verdict)} {str(active.state).upper()}"
    more = len(active.windows) - active.windows_needed
    words += f" {len(active.windows) - max(more, 0)}/{active.windows_needed}" + (f" +{more}" if more > 0 else "")
    if active.verdict is not None:
        words += f" φ {str(active.verdict).upper()}"
    if active.lease_remaining_s is not None:
        words += f" lease {seconds(active.lease_remaining_s)}" + (" ours" if view.keeps_lease else "")
    if active.deadline_remaining_s is not None:
        words += f", {seconds(active.deadline_remaining_s)} left"
    return Text(words, "bold reverse")


def _mark(state: State, verdict: Verdict | None) -> str:
    if verdict is Verdict.PASS:
        return "+"
    return "x" if verdict is Verdict.FAIL or state is State.ROLLING_BACK else "…"


def _modes(state: WatchState) -> list[Text]:
    modes = []
    if state.frozen:
        modes.append(Text(" FROZEN ", "bold reverse"))
    if state.gnb:
        modes.append(Text(f"gNB {state.gnb}"))
    if state.filter:
        modes.append(Text(f"/{state.filter}"))
    modes.append(Text("OPERATE", "bold") if state.operate else Text("read-only", "dim"))
    return modes
