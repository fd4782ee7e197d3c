from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bridge.clock import ManualClock
from bridge.controls.driver import ControlDriver, Proof
from bridge.controls.driver_set import DriverSet
from bridge.controls.effect import CellReport, UeReport
from bridge.controls.memory import Memory
from bridge.controls.remote_control import Cell, RemoteControlDriver, RemoteKind, RemoteValue, prbs_of
from col.errors import InputError, OutcomeUnknownError, PlantError, RefusedError, UnreachableError

SHARE, POWER = "slice_max_1", "ssb_1"
VALUES = (
    RemoteValue(name=SHARE, kind=RemoteKind.SLICE_MAX, configured=100.0),
    RemoteValue(name=POWER, kind=RemoteKind.SSB_POWER, configured=-16.0),
)
CELL = Cell(workload="du_1", nci=6733824)


class Gnb:
    """A gNB as its remote control and its reports show it: 20 Mbit/s on 25 PRBs, one UE.

    `ignores`: commands are acknowledged and nothing happens. `offered_mbps`: what the UE would take.
    """

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.started, self.offered_mbps, self.ignores, self.test_mode = "first", 100.0, False, False
        self.percent, self.power = 100, -16
        self.commands: list[Mapping[str, object]] = []
        self.fault: Exception | None = None
        self._reports: list[CellReport] = []
        self.run(6)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1.0)
            cap = 0.8 * prbs_of(self.percent, 25)
            ue = UeReport(
                rnti=0x44,
                dl_mbps=min(self.offered_mbps, cap),
                dl_waiting_bytes=1e6 if self.offered_mbps > cap else 0.0,
                phr_db=20.0 - (self.power + 16.0),
                pusch_snr_db=99.9 if self.test_mode else 25.0,
                pusch_rsrp_db=-99.9 if self.test_mode else -20.0,
            )
            self._reports.append(CellReport(at_s=self.clock.monotonic(), ues={0x44: ue}))

    def restart(self, *_: object) -> None:
        self.started, self.percent, self.power = self.started + "+", 100, -16

    def request(self, command: Mapping[str, object], within_s: float) -> None:
        if isinstance(self.fault, UnreachableError | RefusedError):
            raise self.fault
        self.commands.append(command)
        if not self.ignores:
            match command:
                case {"cmd": "rrm_policy_ratio_set", "policies": {"max_prb_policy_ratio": int(percent)}}:
                    self.percent = percent
                case {"cmd": "ssb_set", "cells": [{"ssb_block_power_dbm": int(power)}]}:
                    self.power = power
        if self.fault:
            raise self.fault

    def reports(self) -> tuple[CellReport, ...]:
        return tuple(self._reports)

    def close(self) -> None:
        pass

    def pid(self, workload: str, within_s: float) -> int:
        raise AssertionError("nobody enters its namespaces")

    def started_at(self, workload: str, within_s: float) -> str:
        assert workload == "du_1"
        return self.started


@pytest.fixture
def gnb() -> Gnb:
    return Gnb()


@pytest.fixture
def remote(gnb: Gnb, tmp_path: Path) -> RemoteControlDriver:
    return driver(gnb, tmp_path)


def driver(gnb: Gnb, folder: Path, cell: Cell = CELL) -> RemoteControlDriver:
    memory = Memory(folder / "remote.json")
    return RemoteControlDriver(cell, VALUES, gnb, gnb, memory, now_s=gnb.clock.monotonic)


def proof(remote: RemoteControlDriver, name: str = SHARE) -> Proof:
    return next(e.proof for e in remote.evidence() if e.control == name)


def test_before_anything_is_sent_the_configuration_is_in_force(remote: RemoteControlDriver) -> None:
    assert isinstance(remote, ControlDriver)
    assert dict(remote.read(1.0)) == {SHARE: 100.0, POWER: -16.0}
    assert proof(remote) is Proof.CONFIGURED


