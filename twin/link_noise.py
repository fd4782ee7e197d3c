"""What a link does to packets besides serialising and delaying them: jitter, loss, a queue that overflows.

The model follows netem (tc-netem(8)), with two differences: the order of packets is kept, and correlation is that of an
AR(1) process whose marginal distribution is the one asked for. Per leg and direction, packet k = 0, 1, 2, ... (counted
since the start of the run as they enter) at time t:

* If more than `limit_packets` packets' serialisation lies before it (line free at f, f - t > limit x serialisation time
  of one), it is dropped.
* The loss model is a Markov chain of two states that begins in the good one (Gilbert-Elliott; Bernoulli where `to_bad`
  is 0): first the state moves, good to bad with probability `to_bad`, bad to good with `to_good`; then the packet is
  lost with probability `loss` in the good state and `loss_bad` in the bad one. A packet that is lost takes no time
  of the line.
* It leaves the line at f' = max(t, f) + serialisation time and arrives at max(f' + max(delay_ms + jitter_ms * X, 0),
  arrival of the packet before it). X has mean 0 and depends on Z, standard normal, Z_k = c Z_(k-1) + sqrt(1 - c^2) N_k
  with c = `correlation`; Z_0 = N_0.

A fronthaul has no packets: its events are slots. In real time (`rt`) these are the slots that end in time, k is the
slot's number; in lock-step every slot, k counts them from 0. Its delay is d = max(delay_ms + jitter_ms * X, 0). In
real time a slot is lost, as one is that ends late, when d > `window_ms` (if that is above 0) or when the loss model
says so; the air time of what is carried does not change, because the radio unit waits for it. In lock-step d delays
the next slot twice (request and reply) and a loss adds RETRANSMIT_MS to it. `limit_packets` means nothing there.

Random numbers: `twin.kernel_random.uniform(key, k, lane)` with the cell's key (`DataPlane`; for the backhaul that of
the CU's first cell) and lane = 8 * line + j, where line is 0 for the fronthaul, 1 midhaul down, 2 midhaul up, 3
backhaul down, 4 backhaul up. j = 0 moves the loss state, j = 1 decides on the loss, j = 2, 3 make N = sqrt(-2 ln u2)
cos(2 pi u3). A packet that finds the queue full counts as number k too, and its numbers are not used: neither state
nor Z moves. Z does not move for a packet that is lost either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from col.errors import InputError
from twin.strict import limits

__all__ = ["LEGS", "RETRANSMIT_MS", "Distribution", "LinkNoise", "LinkState"]

LEGS = ("fronthaul", "midhaul", "backhaul")
RETRANSMIT_MS = 200.0
"""What a lost message of the virtual radio costs: the least retransmission timeout of TCP on Linux."""


class Distribution(StrEnum):
    """Distribution of the jitter variable X; mean 0 but for what truncation takes of PARETO (-0.033).

    UNIFORM: on [-1, 1], 2 Phi(Z) - 1. NORMAL: Z. PARETO: min(4/3 (U^(-1/3) - 3/2), 4) with U = 1 - Phi(Z), standard
    deviation about 1.1, never below -2/3: late packets are very late (shape 3, the table that iproute2 comes with).
    PARETONORMAL: 3/4 of PARETO and 1/4 of NORMAL, of the same Z.
    """

    UNIFORM = "uniform"
    NORMAL = "normal"
    PARETO = "pareto"
    PARETONORMAL = "paretonormal"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkNoise:
    """Jitter and loss of one leg, the same in both directions with numbers of their own: `[links.midhaul]` and so on.

    Values at hand [A]: fronthaul 0.05 to 0.1 ms +- 0.01, midhaul 0.5 to 1 +- 0.1, backhaul 2 to 5 +- 0.5 ms, loss up to
    1e-3.
    """

    jitter_ms: float = field(default=0.0, metadata=limits(lower=0, upper=10_000))
    """What X is multiplied by."""
    distribution: Distribution = Distribution.UNIFORM
    correlation: float = field(default=0.0, metadata=limits(lower=0, upper=0.9999))
    """Of Z from one packet to the next."""
    loss: float = field(default=0.0, metadata=limits(lower=0, upper=1))
    """Probability that a packet is lost (in the good state)."""
    to_bad: float = field(default=0.0, metadata=limits(lower=0, upper=1))
    """Probability per packet that a burst of losses begins (netem's gemodel p)."""
    to_good: float = field(default=1.0, metadata=limits(lower=0, upper=1))
    """Probability per packet that it ends (r)."""
    loss_bad: float = field(default=1.0, metadata=limits(lower=0, upper=1))
    """Probability that a packet is lost within it (1 - h)."""
    limit_packets: int = field(default=1000, metadata=limits(lower=1, upper=1_000_000))
    """Packets that wait for the line at most; netem's also counts those on their way."""
    window_ms: float = field(default=0.0, metadata=limits(lower=0, upper=10_000))
    """Fronthaul in real time: a slot that is delayed by more is lost; 0 switches that off."""

    def __post_init__(self) -> None:
        for key, upper in (
            ("jitter_ms", 1e4), ("correlation", 0.9999), ("loss", 1.0), ("to_bad", 1.0), ("to_good", 1.0),
            ("loss_bad", 1.0), ("limit_packets", 1e6), ("window_ms", 1e4),
        ):  # fmt: skip
            number, least = getattr(self, key), 1 if key == "limit_packets" else 0
            if not least <= number <= upper:
                raise InputError(f"must lie in {least} to {upper:g}", key=key, value=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """A leg as it is from some time on: one-way delay [ms], rate [Mbit/s] of each direction, noise (None: none).

    The fronthaul's rate means nothing. Without noise the queue before the line is unlimited.
    """

    delay_ms: float
    rate_mbps: float = 1000.0
    noise: LinkNoise | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.delay_ms <= 1e5:
            raise InputError("must lie in 0 to 100000 ms", key="delay_ms", value=self.delay_ms)
        if not (self.rate_mbps > 0.0 and math.isfinite(self.rate_mbps)):
            raise InputError("must be above 0 and finite", key="rate_mbps", value=self.rate_mbps)
