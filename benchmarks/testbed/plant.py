"""An emulated testbed in a process of its own, asked over its own socket: nobody else is asked what is in force.

What it says is recorded against the clock that the agent's timers run on, so that a cause in the journal and the moment
at which the testbed was back are on one time line.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from twin.scenario import load_scenario
from twin.strict import write_toml

__all__ = ["Plant", "Recording", "Testbed", "boot_s", "pair_scenario"]

PATIENCE_S = 60.0


def boot_s() -> float:
    """Return the agent's monotonic clock: seconds since boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pair_scenario(path: Path) -> Path:
    """Write a scenario of two gNBs on one host with windows of 3 s and a short passive phase."""
    document = tomllib.loads(load_scenario("cpu-allocation").to_toml())
    cells = [f"thp_{way}_{i} >= 0.95 * load_{way}_{i}" for i in (1, 2) for way in ("dl", "ul")]
    document["scenario"] |= {"name": "pair", "title": "two gNBs on one host"}
    document["specification"]["text"] = f"always[0,4]({' and '.join([*cells, 'pow_h1 <= 95'])})"
    document["hosts"] = {"h1": document["hosts"]["h1"]}
    document["gnbs"] = {name: document["gnbs"][name] for name in ("1", "2")}
    document["window"] |= {"length_s": 3.0, "settle_s": 1.0, "warmup_s": 1.0}
    document["passive"] |= {"windows": 80, "run_windows": 20}
    document["load"]["passive"]["correlation_s"] = 12.0
    path.write_text(write_toml(document), encoding="utf-8")
    return path


class Testbed(Protocol):
    """What faults are injected into."""

    def controls_now(self) -> Mapping[str, float] | None:
        """Return what is in force now; None while nobody can say it."""
        ...

    def in_force(self) -> dict[str, float]:
        """Return what is in force, waiting until somebody can say it."""
        ...

    def misbehave(self, **faults: object) -> None:
        """Switch faults on."""
        ...

    def behave(self) -> None:
        """Switch every fault off."""
        ...

    def wait_hanging(self) -> None:
        """Wait until the request that has to hang has come, where that can be told."""
        ...

    def stop(self) -> None:
        """Let whoever is asked for changes stand still."""
        ...

    def go_on(self) -> None:
        """Let it go on."""
        ...

    def set(self, values: Mapping[str, float]) -> None:
        """Set controls as somebody who does not ask the agent."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Plant:
    """An emulated testbed whose windows of 3 s take `wall_window_s`."""

    def __init__(self, folder: Path, scenario: Path, *, wall_window_s: float, seed: int) -> None:
        self.socket = folder / "plant.sock"
        self._said = (folder / "plant.err").open("wb")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "twin.emulated", str(scenario), "--seed", str(seed)),
                *("--socket", str(self.socket), "--state", str(folder / "plant")),
                *("--speed", str(3.0 / wall_window_s), "--gap", "0"),  # it misbehaves when told to, not by chance
            ],
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,
        )
        until = boot_s() + PATIENCE_S
        while True:
            try:
                self.ask({"op": "ping"})
                return
            except (OSError, ValueError):
                if boot_s() > until or self._process.poll() is not None:
                    raise RuntimeError(f"the emulated testbed did not start: {folder / 'plant.err'}") from None
                time.sleep(0.05)

    def ask(self, request: Mapping[str, object], *, timeout_s: float = 5.0) -> dict[str, Any]:
        """Send one request over a connection of its own; OSError or ValueError if there is no answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(self.socket))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline())
        return answer

    def controls_now(self) -> Mapping[str, float] | None:
        """Return the controls in force; None while it hangs or is being started anew."""
        try:
            return dict(self.ask({"op": "read"}, timeout_s=1.0)["controls"])
        except (OSError, ValueError, KeyError):
            return None

    def in_force(self) -> dict[str, float]:
        """Return the controls in force, waiting for a process that is being started anew."""
        until = boot_s() + PATIENCE_S
        while True:
            try:
                return dict(self.ask({"op": "read"})["controls"])
            except (OSError, ValueError, KeyError):
                if boot_s() > until:
                    raise
                time.sleep(0.02)

    def misbehave(self, **faults: object) -> None:
        """Switch faults on or off."""
        answer = self.ask({"op": "misbehave", "set": faults})
        if not answer.get("ok"):
            raise RuntimeError(f"the emulated testbed refused {faults}: {answer}")

    def behave(self) -> None:
        """Switch every fault off."""
        until = boot_s() + PATIENCE_S
        while True:
            try:
                self.ask({"op": "misbehave", "clear": True})
                return
            except (OSError, ValueError):
                if boot_s() > until:
                    raise
                time.sleep(0.02)

    def wait_hanging(self) -> None:
        """Nobody can tell: it is asked and hangs within milliseconds."""

    def stop(self) -> None:
        """Let the whole testbed stand still, as a host that hangs does."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def set(self, values: Mapping[str, float]) -> None:
        """Set controls as somebody who does not ask the agent."""
        answer = self.ask({"op": "apply", "values": dict(values), "settle_s": 0.0})
        if not answer.get("ok"):
            raise RuntimeError(f"the emulated testbed refused {values}: {answer}")

    def close(self) -> None:
        """End the process."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()


class Recording:
    """What was in force, read from the testbed every few milliseconds for as long as it is entered."""

    def __init__(self, plant: Testbed, period_s: float = 0.01) -> None:
        self._plant, self._period_s = plant, period_s
        self._seen: list[tuple[float, Mapping[str, float]]] = []
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)

    def __enter__(self) -> Recording:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join(10.0)

    def back_since(self, expected: Mapping[str, float]) -> float | None:
        """Return since when the testbed has had the expected controls without a break; None if it has not got them."""
        since = None
        for at_s, controls in self._seen:
            if not _same(controls, expected):
                since = None
            elif since is None:
                since = at_s
        return since

    def wait_for(self, expected: Mapping[str, float]) -> None:
        """Wait until the expected controls were seen, for as long as patience lasts, and a little longer."""
        until = boot_s() + PATIENCE_S
        while self.back_since(expected) is None and boot_s() < until:
            time.sleep(self._period_s)
        time.sleep(20 * self._period_s)

    def _record(self) -> None:
        while not self._left.wait(self._period_s):
            controls = self._plant.controls_now()
            if controls is not None and (not self._seen or not _same(self._seen[-1][1], controls)):
                self._seen.append((boot_s(), controls))


def _same(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    return all(abs(a[control] - value) < 1e-6 for control, value in b.items())
