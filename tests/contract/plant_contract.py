"""The battery of contract tests that every plant must pass, whatever stands behind it.

A module of tests makes it run for one plant:

    class TestTwin(PlantContract):
        def make_plant(self) -> Plant:
            return Twin(scenario, seed=1)

Each case has an id (TC-P01 ...) that is never used again for another case. No case looks at what a metric is worth, and
none needs more than a dozen windows, so that the same battery can be run on a real testbed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import pytest

from col.errors import InputError, RantwinError
from col.plant import Control, Intervention, MetricKind, Plant, PlantDescription, Trial, TrialOutcome, Windows

WINDOWS = 3
"""Windows that a case observes or tries."""


class PlantContract(ABC):
    """Subclass it as `Test...` and say how to make a plant; override the rest where the plant needs it."""

    deterministic = True
    """Whether two fresh plants give the same windows bit for bit: false for a real testbed."""

    @abstractmethod
    def make_plant(self) -> Plant:
        """Return a fresh plant at its reference configuration, with nothing observed yet."""

    def settings(self, description: PlantDescription) -> tuple[Intervention, Intervention]:
        """Return two harmless interventions over different controls, one control each.

        They are tried one after the other; a recorded trace must hold both alone and the two together.
        """
        first, last = description.controls[0], description.controls[-1]
        return Intervention({first.name: elsewhere(first)}), Intervention({last.name: elsewhere(last)})

    def make_plant_that_misses(self) -> tuple[Plant, str] | None:
        """Return a plant and one of its metrics that is missing in every window, or None where that cannot be made."""
        return None

    def make_plant_that_refuses(self) -> tuple[Plant, Intervention] | None:
        """Return a plant and an intervention within the bounds that it refuses, or None where that cannot be made."""
        return None

    # --- what it says of itself ---------------------------------------------------------------------------------------

    def test_tc_p01_a_plant_has_the_four_methods(self) -> None:
        assert isinstance(self.make_plant(), Plant)

    def test_tc_p02_the_description_names_each_thing_once_and_with_a_unit(self) -> None:
        description = self.make_plant().describe()
        names = [c.name for c in description.controls] + [m.name for m in description.metrics]
        assert len(names) == len(set(names))
        assert all(names)
        assert description.plant_id
        assert description.window_s > 0
        assert description.wall_window_s >= 0
        assert description.controls
        assert any(m.kind is MetricKind.TARGET for m in description.metrics)
        assert all(isinstance(c.unit, str) for c in description.controls)

    def test_tc_p03_the_reference_can_be_set(self) -> None:
        description = self.make_plant().describe()
        description.check(description.reference)
        assert set(description.reference) == {c.name for c in description.controls}

    def test_tc_p04_the_description_does_not_change_with_use(self) -> None:
        plant = self.make_plant()
        before = plant.describe()
        plant.observe(1)
        held(plant.trial(self.settings(before)[0], 1))
        assert plant.describe() == before

    # --- watching -----------------------------------------------------------------------------------------------------

    def test_tc_p05_observe_returns_as_many_windows_as_asked_with_every_column(self) -> None:
        plant = self.make_plant()
        for n in (1, WINDOWS):
            windows = plant.observe(n)
            assert len(windows) == n
            check_table(windows, plant.describe())
            assert np.all(np.diff(windows.sequence) == 1)

    def test_tc_p06_the_next_windows_begin_after_the_last_ones(self) -> None:
        plant = self.make_plant()
        first, second = plant.observe(WINDOWS), plant.observe(WINDOWS)
        assert second.sequence[0] > first.sequence[-1]
        assert second.start_s[0] >= first.end_s[-1] - 1e-6

    def test_tc_p07_less_than_one_window_is_refused_and_changes_nothing(self) -> None:
        plant = self.make_plant()
        plant.observe(1)
        before = plant.history(0)
        for n in (0, -1):
            with pytest.raises(InputError):
                plant.observe(n)
            with pytest.raises(InputError):
                plant.trial(Intervention({}), n)
        assert_same(plant.history(0), before)

    # --- history ------------------------------------------------------------------------------------------------------

    def test_tc_p08_history_has_every_window_that_was_returned(self) -> None:
        plant = self.make_plant()
        earlier = len(plant.history(0))
        returned = [plant.observe(WINDOWS), held(plant.trial(self.settings(plant.describe())[0], WINDOWS)).windows]
        returned.append(plant.observe(1))
        history = plant.history(0)
        check_table(history, plant.describe())
        assert len(history) >= earlier + 2 * WINDOWS + 1
        for windows in returned:
            assert_same(history.take(np.isin(history.sequence, windows.sequence)), windows)

    def test_tc_p09_history_begins_where_it_was_asked_to_and_reading_it_moves_nothing(self) -> None:
        plant = self.make_plant()
        windows = plant.observe(WINDOWS)
        assert_same(plant.history(int(windows.sequence[1])), windows.take(slice(1, None)))
        nothing = plant.history(int(windows.sequence[-1]) + 1)
        assert len(nothing) == 0
        check_table(nothing, plant.describe())
        assert_same(plant.history(0), plant.history(0))

    def test_tc_p10_what_a_caller_does_to_its_windows_does_not_reach_the_history(self) -> None:
        plant = self.make_plant()
        windows = plant.observe(WINDOWS)
        before = {name: column.copy() for name, column in windows.metrics.items()}
        for column in windows.metrics.values():
            if column.flags.writeable:
                column[:] = -1.0
        history = plant.history(int(windows.sequence[0]))
        for name, column in before.items():
            np.testing.assert_array_equal(history.metrics[name], column)

    # --- trials -------------------------------------------------------------------------------------------------------

    def test_tc_p11_a_trial_reads_back_what_it_asked_for_on_the_full_control_vector(self) -> None:
        plant = self.make_plant()
        description = plant.describe()
        x, _ = self.settings(description)
        trial = held(plant.trial(x, WINDOWS))
        assert trial.intervention == x.over(description.reference.values)
        assert trial.read_back is not None
        assert dict(trial.read_back.values) == pytest.approx(dict(trial.intervention.values))

    def test_tc_p12_every_window_of_a_trial_carries_its_controls(self) -> None:
        plant = self.make_plant()
        trial = held(plant.trial(self.settings(plant.describe())[0], WINDOWS))
        assert len(trial.windows) == WINDOWS
        check_table(trial.windows, plant.describe())
        assert np.all(np.diff(trial.windows.sequence) == 1)
        for name in trial.intervention:
            np.testing.assert_allclose(trial.windows.controls[name], trial.intervention[name], rtol=1e-9)

    def test_tc_p13_the_windows_of_a_trial_are_of_one_run(self) -> None:
        plant = self.make_plant()
        trial = held(plant.trial(self.settings(plant.describe())[0], WINDOWS))
        assert len(set(trial.windows.run.tolist())) == 1

    def test_tc_p14_a_trial_begins_after_what_was_watched_before_and_watching_goes_on_after_it(self) -> None:
        plant = self.make_plant()
        before = plant.observe(WINDOWS)
        trial = held(plant.trial(self.settings(plant.describe())[0], WINDOWS))
        after = plant.observe(WINDOWS)
        assert before.sequence[-1] < trial.windows.sequence[0]
        assert trial.windows.sequence[-1] < after.sequence[0]
        assert before.end_s[-1] <= trial.windows.start_s[0] + 1e-6
        assert trial.windows.end_s[-1] <= after.start_s[0] + 1e-6

    def test_tc_p15_a_trial_over_no_control_is_one_of_the_confirmed_configuration(self) -> None:
        plant = self.make_plant()
        plant.observe(WINDOWS)  # whatever moved controls meanwhile confirmed nothing
        trial = held(plant.trial(Intervention({}), 1))
        assert trial.intervention == plant.describe().reference

    def test_tc_p16_after_a_trial_the_plant_is_back_at_its_confirmed_configuration(self) -> None:
        plant = self.make_plant()
        description = plant.describe()
        x, other = self.settings(description)
        held(plant.trial(x, 1))
        assert held(plant.trial(other, 1)).intervention == other.over(description.reference.values)

    def test_tc_p17_a_trial_that_is_kept_becomes_the_confirmed_configuration(self) -> None:
        plant = self.make_plant()
        description = plant.describe()
        x, other = self.settings(description)
        held(plant.trial(x, 1, keep=True))
        both = other.over(x.over(description.reference.values).values)
        trial = held(plant.trial(other, 1))
        assert trial.intervention == both
        for name in both:
            np.testing.assert_allclose(trial.windows.controls[name], both[name], rtol=1e-9)

    # --- what is refused ----------------------------------------------------------------------------------------------

    def test_tc_p18_a_wrong_intervention_raises_input_error_and_changes_nothing(self) -> None:
        plant = self.make_plant()
        description = plant.describe()
        x, _ = self.settings(description)
        control = description.controls[0]
        plant.observe(1)
        before = plant.history(0)
        span = control.upper - control.lower
        wrong = [
            {"no_such_control": 1.0},
            {control.name: math.nan},
            {control.name: math.inf},
            {control.name: control.upper + span},
            {control.name: control.lower - span},
            {**x.values, "no_such_control": 1.0},
            {**x.values, description.controls[-1].name: math.nan},
        ]
        for values in wrong:
            with pytest.raises(InputError):
                plant.trial(Intervention(values), 1, keep=True)
        assert_same(plant.history(0), before)
        assert held(plant.trial(Intervention({}), 1)).intervention == description.reference

    def test_tc_p19_a_refused_trial_has_reasons_no_windows_and_no_effect(self) -> None:
        made = self.make_plant_that_refuses()
        if made is None:
            pytest.skip("this plant refuses nothing within its bounds")
        plant, x = made
        plant.observe(1)
        before = plant.history(0)
        trial = plant.trial(x, WINDOWS, keep=True)
        assert trial.outcome is TrialOutcome.REFUSED
        assert trial.reasons
        assert all(trial.reasons)
        assert len(trial.windows) == 0
        check_table(trial.windows, plant.describe())
        assert_same(plant.history(0), before)
        assert held(plant.trial(Intervention({}), 1)).intervention == plant.describe().reference

    def test_tc_p20_errors_are_ours_and_one_line(self) -> None:
        plant = self.make_plant()
        with pytest.raises(RantwinError) as caught:
            plant.trial(Intervention({"no_such_control": 1.0}), 1)
        assert "no_such_control" in str(caught.value)
        assert "\n" not in str(caught.value)

    # --- what the numbers are -----------------------------------------------------------------------------------------

    def test_tc_p21_a_missing_metric_is_nan_and_never_zero(self) -> None:
        made = self.make_plant_that_misses()
        if made is None:
            pytest.skip("this plant cannot be made to miss a metric")
        plant, metric = made
        windows = plant.observe(WINDOWS)
        assert metric in windows.metrics
        assert np.all(np.isnan(windows.metrics[metric]))
        assert np.all(np.isnan(plant.history(0).metrics[metric]))

    def test_tc_p22_two_fresh_plants_with_one_seed_give_the_same_windows(self) -> None:
        if not self.deterministic:
            pytest.skip("not repeatable")
        first, second = self.make_plant(), self.make_plant()
        x, _ = self.settings(first.describe())
        for plant in (first, second):
            plant.observe(WINDOWS)
            held(plant.trial(x, WINDOWS))
            plant.observe(1)
        assert first.describe() == second.describe()
        assert_same(first.history(0), second.history(0))


def elsewhere(control: Control) -> float:
    """Return a settable value away from the reference, towards more where there is room."""
    towards = control.upper if control.upper - control.reference >= control.reference - control.lower else control.lower
    value = control.snap((control.reference + towards) / 2)
    assert value != control.reference
    return value


def held(trial: Trial) -> Trial:
    """Return the trial, which must have been held."""
    assert trial.outcome is TrialOutcome.HELD, trial.reasons
    return trial


def check_table(windows: Windows, description: PlantDescription) -> None:
    """Assert that the windows have exactly the plant's columns and a sound frame."""
    assert list(windows.controls) == [c.name for c in description.controls]
    assert list(windows.metrics) == [m.name for m in description.metrics]
    assert set(windows.provenance) <= set(windows.metrics)
    assert windows.sequence.dtype.kind == windows.run.dtype.kind == "i"
    np.testing.assert_allclose(windows.end_s - windows.start_s, description.window_s, rtol=1e-6)
    assert np.all(windows.start_s[1:] >= windows.end_s[:-1] - 1e-6)
    for control in description.controls:
        column = windows.controls[control.name]
        assert np.all((column >= control.lower - 1e-9) & (column <= control.upper + 1e-9)), control.name
    for name, column in windows.metrics.items():
        assert column.dtype == np.float64, name
        assert not np.any(np.isinf(column)), name


def assert_same(a: Windows, b: Windows) -> None:
    """Assert that two tables are equal bit for bit, missing values included."""
    for name in ("sequence", "start_s", "end_s", "run"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.controls.keys() == b.controls.keys()
    assert a.metrics.keys() == b.metrics.keys()
    for name in a.controls:
        np.testing.assert_array_equal(a.controls[name], b.controls[name], err_msg=name)
    for name in a.metrics:
        np.testing.assert_array_equal(a.metrics[name], b.metrics[name], err_msg=name)
