"""How the emulated testbed misbehaves: each fault by configuration, for n occurrences or until switched off."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from col.errors import InputError

__all__ = ["Fault", "FaultSetting", "Misbehaviour", "read_misbehaviour"]

ACTING = ("apply", "automation")
HOLDABLE = ("describe", "read", "apply", "automation", "windows")


class Fault(StrEnum):
    """What can go wrong on purpose. An occurrence is an apply, a request, or a window, as the fault has it."""

    ACK_WITHOUT_EFFECT = "ack_without_effect"
    """Apply is acknowledged and nothing happens."""
    PARTIAL_EFFECT = "partial_effect"
    """Apply is acknowledged and half of it happens."""
    REFUSE = "refuse"
    """A request is refused, nothing is done."""
    HANG = "hang"
    """A request is held unanswered for `seconds` (absent: until switched off), then done unless its client left
    (`even_if_gone` true: also then, so that the effect comes late)."""
    REPLY_LOST = "reply_lost"
    """A request is done and the connection closed without an answer."""
    CRASH_BEFORE_APPLY = "crash_before_apply"
    """The process dies instead of applying."""
    CRASH_AFTER_APPLY = "crash_after_apply"
    """The process dies after applying, before it answers."""
    FREEZE = "freeze"
    """Windows that close are neither recorded nor numbered."""
    LOST_WINDOWS = "lost_windows"
    """A window gets its number and is never seen."""
    LATE_WINDOWS = "late_windows"
    """A window is seen only after `windows` windows' time."""
    DUPLICATE_WINDOWS = "duplicate_windows"
    """An answer to `windows` has every row twice."""
    NAN = "nan"
    """`metrics` (`*`: all) are missing in a window."""


