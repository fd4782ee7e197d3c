"""What is to be learned: a specification on a plant with a causal graph, at an operating point; what trials cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from col.expression import Expression
from col.graph import CausalGraph
from col.plant import PlantDescription
from col.specification import Specification

__all__ = ["Cost", "Problem", "Settings"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of a trial, c(x) = 1 + sum_j rate_j * max(0, x_j - reference_j), never to exceed `budget`.

    `rates` holds the rate of each control that costs something above its reference (1 per core, say); a control that is
    not named costs nothing.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    budget: float = math.inf

    def __post_init__(self) -> None:
        for name, rate in self.rates.items():
            if not (math.isfinite(rate) and rate >= 0):
                raise InputError("a cost rate must be finite and not negative", key=name, value=rate)
        if not self.budget >= 1.0:
            raise InputError("the budget of a trial must be at least 1, the cost at reference", key="budget")

    def evaluate(self, x: FloatArray, controls: Sequence[str], reference: FloatArray) -> FloatArray:
        """Return the cost of configurations `x`, shape (n, d), whose columns are `controls`; shape (n,)."""
        rates = np.array([self.rates.get(name, 0.0) for name in controls])
        cost: FloatArray = 1.0 + np.maximum(x - reference, 0.0) @ rates
        return cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What to learn: the region {x : P(specification | do(x)) >= alpha} with confidence 1 - delta.

    `derivations` says how metrics of the specification follow from metrics that do not saturate; `operating` is the
    constant value of each exogenous metric for which the region is wanted.
    """

    specification: Specification
    graph: CausalGraph
    derivations: Mapping[str, Expression] = field(default_factory=dict)
    operating: Mapping[str, float] = field(default_factory=dict)
    alpha: float = 0.9
    delta: float = 0.05
    cost: Cost = field(default_factory=Cost)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, value in (("alpha", self.alpha), ("delta", self.delta)):
            if not 0.0 < value < 1.0:
                raise InputError("must lie strictly between 0 and 1", key=key, value=value)
        for name, number in self.operating.items():
            if not math.isfinite(number):
                raise InputError("an operating value must be finite", key=name, value=number)

    def check(self, plant: PlantDescription) -> None:
        """Raise InputError unless the plant offers what the problem speaks of."""
        metrics = {metric.name for metric in plant.metrics}
        self.specification.check(metrics)
        nodes = self.graph.nodes
        for control in plant.controls:
            if control.name not in nodes:
                raise InputError("control of the plant is missing in the causal graph", key=control.name)
        for name in sorted(self.specification.metrics):
            if name not in nodes:
                raise InputError("metric of the specification is missing in the causal graph", key=name)
        for name, expression in self.derivations.items():
            unknown = sorted(expression.names - metrics - {c.name for c in plant.controls})
            if unknown:
                raise InputError(f"derivation uses {unknown[0]!r}, which the plant does not measure", key=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to learn. `effect` and `prior` choose models, `confidence` which bound decides what is tried and certified.

    `prior` is "causal" (passive windows, adjusted), "none" (passive responses ignored) or "naive" (unadjusted: biased,
    for comparison only). `reference_trials` bounds those spent on showing that the specification can hold at reference.
    """

    passive_windows: int = 960
    passive_chunk: int = 120
    max_trials: int = 60
    effect: str = "mechanism"
    prior: str = "causal"
    confidence: str = "pointwise"
    reference_trials: int = 5
    pick_share: float = 1.9
    pick_margin: float = 0.08
    passive_rows: int = 180

    def __post_init__(self) -> None:
        choices = {
            "effect": ("mechanism",),
            "prior": ("causal", "none", "naive"),
            "confidence": ("pointwise", "uniform"),
        }
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise InputError(f"must be one of {', '.join(known)}", key=key, value=getattr(self, key))
        for key, least in {"passive_windows": 0, "passive_chunk": 1, "max_trials": 0, "reference_trials": 1}.items():
            if getattr(self, key) < least:
                raise InputError(f"must be at least {least}", key=key, value=getattr(self, key))
