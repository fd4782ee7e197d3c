from __future__ import annotations

import numpy as np
import pytest

from bridge.backends.recorder import Recorder, Row, TestbedClock
from bridge.clock import ManualClock
from col.plant import Provenance

WINDOW_S = 10.0


class World:
    """A testbed whose only metric is how much of a counter went by, looked at on a clock that is moved by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock(wall_s=1_800_000_003.0)
        self.now = TestbedClock(self.clock)
        self.look_takes_s = 0.0
        self.recorder = self.make()

    def make(self) -> Recorder[float]:
        recorder = Recorder[float](
            WINDOW_S, self.now, self.look, self.row, (["x"], ["passed"]), {"passed": Provenance.MEASURED}
        )
        recorder.resume(self.now())
        return recorder

    def look(self) -> float:
        seen = self.now()
        self.clock.advance(self.look_takes_s)
        return seen

    def row(self, before: float, after: float, start_s: float, end_s: float) -> Row:
        return Row(run=7, controls={"x": 1.0}, metrics={"passed": after - before})

    def go_on(self, seconds: float, *, step_s: float = 1.0) -> None:
        """Let time pass, as a thread sees it that is never late by more than a step."""
        while self.recorder.step() == 0.0:
            pass
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            while self.recorder.step() == 0.0:
                pass

    def sequence(self) -> list[int]:
        return list(self.recorder.windows(0, 1000).sequence)


@pytest.fixture
def world() -> World:
    return World()


def test_windows_follow_each_other_from_the_start_and_are_numbered_by_it(world: World) -> None:
    begin = world.now()
    world.go_on(35)
    windows = world.recorder.windows(0, 1000)
    assert list(windows.sequence) == [180_000_000, 180_000_001, 180_000_002]
    assert list(windows.start_s) == pytest.approx([begin, begin + 10, begin + 20])
    assert list(windows.end_s - windows.start_s) == pytest.approx([10, 10, 10])
    assert list(windows.metrics["passed"]) == pytest.approx([10, 10, 10])
    assert list(windows.run) == [7, 7, 7]
    assert windows.provenance == {"passed": Provenance.MEASURED}


def test_who_asks_gets_what_is_there_from_a_number_on_and_no_more_than_asked_for(world: World) -> None:
    world.go_on(45)
    assert list(world.recorder.windows(180_000_002, 1000).sequence) == [180_000_002, 180_000_003]
    assert list(world.recorder.windows(0, 2).sequence) == [180_000_000, 180_000_001]
    nothing = world.recorder.windows(2**40, 5)
    assert len(nothing) == 0
    assert set(nothing.metrics) == {"passed"}


@pytest.mark.parametrize(("wait_s", "first"), [(0.0, 0), (0.5, 1), (9.5, 1), (10.0, 1), (10.5, 2)])
def test_the_next_window_is_the_first_that_begins_no_earlier_than_the_reading(
    world: World, wait_s: float, first: int
) -> None:
    begin = world.now()
    world.clock.advance(wait_s)  # whether or not the thread has come to it yet
    number = world.recorder.next_sequence(world.now())
    assert number == 180_000_000 + first
    assert begin + first * WINDOW_S >= world.now() - 1e-9


@pytest.mark.parametrize("settle_s", [0.0, 2.0, 5.0, 9.0, 23.0])
def test_a_change_discards_the_window_in_progress_and_the_first_that_counts_begins_when_it_has_settled(
    world: World, settle_s: float
) -> None:
    world.go_on(24)
    before = world.sequence()
    world.recorder.interrupt()
    world.go_on(4)
    at_s = world.now()
    first = world.recorder.resume(at_s + settle_s)
    assert world.recorder.next_sequence(world.now()) == first
    world.go_on(45)
    windows = world.recorder.windows(first, 1000)
    assert world.sequence()[: len(before)] == before
    assert first > before[-1]
    assert windows.start_s[0] == pytest.approx(at_s + settle_s)
    assert np.all(np.diff(world.sequence()[len(before) :]) == 1)
    assert windows.sequence[0] == first == int(windows.start_s[0] // WINDOW_S)


def test_numbers_go_on_growing_over_restarts_without_anything_being_kept(world: World) -> None:
    seen: list[int] = []
    for pause_s in (0.0, 0.3, 3.0, 9.9, 100.0):
        world.recorder = world.make()
        world.go_on(33)
        seen += world.sequence()
        world.clock.advance(pause_s)
    assert len(seen) == 15
    assert np.all(np.diff(seen) > 0)


def test_a_wall_clock_that_is_set_back_does_not_move_the_windows_of_a_running_agent(world: World) -> None:
    world.go_on(12)
    world.clock.step_wall(-3600.0)
    world.go_on(20)
    assert world.sequence() == [180_000_000, 180_000_001, 180_000_002]


def test_looks_that_come_late_close_their_windows_all_the_same(world: World) -> None:
    world.go_on(12)
    world.clock.advance(31.0)  # nobody looked
    world.go_on(30)
    windows = world.recorder.windows(0, 1000)
    assert list(windows.sequence - 180_000_000) == list(range(7))
    assert list(windows.metrics["passed"][:5]) == pytest.approx([10, 33, 0, 0, 7])


def test_whoever_slept_for_long_begins_anew_with_a_gap(world: World) -> None:
    world.go_on(12)
    world.clock.advance(3600.0)
    begin = world.now()
    world.go_on(25)
    windows = world.recorder.windows(0, 1000)
    assert list(windows.metrics["passed"]) == pytest.approx([10, 10, 10])
    assert windows.start_s[1] == pytest.approx(begin)
    assert windows.sequence[1] == int(begin // WINDOW_S)


def test_a_look_that_fails_has_seen_nothing_and_the_next_one_does(world: World) -> None:
    world.go_on(8)
    recorder, look = world.recorder, world.recorder._look

    def fail() -> float:
        raise RuntimeError("no")

    recorder._look = fail
    world.go_on(5)
    recorder._look = look
    world.go_on(30)
    assert list(np.isnan(recorder.windows(0, 1000).metrics["passed"])[:3]) == [True, True, False]


def test_a_change_while_somebody_looks_discards_that_window_too(world: World) -> None:
    world.go_on(9)

    def look() -> float:
        world.recorder.interrupt()
        return world.now()

    recorder = world.recorder
    recorder._look = look
    world.clock.advance(1.0)
    recorder.step()
    recorder._look = world.look
    assert world.sequence() == []
    recorder.resume(world.now())
    world.go_on(12)
    assert len(world.sequence()) == 1


def test_the_thread_records_by_itself_until_it_is_closed() -> None:
    from bridge.clock import SystemClock
    from tests.bridge.docker_world import wait_until

    now = TestbedClock(SystemClock())
    recorder = Recorder[float](0.1, now, now, lambda a, b, s, e: Row(run=1, controls={}, metrics={}), ([], []), {})
    recorder.start()
    wait_until(lambda: len(recorder.windows(0, 10)) >= 2)
    recorder.interrupt()
    first = recorder.resume(now() + 0.05)
    wait_until(lambda: len(recorder.windows(first, 10)) >= 2)
    recorder.close()
    assert recorder._thread is not None
    recorder._thread.join(60.0)
    assert not recorder._thread.is_alive()
