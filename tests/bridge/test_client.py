"""The client over connections that break, agents that are silent, and answers that are lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from bridge.client import Credentials, LeaseKeeper, TestbedClient
from bridge.promotion import Cause, State
from bridge.remote_plant import RemotePlant
from col.errors import InputError, OutcomeUnknownError, PlantError, UnreachableError
from col.plant import Intervention, TrialOutcome
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb
from protos.rantwin.testbed.v1 import testbed_service_pb2_grpc as services
from tests.bridge.wire_world import Proxy, WireWorld, short_folder, wait_for_windows, wire_world, write_token


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@contextmanager
def proxied(folder: Path) -> Iterator[tuple[WireWorld, Proxy, TestbedClient]]:
    """An agent on loopback, a proxy before it, and a client that knows only the proxy."""
    token = write_token(folder)
    with wire_world(folder, Credentials(token_file=token), listen="127.0.0.1:0", token_file=token) as world:
        wait_for_windows(world.client)
        proxy = Proxy(world.address)
        try:
            with TestbedClient(proxy.address, Credentials(token_file=token), patience_s=60.0) as client:
                yield world, proxy, client
        finally:
            proxy.close()


def test_no_window_is_lost_or_doubled_over_connections_that_break(folder: Path) -> None:
    with proxied(folder) as (world, proxy, client):
        found: list[int] = []
        for windows in client.watch_windows(0):
            found += windows.sequence.tolist()
            if len(windows) and len(found) % 3 == 0:
                proxy.cut()
            if len(found) >= 20 and proxy.connections >= 4:
                break
        assert proxy.connections >= 4
        assert found == list(range(len(found)))
        ours = world.client.windows(0, len(found))
        assert ours.sequence.tolist() == found


def test_a_promotion_is_followed_to_its_end_over_connections_that_break(folder: Path) -> None:
    with proxied(folder) as (world, proxy, client):
        plan = client.plan(world.request("p", windows=8))
        versions, states = [], []
        with LeaseKeeper(client, "p", 5.0):
            client.apply("p", plan.digest)
            for promotion in client.watch("p"):
                versions.append(promotion.version)
                states.append(promotion.state)
                proxy.cut()
        assert states[-1] is State.ROLLED_BACK
        assert promotion.cause is Cause.TRIAL_OVER
        assert versions == sorted(set(versions))
        assert proxy.connections >= 3


def test_reads_and_repeatable_writes_are_made_again_when_the_connection_breaks(folder: Path) -> None:
    with proxied(folder) as (world, proxy, client):
        client.status()
        for turn in range(5):
            proxy.cut()
            assert client.status().backend.stack == "scripted"
            proxy.cut()
            assert client.plan(world.request(f"p{turn}")).request.promotion_id == f"p{turn}"
            client.cancel(f"p{turn}", "enough")
            planned = [e for e in world.client.journal(0, 10_000, f"p{turn}") if e.kind == "planned"]
            assert len(planned) == 1


def test_a_remote_plant_misses_nothing_of_a_trial_whose_connection_breaks(folder: Path) -> None:
    with proxied(folder) as (world, proxy, client):
        plant = RemotePlant(client, lease_ttl_s=5.0)
        stop = threading.Event()

        def saw() -> None:
            while not stop.wait(0.15):
                proxy.cut()

        sawing = threading.Thread(target=saw)
        sawing.start()
        try:
            before = plant.observe(4)
            trial = plant.trial(Intervention({"cpu_a": 1.5}), 6)
        finally:
            stop.set()
            sawing.join()
        assert np.all(np.diff(before.sequence) == 1)
        assert trial.outcome is TrialOutcome.HELD, trial.reasons
        assert len(trial.windows) == 6
        assert np.all(np.diff(trial.windows.sequence) == 1)
        assert world.testbed.values["cpu_a"] == 2.0
        assert proxy.connections >= 3


def test_a_controller_that_falls_silent_loses_its_lease_and_the_testbed_goes_back(folder: Path) -> None:
    with proxied(folder) as (world, proxy, client):
        plan = client.plan(world.request("p", windows=1000, lease_ttl_s=2.0))
        with LeaseKeeper(client, "p", 2.0):
            client.apply("p", plan.digest)
            assert world.testbed.values["cpu_a"] == 1.5
            time_alive = world.client.promotion("p").version
            while world.client.promotion("p").version < time_alive + 6:  # the lease is kept while somebody keeps it
                threading.Event().wait(0.05)
            assert world.client.promotion("p").state is State.WATCHING
            proxy.is_down = True
            proxy.cut()
            *_, last = world.client.watch("p")
        assert last.cause is Cause.LEASE_EXPIRED
        assert world.testbed.values["cpu_a"] == 2.0


def test_a_lease_keeper_reports_what_it_hears_and_what_stopped_it(folder: Path) -> None:
    with wire_world(folder) as world:
        wait_for_windows(world.client)
        plan = world.client.plan(world.request("p", windows=1000))
        heard: list[State] = []
        with LeaseKeeper(world.client, "p", 0.15, on_change=lambda p: heard.append(p.state)) as keeper:
            world.client.apply("p", plan.digest)
            while State.WATCHING not in heard:
                threading.Event().wait(0.01)
            world.client.cancel("p", "enough")
            while State.ROLLED_BACK not in heard:
                threading.Event().wait(0.01)
        assert keeper.error is None
        with LeaseKeeper(world.client, "nobody", 0.15) as lost:
            while lost.error is None:
                threading.Event().wait(0.01)
        assert isinstance(lost.error, InputError)


def test_nobody_there_is_known_before_anything_is_sent(folder: Path) -> None:
    with TestbedClient(f"unix:{folder}/none.sock", timeout_s=0.5, connect_s=0.2) as client:
        with pytest.raises(UnreachableError):
            client.status()
        for write in (lambda: client.apply("p", "0" * 64), lambda: client.roll_back_everything("")):
            with pytest.raises(UnreachableError, match="nothing was sent"):
                write()
        with pytest.raises(UnreachableError):
            list(TestbedClient(f"unix:{folder}/none.sock", patience_s=0.1).watch("p"))


def test_wrong_arguments_are_refused_before_anything_is_sent(folder: Path) -> None:
    client = TestbedClient(f"unix:{folder}/none.sock", timeout_s=0.2)
    for call in (
        lambda: client.promotion("not an id"),
        lambda: client.apply("p", "short"),
        lambda: client.cancel("p", "x" * 5000),
        lambda: client.extend("p", -1.0),
        lambda: client.extend("p", float("nan")),
        lambda: client.windows(-1, 10),
        lambda: client.windows(0, 0),
        lambda: client.journal(0, 10, "not an id"),
    ):
        with pytest.raises(InputError):
            call()
    client.close()
    with pytest.raises(UnreachableError, match="closed"):
        client.status()


class OddAgent(services.TestbedServiceServicer):
    """An agent that answers nonsense, or not at all."""

    def __init__(self) -> None:
        self.applied, self.released = 0, threading.Event()

    def GetStatus(self, request: Any, context: Any) -> pb.GetStatusResponse:
        return pb.GetStatusResponse()

    def ApplyPromotion(self, request: Any, context: Any) -> pb.ApplyPromotionResponse:
        self.applied += 1
        if request.promotion_id == "hang":
            self.released.wait(30)
        if request.promotion_id == "break":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the line broke")
        return pb.ApplyPromotionResponse()

    def CancelPromotion(self, request: Any, context: Any) -> pb.CancelPromotionResponse:
        self.applied += 1
        context.abort(grpc.StatusCode.UNAVAILABLE, "the line broke")
        raise AssertionError

    def WatchPromotion(self, request: Any, context: Any) -> Iterator[pb.WatchPromotionResponse]:
        yield pb.WatchPromotionResponse(promotion=pb.Promotion(promotion_id="odd"))

    def ListWindows(self, request: Any, context: Any) -> pb.ListWindowsResponse:
        return pb.ListWindowsResponse(next_since_sequence=request.since_sequence)

    def ListJournal(self, request: Any, context: Any) -> pb.ListJournalResponse:
        return pb.ListJournalResponse(next_since_number=0)


@pytest.fixture
def odd(folder: Path) -> Iterator[tuple[OddAgent, TestbedClient]]:
    agent, server = OddAgent(), grpc.server(futures.ThreadPoolExecutor(4))
    services.add_TestbedServiceServicer_to_server(agent, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"unix:{folder}/odd.sock")
    server.start()
    with TestbedClient(f"unix:{folder}/odd.sock", timeout_s=0.5, patience_s=0.2) as client:
        yield agent, client
    agent.released.set()
    server.stop(None).wait()


@pytest.mark.parametrize("promotion_id", ["hang", "break", "nonsense"])
def test_an_apply_without_an_answer_that_makes_sense_is_unknown_and_made_only_once(
    odd: tuple[OddAgent, TestbedClient], promotion_id: str
) -> None:
    agent, client = odd
    with pytest.raises(OutcomeUnknownError):
        client.apply(promotion_id, "0" * 64)
    assert agent.applied == 1


def test_a_write_that_acts_once_is_repeated_and_unknown_in_the_end(odd: tuple[OddAgent, TestbedClient]) -> None:
    agent, client = odd
    with pytest.raises(OutcomeUnknownError):
        client.cancel("p", "")
    assert agent.applied > 1


def test_answers_that_make_no_sense_are_the_agents_fault(odd: tuple[OddAgent, TestbedClient]) -> None:
    _, client = odd
    for call in (
        client.status,
        lambda: list(client.watch("p")),
        lambda: client.windows(0, 10),
        lambda: client.journal(0, 10),
    ):
        with pytest.raises(PlantError):
            call()


def test_a_client_may_be_used_by_many_threads(folder: Path) -> None:
    with wire_world(folder) as world:
        wait_for_windows(world.client)
        with futures.ThreadPoolExecutor(8) as pool:
            done = list(pool.map(lambda n: world.client.plan(world.request(f"p{n}", dry_run=True)).digest, range(40)))
        assert len(set(done)) == 40


def test_where_nobody_listens_is_said_in_one_short_line(folder: Path) -> None:
    with TestbedClient(f"unix:{folder}/nobody.sock", timeout_s=0.5, connect_s=0.5) as client:
        with pytest.raises(UnreachableError) as caught:
            client.status()
        assert str(caught.value) == f"the agent does not answer: unix:{folder}/nobody.sock: No such file or directory"
        with pytest.raises(UnreachableError, match="nothing was sent") as caught:
            client.cancel("p", "enough")
        assert str(caught.value).count("nobody.sock") == 1