_REQUESTS = {Fault.REFUSE: ("apply",), Fault.HANG: HOLDABLE, Fault.REPLY_LOST: ACTING}
"""The faults that may be aimed at kinds of requests, and what they hit if nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSetting:
    """A fault that is switched on: for the next `count` occurrences, None until it is switched off."""

    count: int | None = None
    seconds: float | None = None
    even_if_gone: bool = False
    windows: int = 2
    requests: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("*",)

    def to_dict(self, fault: Fault) -> dict[str, Any]:
        """Return what matters to that fault, as data."""
        out: dict[str, Any] = {} if self.count is None else {"count": self.count}
        if fault is Fault.HANG and self.seconds is not None:
            out["seconds"] = self.seconds
        if fault is Fault.HANG and self.even_if_gone:
            out["even_if_gone"] = True
        if fault is Fault.LATE_WINDOWS:
            out["windows"] = self.windows
        if fault in _REQUESTS:
            out["requests"] = list(self.requests)
        if fault is Fault.NAN:
            out["metrics"] = list(self.metrics)
        return out


class Misbehaviour:
    """The faults that are switched on."""

    def __init__(self, settings: Mapping[Fault, FaultSetting] | None = None) -> None:
        self._settings = dict(settings or {})

    def take(self, fault: Fault, request: str = "") -> FaultSetting | None:
        """Return the setting if the fault hits this occurrence, which then counts."""
        setting = self._settings.get(fault)
        if setting is None or (fault in _REQUESTS and request not in setting.requests):
            return None
        if setting.count is not None:
            if setting.count <= 1:
                del self._settings[fault]
            else:
                self._settings[fault] = replace(setting, count=setting.count - 1)
        return setting

    def change(self, faults: Mapping[str, object]) -> None:
        """Switch faults on (a table of its keys, a count, or true) or off (false or 0); the others stay.

        Raises:
            InputError: an unknown fault or key, or a value out of range; nothing has changed.
        """
        new = dict(self._settings)
        for name, value in faults.items():
            fault = _fault(name)
            setting = _setting(fault, value)
            if setting is None:
                new.pop(fault, None)
            else:
                new[fault] = setting
        self._settings = new

    def clear(self) -> None:
        """Switch everything off."""
        self._settings = {}

    def to_dict(self) -> dict[str, Any]:
        """Return what is switched on, with the counts that are left; `change` reads it back."""
        return {str(fault): setting.to_dict(fault) for fault, setting in self._settings.items()}


def read_misbehaviour(items: Iterable[str]) -> Misbehaviour:
    """Return the misbehaviour that `--misbehave` describes: files ending in .toml, or `fault=n`, `fault.key=value`.

    Raises:
        InputError: a file that cannot be read, an unknown fault or key, a value out of range.
    """
    faults: dict[str, Any] = {}
    for item in items:
        if item.endswith(".toml") and "=" not in item:
            faults |= _read_file(item)
            continue
        name, _, text = item.partition("=")
        fault, _, key = name.partition(".")
        if not text:
            raise InputError("must be FILE.toml, fault=n, fault=on or fault.key=value", key="misbehave", value=item)
        if not key:
            key, value = ("", text) if text in ("on", "off") else ("count", _number(text))
            if not key:
                faults[fault] = {} if value == "on" else False
                continue
        else:
            value = text.split(",") if key in ("requests", "metrics") else _number(text)
        table = faults.setdefault(fault, {})
        if not isinstance(table, dict):
            table = faults[fault] = {}
        table[key] = value
    misbehaviour = Misbehaviour()
    misbehaviour.change(faults)
    return misbehaviour


def _read_file(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot be read ({error})", source=path) from error


def _number(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _fault(name: str) -> Fault:
    try:
        return Fault(name)
    except ValueError:
        known = ", ".join(Fault)
        raise InputError(f"no such misbehaviour; there are {known}", key="misbehave", value=name[:60]) from None


def _setting(fault: Fault, value: object) -> FaultSetting | None:
    if value is False or (value == 0 and not isinstance(value, Mapping)):
        return None
    table: Mapping[str, Any]
    if value is True:
        table = {}
    elif isinstance(value, int):
        table = {"count": value}
    elif isinstance(value, Mapping):
        table = value
    else:
        raise InputError("must be true, false, a count or a table", key=str(fault), value=value)
    keys = (
        {"count"}
        | ({"seconds", "even_if_gone"} if fault is Fault.HANG else set())
        | ({"requests"} if fault in _REQUESTS else set())
    )
    keys |= ({"windows"} if fault is Fault.LATE_WINDOWS else set()) | ({"metrics"} if fault is Fault.NAN else set())
    for key in table:
        if key not in keys:
            raise InputError(f"must be one of {', '.join(sorted(keys))}", key=f"{fault}.{key}"[:80])
    out = FaultSetting(requests=_REQUESTS.get(fault, ()))
    if (count := table.get("count")) is not None:
        out = replace(out, count=int(_within(fault, "count", count, 1, 1_000_000, whole=True)))
    if (seconds := table.get("seconds")) is not None:
        out = replace(out, seconds=_within(fault, "seconds", seconds, 0, 86_400))
    if (even_if_gone := table.get("even_if_gone")) is not None:
        if not isinstance(even_if_gone, bool):
            raise InputError("must be true or false", key=f"{fault}.even_if_gone", value=even_if_gone)
        out = replace(out, even_if_gone=even_if_gone)
    if (windows := table.get("windows")) is not None:
        out = replace(out, windows=int(_within(fault, "windows", windows, 1, 1000, whole=True)))
    if (requests := table.get("requests")) is not None:
        out = replace(out, requests=_names(fault, "requests", requests, HOLDABLE))
    if (metrics := table.get("metrics")) is not None:
        out = replace(out, metrics=_names(fault, "metrics", metrics, None))
    return out


def _within(fault: Fault, key: str, value: object, low: float, high: float, *, whole: bool = False) -> float:
    kinds = int if whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not (math.isfinite(value) and low <= value <= high):
        what = "a whole number" if whole else "a number"
        raise InputError(f"must be {what} in {low:g} to {high:g}", key=f"{fault}.{key}", value=value)
    return value


def _names(fault: Fault, key: str, value: object, known: tuple[str, ...] | None) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(name, str) for name in value):
        raise InputError("must be a list of names", key=f"{fault}.{key}", value=value)
    for name in value:
        if known is not None and name not in known:
            raise InputError(f"must be among {', '.join(known)}", key=f"{fault}.{key}", value=name[:60])
    return tuple(value)
