"""The emulated testbed on a Unix socket: several clients, one request at a time each, simulation paced to the clock.

One thread does everything, so requests and simulated time never meet half way: between two requests time goes on by at
most a frame, which takes milliseconds.
"""

from __future__ import annotations

import errno
import math
import os
import selectors
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from col.errors import InputError
from twin.emulated.plant import EmulatedPlant
from twin.emulated.protocol import MOST_LINE_BYTES, Answer, BadRequestError, decode, encode
from twin.emulated.requests import error_answer
from twin.live import FRAME_SLOTS

__all__ = ["Pacer", "Server", "check_free", "listen"]

MOST_CLIENTS = 32
_CHUNK = 65536
_MOST_RECEIVED = 4 * MOST_LINE_BYTES
"""A client that sends on and on while its request is being held is let go."""


@dataclass(slots=True)
class Pacer:
    """How far simulated time should be: the clock's time x speed, less what was let go because nobody could keep up."""

    speed: float
    most_behind_ms: float
    """What is further behind than this is not caught up."""
    origin_s: float
    origin_ms: int
    slipped_ms: float = 0.0

    def due_ms(self, now_s: float, at_ms: int) -> int:
        """Return how many ms are due at `now_s`, with simulated time at `at_ms`."""
        behind = self.origin_ms + (now_s - self.origin_s) * 1000.0 * self.speed - self.slipped_ms - at_ms
        if behind > self.most_behind_ms:
            self.slipped_ms += behind - self.most_behind_ms
            behind = self.most_behind_ms
        return max(0, math.floor(behind))

    def wait_s(self, due_ms: int) -> float:
        """Return the time until a frame is due."""
        return max(0.0, (FRAME_SLOTS - due_ms) / 1000.0 / self.speed)


@dataclass(frozen=True, slots=True)
class _Held:
    """A request that waits for its time, or for the hang to be told to end (another epoch)."""

    request: dict[str, Any]
    until_s: float
    epoch: int
    even_if_gone: bool

    def is_over(self, now_s: float, epoch: int) -> bool:
        return self.until_s <= now_s or self.epoch != epoch


@dataclass(slots=True)
class _Client:
    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    to_send: bytearray = field(default_factory=bytearray)
    held: _Held | None = None
    last_s: float = 0.0
    closing: bool = False


def listen(path: Path) -> socket.socket:
    """Return a listening socket at a path that only its owner can reach (0600); a dead one there is taken over.

    Raises:
        InputError: somebody answers there, something else is there, or the path is not usable.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        check_free(path)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(MOST_CLIENTS)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise InputError(f"cannot be listened on ({reason})", key="socket", value=str(path)) from error
    except InputError:
        listener.close()
        raise
    return listener


def check_free(path: Path) -> None:
    """Raise InputError unless a socket can be made at the path; one that nobody serves any more is removed."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InputError("is there already and is no socket", key="socket", value=str(path))
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1.0)
    try:
        probe.connect(str(path))
    except OSError as error:
        if error.errno != errno.ECONNREFUSED:
            raise
        path.unlink()
    else:
        raise InputError("another process serves there", key="socket", value=str(path))
    finally:
        probe.close()


