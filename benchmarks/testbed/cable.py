"""The cable between controller and agent: a proxy on a Unix socket that can be cut, or lose what comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

__all__ = ["Cable"]


class Cable:
    """Carries bytes between who connects to `address` and the agent's socket, while it is entered."""

    def __init__(self, path: Path, agent: Path) -> None:
        self.address = f"unix:{path}"
        self._agent = agent
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen(16)
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_cut = self._is_deaf = False

    def __enter__(self) -> Cable:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.close()

    def cut(self) -> None:
        """Break every connection, let none come about."""
        with self._lock:
            self._is_cut = True
            ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def mend(self) -> None:
        """Carry again."""
        with self._lock:
            self._is_cut = self._is_deaf = False

    def lose_answers(self) -> None:
        """Go on carrying requests and lose what comes back."""
        self._is_deaf = True

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                if self._is_cut:
                    near.close()
                    continue
                far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    far.connect(str(self._agent))
                except OSError:
                    near.close()
                    far.close()
                    continue
                self._ends += [near, far]
            threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not (is_answer and self._is_deaf):
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
