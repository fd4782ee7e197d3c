"""A Docker engine of one's own, which may be killed without harm to anybody else's containers.

Its containers outlive it (live-restore), as those of an engine that is updated do. It has data, sockets and a bridge of
its own: with no bridge at all an engine takes the machine's docker0 away.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

__all__ = ["OwnEngine", "why_no_engine"]

PATIENCE_S = 120.0
_NUMBERS = itertools.count()


def why_no_engine() -> str:
    """Return why no engine of one's own can run here with a lab on it, empty where one can."""
    if os.geteuid() != 0:
        return "it takes root"
    missing = [program for program in ("dockerd", "iperf3", "ip") if shutil.which(program) is None]
    if missing:
        return f"it takes {', '.join(missing)}"
    try:
        import docker  # noqa: F401
    except ImportError:
        return "it takes the docker package: pip install 'rantwin[docker]'"
    return ""


class OwnEngine:
    """The engine. `address` is where it listens once `start` came back."""

    def __init__(self) -> None:
        number = (os.getpid() + 64 * next(_NUMBERS)) % 512
        self.name = f"{os.getpid()}-{number % 10}"
        self._bridge = f"rl-o{self.name}"
        self._address = f"198.{18 + number // 256}.{number % 256}.1/24"
        self._folder = Path(tempfile.mkdtemp(prefix="labd-"))
        self.socket = self._folder / "d.sock"
        self.address = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self._forwards = False

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        self.launch()
        until = time.monotonic() + PATIENCE_S
        while not self.answers():
            if time.monotonic() > until:
                raise RuntimeError(f"an engine of one's own does not answer: {self.said()}")
            time.sleep(0.02)

    def launch(self) -> None:
        """Start it, as a supervisor does, without waiting."""
        if not self._forwards:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("addr", "replace", self._address, "dev", self._bridge)
            _forward("-I")
            self._forwards = True
        for stale in self._folder.glob("*.pid"):
            stale.unlink()
        self._forget_dead_containerd()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd", "--host", self.address, "--data-root", f"{self._folder}/data",
                    "--exec-root", f"{self._folder}/exec", "--pidfile", f"{self._folder}/d.pid",
                    "--storage-driver", "vfs", "--bridge", self._bridge, "--iptables=false", "--ip6tables=false",
                    "--live-restore",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def client(self, timeout_s: float = 60.0) -> Any:
        """Return a client of the package `docker`; the caller closes it."""
        import docker

        return docker.DockerClient(base_url=self.address, timeout=timeout_s)

    def answers(self) -> bool:
        """Tell whether it answers."""
        with contextlib.suppress(Exception):  # the package lets errors of its transport through
            client = self.client(10.0)
            try:
                return bool(client.ping())
            finally:
                client.close()
        return False

    def said(self) -> str:
        """Return the end of its log."""
        with contextlib.suppress(OSError):
            return (self._folder / "log").read_text(errors="replace")[-2000:]
        return ""

    def kill_9(self) -> None:
        """Kill it at once (SIGKILL); its containers run on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=PATIENCE_S)

    def close(self) -> None:
        """End it and everything that it runs; nothing of it stays."""
        with contextlib.suppress(Exception):  # what outlives its engine must not outlive its owner
            if self._process is not None and not self.answers():
                self.start()
            client = self.client()
            for container in client.containers.list(all=True):
                container.remove(force=True)
            for network in client.networks.list(filters={"label": "rantwin.lab"}):
                network.remove()
            client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=PATIENCE_S)
        if self._forwards:
            _forward("-D")
        with contextlib.suppress(OSError, ValueError):  # with live-restore it outlives its engine
            os.kill(int(self._containerd_pid.read_text()), signal.SIGTERM)
        self._end_what_is_left()
        for mounted in ("exec", "data"):
            subprocess.run(["umount", "-R", f"{self._folder}/{mounted}"], capture_output=True, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)
        _ip("link", "del", self._bridge)

    @property
    def _containerd_pid(self) -> Path:
        return self._folder / "exec" / "containerd" / "containerd.pid"

    def _forget_dead_containerd(self) -> None:
        """Remove what names a dead containerd: unreaped, an engine takes it for alive and waits for it in vain."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._containerd_pid.read_text())
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    return
            self._containerd_pid.unlink()

    def _end_what_is_left(self) -> None:
        """Kill what holds containers of an engine that could not remove them; each process is found by its folder."""
        mine = str(self._folder).encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                if mine in (folder / "cmdline").read_bytes():
                    for child in (folder / "task" / folder.name / "children").read_text().split():
                        os.kill(int(child), signal.SIGKILL)
                    os.kill(int(folder.name), signal.SIGKILL)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=False)


def _forward(what: str) -> None:
    """Let a lab's bridge pass packets on: this machine's own engine refuses those of bridges that it does not know."""
    if shutil.which("iptables") is not None:
        rule = ["iptables", "-w", what, "FORWARD", "-i", "rl-+", "-o", "rl-+", "-j", "ACCEPT"]
        subprocess.run(rule, capture_output=True, check=False)
