"""The channel to a gNB, against a server that answers as a real one did, traps included."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.controls.effect import CellReport, UeReport, Verdict, cell_report, is_test_mode, power_effect, share_effect
from bridge.controls.gnb_channel import GnbChannel
from col.errors import OutcomeUnknownError, PlantError, RefusedError, UnreachableError

RECORDED = Path(__file__).parents[2] / "twin" / "data" / "srsran_gnb" / "runs"
CELLS = {"cells": [{"ue_list": [{"rnti": 68, "dl_brate": 20e6, "dl_bs": 50_000, "last_phr": 12}]}]}
SET = {"cmd": "rrm_policy_ratio_set", "policies": {}}


class FakeGnb:
    """Answers commands one after the other, sends reports to whoever subscribed, and hangs for good when told to."""

    def __init__(self) -> None:
        server = pytest.importorskip("websockets.sync.server")
        self.answer: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda command: {"cmd": command["cmd"]}
        self.is_mute, self.stop, self.connections = False, threading.Event(), 0
        self.subscribed = threading.Event()
        self._server = server.serve(self._serve, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _serve(self, connection: Any) -> None:
        self.connections += 1
        while not self.stop.is_set():
            try:
                command = json.loads(connection.recv(timeout=0.02))
            except TimeoutError:
                if self.subscribed.is_set() and not self.is_mute:
                    connection.send(json.dumps({"du": {}}))
                    connection.send(json.dumps(CELLS))
                continue
            if self.is_mute:
                continue
            if command["cmd"] == "metrics_subscribe":
                self.subscribed.set()
            answer = self.answer(command)
            if answer is not None:
                connection.send(json.dumps(answer))

    def close(self) -> None:
        self.stop.set()
        self._server.shutdown()


@pytest.fixture
def gnb() -> Iterator[FakeGnb]:
    fake = FakeGnb()
    yield fake
    fake.close()


@pytest.fixture
def channel(gnb: FakeGnb) -> Iterator[GnbChannel]:
    # Longer than a loaded machine may hold a report back: only a test that is about silence waits for it.
    channel = GnbChannel(gnb.url, silence_s=60.0)
    yield channel
    channel.close()


def wait_for(what: Callable[[], bool]) -> None:
    for _ in range(6000):
        if what():
            return
        threading.Event().wait(0.01)
    pytest.fail("it did not come within a minute")


def test_a_command_is_acknowledged_and_reports_arrive_beside_it(channel: GnbChannel) -> None:
    channel.request(SET, 60.0)
    wait_for(lambda: len(channel.reports()) >= 2)
    assert channel.reports()[-1].ues == {68: UeReport(rnti=68, dl_mbps=20.0, dl_waiting_bytes=50_000.0, phr_db=12.0)}


def test_the_reason_of_the_gnb_is_the_reason(gnb: FakeGnb, channel: GnbChannel) -> None:
    channel.request(SET, 60.0)
    gnb.answer = lambda command: {"cmd": command["cmd"], "error": "value out of range, received '140'"}
    with pytest.raises(RefusedError, match="the gNB says to rrm_policy_ratio_set: value out of range"):
        channel.request(SET, 60.0)


def test_a_command_that_hangs_ends_the_connection_and_a_late_answer_is_nobodys(
    gnb: FakeGnb, channel: GnbChannel
) -> None:
    channel.request(SET, 60.0)
    before = gnb.connections
    gnb.answer = lambda command: None if command["cmd"] == "ssb_set" else {"cmd": command["cmd"]}
    with pytest.raises(OutcomeUnknownError, match="no answer to ssb_set"):
        channel.request({"cmd": "ssb_set"}, 0.2)
    channel.request(SET, 60.0)
    assert gnb.connections == before + 1


def test_a_gnb_whose_reports_stop_is_out_of_reach_before_anything_is_sent(gnb: FakeGnb) -> None:
    later_s = 0.0
    channel = GnbChannel(gnb.url, silence_s=60.0, now_s=lambda: time.monotonic() + later_s)
    try:
        channel.request(SET, 60.0)
        gnb.is_mute = True
        last = None
        while last != (last := channel.reports()[-1]):  # what was on its way has come
            threading.Event().wait(0.5)
        later_s = 100.0
        with pytest.raises(UnreachableError, match="its control channel is dead, a restart of the gNB mends it"):
            channel.request(SET, 60.0)
    finally:
        channel.close()


def test_a_gnb_that_was_restarted_is_found_again(gnb: FakeGnb, channel: GnbChannel) -> None:
    channel.request(SET, 60.0)
    channel._connection.close()
    wait_for(lambda: gnb.connections == 2)
    channel.request(SET, 60.0)


def test_nobody_there_is_unreachable_and_reports_switched_off_are_named(gnb: FakeGnb) -> None:
    nobody = GnbChannel("ws://127.0.0.1:1")
    with pytest.raises(UnreachableError, match="ws://127"):
        nobody.request(SET, 0.3)
    nobody.close()
    gnb.answer = lambda command: {"cmd": command["cmd"], "error": "Unknown command type: metrics_subscribe"}
    without = GnbChannel(gnb.url)
    with pytest.raises(UnreachableError):
        without.request(SET, 0.3)
    wait_for(lambda: "enable_json" in without._problem)
    without.close()


# --- what reports say -------------------------------------------------------------------------------------------------


def test_real_reports_of_test_mode_are_recognised_as_such() -> None:
    with gzip.open(RECORDED / "q1.000_u1_r1.jsonl.gz", "rt", encoding="utf-8") as file:
        messages = [line["msg"] for line in map(json.loads, file) if line["kind"] == "msg"]
    reports = [r for m in messages if (r := cell_report(m, 0.0)) is not None and r.ues]
    assert len(reports) > 30
    assert is_test_mode(reports)
    assert 15.0 < sum(ue.dl_mbps for ue in reports[-1].ues.values()) < 25.0


@pytest.mark.parametrize("message", [{}, {"cells": 3}, {"du": {}}, {"cmd": "x"}])
def test_other_messages_are_no_reports(message: dict[str, Any]) -> None:
    assert cell_report(message, 0.0) is None


def test_rows_that_make_no_sense_are_left_out() -> None:
    message = {"cells": [None, {"ue_list": [{"rnti": 1}, {"rnti": 2, "dl_brate": -5}, {"rnti": 3, "dl_brate": 1e6}]}]}
    report = cell_report(message, 1.0)
    assert report is not None
    assert set(report.ues) == {3}


def reports(*ues: tuple[float, bool], n: int = 3) -> list[CellReport]:
    rows = {i: UeReport(rnti=i, dl_mbps=m, dl_waiting_bytes=1e6 if held else 0.0) for i, (m, held) in enumerate(ues)}
    return [CellReport(at_s=float(k), ues=rows) for k in range(n)]


@pytest.mark.parametrize(
    ("before", "after", "prbs", "verdict"),
    [
        ((20.0, True), (8.0, True), (25, 10), Verdict.SHOWN),
        ((20.0, True), (20.0, True), (25, 10), Verdict.CONTRADICTED),
        ((20.0, True), (8.0, False), (25, 10), Verdict.SILENT),  # less to send, as it happens
        ((2.0, False), (2.0, False), (25, 10), Verdict.SILENT),
        ((15.0, False), (8.0, True), (25, 10), Verdict.SHOWN),
        ((8.0, True), (20.0, True), (10, 25), Verdict.SHOWN),
        ((8.0, True), (12.0, False), (10, 25), Verdict.SHOWN),  # all that there was to send
        ((8.0, True), (8.0, True), (10, 25), Verdict.CONTRADICTED),
        ((8.0, False), (8.0, False), (10, 25), Verdict.SILENT),
        ((0.0, True), (0.0, True), (10, 25), Verdict.SILENT),
        ((20.0, True), (8.0, True), (10, 10), Verdict.SILENT),
    ],
)
def test_a_cap_shows_in_the_rate_of_whoever_is_held_back(
    before: tuple[float, bool], after: tuple[float, bool], prbs: tuple[int, int], verdict: Verdict
) -> None:
    found = share_effect(reports(before), reports(after), prbs_before=prbs[0], prbs_after=prbs[1], alone=True)
    assert found is verdict


def test_beside_other_slices_each_ue_is_looked_at_by_itself() -> None:
    before, after = reports((10.0, True), (10.0, True)), reports((4.0, True), (16.0, True))
    assert share_effect(before, after, prbs_before=12, prbs_after=5, alone=True) is Verdict.CONTRADICTED
    assert share_effect(before, after, prbs_before=12, prbs_after=5, alone=False) is Verdict.SHOWN
    assert share_effect(before, before, prbs_before=12, prbs_after=5, alone=False) is Verdict.CONTRADICTED


@pytest.mark.parametrize(
    ("step", "now", "verdict"),
    [
        (6.0, 14.0, Verdict.SHOWN),
        (6.0, 19.5, Verdict.CONTRADICTED),
        (-6.0, 26.0, Verdict.SHOWN),
        (6.0, None, Verdict.SILENT),
    ],
)
def test_announced_power_shows_in_the_headroom(step: float, now: float | None, verdict: Verdict) -> None:
    def part(phr: float | None) -> list[CellReport]:
        ue = UeReport(rnti=1, dl_mbps=1.0, dl_waiting_bytes=0.0, phr_db=phr)
        return [CellReport(at_s=0.0, ues={1: ue})] * 3

    assert power_effect(part(20.0), part(now), step_db=step) is verdict


def test_a_channel_that_was_closed_says_so_at_once(gnb: FakeGnb) -> None:
    channel = GnbChannel(gnb.url)
    channel.close()
    with pytest.raises(PlantError):
        channel.request(SET, 0.1)


def test_what_is_no_ue_or_no_number_leaves_the_rest_of_a_report() -> None:
    good = {"rnti": 68, "dl_brate": 1e6}
    huge = {"rnti": 70, "dl_brate": 10**400}
    report = cell_report({"cells": [{"ue_list": [3, None, huge, good, {"rnti": 69, "dl_brate": True}]}, "x"]}, 1.0)
    assert report is not None
    assert list(report.ues) == [68]
