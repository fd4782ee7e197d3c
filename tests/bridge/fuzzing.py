"""Requests as nobody should send them: built from the contract's descriptors, with hostile values and damaged bytes."""

from __future__ import annotations

import math
import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb

METHODS = {
    method.name: (GetMessageClass(method.input_type), method.server_streaming)
    for method in pb.DESCRIPTOR.services_by_name["TestbedService"].methods
}

TEXTS = [
    "",
    "p1",
    "p2",
    "cpu_a",
    "cpu_b",
    "bias",
    "late_a",
    "a b",
    "../../etc/passwd",
    "\x00",
    "\x1b[2J",
    "p1\nconfirmed",
    "'; DROP TABLE entries; --",
    "ρ ≥ 0 🚀",
    "\u202egnp",
    "x" * 129,
    "x" * 5000,
    "0" * 64,
    "f" * 64,
    "F" * 64,
]
FLOATS = [0.0, -0.0, 1.5, 2.0, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf, 1e18, 0.1]
INTS = [0, 1, -1, 2, 3, 1000, 2**31 - 1, -(2**31), 2**53, 2**63 - 1, -(2**63)]
BYTES = [b"", b"{}", b"x" * 64, b"\xff" * 64, b"[" * 3000, b'{"format":"rantwin certificate 1"}', b"x" * 300_000]


def hostile(kind: Any, rng: random.Random, depth: int = 0) -> Message:
    """Return a message of this kind with hostile values in a part of its fields."""
    message = GetMessageClass(kind)()
    for field in kind.fields:
        if rng.random() < 0.35:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(getattr(message, field.name), field, rng)
        elif field.is_repeated:
            for _ in range(rng.choice([0, 1, 2, 30 if depth == 0 else 3])):
                _append(getattr(message, field.name), field, rng, depth)
        elif field.message_type is not None:
            if depth < 5:
                getattr(message, field.name).CopyFrom(hostile(field.message_type, rng, depth + 1))
        else:
            setattr(message, field.name, _value(field, rng))
    return message


def plausible(message: Message, rng: random.Random) -> Message:
    """Mend the fields that nothing gets past without, so that what is behind the door is tried as well."""
    if isinstance(message, pb.PlanPromotionRequest):
        request = message.request
        request.promotion_id = rng.choice(["p1", "p2", "p3"])
        request.mode = rng.choice([pb.MODE_PROMOTION, pb.MODE_EXPLORATION, pb.MODE_REPAIR])
        request.why, request.watched_windows = "fuzz", rng.choice([0, 1, 3, 2000])
        for name in [name for name, value in request.target.items() if not abs(value) < 1e17 or not name.isprintable()]:
            del request.target[name]
        request.target.pop("", None)
        for name in ("lease_ttl", "trial_timeout"):
            getattr(request, name).Clear()
            getattr(request, name).seconds = rng.choice([1, 10, 100, 10**6])
        if rng.random() < 0.7:
            request.ClearField("certificate")
    elif "promotion_id" in message.DESCRIPTOR.fields_by_name:
        message.promotion_id = rng.choice(["p1", "p2", "p3", "p9"])  # type: ignore[attr-defined]
        if "why" in message.DESCRIPTOR.fields_by_name:
            message.why = "fuzz"  # type: ignore[attr-defined]
    return message


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return these bytes cut, changed, doubled or mixed up."""
    out = bytearray(data or b"\x0a\x02p1")
    for _ in range(rng.choice([1, 2, 8])):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0:
                del out[at:]
            case 1:
                out[at:at] = rng.randbytes(rng.choice([1, 4, 40]))
            case 2 if out:
                out[at % len(out)] ^= 1 << rng.randrange(8)
            case 3:
                out += out[at:]
            case _:
                out[at:at] = b"\xff" * rng.choice([1, 9])
    return bytes(out[:100_000])


def a_request(rng: random.Random) -> tuple[str, Message]:
    """Return a method and a request for it that can be parsed."""
    name = rng.choice(list(METHODS))
    kind = METHODS[name][0]
    message = hostile(kind.DESCRIPTOR, rng)
    match rng.randrange(3):
        case 0:
            try:
                message = kind.FromString(damaged(message.SerializeToString(), rng))
            except DecodeError:
                message = kind()
        case 1:
            message = plausible(message, rng)
    return name, message


def _fill_map(target: Any, field: FieldDescriptor, rng: random.Random) -> None:
    assert field.message_type is not None
    values = field.message_type.fields_by_name["value"]
    for _ in range(rng.choice([0, 1, 3])):
        target[rng.choice(TEXTS)] = _value(values, rng)
    if rng.random() < 0.0005:
        for n in range(25_000):
            target[f"c{n}"] = 1.0 if values.type == FieldDescriptor.TYPE_DOUBLE else "x"


def _append(target: Any, field: FieldDescriptor, rng: random.Random, depth: int) -> None:
    if field.message_type is None:
        target.append(_value(field, rng))
    elif depth < 4:
        target.append(hostile(field.message_type, rng, depth + 1))


def _value(field: FieldDescriptor, rng: random.Random) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_DOUBLE:
            return rng.choice(FLOATS)
        case FieldDescriptor.TYPE_BOOL:
            return rng.random() < 0.5
        case FieldDescriptor.TYPE_STRING:
            return rng.choice(TEXTS)
        case FieldDescriptor.TYPE_BYTES:
            return rng.choice(BYTES)
        case FieldDescriptor.TYPE_ENUM:
            return rng.choice([0, 1, 2, 3, 77, -1])
        case FieldDescriptor.TYPE_INT32:
            return rng.choice([n for n in INTS if -(2**31) <= n < 2**31])
        case _:
            return rng.choice(INTS)
