"""A lab of real containers as what faults are injected into: what is in force is read from the kernel.

The quota of each container stands in the cgroup of its first process. Engine and agent are not asked for it; the
engine only says where a container's process is, over a socket that the agent does not use.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.testbed.engine_wire import EngineWire
from benchmarks.testbed.own_engine import OwnEngine
from benchmarks.testbed.plant import PATIENCE_S, boot_s

__all__ = ["LabPlant"]

_CGROUPS = Path("/sys/fs/cgroup")
_SUPERVISOR_S = 0.5
"""Whoever supervises an engine starts it again after so long."""


class LabPlant:
    """The containers `NAME-du-1`, ... of an engine of one's own; `keys` are those with a limit (`du_1`, `cu_1`)."""

    def __init__(self, engine: OwnEngine, name: str, keys: tuple[str, ...], wire: Path) -> None:
        self.engine, self._name, self.keys = engine, name, keys
        self.wire = EngineWire(wire, engine.socket, self.kill_engine)
        self._client: Any = engine.client(10.0)
        self._quotas: dict[str, Path] = {}
        self._paused: set[str] = set()
        self._supervisor: threading.Thread | None = None
        self.engine_back_s: float | None = None
        """When the engine last answered again after it was killed, on the agent's clock."""

    def container(self, key: str) -> str:
        """Return the name of the container of `du_1`, `core`, ..."""
        return f"{self._name}-{key.replace('_', '-')}"

    def controls_now(self) -> dict[str, float] | None:
        """Return the limits that the kernel enforces now; None while a container or the engine is away."""
        found = {}
        for key in self.keys:
            cores = self._cores(key)
            if cores is None:
                return None
            found[f"cpu_{key}"] = cores
        return found

    def in_force(self) -> dict[str, float]:
        """Return the limits in force, waiting for containers that are being started anew."""
        until = boot_s() + PATIENCE_S
        while (found := self.controls_now()) is None:
            if boot_s() > until:
                raise RuntimeError(f"a container of {self._name} stays away")
            time.sleep(0.02)
        return found

    def misbehave(self, **faults: object) -> None:
        """Switch faults on: those of `EngineWire`, and `freeze` or `nan` (the DU stands still, or the core)."""
        for name, key in (("freeze", "du_1"), ("nan", "core")):
            if faults.pop(name, False):
                self._client.api.pause(self.container(key))
                self._paused.add(key)
        if faults:
            self.wire.misbehave(**faults)

    def behave(self) -> None:
        """Switch every fault off, and wait until engine and containers are there."""
        self.wire.behave()
        if self._supervisor is not None:
            self._supervisor.join(PATIENCE_S)
        for key in list(self._paused):
            with contextlib.suppress(Exception):  # it was started anew meanwhile: then it does not stand still
                self._client.api.unpause(self.container(key))
            self._paused.discard(key)
        self.in_force()

    def wait_hanging(self) -> None:
        """Wait until the request that has to hang has come."""
        if not self.wire.wait_hanging(PATIENCE_S):
            raise RuntimeError("no update came to hang")

    def stop(self) -> None:
        """Let the engine stand still."""
        self.wire.hold()

    def go_on(self) -> None:
        """Let it go on."""
        self.wire.release()

    def set(self, values: Mapping[str, float]) -> None:
        """Set limits as somebody who does not ask the agent."""
        for control, cores in values.items():
            key = control.removeprefix("cpu_")
            if (now := self._cores(key)) is None or abs(now - cores) > 1e-6:
                api = self._client.api  # its update_container knows no NanoCpus
                path = f"{api.base_url}/v{api.api_version}/containers/{self.container(key)}/update"
                api.post(path, json={"NanoCpus": round(cores * 1e9)}).raise_for_status()

    def kill_container(self, key: str) -> None:
        """Kill the process of a container (SIGKILL), as a crash would; the engine starts it again."""
        state = self._client.api.inspect_container(self.container(key))["State"]
        os.kill(int(state["Pid"]), signal.SIGKILL)

    def kill_engine(self) -> None:
        """Kill the engine (SIGKILL); its supervisor starts it again after a moment, its containers run on."""
        self.engine_back_s = None
        self.engine.kill_9()
        self.wire.down()
        self._supervisor = threading.Thread(target=self._start_again, daemon=True)
        self._supervisor.start()

    def _start_again(self) -> None:
        time.sleep(_SUPERVISOR_S)
        self.engine.start()
        self.wire.up()
        self.engine_back_s = boot_s()

    def close(self) -> None:
        """Let go of the engine; containers are removed with it."""
        self.wire.down()
        self._client.close()

    def _cores(self, key: str) -> float | None:
        for _ in range(2):
            with contextlib.suppress(OSError, ValueError, KeyError):
                return _quota_cores(self._quotas[key])
            self._quotas.pop(key, None)
            with contextlib.suppress(Exception):  # the engine is away, or the container has no process now
                state = self._client.api.inspect_container(self.container(key))["State"]
                if state["Running"] and state["Pid"]:
                    self._quotas[key] = _quota_file(int(state["Pid"]))
        return None


def _quota_file(pid: int) -> Path:
    """Return the file with the CPU quota of a process's cgroup (v1 or v2)."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return _CGROUPS / "cpu" / path.lstrip("/") / "cpu.cfs_quota_us"
    return _CGROUPS / lines[-1].split(":", 2)[2].lstrip("/") / "cpu.max"


def _quota_cores(file: Path) -> float:
    words = file.read_text().split()
    period = words[1] if len(words) > 1 else (file.parent / "cpu.cfs_period_us").read_text()
    return round(float(words[0]) / float(period), 6)
