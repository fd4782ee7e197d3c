"""A lab of real containers for tests, on an engine of its own or on this machine's.

What is in force is read from the kernel: the quota in the cgroup of each container's first process.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import PATIENCE_S, World, wait_until

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


class OwnEngine:
    """A Docker engine of the test's own, which may be killed without harm to anybody else's containers.

    Its containers outlive it (live-restore), as those of an engine that is updated do. It has a bridge of its own: with
    none at all an engine takes the machine's docker0 away.
    """

    _BRIDGE = "rl-own0"

    def __init__(self) -> None:
        _ip("link", "add", self._BRIDGE, "type", "bridge")
        _ip("addr", "replace", "198.18.255.1/24", "dev", self._BRIDGE)
        self._folder = Path(tempfile.mkdtemp(prefix="labd-"))
        self.address = f"unix://{self._folder}/d.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        for stale in self._folder.glob("*.pid"):
            stale.unlink()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd", "--host", self.address, "--data-root", f"{self._folder}/data",
                    "--exec-root", f"{self._folder}/exec", "--pidfile", f"{self._folder}/d.pid",
                    "--storage-driver", "vfs", "--bridge", self._BRIDGE, "--iptables=false", "--ip6tables=false",
                    "--live-restore",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        _forward("-I")
        wait_until(self.answers, f"an engine of the test's own: {self.said()}")

    def answers(self) -> bool:
        import docker

        with contextlib.suppress(Exception):
            client = docker.DockerClient(base_url=self.address, timeout=10)
            try:
                return bool(client.ping())
            finally:
                client.close()
        return False

    def said(self) -> str:
        with contextlib.suppress(OSError):
            return (self._folder / "log").read_text(errors="replace")[-2000:]
        return ""

    def kill_9(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=PATIENCE_S)

    def close(self) -> None:
        import docker

        with contextlib.suppress(Exception):  # what outlives its engine must not outlive the test
            client = docker.DockerClient(base_url=self.address, timeout=60)
            for container in client.containers.list(all=True):
                container.remove(force=True)
            for network in client.networks.list(filters={"label": "rantwin.lab"}):
                network.remove()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=PATIENCE_S)
        _forward("-D")
        pidfile = self._folder / "exec" / "containerd" / "containerd.pid"
        with contextlib.suppress(OSError, ValueError):  # with live-restore it outlives its engine
            os.kill(int(pidfile.read_text()), signal.SIGTERM)
        for mounted in ("exec", "data"):
            subprocess.run(["umount", "-R", f"{self._folder}/{mounted}"], capture_output=True, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)
        _ip("link", "del", self._BRIDGE)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=False)


def _forward(what: str) -> None:
    """Let a lab's bridge pass packets on: this machine's own engine refuses those of bridges that it does not know."""
    if shutil.which("iptables") is not None:
        rule = ["iptables", "-w", what, "FORWARD", "-i", "rl-+", "-o", "rl-+", "-j", "ACCEPT"]
        subprocess.run(rule, capture_output=True, check=False)
