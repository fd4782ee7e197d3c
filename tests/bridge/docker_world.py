"""Real containers for tests: a tiny image of our own, names that no other run has, and an engine that misbehaves."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import io
import os
import platform
import re
import socket
import struct
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.inventory import Role

SOCKET = "/var/run/docker.sock"
CALL_S = 60.0
"""Long enough for a busy machine."""
_CODE = bytes.fromhex(
    "4883ec10"  # sub rsp, 16
    "48c7042400000000"  # again: mov qword [rsp], 0
    "48c7442408404b4c00"  # mov qword [rsp + 8], 5_000_000
    "4889e731f6b8230000000f05"  # nanosleep(rsp, 0)
    "b9c0c62d00"  # mov ecx, 3_000_000
    "ffc975fc"  # dec ecx; jnz
    "ebd8"  # jmp again
)
"""About a millisecond of work, five milliseconds of sleep, for ever: the process of a container without a shell."""


INVENTORY = """
[testbed]
id = "containers"
stack = "none"
radio_mode = "none"
window_s = {window_s}

[hosts.h1]
docker = "{docker}"
cgroup = "{cgroup}"

{workloads}
[gnbs.1]
[gnbs.2]

[controls.cpu_du]
kind = "cpu"
of = "du"
lower = 0.02
upper = 2.0
resolution = 0.01
reference = 1.0

[controls.mem_du]
kind = "memory"
of = "du"
lower = 16
upper = 128
resolution = 1
reference = 64

[controls.cpu_cu]
kind = "cpu"
of = "cu"
lower = 0.02
upper = 2.0
resolution = 0.01
reference = 1.0
"""
KEYS = [f"{role}_{number}" for role in (Role.DU, Role.CU) for number in (1, 2)]


@contextlib.contextmanager
def swarm() -> Iterator[None]:
    """Have the engine be a Swarm; if it was none, the last test run that leaves makes it none again."""
    import docker

    lock, ours = (Path(tempfile.gettempdir()) / f"rantwin-test-swarm.{part}" for part in ("lock", "ours"))
    client = docker.DockerClient(base_url=f"unix://{SOCKET}", timeout=CALL_S)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if client.info()["Swarm"]["LocalNodeState"] != "active":
            client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
            ours.touch()
        fcntl.flock(held, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if ours.exists() and not client.services.list():
                    ours.unlink()
                    client.swarm.leave(force=True)
            client.close()


@functools.cache
def why_not() -> str:
    """Return why there are no containers here; empty where there are."""
    if importlib.util.find_spec("docker") is None:
        return "the package docker is not installed"
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "the containers' program is for Linux on x86-64"
    import docker

    try:
        client = docker.DockerClient(base_url=f"unix://{SOCKET}", timeout=20)
        client.ping()
        client.close()
    except Exception as error:
        return f"no Docker engine answers at {SOCKET} ({type(error).__name__})"
    return ""


needs_docker = pytest.mark.skipif(bool(why_not()), reason=f"needs a Docker engine: {why_not()}")


def wait_until(is_so: Callable[[], object], what: str = "", patience_s: float = 120.0) -> None:
    """Wait for something; a test fails if it does not come."""
    until = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < until, f"it did not come: {what}"
        time.sleep(0.05)


class DockerWorld:
    """Containers of one test module; `close` removes them."""

    def __init__(self) -> None:
        import docker

        self.client: Any = docker.DockerClient(base_url=f"unix://{SOCKET}", timeout=CALL_S)
        self.prefix = f"rantwin-test-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.image = self.prefix
        self.client.api.import_image_from_data(_image(), repository=self.image, tag="1", changes=['CMD ["/work"]'])

    def name(self, key: str) -> str:
        """Return the container's name of a workload."""
        return f"{self.prefix}-{key}"

    def run(self, key: str, **limits: Any) -> Any:
        """Start a container."""
        limits = limits or {"nano_cpus": 1_000_000_000, "mem_limit": "64m", "memswap_limit": "64m"}
        return self.client.containers.run(
            f"{self.image}:1", detach=True, name=self.name(key), network_mode="none", **limits
        )

    def container(self, key: str) -> Any:
        """Return the container of a workload."""
        return self.client.containers.get(self.name(key))

    def serve(self, key: str) -> None:
        """Start a Swarm service of one task, and wait for that."""
        from docker.types import Resources

        limits = Resources(cpu_limit=1_000_000_000, mem_limit=64 * 2**20)
        self.client.services.create(f"{self.image}:1", name=self.name(key), resources=limits, networks=["host"])
        wait_until(lambda: self.tasks(key), f"a task of {key}")

    def tasks(self, key: str) -> list[Any]:
        """Return the running containers of a service."""
        found = self.client.containers.list(
            ignore_removed=True, filters={"label": f"com.docker.swarm.service.name={self.name(key)}"}
        )
        return list(found)

    def kill(self, key: str) -> None:
        """Kill a container's process and wait until the engine knows."""
        container = self.container(key)
        container.kill()
        container.wait(timeout=CALL_S)

    def close(self) -> None:
        """Remove everything."""
        with contextlib.ExitStack() as ends:
            ends.callback(self.client.close)
            ends.callback(self.client.images.remove, f"{self.image}:1", force=True)
            ends.callback(self._remove_containers)
            self._remove_services()

    def _remove_services(self) -> None:
        if self.client.info()["Swarm"]["LocalNodeState"] == "active":
            for service in self.client.services.list(filters={"name": self.prefix}):
                service.remove()
            wait_until(
                lambda: (
                    not self.client.containers.list(
                        ignore_removed=True, all=True, filters={"name": self.prefix, "is-task": True}
                    )
                )
            )

    def _remove_containers(self) -> None:
        for container in self.client.containers.list(all=True, ignore_removed=True, filters={"name": self.prefix}):
            container.remove(force=True)


