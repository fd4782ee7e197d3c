"""An agent with a scripted testbed, in this process or in one of its own, and what it takes to talk to it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bridge.agent import Agent, run_agent
from bridge.agent_config import AgentConfig, load_agent_config
from bridge.client import Credentials, TestbedClient
from bridge.clock import SystemClock
from bridge.plan import Mode, PlanRequest
from bridge.settings import Exploration
from tests.bridge.engine_world import SETTINGS
from tests.bridge.scripted_backend import ScriptedBackend

WALL_WINDOW_S = 0.08
BOX = {"cpu_a": 0.2, "cpu_b": 0.2, "bias": -6.0}
ENGINE = replace(
    SETTINGS,
    exploration=Exploration(enabled=True, lower=BOX, upper={"cpu_a": 4.0, "cpu_b": 4.0, "bias": 6.0}),
    lease_ttl_min_s=0.2,
)


def scripted() -> ScriptedBackend:
    return ScriptedBackend(SystemClock(), wall_window_s=WALL_WINDOW_S)  # type: ignore[arg-type]


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="rw"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def config_in(folder: Path, **changes: object) -> AgentConfig:
    config = AgentConfig(
        state_dir=folder / "state", listen=f"unix:{folder}/agent.sock", backend="scripted", engine=ENGINE, poll_s=0.02
    )
    return replace(config, **changes)  # type: ignore[arg-type]


@dataclass
class WireWorld:
    agent: Agent
    testbed: ScriptedBackend
    client: TestbedClient
    address: str
    config: AgentConfig

    def request(self, promotion_id: str = "p1", **changes: object) -> PlanRequest:
        base = PlanRequest(
            promotion_id=promotion_id, target={"cpu_a": 1.5}, mode=Mode.EXPLORATION, windows=3, lease_ttl_s=5.0
        )
        return replace(base, **changes)  # type: ignore[arg-type]


def wait_for_windows(client: TestbedClient, n: int = 4) -> None:
    """Wait until the gate has windows to look at."""
    while not len(client.windows(0, 100)) >= n:
        time.sleep(0.01)


@contextmanager
def wire_world(folder: Path, credentials: Credentials | None = None, **changes: object) -> Iterator[WireWorld]:
    config, testbed = config_in(folder, **changes), scripted()
    agent = Agent(config, backend=testbed)
    address = agent.start()
    try:
        with TestbedClient(address, credentials or Credentials()) as client:
            yield WireWorld(agent, testbed, client, address, config)
    finally:
        agent.stop()


def write_token(folder: Path, text: str = "0123456789abcdef0123456789abcdef") -> Path:
    path = folder / "token"
    path.write_text(text)
    path.chmod(0o600)
    return path


class AgentProcess:
    """An agent in a process of its own, which ends with the block that it is entered for at the latest."""

    def __init__(self, config_file: Path) -> None:
        self._config_file = config_file
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> AgentProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(kill=True)

    def start(self) -> str:
        """Start it and return its address."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bridge.wire_world", str(self._config_file)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the agent did not start"
        return line

    def end(self, *, kill: bool = False) -> int:
        assert self.process is not None
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


class Proxy:
    """A TCP proxy in front of an agent, whose connections can be cut."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.is_down = False
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def cut(self) -> None:
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._open.clear()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self.is_down:
                near.close()
                continue
            far = socket.create_connection(self._target)
            self.connections += 1
            with self._lock:
                self._open += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    run_agent(load_agent_config(Path(sys.argv[1])), lambda address: print(address, flush=True), backend=scripted())
