"""Named random streams: every chance mechanism draws from its own generator, so adding one shifts no other.

A stream is addressed by (name, run, cell).  The address alone fixes the numbers; nothing is drawn from a parent
generator, so neither the order of creation nor the number of workers can change them.  This is what makes
counterfactuals exact: two runs with the same seed and run number share every draw, whatever the controls are.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

__all__ = ["Streams"]


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of one run under one seed; both at least 0. Shards of a large RAN (`twin.shards`) have their own."""

    seed: int
    run: int
    shard: int | None = None

    def sequence(self, name: str, cell: int = 0) -> np.random.SeedSequence:
        """Return the seed sequence of a stream; `cell` numbers the replicas of a mechanism (cells, hosts, controls)."""
        shard = () if self.shard is None else (self.shard,)
        return np.random.SeedSequence(self.seed, spawn_key=(zlib.crc32(name.encode()), self.run, cell, *shard))

    def generator(self, name: str, cell: int = 0) -> np.random.Generator:
        """Return a fresh generator at the start of a stream."""
        return np.random.Generator(np.random.PCG64(self.sequence(name, cell)))
