"""What goes through each gNB of a lab right now, for people."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from bridge.lab.source import LabSource

__all__ = ["traffic_now"]


def traffic_now(counters: Path, gnbs: Sequence[str], seconds: float = 2.0) -> dict[str, dict[str, float]]:
    """Watch the counters so long, and return the metrics of each gNB without its number; NaN is missing."""
    source = LabSource(counters, tuple(gnbs), time.monotonic)
    source.look()
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        time.sleep(0.1)
        source.look()
    values = source.sample(begun, begun + seconds).values
    return {
        gnb: {name.removesuffix(f"_{gnb}"): value for name, value in values.items() if name.endswith(f"_{gnb}")}
        for gnb in gnbs
    }
