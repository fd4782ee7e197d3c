from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.backends.base import Backend
from bridge.backends.emulated import EmulatedBackend, make_backend
from col.errors import InputError, OutcomeUnknownError, PlantError, RefusedError, UnreachableError
from tests.bridge.backend_contract import BackendContract
from tests.twin.emulated_process import EmulatedProcess, wait_until

CALL_S = 20.0
"""Long enough for a busy machine; tests of time-outs take a shorter one."""


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedProcess]:
    with EmulatedProcess(tmp_path_factory.mktemp("emulated"), "--gap", "0") as process:
        process.ask("advance", seconds=10)  # windows have numbers above 0, whichever test is the first
        yield process


@pytest.fixture
def backend(testbed: EmulatedProcess) -> Iterator[EmulatedBackend]:
    """A backend on the testbed at its reference, with nothing wrong and nothing in progress."""
    testbed.ask("misbehave", clear=True)
    backend = EmulatedBackend(str(testbed.socket), CALL_S)
    backend.apply(backend.describe().plant.reference.values, settle_s=0.0)
    yield backend
    testbed.ask("misbehave", clear=True)
    backend.close()


class TestEmulatedBackend(BackendContract):
    @pytest.fixture(autouse=True)
    def _testbed(self, testbed: EmulatedProcess) -> None:
        testbed.ask("misbehave", clear=True)
        self.testbed = testbed

    def make_backend(self) -> Backend:
        return make_backend({"socket": str(self.testbed.socket)}, CALL_S)

    def make_unreachable_backend(self) -> Backend:
        return make_backend({"socket": str(self.testbed.folder / "nobody.sock")}, CALL_S)

    def let_windows_pass(self, backend: Backend, n: int) -> None:
        self.testbed.ask("advance", seconds=n * backend.describe().plant.window_s)


def misbehave(testbed: EmulatedProcess, **faults: object) -> None:
    answer = testbed.ask("misbehave", set=faults)
    assert answer["ok"], answer


# --- one test per misbehaviour ----------------------------------------------------------------------------------------


def test_acknowledged_without_effect_reads_back_as_before(testbed: EmulatedProcess, backend: EmulatedBackend) -> None:
    misbehave(testbed, ack_without_effect=1)
    claimed = backend.apply({"cpu_du_1": 0.9}, settle_s=1.0)
    assert claimed.controls["cpu_du_1"] == 0.9
    assert backend.read().controls["cpu_du_1"] == 1.2
    backend.apply({"cpu_du_1": 0.9}, settle_s=1.0)
    assert backend.read().controls["cpu_du_1"] == 0.9


def test_a_partial_effect_is_acknowledged_as_a_whole(testbed: EmulatedProcess, backend: EmulatedBackend) -> None:
    misbehave(testbed, partial_effect={"count": 2})
    values = {"cpu_du_1": 0.9, "cpu_du_2": 0.9}
    claimed, real = backend.apply(values, settle_s=1.0).controls, backend.read().controls
    assert (claimed["cpu_du_1"], claimed["cpu_du_2"]) == (0.9, 0.9)
    assert (real["cpu_du_1"], real["cpu_du_2"]) == (0.9, 1.2)
    backend.apply({"cpu_cu_3": 1.0}, settle_s=1.0)
    assert backend.read().controls["cpu_cu_3"] == pytest.approx(1.1)


def test_a_refusal_changes_nothing(testbed: EmulatedProcess, backend: EmulatedBackend) -> None:
    misbehave(testbed, refuse=1)
    with pytest.raises(RefusedError, match="by configuration"):
        backend.apply({"cpu_du_1": 0.9}, settle_s=1.0)
    assert backend.read().controls["cpu_du_1"] == 1.2


def test_a_reply_that_is_lost_leaves_the_outcome_unknown_and_the_effect_in_force(
    testbed: EmulatedProcess, backend: EmulatedBackend
) -> None:
    misbehave(testbed, reply_lost=1)
    with pytest.raises(OutcomeUnknownError):
        backend.apply({"cpu_du_1": 0.9}, settle_s=1.0)
    reading = backend.read()  # reconnects by itself
    assert reading.controls["cpu_du_1"] == 0.9


