from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from col.errors import InputError, PlantError
from tests.twin.emulated_process import ROOT, EmulatedProcess, Wire, brief_scenario, wait_until
from twin.emulated.misbehave import Fault, Misbehaviour, read_misbehaviour
from twin.emulated.plant import EmulatedPlant
from twin.emulated.server import MOST_CLIENTS, Pacer, listen
from twin.emulated.settings import EmulatedSettings
from twin.emulated.state import PlantState, StoredWindow


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedProcess]:
    with EmulatedProcess(tmp_path_factory.mktemp("emulated")) as process:
        yield process


# --- what outlives a process ------------------------------------------------------------------------------------------


def test_a_killed_plant_comes_back_with_its_values_and_its_numbering(testbed: EmulatedProcess) -> None:
    testbed.ask("apply", values={"cpu_du_1": 0.85, "cpu_cu_4": 0.9}, settle_s=1.0)
    testbed.ask("advance", seconds=9)
    before, reading = testbed.windows(), testbed.ask("read")
    testbed.kill_child()
    after = testbed.ask("read")
    assert after["controls"] == reading["controls"]
    assert after["run"] == reading["run"] + 1
    assert after["at_s"] >= reading["at_s"]
    assert testbed.windows() == before
    testbed.ask("advance", seconds=5)
    more = testbed.windows()
    assert more["sequence"] == list(range(len(more["sequence"])))
    assert more["run"][-1] == after["run"]
    assert more["start_s"][-1] >= more["end_s"][len(before["sequence"]) - 1]


def test_a_crash_spends_the_occurrence_that_caused_it(testbed: EmulatedProcess) -> None:
    testbed.ask("misbehave", set={"crash_before_apply": 2, "nan": {"metrics": ["thp_dl_1"]}})
    for left in ({"count": 1}, None):
        wire = Wire(testbed.socket)
        assert wire.ask("apply", values={"cpu_du_1": 1.0}, settle_s=1.0) is None
        wire.close()
        testbed.wait_until_it_answers()
        assert testbed.ask("misbehave")["misbehave"].get("crash_before_apply") == left
    assert "nan" in testbed.ask("misbehave")["misbehave"]
    testbed.ask("misbehave", clear=True)


def test_when_all_of_it_is_killed_the_next_start_goes_on_from_there(tmp_path: Path) -> None:
    with EmulatedProcess(tmp_path, "--misbehave", "refuse=on") as process:
        process.ask("misbehave", clear=True)
        process.ask("apply", values={"cpu_du_2": 0.77}, settle_s=0.0)
        process.ask("advance", seconds=4)
        child = process.ask("ping")["pid"]
        process.kill()
        wait_until(lambda: not Path(f"/proc/{child}").exists())  # the child does not outlive its parent
        process.start()
        assert process.values()["cpu_du_2"] == 0.77
        process.ask("advance", seconds=4)
        assert process.windows()["sequence"] == list(range(len(process.windows()["sequence"])))
        assert process.ask("misbehave")["misbehave"] == {"refuse": {"requests": ["apply"]}}  # as started, anew


