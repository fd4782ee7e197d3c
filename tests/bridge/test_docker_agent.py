"""A whole agent on real containers: what promotions and faults leave in the kernel's and the engine's books."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from bridge.promotion import Cause, State
from col.errors import OutcomeUnknownError
from tests.bridge.docker_agent import REFERENCE, AgentOnDocker
from tests.bridge.docker_world import DockerWorld, docker_world, needs_docker, wait_until
from tests.bridge.wire_world import short_folder

pytestmark = needs_docker


@pytest.fixture(scope="module")
def world() -> Iterator[DockerWorld]:
    with docker_world() as made:
        yield made


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
        trial = agent.begin(client, "good", {"cpu_du_1": 0.8}, auto_confirm=True)
        assert agent.limit("du_1") == pytest.approx(0.8)
        assert agent.end(client, trial).state is State.CONFIRMED
        assert client.status().reading is not None
    assert agent.limit("du_1") == pytest.approx(0.8)


def test_what_throttles_is_rolled_back_on_windows_of_the_kernel(agent: AgentOnDocker) -> None:
    agent.start()
    with agent.client() as client:
        trial = agent.begin(client, "bad", {"cpu_du_1": 0.02})
        ended = agent.end(client, trial)
    assert (ended.state, ended.cause) == (State.ROLLED_BACK, Cause.SPECIFICATION_FAILED)
    assert agent.limit("du_1") == REFERENCE


def test_an_agent_that_is_killed_in_a_trial_brings_the_containers_back_as_it_starts(agent: AgentOnDocker) -> None:
    agent.start_process()
    with agent.client() as client:
        trial = agent.begin(client, "killed", {"cpu_du_1": 0.8, "cpu_cu_2": 0.7}, windows=1000)
        assert agent.limit("cu_2") == pytest.approx(0.7)
        agent.kill()
        assert agent.limit("cu_2") == pytest.approx(0.7)
        agent.start_process()
        ended = agent.end(client, trial)
        assert (ended.state, ended.cause) == (State.ROLLED_BACK, Cause.AGENT_RESTARTED)
    assert (agent.limit("du_1"), agent.limit("cu_2")) == (REFERENCE, REFERENCE)


def test_a_du_that_dies_in_a_trial_ends_it_and_gets_its_old_limit_before_it_lives_again(agent: AgentOnDocker) -> None:
    agent.start()
    with agent.client() as client:
        trial = agent.begin(client, "dead", {"cpu_du_1": 0.8}, windows=1000)
        agent.world.kill("du_1")
        ended = agent.end(client, trial)
        assert (ended.state, ended.cause) == (State.ROLLED_BACK, Cause.INCONCLUSIVE)
        assert agent.limit("du_1") == REFERENCE
        agent.world.container("du_1").start()
        reading = client.status().reading
        assert reading is not None
        assert reading.controls["cpu_du_1"] == REFERENCE


def test_an_engine_that_hangs_in_a_trial_is_waited_for_until_it_takes_the_rollback(agent: AgentOnDocker) -> None:
    agent.start()
    with agent.client() as client:
        trial = agent.begin(client, "hangs", {"cpu_du_1": 0.8}, windows=1000)
        agent.proxy.mode = "hang"
        with suppress(OutcomeUnknownError):  # the agent may wait for its testbed longer than we for the agent
            client.cancel(trial, "the engine hangs")
        assert agent.limit("du_1") == pytest.approx(0.8)
        agent.proxy.mode = "pass"
        assert agent.end(client, trial).state is State.ROLLED_BACK
    assert agent.limit("du_1") == REFERENCE


def test_an_answer_that_is_lost_is_read_back_and_ends_in_a_known_configuration(agent: AgentOnDocker) -> None:
    agent.start()
    with agent.client() as client:
        wait_until(lambda: len(client.windows(0, 100)) >= 4, "windows")
        agent.proxy.mode = "lose"
        trial = agent.begin(client, "lost", {"cpu_du_1": 0.8}, windows=1000)
        wait_until(lambda: agent.limit("du_1") == pytest.approx(0.8), "the effect")
        agent.proxy.mode = "pass"
        assert agent.end(client, trial, State.WATCHING).state is State.WATCHING
        client.cancel(trial, "seen enough")
        assert agent.end(client, trial).state is State.ROLLED_BACK
    assert agent.limit("du_1") == REFERENCE
