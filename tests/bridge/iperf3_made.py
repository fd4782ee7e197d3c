"""Pieces of what iperf3 writes as JSON, made up."""

from __future__ import annotations

import json
from typing import Any


def interval(megabits: float, *, seconds: float = 1.0, sender: bool = False, **changes: object) -> dict[str, Any]:
    found = {
        "start": 0, "end": seconds, "seconds": seconds, "bytes": int(megabits * 1e6 / 8 * seconds), "sender": sender,
        "omitted": False, "jitter_ms": 0.4, "lost_packets": 2, "packets": 100,
    }  # fmt: skip
    return {"streams": [], "sum": {**found, **changes}}


def event(name: str, data: object) -> str:
    return json.dumps({"event": name, "data": data}) + "\n"
