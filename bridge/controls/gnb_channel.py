"""The remote control of a running gNB: JSON over a WebSocket, one command at a time, and its reports beside it.

srsRAN 25.10: plain `ws://`, nobody is asked who he is, requests have no number, and one command can hang the server for
good. So a command without an answer ends the connection (a late answer must not pass for the next one's), and a gNB
that sends no report of its cells for three seconds counts as out of reach.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bridge.controls.effect import CellReport, cell_report
from bridge.telemetry.srsran import CONNECTION
from col.errors import InputError, OutcomeUnknownError, PlantError, RefusedError, UnreachableError

__all__ = ["Channel", "GnbChannel"]

SILENCE_S = 3.0
"""Reports come every second, also from a gNB that is starved of CPU."""
_KEPT = 120
_AGAIN_S = 0.5


class Channel(Protocol):
    """What the driver of remote controls needs of a gNB."""

    def request(self, command: Mapping[str, object], within_s: float) -> None:
        """Send a command; returning means acknowledged, and no more.

        RefusedError: the gNB says no. OutcomeUnknownError: it left and no answer came. UnreachableError: it did not
        leave.
        """
        ...

    def reports(self) -> tuple[CellReport, ...]:
        """Return the last reports, oldest first."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class GnbChannel:
    """A connection that a thread keeps open and listens to."""

    def __init__(self, url: str, *, now_s: Callable[[], float] = time.monotonic, silence_s: float = SILENCE_S) -> None:
        """Take `ws://HOST:PORT`; connects in the background at the first use."""
        self._url, self._now_s, self._silence_s = url, now_s, silence_s
        self._reports: deque[CellReport] = deque(maxlen=_KEPT)
        self._answers: queue.Queue[Mapping[str, Any]] = queue.Queue()
        self._turn, self._state = threading.Lock(), threading.Condition()
        self._connection: Any = None
        self._problem = "not connected yet"
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    def request(self, command: Mapping[str, object], within_s: float) -> None:
        """Send a command and wait for its answer."""
        until_s = self._now_s() + within_s
        if not self._turn.acquire(timeout=within_s):
            raise UnreachableError(f"{self._url}: another command takes too long")
        try:
            connection = self._connected(until_s)
            if self._is_silent():
                raise UnreachableError(f"{self._url}: {self._silence()}")
            while not self._answers.empty():
                self._answers.get_nowait()
            try:
                connection.send(json.dumps(command))
            except Exception as error:
                self._drop(connection, str(error))
                raise OutcomeUnknownError(f"{self._url}: {command['cmd']} may not have left: {error}") from error
            self._answer(connection, str(command["cmd"]), until_s)
        finally:
            self._turn.release()

    def reports(self) -> tuple[CellReport, ...]:
        """Return the last reports, oldest first."""
        self._start()
        with self._state:
            return tuple(self._reports)

    def close(self) -> None:
        """End the thread and the connection."""
        self._is_closed.set()
        with self._state:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    # --- commands -----------------------------------------------------------------------------------------------------

    def _answer(self, connection: Any, name: str, until_s: float) -> None:
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, until_s - self._now_s()))
            except queue.Empty:
                self._drop(connection, f"no answer to {name}")
                text = f"{self._url}: no answer to {name}; {self._silence() or 'reports still come'}"
                raise OutcomeUnknownError(text) from None
            if answer.get("cmd") not in (name, None):
                continue
            if (error := answer.get("error")) is not None:
                raise RefusedError((f"the gNB says to {name}: {error}",))
            return

    def _connected(self, until_s: float) -> Any:
        self._start()
        with self._state:
            while self._connection is None or not self._reports:
                left_s = until_s - self._now_s()
                if left_s <= 0.0 or self._is_closed.is_set():
                    why = self._problem if self._connection is None else "connected, but no report of its cells yet"
                    raise UnreachableError(f"{self._url}: {why}")
                self._state.wait(left_s)
            return self._connection

    def _is_silent(self) -> bool:
        return bool(self._silence())

    def _silence(self) -> str:
        with self._state:
            ago_s = self._now_s() - self._reports[-1].at_s if self._reports else None
        if ago_s is None or ago_s <= self._silence_s:
            return ""
        return f"no report of its cells for {ago_s:.1f} s: its control channel is dead, a restart of the gNB mends it"

    # --- the connection -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._state:
            if self._thread is None and not self._is_closed.is_set():
                _websockets()
                self._thread = threading.Thread(target=self._keep, name=f"remote control {self._url}", daemon=True)
                self._thread.start()

    def _keep(self) -> None:
        connect = _websockets()
        while not self._is_closed.is_set():
            try:
                with connect(self._url, **CONNECTION) as connection:
                    connection.send(json.dumps({"cmd": "metrics_subscribe"}))
                    self._listen(connection)
                self._drop(None, "the gNB closed the connection")
            except Exception as error:  # whatever it is, the next attempt is all there is to do
                self._drop(None, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
            self._is_closed.wait(_AGAIN_S)

    def _listen(self, connection: Any) -> None:
        for text in connection:
            try:
                message = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if not isinstance(message, dict):
                continue
            if "cmd" in message or "error" in message:
                if message.get("cmd") == "metrics_subscribe":
                    if "error" in message:
                        raise PlantError(f"the gNB sends no reports (metrics.enable_json): {message['error']}")
                    with self._state:
                        self._connection = connection
                        self._state.notify_all()
                else:
                    self._answers.put(message)
            elif (report := cell_report(message, self._now_s())) is not None:
                with self._state:
                    self._reports.append(report)
                    self._state.notify_all()

    def _drop(self, connection: Any, problem: str) -> None:
        with self._state:
            self._connection, self._problem = None, problem
        if connection is not None:
            connection.close()


def _websockets() -> Callable[..., Any]:
    try:
        from websockets.sync.client import connect
    except ImportError as error:
        text = "remote control of a gNB needs the package websockets: pip install 'rantwin[srsran]'"
        raise InputError(text) from error
    return connect