def test_a_cap_is_accepted_when_the_rate_of_a_held_back_ue_falls_with_it(gnb: Gnb, remote: RemoteControlDriver) -> None:
    remote.apply({SHARE: 40.0}, 1.0)
    assert remote.read(1.0)[SHARE] == 40.0
    assert proof(remote) is Proof.WAITING
    gnb.run(5)
    assert remote.read(1.0)[SHARE] == 40.0
    assert proof(remote) is Proof.EFFECT
    gnb.run(60)
    assert remote.read(1.0)[SHARE] == 40.0
    assert [c["cmd"] for c in gnb.commands] == ["rrm_policy_ratio_set"]


@pytest.mark.parametrize("why", ["acknowledged without effect", "nobody has enough to send"])
def test_a_cap_without_effect_is_not_in_force_and_the_value_before_is_sent_again(
    gnb: Gnb, remote: RemoteControlDriver, why: str
) -> None:
    if why == "acknowledged without effect":
        gnb.ignores = True
    else:
        gnb.offered_mbps = 2.0
        gnb.run(6)
    remote.apply({SHARE: 40.0}, 1.0)
    gnb.run(7)
    assert remote.read(1.0)[SHARE] == 40.0, "it still has time"
    gnb.run(3)
    assert remote.read(1.0)[SHARE] == 100.0
    assert proof(remote) is Proof.NONE
    assert [c["policies"]["max_prb_policy_ratio"] for c in gnb.commands] == [40, 100]  # type: ignore[index]
    gnb.run(10)
    assert remote.read(1.0)[SHARE] == 100.0
    assert len(gnb.commands) == 2, "once"


def test_while_the_value_before_cannot_be_sent_again_nothing_is_known(gnb: Gnb, remote: RemoteControlDriver) -> None:
    gnb.ignores = True
    remote.apply({SHARE: 40.0}, 1.0)
    gnb.run(10)
    gnb.fault = UnreachableError("dead")
    for _ in range(2):
        with pytest.raises(UnreachableError, match="cannot be taken back: dead"):
            remote.read(1.0)
    gnb.fault = None
    assert remote.read(1.0)[SHARE] == 100.0


def test_the_way_back_does_not_hang_on_load(gnb: Gnb, remote: RemoteControlDriver) -> None:
    remote.apply({SHARE: 40.0}, 1.0)
    gnb.run(5)
    remote.read(1.0)
    gnb.offered_mbps = 1.0
    gnb.run(6)
    remote.apply({SHARE: 100.0}, 1.0)
    gnb.run(20)
    assert remote.read(1.0)[SHARE] == 100.0
    assert proof(remote) is Proof.NOT_CONTRADICTED


def test_a_way_back_that_the_reports_speak_against_is_not_done(gnb: Gnb, remote: RemoteControlDriver) -> None:
    remote.apply({SHARE: 40.0}, 1.0)
    gnb.run(5)
    remote.read(1.0)
    gnb.ignores = True
    remote.apply({SHARE: 100.0}, 1.0)
    gnb.run(12)
    assert remote.read(1.0)[SHARE] == 40.0
    gnb.ignores = False
    remote.apply({SHARE: 100.0}, 1.0)
    gnb.run(5)
    assert remote.read(1.0)[SHARE] == 100.0
    assert proof(remote) is Proof.EFFECT


def sent(gnb: Gnb) -> list[int]:
    return [c["policies"]["max_prb_policy_ratio"] for c in gnb.commands]  # type: ignore[index]


def test_on_a_way_back_without_effect_the_value_of_the_trial_is_never_sent_again(
    gnb: Gnb, remote: RemoteControlDriver
) -> None:
    remote.apply({SHARE: 40.0}, 1.0)
    gnb.run(5)
    remote.read(1.0)
    gnb.ignores = True
    for _ in range(2):
        remote.apply({SHARE: 100.0}, 1.0)
        gnb.run(12)
        assert remote.read(1.0)[SHARE] == 40.0
        assert proof(remote) is Proof.NONE
    assert sent(gnb) == [40, 100, 100]


