"""What the parts of the reference model share: chance, packets, shares of PRBs, records of what happened.

All times in ms, all work in CPU-ms; direction 0 is down, 1 is up.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import simpy
from numpy.typing import NDArray

from twin.parameters import CFS_PERIOD_MS, CellParameters

__all__ = [
    "CellRun",
    "CuJob",
    "Draws",
    "Packet",
    "Slot",
    "autoregression",
    "chance",
    "in_turn",
    "lognormal",
    "share",
]

FloatArray = NDArray[np.float64]
Process = Generator[simpy.Event, Any, None]

DOWN, UP = 0, 1
SLOW_BLOCK_MS = 100
"""Slots over which the slow noise of a compute demand stays the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What chance decides for one cell: everything else follows from its parameters."""

    du_refill_ms: float
    """Time of the first refill of the DU's quota; nothing runs before it."""
    cu_refill_ms: float
    sender_phase: FloatArray
    """Shape (2, UEs): when a sender emits its first packet, as a share of its interval."""
    slot_normal: FloatArray
    """Shape (slots,): standard normal, the noise of a slot's demand."""
    slow_du_normal: FloatArray
    """Shape (blocks + 1,): standard normals of the slow noise, the first its state before time 0."""
    slow_cu_normal: FloatArray
    du_factor: float = 1.0
    cu_factor: float = 1.0
    link_key: int = 0
    """Of `chance`: noise of the links, and errors of blocks."""
    radio_key: int = 0


def draw(cells: Sequence[CellParameters], streams: Mapping[str, np.random.Generator], slots: int) -> tuple[Draws, ...]:
    """Return each cell's draws for a number of slots, taken from fresh `streams` in the order of `DataPlane`."""
    g = len(cells)
    phase = streams["phase"]
    du_refill, cu_refill = phase.uniform(0.0, CFS_PERIOD_MS, g), phase.uniform(0.0, CFS_PERIOD_MS, g)
    senders = phase.uniform(0.0, 1.0, (g, 2, max(max(cell.n_ue, cell.ue_slots) for cell in cells)))
    slot = streams["slot"].standard_normal((slots, g)).T
    # A DU's last slot may end, and its CU work, up to a block later.
    blocks = -(-slots // SLOW_BLOCK_MS) + 1
    link_keys, radio_keys = (
        streams[name].integers(0, 1 << 32, g) if name in streams else [0] * g for name in ("links", "air")
    )
    slow_du, slow_cu = (streams[name].standard_normal((blocks + 1, g)).T for name in ("slow_du", "slow_cu"))
    return tuple(
        Draws(
            du_refill_ms=float(du_refill[c]),
            cu_refill_ms=float(cu_refill[c]),
            sender_phase=senders[c],
            slot_normal=slot[c],
            slow_du_normal=slow_du[c],
            slow_cu_normal=slow_cu[c],
            link_key=int(link_keys[c]),
            radio_key=int(radio_keys[c]),
        )
        for c in range(g)
    )


@dataclass(slots=True)
class Packet:
    """A datagram on its way; of its `bits`, `left_bits` have not been granted to cross the air yet."""

    way: int
    ue: int
    sent_ms: float
    left_bits: int
    user: Any = None
    """Whose it is."""
    cell: int = 0
    """Where it is routed to by its CU."""
    bits: int = 0
    arrived_ms: float = 0.0
    """When it reached the station where it is."""
    place: str = "ue"
    """Where it is: ue, backhaul, cu, midhaul or du."""
    void: bool = False
    """Whether it went on by another way, or is lost, and what is seen of it here is only what it still costs."""

    def __post_init__(self) -> None:
        self.bits = self.bits or self.left_bits


class Slot(NamedTuple):
    """What became of one slot: `outcome` is ok, late or skipped; grants in PRBs of the two directions."""

    number: int
    outcome: str
    start_ms: float
    done_ms: float
    cpu_ms: float
    stall_ms: float
    cgroup_ms: float
    prb: tuple[float, float]
    retransmission: tuple[bool, bool]
    full_buffer_bits: tuple[float, float]


class CuJob(NamedTuple):
    """Work that a CU did: for a packet of a direction, or its steady work (way -1)."""

    way: int
    arrived_ms: float
    done_ms: float
    cpu_ms: float
    stall_ms: float


@dataclass(slots=True)
class CellRun:
    """All that happened in one cell; packets appear in order of delivery, as (UE, time sent, time delivered)."""

    delivered: tuple[list[tuple[int, float, float]], list[tuple[int, float, float]]] = field(
        default_factory=lambda: ([], [])
    )
    sent: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    dropped: tuple[list[tuple[float, str]], list[tuple[float, str]]] = field(default_factory=lambda: ([], []))
    """Time and place (cu, queue) of every packet lost to a full buffer."""
    slots: list[Slot] = field(default_factory=list)
    cu_jobs: list[CuJob] = field(default_factory=list)
    """What its CU did; the cells of one CU share this list."""

    def times(self, way: int) -> FloatArray:
        """Return when packets of a direction were sent and delivered, shape (packets, 2)."""
        return np.array([(sent, at) for _, sent, at in self.delivered[way]]).reshape(-1, 2)


def lognormal(normal: FloatArray, sd: float) -> FloatArray:
    """Return factors of mean 1 whose logarithm has the standard deviation `sd`."""
    return np.exp(sd * normal - 0.5 * sd * sd)


def autoregression(normal: FloatArray, rho: float) -> FloatArray:
    """Return a stationary AR(1) sequence of variance 1 that starts after its first, unseen value."""
    values = [float(normal[0])]
    for innovation in normal[1:]:
        values.append(rho * values[-1] + math.sqrt(1.0 - rho * rho) * float(innovation))
    return np.array(values[1:])


def chance(key: int, number: int, lane: int) -> float:
    """Return the number in (0, 1) that `twin.kernel_random` defines for a key, a slot or packet and a lane."""

    def mix(x: int) -> int:
        x ^= x >> 16
        x = x * 0x21F0AAAD % 2**32
        x ^= x >> 15
        x = x * 0x735A2D97 % 2**32
        return x ^ x >> 15

    return (mix(mix(number % 2**32) ^ (key + lane * 0x61C88647) % 2**32) + 0.5) / 2**32


def in_turn(n_ue: int, first: int) -> list[int]:
    """Return all UEs, beginning with `first`."""
    return [(first + k) % n_ue for k in range(n_ue)]


def share(needs: Sequence[int], whole: int, first: int) -> list[int]:
    """Share PRBs: each UE with data gets what it needs up to an equal share, what is left goes round in turn."""
    active = [ue for ue in in_turn(len(needs), first) if needs[ue] > 0]
    prbs = [min(need, whole // len(active)) for need in needs]
    for ue in active:
        prbs[ue] += min(needs[ue] - prbs[ue], whole - sum(prbs))
    return prbs
