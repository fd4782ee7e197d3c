"""`rantwin keys`: what an operator signs certificates with, and what client and agent prove themselves with."""

from __future__ import annotations

import argparse
import fcntl
import getpass
import os
import secrets
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from col.errors import InputError
from tui.config_dir import ConfigDir, operator_config_dir
from tui.console import EXIT_DONE, print_json
from tui.tls_files import Pair, certificate_facts, make_ca, make_client, make_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from col.signing import SigningKey

__all__ = ["ensure_signing_key", "keys_command", "list_keys", "make_keys"]

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def keys_command(args: argparse.Namespace) -> int:
    """Make, list or show the operator's keys."""
    config = operator_config_dir()
    match args.action:
        case "make":
            result = make_keys(config, hosts=args.host, client=args.client, now=datetime.now(UTC))
        case "list":
            result = list_keys(config)
        case _:
            result = _show(config)
    if args.json:
        print_json(result)
        return EXIT_DONE
    if args.action == "show":
        print(result["public_key"], end="")
        print(f"# key id {result['key_id']}; trusted_keys of an agent names {result['path']}")
        return EXIT_DONE
    for entry in result["files"]:
        print("  ".join(str(entry[key]) for key in ("state", "path", "what") if entry.get(key)))
    return EXIT_DONE


def make_keys(config: ConfigDir, *, hosts: list[str], client: str | None, now: datetime) -> dict[str, Any]:
    """Make all that is missing, keep all that is there; return which is which."""
    made: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        if config.write_new(path, content):
            made.append(path)

    if ensure_signing_key(config)[1]:
        made += [config.signing_key, config.signing_public]
    ca = _pair(config, "ca", lambda: make_ca(f"rantwin CA of {getpass.getuser()}", now), write)
    names = [*_LOCAL_HOSTS, socket.gethostname(), *hosts]
    _pair(config, "server", lambda: make_server(ca, names, now), write)
    _check_hosts(config.tls / "server.pem", hosts)
    _pair(config, "client", lambda: make_client(ca, getpass.getuser(), now), write)
    if client is not None:
        if "/" in client or client.startswith(".") or client in ("ca", "server"):
            raise InputError("not a name for a file", key="--client", value=client)
        _pair(config, client, lambda: make_client(ca, client, now), write)
    write(config.token, f"{secrets.token_urlsafe(32)}\n".encode())
    listed = list_keys(config)
    for entry in listed["files"]:
        entry["state"] = "made" if Path(entry["path"]) in made else "kept"
    return listed


def _check_hosts(server: Path, hosts: list[str]) -> None:
    """Raise InputError if the server's certificate, which may have been there before, lacks a host asked for."""
    valid = certificate_facts(server.read_bytes(), str(server)).get("hosts", "").split()
    for host in hosts:
        if host not in valid:
            text = f"is there already, for {', '.join(valid)} and not for {host}: move it and server.key away first"
            raise InputError(text, source=str(server))


def list_keys(config: ConfigDir) -> dict[str, Any]:
    """Return every key file that there is and what it is; no secret is read out."""
    files: list[dict[str, Any]] = []
    if config.signing_key.is_file():
        files.append(_entry(config.signing_key, "signs certificates; keep it here, and keep a copy safe"))
    if config.signing_public.is_file():
        what = f"its public key, id {_key_id(config)}: what an agent trusts"
        files.append(_entry(config.signing_public, what))
    for path in sorted(config.tls.glob("*.pem")):
        facts = certificate_facts(path.read_bytes(), str(path))
        hosts = f" for {facts['hosts']}" if "hosts" in facts else ""
        what = f"TLS, {facts['name']}{hosts}, valid until {facts['valid_until'][:10]}"
        files.append({**_entry(path, what), **facts})
        key = path.with_suffix(".key")
        if key.is_file():
            files.append(_entry(key, f"private key of {path.name}"))
    if config.token.is_file():
        files.append(_entry(config.token, "token for an agent on loopback"))
    return {"folder": str(config.path), "files": files}


def _entry(path: Path, what: str) -> dict[str, Any]:
    return {"path": str(path), "what": what, "mode": f"{path.stat().st_mode & 0o777:04o}"}


def _pair(config: ConfigDir, name: str, make: Callable[[], Pair], write: Callable[[Path, bytes], None]) -> Pair:
    """Return a pair of the TLS folder, made if it is missing; half a pair is an InputError: neither half helps."""
    certificate, key = config.tls / f"{name}.pem", config.tls / f"{name}.key"
    if certificate.is_file() and key.is_file():
        return Pair(certificate=certificate.read_bytes(), key=config.read_private(key))
    for there, missing in ((certificate, key), (key, certificate)):
        if there.is_file():
            raise InputError(f"is there without {missing.name}: bring that back, or move this away", source=str(there))
    pair = make()
    write(key, pair.key)
    write(certificate, pair.certificate)
    return pair


def ensure_signing_key(config: ConfigDir) -> tuple[SigningKey, bool]:
    """Return the operator's signing key and whether it was made just now."""
    from col.signing import make_keys as make_signing_pair
    from col.signing import read_private_key

    folder = os.open(config.folder(config.signing_key.parent), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two that need it at once get the same one
        if not config.signing_key.exists():
            return make_signing_pair(config.signing_key, config.signing_public), True
        key = read_private_key(config.signing_key)
        config.write_new(config.signing_public, f"{key.public.text}\n".encode())
        return key, False
    finally:
        os.close(folder)


def _show(config: ConfigDir) -> dict[str, Any]:
    from col.signing import read_public_key

    if not config.signing_public.is_file():
        raise InputError("no such file; 'rantwin keys make' makes it", source=str(config.signing_public))
    key = read_public_key(config.signing_public)
    return {"path": str(config.signing_public), "key_id": key.key_id, "public_key": f"{key.text}\n"}


def _key_id(config: ConfigDir) -> str:
    from col.signing import read_public_key

    return read_public_key(config.signing_public).key_id
