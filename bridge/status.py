"""One table between our errors and gRPC's status codes, and the way back on the client.

The code says what a program should do (UNAVAILABLE: the same call again with the same id; ABORTED: read, plan and apply
again; FAILED_PRECONDITION: not again until something has changed), the details say why. Kinds, reasons and their facts
come out at the client as they went in at the agent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from bridge.auth import NotAllowedError, NotAuthenticatedError
from bridge.convert import reason_from, reason_to
from bridge.convert_values import clean_line
from bridge.journal import JournalError, JournalFullError
from bridge.reasons import Reason, ReasonCode, RefusedForReasons
from bridge.records import IdTakenError
from col.errors import InputError, OutcomeUnknownError, PlantError, RantwinError, RefusedError, UnreachableError
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb

__all__ = [
    "DOMAIN",
    "REASON_CODES_TO_STATUS",
    "ROWS",
    "BusyError",
    "UnknownIdError",
    "abort",
    "described_error",
    "error_of",
    "status_of",
]

DOMAIN = "rantwin"
MOST_BYTES = 24_000
"""Of an error with its details; the client takes 64 KiB of trailing metadata."""
MOST_MESSAGE_CHARACTERS = 1000

Code = grpc.StatusCode

_NOBODY = re.compile(r"^failed to connect to all addresses; .*?((?:unix|ipv[46]):\S+): .*?([^:]+)$")
"""How gRPC says at length that nobody listens at an address, and the operating system's reason."""


class UnknownIdError(InputError):
    """No promotion has this id."""


class BusyError(UnreachableError):
    """The agent has too much to do; nothing was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of error: its class, its name in `ErrorInfo.reason`, its code, when to ask again."""

    kind: type[Exception]
    name: str
    code: grpc.StatusCode
    retry_after_s: float | None = None


ROWS = (  # the first that fits counts
    Row(kind=UnknownIdError, name="UNKNOWN_PROMOTION", code=Code.NOT_FOUND),
    Row(kind=IdTakenError, name="PROMOTION_ID_TAKEN", code=Code.ALREADY_EXISTS),
    Row(kind=InputError, name="INPUT", code=Code.INVALID_ARGUMENT),
    Row(kind=NotAuthenticatedError, name="NOT_AUTHENTICATED", code=Code.UNAUTHENTICATED),
    Row(kind=NotAllowedError, name="NOT_ALLOWED", code=Code.PERMISSION_DENIED),
    Row(kind=RefusedError, name="REFUSED", code=Code.FAILED_PRECONDITION),
    Row(kind=OutcomeUnknownError, name="OUTCOME_UNKNOWN", code=Code.UNKNOWN),
    Row(kind=BusyError, name="BUSY", code=Code.RESOURCE_EXHAUSTED, retry_after_s=1.0),
    Row(kind=UnreachableError, name="TESTBED_UNREACHABLE", code=Code.UNAVAILABLE, retry_after_s=1.0),
    Row(kind=JournalFullError, name="JOURNAL_FULL", code=Code.RESOURCE_EXHAUSTED),
    Row(kind=JournalError, name="JOURNAL_DAMAGED", code=Code.DATA_LOSS),
    Row(kind=PlantError, name="TESTBED_FAILED", code=Code.INTERNAL),
    Row(kind=RantwinError, name="FAILED", code=Code.INTERNAL),
)
LAST_ROW = Row(kind=Exception, name="AGENT_FAILED", code=Code.INTERNAL)

REASON_CODES_TO_STATUS = {
    ReasonCode.UNKNOWN_CONTROL: Code.INVALID_ARGUMENT,
    ReasonCode.REPAIR_NEEDS_REASON: Code.INVALID_ARGUMENT,
    ReasonCode.OUT_OF_BOUNDS: Code.OUT_OF_RANGE,
    ReasonCode.OFF_RESOLUTION: Code.OUT_OF_RANGE,
    ReasonCode.STEP_TOO_LARGE: Code.OUT_OF_RANGE,
    ReasonCode.OUTSIDE_EXPLORATION_BOX: Code.OUT_OF_RANGE,
    ReasonCode.TOO_MANY_GNBS: Code.RESOURCE_EXHAUSTED,
    ReasonCode.TOO_SOON: Code.RESOURCE_EXHAUSTED,
    ReasonCode.JOURNAL_FULL: Code.RESOURCE_EXHAUSTED,
    ReasonCode.CONFLICT: Code.ABORTED,
    ReasonCode.PLAN_STALE: Code.ABORTED,  # the testbed moved: read, plan and apply again
    ReasonCode.NOT_LIVE: Code.UNIMPLEMENTED,
    ReasonCode.BACKEND_UNREACHABLE: Code.UNAVAILABLE,
    ReasonCode.JOURNAL_DAMAGED: Code.DATA_LOSS,
}
"""Where a single reason has a better code than FAILED_PRECONDITION; of several, only if all agree."""

RETRY_AFTER_S = {ReasonCode.TOO_SOON: 10.0, ReasonCode.TRIAL_IN_FLIGHT: 10.0, ReasonCode.BACKEND_UNREACHABLE: 1.0}

_CLASSES: dict[str, type[RantwinError]] = {
    row.name: row.kind for row in ROWS if issubclass(row.kind, RantwinError) and not issubclass(row.kind, JournalError)
}


