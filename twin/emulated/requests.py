"""What requests to the emulated testbed hold, checked; whatever is wrong is a BadRequestError that says what."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from twin.emulated.protocol import Answer, BadRequestError

__all__ = ["check_keys", "error_answer", "number_of", "values_of", "whole_of"]


def error_answer(echo: Mapping[str, Any], code: str, message: str) -> Answer:
    """Return the answer that says what was wrong."""
    return Answer(body={"ok": False, **echo, "error": {"code": code, "message": message}})


def check_keys(request: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Raise BadRequestError if the request has a key that its op does not know."""
    for key in request:
        if key not in (*keys, "op", "id"):
            raise BadRequestError(f"{key[:60]}: not a key of this op ({', '.join(keys) or 'it has none'})")


def values_of(value: object) -> dict[str, float]:
    """Return what a request wants to set: control -> value."""
    if not isinstance(value, dict) or not value or len(value) > 10_000:
        raise BadRequestError("values must be an object with at least one control")
    for name, number in value.items():
        if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
            raise BadRequestError(f"{name[:60]}: must be a finite number")
    return {name: float(number) for name, number in value.items()}


def number_of(request: Mapping[str, Any], key: str, low: float, high: float) -> float:
    """Return a number of a request."""
    value = request.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise BadRequestError(f"{key} must be a number in {low:g} to {high:g}")
    return float(value)


def whole_of(request: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """Return a whole number of a request."""
    value = request.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadRequestError(f"{key} must be a whole number, {low} or above")
    return value
