"""A connection to an agent: calls and streams with a time limit each, retried where asking twice acts once."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bridge.auth import check_exposure, parse_address, read_token
from bridge.status import described_error, error_of
from col.errors import InputError, OutcomeUnknownError, PlantError, RantwinError, UnreachableError
from protos.rantwin.testbed.v1.testbed_service_pb2_grpc import TestbedServiceStub

__all__ = ["Credentials", "Link"]

T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
MOST_MESSAGE_BYTES = 32 * 1024 * 1024

_OPTIONS = (
    ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.absolute_max_metadata_size", 128 * 1024),
    ("grpc.enable_http_proxy", 0),  # a testbed is never reached through the proxy of the web
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How a client proves who it is: nothing for a Unix socket, a token file on loopback, else TLS files (all three).

    `server_name` is the name in the agent's certificate where it differs from the address.
    """

    token_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str = ""


class Link:
    """A channel to the agent at `address`; errors come out as ours."""

    def __init__(self, address: str, credentials: Credentials, *, timeout_s: float, connect_s: float) -> None:
        self.address, self._timeout_s, self._connect_s = address, timeout_s, connect_s
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._channel = self._open(address, credentials)
        self._stub = TestbedServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._closed = threading.Event()
        self._is_proven = False

    def close(self) -> None:
        """Close the connection; calls in flight end."""
        self._closed.set()
        self._channel.close()

    def read(self, method: str, request: Any, decode: Callable[[Any], T]) -> T:
        """Make a call that changes nothing, again and again while nobody answers, within the time limit."""
        answer = self._repeat(method, request, is_write=False)
        try:
            return decode(answer)
        except InputError as error:
            raise PlantError(f"the agent's answer makes no sense: {error}") from error

    def write(
        self,
        method: str,
        request: Any,
        decode: Callable[[Any], T],
        *,
        is_repeatable: bool = True,
        most_s: float = math.inf,
    ) -> T:
        """Make a call that changes something.

        Raises:
            UnreachableError: it was never sent.
            OutcomeUnknownError: it may have been, and no answer that makes sense came.
        """
        if not is_repeatable or not self._is_proven:
            self._connect()
        if is_repeatable:
            answer = self._repeat(method, request, is_write=True, most_s=most_s)
        else:
            try:
                answer = self._once(method, request, is_write=True, timeout_s=self._timeout_s)
            except _NoAnswerError as error:
                raise error.ours from error
        try:
            return decode(answer)
        except InputError as error:
            raise OutcomeUnknownError(f"the agent's answer makes no sense: {error}") from error

    def stream(self, method: str, request: Any, *, silence_s: float) -> Iterator[Any]:
        """Yield the messages of one stream; UnreachableError when it breaks or is silent for longer than it may be."""
        messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            call = getattr(self._stub, method)(request, metadata=self._metadata, timeout=None)
        except ValueError as error:
            raise UnreachableError("the connection is closed") from error
        end = object()

        def pump() -> None:
            try:
                for message in call:
                    messages.put(message)
                messages.put(end)
            except grpc.RpcError as error:
                messages.put(error)
            except BaseException as error:
                messages.put(UnreachableError(f"the stream broke: {error!r}"))

        threading.Thread(target=pump, name="rantwin-stream", daemon=True).start()
        try:
            while True:
                try:
                    message = messages.get(timeout=silence_s)
                except queue.Empty:
                    raise UnreachableError(f"the agent has been silent for {silence_s:g} s") from None
                if message is end:
                    return
                if isinstance(message, grpc.RpcError):
                    raise error_of(message, is_write=False)
                if isinstance(message, RantwinError):
                    raise message
                self._is_proven = True
                yield message
        finally:
            call.cancel()

    def pause(self, seconds: float) -> None:
        """Wait, unless the link is closed meanwhile: then UnreachableError."""
        if self._closed.wait(seconds):
            raise UnreachableError("the connection is closed")

    def _repeat(self, method: str, request: Any, *, is_write: bool, most_s: float = math.inf) -> Any:
        began_s = time.monotonic()
        until_s = began_s + min(self._timeout_s, most_s)
        # Where nobody answered the last time, if ever, trying again is not worth the whole time limit.
        again_s = until_s if self._is_proven else min(until_s, began_s + self._connect_s)
        pause_s = FIRST_PAUSE_S
        while True:
            left_s = until_s - time.monotonic()
            try:
                return self._once(method, request, is_write=is_write, timeout_s=max(left_s, 0.001))
            except _NoAnswerError as error:
                if time.monotonic() + pause_s >= again_s:
                    raise error.ours from error
            self.pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _once(self, method: str, request: Any, *, is_write: bool, timeout_s: float) -> Any:
        try:
            answer = getattr(self._stub, method)(request, metadata=self._metadata, timeout=timeout_s)
        except ValueError as error:
            raise UnreachableError("the connection is closed") from error
        except grpc.RpcError as error:
            self._is_proven = False
            ours = error_of(error, is_write=is_write)
            is_silent = isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.UNAVAILABLE
            if is_silent and described_error(error) is None:
                raise _NoAnswerError(ours) from error
            raise ours from error
        self._is_proven = True
        return answer

    def _connect(self) -> None:
        """Make sure that there is a connection, so that a failure to connect is never taken for a lost answer."""
        until_s = time.monotonic() + self._connect_s
        while True:
            left_s = max(until_s - time.monotonic(), 0.001)
            try:
                self._health.Check(health_pb2.HealthCheckRequest(), metadata=self._metadata, timeout=left_s)
                return
            except ValueError as error:
                raise UnreachableError("the connection is closed") from error
            except grpc.RpcError as error:
                code = error.code() if isinstance(error, grpc.Call) else None
                if code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    return  # somebody answers
                if time.monotonic() + FIRST_PAUSE_S >= until_s:
                    text = str(error_of(error, is_write=False))
                    text = text if self.address in text else f"{self.address}: {text}"
                    raise UnreachableError(f"{text}; nothing was sent") from error
            self.pause(FIRST_PAUSE_S)

    def _open(self, address: str, credentials: Credentials) -> Any:
        where, c = parse_address(address), credentials
        files = (c.ca, c.cert, c.key)
        if any(files) and not all(files):
            raise InputError("TLS needs all three: ca, cert and key", key="credentials")
        has_tls = all(files)
        check_exposure(where, tls=has_tls, token=c.token_file is not None, key="address")
        if not has_tls:
            if c.token_file is not None and where.path is None:
                self._metadata = (("authorization", f"Bearer {read_token(c.token_file).decode('ascii')}"),)
            return grpc.insecure_channel(where.target, options=_OPTIONS)
        read = []
        for path in files:
            assert path is not None
            try:
                read.append(path.read_bytes())
            except OSError as error:
                raise InputError(f"cannot be read: {error.strerror}", source=str(path)) from error
        tls = grpc.ssl_channel_credentials(root_certificates=read[0], certificate_chain=read[1], private_key=read[2])
        name = (("grpc.ssl_target_name_override", c.server_name),) if c.server_name else ()
        return grpc.secure_channel(where.target, tls, options=(*_OPTIONS, *name))


class _NoAnswerError(Exception):
    """The connection failed, not the agent: the same call may be made again if that acts once."""

    def __init__(self, ours: RantwinError) -> None:
        super().__init__(str(ours))
        self.ours = ours
