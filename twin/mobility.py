"""Handover between the two cells of a pair: who moves, when, and for how long nothing goes through.

Two rules. *Load*: where the load of one cell exceeds the other's by more than the threshold of the pair, one UE moves
to the lighter cell, once a control tick. Moving a UE of rate r changes the difference by 2 r, so that without any
arrival a UE goes back and forth for ever exactly if the threshold is below r: at a difference of r, which the move
turns into -r. With noise of sd s in each measured load the threshold must be above r + z sqrt(2) s for that to be as
rare as z says. *A3* (3GPP TS 38.331 5.5.4.4): a UE whose other cell is better than its own by `offset_db` plus
`hysteresis_db` for `time_to_trigger_ms` moves there.

The interruption is lognormal: the testbeds have no X2 or Xn handover but a re-attachment or a re-routing, so its median
is far above the 50 to 125 ms of TS 38.133 6.1.1.2 [A]. With `loss_probability` what is in flight is lost (RLC
re-establishment [A]); else it is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from col.errors import InputError
from twin.strict import limits

if TYPE_CHECKING:
    from twin.scenario_model import Scenario

__all__ = ["A3Rule", "A3State", "Interruption", "LoadRule", "direction", "ping_pongs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """How long a UE that hands over sends and receives nothing: lognormal, cut off at both ends."""

    median_s: float = field(default=0.5, metadata=limits(above=0, upper=60))
    log_sd: float = field(default=0.6, metadata=limits(lower=0, upper=3))
    lower_s: float = field(default=0.05, metadata=limits(lower=0, upper=60))
    upper_s: float = field(default=3.0, metadata=limits(lower=0, upper=60))
    loss_probability: float = field(default=0.1, metadata=limits(lower=0, upper=1))

    def __post_init__(self) -> None:
        if not self.lower_s <= self.median_s <= self.upper_s:
            raise InputError(
                f"must lie in lower_s ({self.lower_s:g}) to upper_s ({self.upper_s:g})",
                key="median_s",
                value=self.median_s,
            )

    def length_ms(self, normal: float) -> float:
        """Return the interruption [ms] for a standard normal draw."""
        return 1000.0 * min(self.upper_s, max(self.lower_s, self.median_s * math.exp(self.log_sd * normal)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRule:
    """The load-imbalance rule. It acts when a window begins, and every `tick_s` within it.

    What it compares is the mean uplink load [Mbit/s] since its last tick, give or take `noise_mbps` (sd, each cell,
    each tick). The threshold is the control `thr` of the pair [Mbit/s].
    """

    tick_s: float = field(default=15.0, metadata=limits(lower=0.1, upper=3600))
    noise_mbps: float = field(default=0.0, metadata=limits(lower=0, upper=10_000))

    def check_scenario(self, scenario: Scenario) -> None:
        """Refuse handover where there are no UEs to move, no pairs to move them in, or no threshold to compare with."""
        _check_ground(scenario)
        if scenario.value_of_kind("thr") is None:
            raise InputError("needs a threshold: [controls.thr], or thr_mbps in [fixed]", key="tick_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class A3Rule:
    """Event A3 on the difference of the two cells' received power at each UE.

    The difference (second cell of the pair minus first, dB) of each UE is AR(1) with `sd_db` and `correlation_s` about
    0: distance and shadowing along its way, coarse [A]; on two carriers there is no interference between them. It is
    measured every `sample_ms` (TS 38.133 9.2: 200 ms).
    """

    offset_db: float = field(default=6.0, metadata=limits(lower=-15, upper=15))
    hysteresis_db: float = field(default=0.0, metadata=limits(lower=0, upper=15))
    time_to_trigger_ms: float = field(default=100.0, metadata=limits(lower=0, upper=5120))
    sample_ms: float = field(default=200.0, metadata=limits(lower=40, upper=10_000))
    sd_db: float = field(default=6.0, metadata=limits(above=0, upper=40))
    correlation_s: float = field(default=30.0, metadata=limits(above=0, upper=86_400))

    def check_scenario(self, scenario: Scenario) -> None:
        """Refuse handover where there are no UEs to move or no pairs to move them in."""
        _check_ground(scenario)


def _check_ground(scenario: Scenario) -> None:
    if "ues" not in scenario.tables:
        raise InputError("UEs hand over only where they are simulated one by one; add [ues]")
    if not scenario.topology.pairs:
        raise InputError("UEs hand over between the cells of a pair; add [pairs.p1] with cells = [1, 2]")


def direction(first_mbps: float, second_mbps: float, threshold_mbps: float) -> int:
    """Return 1 if a UE moves from the first cell to the second, -1 for the other way, 0 for none.

    Loads are compared to 1e-6 Mbit/s, so that what rounding leaves of an exact difference does not decide.
    """
    difference = round(first_mbps - second_mbps, 6)
    if abs(difference) <= threshold_mbps:
        return 0
    return 1 if difference > 0.0 else -1


class A3State:
    """The measurements of one UE: how much better the second cell of its pair is, and since when that is enough."""

    def __init__(self, rule: A3Rule, normal: float) -> None:
        """Start the difference in its stationary law."""
        self._rule = rule
        self._keep = math.exp(-rule.sample_ms / 1000.0 / rule.correlation_s)
        self.difference_db = rule.sd_db * normal
        self._entered_ms: float | None = None

    def sample(self, now_ms: float, in_second: bool, normal: float) -> bool:
        """Take the next measurement; return whether the UE is to move now."""
        rule = self._rule
        fresh = rule.sd_db * math.sqrt(1.0 - self._keep * self._keep)
        self.difference_db = self._keep * self.difference_db + fresh * normal
        better_db = -self.difference_db if in_second else self.difference_db
        if better_db - rule.hysteresis_db > rule.offset_db:
            self._entered_ms = now_ms if self._entered_ms is None else self._entered_ms
            if now_ms - self._entered_ms >= rule.time_to_trigger_ms:
                self._entered_ms = None
                return True
        elif better_db + rule.hysteresis_db < rule.offset_db:
            self._entered_ms = None
        return False


def ping_pongs(moves: list[tuple[float, str, int, int]], within_s: float) -> int:
    """Return how many handovers take a UE back to the cell that it had left at most `within_s` before.

    `moves` are (time in s, UE, from cell, to cell) in order of time; the definition is that of TR 36.839 5.2.
    """
    last: dict[str, tuple[float, int]] = {}
    count = 0
    for at_s, ue, source, target in moves:
        before = last.get(ue)
        if before is not None and before[1] == target and at_s - before[0] <= within_s:
            count += 1
        last[ue] = (at_s, source)
    return count
