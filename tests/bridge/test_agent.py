"""The agent as a process: its configuration, its socket, its health, its end."""

from __future__ import annotations

import stat
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bridge.agent import LINK, SERVICE, Agent
from bridge.agent_config import AgentConfig, Tls, agent_config_text, load_agent_config, parse_agent_config
from bridge.client import LeaseKeeper, TestbedClient
from bridge.promotion import Cause, State
from bridge.settings import BlastRadius, WatchLimits
from col.errors import InputError, UnreachableError
from col.signing import make_keys
from tests.bridge.scripted_backend import Fault
from tests.bridge.wire_world import (
    ENGINE,
    AgentProcess,
    config_in,
    scripted,
    short_folder,
    wait_for_windows,
    wire_world,
)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# --- configuration ----------------------------------------------------------------------------------------------------

LEAST = """
[agent]
state_dir = "state"
listen = "unix:agent.sock"
[backend]
name = "emulated"
socket = "testbed.sock"
[requirements]
specification = "always[0,2](late_a <= 0.1)"
"""


def parse(text: str) -> AgentConfig:
    return parse_agent_config(text, source="agent.toml", folder=Path("/etc/rantwin"))


def test_a_short_configuration_has_safe_defaults_and_paths_of_its_own_folder() -> None:
    config = parse(LEAST)
    assert config.listen == "unix:/etc/rantwin/agent.sock"
    assert config.state_dir == Path("/etc/rantwin/state")
    assert config.backend == "emulated"
    assert config.backend_options == {"socket": "testbed.sock"}
    assert not config.reflection
    assert not config.metrics_listen
    assert not config.engine.exploration.enabled
    assert config.engine.rollback_enabled
    assert config.engine.requirements.trusted_keys == {}


def test_a_configuration_comes_back_from_its_text(tmp_path: Path) -> None:
    make_keys(tmp_path / "signing.pem", tmp_path / "signing.pub")
    text = agent_config_text(
        replace(
            config_in(tmp_path),
            backend_options={"socket": "a b.sock", "speed": 2.0, "deep": {"x": [1, 2]}},
            tls=None,
            publish={"kafka": "127.0.0.1:9092", "topic": "windows"},
            token_file=tmp_path / "token",
            trusted_keys=(tmp_path / "signing.pub",),
            engine=replace(
                ENGINE,
                blast=BlastRadius(largest_step={"cpu_du": 0.4}, most_gnbs=3, min_spacing_s=5.0),
                watch=WatchLimits(failure_limit=2, inconclusive_limit=3, initial_delay_windows=1),
                rollback_enabled=False,
            ),
        )
    )
    config = parse_agent_config(text, source="agent.toml", folder=tmp_path)
    assert len(config.engine.requirements.trusted_keys) == 1
    assert config.engine.blast.largest_step == {"cpu_du": 0.4}
    assert config.engine.watch.inconclusive_limit == 3
    assert config.engine.exploration == ENGINE.exploration
    assert not config.engine.rollback_enabled
    assert config.backend_options == {"socket": "a b.sock", "speed": 2.0, "deep": {"x": [1, 2]}}
    assert config.publish == {"kafka": "127.0.0.1:9092", "topic": "windows"}
    assert agent_config_text(config) == text
    tls = Tls(cert=tmp_path / "c", key=tmp_path / "k", client_ca=tmp_path / "a", operators=frozenset({"olga"}))
    beyond = replace(config, tls=tls, listen="0.0.0.0:5", token_file=None)
    assert parse_agent_config(agent_config_text(beyond), source="", folder=tmp_path).tls == tls


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "agent.toml: requirements.trusted_keys"),
        (LEAST.replace('state_dir = "state"', ""), "agent.state_dir: missing"),
        (LEAST.replace("[agent]", "[agent]\npoll = 1"), "agent.poll: no such key: did you mean poll_s"),
        (LEAST.replace("[agent]", "[agent]\npoll_s = 0"), "agent.poll_s = 0: must be a number in [0.005, 60]"),
        (LEAST.replace("[agent]", "[agent]\nreflection = 1"), "agent.reflection = 1: must be true or false"),
        (LEAST + "[blast]\nmost_gnbs = 0", "blast.most_gnbs = 0: must be a whole number"),
        (LEAST + "[blast]\nlargest_step = {cpu_du = nan}", "blast.largest_step.cpu_du = nan: must be a number"),
        (LEAST + "[exploration]\nlower = 3", "exploration.lower = 3: must be a table of numbers"),
        (LEAST + "[blst]\nx = 1", "blst: no such key: did you mean blast"),
        (LEAST.replace("always[0,2]", "always(0,2]"), "agent.toml: requirements.specification"),
        (LEAST.replace("unix:agent.sock", "0.0.0.0:50051"), "agent.listen = '0.0.0.0:50051': beyond loopback"),
        (LEAST.replace("unix:agent.sock", "127.0.0.1:50051"), "token_file"),
        (
            LEAST.replace("[agent]", '[agent]\nmetrics_listen = "0.0.0.0:9100"'),
            "agent.metrics_listen = '0.0.0.0:9100': metrics ask nobody who they are: loopback only",
        ),
        (LEAST + 'trusted_keys = ["none.pub"]', "none.pub"),
        (LEAST + "alpha = 1.5", "requirements.alpha = 1.5: must be a number in [0, 1]"),
        ("agent = 3\n", "agent"),
        ("[agent", "agent.toml: not TOML"),
    ],
)
def test_a_wrong_configuration_gets_one_line_with_file_key_and_value(text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    said = str(caught.value)
    assert "\n" not in said
    if text:
        assert line in said


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"/absent/agent\.toml"):
        load_agent_config(Path("/absent/agent.toml"))


