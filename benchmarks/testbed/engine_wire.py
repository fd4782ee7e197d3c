"""What stands between an agent and a Docker engine's socket, to do to its requests what engines and networks do.

Requests are passed on as they come; those that change a container (`POST .../update`) can be held, refused,
acknowledged without being passed on, carried out without an answer, or be the last thing that the engine hears.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["EngineWire"]

_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_COUNTED = ("refuse", "ack_without_effect", "reply_lost", "crash_before_apply", "crash_after_apply")
_REFUSED = json.dumps({"message": "refused, to see what becomes of it"}).encode()


class EngineWire:
    """A socket at `path`; `crash` is called when the engine has to die over a request."""

    def __init__(self, path: Path, engine: Path, crash: Callable[[], None]) -> None:
        self.path, self.address = path, f"unix://{path}"
        self._engine, self._crash = engine, crash
        self._left: dict[str, int] = {}
        self._hang_s = 0.0
        self._hangs = threading.Event()
        self._passes = threading.Event()
        self._passes.set()
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._server: socket.socket | None = None
        self.up()

    def up(self) -> None:
        """Be there: from now on connections are taken."""
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.path.unlink(missing_ok=True)
        server.bind(str(self.path))
        server.listen(64)
        self._server = server
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def down(self) -> None:
        """Be gone, as the socket of an engine that is dead: what was connected breaks, nobody connects."""
        server, self._server = self._server, None
        self.path.unlink(missing_ok=True)
        if server is not None:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
        with self._lock:
            ends, self._ends = list(self._ends), set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Let nothing pass, as an engine that stands still; requests wait."""
        self._passes.clear()

    def release(self) -> None:
        """Let everything pass again."""
        self._passes.set()

    def misbehave(self, **faults: Any) -> None:
        """Switch faults on: `hang` has `count` and `seconds`, others say how many updates they are done to."""
        with self._lock:
            for name, setting in faults.items():
                if name == "hang":
                    self._hangs.clear()
                    self._left["hang"], self._hang_s = int(setting["count"]), float(setting.get("seconds", 3600.0))
                elif name in _COUNTED:
                    self._left[name] = int(setting)
                else:
                    raise ValueError(f"no such fault: {name}")

    def behave(self) -> None:
        """Switch every fault off."""
        with self._lock:
            self._left.clear()
        self._passes.set()

    def wait_hanging(self, within_s: float) -> bool:
        """Wait until an update hangs; False if none came."""
        return self._hangs.wait(within_s)

    def _fault(self, name: str) -> bool:
        """Tell whether a fault is to be done now, which counts as one done."""
        with self._lock:
            if self._left.get(name, 0) <= 0:
                return False
            self._left[name] -= 1
            return True

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                near, _ = server.accept()
            except OSError:
                return
            with self._lock:
                self._ends.add(near)
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            far.connect(str(self._engine))
            with self._lock:
                self._ends.add(far)
            with near.makefile("rb") as asked:
                while (request := _request(asked)) and self._pass_on(request, near, far):
                    pass
        except OSError:
            pass
        finally:
            with self._lock:
                self._ends -= {near, far}
            near.close()
            far.close()

    def _pass_on(self, request: bytes, near: socket.socket, far: socket.socket) -> bool:
        """Carry a request and its answer; False where the connection ends with it."""
        self._passes.wait()
        first = request.split(b"\r\n", 1)[0]
        is_update = first.startswith(b"POST ") and first.split()[1].endswith(b"/update")
        if is_update:
            if self._fault("hang"):
                self._hangs.set()
                until = time.monotonic() + self._hang_s
                while time.monotonic() < until and self._left.get("hang") is not None:  # as long as it misbehaves
                    time.sleep(0.01)
            if self._fault("refuse"):
                near.sendall(_answer(409, b"Conflict", _REFUSED))
                return True
            if self._fault("ack_without_effect"):
                near.sendall(_answer(200, b"OK", b'{"Warnings":null}'))
                return True
            if self._fault("crash_before_apply"):
                self._crash()
                return False
        far.sendall(request)
        answer = _response(far)
        if is_update and self._fault("crash_after_apply"):
            self._crash()
            return False
        if is_update and self._fault("reply_lost"):
            return False
        self._passes.wait()
        near.sendall(answer)
        return bool(answer)


def _request(asked: Any) -> bytes:
    """Return the next request whole, nothing where there is none."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = asked.readline()
        if not line:
            return b""
        head += line
    found = _LENGTH.search(head)
    return head + (asked.read(int(found.group(1))) if found else b"")


def _response(far: socket.socket) -> bytes:
    """Return an answer whole, as it came: with its length, in chunks, or with neither."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(far)
    head, _, body = data.partition(b"\r\n\r\n")
    if (found := _LENGTH.search(head)) is not None:
        while len(body) < int(found.group(1)):
            body += _some(far)
    elif b"transfer-encoding: chunked" in head.lower():
        while not body.endswith(b"0\r\n\r\n"):
            body += _some(far)
    return head + b"\r\n\r\n" + body


def _some(far: socket.socket) -> bytes:
    data = far.recv(65536)
    if not data:
        raise ConnectionResetError("the engine ended the connection")
    return data


def _answer(status: int, reason: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, reason, len(body)) + body