@contextlib.contextmanager
def docker_world() -> Iterator[DockerWorld]:
    """Yield the containers of every workload, running; they go at the end."""
    made = DockerWorld()
    try:
        for key in KEYS:
            made.run(key)
        yield made
    finally:
        made.close()


def inventory(
    world: DockerWorld,
    folder: Path,
    *,
    docker: str = f"unix://{SOCKET}",
    cgroup: str = "/sys/fs/cgroup",
    window_s: float = 0.5,
    elsewhere: Container[str] = (),
    other: Mapping[str, str] | None = None,
    extra: str = "",
) -> Path:
    """Write the inventory of a world's containers; those of `elsewhere` are on the host h2, which `extra` describes."""
    tables = {key: f'host = "{"h2" if key in elsewhere else "h1"}"\ncontainer = "{world.name(key)}"' for key in KEYS}
    workloads = "".join(
        f"[{key.replace('_', '.')}]\n{table}\n\n" for key, table in (tables | dict(other or {})).items()
    )
    path = folder / "inventory.toml"
    path.write_text(INVENTORY.format(window_s=window_s, docker=docker, cgroup=cgroup, workloads=workloads) + extra)
    return path


class Proxy:
    """A way to the engine that can hang, or lose the answers to changes: a Unix socket of its own."""

    def __init__(self, path: Path) -> None:
        self.path, self.mode = path, "pass"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Stop listening, and close what is open."""
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._open.append(engine)
        try:
            engine.connect(SOCKET)
            threading.Thread(target=_copy, args=(engine, client), daemon=True).start()
            while data := client.recv(65536):
                if self.mode == "hang":
                    while self.mode == "hang":
                        time.sleep(0.01)
                    return
                if self.mode == "lose" and data.startswith(b"POST"):
                    data = _whole_request(client, data)
                    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                        other.connect(SOCKET)
                        other.sendall(data)
                        other.recv(65536)
                    return
                engine.sendall(data)
        except OSError:
            pass
        finally:
            for one in (client, engine):
                shut(one)


def _more(client: socket.socket) -> bytes:
    if not (data := client.recv(65536)):
        raise ConnectionResetError
    return data


def _whole_request(client: socket.socket, data: bytes) -> bytes:
    """Return a request with its body, which may come in a packet of its own."""
    while b"\r\n\r\n" not in data:
        data += _more(client)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    while length and len(body) < int(length[1]):
        body += _more(client)
    return head + b"\r\n\r\n" + body


def relay(client: socket.socket, path: str) -> None:
    """Carry everything between a connection and a Unix socket, until either ends."""
    engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        engine.connect(path)
        back = threading.Thread(target=_copy, args=(engine, client), daemon=True)
        back.start()
        _copy(client, engine)
    except OSError:
        pass
    finally:
        shut(client)
        shut(engine)


def shut(one: socket.socket) -> None:
    """Close a connection so that the other side sees it."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def _image() -> bytes:
    """Return an archive with one program: an ELF header, one segment, and the code."""
    base, header = 0x400000, 64 + 56
    size = header + len(_CODE)
    elf = struct.pack(
        "<4s12BHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, *[0] * 9),
        *(2, 62, 1, base + header, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    ) + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    program = elf + _CODE
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("work")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    return archive.getvalue()
