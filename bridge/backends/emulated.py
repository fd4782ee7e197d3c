"""The emulated testbed as a backend: JSON lines over its Unix socket (docs/emulated.md), every call bounded in time.

A connection is kept between calls and made anew whenever there was any doubt about it.
"""

from __future__ import annotations

import json
import math
import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bridge.backends.base import BackendDescription, Reading
from col.errors import InputError, OutcomeUnknownError, PlantError, RefusedError, UnreachableError
from col.plant import Control, Metric, MetricKind, PlantDescription, Windows

__all__ = ["EmulatedBackend", "make_backend"]

PROTOCOL = 1
_MOST_ANSWER_BYTES = 64 * 1024 * 1024
_CHUNK = 1 << 18


def make_backend(config: Mapping[str, object], call_timeout_s: float) -> EmulatedBackend:
    """Return the backend that `[backend] name = "emulated"` describes; its key is `socket`, a path.

    Raises:
        InputError: a key is missing, unknown or of the wrong kind.
    """
    for key in config:
        if key not in ("name", "socket"):
            raise InputError("no such key; the emulated backend has `socket`", key=f"backend.{key}")
    path = config.get("socket")
    if not isinstance(path, str) or not path:
        raise InputError("must be the path of the testbed's socket", key="backend.socket", value=path)
    return EmulatedBackend(path, call_timeout_s)


class EmulatedBackend:
    """A testbed behind a Unix socket. Calls may come from several threads; they are made one after the other."""

    def __init__(self, path: str, call_timeout_s: float) -> None:
        """Take the socket's path and how long a call may take in seconds; nothing is connected yet."""
        if not 0.0 < call_timeout_s <= 3600.0:
            raise InputError("must be above 0 and at most 3600", key="call_timeout_s", value=call_timeout_s)
        self._path, self._call_timeout_s = path, call_timeout_s
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()
        self._last_id = 0

    def describe(self) -> BackendDescription:
        """Return what the testbed is."""
        with _sensible("describe"):
            return _description(self._ask("describe"))

    def read(self) -> Reading:
        """Return what is in force now, read from the simulated plant itself."""
        with _sensible("read"):
            return _reading(self._ask("read"))

    def apply(self, values: Mapping[str, float], *, settle_s: float) -> Reading:
        """Set the named controls; the answer is what the testbed claims."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise RefusedError((f"{name} = {value}: must be a finite number",))
        request = {"values": {name: float(value) for name, value in values.items()}, "settle_s": float(settle_s)}
        answer = self._ask("apply", acts=True, **request)
        try:
            with _sensible("apply"):
                return _reading(answer)
        except PlantError as error:  # something was done; what, only reading back can tell
            raise OutcomeUnknownError(f"the testbed's answer to apply makes no sense: {error}") from error

    def set_automation(self, enabled: bool) -> None:
        """Suspend the testbed's autoscaler, or let it go on."""
        self._ask("automation", acts=True, enabled=enabled)

    def windows(self, since: int, limit: int) -> Windows:
        """Return closed windows in order; rows that the testbed sends twice count once."""
        with _sensible("windows"):
            return _windows(self._ask("windows", since=since, limit=limit), since, limit)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    # --- the wire -----------------------------------------------------------------------------------------------------

    def _ask(self, op: str, *, acts: bool = False, **arguments: object) -> Mapping[str, Any]:
        """Send one request and return its answer, all within the call's time.

        Raises:
            UnreachableError: the request did not leave as a whole, or asked for nothing to be done and got no answer.
            OutcomeUnknownError: a request that acts left and no answer came.
            RefusedError, PlantError: the testbed says no, or makes no sense.
        """
        until = time.monotonic() + self._call_timeout_s
        if not self._lock.acquire(timeout=self._call_timeout_s):
            raise UnreachableError(f"{self._path}: another call takes too long")
        try:
            self._last_id += 1
            line = json.dumps({"op": op, "id": self._last_id, **arguments}, allow_nan=False).encode() + b"\n"
            try:
                connection = self._connect(until)
                connection.settimeout(_left(until))
                connection.sendall(line)
            except OSError as error:
                # Whatever part of the line was sent, it ends with the connection: the testbed acts on whole lines.
                self._disconnect()
                raise UnreachableError(f"{self._path}: {_why(error)}") from error
            try:
                answer = _answer(self._receive(connection, until))
                if answer.get("id", self._last_id) != self._last_id:
                    raise PlantError(f"{self._path}: answers another request")
            except OSError as error:
                self._disconnect()
                if acts:
                    raise OutcomeUnknownError(f"{self._path}: no answer to {op} ({_why(error)})") from error
                raise UnreachableError(f"{self._path}: no answer to {op} ({_why(error)})") from error
            except PlantError as error:
                self._disconnect()
                if acts:
                    raise OutcomeUnknownError(f"{self._path}: no sensible answer to {op} ({error})") from error
                raise
        finally:
            self._lock.release()
        if answer.get("ok") is True:
            return answer
        return _raise(answer, acts=acts)

    def _connect(self, until: float) -> socket.socket:
        """Return a connection on which nothing is waiting to be read: an idle one that does is closed or confused."""
        if self._connection is not None:
            if not select.select([self._connection], [], [], 0.0)[0]:
                return self._connection
            self._disconnect()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_left(until))
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _receive(self, connection: socket.socket, until: float) -> bytes:
        received = bytearray()
        while True:
            connection.settimeout(_left(until))
            data = connection.recv(_CHUNK)
            if not data:
                raise ConnectionResetError("connection closed")
            received += data
            if data.endswith(b"\n"):
                return bytes(received)
            if len(received) > _MOST_ANSWER_BYTES:
                raise PlantError(f"{self._path}: the answer is longer than {_MOST_ANSWER_BYTES} bytes")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _sensible:
    """Turns whatever goes wrong while an answer is taken apart into a PlantError."""

    def __init__(self, op: str) -> None:
        self._op = op

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError | OverflowError | InputError):
            text = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise PlantError(f"the testbed's answer to {self._op} makes no sense: {text}") from error


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0.0:
        raise TimeoutError
    return left


