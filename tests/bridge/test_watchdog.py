"""The watchdog: no pass on missing values, the same verdict however the windows come, and a failure stays one."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.promotion import Cause
from bridge.settings import WatchLimits
from bridge.watchdog import Watchdog, WatchState
from col.errors import InputError
from col.plant import Windows
from col.specification import Specification, Verdict

ALWAYS = Specification.parse("always[0,2](a >= 1 and b <= 5)")
MIXED = Specification.parse("always[0,1](a >= 1) and eventually[0,2](b <= 5)")
FIRST = 10
GOOD, BAD, NONE = (2.0, 0.0), (0.0, 0.0), (math.nan, 0.0)


def make_windows(
    rows: list[tuple[float, float]], *, first: int = FIRST, sequence: list[int] | None = None, cpu: Any = 1.0
) -> Windows:
    n = len(rows)
    a, b = (np.array([row[i] for row in rows], dtype=float) for i in (0, 1))
    numbers = np.array(sequence if sequence is not None else range(first, first + n), dtype=np.int64)
    return Windows(
        sequence=numbers,
        start_s=np.zeros(n),
        end_s=np.zeros(n),
        run=np.zeros(n, dtype=np.int64),
        controls={"cpu": np.broadcast_to(np.asarray(cpu, dtype=float), n).copy()},
        metrics={"a": a, "b": b},
    )


def dog(specification: Specification = ALWAYS, horizon: int = 3, **limits: int) -> Watchdog:
    return Watchdog(
        specification,
        horizon,
        WatchLimits(**limits),
        first_sequence=FIRST,
        in_force={"cpu": 1.0},
        tolerance={"cpu": 0.005},
    )


def judge(rows: list[tuple[float, float]], **limits: int) -> WatchState:
    return dog(ALWAYS, 3, **limits).judge(make_windows(rows))


# --- the three verdicts -----------------------------------------------------------------------------------------------


def test_a_horizon_in_which_all_holds_passes() -> None:
    state = judge([GOOD, GOOD, GOOD])

    assert (state.verdict, state.give_up, state.rounds) == (Verdict.PASS, None, 1)
    assert state.robustness_low == state.robustness_high == 1.0
    assert [w.sequence for w in state.watched] == [10, 11, 12]
    assert state.windows_needed == 3


def test_nothing_is_decided_before_the_horizon_is_over() -> None:
    state = judge([GOOD, GOOD])

    assert (state.verdict, state.give_up) == (None, None)
    assert (state.robustness_low, state.robustness_high) == (-math.inf, 1.0)
    assert state.last_sequence == 11


def test_the_window_that_makes_it_false_is_the_cause_and_later_ones_change_nothing() -> None:
    state = judge([GOOD, BAD, GOOD, GOOD])

    assert (state.verdict, state.give_up) == (Verdict.FAIL, Cause.SPECIFICATION_FAILED)
    assert [w.sequence for w in state.watched] == [10, 11]
    assert state.last_sequence == 11
    assert state.robustness_high < 0


def test_a_violation_is_one_however_small() -> None:
    assert judge([(0.999999, 5.0)]).verdict is Verdict.FAIL
    assert judge([(1.0, 5.0)] * 3).verdict is Verdict.PASS


def test_a_horizon_with_a_missing_value_does_not_pass_and_the_next_one_may() -> None:
    state = judge([GOOD, NONE, GOOD])
    assert (state.verdict, state.give_up, state.rounds) == (None, None, 1)
    assert state.watched[1].missing == ("a",)
    assert state.windows_needed == 6

    state = judge([GOOD, NONE, GOOD, GOOD, GOOD, GOOD])
    assert (state.verdict, state.give_up, state.rounds) == (Verdict.PASS, None, 2)


def test_too_many_incomplete_windows_in_a_row_are_given_up() -> None:
    state = judge([GOOD, NONE, NONE, GOOD])

    assert (state.verdict, state.give_up) == (Verdict.INCONCLUSIVE, Cause.INCONCLUSIVE)
    assert state.last_sequence == 12
    assert judge([NONE, GOOD, NONE, GOOD, NONE]).give_up is None
    assert judge([GOOD, NONE], inconclusive_limit=1).give_up is Cause.INCONCLUSIVE


def test_a_failure_beside_a_missing_value_is_a_failure() -> None:
    assert judge([(math.nan, 9.0)]).give_up is Cause.SPECIFICATION_FAILED


def test_as_many_failed_horizons_as_the_limit_allows() -> None:
    assert judge([BAD], failure_limit=2).give_up is None
    assert judge([BAD, GOOD, GOOD, GOOD], failure_limit=2).verdict is Verdict.PASS
    state = judge([BAD, GOOD, BAD], failure_limit=2)
    assert (state.give_up, state.last_sequence, state.rounds) == (Cause.SPECIFICATION_FAILED, 12, 1)


def test_the_delay_is_seen_and_not_judged() -> None:
    state = judge([BAD, NONE, GOOD, GOOD, GOOD], initial_delay_windows=2)

    assert state.verdict is Verdict.PASS
    assert state.windows_needed == len(state.watched) == 5


def test_what_passed_is_watched_on_until_it_is_confirmed() -> None:
    assert judge([GOOD] * 5).verdict is Verdict.PASS
    state = judge([GOOD] * 4 + [BAD])
    assert (state.verdict, state.give_up) == (Verdict.FAIL, Cause.SPECIFICATION_FAILED)


def test_a_longer_watch_asks_for_the_specification_wherever_it_fits() -> None:
    assert dog(horizon=5).judge(make_windows([GOOD] * 4)).verdict is None
    assert dog(horizon=5).judge(make_windows([GOOD] * 5)).verdict is Verdict.PASS
    assert dog(horizon=5).judge(make_windows([GOOD] * 4 + [BAD])).verdict is Verdict.FAIL


def test_a_shorter_watch_never_passes() -> None:
    state = dog(horizon=2).judge(make_windows([GOOD] * 2))

    assert (state.verdict, state.rounds) == (None, 1)
    assert dog(horizon=2).judge(make_windows([GOOD, BAD])).verdict is Verdict.FAIL


# --- windows as they come ---------------------------------------------------------------------------------------------


def test_a_lost_window_is_a_missing_one() -> None:
    state = dog().judge(make_windows([GOOD, GOOD], sequence=[10, 12]))

    assert state.verdict is None
    assert [w.sequence for w in state.watched] == [10, 11, 12]
    assert state.watched[1].missing == ("a", "b")


def test_a_lost_first_window_is_a_missing_one_too() -> None:
    assert dog().judge(make_windows([GOOD, GOOD], sequence=[11, 12])).verdict is None


def test_a_gap_of_any_length_is_given_up_at_once() -> None:
    state = dog().judge(make_windows([GOOD, GOOD], sequence=[10, 2**62]))

    assert state.give_up is Cause.INCONCLUSIVE
    assert len(state.watched) == 3


def test_a_window_that_comes_late_counts_for_nothing() -> None:
    tables = [make_windows([GOOD, GOOD], sequence=[10, 12]), make_windows([GOOD], sequence=[11])]

    assert dog().judge(tables) == dog().judge(tables[:1])


def test_a_window_that_comes_again_counts_once_as_it_first_came() -> None:
    once = [make_windows([GOOD, GOOD])]

    assert dog().judge([*once, make_windows([BAD, BAD])]) == dog().judge(once)
    assert dog().judge([*once, make_windows([BAD, GOOD, GOOD])]).verdict is Verdict.PASS


def test_windows_from_before_are_not_looked_at() -> None:
    assert dog().judge(make_windows([BAD, BAD, GOOD, GOOD, GOOD], first=8)).verdict is Verdict.PASS


def test_a_window_with_other_controls_in_force_means_that_somebody_changed_the_testbed() -> None:
    state = dog().judge(make_windows([GOOD, GOOD, GOOD], cpu=[1.0, 0.8, 1.0]))

    assert (state.verdict, state.give_up) == (Verdict.INCONCLUSIVE, Cause.TESTBED_CHANGED)
    assert state.changed == {"cpu": (1.0, 0.8)}
    assert state.last_sequence == 11
    assert dog().judge(make_windows([GOOD] * 3, cpu=1.004)).verdict is Verdict.PASS


def test_a_window_that_does_not_say_what_was_in_force_is_incomplete() -> None:
    state = dog().judge(make_windows([GOOD, GOOD, GOOD], cpu=[1.0, math.nan, 1.0]))

    assert state.verdict is None
    assert state.watched[1].missing == ("cpu",)


def test_a_metric_that_is_not_there_at_all_is_missing_in_every_window() -> None:
    windows = make_windows([GOOD] * 3)
    bare = Windows(
        sequence=windows.sequence,
        start_s=windows.start_s,
        end_s=windows.end_s,
        run=windows.run,
        controls=windows.controls,
        metrics={"a": windows.metrics["a"]},
    )

    assert dog().judge(bare).give_up is Cause.INCONCLUSIVE


# --- whatever comes ---------------------------------------------------------------------------------------------------

values = st.sampled_from([0.0, 0.9, 1.0, 2.0, 6.0, math.nan, math.inf, -math.inf, 1e308])
rows = st.lists(st.tuples(values, values), min_size=1, max_size=14)
limits = st.builds(
    WatchLimits,
    failure_limit=st.integers(1, 3),
    inconclusive_limit=st.integers(1, 4),
    initial_delay_windows=st.integers(0, 2),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Windows]:
    """Single windows in the order in which they come: some lost, some late, some twice with other values."""
    numbers = draw(st.lists(st.integers(FIRST - 1, FIRST + 8), min_size=1, max_size=14))
    if draw(st.booleans()):
        numbers = sorted(numbers)
    cpu = draw(
        st.lists(
            st.sampled_from([1.0, 1.0, 1.0, 1.0, 1.0, 0.5, math.nan]), min_size=len(numbers), max_size=len(numbers)
        )
    )
    return [
        make_windows([draw(st.tuples(values, values))], sequence=[k], cpu=c) for k, c in zip(numbers, cpu, strict=True)
    ]


@settings(max_examples=150, deadline=None)
@given(stream=streams(), bounds=limits, horizon=st.integers(1, 4), specification=st.sampled_from([ALWAYS, MIXED]))
def test_it_only_passes_where_every_value_was_there(
    stream: list[Windows], bounds: WatchLimits, horizon: int, specification: Specification
) -> None:
    watchdog = Watchdog(specification, horizon, bounds, first_sequence=FIRST, in_force={"cpu": 1.0})
    state = watchdog.judge(stream)

    if state.verdict is not Verdict.PASS:
        return
    # Some run of consecutive windows, as they first came in order, has every value and satisfies φ.
    first_seen: dict[int, tuple[float, float, float]] = {}
    highest = FIRST - 1
    for w in stream:
        k = int(w.sequence[0])
        if k > highest:
            highest = k
            first_seen[k] = (float(w.metrics["a"][0]), float(w.metrics["b"][0]), float(w.controls["cpu"][0]))
    found = False
    for start in first_seen:
        run = [first_seen.get(start + i) for i in range(horizon)]
        if all(row is not None and all(math.isfinite(v) for v in row) and row[2] == 1.0 for row in run):
            columns = {"a": [r[0] for r in run if r], "b": [r[1] for r in run if r]}
            found = found or specification.verdict(columns) is Verdict.PASS
    assert found


@settings(max_examples=150, deadline=None)
@given(values=rows, lost=st.sets(st.integers(0, 13)), bounds=limits, cuts=st.lists(st.integers(0, 14), max_size=4))
def test_the_verdict_does_not_depend_on_how_the_windows_are_chunked(
    values: list[tuple[float, float]], lost: set[int], bounds: WatchLimits, cuts: list[int]
) -> None:
    whole = make_windows(values)
    whole = whole.take(np.array([i not in lost for i in range(len(values))]))
    ends = sorted({0, len(whole), *(min(c, len(whole)) for c in cuts)})
    chunks = [whole.take(slice(a, b)) for a, b in itertools.pairwise(ends)]
    watchdog = Watchdog(ALWAYS, 3, bounds, first_sequence=FIRST)
    singles = [whole.take(slice(i, i + 1)) for i in range(len(whole))]

    assert watchdog.judge(whole) == watchdog.judge(chunks) == watchdog.judge(singles)


@settings(max_examples=150, deadline=None)
@given(stream=streams(), bounds=limits, specification=st.sampled_from([ALWAYS, MIXED]))
def test_once_given_up_nothing_that_comes_later_changes_it(
    stream: list[Windows], bounds: WatchLimits, specification: Specification
) -> None:
    watchdog = Watchdog(specification, 3, bounds, first_sequence=FIRST, in_force={"cpu": 1.0})
    states = [watchdog.judge(stream[:n]) for n in range(len(stream) + 1)]

    for n, state in enumerate(states):
        if state.give_up is not None:
            assert all(later == state for later in states[n:])
            break


@settings(max_examples=100, deadline=None)
@given(values=rows, specification=st.sampled_from([ALWAYS, MIXED]))
def test_an_early_failure_is_one_for_every_future(
    values: list[tuple[float, float]], specification: Specification
) -> None:
    state = Watchdog(specification, specification.horizon, WatchLimits(), first_sequence=FIRST).judge(
        make_windows(values)
    )
    if state.verdict is not Verdict.FAIL:
        return
    failed = state.watched[-1].sequence - FIRST + 1
    begin = (failed - 1) // 3 * 3
    seen = values[begin:failed]
    for a in (0.0, 5.0):
        for b in (0.0, 9.0):
            rest = [(a, b)] * (3 - len(seen))
            columns = {"a": [r[0] for r in seen + rest], "b": [r[1] for r in seen + rest]}
            clean = {k: [v if math.isfinite(v) else math.nan for v in column] for k, column in columns.items()}
            assert specification.verdict(clean) is Verdict.FAIL


@pytest.mark.parametrize(
    ("horizon", "changes"),
    [
        (0, {}),
        (10**9, {}),
        (3, {"failure_limit": 0}),
        (3, {"inconclusive_limit": 0}),
        (3, {"initial_delay_windows": -1}),
    ],
)
def test_limits_out_of_range_are_refused(horizon: int, changes: dict) -> None:
    with pytest.raises(InputError):
        Watchdog(ALWAYS, horizon, WatchLimits(**changes))