def status_of(error: Exception) -> status_pb2.Status:
    """Return the status that carries an error; one that is not ours is not described to the peer."""
    row = next((row for row in ROWS if isinstance(error, row.kind)), LAST_ROW)
    reasons = error.details if isinstance(error, RefusedForReasons) else ()
    code, retry_after_s = row.code, row.retry_after_s
    if reasons:
        codes = {REASON_CODES_TO_STATUS.get(reason.code, row.code) for reason in reasons}
        code = codes.pop() if len(codes) == 1 else row.code
        waits = [RETRY_AFTER_S.get(reason.code) for reason in reasons]
        retry_after_s = None if None in waits else max((wait for wait in waits if wait is not None), default=None)
    text = str(error) if isinstance(error, RantwinError) else "the agent failed; its log says how"
    message = clean_line(text)[:MOST_MESSAGE_CHARACTERS]
    status = status_pb2.Status(code=code.value[0], message=message)
    for details in _variants(error, row, reasons, retry_after_s, message):
        del status.details[:]
        for detail in details:
            status.details.add().Pack(detail)
        if status.ByteSize() <= MOST_BYTES:
            break
    return status


def _variants(
    error: Exception, row: Row, reasons: Sequence[Reason], retry_after_s: float | None, message: str
) -> list[list[Message]]:
    """Return the details in full, then with less of what stands there twice, for errors that would be too long."""
    info = error_details_pb2.ErrorInfo(
        domain=DOMAIN, reason=reasons[0].code.name if reasons else row.name, metadata={"kind": row.name}
    )
    base: list[Message] = [info]
    if retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(retry_after_s * 1000))
        base.append(retry)
    if isinstance(error, InputError):
        info.metadata["key"] = clean_line(error.key)[:200]
        field = error_details_pb2.BadRequest.FieldViolation(field=info.metadata["key"], description=message)
        return [[*base, error_details_pb2.BadRequest(field_violations=[field])], base]
    if not isinstance(error, RefusedError):
        return [base]
    if not reasons:
        return [[*base, _precondition([(row.name, text) for text in error.reasons])], base]
    failure = _precondition([(reason.code.name, reason.text) for reason in reasons])
    bare = [Reason(code=reason.code, text=reason.text[:200]) for reason in reasons[:50]]
    return [[*base, _refusal(reasons), failure], [*base, _refusal(reasons)], [*base, _refusal(bare)], base]


def _precondition(violations: Sequence[tuple[str, str]]) -> Message:
    failure = error_details_pb2.PreconditionFailure()
    for kind, text in violations:
        failure.violations.add(type=kind, subject="testbed", description=clean_line(text))
    return failure  # type: ignore[no-any-return]


def _refusal(reasons: Sequence[Reason]) -> Message:
    return pb.RefusalDetail(reasons=[reason_to(reason) for reason in reasons])


def abort(context: Any, error: Exception) -> None:
    """End a call with the status of an error; raises what gRPC wants raised."""
    context.abort_with_status(rpc_status.to_status(status_of(error)))


def error_of(error: grpc.RpcError, *, is_write: bool) -> RantwinError:
    """Return our error for a call that failed.

    Without details of ours it is the connection that failed: nothing was read, and of a write nobody knows.
    """
    ours = described_error(error)
    if ours is not None:
        return ours
    code = error.code() if isinstance(error, grpc.Call) else Code.UNKNOWN
    text = clean_line(error.details() or "") if isinstance(error, grpc.Call) else ""
    line = f"{code.name.lower().replace('_', ' ')}{': ' if text else ''}{text}"
    if code is Code.UNAUTHENTICATED:
        return NotAuthenticatedError((line,))
    if code is Code.PERMISSION_DENIED:
        return NotAllowedError((line,))
    if code is Code.UNIMPLEMENTED:
        return PlantError(f"the agent does not know this operation: {line}")
    if code is Code.RESOURCE_EXHAUSTED and not is_write:
        return BusyError(f"the agent is busy or the message too large: {line}")
    if code is Code.INVALID_ARGUMENT:
        return InputError(line)
    if is_write:
        return OutcomeUnknownError(f"no answer, so it is not known what became of it: {line}")
    if code in (Code.INTERNAL, Code.UNKNOWN, Code.DATA_LOSS):
        return PlantError(line)
    return UnreachableError(f"the agent does not answer: {_NOBODY.sub(_where_and_why, text) or line}")


def _where_and_why(found: re.Match[str]) -> str:
    return f"{found[1]}: {found[2].strip()}"


def described_error(error: grpc.RpcError) -> RantwinError | None:
    """Return the agent's own error, None where the answer (if any) did not come from an agent."""
    try:
        status = rpc_status.from_call(error)
    except (ValueError, AttributeError, DecodeError):
        return None
    if status is None:
        return None
    info, failure, refusal = error_details_pb2.ErrorInfo(), error_details_pb2.PreconditionFailure(), pb.RefusalDetail()
    for detail in status.details:
        try:
            for message in (info, failure, refusal):
                detail.Unpack(message)
        except DecodeError:
            return None
    if info.domain != DOMAIN:
        return None
    kind = info.metadata.get("kind", "")
    text = clean_line(status.message)
    found = _CLASSES.get(kind, PlantError)
    if issubclass(found, InputError):
        wrong = found(text)
        wrong.key = clean_line(info.metadata.get("key", ""))
        return wrong
    if not issubclass(found, RefusedError):
        return found(text)
    try:
        reasons = tuple(reason_from(reason) for reason in refusal.reasons)
    except InputError:
        reasons = ()
    if reasons:
        return RefusedForReasons(reasons)
    texts = tuple(clean_line(violation.description) for violation in failure.violations)
    return found(texts or (text.removeprefix("refused: "),))
