from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.backends.base import Backend
from bridge.backends.docker import make_backend
from tests.bridge.backend_contract import BackendContract
from tests.bridge.docker_world import CALL_S, DockerWorld, docker_world, inventory, needs_docker

pytestmark = needs_docker


@pytest.fixture(scope="module")
def world() -> Iterator[DockerWorld]:
    with docker_world() as made:
        yield made


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
