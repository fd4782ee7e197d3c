"""CPU time that a process owes for what it did, worked off for real.

The cost of a slot or a packet is given in CPU-ms. What receiving, queueing and sending cost anyway counts towards it;
the rest is worked off on the packet's own bytes. So the CPU time used is what the cost curve says on any machine, and
where the kernel withholds it (a quota, other programs) everything is late by as much.
"""

from __future__ import annotations

import math
import random
import zlib
from time import thread_time_ns

__all__ = ["Chance", "Work"]

_MOST_AHEAD_NS = 2_000_000
"""CPU time above what was owed that is remembered, and worked less later: longer than any slot's own expenses."""


class Work:
    """The account of one thread."""

    def __init__(self) -> None:
        self._owed_ns = thread_time_ns()
        self._bytes = bytes(range(256)) * 6

    def do(self, cpu_ms: float) -> None:
        """Owe so much more, and return when it was worked off."""
        owed = self._owed_ns = max(self._owed_ns, thread_time_ns() - _MOST_AHEAD_NS) + int(cpu_ms * 1e6)
        data, crc32 = self._bytes, zlib.crc32
        while thread_time_ns() < owed:
            crc32(data)


class Chance:
    """Lognormal factors with mean one, drawn once and gone through in turn: drawing one a slot would cost more."""

    def __init__(self, variation: float, seed: int, n: int = 4096) -> None:
        """Take the coefficient of variation."""
        generator, sd = random.Random(seed), math.sqrt(math.log1p(variation * variation))
        self._factors = [math.exp(generator.gauss(-0.5 * sd * sd, sd)) for _ in range(n)]
        self._at = -1

    def next(self) -> float:
        """Return the next factor."""
        self._at = (self._at + 1) % len(self._factors)
        return self._factors[self._at]
