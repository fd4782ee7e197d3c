"""All feeds together: one thread keeps the pictures of run and testbed, the app takes a whole state when it draws.

Whoever draws never waits: `state` returns what the thread knew last. So a flood of windows costs one drawing a refresh.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from bridge.testbed import TestbedStatus
from col.errors import InputError
from col.specification import Specification
from tui.promotion_steps import Step
from tui.run_folder import find_run
from tui.watch.feeds_gap import GapFinder
from tui.watch.feeds_operate import Operator, steps_of
from tui.watch.feeds_process import AgentStarter, RehearsalRunner
from tui.watch.feeds_region import RegionFeed
from tui.watch.feeds_testbed import NO_TESTBED, TestbedFeed, TestbedPicture
from tui.watch.feeds_twin import TwinFeed, TwinPicture, nothing
from tui.watch.marks import printable
from tui.watch.state import (
    GapView,
    Notice,
    PlantView,
    PromotionView,
    RegionView,
    Rehearsal,
    Severity,
    Show,
    StepView,
    WatchState,
)

__all__ = ["Feeds", "Look"]

_ROUND_S, _SEARCH_S, _PLAN_ROUND_S = 0.25, 2.0, 1.0
_MOST_NOTICES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How the operator looks at it."""

    show: Show = Show.BOTH
    gnb: str = ""
    filter: str = ""
    operate: bool = False
    refresh_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pieces:
    twin: TwinPicture = field(default_factory=nothing)
    testbed: TestbedPicture = field(
        default_factory=lambda: TestbedPicture(plant=PlantView(name="testbed", words=NO_TESTBED))
    )
    gap: GapView = field(default_factory=GapView)
    region: RegionView = field(default_factory=RegionView)
    steps: tuple[StepView, ...] = ()
    step_words: str = ""

    @property
    def rehearsal_run(self) -> str:
        """The run that is shown."""
        return self.twin.rehearsal.run


