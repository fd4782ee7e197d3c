"""The view of promotions: what is in flight, timers, windows, the plan with the gate's reasons, how each ended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.promotion import Promotion, State, WatchedWindow
from bridge.reasons import Reason, ReasonCode
from col.specification import Verdict
from tests.tui.watch_states import made_plan, made_promotion, made_state
from tui.plan_view import standing
from tui.watch.marks import FAIL, HOLD, PASS, plain
from tui.watch.promotions_view import countdown, promotions_frame, window_mark
from tui.watch.strip import strip_text


def text_with(active: Promotion, width: int = 80) -> str:
    view = replace(made_state().promotions, active=active)
    return promotions_frame(replace(made_state(), promotions=view), width, 40).text


@pytest.mark.parametrize(
    ("low", "high", "missing", "mark"),
    [
        (0.1, 0.4, (), PASS),
        (-np.inf, 0.4, (), HOLD),
        (-0.4, -0.1, (), FAIL),
        (-np.inf, -0.1, (), FAIL),
        (0.1, 0.4, ("thp_dl_1",), HOLD),
        (np.nan, np.nan, (), HOLD),
    ],
)
def test_a_watched_window_passes_only_when_nothing_can_take_it_away(low, high, missing, mark) -> None:
    window = WatchedWindow(sequence=1, robustness_low=low, robustness_high=high, missing=missing)
    assert window_mark(window) is mark


def test_lease_and_deadline_run_down_between_two_answers_and_say_when_they_run_out() -> None:
    state = made_state()
    assert "7 s of 10 s" in promotions_frame(state, 100, 30).text
    later = promotions_frame(replace(state, now_s=state.now_s + 5), 100, 30).text
    assert "2 s of 10 s RUNS OUT !" in later
    assert "0 s of 10 s OVER x" in promotions_frame(replace(state, now_s=state.now_s + 60), 100, 30).text
    assert plain(countdown("lease", None, 10.0)).endswith("does not run")


def test_the_plan_shows_every_reason_and_each_change_with_its_unit() -> None:
    reasons = tuple(Reason(code=code, text=f"says {code}") for code in ReasonCode)
    view = replace(made_state().promotions, plan=made_plan(reasons=reasons))
    text = promotions_frame(replace(made_state(), promotions=view), 80, 24).text
    assert all(f"x {code}: says {code}" in text for code in ReasonCode)
    assert f"the gate refuses: {len(ReasonCode)} reasons" in text
    assert "2.000 ->    1.600 core  (-0.400 core)" in text


@pytest.mark.parametrize("width", [80, 200])
def test_a_promotion_that_ended_says_how_and_why(width: int) -> None:
    text = promotions_frame(made_state(), width, 50).text
    assert "ROLLED BACK <" in text
    assert "φ failed at window 3" in text
    assert "CONFIRMED +" in text


def test_a_conflict_names_both_values() -> None:
    active = made_promotion(state=State.CONFLICT, conflicts={"cpu_du_1": (1.6, 1.9)})
    view = replace(made_state().promotions, active=active)
    assert "cpu_du_1: we set 1.6, now 1.9" in promotions_frame(replace(made_state(), promotions=view), 80, 24).text


def test_a_passed_verdict_says_what_is_asked_of_the_operator() -> None:
    active = made_promotion(verdict=Verdict.PASS)
    view = replace(made_state().promotions, active=active)
    assert "c keeps it" in promotions_frame(replace(made_state(), promotions=view), 80, 24).text
    own = replace(view, active=replace(active, auto_confirm=True))
    assert "confirms itself" in promotions_frame(replace(made_state(), promotions=own), 80, 24).text


def test_no_testbed_means_no_promotions_and_says_so() -> None:
    assert "no testbed" in promotions_frame(made_state(testbed=False), 80, 24).text


def watched(count: int, **last: object) -> Promotion:
    """Return a promotion that passed after five windows and is watched on until it is confirmed."""
    windows = [WatchedWindow(sequence=k, robustness_low=0.05, robustness_high=0.05 + k / 1000) for k in range(count)]
    windows[-1] = replace(windows[-1], **last)  # type: ignore[arg-type]
    return made_promotion(windows=tuple(windows), verdict=Verdict.PASS)


def test_windows_after_the_verdict_take_one_line_and_are_not_counted_of_five() -> None:
    text = text_with(watched(40))
    assert "window 5 of 5" in text
    assert "window 6" not in text
    assert "PASS +  35 more since the verdict, lowest robustness +0.055" in text
    assert "windows 5 of 5 and 35 more" in standing(watched(40))
    state = replace(made_state(), promotions=replace(made_state().promotions, active=watched(40)))
    assert "5/5 +35" in strip_text(state, 200).plain


def test_a_window_after_the_verdict_that_fails_or_is_incomplete_is_said() -> None:
    assert "FAIL x  3 more since the verdict, lowest robustness -0.200" in text_with(watched(8, robustness_high=-0.2))
    assert "HOLD ?  3 more since the verdict, 1 incomplete" in text_with(watched(8, missing=("bsr_2",)))


def test_of_many_windows_before_the_verdict_the_newest_are_listed() -> None:
    text = text_with(replace(watched(40), windows_needed=45, verdict=None))
    assert "28 windows before" in text
    assert "window 40 of 45" in text
    assert "window 28 of 45" not in text
    assert "5 of 45 windows to come" in text


def test_the_verdict_is_in_sight_on_a_narrow_screen_however_long_the_name() -> None:
    text = text_with(made_promotion(promotion_id="20261122-072354-cpu-allocation-01-f0d30d57", verdict=Verdict.FAIL))
    line = next(line for line in text.splitlines() if line.startswith("WATCHING"))
    assert "FAIL x" in line
