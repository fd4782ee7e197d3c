"""One Docker engine: its API over a local socket, ssh or mutual TLS, with every failure put in one of our words.

Which version of the API is spoken is settled with the engine when it is first reached. No session is used by two
threads at once.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.backends.docker_tunnel import Tunnel
from bridge.inventory import HostEntry
from col.errors import InputError, OutcomeUnknownError, PlantError, RefusedError, UnreachableError

__all__ = ["Engine", "import_docker"]

_ANY_VERSION = "1.41"
"""For the client library, which would ask for the engine's with the proxies of the environment."""
_NOT_SENT = (FileNotFoundError, ConnectionRefusedError, PermissionError, NotADirectoryError, socket.gaierror)
_NOT_SENT_NAMES = ("NewConnectionError", "ConnectTimeoutError", "ConnectTimeout", "SSLError", "NameResolutionError")


def import_docker() -> Any:
    """Return the package `docker`; InputError with what to do where it is not installed."""
    try:
        import docker
    except ImportError as error:
        raise InputError("needs the package docker: pip install rantwin[docker]", key="backend.name") from error
    return docker


class Engine:
    """The engine of a host. Calls may come from several threads at once."""

    def __init__(self, host: HostEntry, timeout_s: float) -> None:
        """Take the host and how long the engine may be silent within one call [s]; nothing is connected yet."""
        self._docker = import_docker()
        self._host, self._timeout_s = host, timeout_s
        self._free: list[Any] = []
        self._lock = threading.Lock()
        self._version: str | None = None
        self._tunnel = Tunnel(host.docker, timeout_s) if host.docker.startswith("ssh://") else None

    def __str__(self) -> str:
        return f"the engine of {self._host.name} ({self._host.docker})"

    def get(self, path: str, params: Mapping[str, object] | None = None) -> Any:
        """Return what the engine answers to a question.

        Raises:
            UnreachableError: no answer, or there is no such thing.
            PlantError: an answer that makes no sense.
        """
        return self._ask("GET", path, params, None, acts=False)

    def post(self, path: str, body: object = None, params: Mapping[str, object] | None = None) -> Any:
        """Ask for something to be done.

        Raises:
            UnreachableError: the request did not leave, or there is nothing to do it to.
            OutcomeUnknownError: it left, and no answer says what became of it.
            RefusedError: the engine said no.
        """
        return self._ask("POST", path, params, body, acts=True)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            sessions, self._free = self._free, []
        for session in sessions:
            session.close()
        if self._tunnel is not None:
            self._tunnel.close()

    def _ask(self, method: str, path: str, params: Mapping[str, object] | None, body: object, *, acts: bool) -> Any:
        session = self._session()
        url = f"{session.base_url}/v{self._version}{path}"
        asked = {k: v if isinstance(v, str | int) else json.dumps(v) for k, v in (params or {}).items()}
        try:
            answer = session.request(method, url, params=asked, json=body, timeout=self._timeout_s)
            status, content = answer.status_code, answer.content
        except Exception as error:  # requests and urllib3 each have their own
            session.close()
            why = _why(error)
            if acts and not _is_not_sent(error):
                raise OutcomeUnknownError(f"{self}: no answer to {method} {path} ({why})") from error
            raise UnreachableError(f"{self} does not answer ({why})") from error
        with self._lock:
            self._free.append(session)
        return self._result(f"{method} {path}", status, content, acts=acts)

    def _result(self, what: str, status: int, content: bytes, *, acts: bool) -> Any:
        try:
            found = json.loads(content) if content.strip() else None
        except (ValueError, RecursionError) as error:
            text = f"{self}: the answer to {what} is no JSON"
            raise (OutcomeUnknownError(text) if acts else PlantError(text)) from error
        if status < 300:
            return found
        message = found.get("message") if isinstance(found, dict) else None
        text = f"{self} says to {what}: {' '.join(str(message or status).split())[:300]}"
        if status == 404 or (status == 503 and not acts):
            raise UnreachableError(text)
        if status < 500:
            raise RefusedError((text,)) if acts else PlantError(text)
        raise OutcomeUnknownError(text) if acts else UnreachableError(text)

    def _session(self) -> Any:
        """Return a session that nobody uses, connected to find out the version where that is not known yet."""
        url = self._host.docker if self._tunnel is None else self._tunnel.url()
        with self._lock:
            if self._free:
                return self._free.pop()
        try:
            session = self._docker.APIClient(
                base_url=url, version=_ANY_VERSION, timeout=self._timeout_s, tls=self._tls()
            )
            session.trust_env = False  # no proxy, and no authority but the one in the inventory
            if self._version is None:
                answer = session.get(f"{session.base_url}/version", timeout=self._timeout_s)
                self._version = str(answer.json()["ApiVersion"])
        except self._docker.errors.TLSParameterError as error:
            text = " ".join(str(error).split())
            raise InputError(text, key=f"hosts.{self._host.name}") from error
        except Exception as error:
            raise UnreachableError(f"{self} does not answer ({_why(error)})") from error
        return session

    def _tls(self) -> Any:
        files = self._host.tls
        if files is None:
            return False
        return self._docker.tls.TLSConfig(
            client_cert=(str(files.cert), str(files.key)), ca_cert=str(files.ca), verify=True
        )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what is inside of it, however its library packs it."""
    seen: list[BaseException] = []
    left: list[object] = [error]
    while left:
        found = left.pop(0)
        if isinstance(found, BaseException) and found not in seen:
            seen.append(found)
            left += [*found.args, found.__cause__, found.__context__, getattr(found, "reason", None)]
            yield found


def _is_not_sent(error: BaseException) -> bool:
    return any(isinstance(e, _NOT_SENT) or type(e).__name__ in _NOT_SENT_NAMES for e in _chain(error))


def _why(error: BaseException) -> str:
    """Return the innermost reason, in a few words."""
    for found in reversed(list(_chain(error))):
        if isinstance(found, TimeoutError) or "Timeout" in type(found).__name__:
            return "timed out"
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