class Feeds:
    """What the app asks for its states. `run` None: the newest run of `runs_dir`, as soon as there is one."""

    def __init__(
        self,
        *,
        run: Path | None,
        runs_dir: Path,
        testbed: TestbedFeed | None = None,
        operator: Operator | None = None,
        runner: RehearsalRunner | None = None,
        starter: AgentStarter | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.testbed, self.operator, self.runner, self.starter = testbed, operator, runner, starter
        self._runs_dir, self._clock, self._wall = runs_dir, clock, wall
        self._lock = threading.Lock()
        self._stop, self._wake = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._twin: TwinFeed | None = None
        self._region: RegionFeed | None = None
        self._gap = GapFinder()
        self._axes: tuple[str, str] | None = None
        self._cursor: tuple[float, float] | None = None
        self._pieces = _Pieces()
        self._notices: tuple[Notice, ...] = ()
        self._queue_key: object = None
        self._queue: tuple[tuple[StepView, ...], Step | None, str] = ((), None, "")
        self._searched_s = -_SEARCH_S
        self._horizons: dict[str, int] = {}
        if run is not None:
            self.choose(run)

    # --- what the app asks and says -----------------------------------------------------------------------------------

    def state(self, look: Look) -> WatchState:
        """Return all that is known now, seen in this way; never waits."""
        pieces, operator = self._pieces, self.operator
        twin, testbed, status = pieces.twin, pieces.testbed, pieces.testbed.status
        ours = self.runner is not None and self.runner.is_running and str(self.runner.found) == twin.rehearsal.run
        return WatchState(
            now_s=math.ceil(self._clock()),  # ages and what is left of leases go on together, once a second
            now_wall_s=self._wall(),
            twin=twin.plant,
            testbed=testbed.plant,
            gap=pieces.gap,
            region=pieces.region,
            rehearsal=replace(twin.rehearsal, ours=True) if ours else twin.rehearsal,
            promotions=PromotionView(
                steps=pieces.steps,
                plan=operator.plan if operator is not None else None,
                active=status.active if status is not None else None,
                received_s=testbed.status_s,
                promotions=testbed.promotions,
                journal=testbed.journal,
                journal_total=testbed.journal_total,
                exploration_enabled=bool(status and status.exploration_enabled),
                keeps_lease=bool(operator and operator.keeps),
                waits_for=operator.waits_for if operator is not None else "",
                words=pieces.step_words or (operator.plan_trouble if operator is not None else ""),
            ),
            topology=twin.places or testbed.places,
            specification=twin.specification or (status.specification if status is not None else ""),
            messages=self._notices,
            show=look.show,
            gnb=look.gnb,
            filter=look.filter,
            operate=look.operate,
            refresh_s=look.refresh_s,
        )

    @property
    def status(self) -> TestbedStatus | None:
        """What the agent said last."""
        return self._pieces.testbed.status

    def choose(self, run: Path) -> None:
        """Show this run from now on."""
        with self._lock:
            self._twin, self._region = TwinFeed(run), RegionFeed(run)
            self._axes = self._cursor = None
        self._wake.set()

    def ask(self, *, axes: tuple[str, str] | None = None, cursor: tuple[float, float] | None = None) -> None:
        """Ask for another slice of the region, or for what holds at a point of it."""
        with self._lock:
            if axes is not None:
                self._axes, self._cursor = axes, None
            if cursor is not None:
                self._cursor = cursor
        self._wake.set()

    def say(self, text: str, severity: Severity = Severity.INFORMATION) -> Notice:
        """Keep a notice for the screen."""
        notice = Notice(at_wall_s=self._wall(), text=printable(text), severity=severity)
        self._notices = (*self._notices, notice)[-_MOST_NOTICES:]
        return notice

    def wake(self) -> None:
        """Look again at once: something changed."""
        self._wake.set()

    # --- threads ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow run and testbed."""
        if self.testbed is not None:
            self.testbed.start()
        for target, name in ((self._follow, "rantwin-feeds"), (self._follow_plan, "rantwin-plan")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop following. What was started from here goes on: it is a process of its own."""
        self._stop.set()
        self._wake.set()
        if self.operator is not None:
            self.operator.close()
        if self.testbed is not None:
            self.testbed.stop()
        for thread in self._threads:
            thread.join(1.0)

    def _follow(self) -> None:
        failed = ""
        while not self._stop.is_set():
            try:
                self.step()
            except Exception as error:  # old numbers would stand there as if nothing were wrong: it is said, once
                words = f"the screen failed: {type(error).__name__}: {error}"
                if words != failed:
                    self.say(words, Severity.ERROR)
                failed = words
            self._wake.wait(_ROUND_S)
            self._wake.clear()

    def _follow_plan(self) -> None:
        while not self._stop.is_set():
            if self.operator is not None:
                self.operator.look(self._pieces.testbed.status)
            self._stop.wait(_PLAN_ROUND_S)

    def step(self) -> None:
        """Look once at everything that there is."""
        now_s = self._clock()
        self._follow_processes()
        if self._twin is None:
            self._search(now_s)
        with self._lock:
            twin_feed, region_feed, axes, cursor = self._twin, self._region, self._axes, self._cursor
        before = self._pieces
        twin = nothing() if twin_feed is None else twin_feed.poll(now_s)
        testbed = before.testbed if self.testbed is None else self.testbed.poll(now_s)
        testbed = replace(testbed, plant=self._gap.in_units_of(twin.plant, testbed.plant))
        status = testbed.status
        gap = self._gap.gap(
            twin.plant,
            testbed.plant,
            windows=twin.windows,
            layout=twin.layout,
            controls=twin.controls,
            certificates=twin.certificates,
            horizon=self._horizon(status.specification if status is not None else twin.specification),
            drift=None if status is None else status.drift,
        )
        if twin.rehearsal.state is not Rehearsal.RUNNING:
            twin = replace(twin, plant=self._gap.comparable(twin.plant))
        name = twin_feed.path.resolve().name if twin_feed is not None else ""
        steps, following, words = self._steps_of(twin, status, name)
        if self.operator is not None:
            self.operator.step, self.operator.run = following, name
        region = before.region if before.rehearsal_run == twin.rehearsal.run else RegionView()
        pieces = _Pieces(twin=twin, testbed=testbed, gap=gap, region=region, steps=steps, step_words=words)
        # What is quick is shown before what is not: a slice of the region may take half a second.
        self._pieces = pieces
        region = RegionView(words=twin.rehearsal.words)
        if region_feed is not None:
            region = region_feed.view(
                twin, axes, cursor, current=testbed.plant.in_force, confirmed=testbed.plant.confirmed
            )
        self._pieces = replace(pieces, region=region)

    def _steps_of(
        self, twin: TwinPicture, status: TestbedStatus | None, name: str
    ) -> tuple[tuple[StepView, ...], Step | None, str]:
        """Return the queue, read from the certificates only where they or the configuration changed."""
        confirmed = None if status is None else tuple(status.confirmed.items())
        key = (name, twin.certificates, confirmed)
        if self._queue_key is None or key != self._queue_key:
            self._queue = steps_of(twin.certificates, status, run=name) if name else ((), None, "")
            self._queue_key = key
        return self._queue

    def _horizon(self, specification: str) -> int:
        if specification not in self._horizons:
            try:
                horizon = Specification.parse(specification).horizon if specification else 1
            except InputError:  # a newer agent's: over how many windows its mean goes is not known here
                horizon = sys.maxsize
            self._horizons = {specification: horizon}
        return self._horizons[specification]

    def _search(self, now_s: float) -> None:
        """Take the newest run, looked for now and then."""
        if now_s - self._searched_s < _SEARCH_S:
            return
        self._searched_s = now_s
        try:
            self.choose(find_run(self._runs_dir, None))
        except InputError:
            return

    def _follow_processes(self) -> None:
        if self.runner is not None:
            started = self.runner.run() if self.runner.is_running else None
            if started is not None and (self._twin is None or self._twin.path != started):
                self.choose(started)
                self.say(f"rehearsal runs in {started}")
            if trouble := self.runner.trouble():
                self.say(trouble, Severity.ERROR)
        if self.starter is not None and (trouble := self.starter.trouble()):
            self.say(trouble, Severity.ERROR)
