"""Counters of one process in a file of fixed size: the process adds up, whoever wants to know maps the file.

Neither waits for the other: a process that is throttled or killed in the middle of a write is still read, and reading
costs it nothing. Numbers only grow while the process lives, except those that say how things are now (`NOW`).
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Sequence
from pathlib import Path

__all__ = ["CU", "DU", "NOW", "TRAFFIC", "Board", "read_board"]

DU = (
    "started_s", "at_s", "slots", "late", "skipped", "ok",
    "prb_used_dl", "prb_used_ul", "prb_available_dl", "prb_available_ul",
    "tb_dl", "tb_ul", "retx_dl", "retx_ul", "dropped_dl", "dropped_ul",
    "backlog_bits_dl", "backlog_bits_ul", "work_ms", "cpu_ms", "stall_ms", "stalls",
)  # fmt: skip
"""What a DU counts: slots by what became of them, PRBs, transport blocks, packets dropped, CPU time asked and had."""

CU = (
    "started_s", "at_s", "packets_dl", "packets_ul", "dropped_dl", "dropped_ul", "packet_ms", "base_ms", "cpu_ms",
    "quota_ms",
)  # fmt: skip
"""What a CU counts: packets, CPU time for packets and for its steady work, CPU time that its quota allowed."""

TRAFFIC = (
    "started_s", "at_s", "offered_bits_dl", "offered_bits_ul", "delivered_bits_dl", "delivered_bits_ul",
    "packets_dl", "packets_ul", "delay_sum_ms_dl", "delay_sum_ms_ul", "jitter_ms_dl", "jitter_ms_ul", "starts",
)  # fmt: skip
"""What the two ends of the way count of one gNB: each end fills what it sees (sent there, received there)."""

NOW = frozenset({"started_s", "at_s", "backlog_bits_dl", "backlog_bits_ul", "jitter_ms_dl", "jitter_ms_ul"})

_HEAD = struct.Struct("<QQ")
"""Two counts of writes: they differ while one is under way."""


class Board:
    """The writing end. `values` is the list to add to; `show` makes it readable."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        """Make the file, with zeros, or take the one that is there."""
        self.names = tuple(names)
        self.values = [0.0] * len(self.names)
        self._body = struct.Struct(f"<{len(self.names)}d")
        size = _HEAD.size + self._body.size
        with path.open("r+b" if path.exists() else "w+b") as sink:
            sink.truncate(size)
            self._map = mmap.mmap(sink.fileno(), size)
        self._writes = _HEAD.unpack_from(self._map)[0] + 1

    def index(self, name: str) -> int:
        """Return the place of a counter in `values`."""
        return self.names.index(name)

    def show(self) -> None:
        """Write all values."""
        self._writes += 1
        writes, into = self._writes, self._map
        _HEAD.pack_into(into, 0, writes, writes - 1)
        self._body.pack_into(into, _HEAD.size, *self.values)
        _HEAD.pack_into(into, 0, writes, writes)


def read_board(path: Path, names: Sequence[str], tries: int = 100) -> dict[str, float] | None:
    """Return the counters by name; None if there are none yet, or a write stands half done (its writer died)."""
    body = struct.Struct(f"<{len(names)}d")
    with contextlib.suppress(OSError):
        for _ in range(tries):
            data = path.read_bytes()
            if len(data) != _HEAD.size + body.size:
                return None
            first, last = _HEAD.unpack_from(data)
            if first == last and first:
                return dict(zip(names, body.unpack_from(data, _HEAD.size), strict=True))
    return None
