"""How the command line finds an agent and proves who asks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from col.errors import InputError, UnreachableError
from tui.config_dir import ConfigDir, operator_config_dir

if TYPE_CHECKING:
    from bridge.client import Credentials, TestbedClient

__all__ = ["address_of", "connect", "credentials_for", "is_loopback"]

_LOOPBACK = ("localhost", "127.", "[::1]", "::1")


def address_of(to: str | None, config: ConfigDir) -> str:
    """Return where the agent is: what was said, else the socket of the one that `rantwin serve` starts here.

    Raises:
        InputError: not an address.
        UnreachableError: nothing was said and no agent was ever started here.
    """
    if to is None:
        if not config.agent_config.is_file():
            raise UnreachableError("no agent was started here yet: 'rantwin serve' starts one, or say --to ADDRESS")
        from bridge.agent_config import load_agent_config

        return load_agent_config(config.agent_config).listen
    if to.startswith("unix:"):
        if len(to) == len("unix:"):
            raise InputError("must be unix:PATH or HOST:PORT", key="--to", value=to)
        return f"unix:{Path(to.removeprefix('unix:')).absolute()}"
    host, colon, port = to.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise InputError("must be unix:PATH or HOST:PORT", key="--to", value=to)
    return to


def is_loopback(address: str) -> bool:
    """Whether `HOST:PORT` is this machine itself."""
    return address.startswith(_LOOPBACK)


def credentials_for(
    address: str, config: ConfigDir, *, token_file: Path | None = None, tls: Path | None = None
) -> Credentials:
    """Return what proves who asks: nothing on a Unix socket, the token on loopback, certificates beyond.

    Raises:
        InputError: a file that is needed is not there.
    """
    from bridge.client import Credentials

    if address.startswith("unix:"):
        return Credentials()
    if tls is None and is_loopback(address):
        token = token_file or (config.token if config.token.is_file() else None)
        if token is not None and not token.is_file():
            raise InputError("no such file", key="--token-file", value=str(token))
        return Credentials(token_file=token)
    folder = tls or config.tls
    files = [folder / name for name in ("ca.pem", "client.pem", "client.key")]
    for file in files:
        if not file.is_file():
            raise InputError("no such file: 'rantwin keys make' makes it, or say --tls FOLDER", source=str(file))
    return Credentials(ca=files[0], cert=files[1], key=files[2])


def connect(args: argparse.Namespace, *, to: str | None = None) -> TestbedClient:
    """Return a client of the agent that the arguments name, to be closed after use."""
    from bridge.client import TestbedClient

    config = operator_config_dir()
    address = address_of(args.to if to is None else to, config)
    credentials = credentials_for(address, config, token_file=args.token_file, tls=args.tls)
    return TestbedClient(address, credentials, timeout_s=args.timeout)