# --- running ----------------------------------------------------------------------------------------------------------


def until(what: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end_s, "did not come about"
        time.sleep(0.01)


def health_of(address: str, service: str) -> Any:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def test_the_socket_is_its_owners_alone_and_gone_afterwards(folder: Path) -> None:
    with wire_world(folder) as world:
        path = Path(world.address.removeprefix("unix:"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "state").stat().st_mode) == 0o700
    assert not path.exists()


def test_a_second_agent_takes_neither_the_socket_nor_the_journal_of_a_living_one(folder: Path) -> None:
    with wire_world(folder) as world:
        with pytest.raises(UnreachableError, match="journal"):
            Agent(config_in(folder), backend=scripted()).start()
        with pytest.raises(InputError, match="another agent"):
            Agent(config_in(folder, state_dir=folder / "other"), backend=scripted()).start()
        assert world.client.status().reading is not None


def test_a_socket_that_a_dead_agent_left_is_taken_over_but_no_other_file_is(folder: Path) -> None:
    (folder / "agent.sock").write_text("my thesis")
    with pytest.raises(InputError, match="no socket"):
        Agent(config_in(folder), backend=scripted()).start()
    assert (folder / "agent.sock").read_text() == "my thesis"


def test_health_tells_the_agent_from_its_link_to_the_testbed(folder: Path) -> None:
    with wire_world(folder) as world:
        until(lambda: health_of(world.address, LINK) == SERVING)
        assert health_of(world.address, SERVICE) == SERVING
        world.testbed.always["read"] = Fault.UNREACHABLE
        until(lambda: health_of(world.address, LINK) == NOT_SERVING)
        assert health_of(world.address, SERVICE) == SERVING
        del world.testbed.always["read"]
        until(lambda: health_of(world.address, LINK) == SERVING)


def test_a_silent_source_of_telemetry_stands_in_the_status_until_it_is_heard_again(folder: Path) -> None:
    with wire_world(folder) as world:
        wait_for_windows(world.client)
        world.testbed.problems = ("iperf3 at 127.0.0.1:5201: nothing heard for 9 s",)
        until(lambda: world.testbed.problems[0] in world.client.status().problems)
        said = world.testbed.problems[0]
        world.testbed.problems = ()
        until(lambda: said not in world.client.status().problems)


def test_reflection_is_there_by_flag_only(folder: Path) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    def services(address: str) -> set[str]:
        with grpc.insecure_channel(address) as channel:
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            answer = next(iter(stub.ServerReflectionInfo(iter([asked]), timeout=10)))
            return {service.name for service in answer.list_services_response.service}

    with wire_world(folder, reflection=True) as world:
        assert SERVICE in services(world.address)
    with wire_world(folder) as world, pytest.raises(grpc.RpcError) as caught:
        services(world.address)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_metrics_count_promotions_from_the_journal_and_show_no_number_for_what_is_missing(folder: Path) -> None:
    def scraped(agent: Agent) -> str:
        return urllib.request.urlopen(f"http://127.0.0.1:{agent.metrics.port}/metrics", timeout=10).read().decode()

    with wire_world(folder, metrics_listen="127.0.0.1:0") as world:
        wait_for_windows(world.client)
        plan = world.client.plan(world.request("counted"))
        world.client.apply("counted", plan.digest)
        world.testbed.without_numbers = set(range(100_000))
        world.client.cancel("counted", "enough")
        until(lambda: 'bridge_rollbacks_total{trigger="manual"} 1.0' in scraped(world.agent))
        text = scraped(world.agent)
        assert 'bridge_promotions_total{result="rolled_back"} 1.0' in text
        assert 'bridge_gate_verdicts_total{verdict="allowed"} 1.0' in text
        assert "bridge_testbed_up 1.0" in text
        assert 'ran_control_cpu_a_cores{source="testbed"} 2.0' in text
        until(lambda: "ran_late_a" not in scraped(world.agent))
        assert "counted" not in text, "no ids in labels"


def test_an_agent_that_is_stopped_says_so_ends_its_streams_and_brings_the_trial_back(folder: Path) -> None:
    with wire_world(folder) as world:
        wait_for_windows(world.client)
        plan = world.client.plan(world.request("open", windows=1000))
        world.client.apply("open", plan.digest)
        stream = world.client.watch("open")
        assert next(stream).state is State.WATCHING
        assert world.testbed.values["cpu_a"] == 1.5
        world.agent.stop()
        assert world.testbed.values["cpu_a"] == 2.0
        assert ("close", None) in world.testbed.calls
        with pytest.raises(UnreachableError):
            list(TestbedClient(world.address, timeout_s=0.3, patience_s=0.3).watch("open"))


def write_config(folder: Path) -> Path:
    file = folder / "agent.toml"
    file.write_text(agent_config_text(config_in(folder)))
    return file


def test_a_process_ends_in_order_on_sigterm(folder: Path) -> None:
    with AgentProcess(write_config(folder)) as process:
        with TestbedClient(process.start()) as client:
            assert client.status().reading is not None
        assert process.end() == 0
    assert not (folder / "agent.sock").exists()


def test_a_process_that_was_killed_in_a_trial_rolls_it_back_as_it_starts_anew(folder: Path) -> None:
    with AgentProcess(write_config(folder)) as process, TestbedClient(process.start(), patience_s=60.0) as client:
        wait_for_windows(client)
        request = config_request(client)
        plan = client.plan(request)
        client.apply("killed", plan.digest)
        with LeaseKeeper(client, "killed", request.lease_ttl_s) as keeper:
            watched = client.watch("killed")
            assert next(watched).state is State.WATCHING
            process.end(kill=True)
            process.start()
            # The scripted testbed died with its process; the journal is what tells the new one of the trial.
            last = list(watched)[-1]
        assert last.state is State.ROLLED_BACK
        assert last.cause is Cause.AGENT_RESTARTED
        assert keeper.error is None
        numbers = [entry.number for entry in client.journal(0, 1000)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert process.end() == 0


def config_request(client: TestbedClient) -> Any:
    from bridge.plan import Mode, PlanRequest

    return PlanRequest(
        promotion_id="killed", target={"cpu_a": 1.5}, mode=Mode.EXPLORATION, windows=1000, lease_ttl_s=30.0
    )


# --- the engine's thread ----------------------------------------------------------------------------------------------
