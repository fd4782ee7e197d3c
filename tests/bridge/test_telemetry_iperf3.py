from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from bridge.telemetry.registry import load_source
from bridge.telemetry.source import TelemetrySource
from col.errors import InputError
from tests.bridge.iperf3_made import event, interval
from tests.bridge.telemetry_contract import HandClock, Peer, TelemetryContract, wait_until


class FakeStreams(Peer):
    """Two UEs whose iperf3 write an event a line to a file each: 6 and 3 Mbit/s, 2 of 100 packets lost."""

    def __init__(self, clock: HandClock, folder: Path, *, sender: bool = False) -> None:
        super().__init__(clock)
        self._sender = sender
        self.files = [folder / "ue_1.json", folder / "ue_2.json"]
        self._begin()

    def _begin(self) -> None:
        for file in self.files:
            file.write_text(event("start", {"version": "iperf 3.21"}))

    def keys(self) -> Mapping[str, object]:
        return {"files": [str(file) for file in self.files]}

    def write(self, *texts: str) -> None:
        for file, text in zip(self.files, texts, strict=True):
            with file.open("a") as open_file:
                open_file.write(text)

    def wait_ready(self, source: TelemetrySource) -> None:
        """Return when every file is open: what stood in it before counts for nothing."""
        places: dict[str, tuple[int, int]] = source._places  # type: ignore[attr-defined]
        wait_until(
            lambda: all(places.get(str(f)) == (f.stat().st_ino, f.stat().st_size) for f in self.files), "files are read"
        )

    def say(self, source: TelemetrySource, seconds: float) -> None:
        self.clock.s += seconds
        first = interval(6.0, seconds=seconds, sender=self._sender, jitter_ms=0.2)
        second = interval(3.0, seconds=seconds, sender=self._sender, jitter_ms=0.6)
        for one in (first, second):  # a run both ways says the other direction in the other sum
            one["sum_bidir_reverse"] = interval(99.0, sender=not self._sender)["sum"]
        self.write(event("interval", first), event("interval", second))
        self.wait_ready(source)

    def say_nonsense(self, source: TelemetrySource, what: int, seconds: float) -> bool:
        good = {"sender": self._sender, "seconds": seconds}
        nonsense = (
            "}{[\n\n",
            '{"event": "interval"\n',
            event("interval", [1]),
            event("interval", {"sum": None}),
            event("interval", {"sum": {**good, "bytes": -1}}),
            event("interval", {"sum": {**good, "bytes": 1e17}}),
            event("interval", {"sum": {**good, "seconds": 0, "bytes": 10}}),
            event("interval", {"sum": {"seconds": seconds, "bytes": 10}}),
            event("interval", {"sum": {**interval(5.0, sender=self._sender)["sum"], "omitted": True}}),
            event("interval", interval(5.0, sender=not self._sender)),
            event("server_output_text", "Connecting to host"),
            event("end", {}),
            '{"intervals": 3}\n',
            "iperf3: error - unable to connect\n",
        )
        if what < len(nonsense):
            self.clock.s += seconds
            self.write(nonsense[what], nonsense[what])
            self.wait_ready(source)
        return what < len(nonsense)

    def go_away(self) -> None:
        for file in self.files:
            file.unlink(missing_ok=True)

    def come_back(self) -> bool:
        if not all(file.exists() for file in self.files):
            self._begin()
        return True

    def close(self) -> None:
        pass


class TestReceivers(TelemetryContract):
    table: ClassVar = {"source": "iperf3", "gnb": "1", "direction": "ul"}
    expected: ClassVar = {"thp_ul_1": 9.0, "jit_ul_1": 0.4, "loss_ul_1": 0.02}

    def make_peer(self, clock: HandClock, folder: Path) -> Peer:
        return FakeStreams(clock, folder)


class TestSenders(TelemetryContract):
    table: ClassVar = {"source": "iperf3", "gnb": "1", "direction": "dl", "role": "sender"}
    expected: ClassVar = {"load_dl_1": 9.0}

    def make_peer(self, clock: HandClock, folder: Path) -> Peer:
        return FakeStreams(clock, folder, sender=True)


def test_a_flow_that_is_silent_makes_the_whole_missing_and_not_smaller(tmp_path):
    clock = HandClock()
    peer = FakeStreams(clock, tmp_path)
    source = load_source({**TestReceivers.table, **peer.keys()}, clock)
    source.start()
    peer.wait_ready(source)
    start_s = clock.s
    for _ in range(5):
        clock.s += 1.0
        peer.write(event("interval", interval(6.0)), "")
        peer.wait_ready(source)
    assert math.isnan(source.sample(start_s, clock.s).values["thp_ul_1"])
    source.close()


