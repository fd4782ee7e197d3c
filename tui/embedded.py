"""The embedded EMULATED testbed as a process of its own: started detached, found again, stopped on request.

It outlives the agent and whoever started it. Its folder has `scenario.toml`, `testbed.json` (how it was started),
`testbed.pid`, `testbed.log`, the socket `plant.sock`, and `state/`, which is the testbed's own.
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
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from col.errors import InputError, PlantError, UnreachableError
from tui.config_dir import ConfigDir

__all__ = ["EmbeddedTestbed", "StartOptions", "ask"]

_START_S, _STOP_S, _ASK_S = 180.0, 15.0, 5.0
_MOST_PATH_BYTES = 107


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """How a testbed is started: simulated s per s, seed, gap to the twin, passive windows that it begins with."""

    speed: float = 1.0
    seed: int = 0
    gap: float = 1.0
    history: int = 0

    def with_asked(self, asked: Mapping[str, Any]) -> StartOptions:
        """Return the options with what was asked for; None stands for nothing asked."""
        return StartOptions(**{**asdict(self), **{k: v for k, v in asked.items() if v is not None}})


class EmbeddedTestbed:
    """The testbed in the operator's config directory."""

    def __init__(self, config: ConfigDir) -> None:
        self._config = config
        self.folder = config.testbed
        self.socket = self.folder / "plant.sock"
        self.scenario = self.folder / "scenario.toml"
        self.log = self.folder / "testbed.log"
        self._pid = self.folder / "testbed.pid"
        self._options = self.folder / "testbed.json"

    def check_path(self) -> None:
        """Raise InputError where a Unix socket cannot have such a long path."""
        if len(os.fsencode(self.socket)) > _MOST_PATH_BYTES:
            raise InputError(
                f"a socket's path has at most {_MOST_PATH_BYTES} bytes: set RANTWIN_CONFIG_DIR to a shorter folder",
                source=str(self.socket),
            )

    def options(self) -> StartOptions:
        """Return how it was started last, the defaults before the first time."""
        if not self._options.is_file():
            return StartOptions()
        try:
            return StartOptions(**json.loads(self._options.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise InputError(f"not what 'rantwin serve' writes ({error})", source=str(self._options)) from error

    def process(self) -> int | None:
        """Return the process that runs it, None if there is none."""
        try:
            pid = int(self._pid.read_text(encoding="ascii"))
            line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        # A process of the same number that is another one does not have our socket among its arguments.
        return pid if os.fsencode(self.socket) in line else None

    def start(self, asked: Mapping[str, Any], say: Callable[[str], None]) -> StartOptions:
        """Start it unless it runs already; return how it runs.

        Raises:
            InputError: it runs already, otherwise than asked.
            PlantError: it did not come up; the message has the last line of its log.
        """
        self.check_path()
        stored = self.options()
        options = stored.with_asked(asked)
        if self.process() is not None:
            if options != stored:
                raise InputError(
                    "the testbed runs already, with other options: 'rantwin serve --stop-testbed' first",
                    key=next(f"--{k}" for k, v in asdict(stored).items() if v != getattr(options, k)),
                )
            return stored
        self._config.folder(self.folder)
        self._options.write_text(json.dumps(asdict(options), indent=2) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "tui.cli", "emulate", str(self.scenario), "--socket", str(self.socket)]
        command += ["--state", str(self.folder / "state"), "--speed", repr(options.speed)]
        command += ["--seed", str(options.seed), "--gap", repr(options.gap), "--history", str(options.history)]
        say("starts the embedded EMULATED testbed (the first time on a machine it compiles, up to a minute)")
        begun_at = self.log.stat().st_size if self.log.exists() else 0
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle, start_new_session=True
            )
        finally:
            os.close(handle)
        self._pid.write_text(f"{process.pid}\n", encoding="ascii")
        self._wait(process, begun_at)
        return options

    def _wait(self, process: subprocess.Popen[bytes], begun_at: int) -> None:
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            code = process.poll()
            if code is not None:
                self._pid.unlink(missing_ok=True)
                raise PlantError(f"the testbed did not start (exit code {code}): {self._last_line(begun_at)}")
            with contextlib.suppress(UnreachableError, PlantError):
                ask(self.socket, "ping")
                return
            time.sleep(0.1)
        raise PlantError(f"the testbed does not answer after {_START_S:g} s: {self._last_line(begun_at)}")

    def _last_line(self, begun_at: int) -> str:
        with self.log.open("rb") as source:
            source.seek(begun_at)
            lines = source.read().decode("utf-8", errors="replace").strip().splitlines()
        return f"{lines[-1]} ({self.log})" if lines else f"see {self.log}"

    def stop(self) -> bool:
        """Stop it; False if it did not run. What is in force is kept in its state folder."""
        pid = self.process()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _STOP_S
        while self.process() is not None:
            if time.monotonic() > until:
                raise PlantError(f"the testbed (process {pid}) does not end; see {self.log}")
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # where it is a child of this very process
            time.sleep(0.05)
        self._pid.unlink(missing_ok=True)
        return True


def ask(path: Path, op: str, **keys: object) -> dict[str, Any]:
    """Return the testbed's own answer to one request (see docs/emulated.md).

    Raises:
        UnreachableError: nobody answers there.
        PlantError: the answer is a refusal or no answer of that protocol.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ASK_S)
            connection.connect(str(path))
            connection.sendall(json.dumps({"op": op, **keys}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
    except OSError as error:
        raise UnreachableError(f"{path}: the testbed does not answer ({error.strerror or error})") from error
    if not line:
        raise UnreachableError(f"{path}: the testbed closed the connection")
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise PlantError(f"{path}: not an answer of a testbed: {line[:80]!r}") from error
    if not answer.get("ok"):
        raise PlantError(f"{path}: {answer.get('message', answer)}")
    return answer