def test_back_from_a_value_whose_effect_never_showed_is_where_it_was(gnb: Gnb, remote: RemoteControlDriver) -> None:
    gnb.ignores = True
    remote.apply({SHARE: 40.0}, 1.0)
    gnb.run(2)
    remote.apply({SHARE: 100.0}, 1.0)
    gnb.run(12)
    assert remote.read(1.0)[SHARE] == 100.0
    assert proof(remote) is Proof.NOT_CONTRADICTED
    assert sent(gnb) == [40, 100]


def test_a_restarted_gnb_has_its_configuration_again(gnb: Gnb, remote: RemoteControlDriver) -> None:
    remote.apply({SHARE: 40.0}, 1.0)
    gnb.run(5)
    remote.read(1.0)
    gnb.restart()
    assert remote.read(1.0)[SHARE] == 100.0
    assert proof(remote) is Proof.CONFIGURED


def test_what_was_set_is_remembered_by_the_next_agent(gnb: Gnb, remote: RemoteControlDriver, tmp_path: Path) -> None:
    remote.apply({SHARE: 40.0}, 1.0)
    gnb.run(5)
    remote.read(1.0)
    assert driver(gnb, tmp_path).read(1.0)[SHARE] == 40.0


def test_what_waits_while_the_agent_dies_is_taken_back(gnb: Gnb, remote: RemoteControlDriver, tmp_path: Path) -> None:
    remote.apply({SHARE: 40.0}, 1.0)
    again = driver(gnb, tmp_path)
    assert again.read(1.0)[SHARE] == 40.0
    gnb.run(10)
    assert again.read(1.0)[SHARE] == 100.0
    assert gnb.percent == 100


def test_a_lost_answer_leaves_it_to_the_effect(gnb: Gnb, remote: RemoteControlDriver) -> None:
    gnb.fault = OutcomeUnknownError("no answer")
    with pytest.raises(OutcomeUnknownError):
        remote.apply({SHARE: 40.0}, 1.0)
    gnb.fault = None
    assert remote.read(1.0)[SHARE] == 40.0
    gnb.run(5)
    remote.read(1.0)
    assert proof(remote) is Proof.EFFECT


@pytest.mark.parametrize("fault", [RefusedError(("out of range",)), UnreachableError("dead")])
def test_a_command_that_did_not_get_there_changes_nothing(
    gnb: Gnb, remote: RemoteControlDriver, fault: PlantError
) -> None:
    gnb.fault = fault
    with pytest.raises(type(fault)):
        remote.apply({SHARE: 40.0}, 1.0)
    assert remote.read(1.0)[SHARE] == 100.0


def test_two_values_of_which_the_second_fails_leave_the_outcome_unknown(gnb: Gnb, remote: RemoteControlDriver) -> None:
    def second(command: Mapping[str, object], within_s: float) -> None:
        if command["cmd"] == "ssb_set":
            raise UnreachableError("dead")

    gnb.request = second  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknownError, match="slice_max_1 was set, then: dead"):
        remote.apply({SHARE: 40.0, POWER: -20.0}, 1.0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({SHARE: 98.0}, "both are 24|24 of 25"),
        ({SHARE: 3.0}, "none of 25 PRBs"),
        ({POWER: -61.0}, "from -60 to 50"),
        ({POWER: -16.5}, "whole number"),
    ],
)
def test_what_would_be_acknowledged_without_effect_is_refused_before_it_is_sent(
    gnb: Gnb, remote: RemoteControlDriver, values: dict[str, float], said: str
) -> None:
    remote.apply({SHARE: 96.0}, 1.0)
    with pytest.raises(RefusedError, match=said):
        remote.apply(values, 1.0)
    assert len(gnb.commands) == 1


def test_a_cap_below_the_minimum_is_refused(gnb: Gnb, tmp_path: Path) -> None:
    value = RemoteValue(name=SHARE, kind=RemoteKind.SLICE_MAX, configured=100.0, min_percent=80.0)
    remote = RemoteControlDriver(CELL, [value], gnb, gnb, Memory(tmp_path / "m"), now_s=gnb.clock.monotonic)
    with pytest.raises(RefusedError, match="below the slice's minimum of 80 %"):
        remote.apply({SHARE: 40.0}, 1.0)