class Server:
    """Serves a plant on a listening socket until one of `stop_fds` becomes readable."""

    def __init__(
        self,
        plant: EmulatedPlant,
        listener: socket.socket,
        *,
        speed: float,
        window_ms: int,
        stop_fds: tuple[int, ...],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plant, self._listener, self._stop_fds, self._monotonic = plant, listener, stop_fds, monotonic
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, _Client] = {}
        self._ready: set[int] = set()
        self._orphans: list[_Held] = []  # to be done though nobody waits for the answer
        self._pacer: Pacer | None = None
        if speed > 0:
            most = max(2.0 * window_ms, 1000.0 * speed)
            self._pacer = Pacer(speed=speed, most_behind_ms=most, origin_s=monotonic(), origin_ms=plant.now_ms)

    def run(self) -> None:
        """Serve; returns when told to stop. A crash that was asked for passes through as CrashRequestedError."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        for fd in self._stop_fds:
            self._selector.register(fd, selectors.EVENT_READ)
        try:
            while True:
                for key, mask in self._selector.select(self._timeout()):
                    if key.fd in self._stop_fds:
                        return
                    if key.fileobj is self._listener:
                        self._accept()
                    elif (client := self._clients.get(key.fd)) is not None:
                        self._serve(client, mask)
                for fd in list(self._ready):
                    self._work(self._clients[fd])
                self._answer_held()
                self._simulate()
        finally:
            for client in list(self._clients.values()):
                self._drop(client)
            self._selector.close()

    def _timeout(self) -> float | None:
        if self._ready:
            return 0.0
        held = [*self._orphans, *(client.held for client in self._clients.values() if client.held is not None)]
        waits = [request.until_s - self._monotonic() for request in held]
        if self._pacer is not None:
            waits.append(self._pacer.wait_s(self._pacer.due_ms(self._monotonic(), self._plant.now_ms)))
        wait = min(waits, default=math.inf)
        return None if math.isinf(wait) else max(0.0, wait)

    def _simulate(self) -> None:
        """Let what is due pass, a frame at most: whoever asks meanwhile waits no longer than that."""
        if self._pacer is None:
            return
        due = self._pacer.due_ms(self._monotonic(), self._plant.now_ms)
        if due >= FRAME_SLOTS:
            self._plant.advance(FRAME_SLOTS)
            due -= FRAME_SLOTS
        self._plant.status = {"behind_s": due / 1000.0, "slipped_s": self._pacer.slipped_ms / 1000.0}

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= MOST_CLIENTS:  # whoever has been silent longest makes room
            self._drop(min(self._clients.values(), key=lambda client: client.last_s))
        connection.setblocking(False)
        client = _Client(connection=connection, last_s=self._monotonic())
        self._clients[connection.fileno()] = client
        self._selector.register(connection, selectors.EVENT_READ)

    def _drop(self, client: _Client) -> None:
        self._clients.pop(client.connection.fileno(), None)
        self._ready.discard(client.connection.fileno())
        self._selector.unregister(client.connection)
        client.connection.close()
        if client.held is not None and client.held.even_if_gone and len(self._orphans) < MOST_CLIENTS:
            self._orphans.append(client.held)
        client.held = None

    def _serve(self, client: _Client, mask: int) -> None:
        client.last_s = self._monotonic()
        try:
            if mask & selectors.EVENT_READ:
                data = client.connection.recv(_CHUNK)
                if not data:  # a request that was held for it goes with it
                    self._drop(client)
                    return
                client.received += data
                if len(client.received) > _MOST_RECEIVED:
                    self._drop(client)
                    return
            if mask & selectors.EVENT_WRITE and client.to_send:
                del client.to_send[: client.connection.send(client.to_send)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(client)
            return
        self._work(client)

    def _work(self, client: _Client) -> None:
        """Answer one request if there is one and the last answer has left; who has more waiting gets another turn."""
        self._ready.discard(client.connection.fileno())
        if not client.to_send and client.held is None and not client.closing:
            line, newline, rest = client.received.partition(b"\n")
            if len(line) > MOST_LINE_BYTES:
                self._reply(client, error_answer({}, "bad_request", f"longer than {MOST_LINE_BYTES} bytes"))
                client.closing = True
            elif newline:
                client.received = bytearray(rest)
                if line.strip():
                    self._request(client, bytes(line))
        if client.connection.fileno() >= 0:
            self._flush(client)

    def _request(self, client: _Client, line: bytes) -> None:
        try:
            request = decode(line)
        except BadRequestError as error:
            self._reply(client, error_answer({}, "bad_request", str(error)))
            return
        setting = self._plant.holds(request["op"])
        if setting is None:
            self._reply(client, self._plant.handle(request))
            return
        until_s = math.inf if setting.seconds is None else self._monotonic() + setting.seconds
        client.held = _Held(request, until_s, self._plant.hang_epoch, setting.even_if_gone)

    def _answer_held(self) -> None:
        """Carry out requests that were held long enough, or whose hang was switched off."""
        now, epoch = self._monotonic(), self._plant.hang_epoch
        due = [held for held in self._orphans if held.is_over(now, epoch)]
        self._orphans = [held for held in self._orphans if held not in due]
        for held in due:
            self._plant.handle(held.request)
        for client in list(self._clients.values()):
            if client.held is not None and client.held.is_over(now, epoch):
                request, client.held = client.held.request, None
                self._reply(client, self._plant.handle(request))
                if client.connection.fileno() >= 0:
                    self._work(client)

    def _reply(self, client: _Client, answer: Answer) -> None:
        if answer.body is None:
            self._drop(client)
            return
        client.to_send += encode(answer.body)

    def _flush(self, client: _Client) -> None:
        """Send what can be sent now; while something is left nothing more is read from this client."""
        try:
            while client.to_send:
                del client.to_send[: client.connection.send(client.to_send[:_CHUNK])]
        except (BlockingIOError, InterruptedError):
            self._selector.modify(client.connection, selectors.EVENT_WRITE)
            return
        except OSError:
            self._drop(client)
            return
        if client.closing:
            self._drop(client)
            return
        self._selector.modify(client.connection, selectors.EVENT_READ)
        if client.held is None and b"\n" in client.received:
            self._ready.add(client.connection.fileno())
