"""Malformed and hostile requests: no crash, nothing applied, nothing in the journal that was not asked.

`RANTWIN_FUZZ_EXAMPLES` sets how many requests each test makes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import convert, convert_plant
from bridge.agent_loop import EngineLike
from bridge.engine import Engine
from bridge.gate import check
from bridge.identity import Identity, Role
from bridge.journal import Journal
from bridge.service import Service
from col.errors import InputError
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb
from protos.rantwin.testbed.v1 import testbed_service_pb2_grpc as services
from tests.bridge.engine_world import World
from tests.bridge.fuzzing import METHODS, a_request, damaged, hostile
from tests.bridge.wire_world import ENGINE, short_folder, wait_for_windows, wire_world

EXAMPLES = int(os.environ.get("RANTWIN_FUZZ_EXAMPLES", "150"))
seeds = st.integers(0, 2**64 - 1)
fuzz = settings(max_examples=EXAMPLES, deadline=None)

CODES = {  # none of them blames the agent
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
}

READERS: dict[Any, Callable[[Any], object]] = {
    pb.PromotionRequest: convert.request_from,
    pb.ExtendTrialRequest: convert.trial_timeout_from,
    pb.Plan: convert.plan_from,
    pb.Promotion: convert.promotion_from,
    pb.TestbedStatus: convert.status_from,
    pb.JournalEntry: convert.entry_from,
    pb.Reason: convert.reason_from,
    pb.Windows: convert_plant.windows_from,
    pb.Reading: convert_plant.reading_from,
    pb.BackendDescription: convert_plant.backend_from,
}


@fuzz
@given(seeds)
def test_what_comes_from_the_wire_is_read_or_is_an_input_error(seed: int) -> None:
    rng = random.Random(seed)
    kind = rng.choice(list(READERS))
    message = hostile(kind.DESCRIPTOR, rng)
    if rng.random() < 0.5:
        try:
            message = kind.FromString(damaged(message.SerializeToString(), rng))
        except DecodeError:
            return
    said = ""
    try:
        READERS[kind](message)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 10_000


class EndedError(Exception):
    """What gRPC raises to leave a handler."""


class Context:
    """A call without a connection."""

    def __init__(self) -> None:
        self.status: Any = None

    def abort_with_status(self, status: Any) -> None:
        self.status = status
        raise EndedError

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def is_active(self) -> bool:
        return True

    def time_remaining(self) -> float:
        return 5.0


class DirectLoop:
    """The engine's thread without a thread."""

    def __init__(self, engine: EngineLike) -> None:
        self._engine, self.is_stopping = engine, False

    @property
    def version(self) -> int:
        return self._engine.version

    def call(self, act: Callable[[EngineLike], Any], *, timeout_s: float, is_urgent: bool = False) -> Any:
        return act(self._engine)

    def wait(self, version: int, timeout_s: float) -> bool:
        return False  # a stream that has nothing more to say ends here


class FuzzWorld(World):
    """The engine's world with the real gate; exploration is allowed, so that hostile plans can pass it."""

    def start(self) -> None:
        self.journal = Journal(self.folder / "journal.db", self.clock, **self.journal_options)
        self.engine = Engine(self.testbed, self.journal, check, self.settings, self.clock)
        self.engine.recover()


