"""A control that is only acknowledged, under the engine: without an effect it is rolled back, with one confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bridge.backends.base import Reading
from bridge.clock import ManualClock
from bridge.controls.effect import CellReport, UeReport
from bridge.controls.memory import Memory
from bridge.controls.remote_control import Cell, RemoteControlDriver, RemoteKind, RemoteValue
from bridge.promotion import Cause, State
from tests.bridge.engine_world import OPERATOR, World
from tests.bridge.scripted_backend import WINDOW_S, ScriptedBackend


class Gnb:
    """A gNB whose UE has a headroom that follows the announced power, unless commands have no effect."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.power, self.ignores = clock, 0, False
        self.commands: list[int] = []
        self._reports: list[CellReport] = []

    def reports(self) -> tuple[CellReport, ...]:
        now_s = self.clock.monotonic()
        if not self._reports or now_s >= self._reports[-1].at_s + 1.0:
            ue = UeReport(rnti=1, dl_mbps=1.0, dl_waiting_bytes=0.0, phr_db=20.0 - self.power)
            self._reports.append(CellReport(at_s=now_s, ues={1: ue}))
        return tuple(self._reports)

    def request(self, command: Mapping[str, object], within_s: float) -> None:
        match command:
            case {"cells": [{"ssb_block_power_dbm": int(power)}]}:
                self.commands.append(power)
                if not self.ignores:
                    self.power = power
            case _:
                pytest.fail(f"sent {command}")

    def close(self) -> None:
        pass

    def pid(self, workload: str, within_s: float) -> int:
        raise AssertionError

    def started_at(self, workload: str, within_s: float) -> str:
        return "once"

    def restart(self, workload: str, within_s: float) -> None:
        raise AssertionError


@dataclass
class RemoteBackend(ScriptedBackend):
    """The scripted testbed, whose control `bias` is the SSB power of a gNB."""

    driver: RemoteControlDriver | None = None

    def read(self) -> Reading:
        assert self.driver is not None
        return self._with(super().read())

    def apply(self, values: Mapping[str, float], *, settle_s: float) -> Reading:
        assert self.driver is not None
        rest = {name: value for name, value in values.items() if name != "bias"}
        reading = super().apply(rest, settle_s=settle_s)
        if "bias" in values:
            self.driver.apply({"bias": values["bias"]}, 1.0)
        return self._with(reading)

    def _with(self, reading: Reading) -> Reading:
        assert self.driver is not None
        self.values |= self.driver.read(1.0)
        return replace(reading, controls=dict(self.values))


class RemoteWorld(World):
    def __post_init__(self) -> None:
        self.gnb = Gnb(self.clock)
        value = RemoteValue(name="bias", kind=RemoteKind.SSB_POWER, configured=0.0)
        memory = Memory(self.folder / "remote.json")
        driver = RemoteControlDriver(
            Cell(workload="du_1", nci=1), [value], self.gnb, self.gnb, memory, now_s=self.clock.monotonic
        )
        self.testbed = RemoteBackend(self.clock, driver=driver)
        self.start()
        self.wait(6 * WINDOW_S)


@pytest.fixture
def world(tmp_path: Path) -> RemoteWorld:
    return RemoteWorld(tmp_path)


def test_a_value_that_shows_its_effect_is_watched_and_confirmed(world: RemoteWorld) -> None:
    promotion = world.apply(target={"bias": -6.0}, auto_confirm=False)
    assert promotion.state is State.WATCHING
    world.wait(4 * WINDOW_S, heartbeat="p1")
    world.engine.confirm(OPERATOR, "p1")
    assert world.engine.promotion("p1").state is State.CONFIRMED
    assert world.gnb.power == -6


def test_a_value_that_is_acknowledged_without_effect_never_gets_to_its_verdict(world: RemoteWorld) -> None:
    world.gnb.ignores = True
    assert world.apply(target={"bias": -6.0}).state is State.WATCHING
    world.wait(WINDOW_S, heartbeat="p1")
    ended = world.engine.promotion("p1")
    assert ended.state is State.ROLLED_BACK
    assert ended.cause is Cause.TESTBED_CHANGED
    assert world.gnb.commands == [-6, 0], "the value before was sent again, in case it had an effect that nobody saw"


def test_a_trial_that_is_cancelled_goes_back_to_what_was_announced(world: RemoteWorld) -> None:
    world.apply(target={"bias": -6.0})
    world.wait(10.0, heartbeat="p1")
    world.engine.cancel(OPERATOR, "p1", "enough")
    world.wait(10.0)
    assert world.engine.promotion("p1").state is State.ROLLED_BACK
    assert world.gnb.power == 0


def test_an_agent_that_dies_in_the_trial_goes_back_when_it_is_started_anew(world: RemoteWorld) -> None:
    world.apply(target={"bias": -6.0})
    world.wait(10.0, heartbeat="p1")
    world.restart()
    world.wait(10.0)
    assert world.engine.promotion("p1").state is State.ROLLED_BACK
    assert world.gnb.power == 0