def _why(error: OSError) -> str:
    return "timed out" if isinstance(error, TimeoutError) else (error.strerror or str(error))


def _answer(line: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PlantError("the testbed's answer is no line of JSON") from error
    if not isinstance(answer, dict):
        raise PlantError("the testbed's answer is no object")
    return answer


def _raise(answer: Mapping[str, Any], *, acts: bool) -> Mapping[str, Any]:
    """Raise what an answer without `ok` says."""
    error = answer.get("error")
    code, message = (error.get("code"), str(error.get("message"))) if isinstance(error, dict) else (None, "no reason")
    if code == "refused" or (acts and code == "bad_request"):
        raise RefusedError((message,))
    if acts:
        raise OutcomeUnknownError(f"the testbed says neither yes nor no: {message}")
    raise PlantError(f"the testbed cannot do that: {message}")


def _number(value: object) -> float:
    """Return a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{value!r} is no list of names")
    return tuple(cast(Sequence[str], value))


def _description(answer: Mapping[str, Any]) -> BackendDescription:
    if answer["protocol"] != PROTOCOL:
        raise ValueError(f"protocol {answer['protocol']!r}, must be {PROTOCOL}")
    controls = tuple(
        Control(
            name=str(c["name"]),
            unit=str(c["unit"]),
            lower=_number(c["lower"]),
            upper=_number(c["upper"]),
            resolution=_number(c["resolution"]),
            reference=_number(c["reference"]),
            live=c["live"] is True,
            description=str(c["description"]),
        )
        for c in answer["controls"]
    )
    metrics = tuple(
        Metric(name=str(m["name"]), unit=str(m["unit"]), kind=MetricKind(m["kind"]), description=str(m["description"]))
        for m in answer["metrics"]
    )
    plant = PlantDescription(
        plant_id=str(answer["plant_id"]),
        controls=controls,
        metrics=metrics,
        window_s=_number(answer["window_s"]),
        wall_window_s=_number(answer["wall_window_s"]),
        emulated=answer["emulated"] is True,
        notes=_names(answer["notes"]),
    )
    return BackendDescription(
        plant=plant,
        stack=str(answer["stack"]),
        radio_mode=str(answer["radio_mode"]),
        gnbs={str(gnb): _names(names) for gnb, names in answer["gnbs"].items()},
        gnb_metrics={str(gnb): _names(names) for gnb, names in answer["gnb_metrics"].items()},
        estimated=frozenset(_names(answer["estimated"])),
    )


def _reading(answer: Mapping[str, Any]) -> Reading:
    return Reading(
        controls={str(name): _number(value) for name, value in answer["controls"].items()},
        at_s=_number(answer["at_s"]),
        next_sequence=_whole(answer["next_sequence"]),
        automation=answer["automation"] is True,
    )


def _windows(answer: Mapping[str, Any], since: int, limit: int) -> Windows:
    """Return the table, in order, each number once (its first row counts), nothing before `since`."""
    numbers = np.array([_whole(value) for value in answer["sequence"]], dtype=np.int64)
    _, first = np.unique(numbers, return_index=True)
    rows = np.array([row for row in first if numbers[row] >= since][:limit], dtype=np.intp)

    def column(values: Sequence[object]) -> NDArray[np.float64]:
        if len(values) != len(numbers):
            raise ValueError(f"a column has {len(values)} rows, must have {len(numbers)}")
        if not {type(value) for value in values} <= {int, float, type(None)}:
            raise ValueError("a column has something else than numbers")
        numbers_or_nan = np.array(values, dtype=np.float64)  # null becomes NaN
        if np.any(np.isinf(numbers_or_nan)):
            raise ValueError("a column has a number that is not finite")
        return numbers_or_nan[rows]

    return Windows(
        sequence=numbers[rows],
        start_s=column(answer["start_s"]),
        end_s=column(answer["end_s"]),
        run=np.array([_whole(value) for value in answer["run"]], dtype=np.int64)[rows],
        controls={str(name): column(values) for name, values in answer["controls"].items()},
        metrics={str(name): column(values) for name, values in answer["metrics"].items()},
    )
