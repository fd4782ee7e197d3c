"""The one thread that owns the engine: what it does first, and what may not keep it from looking."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from bridge.agent_loop import AgentLoop
from bridge.status import BusyError
from col.errors import InputError, UnreachableError
from tests.bridge.test_agent import until


class StubEngine:
    """An engine that counts and can fail."""

    version = 0

    def __init__(self) -> None:
        self.ticks = 0
        self.fault: Exception | None = None
        self.is_closed = False

    def recover(self) -> None:
        if self.fault is not None:
            raise self.fault

    def tick(self) -> None:
        self.ticks += 1
        if self.fault is not None:
            raise self.fault

    def close(self) -> None:
        self.is_closed = True


def test_the_loop_goes_on_looking_after_a_look_that_failed() -> None:
    engine: Any = StubEngine()
    loop = AgentLoop(engine, poll_s=0.005)
    loop.start()
    engine.fault = ZeroDivisionError("a fault of ours")
    seen = engine.ticks
    until(lambda: engine.ticks > seen + 3)
    assert loop.call(lambda e: 7, timeout_s=5) == 7
    with pytest.raises(ZeroDivisionError):
        loop.call(lambda e: 1 / 0, timeout_s=5)
    loop.stop()
    assert engine.is_closed
    with pytest.raises(UnreachableError, match="stopping"):
        loop.call(lambda e: 7, timeout_s=5)


def test_heartbeats_that_wait_go_before_the_next_look_however_long_the_looks_take() -> None:
    engine: Any = StubEngine()
    loop = AgentLoop(engine, poll_s=0.005)
    loop.start()
    gate, slow, order = threading.Event(), threading.Event(), []
    look = engine.tick

    def tick() -> None:
        order.append("look")
        slow.set()
        gate.wait(20)
        look()

    def heartbeat(engine: Any) -> None:
        time.sleep(0.01)  # longer than the poll interval: the next look is due after each
        order.append("heartbeat")

    engine.tick = tick
    assert slow.wait(20)
    threads = [threading.Thread(target=lambda: loop.call(heartbeat, timeout_s=30, is_urgent=True)) for _ in range(12)]
    for thread in threads:
        thread.start()
    until(lambda: loop.waiting == 12)
    gate.set()
    for thread in threads:
        thread.join()
    loop.stop()
    assert order[:13] == ["look"] + 12 * ["heartbeat"]


def busy_loop(engine: Any) -> tuple[AgentLoop, threading.Event, list[threading.Thread], list[str]]:
    """A loop with forty questions waiting, each of which takes longer than the time between two looks."""
    loop = AgentLoop(engine, poll_s=0.005)
    loop.start()
    gate, order = threading.Event(), []
    look = engine.tick

    def tick() -> None:
        order.append("look")
        look()

    def question(engine: Any) -> None:
        gate.wait(20)
        time.sleep(0.01)
        order.append("question")

    engine.tick = tick
    threads = [threading.Thread(target=lambda: loop.call(question, timeout_s=30)) for _ in range(40)]
    for thread in threads:
        thread.start()
    until(lambda: loop.waiting >= 39)
    order.clear()
    return loop, gate, threads, order


def test_nobody_keeps_the_agent_from_looking_by_asking_all_the_time() -> None:
    loop, gate, threads, order = busy_loop(StubEngine())
    gate.set()
    for thread in threads:
        thread.join()
    loop.stop()
    assert order.count("question") == 40
    assert "question question question" not in " ".join(order)


def test_what_is_urgent_goes_before_all_that_waits_and_finds_room() -> None:
    loop, gate, threads, order = busy_loop(StubEngine())
    urgent = [
        threading.Thread(target=lambda: loop.call(lambda e: order.append("urgent"), timeout_s=30, is_urgent=True))
        for _ in range(30)
    ]
    for thread in urgent:
        thread.start()
    until(lambda: loop.waiting >= 69)
    gate.set()
    for thread in threads + urgent:
        thread.join()
    loop.stop()
    assert order[:31] == ["question"] + 30 * ["urgent"]


def test_an_engine_that_cannot_recover_does_not_start_and_is_closed() -> None:
    engine: Any = StubEngine()
    engine.fault = InputError("the journal is another testbed's")
    with pytest.raises(InputError, match="another testbed"):
        AgentLoop(engine, poll_s=1.0).start()
    assert engine.is_closed


def test_more_waiting_acts_than_the_loop_takes_are_refused_and_never_carried_out() -> None:
    engine: Any = StubEngine()
    loop = AgentLoop(engine, poll_s=0.01)
    loop.start()
    gate, done, refused = threading.Event(), [], []

    def act() -> None:
        try:
            loop.call(lambda e: done.append(gate.wait(20)), timeout_s=30)
        except BusyError:
            refused.append(1)

    threads = [threading.Thread(target=act) for _ in range(100)]
    for thread in threads:
        thread.start()
    until(lambda: len(refused) > 0)
    gate.set()
    for thread in threads:
        thread.join()
    assert len(done) + len(refused) == 100
    loop.stop()
