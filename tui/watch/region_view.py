"""The estimated region: a slice over two controls, the trials in order, and what holds at the cursor."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import ClassVar

import numpy as np
from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType

from col.plant import Control
from tui.progress import duration
from tui.watch.dialogs import Choose
from tui.watch.jump import JumpPlace
from tui.watch.marks import Frame, Line, Span, cut, fit, number, rule, unit_word, verdict_mark, wrap
from tui.watch.messages import AxesChosen, CursorMoved
from tui.watch.pane import LinesPane
from tui.watch.region_map import bound_at, heat_legend, heat_map, value_step
from tui.watch.state import RegionView, Rehearsal, RehearsalView, TrialPoint, WatchState

__all__ = ["RegionPane", "default_cursor", "map_size", "region_frame"]

_SIDE_FROM = 100
_LEGEND, _BELOW = 2, 5
_MAP_MARGIN = 8
_NEWEST_FIRST = "trials, newest first"


def default_cursor(region: RegionView) -> tuple[float, float] | None:
    """Return where the cursor stands before it was moved: what is in force, confirmed, or the reference."""
    x, y = region.control(region.x), region.control(region.y)
    if x is None or y is None:
        return None
    for values in (region.current, region.confirmed, region.held):
        if region.x in values and region.y in values:
            return values[region.x], values[region.y]
    return x.reference, y.reference


def _side(width: int) -> int:
    """Return the width of what stands beside the map."""
    return 48 if width < 112 else min(max(52, width // 3), 72)


def map_size(width: int, height: int) -> tuple[int, int]:
    """Return the cells of the map with its axes: it leaves room for what is said beside or below it."""
    if width >= _SIDE_FROM:
        return width - _side(width) - 2, height - 2 - _LEGEND
    return width, max(height - 2 - _LEGEND - _BELOW, 8)


def region_frame(state: WatchState, width: int, height: int, cursor: tuple[float, float] | None = None) -> Frame:
    """Return the view; `cursor` is where the widget's cursor is, ahead of the state's by what is still computed."""
    region = state.region
    cursor = cursor or region.cursor or default_cursor(region)
    if region.control(region.x) is None or region.control(region.y) is None:
        lines = wrap(region.words or "no run: its controls are not known yet", width)
        return Frame(head=((), *(((line, "hold"),) for line in lines)))
    head: list[Line] = [rehearsal_line(state.rehearsal, width), _title(region, width)]
    wide, tall = map_size(width, height)
    picture = list(heat_map(region, wide, tall, cursor))
    if region.words:
        head[1] = ((fit(region.words, width), "hold"),)
    legend = [cut(line, width) for line in heat_legend(region.alpha, has_next=bool(region.following))]
    if width < _SIDE_FROM:
        return Frame(head=(*head, *picture, *legend, *_at_cursor(region, cursor, width)[:_BELOW]))
    beside = _side(width)
    side = [*_at_cursor(region, cursor, beside), (), *_trial_lines(region, cursor, beside)]
    joined = [(*line, (" " * 2, "text"), *(side[k] if k < len(side) else ())) for k, line in enumerate(picture[:tall])]
    return Frame(head=(*head, *joined, *legend))


def rehearsal_line(rehearsal: RehearsalView, width: int) -> Line:
    """Return how far the rehearsal is, in one line."""
    if not rehearsal.run:
        return ((fit(rehearsal.words or "no run is shown", width), "hold"),)
    spans: list[Span] = [(f"rehearsal {str(rehearsal.state).upper()}", "title")]
    is_paused = rehearsal.state is Rehearsal.PAUSED
    if is_paused:
        spans.append((f" {rehearsal.words.removeprefix('paused ')}", "hold"))
    is_alive = rehearsal.state in (Rehearsal.RUNNING, Rehearsal.PAUSED)
    if rehearsal.passive_total and (rehearsal.passive_done < rehearsal.passive_total or not is_alive):
        spans.append((f"  passive {rehearsal.passive_done}/{rehearsal.passive_total}", "text"))
    spans.append((f"  trials {rehearsal.trials_done}/{rehearsal.trials_total}", "text"))
    if rehearsal.violations:
        word = "violation" if rehearsal.violations == 1 else "violations"
        spans += [("  ", "text"), (f"{rehearsal.violations} {word} x", "fail")]
    else:
        spans.append(("  no violation +", "pass"))
    if rehearsal.region_share is not None:
        spans.append((f"  region {rehearsal.region_share:.1%} of the box", "text"))
    if rehearsal.left_s is not None and rehearsal.state is Rehearsal.RUNNING:
        spans.append((f"  {duration(rehearsal.left_s)} left", "text"))
    name: Span = (f"  {PurePath(rehearsal.run).name}", "dim")
    words: Span = (f"  {rehearsal.words}" if rehearsal.words and not is_paused else "", "dim")
    return cut([*spans, words, name] if is_alive else [*spans, name, words], width)


def _title(region: RegionView, width: int) -> Line:
    y = region.control(region.y)
    return cut(
        [
            (f"↑ {region.y}, {unit_word(y.unit) if y is not None else ''}", "text"),
            (f"  over {region.x}: lower bound of P(φ | do(x)), {region.held_words}", "dim"),
        ],
        width,
    )


def _at_cursor(region: RegionView, cursor: tuple[float, float] | None, width: int) -> list[Line]:
    """Return what holds at the cursor: where it is, the bound, the cost, the trial there, what limits."""
    x, y = region.control(region.x), region.control(region.y)
    if cursor is None or x is None or y is None:
        return []
    where = f"{x.name} {number(cursor[0])} {unit_word(x.unit)}, {y.name} {number(cursor[1])} {unit_word(y.unit)}"
    is_known = region.cursor is not None and math.dist(region.cursor, cursor) < 1e-9
    if is_known and not math.isnan(region.cursor_bound):
        bound, about = region.cursor_bound, ""
    else:
        bound, about = float(bound_at(region, np.array([cursor[0]]), np.array([cursor[1]]))[0, 0]), "about "
    mark = verdict_mark(None if math.isnan(bound) else "pass" if bound >= region.alpha else "fail")
    says = {"PASS": "inside", "FAIL": "outside", "HOLD": "no region yet"}[mark.word]
    cost = number(region.cursor_cost) if is_known and not math.isnan(region.cursor_cost) else "…"
    lines: list[Line] = [
        cut([("╋", "pointer"), (" " + where, "title")], width),
        cut(
            [(f"P ≥ {about}{number(bound)} ", "text"), (mark.text, mark.role), (f" {says}", "text"),
             (f"  cost {cost}", "text")],
            width,
        ),
    ]  # fmt: skip
    here = _trial_at(region, cursor, x, y)
    if here is not None:
        lines.append(_trial_line(region, here, width))
    if is_known and region.cursor_words:
        lines.append(
            ((fit("what limits, the worst first:" if len(region.cursor_words) > 1 else "limits:", width), "dim"),)
        )
        lines += [((fit(f"  {words}", width), "text"),) for words in region.cursor_words[:6]]
    return lines


def _trial_at(region: RegionView, cursor: tuple[float, float], x: Control, y: Control) -> TrialPoint | None:
    """Return the newest trial at the cursor, to half a settable step."""
    for trial in reversed(region.trials):
        near_x = abs(trial.values.get(x.name, math.nan) - cursor[0]) <= x.resolution / 2
        near_y = abs(trial.values.get(y.name, math.nan) - cursor[1]) <= y.resolution / 2
        if near_x and near_y:
            return trial
    return None


def _trial_line(region: RegionView, trial: TrialPoint, width: int) -> Line:
    mark = verdict_mark(trial.verdict)
    rest = f" ρ {number(trial.robustness, sign=True)}"
    if trial.outcome not in ("held", ""):
        rest += f", {trial.outcome}"
    if trial.limiting:
        rest += f", {trial.limiting}"
    return cut(
        [(f"trial {trial.number} of {len(region.trials)} ", "text"), (mark.text, mark.role), (rest, "dim")], width
    )


def _trial_lines(region: RegionView, cursor: tuple[float, float] | None, width: int) -> list[Line]:
    """Return the trials in order, the newest last, as many as a side has room for to be cut by the caller."""
    if not region.trials:
        return []
    lines: list[Line] = [rule(_NEWEST_FIRST, width)]
    for trial in reversed(region.trials):
        mark = verdict_mark(trial.verdict)
        at = f"{number(trial.values.get(region.x, math.nan)):>6} {number(trial.values.get(region.y, math.nan)):>6}"
        is_here = (
            cursor is not None
            and math.dist(cursor, (trial.values.get(region.x, math.inf), trial.values.get(region.y, math.inf))) < 1e-9
        )
        lines.append(
            cut(
                [("›" if is_here else " ", "text"), (f"{trial.number:>3} {at}  ", "text"), *mark.cells(),
                 (f" ρ {number(trial.robustness, sign=True):>8} {trial.limiting or trial.outcome}", "dim")],
                width,
            )
        )  # fmt: skip
    return lines


class RegionPane(LinesPane):
    """The region with a cursor that the arrows move; says where it is and which controls are wanted."""

    HELP = (
        "Arrows move the cursor, X and Y choose the controls, . and , go through the trials in order. "
        "The map follows a rehearsal while it runs: P pauses it, S lets it make one trial (▷ is the next one), "
        "u goes on, B changes how many it may make."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1,0)", "left", show=False, id="region-left"),
        Binding("right", "move(1,0)", "right", show=False, id="region-right"),
        Binding("up", "move(0,1)", "up", show=False, id="region-up"),
        Binding("down", "move(0,-1)", "down", show=False, id="region-down"),
        Binding("shift+left", "move(-5,0)", "far left", show=False, id="region-far-left"),
        Binding("shift+right", "move(5,0)", "far right", show=False, id="region-far-right"),
        Binding("shift+up", "move(0,5)", "far up", show=False, id="region-far-up"),
        Binding("shift+down", "move(0,-5)", "far down", show=False, id="region-far-down"),
        Binding("X", "choose('x')", "Across", id="region-x"),
        Binding("Y", "choose('y')", "Up", id="region-y"),
        Binding("full_stop", "trial(1)", "Trial", key_display=".", id="region-next-trial"),
        Binding("comma", "trial(-1)", "Before", key_display=",", id="region-trial-before"),
        Binding("home", "home", "in force", show=False, id="region-home"),
    ]

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.at: tuple[float, float] | None = None
        self._axes = ("", "")
        self._trial = 0
        self._asked: object = None

    def show(self, state: WatchState) -> None:
        """Draw that state; the cursor stays where it was put unless the controls are others now."""
        axes = (state.region.x, state.region.y)
        if axes != self._axes:
            self._axes, self.at = axes, None
        super().show(state)

    def rebuild(self) -> None:
        """Make the picture again."""
        super().rebuild()
        self._ask()

    def _ask(self) -> None:
        """Ask once for what holds where the cursor stands before it was moved."""
        wanted = default_cursor(self.state.region) if self.at is None and self.is_on_screen else None
        if wanted is not None and (self._axes, wanted) != self._asked:
            self._asked = self._axes, wanted
            self.post_message(CursorMoved(*wanted))

    def frame(self, width: int, height: int) -> Frame:
        """Return the picture of the state."""
        return region_frame(self.state, width, height, self.at)

    def _go(self, x: float, y: float) -> None:
        region = self.state.region
        cx, cy = region.control(region.x), region.control(region.y)
        if cx is None or cy is None:
            return
        self.at = cx.snap(x), cy.snap(y)
        self.rebuild()
        self.post_message(CursorMoved(*self.at))

    def action_move(self, right: int, up: int) -> None:
        """Move the cursor by cells of the map, at least by what can be set."""
        region = self.state.region
        at = self.at or region.cursor or default_cursor(region)
        if at is None:
            return
        wide, tall = map_size(*self.scrollable_content_region.size)
        step_x, step_y = value_step(region, wide - _MAP_MARGIN, tall - 2)
        self._go(at[0] + right * step_x, at[1] + up * step_y)

    def action_home(self) -> None:
        """Put the cursor on the configuration in force."""
        at = default_cursor(self.state.region)
        if at is not None:
            self._go(*at)

    def action_trial(self, step: int) -> None:
        """Put the cursor on the next trial in order, or the one before."""
        trials = [t for t in self.state.region.trials if self._axes[0] in t.values and self._axes[1] in t.values]
        if not trials:
            return
        # From nowhere, forward begins with the first and backward with the last.
        self._trial = (
            (self._trial + step - (1 if step > 0 and self._trial == 0 else 0))
            if self._trial
            else (1 if step > 0 else len(trials))
        )
        self._trial = min(max(self._trial, 1), len(trials))
        values = trials[self._trial - 1].values
        self._go(values[self._axes[0]], values[self._axes[1]])

    def jump_places(self) -> list[JumpPlace]:
        """Return the trials in sight beside the map."""
        head, trials = self.shown.head, self.state.region.trials
        for title, line in enumerate(head):
            x = 0
            for text, _ in line:
                if _NEWEST_FIRST in text:
                    last = min(title + len(trials), len(head) - _LEGEND - 1)
                    rows = range(title + 1, last + 1)
                    return [JumpPlace(x=x, y=y, key=str(trials[title - y].number)) for y in rows]
                x += cell_len(text)
        return []

    def jump_to(self, key: str) -> None:
        """Put the cursor on the trial of that number."""
        trials = [t for t in self.state.region.trials if self._axes[0] in t.values and self._axes[1] in t.values]
        numbers = [str(trial.number) for trial in trials]
        if key in numbers:
            self._trial = numbers.index(key)
            self.action_trial(1)

    def action_choose(self, axis: str) -> None:
        """Ask for another control on one axis."""
        region = self.state.region
        names = [c.name for c in region.controls if c.name != (region.y if axis == "x" else region.x)]
        if not names:
            return
        title = f"control {'across' if axis == 'x' else 'up'}"

        def chosen(name: str | None) -> None:
            if name:
                self.post_message(AxesChosen(name, region.y) if axis == "x" else AxesChosen(region.x, name))

        self.app.push_screen(Choose(title, names, region.x if axis == "x" else region.y), chosen)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is."""
        region = self.state.region
        cx, cy = region.control(region.x), region.control(region.y)
        wide, tall = map_size(*self.scrollable_content_region.size)
        w, h = wide - _MAP_MARGIN, tall - 2
        column, row = event.x - _MAP_MARGIN, event.y - 2
        if cx is None or cy is None or not (0 <= column < w and 0 <= row < h):
            return
        x = cx.lower + (column + 0.5) / w * (cx.upper - cx.lower)
        self._go(x, cy.upper - (row + 0.5) / h * (cy.upper - cy.lower))