@pytest.mark.parametrize("told_by", ["inventory", "reports"])
def test_a_gnb_in_test_mode_is_never_sent_ssb_set(gnb: Gnb, tmp_path: Path, told_by: str) -> None:
    gnb.test_mode = told_by == "reports"
    gnb.run(6)
    remote = driver(gnb, tmp_path, Cell(workload="du_1", nci=1, test_mode=told_by == "inventory"))
    with pytest.raises(RefusedError, match="hangs its control channel"):
        remote.apply({POWER: -20.0}, 1.0)
    with pytest.raises(RefusedError, match="in no slice"):
        remote.apply({SHARE: 40.0}, 1.0)
    remote.apply({SHARE: 100.0, POWER: -16.0}, 1.0)  # what is in force already asks nothing of it
    assert gnb.commands == []


def test_ssb_power_is_accepted_when_the_headroom_of_ues_follows(gnb: Gnb, remote: RemoteControlDriver) -> None:
    remote.apply({POWER: -10.0}, 1.0)
    gnb.run(5)
    assert remote.read(1.0)[POWER] == -10.0
    assert proof(remote, POWER) is Proof.EFFECT
    gnb.ignores = True
    remote.apply({POWER: 0.0}, 1.0)
    gnb.run(10)
    assert remote.read(1.0)[POWER] == -10.0


def test_ssb_power_needs_the_identity_of_the_cell(gnb: Gnb, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nci"):
        driver(gnb, tmp_path, Cell(workload="du_1"))


def test_a_memory_that_is_none_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("[]")
    with pytest.raises(InputError, match="no memory"):
        Memory(tmp_path / "m")


# --- several drivers as one ------------------------------------------------------------------------------------------


class Plain:
    """A driver that does what it is told, or fails."""

    def __init__(self, name: str, fault: Exception | None = None, refuses: str = "") -> None:
        self.values, self.fault, self.refuses = {name: 1.0}, fault, refuses

    def names(self) -> tuple[str, ...]:
        return tuple(self.values)

    def refusals(self, values: Mapping[str, float]) -> tuple[str, ...]:
        return (self.refuses,) if self.refuses else ()

    def read(self, within_s: float) -> Mapping[str, float]:
        return self.values

    def apply(self, values: Mapping[str, float], within_s: float) -> None:
        if self.fault:
            raise self.fault
        self.values.update(values)

    def evidence(self) -> tuple[()]:
        return ()

    def close(self) -> None:
        pass


def test_one_refusal_of_several_drivers_leaves_all_untouched() -> None:
    first, second = Plain("a"), Plain("b", refuses="b: no")
    both = DriverSet([first, second])
    assert both.names() == ("a", "b")
    with pytest.raises(RefusedError, match="b: no"):
        both.apply({"a": 2.0, "b": 2.0}, 1.0)
    assert dict(both.read(1.0)) == {"a": 1.0, "b": 1.0}
    both.apply({"a": 3.0}, 1.0)
    assert dict(both.read(1.0)) == {"a": 3.0, "b": 1.0}


def test_what_fails_after_a_part_was_done_is_unknown_and_what_fails_first_is_not() -> None:
    fails = UnreachableError("gone")
    with pytest.raises(OutcomeUnknownError, match="a was set, then: gone"):
        DriverSet([Plain("a"), Plain("b", fails)]).apply({"a": 2.0, "b": 2.0}, 1.0)
    with pytest.raises(UnreachableError, match=r"^gone"):
        DriverSet([Plain("a", fails), Plain("b")]).apply({"a": 2.0, "b": 2.0}, 1.0)


def test_two_drivers_of_one_control_are_bad_input() -> None:
    with pytest.raises(InputError, match="two drivers"):
        DriverSet([Plain("a"), Plain("a")])
