"""Plants whose truth is known, drawn at random from a seed: the learner is judged on those that it has never seen.

A plant has 2, 4 or 8 controls and some leaves; a leaf is `f(x, load) + h(x) (run + window noise)`, on a linear or a
logarithmic scale, with a threshold. Three kinds:

* `station`: stages that each need enough of two controls for their load; what is delivered saturates at the offer;
* `service`: a knee with interaction, an optimum in the middle (not monotone), a bill that is linear in all controls;
* `rough`: random smooth functions of one or two controls and a load, of no form that the learner knows.

Passive windows come from an autoscaler that follows the load of the window before, with dither: control and load are
confounded. Noise may vary with x, is autocorrelated, and has a part that all leaves of a run share. The probability
that the specification holds is exact up to a 9-point quadrature and 20 000 draws a leaf.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

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

__all__ = ["KINDS", "SyntheticLeaf", "SyntheticPlant", "Truth", "make_plant"]

FloatArray = NDArray[np.float64]
Effect = Callable[[FloatArray, FloatArray], FloatArray]
KINDS = ("station", "service", "rough")
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


def make_plant(seed: int, controls: int, kind: str) -> SyntheticPlant:
    """Return the plant of that seed: drawn again until reference and region are as a plant needs them."""
    builders = {"station": _station, "service": _service, "rough": _rough}
    for attempt in range(200):
        rng = np.random.default_rng([seed, controls, KINDS.index(kind), attempt])
        plant = builders[kind](rng, controls)
        plant.seed = int(rng.integers(2**31))
        if float(plant.probability(plant.reference[None])[0]) < 0.99:
            continue
        x = np.random.default_rng(1).uniform(plant.low, plant.high, size=(4000, controls))
        inside = x[plant.probability(x) >= 0.9]
        share = len(inside) / len(x)
        if (0.1, 0.04, 0.008)[(controls > 2) + (controls > 4)] <= share <= 0.7 and _visible(plant, inside) >= 0.8:
            return plant
    raise AssertionError("no such plant")


def _visible(plant: SyntheticPlant, inside: FloatArray) -> float:
    """Share of the region that a straight line within it joins to the reference: no learner leaps a gap."""
    steps = np.linspace(0.1, 0.9, 9)[:, None, None]
    lines = plant.reference + steps * (inside - plant.reference)
    held = plant.probability(lines.reshape(-1, lines.shape[-1])).reshape(len(steps), -1) >= 0.9
    return float(held.all(axis=0).mean())


def _common(rng: np.random.Generator, d: int) -> dict[str, Any]:
    low = rng.uniform(0.0, 1.0, d)
    return {
        "low": low,
        "high": low + rng.uniform(0.5, 4.0, d),
        "horizon": int(rng.integers(3, 9)),
        "shared": float(rng.choice([0.0, 0.3])),
        "seed": 0,
    }


def _varying(rng: np.random.Generator, controls: tuple[int, ...]) -> Callable[[FloatArray], FloatArray]:
    """Noise that differs by a factor of up to about 2.5 over the box."""
    j, tilt = int(rng.choice(controls)), float(rng.choice([0.0, rng.uniform(-0.9, 0.9)]))
    return lambda x: np.exp(tilt * (x[:, j] - 0.5))


def _station(rng: np.random.Generator, d: int) -> SyntheticPlant:
    """Stations of two stages; delivered = min(offered, what each stage carries)."""
    common = _common(rng, d)
    stations = d // 2
    leaves: list[SyntheticLeaf] = []
    derived: dict[str, tuple[str, tuple[int, ...]]] = {}
    need = np.empty(d)
    for s in range(stations):
        for stage in range(2):
            j = 2 * s + stage
            need[j] = rng.uniform(0.2, 0.5)
            power, drag, soft = rng.uniform(0.7, 1.6), rng.uniform(0.1, 0.5), rng.uniform(0.02, 0.08)

            def effect(x: FloatArray, load: FloatArray, j=j, s=s, power=power, drag=drag, soft=soft) -> FloatArray:
                share = np.log((x[:, j] + soft) / (need[j] + soft)) * power
                return np.log(9.5) + share - drag * (load[:, s] - 1.0)

            leaves.append(
                SyntheticLeaf(
                    name=f"carry{s}{'ab'[stage]}",
                    effect=effect,
                    controls=(j,),
                    loads=(s,),
                    sign=1,
                    threshold=float(np.log(9.5)),
                    run=float(rng.uniform(0.015, 0.05)),
                    window=float(rng.uniform(0.005, 0.03)),
                    rho=float(rng.uniform(0.0, 0.6)),
                    logarithmic=True,
                    noise_scale=_varying(rng, (j,)),
                )
            )
        derived[f"served{s}"] = (f"min(load{s}, carry{s}a, carry{s}b)", (2 * s, 2 * s + 1))
    gain, dither = rng.uniform(1.1, 1.3), rng.uniform(0.03, 0.08)

    def autoscale(loads: FloatArray, rng: np.random.Generator) -> FloatArray:
        wanted = np.repeat(loads, 2, axis=1) * need * gain + 0.1
        return wanted + dither * rng.standard_normal(wanted.shape)

    scaled_reference = np.minimum(need + 0.45, 0.95)
    return SyntheticPlant(
        leaves=tuple(leaves),
        loads=stations,
        reference=common["low"] + scaled_reference * (common["high"] - common["low"]),
        operating=np.ones(stations),
        autoscale=autoscale,
        derived=derived,
        **common,
    )


def _service(rng: np.random.Generator, d: int) -> SyntheticPlant:
    """Pairs of controls: a delay with a knee and interaction, a quality with an optimum; one bill over all controls."""
    common = _common(rng, d)
    pairs = d // 2
    leaves: list[SyntheticLeaf] = []
    knees = rng.uniform(0.15, 0.45, pairs)
    for s in range(pairs):
        a, b = 2 * s, 2 * s + 1
        width, mix, cross = rng.uniform(0.08, 0.2), rng.uniform(0.2, 0.8), rng.uniform(-0.4, 0.4)
        drag = rng.uniform(0.05, 0.3)

        def delay(
            x: FloatArray, load: FloatArray, a=a, b=b, s=s, width=width, mix=mix, cross=cross, drag=drag
        ) -> FloatArray:
            strength = mix * x[:, a] + (1 - mix) * x[:, b] + cross * x[:, a] * x[:, b]
            return 1.0 + 4.0 * width * np.logaddexp(0.0, (knees[s] + drag * (load[:, s] - 0.7) - strength) / width)

        best, drift, curve = rng.uniform(0.4, 0.7), rng.uniform(-0.15, 0.15), rng.uniform(2.0, 5.0)

        def quality(x: FloatArray, load: FloatArray, a=a, s=s, best=best, drift=drift, curve=curve) -> FloatArray:
            return 10.0 - curve * (x[:, a] - best - drift * (load[:, s] - 0.7)) ** 2

        spread = float(rng.uniform(0.02, 0.06))
        leaves += [
            SyntheticLeaf(
                name=f"delay{s}",
                effect=delay,
                controls=(a, b),
                loads=(s,),
                sign=-1,
                threshold=float(1.0 + 4.0 * width * rng.uniform(0.5, 1.0)),
                run=spread,
                window=float(rng.uniform(0.01, 0.05)),
                rho=float(rng.uniform(0.0, 0.6)),
                noise_scale=_varying(rng, (a, b)),
            ),
            SyntheticLeaf(
                name=f"quality{s}",
                effect=quality,
                controls=(a,),
                loads=(s,),
                sign=1,
                threshold=float(10.0 - curve * rng.uniform(0.08, 0.2)),
                run=float(rng.uniform(0.01, 0.05)),
                window=float(rng.uniform(0.01, 0.05)),
                rho=float(rng.uniform(0.0, 0.6)),
                noise_scale=_varying(rng, (a,)),
            ),
        ]
    price, surge = rng.uniform(0.5, 2.0, d), rng.uniform(0.2, 1.0, pairs)

    def bill(x: FloatArray, load: FloatArray) -> FloatArray:
        return 20.0 + x @ price + load[:, :pairs] @ surge

    leaves.append(
        SyntheticLeaf(
            name="bill",
            effect=bill,
            controls=tuple(range(d)),
            loads=tuple(range(pairs)),
            sign=-1,
            threshold=float(20.0 + price.sum() * rng.uniform(0.6, 0.85) + 0.7 * surge.sum()),
            run=float(rng.uniform(0.02, 0.08)),
            window=float(rng.uniform(0.02, 0.05)),
            rho=0.2,
        )
    )
    middle, gain, dither = rng.uniform(0.4, 0.6, d), rng.uniform(0.3, 0.6, d), rng.uniform(0.04, 0.1)

    def autoscale(loads: FloatArray, rng: np.random.Generator) -> FloatArray:
        wanted = middle + gain * (np.repeat(loads, 2, axis=1) - 0.5)
        return wanted + dither * rng.standard_normal(wanted.shape)

    x = np.random.default_rng(0).uniform(0.1, 0.9, size=(3000, d))
    load = np.full((len(x), pairs), 0.7)
    slack = np.min([le.sign * (le.effect(x, load) - le.threshold) / le.run for le in leaves], axis=0)
    return SyntheticPlant(
        leaves=tuple(leaves),
        loads=pairs,
        reference=common["low"] + x[int(np.argmax(slack))] * (common["high"] - common["low"]),
        operating=np.full(pairs, 0.7),
        autoscale=autoscale,
        **common,
    )


def _rough(rng: np.random.Generator, d: int) -> SyntheticPlant:
    """Random smooth functions, one for each control or pair, above a threshold around a known good point."""
    common = _common(rng, d)
    groups: list[tuple[int, ...]] = []
    j = 0
    while j < d:
        size = min(int(rng.integers(1, 3)), d - j)
        groups.append(tuple(range(j, j + size)))
        j += size
    good = rng.uniform(0.3, 0.7, d)
    leaves: list[SyntheticLeaf] = []
    for k, group in enumerate(groups):
        length = rng.uniform(0.3, 0.7)
        frequencies = rng.standard_normal((60, len(group) + 1)) / length
        frequencies[:, -1] = rng.standard_normal(60) / 1.2
        phases, amplitudes = rng.uniform(0, 2 * np.pi, 60), rng.standard_normal(60) / np.sqrt(30)
        bowl = rng.uniform(2.0, 6.0)

        def effect(
            x: FloatArray, load: FloatArray, k=k, group=group, w=frequencies, p=phases, a=amplitudes, bowl=bowl
        ) -> FloatArray:
            z = np.column_stack([x[:, list(group)], load[:, k]])
            return np.cos(z @ w.T + p) @ a - bowl * ((x[:, list(group)] - good[list(group)]) ** 2).sum(1)

        at_good = float(effect(good[None], np.full((1, len(groups)), 0.6))[0])
        leaves.append(
            SyntheticLeaf(
                name=f"figure{k}",
                effect=effect,
                controls=group,
                loads=(k,),
                sign=1,
                threshold=at_good - float(rng.uniform(0.3, 0.9)),
                run=float(rng.uniform(0.02, 0.08)),
                window=float(rng.uniform(0.02, 0.08)),
                rho=float(rng.uniform(0.0, 0.6)),
                noise_scale=_varying(rng, group),
            )
        )
    owner = np.array([k for k, group in enumerate(groups) for _ in group])
    gain, dither = rng.uniform(-0.5, 0.5, d), rng.uniform(0.05, 0.1)

    def autoscale(loads: FloatArray, rng: np.random.Generator) -> FloatArray:
        wanted = good + gain * (loads[:, owner] - 0.5)
        return wanted + dither * rng.standard_normal(wanted.shape)

    return SyntheticPlant(
        leaves=tuple(leaves),
        loads=len(groups),
        reference=common["low"] + good * (common["high"] - common["low"]),
        operating=np.full(len(groups), 0.6),
        autoscale=autoscale,
        **common,
    )
