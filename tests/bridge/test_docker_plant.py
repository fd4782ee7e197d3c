"""Real containers behind an agent pass the battery of every plant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bridge.plan import Mode, PlanRequest
from bridge.remote_plant import RemotePlant
from col.plant import Intervention, Plant
from tests.bridge.docker_agent import AgentOnDocker
from tests.bridge.docker_world import DockerWorld, docker_world, needs_docker, wait_until
from tests.bridge.wire_world import short_folder
from tests.contract.plant_contract import PlantContract

pytestmark = needs_docker

POWER = """
[telemetry.power]
source = "power"
host = "h1"
poll_s = 0.1
"""
"""A target, as every plant has one."""


@pytest.fixture(scope="module")
def world() -> Iterator[DockerWorld]:
    with docker_world() as made:
        yield made


DRY = PlanRequest(
    promotion_id="ready", target={"cpu_du_1": 0.9}, mode=Mode.EXPLORATION, windows=3, dry_run=True, lease_ttl_s=30.0
)


@pytest.mark.slow
class TestDockerPlant(PlantContract):
    deterministic = False

    @pytest.fixture(autouse=True)
    def _world(self, world: DockerWorld) -> Iterator[None]:
        self.world = world
        with ExitStack() as self.stack:
            yield

    def make(self, box: dict[str, tuple[float, float]] | None = None, dead: str = "") -> RemotePlant:
        folder = self.stack.enter_context(short_folder())
        agent = AgentOnDocker(self.world, folder, extra=POWER, box=box)
        self.stack.callback(agent.close)
        if dead:
            self.world.kill(dead)
        agent.start()
        client = self.stack.enter_context(agent.client())
        if not dead:  # the only gNB that is alive is touched by nobody
            wait_until(lambda: not client.plan(DRY).reasons, "the gate")
        return RemotePlant(client, patience_s=120.0, lease_ttl_s=30.0)

    def make_plant(self) -> Plant:
        return self.make()

    def make_plant_that_misses(self) -> tuple[Plant, str] | None:
        return self.make(dead="du_2"), "cpuu_du_2"

    def make_plant_that_refuses(self) -> tuple[Plant, Intervention] | None:
        return self.make(box={"cpu_du_1": (0.5, 1.2)}), Intervention({"cpu_du_1": 1.5})
