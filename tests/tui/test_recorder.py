"""What a trial is said to be limited by, also when it was ended early."""

from __future__ import annotations

import math

import numpy as np

from col.plant import Windows
from col.specification import Specification
from tui.figures.timeline import Timeline, timeline_figure
from tui.recorder import limiting_conjunct

SPECIFICATION = Specification.parse("always[0,4](a >= 1 and b <= 2)")


def windows(a: list[float], b: list[float]) -> Windows:
    n = len(a)
    return Windows(
        sequence=np.arange(n),
        start_s=np.arange(n, dtype=np.float64) * 15.0,
        end_s=np.arange(1, n + 1, dtype=np.float64) * 15.0,
        run=np.zeros(n, dtype=np.int64),
        controls={},
        metrics={"a": np.array(a), "b": np.array(b)},
    )


def test_a_trial_that_was_ended_by_its_failure_names_what_failed_and_by_how_much() -> None:
    margin, text, failed = limiting_conjunct(SPECIFICATION, windows([1.5, 0.4], [1.0, 1.0]))
    assert math.isclose(margin, limiting_conjunct(SPECIFICATION, windows([1.5, 0.4, 9, 9, 9], [1.0] * 5))[0])
    assert (text, failed) == ("a >= 1", ["a"])


def test_a_trial_that_was_cut_off_before_anything_failed_is_inconclusive() -> None:
    margin, text, failed = limiting_conjunct(SPECIFICATION, windows([1.5, 1.4], [1.0, 1.0]))
    assert math.isnan(margin)
    assert (text, failed) == ("", [])


def test_a_run_whose_trials_left_no_windows_can_be_drawn() -> None:
    time = Timeline(trial=np.full(3, -1), failed=frozenset(), window_s=15.0)
    assert "passive" in timeline_figure("gNB 1", [], time)
