"""The agent beside a testbed: one engine, one gRPC server, and an orderly end.

Calls of the testbed service are authenticated one by one (`auth`). Health, and reflection where it is switched on,
answer whoever can connect: they show that the agent is there and what can be asked, and nothing of the testbed but
whether it can be reached.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bridge.agent_config import AgentConfig
from bridge.agent_loop import AgentLoop, EngineLike
from bridge.auth import Address, authenticator, parse_address, server_credentials
from bridge.backends.base import Backend
from bridge.clock import Clock, SystemClock
from bridge.service import MOST_STREAMS, NAME, Service, handler_of
from bridge.telemetry.publishing import Publishing
from col.errors import InputError, RantwinError

__all__ = ["LINK", "SERVICE", "Agent", "run_agent"]

log = logging.getLogger(__name__)

SERVICE = NAME
"""Health of the agent itself: it answers."""
LINK = "rantwin.testbed.link"
"""Health of the agent's connection to its testbed."""

MOST_CALLS = MOST_STREAMS + 16
MOST_MESSAGE_BYTES = 4 * 1024 * 1024
MOST_ANSWER_BYTES = 32 * 1024 * 1024
GRACE_S = 3.0

_OPTIONS = (
    ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MOST_ANSWER_BYTES),
    ("grpc.max_concurrent_streams", 2 * MOST_CALLS),
    ("grpc.so_reuseport", 0),  # two agents on one port would share its peers out between them
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 2_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 2_000),
)


class Agent:
    """A running agent; `start` returns the address, `stop` ends it in order. `backend` and `clock` for tests."""

    def __init__(self, config: AgentConfig, *, backend: Backend | None = None, clock: Clock | None = None) -> None:
        self._config = config
        self._address = parse_address(config.listen, key="listen")
        self._authenticate = authenticator(config)
        self._clock = clock or SystemClock()
        self._backend = backend
        self._loop: AgentLoop | None = None
        self._server: Any = None
        self._health: Any = None
        self._bound: int | None = None
        self.metrics: Any = None
        self._publishing: Publishing | None = None

    @property
    def loop(self) -> AgentLoop:
        """The thread that owns the engine, once started."""
        assert self._loop is not None
        return self._loop

    def start(self) -> str:
        """Recover, serve, and return the address to connect to; errors as of `run_agent`."""
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> str:
        config = self._config
        reflect = _reflection() if config.reflection else None
        loop = AgentLoop(self._engine(), poll_s=config.poll_s)
        self._health = health.HealthServicer(
            experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(2)
        )
        self._set_health(SERVICE, False)
        self._set_health(LINK, False)
        loop.observers.append(self._watch_link())
        if config.metrics_listen:
            from bridge.telemetry.prometheus import Metrics

            self.metrics = Metrics(parse_address(config.metrics_listen, key="metrics_listen"))
            loop.observers.append(self.metrics.observe)
        if config.publish:
            from bridge.telemetry.kafka import make_publisher

            self._publishing = Publishing(make_publisher(config.publish))
            loop.observers.append(self._publishing.observe)
        self._loop = loop
        loop.start()
        self._server = grpc.server(
            ThreadPoolExecutor(MOST_CALLS, thread_name_prefix="rantwin-rpc"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=2 * MOST_CALLS,
        )
        self.service = Service(loop, self._authenticate)
        self._server.add_generic_rpc_handlers((handler_of(self.service),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflect is not None:
            reflect((SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name), self._server)
        address = self._listen()
        self._server.start()
        self._set_health(SERVICE, True)
        self._set_health("", True)
        return address

    def stop(self) -> None:
        """Say NOT_SERVING, end streams and calls, bring a trial back, close journal and testbed."""
        if self._health is not None:
            self._health.enter_graceful_shutdown()
        if self._loop is not None:
            self._loop.end_streams()
        if self._server is not None:
            self._server.stop(GRACE_S).wait(GRACE_S + 2.0)
        if self._loop is not None:
            self._loop.stop()
        if self._publishing is not None:
            self._publishing.close()
        if self.metrics is not None:
            self.metrics.close()
        if self._bound is not None and self._address.path is not None:
            with contextlib.suppress(OSError):
                if self._address.path.lstat().st_ino == self._bound:  # not another agent's by now
                    self._address.path.unlink()

    def _engine(self) -> EngineLike:
        from bridge.engine import Engine
        from bridge.gate import check
        from bridge.journal import Journal

        config = self._config
        config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        backend = self._backend or _backend(config)
        with contextlib.ExitStack() as undo:
            undo.callback(backend.close)
            journal = Journal(config.journal, self._clock)
            undo.callback(journal.close)
            engine = Engine(backend, journal, check, config.engine, self._clock)
            undo.pop_all()
        return engine

    def _watch_link(self) -> Callable[[EngineLike], None]:
        linked: bool | None = None

        def observe(engine: EngineLike) -> None:
            nonlocal linked
            try:
                now = engine.status().reading is not None
            except RantwinError:
                now = False
            if now is not linked:
                linked = now
                self._set_health(LINK, now)

        return observe

    def _set_health(self, service: str, is_serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.ServingStatus
        self._health.set(service, status.SERVING if is_serving else status.NOT_SERVING)

    def _listen(self) -> str:
        address, tls = self._address, self._config.tls
        if address.path is not None:
            self._bound = _listen_privately(self._server, address.path)
            return address.target
        try:
            if tls is not None:
                port = self._server.add_secure_port(address.target, server_credentials(tls))
            else:
                port = self._server.add_insecure_port(address.target)
        except RuntimeError as error:
            raise InputError(f"cannot listen there: {error}", key="listen", value=address.target) from error
        return Address(host=address.host, port=port).target


def _backend(config: AgentConfig) -> Backend:
    from bridge.backends.registry import load_backend

    return load_backend(config.backend, config.backend_options, config.engine.call_timeout_s)


def _reflection() -> Callable[..., None]:
    try:
        from grpc_reflection.v1alpha import reflection
    except ImportError as error:
        raise InputError(
            "needs the package grpcio-reflection: pip install rantwin[reflection]", key="reflection"
        ) from error
    return reflection.enable_server_reflection  # type: ignore[no-any-return]


def _listen_privately(server: Any, path: Path) -> int:
    """Bind a Unix socket that is never open to others, not even between its creation and a chmod; return its inode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() or path.is_symlink():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise InputError("is there already and is no socket", key="listen", value=str(path))
        if _answers(path):
            raise InputError("another agent listens there", key="listen", value=str(path))
        path.unlink()
    mask = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise InputError(f"cannot listen there: {error}", key="listen", value=str(path)) from error
    finally:
        os.umask(mask)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise InputError(f"the socket came out with mode {mode:04o}", key="listen", value=str(path))
    path.chmod(0o600)
    return path.stat().st_ino


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True


def run_agent(config: AgentConfig, ready: Callable[[str], None], *, backend: Backend | None = None) -> None:
    """Serve until SIGTERM or SIGINT; call `ready` with the address (`unix:PATH` or `HOST:PORT`) once it answers.

    `backend` is for tests; else it is the one that the configuration names.

    Raises:
        InputError: the configuration cannot be served as it is (address taken, files missing, TLS needed).
        UnreachableError: the state folder belongs to another agent that runs.
    """
    ended = threading.Event()
    with _signals(ended.set):
        agent = Agent(config, backend=backend)
        address = agent.start()
        try:
            ready(address)
            ended.wait()
        finally:
            agent.stop()


@contextlib.contextmanager
def _signals(end: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        end()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
