"""Who sets the CPU limits while nobody intervenes: a lagged autoscaler.

It follows the load that it saw in the window before, as every autoscaler must.  Load is autocorrelated, so the windows
with little CPU are the windows with little load: that is the confounding that a naive reading of passive data falls
for.  It is too slow for a rising load, so some passive windows violate the requirement.  In trials it is suspended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from col.plant import Control
from twin.strict import limits

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["Autoscaler", "ScalingRule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRule:
    """Limit = base_cores + gain_cores_per_mbps x load(t - 1) + N(0, dither_cores), clipped to the control's bounds.

    The load is the sum of both directions over the cells that the container serves.  The dither is what makes the
    effect of CPU estimable at all: without it the limit would be a function of the load.
    """

    base_cores: float = field(metadata=limits(lower=0, upper=64))
    gain_cores_per_mbps: float = field(metadata=limits(lower=0, upper=64))
    dither_cores: float = field(metadata=limits(lower=0, upper=64))


class Autoscaler:
    """The rules of a scenario at work in one run; one generator per control, so that controls do not share noise."""

    def __init__(
        self,
        rules: Mapping[str, ScalingRule],
        followed: Mapping[str, tuple[str, ...]],
        controls: Mapping[str, Control],
        generators: Mapping[str, np.random.Generator],
    ) -> None:
        """Take the rule, the load metrics followed, the control and the generator of every scaled control, by name."""
        self._rules, self._followed = dict(rules), dict(followed)
        self._controls, self._generators = dict(controls), dict(generators)

    def act(self, ran: RanState, seen: Mapping[str, float]) -> None:
        """Put the limits of the next window in force and note each decision with what it came from."""
        decided = self.decide(seen)
        ran.apply(decided)
        for name, value in decided.items():
            inputs = {metric: seen[metric] for metric in self._followed[name]}
            ran.note("decision", name, value=value, by="load", **inputs)

    def decide(self, seen: Mapping[str, float]) -> dict[str, float]:
        """Return the limits of the next window [core] from the loads seen in the last one [Mbit/s], by metric name.

        A load that is missing (NaN) leaves its control out: an autoscaler that sees nothing changes nothing.
        """
        decision: dict[str, float] = {}
        for name, rule in self._rules.items():
            load = sum(seen[metric] for metric in self._followed[name])
            dither = rule.dither_cores * self._generators[name].standard_normal()
            if np.isfinite(load):
                decision[name] = self._controls[name].snap(rule.base_cores + rule.gain_cores_per_mbps * load + dither)
        return decision
