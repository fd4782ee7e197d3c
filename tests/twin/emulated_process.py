"""An emulated testbed as a process, for tests of whoever deals with one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from twin.scenario import Scenario, load_scenario

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


def brief_scenario() -> Scenario:
    """Return the default scenario with windows of 2 s, so that a test costs milliseconds."""
    scenario = load_scenario("cpu-allocation")
    return replace(scenario, window=replace(scenario.window, length_s=2.0, settle_s=1.0, warmup_s=0.5))


def wait_until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


class Wire:
    """A client that speaks the protocol by hand."""

    def __init__(self, path: Path, timeout_s: float = PATIENCE_S) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect(str(path))
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> dict[str, Any] | None:
        """Return the next answer, None if the connection was closed instead."""
        line = self._file.readline()
        return json.loads(line) if line else None

    def ask(self, op: str, **arguments: object) -> dict[str, Any] | None:
        self.send(json.dumps({"op": op, **arguments}).encode() + b"\n")
        return self.receive()

    def close(self) -> None:
        self._file.close()
        self.socket.close()


class EmulatedProcess:
    """`python -m twin.emulated` on a folder; stepped (speed 0) unless told otherwise. A context manager."""

    def __init__(self, folder: Path, *options: str, speed: float = 0.0, scenario: Scenario | str | None = None) -> None:
        self.folder, self.socket, self.state = folder, folder / "testbed.sock", folder / "state"
        self._log_path = folder / "testbed.log"
        if isinstance(scenario, str):
            name = scenario
        else:
            path = folder / "brief.toml"
            path.write_text((scenario or brief_scenario()).to_toml())
            name = str(path)
        self.arguments = [name, "--socket", str(self.socket), "--state", str(self.state), "--speed", str(speed)]
        self.arguments += options
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EmulatedProcess:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "twin.emulated", *self.arguments], cwd=ROOT, stdout=log, stderr=log
            )
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        assert self.process is not None
        process = self.process
        wait_until(lambda: self.answers() or process.poll() is not None)
        assert process.poll() is None, self.log

    def answers(self) -> bool:
        try:
            self.ask("ping")
        except (OSError, AssertionError):
            return False
        return True

    @property
    def log(self) -> str:
        return self._log_path.read_text()

    def ask(self, op: str, **arguments: object) -> dict[str, Any]:
        """Return the answer to one request on a connection of its own."""
        wire = Wire(self.socket)
        try:
            answer = wire.ask(op, **arguments)
        finally:
            wire.close()
        assert answer is not None, "closed without an answer"
        return answer

    def windows(self, since: int = 0) -> dict[str, Any]:
        return self.ask("windows", since=since, limit=1000)

    def values(self) -> dict[str, float]:
        """Return what is in force in the plant itself."""
        return dict(self.ask("read")["controls"])

    def kill_child(self) -> None:
        """Kill the process that simulates, and wait until another one answers."""
        pid = self.ask("ping")["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.answers() and self.ask("ping")["pid"] != pid)

    def kill(self) -> None:
        """Kill the parent; its child stops by itself."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as a supervisor would, and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(PATIENCE_S)
