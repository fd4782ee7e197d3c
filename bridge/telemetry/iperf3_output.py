"""What iperf3 writes as JSON: a document at the end of a run (`--json`), or an event a line (`--json-stream`, 3.17)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bridge.telemetry.door import number

__all__ = ["Documents", "Ended", "Failed", "Interval", "read_document"]

_MOST_BITS_PER_S, _MOST_JITTER_MS, _MOST_PACKETS, _MOST_SECONDS = 1e12, 1e6, 1e10, 1e5


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One reporting interval of a run, all its streams together; None where it does not say, or not sensibly.

    `wall_end_s` is when it ended by the clock of iperf3's machine (Unix time), known from documents only: an event of a
    stream has just ended when it is written. Jitter is that of RFC 3550 at the end of the interval.
    """

    seconds: float
    sender: bool
    bits: float
    jitter_ms: float | None = None
    lost: float | None = None
    packets: float | None = None
    wall_end_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A run ended because of an error."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run ended, or another began: what comes next belongs to another run."""


Item = Interval | Failed | Ended


class Documents:
    """Finds JSON objects in what is read piece by piece; whatever stands between them is skipped."""

    def __init__(self, most_bytes: int = 2**24) -> None:
        self._most_bytes = most_bytes
        self._decoder = json.JSONDecoder()
        self._rest = ""

    def feed(self, piece: str) -> Iterator[dict[str, Any]]:
        """Yield the objects that are complete now.

        An object begins at a brace at the start of a line; one that is broken ends where the next one begins.
        """
        self._rest += piece
        while (begin := self._begin()) is not None:
            self._rest = self._rest[begin:]
            try:
                found, end = self._decoder.raw_decode(self._rest)
            except (ValueError, RecursionError):
                following = self._rest.find("\n{", 1)
                if following < 0:
                    break
                self._rest = self._rest[following + 1 :]
                continue
            self._rest = self._rest[end:]
            if isinstance(found, dict):
                yield found
        if len(self._rest) > self._most_bytes:
            self._rest = ""

    def _begin(self) -> int | None:
        if self._rest.startswith("{"):
            return 0
        found = self._rest.find("\n{")
        if found >= 0:
            return found + 1
        stripped = self._rest.lstrip()
        if stripped.startswith("{") and len(stripped) < len(self._rest):
            return len(self._rest) - len(stripped)
        self._rest = self._rest[self._rest.rfind("\n") :] if "\n" in self._rest else self._rest[-1:]
        return None


def read_document(document: dict[str, Any]) -> Iterator[Item]:
    """Yield what a document or an event says; what is neither says nothing."""
    event = document.get("event")
    if isinstance(event, str):
        data = document.get("data")
        if event == "interval" and isinstance(data, dict):
            yield from _intervals(data, None)
        elif event == "error":
            yield Failed(text=str(data)[:200])
        elif event in ("start", "end"):
            yield Ended()
        return
    intervals = document.get("intervals")
    if not isinstance(intervals, list):
        return
    began = _get(document, "start", "timestamp", "timemillisecs")
    began_s = number(began, 0, 1e14)
    began_s = (
        began_s / 1e3 if began_s is not None else number(_get(document, "start", "timestamp", "timesecs"), 0, 1e11)
    )
    yield Ended()
    for one in intervals:
        if isinstance(one, dict):
            yield from _intervals(one, began_s)
    if "error" in document:
        yield Failed(text=str(document["error"])[:200])
    yield Ended()


def _intervals(data: dict[str, Any], began_s: float | None) -> Iterator[Interval]:
    """Yield the sums of an interval: one a direction, where a run goes both ways."""
    for key in ("sum", "sum_bidir_reverse"):
        found = data.get(key)
        if not isinstance(found, dict) or found.get("omitted") is True or not isinstance(found.get("sender"), bool):
            continue
        seconds, end = number(found.get("seconds"), 1e-3, _MOST_SECONDS), number(found.get("end"), 0, _MOST_SECONDS)
        size = number(found.get("bytes"), 0, 1e18)
        if seconds is None or size is None or 8.0 * size / seconds > _MOST_BITS_PER_S:
            continue
        packets = number(found.get("packets"), 0, _MOST_PACKETS)
        lost = number(found.get("lost_packets"), 0, _MOST_PACKETS)
        yield Interval(
            seconds=seconds,
            sender=found["sender"],
            bits=8.0 * size,
            jitter_ms=number(found.get("jitter_ms"), 0, _MOST_JITTER_MS),
            lost=lost if lost is not None and packets is not None and lost <= packets else None,
            packets=packets,
            wall_end_s=None if began_s is None or end is None else began_s + end,
        )


def _get(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