def test_a_testbed_that_hangs_costs_no_more_than_the_time_of_a_call(
    testbed: EmulatedProcess, backend: EmulatedBackend
) -> None:
    impatient = EmulatedBackend(str(testbed.socket), 0.3)
    misbehave(testbed, hang={"requests": ["apply", "read"]})
    with pytest.raises(UnreachableError, match="timed out"):
        impatient.read()
    with pytest.raises(OutcomeUnknownError, match="timed out"):
        impatient.apply({"cpu_du_1": 0.9}, settle_s=1.0)
    misbehave(testbed, hang=False)
    # What was held for a client that has gone is never done.
    assert backend.read().controls["cpu_du_1"] == 1.2


def test_an_effect_can_come_after_everybody_has_given_up(testbed: EmulatedProcess, backend: EmulatedBackend) -> None:
    misbehave(testbed, hang={"count": 1, "requests": ["apply"], "even_if_gone": True})
    with pytest.raises(OutcomeUnknownError):
        EmulatedBackend(str(testbed.socket), 0.3).apply({"cpu_du_1": 0.9}, settle_s=1.0)
    assert backend.read().controls["cpu_du_1"] == 1.2
    wait_until(lambda: testbed.ask("misbehave")["misbehave"] == {})
    misbehave(testbed, hang=False)
    wait_until(lambda: backend.read().controls["cpu_du_1"] == 0.9)


def test_a_hang_that_is_told_to_end_answers_late(testbed: EmulatedProcess, backend: EmulatedBackend) -> None:
    misbehave(testbed, hang=1)
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(backend.apply({"cpu_du_1": 0.9}, settle_s=1.0)))
    thread.start()
    wait_until(lambda: testbed.ask("misbehave")["misbehave"] == {})  # the request has come and is held
    assert not answers
    assert testbed.values()["cpu_du_1"] == 1.2
    misbehave(testbed, hang=False)
    thread.join()
    assert len(answers) == 1
    assert testbed.values()["cpu_du_1"] == 0.9


def test_frozen_windows_do_not_come_and_leave_no_gap_in_the_numbers(
    testbed: EmulatedProcess, backend: EmulatedBackend
) -> None:
    first = backend.read().next_sequence
    misbehave(testbed, freeze=True)
    testbed.ask("advance", seconds=10)
    assert len(backend.windows(first, 10)) == 0
    misbehave(testbed, freeze=False)
    testbed.ask("advance", seconds=6)
    assert np.all(np.diff(backend.windows(first - 1, 10).sequence) == 1)


def test_a_lost_window_leaves_a_gap_in_the_numbers(testbed: EmulatedProcess, backend: EmulatedBackend) -> None:
    first = backend.read().next_sequence
    misbehave(testbed, lost_windows=1)
    testbed.ask("advance", seconds=8)
    sequence = list(backend.windows(first - 1, 10).sequence)
    assert len(sequence) == sequence[-1] - (first - 2) - 1


def test_a_late_window_comes_after_those_that_follow_it(testbed: EmulatedProcess, backend: EmulatedBackend) -> None:
    backend.apply(backend.read().controls, settle_s=0.0)
    first = backend.apply(backend.read().controls, settle_s=0.0).next_sequence
    misbehave(testbed, late_windows={"count": 1, "windows": 3})
    testbed.ask("advance", seconds=6)
    assert list(backend.windows(first, 10).sequence) == [first + 1, first + 2]
    testbed.ask("advance", seconds=2)
    assert list(backend.windows(first, 10).sequence) == [first, first + 1, first + 2, first + 3]


def test_duplicated_windows_count_once(testbed: EmulatedProcess, backend: EmulatedBackend) -> None:
    since = backend.read().next_sequence
    testbed.ask("advance", seconds=6)
    plain = backend.windows(since, 10)
    assert len(plain) >= 2
    misbehave(testbed, duplicate_windows=2)
    assert testbed.windows(since)["sequence"] == [n for n in plain.sequence for _ in (0, 1)]
    doubled = backend.windows(since, 10)
    assert list(doubled.sequence) == list(plain.sequence)
    assert np.array_equal(doubled.metrics["thp_dl_1"], plain.metrics["thp_dl_1"])


def test_named_metrics_are_missing_and_the_others_are_not(testbed: EmulatedProcess, backend: EmulatedBackend) -> None:
    since = backend.read().next_sequence
    misbehave(testbed, nan={"metrics": ["thp_dl_1", "pow_h1"], "count": 1})
    testbed.ask("advance", seconds=6)
    windows = backend.windows(since - 1, 10)
    for name in ("thp_dl_1", "pow_h1"):
        assert np.isnan(windows.metrics[name]).sum() == 1
    assert np.all(np.isfinite(windows.metrics["thp_dl_2"]))