def test_jitter_is_that_of_the_end_of_the_window_and_loss_of_the_whole(tmp_path):
    clock = HandClock()
    peer = FakeStreams(clock, tmp_path)
    source = load_source({**TestReceivers.table, "files": [str(peer.files[0])]}, clock)
    peer.files = peer.files[:1]
    source.start()
    peer.wait_ready(source)
    start_s = clock.s
    for jitter, lost in ((9.0, 0), (5.0, 30), (0.5, 0), (1.5, 0)):
        clock.s += 1.0
        peer.write(event("interval", interval(6.0, jitter_ms=jitter, lost_packets=lost)))
        peer.wait_ready(source)
    values = source.sample(start_s, clock.s).values
    assert values["jit_ul_1"] == 1.5
    assert values["loss_ul_1"] == pytest.approx(30 / 400)
    clock.s += 1.0
    peer.write(event("interval", interval(6.0, lost_packets=101)))  # more than were sent
    peer.wait_ready(source)
    assert math.isnan(source.sample(start_s, clock.s).values["loss_ul_1"])
    source.close()


def test_an_interval_that_is_mostly_of_the_time_before_a_window_is_none_of_it(tmp_path):
    clock = HandClock()
    peer = FakeStreams(clock, tmp_path)
    peer.files = peer.files[:1]
    source = load_source({**TestReceivers.table, "files": [str(peer.files[0])]}, clock)
    source.start()
    peer.wait_ready(source)
    start_s = clock.s = clock.s + 8.0
    clock.s += 2.0
    peer.write(event("interval", interval(9.0, seconds=10.0)))  # eight of them before the change
    peer.wait_ready(source)
    for _ in range(2):
        clock.s += 5.0
        peer.write(event("interval", interval(3.0, seconds=5.0)))
        peer.wait_ready(source)
    assert source.sample(start_s, clock.s).values["thp_ul_1"] == pytest.approx(3.0)
    source.close()


def test_a_file_that_is_replaced_or_written_anew_is_followed_and_an_old_one_is_not_believed(tmp_path):
    clock = HandClock()
    file = tmp_path / "ue.json"
    file.write_text(event("interval", interval(77.0)) * 5)
    source = load_source({"source": "iperf3", "gnb": "1", "direction": "dl", "files": [str(file)]}, clock)
    source.start()
    places: dict[str, tuple[int, int]] = source._places  # type: ignore[attr-defined]

    def read_to_the_end() -> bool:
        status = file.stat()
        return places.get(str(file)) == (status.st_ino, status.st_size)

    wait_until(read_to_the_end)
    assert source.last_heard_s is None
    for rate in (1.0, 2.0):
        fresh = tmp_path / "fresh.json"
        fresh.write_text(event("interval", interval(rate)))
        os.replace(fresh, file)
        clock.s += 1.0
        wait_until(read_to_the_end, "the new file is read")
        assert source.sample(clock.s - 1.0, clock.s).values["thp_dl_1"] == pytest.approx(rate)
    clock.s += 1.0
    file.write_text(event("end", {}))  # shorter than it was: written anew
    wait_until(read_to_the_end, "the file is read anew")
    source.close()


def test_a_run_that_reports_at_its_end_counts_where_it_was_unless_that_window_was_over(tmp_path):
    clock = HandClock()
    clock.s = 500.0
    document = {
        "start": {"timestamp": {"timesecs": time.time() - 30.0}},
        "intervals": [interval(4.0, start=n, end=n + 1.0) for n in range(60)],  # some to come: a busy machine is late
        "end": {},
    }
    file = tmp_path / "run.json"
    file.write_text("")
    source = load_source({"source": "iperf3", "gnb": "1", "direction": "dl", "files": [str(file)]}, clock)
    source.start()
    wait_until(lambda: source._places.get(str(file)) == (file.stat().st_ino, 0))  # type: ignore[attr-defined]
    file.write_text(json.dumps(document, indent=1))
    wait_until(lambda: source.problem == "" and source.last_heard_s is not None, "the run is heard")
    wait_until(lambda: source.sample(480.0, 500.0).values["thp_dl_1"] == pytest.approx(4.0), "the run counts")
    assert all(math.isnan(value) for value in source.sample(470.0, 499.0).values.values())
    source.close()


