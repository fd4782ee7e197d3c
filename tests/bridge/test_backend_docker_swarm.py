"""Swarm services: changed in place, or by replacing their task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge.backends.base import Backend
from bridge.backends.bounded import BoundedBackend
from bridge.backends.docker import DockerBackend
from bridge.inventory_reader import load_inventory
from col.errors import OutcomeUnknownError
from tests.bridge.backend_contract import BackendContract
from tests.bridge.docker_world import CALL_S, DockerWorld, inventory, needs_docker, swarm, wait_until

pytestmark = needs_docker


@pytest.fixture(scope="module")
def world() -> Iterator[DockerWorld]:
    with swarm():
        world = DockerWorld()
        try:
            for key in ("du_1", "du_2"):
                world.serve(key)
            for key in ("cu_1", "cu_2"):
                world.run(key)
            yield world
        finally:
            world.close()


@pytest.fixture
def make(world: DockerWorld, tmp_path: Path) -> Iterator[Callable[..., DockerBackend]]:
    """A backend on two DUs that are services, changed as asked for, and two CUs that are containers."""
    made: list[DockerBackend] = []

    def make(update: str, call_s: float = CALL_S) -> DockerBackend:
        tables = {key: f'host = "h1"\nservice = "{world.name(key)}"\nupdate = "{update}"' for key in ("du_1", "du_2")}
        made.append(DockerBackend(load_inventory(inventory(world, tmp_path, other=tables)), call_s))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


class TestSwarmServiceInPlace(BackendContract):
    settle_s = 0.2

    @pytest.fixture(autouse=True)
    def _make(self, make: Callable[..., DockerBackend]) -> None:
        self.make = make

    def make_backend(self) -> Backend:
        return BoundedBackend(self.make("in-place"), CALL_S)

    def make_reader(self, backend: Backend) -> Backend:
        return backend


def test_in_place_the_task_stays_and_a_new_one_has_the_services_own_limit(
    world: DockerWorld, make: Callable[..., DockerBackend]
) -> None:
    backend = make("in-place")
    (before,) = world.tasks("du_1")
    backend.apply({"cpu_du_1": 0.4, "mem_du_1": 32}, settle_s=0.0)
    assert [task.id for task in world.tasks("du_1")] == [before.id]
    assert backend.read().controls["cpu_du_1"] == pytest.approx(0.4)
    before.kill()
    wait_until(lambda: [t for t in world.tasks("du_1") if t.id != before.id], "a new task")
    after = backend.read().controls
    assert (after["cpu_du_1"], after["mem_du_1"]) == (1.0, 64.0)


def test_rolling_the_task_is_replaced_and_windows_until_then_have_no_value(
    world: DockerWorld, make: Callable[..., DockerBackend]
) -> None:
    backend = make("rolling")
    assert "replaces its task" in " ".join(backend.describe().plant.notes)
    (before,) = world.tasks("du_1")
    reading = backend.apply({"cpu_du_1": 0.4}, settle_s=0.2)
    assert reading.controls["cpu_du_1"] == pytest.approx(0.4)
    (after,) = world.tasks("du_1")
    assert after.id != before.id
    assert after.attrs["HostConfig"]["NanoCpus"] == 400_000_000
    assert after.attrs["HostConfig"]["Memory"] == 64 * 2**20
    wait_until(lambda: len(backend.windows(reading.next_sequence, 10)) >= 2, "windows")
    windows = backend.windows(reading.next_sequence, 10)
    assert windows.controls["cpu_du_1"][1] == pytest.approx(0.4)
    (other,) = world.tasks("du_2")
    backend.apply({"cpu_du_1": 0.4, "cpu_du_2": 1.0}, settle_s=0.0)  # what is so already costs no outage
    assert [task.id for task in world.tasks("du_1") + world.tasks("du_2")] == [after.id, other.id]
    backend.apply({"cpu_du_1": 1.0}, settle_s=0.0)


def test_rolling_that_takes_longer_than_a_call_is_an_unknown_outcome_that_reads_as_asked_for(
    world: DockerWorld, make: Callable[..., DockerBackend]
) -> None:
    backend = make("rolling", call_s=1.5)
    backend.read()
    with pytest.raises(OutcomeUnknownError, match="still replacing"):
        backend.apply({"cpu_du_2": 0.4}, settle_s=0.0)
    reading = backend.read()
    assert reading.controls["cpu_du_2"] == pytest.approx(0.4)
    wait_until(lambda: np.isin(0.4, backend.windows(reading.next_sequence, 1000).controls["cpu_du_2"]), "0.4 in force")
    seen = backend.windows(reading.next_sequence, 1000).controls["cpu_du_2"]
    assert all(np.isnan(value) or value in (0.4, 1.0) for value in seen)
    make("rolling").apply({"cpu_du_2": 1.0}, settle_s=0.0)
