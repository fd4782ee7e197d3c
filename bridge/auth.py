"""Who a peer is and what it may do: by Unix socket, by token on loopback, by certificate everywhere else.

What each can prove. A Unix socket of mode 0600 lets its owner and root connect and nobody else, so whoever gets through
is one of the two; gRPC does not show which process (SO_PEERCRED) it was. A token says that the peer could read the
token file. A client certificate names its holder, as its authority says.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.agent_config import AgentConfig, Tls
from bridge.identity import Identity, Role
from col.errors import InputError, RefusedError

__all__ = [
    "Address",
    "Authenticate",
    "NotAllowedError",
    "NotAuthenticatedError",
    "authenticator",
    "check_exposure",
    "parse_address",
    "read_token",
    "require_operator",
    "server_credentials",
]

Authenticate = Callable[[Any], Identity]
"""From the context of a call to who makes it; raises NotAuthenticatedError or NotAllowedError."""

LEAST_TOKEN_BYTES = 16
MOST_TOKEN_BYTES = 4096


class NotAuthenticatedError(RefusedError):
    """The peer has not shown who it is."""


class NotAllowedError(RefusedError):
    """The peer may not do this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an agent listens: a Unix socket's path, or host and port."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @property
    def target(self) -> str:
        """The address as gRPC takes it."""
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path is not None:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            pass
        if self.host != "localhost":  # a name that anybody may point elsewhere tomorrow
            return False
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


def parse_address(text: str, *, source: str = "", key: str = "address") -> Address:
    """Read `unix:PATH` or `HOST:PORT`; InputError otherwise."""
    if text.startswith("unix:"):
        path = Path(text.removeprefix("unix:"))
        if not path.name or len(os.fsencode(path)) > 100:
            raise InputError("needs a path of at most 100 bytes behind 'unix:'", source=source, key=key, value=text)
        return Address(path=path)
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise InputError("must be unix:PATH or HOST:PORT", source=source, key=key, value=text)
    return Address(host=host, port=int(port))


def check_exposure(address: Address, *, tls: bool, token: bool, source: str = "", key: str = "listen") -> None:
    """Raise InputError for an address that would let in whoever asks, or tell everybody on the way what is said."""
    if tls:
        if address.path is not None:
            raise InputError("a Unix socket needs no [tls]", source=source, key=key, value=address.target)
    elif not address.is_loopback:
        raise InputError(
            "beyond loopback needs [tls] with cert, key and client_ca", source=source, key=key, value=address.target
        )
    elif address.path is None and not token:
        raise InputError("on loopback needs token_file (or [tls])", source=source, key=key, value=address.target)


def read_token(path: Path) -> bytes:
    """Return the token of a file that its owner alone may read; InputError otherwise."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        token = path.read_bytes()[: MOST_TOKEN_BYTES + 1].strip()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=str(path)) from error
    if mode & 0o077:
        raise InputError(f"has mode {mode:04o}, others may use it: chmod 600 {path}", source=str(path))
    if not LEAST_TOKEN_BYTES <= len(token) <= MOST_TOKEN_BYTES or not token.isascii() or b"\n" in token:
        raise InputError(f"must hold one line of {LEAST_TOKEN_BYTES} ASCII characters or more", source=str(path))
    return token


def authenticator(config: AgentConfig) -> Authenticate:
    """Return how this agent finds out who its peers are; reads the token."""
    address = parse_address(config.listen, key="listen")
    check_exposure(address, tls=config.tls is not None, token=config.token_file is not None)
    if config.tls is not None:
        return _by_certificate(config.tls)
    if address.path is None and config.token_file is not None:
        return _by_token(read_token(config.token_file))
    owner = Identity(
        name=f"uid {os.getuid()}", role=Role.OPERATOR, proof="could open the Unix socket (mode 0600: owner or root)"
    )
    return lambda _: owner


def _by_token(token: bytes) -> Authenticate:
    name = f"token {hashlib.sha256(token).hexdigest()[:8]}"
    identity = Identity(name=name, role=Role.OPERATOR, proof="token over loopback")
    expected = b"Bearer " + token

    def authenticate(context: Any) -> Identity:
        given = [value for key, value in context.invocation_metadata() if key == "authorization"]
        shown = given[0] if len(given) == 1 else ""
        shown = shown if isinstance(shown, bytes) else shown.encode("utf-8", "replace")
        if not hmac.compare_digest(shown, expected):
            raise NotAuthenticatedError(("needs the agent's token ('authorization: Bearer ...')",))
        return identity

    return authenticate


def _by_certificate(tls: Tls) -> Authenticate:
    def authenticate(context: Any) -> Identity:
        found = context.auth_context()
        names = [
            raw.decode("utf-8", "replace")
            for key in ("x509_common_name", "x509_subject_alternative_name")
            for raw in found.get(key, ())
        ]
        if not names or found.get("transport_security_type", [b""])[0] != b"ssl":
            raise NotAuthenticatedError(("needs a client certificate with a name",))
        for role, allowed in ((Role.OPERATOR, tls.operators), (Role.VIEWER, tls.viewers)):
            for name in names:
                if name in allowed:
                    return Identity(name=name, role=role, proof="client certificate")
        raise NotAllowedError((f"{names[0][:100]!r} is neither among operators nor among viewers",))

    return authenticate


def require_operator(who: Identity) -> None:
    """Raise NotAllowedError unless this peer may change the testbed."""
    if not who.may_operate:
        raise NotAllowedError((f"{who.name} may look at this testbed, not change it",))


def server_credentials(tls: Tls) -> Any:
    """Return gRPC's server credentials, which let in only peers whose certificate the authority has signed."""
    import grpc

    read = {}
    for key, path in (("cert", tls.cert), ("key", tls.key), ("client_ca", tls.client_ca)):
        try:
            read[key] = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", source=str(path), key=f"tls.{key}") from error
    return grpc.ssl_server_credentials(
        [(read["key"], read["cert"])], root_certificates=read["client_ca"], require_client_auth=True
    )
