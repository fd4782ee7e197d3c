"""A plant of leaves whose truth is known: it can be watched and tried, and its region is exact up to a quadrature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from col.expression import Expression
from col.graph import CausalGraph, NodeKind
from col.plant import (
    Control,
    Intervention,
    Metric,
    MetricKind,
    PlantDescription,
    Trial,
    TrialOutcome,
    Windows,
)
from col.problem import Cost, Problem
from col.specification import Specification

__all__ = ["SyntheticLeaf", "SyntheticPlant", "Truth"]

FloatArray = NDArray[np.float64]
Effect = Callable[[FloatArray, FloatArray], FloatArray]
_RUN_WINDOWS = 60


@dataclass(frozen=True, kw_only=True)
class SyntheticLeaf:
    """One leaf: `effect(x, loads)` with x (n, d) scaled to 0..1 and loads (n, e) scaled to 0..1, result (n,)."""

    name: str
    effect: Effect
    controls: tuple[int, ...]
    loads: tuple[int, ...]
    sign: int
    threshold: float
    run: float
    window: float
    rho: float
    logarithmic: bool = False
    noise_scale: Callable[[FloatArray], FloatArray] = field(default=lambda x: np.ones(len(x)))


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Points for judging a region: `inside` (n, d) of the true region and `outside` (m, d) with weights (m,).

    The weights are such that their sum is the volume outside, in units in which an inside point weighs 1.
    """

    inside: FloatArray
    outside: FloatArray
    weights: FloatArray
    volume: float

    def judge(self, contains: Callable[[FloatArray], NDArray[np.bool_]]) -> tuple[float, float]:
        """Return coverage and false-safe share of a region."""
        covered = float(contains(self.inside).sum())
        wrong = float(contains(self.outside) @ self.weights)
        return covered / len(self.inside), wrong / (covered + wrong) if covered + wrong > 0 else 0.0