def test_a_second_process_on_the_same_socket_or_state_is_bad_input(testbed: EmulatedProcess, tmp_path: Path) -> None:
    arguments = list(testbed.arguments)
    arguments[arguments.index("--state") + 1] = str(tmp_path / "other")
    ended = subprocess.run(
        [sys.executable, "-m", "twin.emulated", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "another process serves there" in ended.stderr
    with pytest.raises(InputError, match="in use by another"):
        PlantState(testbed.state, identity="x", controls=["a"], metrics=["b"], wait_s=0.1)
    assert testbed.answers()


def test_the_state_of_another_testbed_is_not_taken_over(tmp_path: Path) -> None:
    settings = [EmulatedSettings(scenario=brief_scenario(), seed=seed) for seed in (1, 2)]
    PlantState(tmp_path, identity=settings[0].identity, controls=["a"], metrics=["b"]).close()
    with pytest.raises(InputError, match="another testbed"):
        PlantState(tmp_path, identity=settings[1].identity, controls=["a"], metrics=["b"])


def test_a_state_that_is_damaged_says_so_in_one_line(tmp_path: Path) -> None:
    PlantState(tmp_path, identity="x", controls=["a"], metrics=["b"]).close()
    (tmp_path / "testbed.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(PlantError, match="damaged"):
        PlantState(tmp_path, identity="x", controls=["a"], metrics=["b"])


def test_old_windows_make_room_for_new_ones(tmp_path: Path) -> None:
    state = PlantState(tmp_path, identity="x", controls=["a"], metrics=["b"], keep=5)
    for n in range(20):
        window = StoredWindow(sequence=n, start_s=n, end_s=n + 1, run=0, controls=(1.0,), metrics=(float("nan"),))
        state.append([window], next_sequence=n + 1)
    assert [window.sequence for window in state.windows(0, 100)] == [15, 16, 17, 18, 19]
    assert np.isnan(state.windows(19, 1)[0].metrics[0])
    state.close()


def test_a_full_disk_costs_nothing_but_durability(tmp_path: Path) -> None:
    state = PlantState(tmp_path, identity="x", controls=["a"], metrics=["b"])
    window = StoredWindow(sequence=0, start_s=0.0, end_s=1.0, run=0, controls=(1.0,), metrics=(2.0,))
    state._db.execute("PRAGMA query_only=ON")  # the disk takes nothing
    state.append([window], values={"a": 0.7}, next_sequence=1)
    assert not state.is_durable
    assert state.load({"a": 1.2}).values == {"a": 0.7}
    assert state.windows(0, 10) == [window]
    state._db.execute("PRAGMA query_only=OFF")
    state.save(runs=3)
    assert state.is_durable
    state.close()
    again = PlantState(tmp_path, identity="x", controls=["a"], metrics=["b"])
    assert (again.load({"a": 1.2}).values, again.load({}).next_sequence, again.load({}).runs) == ({"a": 0.7}, 1, 3)
    assert again.windows(0, 10) == [window]
    again.close()


def test_history_is_passive_and_comes_before_the_first_window(tmp_path: Path) -> None:
    with EmulatedProcess(tmp_path, "--history", "70") as process:
        windows = process.windows()
        assert windows["sequence"] == list(range(70))
        assert windows["run"] == [0] * 60 + [1] * 10
        assert np.ptp(windows["metrics"]["load_dl_1"]) > 3.0
        assert np.ptp(windows["controls"]["cpu_du_1"]) > 0.1
        assert process.values()["cpu_du_1"] == 1.2
        process.ask("advance", seconds=5)
        later = process.windows(70)
        assert later["sequence"][0] == 70
        assert later["start_s"][0] >= windows["end_s"][-1]
        assert later["metrics"]["load_dl_1"] == pytest.approx([10.0] * len(later["sequence"]), rel=0.01)
        process.stop()
        process.start()  # what is there is not simulated again
        assert process.windows()["sequence"][: len(windows["sequence"])] == windows["sequence"]
        assert process.log.count("of 70 passive windows") == 2


def test_the_same_commands_at_the_same_times_give_the_same_windows(tmp_path: Path) -> None:
    def live(folder: Path) -> object:
        settings = EmulatedSettings(scenario=brief_scenario(), seed=5, speed=0.0)
        names = settings.scenario.topology.control_names, [m.name for m in settings.scenario.topology.metrics()]
        state = PlantState(folder, identity=settings.identity, controls=names[0], metrics=names[1])
        plant = EmulatedPlant(settings, state)
        for op in (
            {"op": "advance", "seconds": 7.5},
            {"op": "apply", "values": {"cpu_du_1": 0.6}, "settle_s": 1.0},
            {"op": "advance", "seconds": 9},
        ):
            assert plant.handle(op).body is not None
        out = plant.handle({"op": "windows", "since": 0, "limit": 100}).body
        state.close()
        return out

    assert repr(live(tmp_path / "one")) == repr(live(tmp_path / "other"))


# --- clients ----------------------------------------------------------------------------------------------------------


def test_only_its_owner_can_reach_the_socket_and_the_state(testbed: EmulatedProcess) -> None:
    assert stat.S_IMODE(testbed.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(testbed.state.stat().st_mode) == 0o700
    for name in ("testbed.sqlite", "lock"):
        assert stat.S_IMODE((testbed.state / name).stat().st_mode) == 0o600


def test_it_says_that_it_is_emulated(testbed: EmulatedProcess) -> None:
    described = testbed.ask("describe")
    assert described["emulated"] is True
    assert described["notes"][0].startswith("EMULATED")
    assert (described["plant_id"], described["stack"], described["radio_mode"]) == ("embedded", "srsran-25.10", "rt")


def test_several_clients_get_their_own_answers(testbed: EmulatedProcess) -> None:
    wires = [Wire(testbed.socket) for _ in range(10)]
    for n, wire in enumerate(wires):
        wire.send(b"".join(json.dumps({"op": "ping", "id": 100 * n + i}).encode() + b"\n" for i in range(5)))
    for n, wire in enumerate(wires):
        assert [(wire.receive() or {}).get("id") for _ in range(5)] == [100 * n + i for i in range(5)]
        wire.close()


def test_silent_clients_make_room_for_new_ones(testbed: EmulatedProcess) -> None:
    silent = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2 * MOST_CLIENTS)]
    for one in silent:
        one.connect(str(testbed.socket))
        one.sendall(b'{"op"')
        assert testbed.answers()
    for one in silent:
        one.close()


def test_a_client_that_does_not_read_keeps_nobody_else_waiting(testbed: EmulatedProcess) -> None:
    testbed.ask("advance", seconds=60)
    deaf = Wire(testbed.socket)
    request = b'{"op":"windows","since":0,"limit":1000}\n'
    deaf.send(request * 200)
    assert testbed.answers()
    deaf.close()


HOSTILE = [
    b"\n",
    b"nonsense\n",
    b"\xff\xfe\x00\n",
    b"null\n",
    b"[]\n",
    b"7\n",
    b'"op"\n',
    b"{}\n",
    b'{"op":7}\n',
    b'{"op":"_apply"}\n',
    b'{"op":"apply"}\n',
    b'{"op":"apply","values":{},"settle_s":1}\n',
    b'{"op":"apply","values":[["cpu_du_1",0.5]],"settle_s":1}\n',
    b'{"op":"apply","values":{"cpu_du_1":0.5}}\n',
    b'{"op":"apply","values":{"cpu_du_1":0.5},"settle_s":-1}\n',
    b'{"op":"apply","values":{"cpu_du_1":0.5},"settle_s":1e400}\n',
    b'{"op":"apply","values":{"cpu_du_1":0.5},"settle_s":true}\n',
    b'{"op":"apply","values":{"cpu_du_1":0.5},"settle_s":1,"extra":1}\n',
    b'{"op":"apply","values":{"cpu_du_1":NaN},"settle_s":1}\n',
    b'{"op":"apply","values":{"cpu_du_1":-Infinity},"settle_s":1}\n',
    b'{"op":"apply","values":{"cpu_du_1":1e999},"settle_s":1}\n',
    b'{"op":"apply","values":{"cpu_du_1":true},"settle_s":1}\n',
    b'{"op":"apply","values":{"cpu_du_1":"0.5"},"settle_s":1}\n',
    b'{"op":"apply","values":{"cpu_du_1":99},"settle_s":1}\n',
    b'{"op":"apply","values":{"nobody":1},"settle_s":1}\n',
    b'{"op":"apply","values":{"cpu_du_1":0.5},"settle_s":1,"request_id":["x"]}\n',
    b'{"op":"apply","values":{"cpu_du_1":' + b"9" * 5000 + b'},"settle_s":1}\n',
    b'{"op":"automation","enabled":1}\n',
    b'{"op":"automation","enabled":true}\n',
    b'{"op":"windows","since":-1,"limit":5}\n',
    b'{"op":"windows","since":0,"limit":0}\n',
    b'{"op":"windows","since":0.5,"limit":5}\n',
    b'{"op":"windows","since":99999999999999999999999,"limit":5}\n',
    b'{"op":"advance","seconds":1e9}\n',
    b'{"op":"advance","seconds":null}\n',
    b'{"op":"misbehave","set":{"explode":1}}\n',
    b'{"op":"misbehave","set":{"hang":{"seconds":-1}}}\n',
    b'{"op":"misbehave","set":{"nan":{"metrics":["no_such"]}}}\n',
    b'{"op":"misbehave","set":{"refuse":{"requests":["ping"]}}}\n',
    b'{"op":"misbehave","set":[1]}\n',
    b"[" * 60_000 + b"\n",
    b'{"op":"ping","id":' + b"[" * 30_000 + b"\n",
]


@pytest.mark.parametrize("line", HOSTILE, ids=[line[:40].decode("latin-1").strip() for line in HOSTILE])
def test_a_hostile_request_changes_nothing_and_gets_one_answer_at_most(testbed: EmulatedProcess, line: bytes) -> None:
    before, pid = testbed.ask("read"), testbed.ask("ping")["pid"]
    wire = Wire(testbed.socket)
    wire.send(line + b'{"op":"ping","id":"after"}\n')
    answer = wire.receive()
    if line.strip():
        assert answer is not None
        assert answer["ok"] is False
        assert answer["error"]["message"]
        answer = wire.receive()
    assert answer is not None
    assert answer["id"] == "after"
    wire.close()
    assert testbed.ask("read") == before
    assert testbed.ask("ping")["pid"] == pid
    assert testbed.ask("misbehave")["misbehave"] == {}


def test_a_line_without_an_end_ends_the_connection(testbed: EmulatedProcess) -> None:
    wire = Wire(testbed.socket)
    try:
        wire.send(b"x" * 1_000_000)
        assert (wire.receive() or {"ok": False})["ok"] is False
        assert wire.receive() is None
    except (BrokenPipeError, ConnectionResetError):
        pass
    wire.close()
    assert testbed.answers()


def test_half_a_request_is_no_request(testbed: EmulatedProcess) -> None:
    wire = Wire(testbed.socket)
    wire.send(b'{"op":"apply","values":{"cpu_du_1":0.5},"settle_s":1}')
    wire.close()
    assert testbed.values()["cpu_du_1"] != 0.5


def test_a_request_that_is_repeated_acts_once(testbed: EmulatedProcess) -> None:
    request = {"values": {"cpu_du_1": 0.9}, "settle_s": 1.0, "request_id": "one"}
    first = testbed.ask("apply", **request)
    testbed.ask("apply", values={"cpu_du_1": 1.0}, settle_s=1.0)
    assert testbed.ask("apply", **request) == first
    assert testbed.values()["cpu_du_1"] == 1.0
    assert testbed.ask("apply", **{**request, "settle_s": 2.0})["error"]["code"] == "bad_request"


# --- pace -------------------------------------------------------------------------------------------------------------


def test_windows_come_by_themselves_at_the_speed_asked_for_until_sigterm_stops_it_cleanly(tmp_path: Path) -> None:
    with EmulatedProcess(tmp_path, speed=20.0) as process:
        wait_until(lambda: len(process.windows()["sequence"]) >= 3)
        assert process.ask("describe")["wall_window_s"] == pytest.approx(0.1)
        assert process.ask("advance", seconds=1)["error"]["code"] == "refused"
        child = process.ask("ping")["pid"]
        assert process.stop() == 0
        assert not process.socket.exists()
        assert not Path(f"/proc/{child}").exists()


def test_time_that_nobody_can_catch_up_with_is_let_go() -> None:
    pacer = Pacer(speed=10.0, most_behind_ms=4000.0, origin_s=100.0, origin_ms=500)
    assert pacer.due_ms(100.0, 500) == 0
    assert pacer.due_ms(100.25, 500) == 2500
    assert pacer.due_ms(101.0, 500) == 4000  # ten seconds were due
    assert pacer.slipped_ms == pytest.approx(6000.0)
    assert pacer.due_ms(101.125, 4500) == 1250  # from there on at the same pace


def test_a_socket_path_that_is_something_else_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(InputError, match="no socket"):
        listen(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(InputError, match="cannot be listened on"):
        listen(tmp_path / ("x" * 150))


# --- misbehaviour by configuration ------------------------------------------------------------------------------------


def test_misbehaviour_is_read_from_words_and_files(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('refuse = 2\n[nan]\nmetrics = ["thp_dl_1"]\ncount = 3\n')
    read = read_misbehaviour([str(path), "hang=1", "hang.seconds=2.5", "freeze=on", "late_windows.windows=4"])
    assert read.to_dict() == {
        "refuse": {"count": 2, "requests": ["apply"]},
        "nan": {"count": 3, "metrics": ["thp_dl_1"]},
        "hang": {"count": 1, "seconds": 2.5, "requests": ["describe", "read", "apply", "automation", "windows"]},
        "freeze": {},
        "late_windows": {"windows": 4},
    }


@pytest.mark.parametrize(
    "word", ["refuse", "explode=1", "refuse=-1", "refuse=x", "refuse.count=1.5", "hang.metrics=a", "/no/such.toml"]
)
def test_misbehaviour_that_makes_no_sense_is_bad_input(word: str) -> None:
    with pytest.raises(InputError):
        read_misbehaviour([word])


def test_a_fault_happens_as_often_as_told_and_no_more() -> None:
    misbehaviour = Misbehaviour()
    misbehaviour.change({"refuse": 2, "freeze": True})
    assert [misbehaviour.take(Fault.REFUSE, "apply") is not None for _ in range(4)] == [True, True, False, False]
    assert misbehaviour.take(Fault.REFUSE, "read") is None
    assert all(misbehaviour.take(Fault.FREEZE) for _ in range(10))
    misbehaviour.change({"freeze": False})
    assert misbehaviour.take(Fault.FREEZE) is None
