"""The socket protocol of the emulated testbed: one JSON object a line, one answer a request; see docs/emulated.md."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MOST_LINE_BYTES", "PROTOCOL", "Answer", "BadRequestError", "RefusedRequestError", "decode", "encode"]

PROTOCOL = 1
MOST_LINE_BYTES = 64 * 1024
"""A request is one line of at most this; a longer one ends the connection."""


class BadRequestError(Exception):
    """The request makes no sense: code `bad_request`."""


class RefusedRequestError(Exception):
    """The testbed says no and has done nothing: code `refused`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to send back; None closes the connection without an answer."""

    body: Mapping[str, Any] | None


def decode(line: bytes) -> dict[str, Any]:
    """Return the request in a line.

    Raises:
        BadRequestError: not an object of JSON with an `op`; numbers that JSON does not know (NaN) are none.
    """
    try:
        request = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadRequestError(f"not a line of JSON ({type(error).__name__})") from None
    if not isinstance(request, dict) or not isinstance(request.get("op"), str):
        raise BadRequestError('must be an object with "op"')
    return request


def encode(body: Mapping[str, Any]) -> bytes:
    """Return an answer as a line; numbers that are missing (NaN) travel as null."""
    try:
        text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a number is missing
        text = json.dumps(_finite(body), separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
