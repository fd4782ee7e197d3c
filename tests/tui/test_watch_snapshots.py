"""The screen as it reads, compared with pictures in plain text: views at three sizes, states of the world.

After a change that was meant: `RANTWIN_WRITE_SNAPSHOTS=1 pytest tests/tui/test_watch_snapshots.py`, then look at what
`git diff tests/tui/snapshots` says.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from bridge.promotion import Cause, State
from col.specification import Verdict
from tests.tui.watch_pilot import picture, until
from tests.tui.watch_shown import shown_app
from tests.tui.watch_states import made_plan, made_promotion, made_state
from tui.watch.app import WatchApp
from tui.watch.feeds_testbed import NO_TESTBED
from tui.watch.feeds_twin import NO_RUN
from tui.watch.keys import TABS
from tui.watch.state import (
    Connection,
    PlantView,
    PromotionView,
    RegionView,
    Rehearsal,
    RehearsalView,
    WatchState,
)

FOLDER = Path(__file__).parent / "snapshots"
WRITES = "RANTWIN_WRITE_SNAPSHOTS" in os.environ
VIEWS = tuple(name for name, _, _ in TABS)
SMALL, MIDDLE, LARGE = (80, 24), (120, 40), (200, 50)


# --- states of the world ----------------------------------------------------------------------------------------------


def nothing() -> WatchState:
    """Return the screen of somebody who just installed it: neither run nor testbed."""
    return WatchState(
        now_s=1000.0,
        now_wall_s=1_795_300_000.0,
        twin=PlantView(name="twin", words=NO_RUN),
        testbed=PlantView(name="testbed", words=NO_TESTBED),
        region=RegionView(words=NO_RUN),
        rehearsal=RehearsalView(words=NO_RUN),
        promotions=PromotionView(),
    )


def lost() -> WatchState:
    """Return a screen whose agent stopped to answer while a promotion was watched."""
    state = made_state()
    words = "lost 40 s ago, reconnecting: unix:agent: connection refused"
    bed = replace(state.testbed, connection=Connection.LOST, words=words)
    return replace(state, now_s=state.now_s + 40, testbed=bed)


def found_again() -> WatchState:
    """Return a testbed that is back after three windows that nobody saw, with an agent of another version."""
    state = made_state()
    kept = np.r_[0:200, 203:240]
    bed = replace(
        state.testbed,
        sequence=state.testbed.sequence[kept],
        values={key: column[kept] for key, column in state.testbed.values.items()},
        holes=((1200, 1202),),
        words="connected; the agent is version 0.9, this screen 1.0",
    )
    return replace(state, testbed=bed, promotions=replace(state.promotions, active=None, keeps_lease=False))


def rehearsing() -> WatchState:
    """Return a rehearsal in its passive windows, without a testbed."""
    state = made_state(testbed=False)
    running = RehearsalView(
        state=Rehearsal.RUNNING,
        run=state.rehearsal.run,
        scenario="cpu-allocation",
        passive_done=420,
        passive_total=960,
        trials_total=60,
        ours=True,
        words="rehearsal runs",
    )
    waits = replace(state.region, lower=None, trials=(), current={}, confirmed={}, cheapest={}, words="no region yet")
    twin = replace(state.twin, received_s=state.now_s - 2)
    return replace(state, twin=twin, rehearsal=running, region=waits)


def passed() -> WatchState:
    """Return a promotion that passed and waits for the operator, who may act."""
    state = made_state()
    windows = tuple(
        replace(window, sequence=1240 + k, robustness_low=0.1, robustness_high=0.2, missing=())
        for k, window in enumerate(made_promotion().windows * 4)
    )
    active = made_promotion(windows=windows, verdict=Verdict.PASS, robustness=0.188)
    return replace(state, promotions=replace(state.promotions, active=active, plan=None))


def rolled_back() -> WatchState:
    """Return the minute after a roll-back: the gate has something against going on."""
    state = made_state()
    ended = made_promotion(
        promotion_id="p-8b10", state=State.ROLLED_BACK, verdict=Verdict.FAIL, robustness=-0.12,
        cause=Cause.SPECIFICATION_FAILED, cause_text="φ failed at window 2: robustness -0.120",
    )  # fmt: skip
    view = state.promotions
    return replace(
        state, promotions=replace(view, active=None, promotions=(ended, *view.promotions), keeps_lease=False)
    )


def conflict() -> WatchState:
    """Return a promotion that met somebody else's hand on a control."""
    state = made_state()
    active = made_promotion(
        state=State.CONFLICT, conflicts={"cpu_du_1": (1.6, 1.9)}, lease_remaining_s=None, deadline_remaining_s=None,
        cause=Cause.TESTBED_CHANGED, cause_text="cpu_du_1 is not as it was set",
    )  # fmt: skip
    return replace(state, promotions=replace(state.promotions, active=active, plan=made_plan()))


