"""The recorded trace as a plant, and what is checked of windows that come from outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from col.errors import InputError, PlantError
from col.plant import Control, Intervention, Metric, MetricKind, Plant, PlantDescription, TrialOutcome, Windows
from col.trace import RecordedTrace, check_windows, windows_from_columns
from tests.contract.plant_contract import WINDOWS, PlantContract, assert_same, elsewhere

DESCRIPTION = PlantDescription(
    plant_id="recorded",
    controls=(
        Control(name="cpu", unit="core", lower=0.1, upper=1.5, resolution=0.05, reference=1.0),
        Control(name="bw", unit="MHz", lower=5, upper=20, resolution=5, reference=20, live=False),
    ),
    metrics=(
        Metric(name="load", unit="Mbit/s"),
        Metric(name="thp", unit="Mbit/s", kind=MetricKind.TARGET),
        Metric(name="power", unit="W", kind=MetricKind.TARGET),
    ),
    window_s=15.0,
)
CPU, BW = (elsewhere(c) for c in DESCRIPTION.controls)
PASSIVE = 12
VECTORS = [(1.0, 20.0), (CPU, 20.0), (1.0, BW), (CPU, BW)]  # each recorded for WINDOWS windows, in a run of its own


def columns() -> dict[str, Any]:
    """Return a recording: PASSIVE windows under an autoscaler, then one trial of each vector."""
    n = PASSIVE + len(VECTORS) * WINDOWS
    rng = np.random.default_rng(4)
    controls = np.array(
        [(1.0 - 0.05 * (i % 3), 20.0) for i in range(PASSIVE)] + [v for v in VECTORS for _ in range(WINDOWS)]
    )
    load = rng.uniform(0, 10, n)
    return {
        "sequence": np.arange(n) + 7,
        "start_s": np.arange(n) * 15.0,
        "end_s": np.arange(n) * 15.0 + 15,
        "run": np.r_[np.zeros(PASSIVE), 1 + np.repeat(np.arange(len(VECTORS)), WINDOWS)],
        "cpu": controls[:, 0],
        "bw": controls[:, 1],
        "load": load,
        "thp": np.minimum(load, 12 * controls[:, 0]),
        "power": rng.uniform(50, 90, n),
    }


def recorded(**changes: Any) -> RecordedTrace:
    windows = windows_from_columns({**columns(), **changes}, DESCRIPTION)
    return RecordedTrace(DESCRIPTION, windows, range(PASSIVE))


class TestRecordedTraceIsAPlant(PlantContract):
    def make_plant(self) -> Plant:
        return recorded()

    def make_plant_that_misses(self) -> tuple[Plant, str]:
        return recorded(power=np.full(len(columns()["load"]), np.nan)), "power"

    def make_plant_that_refuses(self) -> tuple[Plant, Intervention]:
        return recorded(), Intervention({"cpu": 0.1})


def test_passive_windows_are_replayed_in_their_order_with_their_values() -> None:
    trace, source = recorded(), columns()
    windows = [trace.observe(5), trace.observe(7)]
    np.testing.assert_array_equal(np.concatenate([w.metrics["thp"] for w in windows]), source["thp"][:PASSIVE])
    np.testing.assert_array_equal(np.concatenate([w.controls["cpu"] for w in windows]), source["cpu"][:PASSIVE])
    assert trace.passive_left == 0
    with pytest.raises(PlantError, match="has 0 passive windows left, 1 were asked for"):
        trace.observe(1)


def test_asking_for_more_than_is_left_replays_nothing() -> None:
    trace = recorded()
    with pytest.raises(PlantError, match="has 12 passive windows left, 13"):
        trace.observe(13)
    assert len(trace.history(0)) == 0
    assert len(trace.observe(12)) == 12


def test_a_recorded_vector_is_held_once_and_then_refused() -> None:
    trace = recorded()
    assert (Intervention({"cpu": CPU, "bw": 20.0}), WINDOWS) in trace.recorded_trials
    trial = trace.trial(Intervention({"cpu": CPU}), WINDOWS)
    assert trial.outcome is TrialOutcome.HELD
    np.testing.assert_array_equal(trial.windows.metrics["thp"], columns()["thp"][15:18])
    again = trace.trial(Intervention({"cpu": CPU}), WINDOWS)
    assert again.outcome is TrialOutcome.REFUSED
    assert again.reasons == ("no unused recording has this control vector",)


def test_a_recording_that_is_too_short_is_refused_and_stays_for_a_shorter_trial() -> None:
    trace = recorded()
    refused = trace.trial(Intervention({"cpu": CPU}), WINDOWS + 2)
    assert refused.reasons == (f"recorded for {WINDOWS} windows, {WINDOWS + 2} were asked for",)
    assert trace.trial(Intervention({"cpu": CPU}), WINDOWS).outcome is TrialOutcome.HELD


def test_a_vector_is_the_same_setting_within_half_a_step_and_no_further() -> None:
    assert recorded().trial(Intervention({"cpu": CPU + 0.024}), 1).outcome is TrialOutcome.HELD
    assert recorded().trial(Intervention({"cpu": CPU + 0.026}), 1).outcome is TrialOutcome.REFUSED


@pytest.mark.parametrize("column", ["run", "sequence", "start_s"])
def test_a_recording_ends_where_the_run_or_the_sequence_does(column: str) -> None:
    changed = columns()
    shift = changed[column].astype(float)
    shift[PASSIVE + WINDOWS + 1 :] += 15  # in the middle of the second recording
    changed[column] = shift
    if column == "start_s":
        changed["end_s"] = shift + 15
        changed["sequence"] = changed["sequence"] + (np.arange(len(shift)) > PASSIVE + WINDOWS)
    trace = RecordedTrace(DESCRIPTION, windows_from_columns(changed, DESCRIPTION), range(PASSIVE))
    assert trace.trial(Intervention({"cpu": CPU}), WINDOWS).outcome is TrialOutcome.REFUSED
    assert trace.trial(Intervention({"cpu": CPU}), 2).outcome is TrialOutcome.HELD


def test_passive_rows_may_be_a_mask_and_must_exist() -> None:
    windows = windows_from_columns(columns(), DESCRIPTION)
    mask = np.arange(len(windows)) < PASSIVE
    assert_same(RecordedTrace(DESCRIPTION, windows, mask).observe(3), recorded().observe(3))
    assert RecordedTrace(DESCRIPTION, windows, []).passive_left == 0
    wrong_rows: list[Any] = [[24], [-1], [0.5], mask[:-1]]
    for wrong in wrong_rows:
        with pytest.raises(InputError, match=r"passive_rows: must be rows 0 to 23 or a mask of shape \(24,\)"):
            RecordedTrace(DESCRIPTION, windows, wrong)


def replaced(name: str, row: int, value: float) -> dict[str, Any]:
    column = np.array(columns()[name], dtype=float)
    column[row] = value
    return {**columns(), name: column}


def without(name: str) -> dict[str, Any]:
    return {key: column for key, column in columns().items() if key != name}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (without("thp"), "thp: the column is missing"),
        (without("run"), "run: the column is missing"),
        ({**columns(), "thpp": np.zeros(24)}, "thpp: is no control or metric of the plant"),
        ({**columns(), "thp": columns()["thp"][:-3]}, r"thp: has shape \(21,\), must be \(24,\): is the file cut off"),
        ({**columns(), "thp": ["x"] * 24}, "thp: must be numbers"),
        ({**columns(), "thp": [None, "a", *[1.0] * 22]}, "thp: must be numbers"),
        (replaced("sequence", 5, 11.0), r"sequence = 11: row 5: must be above the one before \(11\)"),
        (replaced("sequence", 5, 3.0), "sequence = 3: row 5: must be above the one before"),
        (replaced("sequence", 5, np.nan), "sequence = nan: row 5: must be a whole number"),
        (replaced("sequence", 5, 12.5), "sequence = 12.5: row 5: must be a whole number"),
        (replaced("run", 2, np.inf), "run = inf: row 2: must be a whole number"),
        (replaced("start_s", 3, np.nan), "start_s = nan: row 3: must be a finite time"),
        (replaced("end_s", 3, 70.0), "end_s = 70.0: row 3: the window must last 15 s"),
        ({**columns(), "start_s": np.arange(24) * 14.0, "end_s": np.arange(24) * 14.0 + 15}, "row 1: begins before"),
        (replaced("cpu", 4, np.nan), r"cpu = nan: row 4: must lie in \[0.1, 1.5\] core"),
        (replaced("cpu", 4, 2.0), r"cpu = 2.0: row 4: must lie in \[0.1, 1.5\] core"),
        (replaced("thp", 6, np.inf), "thp = inf: row 6: must be finite, or NaN where it is missing"),
    ],
)
def test_a_wrong_recording_is_refused_with_its_column_row_and_value(data: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        windows_from_columns(data, DESCRIPTION, source="trace.parquet")
    assert str(caught.value).startswith("trace.parquet: ")
    assert "\n" not in str(caught.value)


def test_a_missing_metric_is_no_fault_of_a_recording() -> None:
    windows = windows_from_columns(replaced("thp", 6, np.nan), DESCRIPTION)
    check_windows(windows, DESCRIPTION)
    assert np.isnan(windows.metrics["thp"][6])


def test_windows_of_another_plant_are_refused() -> None:
    windows = windows_from_columns(columns(), DESCRIPTION)
    other = Windows(
        sequence=windows.sequence,
        start_s=windows.start_s,
        end_s=windows.end_s,
        run=windows.run,
        controls={"cpu": windows.controls["cpu"]},
        metrics=windows.metrics,
    )
    with pytest.raises(InputError, match="recorded trace: bw: the column of the control is missing"):
        RecordedTrace(DESCRIPTION, other, [])


cells = st.one_of(st.floats(), st.integers(-2, 40), st.none(), st.text(max_size=2))


@given(st.dictionaries(st.sampled_from([*columns(), "other"]), st.lists(cells, max_size=4)))
def test_any_columns_are_windows_or_an_input_error(data: dict[str, Any]) -> None:
    try:
        windows = windows_from_columns(data, DESCRIPTION)
    except InputError:
        return
    check_windows(windows, DESCRIPTION)
