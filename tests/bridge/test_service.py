"""What the agent answers over a real connection: codes, details, bounds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from bridge.auth import NotAllowedError, NotAuthenticatedError
from bridge.client import TestbedClient
from bridge.journal import JournalFullError
from bridge.promotion import State
from bridge.reasons import Reason, ReasonCode, RefusedForReasons
from bridge.records import IdTakenError
from bridge.service import MOST_STREAMS
from bridge.status import REASON_CODES_TO_STATUS, BusyError, UnknownIdError, error_of, status_of
from col.errors import InputError, OutcomeUnknownError, PlantError, RantwinError, RefusedError, UnreachableError
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb
from protos.rantwin.testbed.v1 import testbed_service_pb2_grpc as services
from tests.bridge.wire_world import WireWorld, short_folder, wait_for_windows, wire_world

Code = grpc.StatusCode


class FailedCall(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    """A call that ended as a server said, without a server."""

    def __init__(self, status: status_pb2.Status | None, code: grpc.StatusCode, text: str = "") -> None:
        wire = rpc_status.to_status(status) if status is not None else None
        self._trailing = wire.trailing_metadata if wire is not None else ()
        self._code: Any = wire.code if wire is not None else code
        self._text: str = wire.details if wire is not None else text

    def code(self) -> Any:
        return self._code

    def details(self) -> Any:
        return self._text

    def trailing_metadata(self) -> Any:
        return self._trailing

    def initial_metadata(self) -> Any:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> None:
        return None

    def cancel(self) -> None:
        pass

    def add_callback(self, callback: Any) -> bool:
        return False


def there_and_back(error: Exception, *, is_write: bool = True) -> RantwinError:
    return error_of(FailedCall(status_of(error), Code.UNKNOWN), is_write=is_write)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("must be positive", key="target.cpu", value=-1), Code.INVALID_ARGUMENT),
        (UnknownIdError("no such promotion"), Code.NOT_FOUND),
        (IdTakenError("belongs to another request"), Code.ALREADY_EXISTS),
        (RefusedError(("the lease is somebody else's",)), Code.FAILED_PRECONDITION),
        (NotAuthenticatedError(("who are you",)), Code.UNAUTHENTICATED),
        (NotAllowedError(("a viewer",)), Code.PERMISSION_DENIED),
        (OutcomeUnknownError("no answer"), Code.UNKNOWN),
        (UnreachableError("the testbed does not answer"), Code.UNAVAILABLE),
        (BusyError("too much to do"), Code.RESOURCE_EXHAUSTED),
        (PlantError("nonsense"), Code.INTERNAL),
    ],
)
def test_an_error_comes_out_at_the_client_as_it_went_in_at_the_agent(error: RantwinError, code: Any) -> None:
    status = status_of(error)
    assert status.code == code.value[0]
    for is_write in (True, False):
        back = there_and_back(error, is_write=is_write)
        assert type(back) is type(error)
        assert str(back) == str(error)


def test_every_reason_has_its_code_and_comes_back_with_its_facts() -> None:
    for code in ReasonCode:
        reason = Reason(code=code, text=f"{code}: 0,5 cores over the limit", facts={"control": "cpu_1"})
        error = RefusedForReasons((reason,))
        assert status_of(error).code == REASON_CODES_TO_STATUS.get(code, Code.FAILED_PRECONDITION).value[0]
        back = there_and_back(error)
        assert isinstance(back, RefusedForReasons)
        assert back.details == (reason,)


def test_all_reasons_of_a_refusal_travel_none_is_short_cut() -> None:
    reasons = tuple(Reason(code=code, text=f"because of {code} " + "x" * 150) for code in ReasonCode)
    error = RefusedForReasons(reasons)
    status = status_of(error)
    assert status.code == Code.FAILED_PRECONDITION.value[0], "several reasons that ask for different codes"
    assert status.ByteSize() < 24_000
    back = there_and_back(error)
    assert isinstance(back, RefusedForReasons)
    assert back.details == reasons


def test_a_refusal_names_every_violation_to_clients_that_are_not_ours() -> None:
    reasons = (
        Reason(code=ReasonCode.DRIFT, text="drift 4.0 above 3.0"),
        Reason(code=ReasonCode.TRIAL_IN_FLIGHT, text="p0 is in flight"),
    )
    status = status_of(RefusedForReasons(reasons))
    info, failure = error_details_pb2.ErrorInfo(), error_details_pb2.PreconditionFailure()
    assert any(detail.Unpack(info) for detail in status.details)
    assert any(detail.Unpack(failure) for detail in status.details)
    assert (info.reason, info.domain) == ("DRIFT", "rantwin")
    assert [violation.type for violation in failure.violations] == ["DRIFT", "TRIAL_IN_FLIGHT"]


def test_what_will_pass_by_waiting_says_how_long_and_a_wrong_field_says_its_name() -> None:
    retry, bad = error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    soon = Reason(code=ReasonCode.TOO_SOON, text="20 s since the last change, at least 60 s")
    assert any(detail.Unpack(retry) for detail in status_of(RefusedForReasons((soon,))).details)
    assert retry.retry_delay.ToSeconds() > 0
    assert any(detail.Unpack(bad) for detail in status_of(InputError("must be finite", key="target.cpu")).details)
    assert bad.field_violations[0].field == "target.cpu"


def test_an_error_that_is_not_ours_does_not_show_the_inside_of_the_agent() -> None:
    status = status_of(RuntimeError("/home/olga/.config/rantwin/keys"))
    assert status.code == Code.INTERNAL.value[0]
    assert "olga" not in status.message
    assert there_and_back(JournalFullError("no room in the journal")).args == ("no room in the journal",)


@pytest.mark.parametrize("code", [Code.DEADLINE_EXCEEDED, Code.UNAVAILABLE, Code.CANCELLED, Code.INTERNAL])
def test_a_write_that_got_no_answer_of_ours_has_an_unknown_outcome(code: Any) -> None:
    assert type(error_of(FailedCall(None, code), is_write=True)) is OutcomeUnknownError


@pytest.mark.parametrize("code", [Code.DEADLINE_EXCEEDED, Code.UNAVAILABLE, Code.CANCELLED])
def test_a_read_that_got_no_answer_can_be_made_again(code: Any) -> None:
    assert type(error_of(FailedCall(None, code), is_write=False)) is UnreachableError


def test_details_that_make_no_sense_are_an_error_and_no_crash() -> None:
    status = status_of(RefusedForReasons((Reason(code=ReasonCode.DRIFT, text="drift"),)))
    for detail in status.details:
        detail.value = b"\xff\xff\xff"
    assert isinstance(error_of(FailedCall(status, Code.UNKNOWN), is_write=True), RantwinError)
    other = status_pb2.Status(code=9, message="no", details=[AnyMessage(type_url="x/y", value=b"1")])
    assert isinstance(error_of(FailedCall(other, Code.UNKNOWN), is_write=True), OutcomeUnknownError)


# --- over a real connection -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> Iterator[WireWorld]:
    with short_folder() as folder, wire_world(folder) as made:
        wait_for_windows(made.client)
        yield made


@pytest.fixture
def stub(world: WireWorld) -> Iterator[Any]:
    with grpc.insecure_channel(world.address) as channel:
        yield services.TestbedServiceStub(channel)  # type: ignore[no-untyped-call]


def code_of(call: Any, request: Any, **options: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=10, **options)
    return caught.value.code()


def test_codes_of_requests_that_cannot_be_carried_out(world: WireWorld, stub: Any) -> None:
    entries = len(world.client.journal(0, 10_000))
    assert code_of(stub.GetPromotion, pb.GetPromotionRequest(promotion_id="nobody")) is Code.NOT_FOUND
    assert code_of(stub.GetPromotion, pb.GetPromotionRequest()) is Code.INVALID_ARGUMENT
    assert code_of(stub.ConfirmPromotion, pb.ConfirmPromotionRequest(promotion_id="nobody")) is Code.NOT_FOUND
    assert code_of(stub.PlanPromotion, pb.PlanPromotionRequest()) is Code.INVALID_ARGUMENT
    assert code_of(stub.ExtendTrial, pb.ExtendTrialRequest(promotion_id="nobody")) is Code.INVALID_ARGUMENT
    assert code_of(stub.ListWindows, pb.ListWindowsRequest(since_sequence=-1, page_size=5)) is Code.INVALID_ARGUMENT
    assert code_of(stub.ListWindows, pb.ListWindowsRequest(page_size=0)) is Code.INVALID_ARGUMENT
    long = pb.CancelPromotionRequest(promotion_id="nobody", why="x" * 2000)
    assert code_of(stub.CancelPromotion, long) is Code.INVALID_ARGUMENT
    assert len(world.client.journal(0, 10_000)) == entries, "nothing in the journal that was not asked"


def test_one_id_for_two_plans_is_refused_and_the_same_plan_twice_is_one(world: WireWorld) -> None:
    first = world.client.plan(world.request("twice"))
    again = world.client.plan(world.request("twice"))
    assert again.digest == first.digest
    with pytest.raises(IdTakenError):
        world.client.plan(world.request("twice", target={"cpu_a": 1.2}))
    planned = [e for e in world.client.journal(0, 10_000, "twice") if e.kind == "planned"]
    assert len(planned) == 1
    assert planned[0].who.startswith("uid ")
    world.client.cancel("twice", "enough")


def test_a_message_above_the_limit_is_refused_before_anybody_reads_it(world: WireWorld, stub: Any) -> None:
    request = pb.PlanPromotionRequest(request=pb.PromotionRequest(promotion_id="big", why="x" * (5 * 1024 * 1024)))
    assert code_of(stub.PlanPromotion, request) is Code.RESOURCE_EXHAUSTED
    assert world.client.journal(0, 10_000, "big") == ()


def test_a_call_whose_deadline_is_over_is_not_carried_out(world: WireWorld) -> None:
    gate = threading.Event()
    blocker = threading.Thread(target=lambda: world.agent.loop.call(lambda engine: gate.wait(10), timeout_s=20))
    blocker.start()
    try:
        with TestbedClient(world.address, timeout_s=0.3) as hasty, pytest.raises(PlantError):
            hasty.plan(world.request("late"))
    finally:
        gate.set()
        blocker.join()
    world.client.status()
    assert world.client.journal(0, 10_000, "late") == ()


def test_streams_are_counted_and_one_too_many_is_told_to_wait(world: WireWorld, stub: Any) -> None:
    calls = [stub.WatchWindows(pb.WatchWindowsRequest(since_sequence=0)) for _ in range(MOST_STREAMS)]
    try:
        for call in calls:
            next(call)
        one_more = stub.WatchWindows(pb.WatchWindowsRequest(since_sequence=0))
        with pytest.raises(grpc.RpcError) as caught:
            next(one_more)
        assert caught.value.code() is Code.RESOURCE_EXHAUSTED
        assert world.client.status().journal_entries > 0, "other calls go on"
    finally:
        for call in calls:
            call.cancel()
    for _ in range(200):
        try:
            next(iter(stub.WatchWindows(pb.WatchWindowsRequest(since_sequence=0), timeout=5)))
            break
        except grpc.RpcError:
            threading.Event().wait(0.05)
    else:
        pytest.fail("streams that ended still count")


def test_a_stream_with_nothing_to_say_shows_that_it_is_alive(world: WireWorld, stub: Any) -> None:
    world.client.plan(world.request("quiet"))
    request = pb.WatchPromotionRequest(promotion_id="quiet")
    request.heartbeat_interval.FromMilliseconds(100)
    stream = stub.WatchPromotion(request, timeout=20)
    assert next(stream).promotion.state == pb.PROMOTION_STATE_GATED
    assert next(stream).WhichOneof("event") == "heartbeat"
    stream.cancel()
    world.client.cancel("quiet", "")


def test_windows_and_journal_come_in_pages_that_join_without_a_gap(world: WireWorld, stub: Any) -> None:
    everything = world.client.windows(0, 100_000)
    while len(everything) < 6:
        everything = world.client.windows(0, 100_000)
    response = stub.ListWindows(pb.ListWindowsRequest(since_sequence=0, page_size=2), timeout=10)
    assert len(response.windows.sequences) == 2
    assert response.next_since_sequence == everything.sequence[2]
    assert world.client.windows(0, 5).sequence.tolist() == everything.sequence[:5].tolist()
    entries = world.client.journal(1, 100_000)
    assert [e.number for e in entries] == list(range(1, len(entries) + 1))


def test_a_viewer_cannot_write_and_what_it_tried_is_not_in_the_journal(tmp_path: Path) -> None:
    from bridge.identity import Identity, Role

    with short_folder() as folder, wire_world(folder) as made:
        viewer = Identity(name="vera", role=Role.VIEWER, proof="test")
        made.agent.service._authenticate = lambda context: viewer
        entries = len(made.client.journal(0, 10_000))
        plan = made.request("viewed")
        for act in (
            lambda: made.client.plan(plan),
            lambda: made.client.apply("viewed", "0" * 64),
            lambda: made.client.confirm("viewed"),
            lambda: made.client.cancel("viewed", "x"),
            lambda: made.client.extend("viewed", 10.0),
            lambda: made.client.renew_lease("viewed"),
            lambda: made.client.roll_back_everything("x"),
        ):
            with pytest.raises(NotAllowedError, match="vera"):
                act()
        assert len(made.client.journal(0, 10_000)) == entries
        assert made.client.status().reading is not None


def test_a_promotion_is_confirmed_over_the_wire_and_its_state_is_the_testbeds(world: WireWorld) -> None:
    request = world.request("kept", target={"cpu_b": 1.8}, auto_confirm=True)
    plan = world.client.plan(request)
    world.client.apply("kept", plan.digest)
    *_, last = world.client.watch("kept")
    assert last.state is State.CONFIRMED
    assert world.testbed.values["cpu_b"] == 1.8
    assert world.client.status().confirmed["cpu_b"] == 1.8