def real() -> WatchState:
    """Return a testbed that is none of ours: nothing says EMULATED."""
    state = made_state()
    bed = replace(state.testbed, emulated=False, title="lab: srsran-25.10", words="connected")
    return replace(state, testbed=bed)


CASES: dict[str, tuple[Callable[[], WatchState], tuple[str, ...], tuple[tuple[int, int], ...]]] = {
    "all": (made_state, VIEWS, (SMALL, MIDDLE, LARGE)),
    "nothing": (nothing, VIEWS, (SMALL,)),
    "no-testbed": (lambda: made_state(testbed=False), VIEWS[:5], (SMALL,)),
    "lost": (lost, VIEWS[:5], (SMALL, MIDDLE)),
    "found-again": (found_again, ("plants", "promotions", "topology"), (SMALL, MIDDLE)),
    "rehearsing": (rehearsing, ("plants", "region"), (SMALL, MIDDLE)),
    "passed": (passed, ("promotions",), (SMALL, LARGE)),
    "rolled-back": (rolled_back, ("promotions",), (SMALL, LARGE)),
    "conflict": (conflict, ("promotions",), (SMALL,)),
    "real": (real, ("plants", "topology"), (SMALL,)),
    "forty-gnbs": (lambda: made_state(40), ("plants", "topology"), (SMALL, MIDDLE)),
}


def _name(case: str, view: str, size: tuple[int, int]) -> str:
    return f"{case}-{view}-{size[0]}x{size[1]}.txt"


def _read(app: WatchApp) -> str:
    """Return the screen without the blanks at the ends of lines."""
    return "\n".join(line.rstrip() for line in picture(app).splitlines()).rstrip("\n") + "\n"


async def _stands_still(app: WatchApp, pilot: Pilot[None]) -> None:
    """Wait until five looks at the screen are the same."""
    before: list[str] = []

    def is_still() -> bool:
        app.refresh_state()  # what a view asked for is there with the next state
        before.append(_read(app))
        return app.view.has_focus and len(before) > 5 and len(set(before[-5:])) == 1

    await until(pilot, is_still)


@pytest.mark.parametrize(
    ("case", "size"), [(case, size) for case, (_, _, sizes) in CASES.items() for size in sizes], ids=str
)
def test_the_screen_reads_as_it_did(case: str, size: tuple[int, int]) -> None:
    state, views, _ = CASES[case]
    app = shown_app(state(), operate=case == "passed")
    wrong: list[str] = []

    async def steps() -> None:
        async with app.run_test(size=size, notifications=False) as pilot:
            for view in views:
                app.action_tab(view)
                file = FOLDER / _name(case, view, size)
                if WRITES:
                    await _stands_still(app, pilot)
                    file.write_text(_read(app), encoding="utf-8")
                    continue
                wanted = file.read_text(encoding="utf-8")
                try:
                    await until(pilot, lambda wanted=wanted: _read(app) == wanted, patience_s=20.0)  # type: ignore[misc]  # the picture of now
                except AssertionError:
                    names = (file.name, "the screen now")
                    wrong.append("\n".join(unified_diff(wanted.splitlines(), _read(app).splitlines(), *names, n=1)))

    asyncio.run(steps())
    assert not wrong, "\n".join(wrong)


def test_every_picture_is_of_a_case() -> None:
    wanted = {_name(case, v, s) for case, (_, views, sizes) in CASES.items() for v in views for s in sizes}
    assert {file.name for file in FOLDER.iterdir()} == wanted


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.txt")), ids=lambda file: file.stem)
def test_a_picture_fits_and_says_whether_the_testbed_is_emulated(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    case, _, size = file.stem.rpartition("-")
    width, height = map(int, size.split("x"))
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    has_one = not case.startswith(("nothing", "no-testbed", "rehearsing", "real"))
    assert ("EMULATED" in lines[0]) == has_one