@pytest.mark.parametrize(("fault", "value"), [("crash_after_apply", 0.9), ("crash_before_apply", 1.2)])
def test_a_crash_leaves_the_outcome_unknown_until_it_is_read_back(
    testbed: EmulatedProcess, backend: EmulatedBackend, fault: str, value: float
) -> None:
    run = testbed.ask("read")["run"]
    misbehave(testbed, **{fault: 1})
    with pytest.raises(OutcomeUnknownError):
        backend.apply({"cpu_du_1": 0.9}, settle_s=1.0)
    testbed.wait_until_it_answers()
    reading = backend.read()
    assert reading.controls["cpu_du_1"] == value
    assert testbed.ask("read")["run"] == run + 1
    testbed.ask("advance", seconds=6)
    assert set(backend.windows(reading.next_sequence, 10).run) == {run + 1}


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_after_a_restart_of_the_testbed_the_next_call_finds_it_again(
    testbed: EmulatedProcess, backend: EmulatedBackend
) -> None:
    backend.apply({"cpu_du_3": 0.8}, settle_s=1.0)
    testbed.kill_child()
    assert backend.read().controls["cpu_du_3"] == 0.8


def test_a_suspended_testbed_is_out_of_reach_within_the_time_of_a_call(
    testbed: EmulatedProcess, backend: EmulatedBackend
) -> None:
    impatient = EmulatedBackend(str(testbed.socket), 0.3)
    impatient.read()
    pid = testbed.ask("ping")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(UnreachableError):
            impatient.read()
        with pytest.raises((OutcomeUnknownError, UnreachableError)):
            impatient.apply({"cpu_du_1": 0.9}, settle_s=1.0)
    finally:
        os.kill(pid, signal.SIGCONT)


def fake_testbed(path: Path, answer: bytes) -> threading.Thread:
    """Answer every request on a socket with the same bytes, then close."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


READING: dict[str, Any] = {
    "ok": True, "controls": {"cpu_du_1": 1.0}, "at_s": 1.0, "next_sequence": 1, "automation": False
}  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b"{}\n",
        b'{"ok":true}\n',
        b'{"ok":false}\n',
        b'{"ok":false,"error":7}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        json.dumps({**READING, "id": 77}).encode() + b"\n",
        json.dumps({**READING, "controls": {"cpu_du_1": "much"}}).encode() + b"\n",
        json.dumps({**READING, "controls": {"cpu_du_1": None}}).encode() + b"\n",
        json.dumps({**READING, "controls": [1]}).encode() + b"\n",
        json.dumps({**READING, "next_sequence": -1}).encode() + b"\n",
        json.dumps({**READING, "at_s": True}).encode() + b"\n",
    ],
)
@pytest.mark.parametrize("op", ["read", "apply"])
def test_an_answer_that_makes_no_sense_is_a_plant_error_and_after_apply_an_unknown_outcome(
    tmp_path: Path, op: str, answer: bytes
) -> None:
    fake_testbed(tmp_path / "fake.sock", answer)
    backend = EmulatedBackend(str(tmp_path / "fake.sock"), CALL_S)
    if op == "read":
        with pytest.raises(PlantError) as caught:
            backend.read()
        assert not isinstance(caught.value, OutcomeUnknownError | RefusedError)
    else:
        with pytest.raises(OutcomeUnknownError):
            backend.apply({"cpu_du_1": 1.0}, settle_s=1.0)


def test_an_answer_cut_in_the_middle_is_no_answer(tmp_path: Path) -> None:
    fake_testbed(tmp_path / "fake.sock", json.dumps(READING).encode()[:30])
    with pytest.raises(OutcomeUnknownError):
        EmulatedBackend(str(tmp_path / "fake.sock"), CALL_S).apply({"cpu_du_1": 1.0}, settle_s=1.0)


@pytest.mark.parametrize("config", [{}, {"socket": 7}, {"socket": ""}, {"socket": "/x", "port": 1}])
def test_a_configuration_that_is_wrong_is_an_input_error(config: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"backend\."):
        make_backend(config, 1.0)
