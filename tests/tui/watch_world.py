"""A screen's world in memory: a made-up run folder, an agent that says what a test wants, a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bridge.backends.base import BackendDescription, Reading
from bridge.plan import Change, Mode, Plan, PlanRequest
from bridge.promotion import Cause, Promotion, State
from bridge.testbed import JournalEntry, TestbedStatus
from col.errors import InputError, RantwinError, UnreachableError
from col.plant import Control, Metric, PlantDescription, Windows
from col.specification import Verdict
from tests.tui.fake_agent import OPERATOR
from tests.tui.made_run import CONTROLS, REFERENCE, make_run, windows
from tui.watch.app import WatchApp
from tui.watch.feeds import Feeds
from tui.watch.feeds_operate import Operator
from tui.watch.feeds_process import RehearsalRunner
from tui.watch.feeds_testbed import NO_TESTBED, TestbedFeed

AT_REFERENCE = dict.fromkeys(CONTROLS, REFERENCE)
PHI = "always[0,4](thp_dl_1 >= 0.95*load_dl_1 and pow_h1 <= 95)"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def description(**changes: Any) -> PlantDescription:
    table = windows(0, 1, 0, AT_REFERENCE)
    controls = tuple(
        Control(name=n, unit="core", lower=0.1, upper=1.5, resolution=0.05, reference=REFERENCE) for n in CONTROLS
    )
    metrics = tuple(Metric(name=name, unit="W" if name.startswith("pow") else "Mbit/s") for name in table.metrics)
    facts: dict[str, Any] = {"plant_id": "bed", "controls": controls, "metrics": metrics, "window_s": 15.0}
    return PlantDescription(**{**facts, "wall_window_s": 15.0, "emulated": True, **changes})


def status(next_sequence: int = 0, *, plant: PlantDescription | None = None, **changes: Any) -> TestbedStatus:
    facts: dict[str, Any] = {
        "backend": BackendDescription(
            plant=plant or description(),
            stack="stack 1",
            radio_mode="rt",
            gnbs={f"gnb{i}": (f"cpu_du_{i}", f"cpu_cu_{i}") for i in range(1, 5)},
        ),
        "reading": Reading(controls=AT_REFERENCE, at_s=0.0, next_sequence=next_sequence),
        "confirmed": AT_REFERENCE,
        "specification": PHI,
        "alpha": 0.9,
        "active": None,
        "exploration_enabled": False,
        "journal_entries": 0,
        "agent_version": "1.0",
    }
    return TestbedStatus(**{**facts, **changes})


def entry(number: int, kind: str = "planned") -> JournalEntry:
    return JournalEntry(
        number=number, wall_s=1.8e9 + number, monotonic_s=float(number), promotion_id="p-1", who="olga",
        actor="operator", kind=kind, state_before="", state_after="planned", details={"why": "test"},
    )  # fmt: skip


def promotion(**changes: Any) -> Promotion:
    request = PlanRequest(promotion_id="p-1", target={"cpu_du_1": 1.0}, mode=Mode.PROMOTION)
    plan = Plan(
        request=request, before=AT_REFERENCE, after={**AT_REFERENCE, "cpu_du_1": 1.0}, digest="d" * 64,
        changes=(Change(control="cpu_du_1", before=REFERENCE, after=1.0, unit="core"),),
    )  # fmt: skip
    facts: dict[str, Any] = {
        "promotion_id": "p-1", "plan": plan, "state": State.WATCHING, "who": OPERATOR, "version": 1,
        "created_wall_s": 1.8e9, "windows_needed": 5, "lease_remaining_s": 9.0, "deadline_remaining_s": 500.0,
    }  # fmt: skip
    return Promotion(**{**facts, **changes})


class ScriptedLink:
    """An agent: `fails` is raised by every call while it is set; `asked` has the calls that change something."""

    def __init__(self, recorded: Windows | None = None) -> None:
        self.recorded = windows(0, 40, 0, AT_REFERENCE, seed=2) if recorded is None else recorded
        self.fails: RantwinError | None = None
        self.says = status(next_sequence=len(self.recorded))
        self.entries: list[JournalEntry] = []
        self.asked: list[str] = []
        self.known: dict[str, Promotion] = {}

    def _answer(self) -> None:
        if self.fails is not None:
            raise self.fails

    def status(self) -> TestbedStatus:
        self._answer()
        return replace(self.says, journal_entries=len(self.entries))

    def windows(self, since: int, limit: int) -> Windows:
        self._answer()
        return self.recorded.take(self.recorded.sequence >= since)

    def watch_windows(self, since: int) -> Iterator[Windows]:
        self._answer()
        yield self.recorded.take(self.recorded.sequence >= since)
        self._answer()

    def journal(self, since: int, limit: int, promotion_id: str = "") -> tuple[JournalEntry, ...]:
        self._answer()
        return tuple(e for e in self.entries if e.number >= since)[:limit]

    def promotion(self, promotion_id: str) -> Promotion:
        self._answer()
        if promotion_id not in self.known:
            raise InputError("no such promotion", key=promotion_id)
        return self.known[promotion_id]

    def plan(self, request: PlanRequest) -> Plan:
        self._answer()
        changes = tuple(Change(control=n, before=REFERENCE, after=v, unit="core") for n, v in request.target.items())
        return Plan(request=request, before=AT_REFERENCE, after={**AT_REFERENCE, **request.target}, changes=changes,
                    digest="d" * 64)  # fmt: skip

    def apply(self, promotion_id: str, digest: str) -> Promotion:
        self._answer()
        self.asked.append(f"apply {promotion_id}")
        ended = promotion(promotion_id=promotion_id, state=State.ROLLED_BACK, cause=Cause.CANCELLED, version=2)
        self.known[promotion_id] = ended
        return ended

    def renew_lease(self, promotion_id: str) -> Promotion:
        return self.promotion(promotion_id)

    def confirm(self, promotion_id: str) -> Promotion:
        self._answer()
        self.asked.append(f"confirm {promotion_id}")
        return promotion(state=State.CONFIRMED, version=9)

    def cancel(self, promotion_id: str, why: str) -> Promotion:
        self._answer()
        self.asked.append(f"cancel {promotion_id}")
        return promotion(state=State.ROLLED_BACK, cause=Cause.CANCELLED, version=9)

    def roll_back_everything(self, why: str) -> tuple[Promotion, ...]:
        self._answer()
        self.asked.append("kill switch")
        return (promotion(state=State.ROLLED_BACK, cause=Cause.KILL_SWITCH, version=9),)

    def close(self) -> None:
        pass

    # --- what a test makes happen -------------------------------------------------------------------------------------

    def close_windows(self, n: int, *, skip: int = 0) -> None:
        first = int(self.recorded.sequence[-1]) + 1 + skip if len(self.recorded) else skip
        more = windows(first, n, 0, AT_REFERENCE, seed=2)
        self.recorded = Windows(
            sequence=np.concatenate([self.recorded.sequence, more.sequence]),
            start_s=np.concatenate([self.recorded.start_s, more.start_s]),
            end_s=np.concatenate([self.recorded.end_s, more.end_s]),
            run=np.concatenate([self.recorded.run, more.run]),
            controls={k: np.concatenate([v, more.controls[k]]) for k, v in self.recorded.controls.items()},
            metrics={k: np.concatenate([v, more.metrics[k]]) for k, v in self.recorded.metrics.items()},
        )
        self.says = replace(self.says, reading=Reading(controls=AT_REFERENCE, at_s=0.0, next_sequence=first + n))


class WatchWorld:
    """A screen without threads: `look` is one round of all feeds."""

    def __init__(self, folder: Path, *, run: bool = True, testbed: bool = True, **run_changes: Any) -> None:
        self.clock, self.folder = Clock(), folder
        self.runs_dir = folder / "runs"
        self.run = make_run(self.runs_dir, **run_changes) if run else None
        if self.run is not None:
            self.run.close()
        self.link: Any = ScriptedLink()
        if not testbed:
            self.link.fails = UnreachableError(NO_TESTBED)
        self.feed = TestbedFeed(lambda: self.link, "unix:agent", ours="1.0", clock=self.clock)
        self.operator = Operator(lambda: self.link, self.feed, clock=self.clock)
        self.runner = RehearsalRunner(self.runs_dir, folder / "rehearse.log", command=("false",))
        self.feeds = Feeds(
            run=None if self.run is None else self.run.path,
            runs_dir=self.runs_dir,
            testbed=self.feed,
            operator=self.operator,
            runner=self.runner,
            clock=self.clock,
            wall=lambda: 1.8e9,
        )
        self.look()

    @property
    def path(self) -> Path:
        assert self.run is not None
        return self.run.path

    def look(self) -> None:
        try:
            self.feed.step_status(self.link)
            self.feed.step_windows(self.link)
        except RantwinError as error:
            self.feed.take_error(error)
        self.feeds.step()

    def app(self, **changes: Any) -> WatchApp:
        return WatchApp(self.feeds, **{"folder": self.folder, "runs_dir": self.runs_dir, "follow": False, **changes})


PASSED = {"verdict": Verdict.PASS, "robustness": 0.05}
