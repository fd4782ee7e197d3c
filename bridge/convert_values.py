"""Single values at the door: strict and bounded both ways, so that nothing behind it has to check again.

Names and ids are refused where they are odd; text for people is made one printable line instead, since a long message
is no reason to lose a promotion, and terminals obey control characters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Generic, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from col.errors import InputError

__all__ = [
    "MOST_NAMES",
    "EnumTable",
    "check_digest",
    "check_most",
    "check_name",
    "check_names",
    "check_number",
    "check_numbers",
    "check_promotion_id",
    "check_whole",
    "check_why",
    "clean_line",
    "clean_lines",
    "duration_from",
    "duration_to",
    "timestamp_from",
    "timestamp_to",
]

MOST_NAMES = 20_000
MOST_NAME_CHARACTERS = 200
MOST_WHY_CHARACTERS = 1000
MOST_LINE_CHARACTERS = 2000
LARGEST = 1e18
LATEST_S = 253_402_300_799.0
"""The end of the year 9999, where a Timestamp ends."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_promotion_id(value: str) -> str:
    """Return a promotion's id, or raise InputError."""
    if not _ID.fullmatch(value):
        text = "must be 1 to 128 letters, digits and ._:-, a letter or digit first"
        raise InputError(text, key="promotion_id", value=value[:60])
    return value


def check_digest(value: str, key: str) -> str:
    """Return a SHA-256 in hexadecimal, or raise InputError."""
    if not _DIGEST.fullmatch(value):
        raise InputError("must be 64 hexadecimal digits", key=key, value=value[:70])
    return value


def check_name(value: str, key: str, *, empty: bool = False) -> str:
    """Return a name of bounded length in printable characters, or raise InputError."""
    if not (value or empty) or len(value) > MOST_NAME_CHARACTERS or not value.isprintable():
        shown = value[:60].encode("ascii", "backslashreplace").decode()
        raise InputError(f"must be 1 to {MOST_NAME_CHARACTERS} printable characters", key=key, value=shown)
    return value


def check_names(values: Iterable[str], key: str) -> tuple[str, ...]:
    """Return names, each once, or raise InputError."""
    names = tuple(values)
    if len(names) > MOST_NAMES:
        raise InputError(f"at most {MOST_NAMES} names", key=key, value=len(names))
    for name in names:
        check_name(name, key)
    if len(set(names)) != len(names):
        raise InputError("a name stands there twice", key=key)
    return names


def check_most(size: int, most: int, key: str) -> None:
    """Raise InputError for more than so many."""
    if size > most:
        raise InputError(f"at most {most}", key=key, value=size)


def check_why(value: str) -> str:
    """Return somebody's reason: bounded, printable, or raise InputError."""
    if len(value) > MOST_WHY_CHARACTERS or not value.isprintable():
        raise InputError(f"must be one line of at most {MOST_WHY_CHARACTERS} printable characters", key="why")
    return value


def clean_line(value: str) -> str:
    """Return text for people as one printable line of bounded length."""
    line = "".join(c if c.isprintable() else " " for c in value[: MOST_LINE_CHARACTERS + 1])
    return line if len(line) <= MOST_LINE_CHARACTERS else line[: MOST_LINE_CHARACTERS - 4] + " ..."


def clean_lines(values: Iterable[str]) -> tuple[str, ...]:
    """Return several lines for people, at most a hundred."""
    return tuple(clean_line(value) for value, _ in zip(values, range(100), strict=False))


def check_number(
    value: float, key: str, *, low: float = -LARGEST, high: float = LARGEST, infinite: bool = False
) -> float:
    """Return a number within its bounds, or raise InputError; NaN never passes."""
    if infinite and math.isinf(value):
        return float(value)
    if not (math.isfinite(value) and low <= value <= high):
        raise InputError(f"must be a number in [{low:g}, {high:g}]", key=key, value=value)
    return float(value)


def check_whole(value: int, key: str, *, low: int = 0, high: int = 2**53) -> int:
    """Return a whole number within its bounds, or raise InputError."""
    if not low <= value <= high:
        raise InputError(f"must be in [{low}, {high}]", key=key, value=value)
    return int(value)


def check_numbers(values: Mapping[str, float], key: str) -> dict[str, float]:
    """Return finite numbers by name, sorted by name, or raise InputError."""
    if len(values) > MOST_NAMES:
        raise InputError(f"at most {MOST_NAMES} values", key=key, value=len(values))
    return {check_name(name, key): check_number(value, f"{key}.{name}") for name, value in sorted(values.items())}


def duration_to(seconds: float, key: str, *, low: float = 0.0, high: float = 1e9) -> Duration:
    """Return a Duration, to the nanosecond; InputError outside the bounds."""
    nanos = round(check_number(seconds, key, low=low, high=high) * 1e9)
    return Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)


def duration_from(message: Duration, key: str, *, low: float = 0.0, high: float = 1e9) -> float:
    """Return the seconds of a Duration; InputError if it is malformed or outside the bounds."""
    if abs(message.nanos) >= 10**9 or message.seconds * message.nanos < 0:
        raise InputError("is not a Duration: nanos out of range or of another sign", key=key, value=message.nanos)
    if abs(message.seconds) > 10**12:
        raise InputError(f"must be in [{low:g}, {high:g}] s", key=key, value=message.seconds)
    seconds = (message.seconds * 10**9 + message.nanos) / 1e9
    if not low <= seconds <= high:
        raise InputError(f"must be in [{low:g}, {high:g}] s", key=key, value=seconds)
    return seconds


def timestamp_to(seconds: float, key: str) -> Timestamp:
    """Return a Timestamp of seconds since 1970-01-01 UTC; exact for any date that a float can hold."""
    whole, part = divmod(check_number(seconds, key, low=0.0, high=LATEST_S), 1.0)
    nanos = min(round(part * 1e9), 10**9 - 1)
    return Timestamp(seconds=int(whole), nanos=nanos)


def timestamp_from(message: Timestamp, key: str) -> float:
    """Return the seconds since 1970-01-01 UTC of a Timestamp, or raise InputError."""
    if not (0 <= message.seconds <= LATEST_S and 0 <= message.nanos < 10**9):
        raise InputError("is not a time between 1970 and 9999", key=key, value=message.seconds)
    return message.seconds + message.nanos / 1e9


E = TypeVar("E", bound=StrEnum)


class EnumTable(Generic[E]):
    """Members of ours against values of a proto enum: the same names behind a prefix, zero never."""

    def __init__(self, ours: type[E], theirs: Any, prefix: str) -> None:
        values: dict[str, int] = dict(theirs.items())
        self.unmatched = {f"{prefix}_{member.name}" for member in ours} ^ (set(values) - {f"{prefix}_UNSPECIFIED"})
        self._to = {member: values[f"{prefix}_{member.name}"] for member in ours if f"{prefix}_{member.name}" in values}
        self._from = {value: member for member, value in self._to.items()}

    def to(self, member: E) -> Any:
        """Return the value on the wire: a plain number, which the generated types do not take for their enum."""
        return self._to[member]

    def read(self, value: int, key: str) -> E:
        """Return our member, or raise InputError where there is none of that value."""
        member = self._from.get(value)
        if member is None:
            raise InputError("unspecified or unknown", key=key, value=value)
        return member
