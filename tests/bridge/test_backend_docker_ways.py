"""The ways to an engine: mutual TLS and ssh; and what stands in the configuration."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.backends.docker import DockerBackend
from bridge.backends.docker_tunnel import Tunnel
from bridge.backends.registry import load_backend
from bridge.inventory_reader import load_inventory
from col.errors import InputError, UnreachableError
from tests.bridge.docker_world import (
    CALL_S,
    SOCKET,
    DockerWorld,
    docker_world,
    inventory,
    needs_docker,
    relay,
    wait_until,
)
from tests.bridge.tls_made import Authority

FAKE_SSH = f"""#!{sys.executable}
import socket, sys, threading
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.bridge.docker_world import relay
options = sys.argv[1:]
open({{log!r}}, "a").write(" ".join(options) + chr(10))
if "broken" in options[-1]:
    sys.exit("kex_exchange_identification: Connection closed by remote host")
local, _, remote = options[options.index("-L") + 1].partition(":")
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(local)
listener.listen()
while True:
    client, _ = listener.accept()
    threading.Thread(target=relay, args=(client, remote), daemon=True).start()
"""


@pytest.fixture(scope="module")
def world() -> Iterator[DockerWorld]:
    with docker_world() as made:
        yield made


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `ssh` that forwards to this machine; return what it was called with, a line each."""
    (tmp_path / "bin").mkdir()
    program, log = tmp_path / "bin" / "ssh", tmp_path / "calls"
    program.write_text(FAKE_SSH.format(log=str(log)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return log


class TlsEngine:
    """The engine of this machine behind mutual TLS."""

    def __init__(self, authority: Authority) -> None:
        pair = authority.issue("engine", "localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        context.load_verify_locations(authority.cert)
        context.verify_mode = ssl.CERT_REQUIRED
        self._context = context
        self._listener = socket.create_server(("localhost", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        try:
            secure = self._context.wrap_socket(client, server_side=True)
        except OSError:
            client.close()
            return
        relay(secure, SOCKET)


def tls_inventory(world: DockerWorld, folder: Path, port: int, ca: Path, cert: Path, key: Path) -> Path:
    path = inventory(world, folder, docker=f"tcp://localhost:{port}", cgroup="")
    table = f'docker = "tcp://localhost:{port}"'
    path.write_text(path.read_text().replace(table, f'{table}\nca = "{ca}"\ncert = "{cert}"\nkey = "{key}"'))
    return path


@needs_docker
def test_an_engine_behind_mutual_tls_is_read_and_set(world: DockerWorld, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    engine = TlsEngine(authority)
    pair, wrong = authority.issue("agent"), stranger.issue("somebody")
    try:
        path = tls_inventory(world, tmp_path, engine.port, authority.cert, pair.cert, pair.key)
        backend = DockerBackend(load_inventory(path), CALL_S)
        backend.apply({"cpu_du_1": 0.5}, settle_s=0.0)
        assert backend.read().controls["cpu_du_1"] == pytest.approx(0.5)
        backend.close()
        for ca, cert, key in (
            (authority.cert, wrong.cert, wrong.key),  # the engine does not know us
            (stranger.cert, pair.cert, pair.key),  # we do not know the engine
        ):
            backend = DockerBackend(load_inventory(tls_inventory(world, tmp_path, engine.port, ca, cert, key)), CALL_S)
            with pytest.raises(UnreachableError, match="h1"):
                backend.read()
            backend.close()
    finally:
        engine.close()


@needs_docker
def test_files_of_tls_that_are_not_there_are_an_input_error(world: DockerWorld, tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    backend = DockerBackend(load_inventory(tls_inventory(world, tmp_path, 1, gone, gone, gone)), CALL_S)
    with pytest.raises(InputError, match=r"hosts\.h1"):
        backend.read()
    backend.close()


@needs_docker
def test_an_engine_behind_ssh_is_read_and_set_through_one_connection(
    world: DockerWorld, tmp_path: Path, ssh: Path
) -> None:
    path = inventory(world, tmp_path, docker="ssh://ops@ran-b:2222", cgroup="")
    backend = DockerBackend(load_inventory(path), CALL_S)
    backend.apply({"cpu_du_1": 0.6}, settle_s=0.0)
    assert backend.read().controls["cpu_du_1"] == pytest.approx(0.6)
    (call,) = ssh.read_text().splitlines()
    assert "-oBatchMode=yes" in call
    assert "-p 2222" in call
    assert call.endswith(":/var/run/docker.sock -- ops@ran-b")
    backend.close()
    with pytest.raises(UnreachableError):
        backend.read()


@needs_docker
def test_an_ssh_that_has_ended_is_started_again(world: DockerWorld, tmp_path: Path, ssh: Path) -> None:
    path = inventory(world, tmp_path, docker="ssh://ran-b", cgroup="")
    backend = DockerBackend(load_inventory(path), CALL_S)
    backend.read()
    tunnel = backend._fleet.engines["h1"]._tunnel
    assert tunnel is not None
    assert tunnel._process is not None
    tunnel._process.kill()
    tunnel._process.wait()

    def reads() -> bool:
        try:
            backend.read()
        except UnreachableError:
            return False
        return True

    wait_until(reads, "a new connection")
    assert len(ssh.read_text().splitlines()) == 2
    backend.close()


def test_what_ssh_says_is_what_the_operator_reads(ssh: Path) -> None:
    tunnel = Tunnel("ssh://broken", CALL_S)
    with pytest.raises(UnreachableError, match="ssh says kex_exchange_identification"):
        tunnel.url()
    tunnel.close()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, r"backend\.inventory"),
        ({"inventory": 7}, r"backend\.inventory"),
        ({"inventory": "/x", "state": 7}, r"backend\.state"),
        ({"inventory": "/x", "socket": "/y"}, r"backend\.socket"),
        ({"inventory": "/nowhere/inventory.toml"}, "cannot be read"),
    ],
)
def test_a_configuration_that_is_wrong_is_an_input_error(config: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        load_backend("docker", config, 1.0)
