"""The servicer: authenticates, reads the request, hands it to the engine's thread, and writes the answer. No more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from bridge.agent_loop import AgentLoop, EngineLike
from bridge.auth import Authenticate, require_operator
from bridge.convert import (
    entry_to,
    plan_to,
    promotion_to,
    request_from,
    status_to,
    trial_timeout_from,
)
from bridge.convert_plant import rows_that_fit, windows_to
from bridge.convert_values import check_digest, check_promotion_id, check_whole, check_why, duration_from, timestamp_to
from bridge.identity import Identity
from bridge.promotion import Promotion
from bridge.records import IdTakenError
from bridge.status import BusyError, UnknownIdError, abort
from col.errors import InputError, PlantError, RantwinError, UnreachableError
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb
from protos.rantwin.testbed.v1.testbed_service_pb2_grpc import TestbedServiceServicer

__all__ = ["MOST_STREAMS", "NAME", "Service", "handler_of"]

T = TypeVar("T")
log = logging.getLogger(__name__)

NAME = pb.DESCRIPTOR.services_by_name["TestbedService"].full_name
MOST_STREAMS = 16
"""Streams at once; each holds a thread."""
LONGEST_CALL_S = 30.0
MOST_ENTRIES = 500
MOST_PAGE_BYTES = 2 * 1024 * 1024
MOST_PAGE = 100_000
MOST_ROWS = 5_000
LONGEST_SLEEP_S = 1.0
"""How long a stream may not notice that its peer has gone."""


class Service(TestbedServiceServicer):
    """What the agent answers. Every method ends in a response or in one status of `bridge.status`."""

    def __init__(self, loop: AgentLoop, authenticate: Authenticate, *, version: str = "") -> None:
        self._loop, self._authenticate, self._version = loop, authenticate, version
        self._streams = threading.BoundedSemaphore(MOST_STREAMS)

    def check(self, request: Any, context: Any) -> None:
        """End the call if its request could not be parsed; who asks is found out first."""
        if isinstance(request, InputError):
            with self._door(context):
                raise request

    # --- reading ------------------------------------------------------------------------------------------------------

    def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        """Return the agent's picture of its testbed."""
        with self._door(context):
            status = self._ask(context, lambda engine: engine.status())
            return pb.GetStatusResponse(
                status=_said(lambda: status_to(replace(status, agent_version=status.agent_version or self._version)))
            )

    def ListWindows(self, request: pb.ListWindowsRequest, context: Any) -> pb.ListWindowsResponse:
        """Return recorded windows."""
        with self._door(context):
            since = check_whole(request.since_sequence, "since_sequence")
            size = check_whole(request.page_size, "page_size", low=1, high=MOST_PAGE)
            limit = min(size, MOST_ROWS, rows_that_fit(self._ask(context, lambda engine: engine.windows(since, 1))))
            windows = self._ask(context, lambda engine: engine.windows(since, limit + 1))
            following = int(windows.sequence[limit]) if len(windows) > limit else None
            page = windows.take(slice(0, limit))
            return pb.ListWindowsResponse(windows=_said(lambda: windows_to(page)), next_since_sequence=following)

    def GetPromotion(self, request: pb.GetPromotionRequest, context: Any) -> pb.GetPromotionResponse:
        """Return a promotion as it stands."""
        with self._door(context):
            promotion_id = check_promotion_id(request.promotion_id)
            promotion = self._ask(context, lambda engine: engine.promotion(promotion_id))
            return pb.GetPromotionResponse(promotion=_said(lambda: promotion_to(promotion)))

    def ListJournal(self, request: pb.ListJournalRequest, context: Any) -> pb.ListJournalResponse:
        """Return entries of the journal."""
        with self._door(context):
            since = check_whole(request.since_number, "since_number")
            size = min(check_whole(request.page_size, "page_size", low=1, high=MOST_PAGE), MOST_ENTRIES)
            promotion_id = request.promotion_id and check_promotion_id(request.promotion_id)
            entries = self._ask(context, lambda engine: engine.journal(since, size + 1, promotion_id))
            response, used = pb.ListJournalResponse(), 0
            for entry in entries:
                message = _said(lambda entry=entry: entry_to(entry))  # type: ignore[misc]
                used += message.ByteSize()
                if len(response.entries) == size or (response.entries and used > MOST_PAGE_BYTES):
                    response.next_since_number = entry.number
                    break
                response.entries.append(message)
            return response

    # --- streams ------------------------------------------------------------------------------------------------------

    def WatchWindows(self, request: pb.WatchWindowsRequest, context: Any) -> Iterator[pb.WatchWindowsResponse]:
        """Stream windows as they close."""
        with self._door(context), self._stream():
            since = check_whole(request.since_sequence, "since_sequence")
            pulse_s = _pulse(request, "heartbeat_interval")
            limit = min(MOST_ROWS, rows_that_fit(self._ask(context, lambda engine: engine.windows(since, 1))))
            sent_s = time.monotonic()
            while True:
                version = self._loop.version
                windows = self._ask(context, lambda engine: engine.windows(since, limit))  # noqa: B023
                if len(windows):
                    yield pb.WatchWindowsResponse(windows=_said(lambda: windows_to(windows)))  # noqa: B023
                    since, sent_s = int(windows.sequence[-1]) + 1, time.monotonic()
                    continue
                if time.monotonic() - sent_s >= pulse_s:
                    yield pb.WatchWindowsResponse(heartbeat=_heartbeat())
                    sent_s = time.monotonic()
                self._pause(context, version, sent_s + pulse_s)

    def WatchPromotion(self, request: pb.WatchPromotionRequest, context: Any) -> Iterator[pb.WatchPromotionResponse]:
        """Stream a promotion at once and after every change, until its final state."""
        with self._door(context), self._stream():
            promotion_id = check_promotion_id(request.promotion_id)
            pulse_s = _pulse(request, "heartbeat_interval")
            seen, sent_s = -1, time.monotonic()
            while True:
                version = self._loop.version
                promotion = self._ask(context, lambda engine: engine.promotion(promotion_id))
                if promotion.version != seen:
                    yield pb.WatchPromotionResponse(promotion=_said(lambda: promotion_to(promotion)))  # noqa: B023
                    seen, sent_s = promotion.version, time.monotonic()
                    if promotion.state.is_final:
                        return
                    continue
                if time.monotonic() - sent_s >= pulse_s:
                    yield pb.WatchPromotionResponse(heartbeat=_heartbeat())
                    sent_s = time.monotonic()
                self._pause(context, version, sent_s + pulse_s)

    # --- writing ------------------------------------------------------------------------------------------------------

    def PlanPromotion(self, request: pb.PlanPromotionRequest, context: Any) -> pb.PlanPromotionResponse:
        """Check a promotion."""
        with self._door(context, writes=True) as who:
            asked = request_from(request.request)
            plan = self._ask(context, lambda engine: engine.plan(who, asked))
            return pb.PlanPromotionResponse(plan=_said(lambda: plan_to(plan)))

    def ApplyPromotion(self, request: pb.ApplyPromotionRequest, context: Any) -> pb.ApplyPromotionResponse:
        """Apply a plan under a lease."""
        with self._door(context, writes=True) as who:
            promotion_id = check_promotion_id(request.promotion_id)
            digest = check_digest(request.plan_digest, "plan_digest")
            promotion = self._ask(context, lambda engine: engine.apply(who, promotion_id, digest))
            return pb.ApplyPromotionResponse(promotion=_said(lambda: promotion_to(promotion)))

    def ConfirmPromotion(self, request: pb.ConfirmPromotionRequest, context: Any) -> Any:
        """Keep what is in force."""
        return self._act(context, request, pb.ConfirmPromotionResponse, lambda e, who, p: e.confirm(who, p))

    def CancelPromotion(self, request: pb.CancelPromotionRequest, context: Any) -> Any:
        """Roll back now."""
        with self._door(context, writes=True):
            why = check_why(request.why)
        response = pb.CancelPromotionResponse
        return self._act(context, request, response, lambda e, who, p: e.cancel(who, p, why), is_urgent=True)

    def ExtendTrial(self, request: pb.ExtendTrialRequest, context: Any) -> Any:
        """Move the deadline of a trial."""
        with self._door(context, writes=True):
            timeout_s = trial_timeout_from(request)
        return self._act(context, request, pb.ExtendTrialResponse, lambda e, who, p: e.extend(who, p, timeout_s))

    def RenewLease(self, request: pb.RenewLeaseRequest, context: Any) -> Any:
        """Take a heartbeat of the controller."""
        response = pb.RenewLeaseResponse
        return self._act(context, request, response, lambda e, who, p: e.renew_lease(who, p), is_urgent=True)

    def RollBackEverything(self, request: pb.RollBackEverythingRequest, context: Any) -> Any:
        """Kill switch."""
        with self._door(context, writes=True) as who:
            why = check_why(request.why)
            promotions = self._ask(context, lambda engine: engine.roll_back_everything(who, why), is_urgent=True)
            return pb.RollBackEverythingResponse(promotions=[_said(lambda p=p: promotion_to(p)) for p in promotions])  # type: ignore[misc]

    # --- what they share ----------------------------------------------------------------------------------------------

    def _act(
        self,
        context: Any,
        request: Any,
        response: Callable[..., T],
        act: Callable[[EngineLike, Identity, str], Promotion],
        *,
        is_urgent: bool = False,
    ) -> T:
        with self._door(context, writes=True) as who:
            promotion_id = check_promotion_id(request.promotion_id)
            promotion = self._ask(context, lambda engine: act(engine, who, promotion_id), is_urgent=is_urgent)
            return response(promotion=_said(lambda: promotion_to(promotion)))

    @contextmanager
    def _door(self, context: Any, *, writes: bool = False) -> Iterator[Identity]:
        """Let in who may come in; end the call with the status of whatever is raised inside."""
        try:
            who = self._authenticate(context)
            if writes:
                require_operator(who)
            yield who
        except RantwinError as error:
            abort(context, error)
        except Exception as error:
            log.exception("a call failed")
            abort(context, error)

    def _ask(self, context: Any, act: Callable[[EngineLike], T], *, is_urgent: bool = False) -> T:
        remaining_s = context.time_remaining()
        timeout_s = LONGEST_CALL_S if remaining_s is None else min(remaining_s, LONGEST_CALL_S)

        def run(engine: EngineLike) -> T:
            if not context.is_active():
                raise UnreachableError("the caller has gone; nothing was done")
            return act(engine)

        try:
            return self._loop.call(run, timeout_s=timeout_s, is_urgent=is_urgent)
        except IdTakenError:
            raise
        except InputError as error:
            # The id's form was checked before, so the engine knows of no such promotion.
            if error.key == "promotion_id":
                unknown = UnknownIdError(str(error))
                unknown.key = error.key
                raise unknown from error
            raise

    @contextmanager
    def _stream(self) -> Iterator[None]:
        if not self._streams.acquire(blocking=False):
            raise BusyError(f"{MOST_STREAMS} streams are open already")
        try:
            yield
        finally:
            self._streams.release()

    def _pause(self, context: Any, version: int, until_s: float) -> None:
        pause_s = min(max(0.0, until_s - time.monotonic()), LONGEST_SLEEP_S)
        if not self._loop.wait(version, pause_s):
            raise UnreachableError("the agent is stopping")
        if not context.is_active():
            raise UnreachableError("the caller has gone")


