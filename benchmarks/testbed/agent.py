"""An agent in a process of its own (`python -m benchmarks.testbed.agent CONFIG`), to be killed and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

from bridge.agent import Agent
from bridge.agent_config import load_agent_config
from bridge.clock import SystemClock

__all__ = ["AgentProcess"]


class AgentProcess:
    """The agent of one configuration file; `address` is where it listens."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._said = config.with_suffix(".err").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it, as a supervisor does, without waiting."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.testbed.agent", str(self._config)],
            stdout=subprocess.PIPE,
            stderr=self._said,
        )

    def wait_ready(self) -> None:
        """Wait until it answers."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode().strip()
        if not line:
            raise RuntimeError(f"the agent did not start: {self._config.with_suffix('.err')}")
        self.address = line

    def step_wall_clock(self, seconds: float) -> None:
        """Set its wall clock that far from the machine's."""
        self._config.with_suffix(".step").write_text(str(seconds))

    def kill(self) -> None:
        """Kill it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it in order."""
        if self._process is not None and self._process.poll() is None:
            self._end(signal.SIGTERM)
        self._said.close()

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class SteppedClock(SystemClock):
    """The clocks of this machine, the wall clock stepped by the seconds in a file (none: not stepped)."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC, as somebody has set them."""
        try:
            return super().wall() + float(self._file.read_text())
        except (OSError, ValueError):
            return super().wall()


def main() -> int:
    """Serve until SIGTERM, saying the address on stdout."""
    config = Path(sys.argv[1])
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    agent = Agent(load_agent_config(config), clock=SteppedClock(config.with_suffix(".step")))
    print(agent.start(), flush=True)
    ended.wait()
    agent.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