MALLORY = Identity(name="mallory", role=Role.OPERATOR, proof="test")
ASKS_FOR_AN_ENTRY = {"PlanPromotion", "CancelPromotion", "RollBackEverything", "ApplyPromotion"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> FuzzWorld:
    return FuzzWorld(tmp_path_factory.mktemp("fuzz"), settings=replace(ENGINE, plan_ttl_s=300.0))


def carry_out(service: Service, method: str, request: Any) -> tuple[bool, Context]:
    """Return whether the call got an answer, and its context."""
    context = Context()
    try:
        answer = getattr(service, method)(request, context)
        if METHODS[method][1]:
            for count, _ in enumerate(answer):
                assert count < 1000
    except EndedError:
        assert context.status is not None
        return False, context
    return True, context


def test_hostile_requests_of_an_operator_apply_nothing_and_are_journalled_only_where_they_asked_for_it(
    world: FuzzWorld,
) -> None:
    service = Service(DirectLoop(world.engine), lambda context: MALLORY)  # type: ignore[arg-type]
    answered: dict[str, int] = dict.fromkeys(METHODS, 0)
    truth = dict(world.testbed.values)

    @fuzz
    @given(seeds)
    def hostile_request(seed: int) -> None:
        rng = random.Random(seed)
        method, request = a_request(rng)
        entries = world.journal.head()[0]
        is_answered, context = carry_out(service, method, request)
        answered[method] += is_answered
        if not is_answered:
            assert context.status.code is not grpc.StatusCode.INTERNAL, (method, request, context.status)
        assert world.testbed.applied() == []
        assert world.testbed.values == truth
        written = world.engine.journal(entries + 1, 1000)
        if written:
            assert method in ASKS_FOR_AN_ENTRY, (method, request, written)
            assert is_answered, (method, request, written)
            asked_for = {getattr(getattr(request, "request", request), "promotion_id", "")}
            if method != "RollBackEverything":
                written = tuple(e for e in written if e.kind != "plan expired")  # too many plans wait
                assert {entry.promotion_id for entry in written} <= asked_for, (method, request, written)
            assert all(entry.who in ("mallory", "agent") for entry in written)

    hostile_request()
    assert world.journal.verify().is_sound
    if EXAMPLES >= 10_000:  # about one plan in a hundred gets past the door
        assert answered["PlanPromotion"] > 0, "some of them have to get past the door"
        assert answered["GetStatus"] > 0


def test_hostile_requests_of_a_viewer_write_nothing_at_all(world: FuzzWorld) -> None:
    viewer = Identity(name="vera", role=Role.VIEWER, proof="test")
    service = Service(DirectLoop(world.engine), lambda context: viewer)  # type: ignore[arg-type]
    entries = world.journal.head()[0]

    @fuzz
    @given(seeds)
    def hostile_request(seed: int) -> None:
        method, request = a_request(random.Random(seed))
        carry_out(service, method, request)
        assert world.journal.head()[0] == entries
        assert world.testbed.applied() == []

    hostile_request()


def test_bytes_of_any_kind_over_a_real_connection_do_not_end_the_agent() -> None:
    with short_folder() as folder, wire_world(folder) as made, grpc.insecure_channel(made.address) as channel:
        wait_for_windows(made.client, 1)
        entries = made.client.status().journal_entries
        service = pb.DESCRIPTOR.services_by_name["TestbedService"].full_name
        names = [name for name, (_, streams) in METHODS.items() if not streams]

        @settings(max_examples=min(EXAMPLES, 5_000), deadline=None)
        @given(seeds)
        def bytes_of_any_kind(seed: int) -> None:
            rng = random.Random(seed)
            name = rng.choice([n for n in names if n not in ("PlanPromotion", "RollBackEverything")])
            data = damaged(hostile(METHODS[name][0].DESCRIPTOR, rng).SerializeToString(), rng)
            call = channel.unary_unary(f"/{service}/{name}", request_serializer=bytes, response_deserializer=bytes)
            said: Any = None
            try:
                call(data, timeout=20)
            except grpc.RpcError as error:
                said = error
            assert said is None or said.code() in CODES, (name, data, said)

        bytes_of_any_kind()
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(f"/{service}/NoSuchMethod", request_serializer=bytes)(b"", timeout=20)
        assert made.client.status().journal_entries == entries
        assert made.testbed.applied() == []


def test_every_method_of_the_contract_is_answered_by_the_service() -> None:
    for name in METHODS:
        assert getattr(Service, name) is not getattr(services.TestbedServiceServicer, name)
