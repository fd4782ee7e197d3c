"""An engine behind ssh: the user's own `ssh` forwards a private local socket to the engine's, and nothing else.

Keys, known hosts and jump hosts are those of the user's configuration of ssh; nothing is ever asked for at a terminal.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from col.errors import UnreachableError

__all__ = ["Tunnel"]

_REMOTE = "/var/run/docker.sock"
_POLL_S = 0.02


class Tunnel:
    """The way to `ssh://[USER@]HOST[:PORT][/SOCKET]`; a connection that has ended is made anew when it is next used."""

    def __init__(self, address: str, timeout_s: float) -> None:
        """Take the address and how long connecting may take [s]; nothing is started yet."""
        self._address, self._timeout_s = address, timeout_s
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_open = False

    def url(self) -> str:
        """Return the address of the local end, once it is open; UnreachableError with what ssh says if it does not."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="rantwin-ssh-"))  # mode 0700: nobody else's socket
            local = self._folder / "docker.sock"
            if self._process is None or self._process.poll() is not None:
                self._is_open = False
                self._begin(local)
            if not self._is_open:
                self._wait(local)
                self._is_open = True
            return f"unix://{local}"

    def close(self) -> None:
        """End ssh."""
        with self._lock:
            if self._process is not None:
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(2.0)
                self._process.kill()
                self._process.wait()
                self._process = None
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def _begin(self, local: Path) -> None:
        parts = urlsplit(self._address)
        where = f"{parts.username}@{parts.hostname}" if parts.username else str(parts.hostname)
        options = {
            "BatchMode": "yes",
            "ExitOnForwardFailure": "yes",
            "ConnectTimeout": str(max(1, int(self._timeout_s))),
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "2",
            "StreamLocalBindUnlink": "yes",
        }
        command = ["ssh", "-N", "-T", *(f"-o{key}={value}" for key, value in options.items())]
        if parts.port is not None:
            command += ["-p", str(parts.port)]
        local.unlink(missing_ok=True)
        try:
            with self._said().open("wb") as said:
                self._process = subprocess.Popen(
                    [*command, "-L", f"{local}:{parts.path or _REMOTE}", "--", where],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
        except OSError as error:
            raise UnreachableError(f"{self._address}: ssh cannot be started ({error.strerror})") from error

    def _wait(self, local: Path) -> None:
        """Wait until the local end takes connections."""
        assert self._process is not None
        until_s = time.monotonic() + self._timeout_s
        while not _answers(local):
            if self._process.poll() is not None:
                said = self._said().read_text(errors="replace").strip().splitlines()
                raise UnreachableError(f"{self._address}: ssh says {said[-1] if said else 'nothing'}")
            if time.monotonic() >= until_s:
                raise UnreachableError(f"{self._address}: ssh did not connect within {self._timeout_s:g} s")
            time.sleep(_POLL_S)

    def _said(self) -> Path:
        assert self._folder is not None
        return self._folder / "said"


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