class TestCommand:
    def table(self, *command: str) -> dict[str, object]:
        return {"source": "iperf3", "gnb": "1", "direction": "dl", "commands": [list(command)]}

    def test_what_a_command_writes_is_heard_and_it_is_begun_again_when_it_ends(self):
        clock = HandClock()
        line = event("interval", interval(5.0))
        source = load_source(self.table(sys.executable, "-c", f"print({line!r}, flush=True)"), clock)
        source.retry_s = 0.02  # type: ignore[attr-defined]
        source.start()
        flow = next(iter(source._flows.values()))  # type: ignore[attr-defined]
        wait_until(lambda: len(flow.between(0.0, clock.s)) >= 3, "three runs are heard")
        assert source.sample(clock.s - 3.0, clock.s).values["thp_dl_1"] == pytest.approx(5.0)
        assert source.problem == ""
        source.close()

    def test_a_command_does_not_outlive_its_source(self, tmp_path):
        pid = tmp_path / "pid"
        script = f"import os,time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(10000)"
        source = load_source(self.table(sys.executable, "-c", script), HandClock())
        source.start()
        wait_until(lambda: pid.exists() and pid.read_text(), "the command runs")
        source.close()
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)

    def test_a_command_that_fails_is_told_with_its_last_words(self):
        script = "import sys; print('no route to the core', file=sys.stderr); sys.exit(3)"
        source = load_source(self.table(sys.executable, "-c", script), HandClock())
        source.start()
        wait_until(lambda: "ended with 3 (no route to the core)" in source.problem, "a problem is told")
        source.close()

    @pytest.mark.parametrize("is_logged", [False, True])
    def test_one_run_that_fails_between_others_is_no_news_and_a_row_of_them_is(self, tmp_path, caplog, is_logged):
        good, bad = event("interval", interval(5.0)), event("error", "unable to connect")
        script = tmp_path / "run.py"
        script.write_text(
            f"import pathlib, sys\n"
            f"count = pathlib.Path({str(tmp_path / 'count')!r})\n"
            f"n = int(count.read_text()) if count.exists() else 0\n"
            f"count.write_text(str(n + 1))\n"
            f"fails = n % 2 == 1 or (n > 1 and {is_logged})\n"
            f"print({bad!r} if fails else {good!r}, flush=True)\n"
            f"sys.exit(fails)\n"
        )
        source = load_source(self.table(sys.executable, str(script)), HandClock())
        source.retry_s = 0.02  # type: ignore[attr-defined]
        source.start()
        if is_logged:
            wait_until(lambda: "unable to connect" in caplog.text, "the trouble is logged")
        else:
            flow = next(iter(source._flows.values()))  # type: ignore[attr-defined]
            wait_until(lambda: len(flow.between(0.0, 1e9)) >= 4, "four runs are heard")
            assert "unable to connect" not in caplog.text
        source.close()

    def test_a_command_that_is_not_there_is_told(self):
        source = load_source(self.table("no-such-iperf3"), HandClock())
        source.start()
        wait_until(lambda: "no-such-iperf3 cannot be run" in source.problem, "a problem is told")
        source.close()

    @pytest.mark.skipif(shutil.which("iperf3") is None, reason="needs iperf3")
    def test_a_real_iperf3_is_heard(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        server = subprocess.Popen(["iperf3", "-s", "-p", port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        command = ("iperf3", "-c", "127.0.0.1", "-p", port, "-u", "-R", "-b", "2M", "-t", "1", "-i", "0.25", "-J")
        source = load_source(self.table(*command), time.monotonic)
        source.retry_s = 0.1  # type: ignore[attr-defined]
        source.start()
        wait_until(lambda: source.last_heard_s is not None, "a run is heard")
        flow = next(iter(source._flows.values()))  # type: ignore[attr-defined]
        found = [one for _, one in flow.between(0.0, time.monotonic())]
        source.close()
        server.kill()
        server.wait()
        assert found
        assert all(one.bits > 0 and one.packets > 0 and one.jitter_ms is not None for one in found)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"direction": "up"}, "direction"),
        ({"role": "both"}, "role"),
        ({"files": []}, "files"),
        ({"files": ["a", "a"]}, "files"),
        ({"files": "a"}, "files"),
        ({"commands": ["iperf3 -s"]}, "commands"),
        ({"commands": [[]]}, "commands"),
    ],
)
def test_a_wrong_table_is_refused_by_its_key(changes, key):
    with pytest.raises(InputError) as caught:
        load_source({"source": "iperf3", "gnb": "1", "direction": "dl", "files": ["a"], **changes}, HandClock())
    assert caught.value.key == key
