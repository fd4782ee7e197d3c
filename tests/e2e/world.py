"""Real processes of one operator: an emulated testbed, an agent, the command line, each found and ended by its id.

What is in force is read from the testbed's own socket, in the plainest way; neither agent nor journal are asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PATIENCE_S = 120.0
ROOT = Path(__file__).parent.parent.parent


class Line:
    """A command of `rantwin` that runs; what it says on stderr goes to a file, so that it never blocks on us."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, number: int) -> None:
        self.said_in = folder / f"{number:02d}-{arguments[0]}.err"
        with self.said_in.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tui.cli", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd=folder,
                env=environment,
            )

    @property
    def said(self) -> str:
        return self.said_in.read_text(encoding="utf-8")

    def answer(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait_for(self, words: str) -> None:
        wait_until(lambda: words in self.said or self.process.poll() is not None, f"{words!r} in: {self.said}")
        assert words in self.said, self.said

    def end(self) -> tuple[int, str]:
        """Wait for its end and return exit code and stdout."""
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out.decode()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=PATIENCE_S)


class World:
    """An operator with a config directory of their own under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "c"
        self.environment = {**os.environ, "RANTWIN_CONFIG_DIR": str(self.config), "PYTHONPATH": str(ROOT)}
        self.plant = self.config / "testbed" / "plant.sock"
        self._lines: list[Line] = []
        self._agent: Line | None = None

    def start(self, *arguments: str) -> Line:
        line = Line(arguments, self.environment, self.folder, len(self._lines))
        self._lines.append(line)
        return line

    def run(self, *arguments: str) -> tuple[int, str, str]:
        line = self.start(*arguments)
        code, out = line.end()
        return code, out, line.said

    def serve(self, *arguments: str) -> None:
        self._agent = self.start("serve", *arguments)
        self._agent.wait_for("agent listens on")

    def stop_agent(self) -> None:
        assert self._agent is not None
        self._agent.kill(signal.SIGTERM)

    def in_force(self) -> dict[str, float]:
        """Return what the testbed itself says is in force."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(10.0)
            connection.connect(str(self.plant))
            connection.sendall(b'{"op": "read"}\n')
            with connection.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline())
        assert answer["ok"], answer
        return dict(answer["controls"])

    def close(self) -> None:
        """End every process that was started here."""
        for line in self._lines:
            if line.process.poll() is None:
                line.kill(signal.SIGTERM if line is self._agent else signal.SIGKILL)
            for stream in (line.process.stdin, line.process.stdout):
                _close(stream)
        self.run("serve", "--stop-testbed")


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.close()


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    made = World(folder)
    try:
        yield made
    finally:
        made.close()


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Wait for something to happen; AssertionError, saying what did not, after very long."""
    until = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < until, f"did not happen: {what}"
        time.sleep(0.02)
