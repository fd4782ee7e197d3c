"""A lab of real containers for tests, on an engine of its own or on this machine's.

What is in force is read from the kernel: the quota in the cgroup of each container's first process.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World

_VERY_LONG_S = 900.0
_CGROUPS = Path("/sys/fs/cgroup")


def why_no_lab() -> str:
    """Return why no lab can run here, empty where one can."""
    if os.geteuid() != 0:
        return "a lab needs root"
    for program in ("iperf3", "dockerd"):
        if shutil.which(program) is None:
            return f"a lab needs {program}"
    try:
        import docker

        docker.from_env(timeout=10).ping()
    except Exception as error:
        return f"a lab needs a Docker engine: {error}"
    return ""


needs_lab = pytest.mark.skipif(bool(why_no_lab()), reason=why_no_lab() or "a lab can run here")


class LabWorld(World):
    """An operator with a lab. Everything that it starts carries the name of the test's own process."""

    def __init__(self, folder: Path, *, docker_host: str = "") -> None:
        super().__init__(folder)
        self.name = f"labtest-{os.getpid()}"
        if docker_host:
            self.environment["DOCKER_HOST"] = docker_host
        self._client: Any = None
        self._docker_host = docker_host
        self.facts: dict[str, Any] = {}

    def lab_up(self, *arguments: str) -> None:
        out = self.run_long("lab", "up", "--name", self.name, "--cores", "2", "--json", *arguments)
        self.facts = json.loads(out)

    def run_long(self, *arguments: str) -> str:
        """Run a command that may take minutes on a loaded machine, and return its stdout; it must succeed."""
        line = self.start(*arguments)
        out, _ = line.process.communicate(timeout=_VERY_LONG_S)
        assert line.process.returncode == 0, line.said
        return out.decode()

    def lab_down(self) -> None:
        code, _, err = self.run("lab", "down", "--name", self.name)
        assert code == 0, err

    def client(self) -> Any:
        import docker

        if self._client is None:
            where = {"base_url": self._docker_host} if self._docker_host else {}
            self._client = docker.DockerClient(timeout=60, **where) if where else docker.from_env(timeout=60)
        return self._client

    def pid(self, key: str) -> int:
        """Return the first process of a container as this machine sees it, 0 while it does not run."""
        state = self.client().api.inspect_container(f"{self.name}-{key.replace('_', '-')}")["State"]
        return int(state["Pid"]) if state["Running"] else 0

    @staticmethod
    def running_pid(key: str, pid: int) -> int:
        """Return the process if it still is that of this container, without asking any engine; else 0."""
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return pid if key.partition("_")[0].encode() in words else 0
        return 0

    def kill_9(self, key: str) -> None:
        """Kill the process of a container, as a crash would."""
        os.kill(self.pid(key), signal.SIGKILL)

    def quota_cores(self, key: str) -> float:
        """Return the CPU limit that the kernel holds a container to."""
        lines = Path(f"/proc/{self.pid(key)}/cgroup").read_text().splitlines()
        for line in lines:
            _, controllers, path = line.split(":", 2)
            below = path.lstrip("/")
            if "cpu" in controllers.split(","):
                folder = _CGROUPS / "cpu" / below
                quota = float((folder / "cpu.cfs_quota_us").read_text())
                return quota / float((folder / "cpu.cfs_period_us").read_text())
        words = (_CGROUPS / lines[-1].split(":", 2)[2].lstrip("/") / "cpu.max").read_text().split()
        return float(words[0]) / float(words[1])

    def kill_agent(self) -> None:
        """Kill the agent, as a crash would."""
        assert self._agent is not None
        self._agent.kill()

    def in_force(self) -> dict[str, float]:
        """Return the CPU limits that the kernel enforces."""
        keys = [name.removeprefix(f"{self.name}-").replace("-", "_") for name in self.facts["containers"]]
        return {f"cpu_{key}": round(self.quota_cores(key), 6) for key in keys if key.startswith(("du_", "cu_"))}

    def is_at(self, values: Mapping[str, float]) -> bool:
        """Whether exactly these limits are in force; False while a container is away."""
        try:
            now = self.in_force()
        except Exception:
            return False
        return now.keys() == values.keys() and all(abs(now[name] - value) < 1e-5 for name, value in values.items())

    def close(self) -> None:
        """End every process and remove the lab."""
        super().close()
        with contextlib.suppress(Exception):
            self.run("lab", "down", "--name", self.name)
        if self._client is not None:
            self._client.close()


@contextlib.contextmanager
def lab_world(folder: Path, *, docker_host: str = "") -> Iterator[LabWorld]:
    made = LabWorld(folder, docker_host=docker_host)
    try:
        yield made
    finally:
        made.close()