@dataclass(kw_only=True)
class SyntheticPlant:
    """A plant (see `col.plant.Plant`) that knows the truth. Controls run from `low` to `high`, loads from 0 to 10."""

    leaves: tuple[SyntheticLeaf, ...]
    loads: int
    low: FloatArray
    high: FloatArray
    reference: FloatArray
    operating: FloatArray
    autoscale: Callable[[FloatArray, np.random.Generator], FloatArray]
    horizon: int
    shared: float
    seed: int
    derived: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    follows_load: bool = True
    constraint: str = ""
    _run: int = 0
    _sequence: int = 0

    def describe(self) -> PlantDescription:
        """Return controls and metrics."""
        controls = tuple(
            Control(name=f"x{j}", unit="unit", lower=lo, upper=hi, resolution=(hi - lo) / 140, reference=ref)
            for j, (lo, hi, ref) in enumerate(zip(self.low, self.high, self.reference, strict=True))
        )
        names = [leaf.name for leaf in self.leaves] + [f"load{i}" for i in range(self.loads)]
        metrics = [Metric(name=name, unit="unit") for name in names]
        metrics += [Metric(name=name, unit="unit", kind=MetricKind.TARGET) for name in self.derived]
        return PlantDescription(
            plant_id=f"synthetic-{self.seed}", controls=controls, metrics=tuple(metrics), window_s=15.0, emulated=True
        )

    def graph(self) -> CausalGraph:
        """Return the causal graph, with the autoscaler as regime."""
        nodes = {f"x{j}": NodeKind.CONTROL for j in range(len(self.low))}
        nodes |= {f"load{i}": NodeKind.EXOGENOUS for i in range(self.loads)}
        edges = []
        for leaf in self.leaves:
            nodes[leaf.name] = NodeKind.OBSERVABLE if self.derived else NodeKind.TARGET
            edges += [(f"x{j}", leaf.name) for j in leaf.controls] + [(f"load{i}", leaf.name) for i in leaf.loads]
        for name, (_, parents) in self.derived.items():
            nodes[name] = NodeKind.TARGET
            edges += [(self.leaves[k].name, name) for k in parents]
            edges += [(f"load{i}", name) for i in sorted({i for k in parents for i in self.leaves[k].loads})]
        used = {(i, j) for leaf in self.leaves for i in leaf.loads for j in leaf.controls}
        lagged = [(f"load{i}", f"load{i}") for i in range(self.loads)]
        regime = [(f"load{i}", f"x{j}") for i, j in sorted(used)] if self.follows_load else []
        return CausalGraph(nodes, tuple(edges), tuple(lagged), tuple(regime))

    def problem(self, alpha: float = 0.9) -> Problem:
        """Return the learning problem."""
        terms = []
        for leaf in self.leaves:
            if any(leaf.name in self._parents(name) for name in self.derived):
                continue
            value = float(np.exp(leaf.threshold)) if leaf.logarithmic else leaf.threshold
            terms.append(f"{leaf.name} {'>=' if leaf.sign > 0 else '<='} {value!r}")
        terms += [
            f"{name} >= 0.95 * load{self.leaves[parents[0]].loads[0]}" for name, (_, parents) in self.derived.items()
        ]
        text = f"always[0,{self.horizon - 1}](" + " and ".join(terms) + ")"
        return Problem(
            specification=Specification.parse(text),
            graph=self.graph(),
            derivations={name: Expression.parse(expression) for name, (expression, _) in self.derived.items()},
            operating={f"load{i}": float(10 * v) for i, v in enumerate(self.operating)},
            alpha=alpha,
            cost=Cost(
                rates={f"x{j}": 1.0 / (hi - lo) for j, (lo, hi) in enumerate(zip(self.low, self.high, strict=True))}
            ),
        )

    def _parents(self, name: str) -> list[str]:
        return [self.leaves[k].name for k in self.derived[name][1]]

    def history(self, since: int) -> Windows:
        """Return nothing: nothing was recorded."""
        return Windows.empty([f"x{j}" for j in range(len(self.low))], [])

    def observe(self, n: int) -> Windows:
        """Return `n` passive windows, runs of 60."""
        tables = []
        while n > 0:
            rng = np.random.default_rng([self.seed, 1, self._run])
            size = min(n, _RUN_WINDOWS)
            z = np.empty((size + 1, self.loads))
            z[0] = rng.standard_normal(self.loads)
            memory = np.exp(-1.0 / 8.0)
            for t in range(size):
                z[t + 1] = memory * z[t] + np.sqrt(1 - memory**2) * rng.standard_normal(self.loads)
            loads = 0.5 * (1.0 + np.tanh(z * 0.8))  # roughly uniform on 0..1
            x = np.clip(self.autoscale(loads[:-1], rng), 0.0, 1.0)
            tables.append(self._windows(x, loads[1:], rng))
            n -= size
        return tables[0] if len(tables) == 1 else _join(tables)

    def trial(self, x: Intervention, n: int, *, keep: bool = False) -> Trial:
        """Apply `x` and watch `n` windows of a fresh run at the operating loads."""
        self.describe().check(x)
        full = x.over(self.describe().reference.values)
        rng = np.random.default_rng([self.seed, 2, self._run])
        scaled = (np.array([full[f"x{j}"] for j in range(len(self.low))]) - self.low) / (self.high - self.low)
        windows = self._windows(np.repeat(scaled[None], n, 0), np.repeat(self.operating[None], n, 0), rng)
        return Trial(intervention=full, outcome=TrialOutcome.HELD, windows=windows, read_back=full)

    def _windows(self, x: FloatArray, loads: FloatArray, rng: np.random.Generator) -> Windows:
        n = len(x)
        common = rng.standard_normal()
        metrics: dict[str, FloatArray] = {}
        for leaf in self.leaves:
            run = self.shared * common + np.sqrt(1 - self.shared**2) * rng.standard_normal()
            noise = np.empty(n)
            noise[0] = rng.standard_normal()
            for t in range(1, n):
                noise[t] = leaf.rho * noise[t - 1] + np.sqrt(1 - leaf.rho**2) * rng.standard_normal()
            value = leaf.effect(x, loads) + leaf.noise_scale(x) * (leaf.run * run + leaf.window * noise)
            metrics[leaf.name] = np.exp(value) if leaf.logarithmic else value
        for i in range(self.loads):
            metrics[f"load{i}"] = 10.0 * loads[:, i]
        for name, (expression, _) in self.derived.items():
            metrics[name] = np.asarray(Expression.parse(expression).evaluate(metrics)) * np.ones(n)
        self._run += 1
        sequence = np.arange(self._sequence, self._sequence + n)
        self._sequence += n
        raw = self.low + x * (self.high - self.low)
        return Windows(
            sequence=sequence,
            start_s=np.asarray(15.0 * sequence),
            end_s=np.asarray(15.0 * (sequence + 1)),
            run=np.full(n, self._run),
            controls={f"x{j}": raw[:, j] for j in range(raw.shape[1])},
            metrics=metrics,
        )

    @cached_property
    def _demands(self) -> tuple[FloatArray, list[list[FloatArray]]]:
        """Quadrature weights of the shared run effect, and for each node and leaf the sorted demand."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(9)
        rng = np.random.default_rng([self.seed, 3])
        table: list[list[FloatArray]] = [[] for _ in nodes]
        for leaf in self.leaves:
            own = rng.standard_normal(20_000) * np.sqrt(1 - self.shared**2) * leaf.run
            noise = rng.standard_normal((20_000, self.horizon))
            for t in range(1, self.horizon):
                noise[:, t] = leaf.rho * noise[:, t - 1] + np.sqrt(1 - leaf.rho**2) * noise[:, t]
            for q, node in enumerate(nodes):
                total = leaf.sign * (leaf.run * self.shared * node + own[:, None] + leaf.window * noise)
                table[q].append(np.sort(-total.min(axis=1)))
        return weights / weights.sum(), table

    def probability(self, x: FloatArray) -> FloatArray:
        """Return the true P(phi | do(x)) at `x` (n, d) in units of the controls, shape (n,)."""
        scaled = (np.atleast_2d(x) - self.low) / (self.high - self.low)
        loads = np.repeat(self.operating[None], len(scaled), 0)
        weights, table = self._demands
        total = np.zeros(len(scaled))
        distances = [
            leaf.sign * (leaf.effect(scaled, loads) - leaf.threshold) / leaf.noise_scale(scaled) for leaf in self.leaves
        ]
        for weight, demands in zip(weights, table, strict=True):
            share = np.ones(len(scaled))
            for distance, demand in zip(distances, demands, strict=True):
                share *= np.searchsorted(demand, distance, side="right") / len(demand)
            total += weight * share
        return total

    def truth(self, alpha: float = 0.9, *, points: int = 2000, most: int = 400_000) -> Truth:
        """Return points inside the true region, and weighted points outside of it (all of those near the border)."""
        rng = np.random.default_rng([self.seed, 4])
        inside: list[FloatArray] = []
        near: list[FloatArray] = []
        far: list[FloatArray] = []
        drawn = 0
        while drawn < most and sum(len(part) for part in inside) < points:
            x = rng.uniform(self.low, self.high, size=(20_000, len(self.low)))
            p = self.probability(x)
            inside.append(x[p >= alpha])
            near.append(x[(p < alpha) & (p > 0.2)])
            far.append(x[p <= 0.2])
            drawn += len(x)
        inner, close, wide = (np.concatenate(part) for part in (inside, near, far))
        kept = wide[: max(1, 3000)]
        outside = np.concatenate([close[:6000], kept])
        weights = np.concatenate(
            [
                np.full(min(len(close), 6000), len(close) / max(min(len(close), 6000), 1)),
                np.full(len(kept), len(wide) / max(len(kept), 1)),
            ]
        )
        return Truth(inside=inner, outside=outside, weights=weights, volume=len(inner) / drawn)


def _join(tables: list[Windows]) -> Windows:
    from col.plant import concatenate_windows

    return concatenate_windows(tables)
