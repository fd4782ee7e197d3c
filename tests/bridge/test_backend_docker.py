from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.backends.base import Backend
from bridge.backends.docker import make_backend
from bridge.inventory import Role
from tests.bridge.backend_contract import BackendContract
from tests.bridge.docker_world import CALL_S, DockerWorld, needs_docker

pytestmark = needs_docker

INVENTORY = """
[testbed]
id = "containers"
stack = "none"
radio_mode = "none"
window_s = {window_s}

[hosts.h1]
docker = "{docker}"

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


def inventory(world: DockerWorld, folder: Path, *, docker: str = "unix:///var/run/docker.sock") -> Path:
    workloads = "".join(f'[{key.replace("_", ".")}]\nhost = "h1"\ncontainer = "{world.name(key)}"\n\n' for key in KEYS)
    path = folder / "inventory.toml"
    path.write_text(INVENTORY.format(window_s=0.5, docker=docker, workloads=workloads))
    return path


@pytest.fixture(scope="module")
def world() -> Iterator[DockerWorld]:
    world = DockerWorld()
    try:
        for key in KEYS:
            world.run(key)
        yield world
    finally:
        world.close()


class TestDockerContainers(BackendContract):
    settle_s = 0.2

    @pytest.fixture(autouse=True)
    def _world(self, world: DockerWorld, tmp_path: Path) -> Iterator[None]:
        self.world, self.folder = world, tmp_path
        self.made: list[Backend] = []
        yield
        for backend in self.made:
            backend.close()

    def make_backend(self) -> Backend:
        self.made.append(make_backend({"inventory": str(inventory(self.world, self.folder))}, CALL_S))
        return self.made[-1]

    def make_reader(self, backend: Backend) -> Backend:
        return backend

    def make_unreachable_backend(self) -> Backend:
        docker = f"unix://{self.folder / 'nobody.sock'}"
        return make_backend({"inventory": str(inventory(self.world, self.folder, docker=docker))}, CALL_S)
