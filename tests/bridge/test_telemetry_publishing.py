from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bridge.telemetry.publishing import MOST_WAITING, Publishing
from col.errors import UnreachableError
from col.plant import Windows
from tests.bridge.telemetry_contract import PATIENCE_S, wait_until


def windows(first: int, n: int) -> Windows:
    sequence = np.arange(first, first + n)
    seconds = sequence.astype(np.float64)
    return Windows(
        sequence=sequence, start_s=seconds, end_s=seconds + 1.0, run=sequence * 0, controls={},
        metrics={"thp_dl_1": seconds},
    )  # fmt: skip


class Engine:
    """An engine of which only the windows are looked at."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.away = False

    def windows(self, since: int, limit: int) -> Windows:
        if self.away:
            raise UnreachableError("away")
        first = max(since, 100)
        return windows(first, max(0, min(limit, 100 + self.n - first)))


class Bus:
    """A bus that may be away, or take its time."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.is_away = False
        self.is_closed = False
        self.gate = threading.Event()
        self.gate.set()

    def publish(self, windows: Windows) -> None:
        assert self.gate.wait(PATIENCE_S)
        if self.is_away:
            raise UnreachableError("the bus is away")
        self.got += [int(one) for one in windows.sequence]

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def world() -> Any:
    engine, bus = Engine(3), Bus()
    publishing = Publishing(bus, retry_s=0.01)
    observe: Callable[[], None] = lambda: publishing.observe(engine)  # type: ignore[arg-type]  # noqa: E731
    yield engine, bus, publishing, observe
    bus.gate.set()
    publishing.close()
    assert bus.is_closed


def test_windows_from_the_start_of_the_agent_on_are_published_in_order_and_once(world):
    engine, bus, _, observe = world
    observe()
    for n in (4, 4, 7):
        engine.n = n
        observe()
    wait_until(lambda: len(bus.got) == 4, "four windows are published")
    assert bus.got == [103, 104, 105, 106]


def test_a_long_history_is_passed_over_and_not_published(world):
    engine, bus, _, observe = world
    engine.n = 2 * MOST_WAITING + 5
    for _ in range(4):
        observe()
    engine.n += 1
    observe()
    wait_until(lambda: bus.got, "the new window is published")
    assert bus.got == [100 + 2 * MOST_WAITING + 5]


def test_a_bus_that_was_away_gets_what_it_missed_and_the_engine_does_not_wait_for_it(world):
    engine, bus, publishing, observe = world
    observe()
    bus.is_away = True
    engine.n = 6
    observe()
    engine.away = True
    observe()
    engine.away, bus.is_away = False, False
    wait_until(lambda: len(bus.got) == 3, "all are published")
    assert bus.got == [103, 104, 105]
    assert publishing.dropped == 0


def test_of_too_many_windows_the_oldest_are_dropped_and_counted(world):
    engine, bus, publishing, observe = world
    observe()
    bus.gate.clear()
    for _ in range(3):
        engine.n += MOST_WAITING - 1
        observe()
    bus.gate.set()
    last = 100 + engine.n - 1
    wait_until(lambda: bus.got and bus.got[-1] == last, "the newest window is published")
    assert publishing.dropped > 0
    assert len(bus.got) + publishing.dropped == 3 * (MOST_WAITING - 1)
    assert bus.got == sorted(bus.got)
