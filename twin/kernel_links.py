"""Links with noise: what becomes of one packet or slot; semantics in `twin.link_noise`. `line` is one leg's row."""

from __future__ import annotations

import math
from typing import Any

from twin.kernel_jit import jit
from twin.kernel_layout import (
    L_BAD,
    L_CORRELATION,
    L_COUNT,
    L_JITTER,
    L_LAST,
    L_LIMIT,
    L_LOSS,
    L_LOSS_BAD,
    L_SHAPE,
    L_TO_BAD,
    L_TO_GOOD,
    L_WINDOW,
    L_Z,
)  # fmt: skip
from twin.kernel_random import uniform

__all__ = ["SHAPES", "cross", "slot_delay"]

SHAPES = ("uniform", "normal", "pareto", "paretonormal")
"""Numbers of the distributions in `L_SHAPE`."""
_NEVER = -1.0


@jit
def _moved(line: Any, key: int, lane: int, number: int, delay: float) -> tuple[bool, float, float, float]:
    """Return whether an event is lost, its delay, and the states that follow: of the losses, and of the jitter."""
    bad = line[L_BAD]
    if bad != 0.0:
        if line[L_TO_GOOD] > 0.0 and uniform(key, number, lane) < line[L_TO_GOOD]:
            bad = 0.0
    elif line[L_TO_BAD] > 0.0 and uniform(key, number, lane) < line[L_TO_BAD]:
        bad = 1.0
    loss = line[L_LOSS_BAD] if bad != 0.0 else line[L_LOSS]
    z = line[L_Z]
    if loss > 0.0 and uniform(key, number, lane + 1) < loss:
        return True, delay, bad, z
    if line[L_JITTER] > 0.0:
        normal = math.sqrt(-2.0 * math.log(uniform(key, number, lane + 2)))
        normal *= math.cos(2.0 * math.pi * uniform(key, number, lane + 3))
        c = line[L_CORRELATION]
        z = normal if math.isnan(z) else c * z + math.sqrt(1.0 - c * c) * normal
        shape = int(line[L_SHAPE])
        x = z
        if shape == 0:
            x = math.erf(z / math.sqrt(2.0))
        elif shape >= 2:
            above = max(0.5 * math.erfc(z / math.sqrt(2.0)), 1e-300)
            x = min(4.0 / 3.0 * (above ** (-1.0 / 3.0) - 1.5), 4.0)
            if shape == 3:
                x = 0.75 * x + 0.25 * z
        delay = max(delay + line[L_JITTER] * x, 0.0)
    return False, delay, bad, z


@jit
def cross(
    line: Any, key: float, lane: int, t: float, free: float, ser: float, delay: float, look: bool
) -> tuple[float, float]:
    """Let a packet that comes at `t` cross a leg whose line is free at `free`.

    Returns when it arrives (negative: never) and when the line is free again; where it only looks, no state moves.
    """
    number = int(line[L_COUNT])
    if not look:
        line[L_COUNT] += 1.0
    if free - t > line[L_LIMIT] * ser:
        return _NEVER, free
    lost, took, bad, z = _moved(line, int(key), lane, number, delay)
    if not look:
        line[L_BAD] = bad
        line[L_Z] = z
    if lost:
        return _NEVER, free
    free = max(t, free) + ser
    at = max(free + took, line[L_LAST])
    if not look:
        line[L_LAST] = at
    return at, free


@jit
def slot_delay(line: Any, key: float, number: int, delay: float) -> tuple[bool, float]:
    """Return whether a slot is lost on the fronthaul, and the delay that it found there."""
    lost, took, line[L_BAD], line[L_Z] = _moved(line, int(key), 0, number, delay)
    return lost or took > line[L_WINDOW], took
