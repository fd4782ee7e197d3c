"""The effect of interventions on the specification, `mechanism`: one Gaussian process for each leaf, one law of noise.

The region follows by sending trajectories (knowledge, run effects, window noise) through the specification. Watched
windows and trials train the same processes, since each has its causes among its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from col.leaf import Leaf, choose_scale
from col.noise import TrajectoryDraws, shrunk_correlation
from col.plant import PlantDescription, Windows
from col.prior import LeafDesign, PassiveRows, design_leaves, passive_rows
from col.problem import Problem, Settings
from col.region import Region
from col.requirement import LeafScale, Reduction, reduce_specification

__all__ = ["EffectModel", "LeafSummary", "Mechanism"]

FloatArray = NDArray[np.float64]
_TRAJECTORIES = 2048
_TRAJECTORIES_WHOLE = 384
_REFIT_AFTER = (3, 6, 10, 15, 22, 30, 40, 52, 70, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafSummary:
    """What the passive phase said of one leaf, for people."""

    name: str
    controls: tuple[str, ...]
    formula: str
    obstacle: str
    windows: int
    support: int
    lengthscales: tuple[float, ...]
    run_sd: float
    window_sd: float
    note: str = ""


class EffectModel(Protocol):
    """What the learner asks of a model of the effect, whichever it is."""

    def observe_passive(self, windows: Windows) -> None:
        """Learn from the passive phase, once."""
        ...

    def observe_trial(self, x: FloatArray, windows: Windows) -> None:
        """Learn from the windows of a trial at configuration `x` (d,)."""
        ...

    def region(self) -> Region:
        """Return the estimated region as it stands."""
        ...

    def information(self, x: FloatArray) -> FloatArray:
        """Return how much a trial at each of `x` (n, d) would tell of the border of the region, shape (n,)."""
        ...

    def summaries(self) -> tuple[LeafSummary, ...]:
        """Return what is modelled and how, for people."""
        ...


class Mechanism:
    """A Gaussian process for each leaf over its causes, composed by derivations and the specification."""

    def __init__(
        self, problem: Problem, plant: PlantDescription, settings: Settings, rng: np.random.Generator
    ) -> None:
        self._problem, self._plant, self._settings = problem, plant, settings
        self._rng = rng
        self._dropped: frozenset[str] = frozenset()
        self._designs = self._design()
        self._leaves: list[Leaf] = []
        self._rows: dict[str, PassiveRows] = {}
        self._reduction: Reduction | None = None
        self._draws: TrajectoryDraws | None = None
        self._trials = 0
        self._notes: list[str] = []
        self._region: Region | None = None

    def _design(self) -> tuple[LeafDesign, ...]:
        adjusted = self._settings.prior != "naive"
        return design_leaves(self._problem, self._plant, adjusted=adjusted, dropped=self._dropped)

    @property
    def designs(self) -> tuple[LeafDesign, ...]:
        """What is modelled, on which inputs."""
        return self._designs

    @property
    def derivations(self) -> Mapping[str, object]:
        """Derivations that the data bear out."""
        return {k: v for k, v in self._problem.derivations.items() if k not in self._dropped}

    def observe_passive(self, windows: Windows) -> None:
        """Learn from the passive phase: check the derivations, fit each leaf."""
        if len(windows):
            self._check_derivations(windows)
        self._rows = {}
        for design in self._designs:
            if self._settings.prior == "none" or design.obstacle or not len(windows):
                continue
            self._rows[design.name] = passive_rows(design, windows, self._problem.operating)
        if self._rows and all(len(rows.y) >= 8 for rows in self._rows.values()) and len(self._rows) == len(self._designs):
            self._build({name: rows.y for name, rows in self._rows.items()})

    def _check_derivations(self, windows: Windows) -> None:
        """Drop a derivation whose value lies far from what was measured: the metric is then modelled itself."""
        dropped = set()
        for metric, expression in self._problem.derivations.items():
            if metric not in windows.metrics:
                continue
            measured = windows.metrics[metric]
            derived = np.broadcast_to(expression.evaluate({**windows.controls, **windows.metrics}), measured.shape)
            both = np.isfinite(measured) & np.isfinite(derived)
            if both.sum() < 8:
                continue
            scale = float(np.quantile(np.abs(measured[both]), 0.9)) or 1.0
            error = float(np.median(np.abs(derived[both] - measured[both]))) / scale
            if error > 0.1:
                dropped.add(metric)
                self._notes.append(
                    f"{metric} does not follow from its derivation (off by {error:.0%} in the median): modelled itself"
                )
        if dropped:
            self._dropped = frozenset(dropped)
            self._designs = self._design()

    def _build(self, values: Mapping[str, FloatArray]) -> None:
        """Build the leaves from raw values seen of each, and reduce the specification to their thresholds."""
        scales = []
        for design in self._designs:
            logarithmic, centre, scale = choose_scale(design, values[design.name])
            scales.append(LeafScale(name=design.name, logarithmic=logarithmic, centre=centre, scale=scale))
        self._reduction = self._reduce(scales)
        if any(len(values[design.name]) < 8 for design in self._designs):
            # Too few values to have a scale of their own: the distance to a violation is the scale.
            for i, scale in enumerate(scales):
                if len(values[scale.name]) < 8:
                    distance = max((abs(r.threshold) for r in self._reduction.requirements if r.leaf == i), default=1.0)
                    floor = 0.05 if scale.logarithmic else 0.05 * (abs(scale.centre) + 1e-6)
                    scales[i] = replace(scale, scale=max(distance * scale.scale, floor))
            self._reduction = self._reduce(scales)
        self._leaves = []
        for i, design in enumerate(self._designs):
            thresholds = [abs(r.threshold) for r in self._reduction.requirements if r.leaf == i]
            self._leaves.append(
                Leaf.build(
                    design,
                    self._plant,
                    scales[i],
                    self._rows.get(design.name),
                    max(thresholds, default=1.0),
                    passive_rows=self._settings.passive_rows,
                )
            )
        count = _TRAJECTORIES_WHOLE if self._reduction.whole else _TRAJECTORIES
        self._draws = TrajectoryDraws(count, self._problem.specification.horizon, len(self._leaves), self._rng)

    def _reduce(self, scales: list[LeafScale]) -> Reduction:
        derivations = {k: v for k, v in self._problem.derivations.items() if k not in self._dropped}
        return reduce_specification(self._problem.specification, scales, derivations, self._problem.operating)

    def observe_trial(self, x: FloatArray, windows: Windows) -> None:
        """Learn from the windows of a trial at configuration `x` (d,)."""
        if not self._leaves:
            values = {d.name: windows.column(d.name) for d in self._designs}
            if any(not np.isfinite(v).any() for v in values.values()):
                return
            for name, rows in self._rows.items():
                values[name] = rows.y if len(rows.y) >= 8 else values[name]
            self._build({k: v[np.isfinite(v)][:7] if k not in self._rows else v for k, v in values.items()})
        for leaf in self._leaves:
            leaf.observe(x, windows)
        self._trials += 1
        if self._trials in _REFIT_AFTER:
            for leaf in self._leaves:
                leaf.refit()
        self._region = None

    def _correlation(self) -> FloatArray:
        """Correlation of run effects across leaves, from what trials left unexplained."""
        columns = []
        for leaf in self._leaves:
            data = leaf.posterior.data
            residual, sd = leaf.posterior.leave_one_out()
            columns.append((residual / sd)[data.run < 0])
        if len({len(c) for c in columns}) != 1:
            return np.eye(len(columns))
        return shrunk_correlation(np.column_stack(columns))

    def region(self) -> Region:
        """Return the estimated region as it stands."""
        if self._region is None:
            self._region = self._make_region()
        return self._region

    def _make_region(self) -> Region:
        plant, problem = self._plant, self._problem
        controls = plant.controls
        empty, worst, residuals = "", np.empty((0, 0)), np.empty((0, 0, 0))
        reduction = self._reduction or Reduction(requirements=(), whole=(), signs={})
        if not self._leaves or self._draws is None:
            empty = "nothing has been observed yet"
        else:
            residuals = self._draws.residuals([leaf.noise() for leaf in self._leaves], self._correlation())
            worst = self._draws.worst(residuals, reduction.requirements)
            if reduction.impossible:
                names = "; ".join(problem.specification.conjuncts[c].text for c in reduction.impossible)
                empty = f"cannot hold at the operating point: {names}"
        beta = float(norm.ppf(1.0 - problem.delta))
        uniform = float(norm.ppf(1.0 - problem.delta / max(4 * len(self._leaves) * len(controls), 4)))
        return Region(
            controls=tuple(c.name for c in controls),
            lower=np.array([c.lower for c in controls]),
            upper=np.array([c.upper for c in controls]),
            resolution=np.array([c.resolution for c in controls]),
            alpha=problem.alpha,
            delta=problem.delta,
            beta=uniform if self._settings.confidence == "uniform" else beta,
            beta_uniform=uniform,
            specification=problem.specification.text,
            operating=dict(problem.operating),
            derivations={k: v.text for k, v in problem.derivations.items() if k not in self._dropped},
            leaves=tuple(leaf.snapshot() for leaf in self._leaves),
            reduction=reduction,
            worst=worst,
            residuals=residuals if reduction.whole else np.empty((0, 0, 0)),
            empty_because=empty,
            notes=tuple(self._notes),
        )

    def information(self, x: FloatArray) -> FloatArray:
        """Return the share by which knowledge of the border would sharpen, summed over the leaves, at `x` (n, d)."""
        total = np.zeros(len(x))
        region = self.region()
        for number, leaf in enumerate(self._leaves):
            if not leaf.columns:
                continue
            weights = self._border_weights(region, number)
            if weights is None:
                continue
            columns = np.argsort(-weights)[:96]
            columns = columns[weights[columns] > 1e-3]
            if not len(columns):
                continue
            sd = leaf.posterior.moments[1]
            if len(leaf.columns) == 1:
                rows = np.arange(len(leaf.tracked_controls))
                cross, here = leaf.posterior.tracked_covariance(rows, columns), sd
            else:
                z = region.leaves[number].inputs(x)
                cross = leaf.posterior.covariance_with_tracked(z, columns)
                here = region.leaves[number].moments(x)[1]
            drop = cross**2 / (here[:, None] ** 2 + leaf.theta.trial**2) / sd[columns] ** 2
            gain = (1.0 - np.sqrt(np.maximum(1.0 - drop, 0.0))) @ weights[columns] / len(sd)
            if len(leaf.columns) == 1:
                at = (x[:, leaf.columns[0]] - leaf.low[0]) / leaf.span[0]
                gain = np.interp(at, leaf.tracked_controls[:, 0], gain)
            total += gain
        return total

    def _border_weights(self, region: Region, number: int) -> FloatArray | None:
        """How much each tracked point of a leaf is in doubt, shape (m,): 1 on the border, falling with knowledge."""
        leaf = self._leaves[number]
        mean, sd = leaf.posterior.moments
        doubt: FloatArray | None = None
        for requirement, demand in zip(region.reduction.requirements, region.worst, strict=True):
            if requirement.leaf != number:
                continue
            distance = requirement.sign * (mean - requirement.threshold) - np.quantile(demand, region.alpha)
            here = np.exp(-0.5 * (distance / (region.beta * sd)) ** 2)
            doubt = here if doubt is None else np.maximum(doubt, here)
        if doubt is None and number < len(region.leaves) and region.reduction.whole:
            return np.ones(len(mean)) * sd / sd.max()
        return doubt

    def summaries(self) -> tuple[LeafSummary, ...]:
        """Return what is modelled and how."""
        leaves = {leaf.design.name: leaf for leaf in self._leaves}
        result = []
        for design in self._designs:
            leaf = leaves.get(design.name)
            unit = leaf.scale.scale if leaf else float("nan")
            result.append(
                LeafSummary(
                    name=design.name,
                    controls=design.controls,
                    formula=design.estimand.formula if design.estimand else "",
                    obstacle=design.obstacle,
                    windows=len(leaf.passive) if leaf else 0,
                    support=leaf.support if leaf else 0,
                    lengthscales=tuple(leaf.theta.lengthscales) if leaf else (),
                    run_sd=leaf.theta.run * unit if leaf else float("nan"),
                    window_sd=leaf.theta.window * unit if leaf else float("nan"),
                )
            )
        return tuple(result)
