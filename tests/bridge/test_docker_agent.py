"""A whole agent on real containers: what promotions and faults leave in the kernel's and the engine's books."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.agent import Agent
from bridge.agent_config import AgentConfig, agent_config_text, load_agent_config
from bridge.client import LeaseKeeper, TestbedClient
from bridge.plan import Mode, PlanRequest
from bridge.promotion import Cause, Promotion, State
from bridge.settings import BlastRadius, EngineSettings, Exploration, Requirements, WatchLimits
from tests.bridge.docker_world import KEYS, DockerWorld, Proxy, inventory, needs_docker, wait_until
from tests.bridge.wire_world import short_folder

pytestmark = needs_docker

PHI = "always[0,1](thrp_du_1 <= 0.2)"
"""Nobody who has a core of his own is throttled; whoever may use a fiftieth of one is all the time."""
CONTROLS = ("cpu_du_1", "cpu_du_2", "cpu_cu_1", "cpu_cu_2")
REFERENCE = 1.0
SERVE = "import sys; from pathlib import Path; from bridge.agent import run_agent; \
from bridge.agent_config import load_agent_config; \
run_agent(load_agent_config(Path(sys.argv[1])), lambda address: print(address, flush=True))"


@pytest.fixture(scope="module")
def world() -> Iterator[DockerWorld]:
    world = DockerWorld()
    try:
        for key in KEYS:
            world.run(key)
        yield world
    finally:
        world.close()


class AgentOnDocker:
    """An agent on the containers of a world, through an engine that can misbehave."""

    def __init__(self, world: DockerWorld, folder: Path) -> None:
        self.world, self.proxy = world, Proxy(folder / "engine.sock")
        for key in KEYS:
            container = world.container(key)
            if container.status != "running":
                container.restart(timeout=0)
            container.client.api.post(
                f"{container.client.api.base_url}/v1.41/containers/{container.id}/update", json={"NanoCpus": 10**9}
            ).raise_for_status()
        box = {"mem_du_1": (16.0, 128.0), "mem_du_2": (16.0, 128.0)} | dict.fromkeys(CONTROLS, (0.02, 2.0))
        self.config = folder / "agent.toml"
        settings = EngineSettings(
            requirements=Requirements(
                specification=PHI,
                alpha=0.9,
                delta=0.05,
                scenario_digests=frozenset(),
                calibration_ids=frozenset(),
                trusted_keys={},
            ),
            exploration=Exploration(
                enabled=True,
                lower={n: low for n, (low, _) in box.items()},
                upper={n: top for n, (_, top) in box.items()},
            ),
            blast=BlastRadius(most_gnbs=2),
            watch=WatchLimits(inconclusive_limit=1),
            settle_s=0.2,
            call_timeout_s=20.0,
        )
        self.config.write_text(
            agent_config_text(
                AgentConfig(
                    state_dir=folder / "state",
                    listen=f"unix:{folder}/agent.sock",
                    backend="docker",
                    backend_options={"inventory": str(inventory(world, folder, docker=f"unix://{self.proxy.path}"))},
                    engine=settings,
                )
            )
        )
        self.process: subprocess.Popen[str] | None = None
        self.agent: Agent | None = None
        self.address = f"unix:{folder}/agent.sock"

    def start(self) -> None:
        """Run it in this process."""
        self.agent = Agent(load_agent_config(self.config))
        self.agent.start()

    def start_process(self) -> None:
        """Run it in a process of its own, which can be killed."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.config)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the agent did not start"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def limit(self, key: str) -> float:
        """Return the CPU limit in the engine's own books, asked past the agent."""
        return self.world.container(key).attrs["HostConfig"]["NanoCpus"] / 1e9

    def client(self) -> TestbedClient:
        return TestbedClient(self.address, timeout_s=60.0, patience_s=120.0)

    def begin(
        self, client: TestbedClient, promotion_id: str, target: dict[str, float], **changes: object
    ) -> PlanRequest:
        """Apply a trial, once the gate lets it."""
        base = PlanRequest(promotion_id=promotion_id, target=target, mode=Mode.EXPLORATION, windows=4, lease_ttl_s=60.0)
        request = replace(base, **changes)  # type: ignore[arg-type]
        dry = replace(request, promotion_id=f"{promotion_id}-dry", dry_run=True)
        wait_until(lambda: not client.plan(dry).reasons, f"the gate: {client.plan(dry).reasons}")
        client.apply(promotion_id, client.plan(request).digest)
        return request

    def end(self, client: TestbedClient, promotion_id: str, *states: State) -> Promotion:
        """Return a promotion once it is in one of these states, with its lease kept."""
        with LeaseKeeper(client, promotion_id, 60.0):
            for promotion in client.watch(promotion_id):
                if promotion.state in states or promotion.state.is_final:
                    return promotion
        raise AssertionError("the stream ended")

    def close(self) -> None:
        self.proxy.mode = "pass"
        if self.agent is not None:
            self.agent.stop()
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.proxy.close()


