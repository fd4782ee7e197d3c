"""The battery of contract tests that every backend must pass, whatever testbed stands behind it.

A module of tests makes it run for one backend:

    class TestEmulated(BackendContract):
        def make_backend(self) -> Backend:
            return make_backend({"socket": ...}, 5.0)

Each case has an id (TC-B01 ...) that is never used again for another case. No case looks at what a metric is worth, so
that the same battery can be run on a real testbed; each leaves the reference configuration behind.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import pytest

from bridge.backends.base import Backend, BackendDescription
from col.errors import RefusedError, UnreachableError
from col.plant import Control, Windows

PATIENCE_WINDOWS = 30


class BackendContract(ABC):
    """Subclass it as `Test...` and say how to make a backend; override the rest where the testbed needs it."""

    settle_s = 1.0

    @abstractmethod
    def make_backend(self) -> Backend:
        """Return a backend on the testbed; every call of this reaches the same testbed."""

    def make_unreachable_backend(self) -> Backend | None:
        """Return a backend whose testbed does not answer, or None where that cannot be made."""
        return None

    def make_reader(self, backend: Backend) -> Backend:
        """Return a backend with the same windows: another one, unless it is the backend itself that records them."""
        return self.make_backend()

    def let_windows_pass(self, backend: Backend, n: int) -> None:
        """Let the time of `n` windows pass."""
        time.sleep(n * backend.describe().plant.wall_window_s)

    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        backend = self.make_backend()
        reference = dict(backend.describe().plant.reference.values)
        backend.apply(reference, settle_s=self.settle_s)
        yield backend
        again = self.make_backend()
        again.apply(reference, settle_s=self.settle_s)
        again.close()
        backend.close()

    def windows_from(self, backend: Backend, since: int, n: int) -> Windows:
        """Return at least `n` windows from a number on, as soon as they are there."""
        for _ in range(PATIENCE_WINDOWS):
            windows = backend.windows(since, 1000)
            if len(windows) >= n:
                return windows
            self.let_windows_pass(backend, 1)
        pytest.fail(f"no {n} windows from number {since} on")

    # --- what it says of itself ---------------------------------------------------------------------------------------

    def test_tc_b01_a_backend_has_the_six_methods(self, backend: Backend) -> None:
        assert isinstance(backend, Backend)

    def test_tc_b02_gnbs_name_controls_and_metrics_that_there_are(self, backend: Backend) -> None:
        described = backend.describe()
        controls = {c.name for c in described.plant.controls}
        metrics = {m.name for m in described.plant.metrics}
        assert described.gnbs
        assert {name for names in described.gnbs.values() for name in names} <= controls
        assert set(described.gnb_metrics) <= set(described.gnbs)
        assert {name for names in described.gnb_metrics.values() for name in names} <= metrics
        assert described.estimated <= metrics
        assert described.plant.plant_id
        assert described.stack
        assert described.radio_mode
        assert described.plant.window_s > 0

    def test_tc_b03_the_description_does_not_change_with_use(self, backend: Backend) -> None:
        before = backend.describe()
        backend.apply({_first(before).name: _elsewhere(_first(before))}, settle_s=self.settle_s)
        assert backend.describe() == before
        assert self.make_backend().describe() == before

    # --- reading and setting ------------------------------------------------------------------------------------------

    def test_tc_b04_a_reading_has_every_control_within_its_bounds(self, backend: Backend) -> None:
        reading = backend.read()
        controls = backend.describe().plant.controls
        assert set(reading.controls) == {c.name for c in controls}
        for control in controls:
            assert control.lower - 1e-9 <= reading.controls[control.name] <= control.upper + 1e-9

    def test_tc_b05_what_is_applied_is_read_back_and_controls_not_named_keep_their_values(
        self, backend: Backend
    ) -> None:
        control = _first(backend.describe())
        before = backend.read()
        claimed = backend.apply({control.name: _elsewhere(control)}, settle_s=self.settle_s)
        after = backend.read()
        expected = {**before.controls, control.name: _elsewhere(control)}
        assert dict(after.controls) == pytest.approx(expected)
        assert dict(claimed.controls) == pytest.approx(expected)
        assert after.at_s >= before.at_s

    def test_tc_b06_a_value_between_two_steps_becomes_one_next_to_it(self, backend: Backend) -> None:
        control = _first(backend.describe())
        asked = _elsewhere(control) + 0.4 * control.resolution
        backend.apply({control.name: asked}, settle_s=self.settle_s)
        assert abs(backend.read().controls[control.name] - asked) <= control.resolution

    def test_tc_b07_applying_what_is_in_force_changes_nothing(self, backend: Backend) -> None:
        before = backend.read().controls
        backend.apply(before, settle_s=self.settle_s)
        assert dict(backend.read().controls) == pytest.approx(dict(before))

    @pytest.mark.parametrize("fault", ["unknown", "above", "below", "nan", "infinite"])
    def test_tc_b08_what_cannot_be_set_is_refused_as_a_whole(self, backend: Backend, fault: str) -> None:
        first, last = backend.describe().plant.controls[0], backend.describe().plant.controls[-1]
        wrong = {
            "unknown": {"no_such_control": 1.0},
            "above": {last.name: last.upper + last.resolution},
            "below": {last.name: last.lower - last.resolution},
            "nan": {last.name: math.nan},
            "infinite": {last.name: math.inf},
        }[fault]
        before = backend.read().controls
        with pytest.raises(RefusedError):
            backend.apply({first.name: _elsewhere(first), **wrong}, settle_s=self.settle_s)
        assert dict(backend.read().controls) == pytest.approx(dict(before))

    def test_tc_b09_what_is_in_force_outlives_the_backend(self, backend: Backend) -> None:
        control = _first(backend.describe())
        backend.apply({control.name: _elsewhere(control)}, settle_s=self.settle_s)
        backend.close()
        assert self.make_backend().read().controls[control.name] == pytest.approx(_elsewhere(control))

    def test_tc_b10_automation_that_is_suspended_reads_so(self, backend: Backend) -> None:
        backend.set_automation(False)
        assert not backend.read().automation

    # --- windows ------------------------------------------------------------------------------------------------------

    def test_tc_b11_windows_that_count_carry_what_was_applied_and_began_after_it_settled(
        self, backend: Backend
    ) -> None:
        control = _first(backend.describe())
        self.windows_from(backend, backend.read().next_sequence, 1)
        reading = backend.apply({control.name: _elsewhere(control)}, settle_s=self.settle_s)
        windows = self.windows_from(backend, reading.next_sequence, 2)
        assert np.allclose(windows.controls[control.name], _elsewhere(control))
        assert windows.start_s[0] >= reading.at_s + self.settle_s - 1e-6
        assert windows.sequence[0] == reading.next_sequence

    def test_tc_b12_windows_that_began_before_a_reading_do_not_count(self, backend: Backend) -> None:
        self.windows_from(backend, backend.read().next_sequence, 1)
        reading = backend.read()
        windows = self.windows_from(backend, reading.next_sequence, 1)
        assert windows.start_s[0] >= reading.at_s - 1e-6

    def test_tc_b13_windows_are_numbered_without_gaps_and_in_order_of_time(self, backend: Backend) -> None:
        windows = self.windows_from(backend, backend.read().next_sequence, 3)
        assert np.all(np.diff(windows.sequence) == 1)
        assert np.all(windows.start_s[1:] >= windows.end_s[:-1] - 1e-6)
        assert np.allclose(windows.end_s - windows.start_s, backend.describe().plant.window_s)

    def test_tc_b14_a_table_has_a_column_for_every_control_and_metric_even_without_rows(self, backend: Backend) -> None:
        plant = backend.describe().plant
        for windows in (backend.windows(2**40, 10), self.windows_from(backend, backend.read().next_sequence, 1)):
            assert set(windows.controls) == {c.name for c in plant.controls}
            assert set(windows.metrics) == {m.name for m in plant.metrics}
        assert len(backend.windows(2**40, 10)) == 0

    def test_tc_b15_whoever_asks_again_gets_the_same_windows_and_no_more_than_asked_for(self, backend: Backend) -> None:
        since = backend.read().next_sequence
        whole = self.windows_from(backend, since, 3)
        parts = [self.make_reader(backend).windows(since + i, 1) for i in range(3)]
        assert [list(part.sequence) for part in parts] == [[since], [since + 1], [since + 2]]
        for name in whole.metrics:
            again = np.concatenate([part.metrics[name] for part in parts])
            np.testing.assert_array_equal(again, whole.metrics[name][:3])

    # --- out of reach -------------------------------------------------------------------------------------------------

    def test_tc_b16_out_of_reach_every_call_says_so_and_nothing_else(self) -> None:
        backend = self.make_unreachable_backend()
        if backend is None:
            pytest.skip("this testbed cannot be put out of reach")
        for call in (
            backend.describe,
            backend.read,
            lambda: backend.apply({"cpu_du_1": 1.0}, settle_s=1.0),
            lambda: backend.set_automation(False),
            lambda: backend.windows(0, 10),
        ):
            with pytest.raises(UnreachableError):
                call()
        backend.close()


def _first(description: BackendDescription) -> Control:
    return description.plant.controls[0]


def _elsewhere(control: Control) -> float:
    """Return a value near the reference that is not the reference, safe on any testbed that deserves the name."""
    step = max(control.resolution, 0.05 * (control.upper - control.lower))
    up = control.snap(control.reference + step)
    return up if up != control.reference else control.snap(control.reference - step)