def _said(write: Callable[[], T]) -> T:
    """Write an answer; what cannot be written is the agent's or the testbed's fault, not the caller's."""
    try:
        return write()
    except InputError as error:
        raise PlantError(f"the answer cannot be sent: {error}") from error


def _pulse(request: Any, field: str) -> float:
    interval: Duration = getattr(request, field)
    return duration_from(interval, field, low=0.1, high=60.0) if request.HasField(field) else 5.0


def _heartbeat() -> pb.Heartbeat:
    return pb.Heartbeat(sent_at=timestamp_to(time.time(), "sent_at"))


def handler_of(service: Service) -> Any:
    """Return what a gRPC server is given: the service, with requests that cannot be parsed refused like others.

    gRPC itself would end such a call as an internal error and log a traceback for whoever sends rubbish.
    """
    handlers = {}
    for method in pb.DESCRIPTOR.services_by_name["TestbedService"].methods:
        make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        handlers[method.name] = make(
            _refusing_rubbish(service, getattr(service, method.name), is_stream=method.server_streaming),
            request_deserializer=_parser(GetMessageClass(method.input_type)),
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
    return grpc.method_handlers_generic_handler(NAME, handlers)


def _parser(kind: Any) -> Callable[[bytes], Any]:
    def parse(data: bytes) -> Any:
        try:
            return kind.FromString(data)
        except DecodeError:
            return InputError("cannot be parsed", source="request")

    return parse


def _refusing_rubbish(service: Service, method: Callable[..., Any], *, is_stream: bool) -> Callable[..., Any]:
    def stream(request: Any, context: Any) -> Iterator[Any]:
        service.check(request, context)
        yield from method(request, context)

    def unary(request: Any, context: Any) -> Any:
        service.check(request, context)
        return method(request, context)

    return stream if is_stream else unary