@pytest.fixture
def agent(world: DockerWorld) -> Iterator[AgentOnDocker]:
    with short_folder() as folder:
        agent = AgentOnDocker(world, folder)
        try:
            yield agent
        finally:
            agent.close()


def test_what_holds_is_confirmed_and_stays(agent: AgentOnDocker) -> None:
    agent.start()
    with agent.client() as client:
        agent.begin(client, "good", {"cpu_du_1": 0.8}, auto_confirm=True)
        assert agent.limit("du_1") == pytest.approx(0.8)
        assert agent.end(client, "good").state is State.CONFIRMED
        assert client.status().reading is not None
    assert agent.limit("du_1") == pytest.approx(0.8)


def test_what_throttles_is_rolled_back_on_windows_of_the_kernel(agent: AgentOnDocker) -> None:
    agent.start()
    with agent.client() as client:
        agent.begin(client, "bad", {"cpu_du_1": 0.02})
        ended = agent.end(client, "bad")
    assert (ended.state, ended.cause) == (State.ROLLED_BACK, Cause.SPECIFICATION_FAILED)
    assert agent.limit("du_1") == REFERENCE


def test_an_agent_that_is_killed_in_a_trial_brings_the_containers_back_as_it_starts(agent: AgentOnDocker) -> None:
    agent.start_process()
    with agent.client() as client:
        agent.begin(client, "killed", {"cpu_du_1": 0.8, "cpu_cu_2": 0.7}, windows=1000)
        assert agent.limit("cu_2") == pytest.approx(0.7)
        agent.kill()
        assert agent.limit("cu_2") == pytest.approx(0.7)
        agent.start_process()
        ended = agent.end(client, "killed")
        assert (ended.state, ended.cause) == (State.ROLLED_BACK, Cause.AGENT_RESTARTED)
    assert (agent.limit("du_1"), agent.limit("cu_2")) == (REFERENCE, REFERENCE)


def test_a_du_that_dies_in_a_trial_ends_it_and_gets_its_old_limit_before_it_lives_again(agent: AgentOnDocker) -> None:
    agent.start()
    with agent.client() as client:
        agent.begin(client, "dead", {"cpu_du_1": 0.8}, windows=1000)
        agent.world.kill("du_1")
        ended = agent.end(client, "dead")
        assert (ended.state, ended.cause) == (State.ROLLED_BACK, Cause.INCONCLUSIVE)
        assert agent.limit("du_1") == REFERENCE
        agent.world.container("du_1").start()
        reading = client.status().reading
        assert reading is not None
        assert reading.controls["cpu_du_1"] == REFERENCE


def test_an_engine_that_hangs_in_a_trial_is_waited_for_until_it_takes_the_rollback(agent: AgentOnDocker) -> None:
    agent.start()
    with agent.client() as client:
        agent.begin(client, "hangs", {"cpu_du_1": 0.8}, windows=1000)
        agent.proxy.mode = "hang"
        client.cancel("hangs", "the engine hangs")
        assert agent.limit("du_1") == pytest.approx(0.8)
        agent.proxy.mode = "pass"
        assert agent.end(client, "hangs").state is State.ROLLED_BACK
    assert agent.limit("du_1") == REFERENCE


def test_an_answer_that_is_lost_is_read_back_and_ends_in_a_known_configuration(agent: AgentOnDocker) -> None:
    agent.start()
    with agent.client() as client:
        wait_until(lambda: len(client.windows(0, 100)) >= 4, "windows")
        agent.proxy.mode = "lose"
        agent.begin(client, "lost", {"cpu_du_1": 0.8}, windows=1000)
        wait_until(lambda: agent.limit("du_1") == pytest.approx(0.8), "the effect")
        agent.proxy.mode = "pass"
        assert agent.end(client, "lost", State.WATCHING).state is State.WATCHING
        client.cancel("lost", "seen enough")
        assert agent.end(client, "lost").state is State.ROLLED_BACK
    assert agent.limit("du_1") == REFERENCE
