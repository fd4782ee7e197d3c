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
from scipy.special import ndtri

from col.leaf import Leaf, choose_scale
from col.noise import TrajectoryDraws, shrunk_correlation
from col.plant import PlantDescription, Windows
from col.prior import LeafDesign, PassiveRows, design_leaves, passive_rows, saturating
from col.problem import Problem, Settings
from col.region import Region
from col.region_leaf import RegionLeaf, locate, read
from col.requirement import LeafScale, Reduction, reduce_specification

__all__ = ["EffectModel", "LeafSummary", "Mechanism"]

FloatArray = NDArray[np.float64]
_TRAJECTORIES = 1024
_TRAJECTORIES_WHOLE = 384
_REFIT_AFTER = (3, 8, 18, 36, 72, 144)
_DOUBTED = 96
_DOUBT = 0.01
_FEWEST_ROWS = 8
_REVIEW_EVERY = 5
_EARLY_CAUTION = 0.35
"""By how much beta is raised before the first trial: length-scales fitted to passive windows alone are too sure."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """Tracked points `columns` (u,) of a leaf at which its border is in doubt, by `weights` (u,).

    `table` (m,) is the gain of a trial at each tracked point of a leaf with one or two controls, empty for others.
    """

    columns: NDArray[np.int64]
    weights: FloatArray
    table: FloatArray

    @classmethod
    def around(cls, leaf: Leaf, doubt: FloatArray) -> Border | None:
        """Return the border of a leaf given the doubt at each of its tracked points, None if there is no doubt."""
        columns = np.flatnonzero(doubt > _DOUBT)
        if not len(columns):
            return None
        every = max(len(columns) / _DOUBTED, 1.0)
        columns = columns[np.arange(0.0, len(columns), every).astype(int)]
        sd = leaf.posterior.moments[1]
        weights = every * doubt[columns] / len(sd)
        table = np.empty(0)
        if leaf.tabled:
            cross = leaf.posterior.tracked_covariance(np.arange(len(sd)), columns)
            table = _sharpening(cross, sd, sd[columns], leaf.theta.trial) @ weights
        return cls(columns=columns, weights=weights, table=table)

    def gain(self, leaf: Leaf, table: RegionLeaf, x: FloatArray) -> FloatArray:
        """Return the weighted share of the doubt that a trial at each of `x` (n, d) would remove, shape (n,)."""
        if len(self.table):
            at = (x[:, list(leaf.columns)] - leaf.low) / leaf.span
            return read(self.table, locate(leaf.axis, at))
        points = table.inputs(x)
        same = np.array_equal(points, np.broadcast_to(points[0], points.shape))
        cross, sd = leaf.posterior.covariance_with_tracked(points[:1] if same else points, self.columns)
        gain = _sharpening(cross, sd, leaf.posterior.moments[1][self.columns], leaf.theta.trial) @ self.weights
        return np.repeat(gain, len(x)) if same else gain


def _sharpening(cross: FloatArray, here: FloatArray, there: FloatArray, noise: float) -> FloatArray:
    """By what share the standard deviation `there` (u,) falls after a trial where it is `here` (n,); shape (n, u)."""
    drop = cross**2 / (here[:, None] ** 2 + noise**2) / there**2
    result: FloatArray = 1.0 - np.sqrt(np.maximum(1.0 - drop, 0.0))
    return result


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

    def __init__(self, problem: Problem, plant: PlantDescription, settings: Settings, rng: np.random.Generator) -> None:
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
        self._slack: list[int | None] = []
        self._correlation: FloatArray | None = None
        self._region: Region | None = None
        self._border: list[Border | None] | None = None

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
        for design in self._designs:
            rows = passive_rows(design, windows, self._problem.operating)
            self._rows[design.name] = rows if self._tells(design, rows) else rows.without_responses()
        if all(len(rows.y) for rows in self._rows.values()):
            self._build({name: rows.y for name, rows in self._rows.items()})

    def _tells(self, design: LeafDesign, rows: PassiveRows) -> bool:
        """Whether the passive windows tell of a leaf's response: enough of them, identified, and not constant."""
        if self._settings.prior == "none" or design.obstacle:
            return False
        if len(rows.y) >= _FEWEST_ROWS and np.ptp(rows.y) > 1e-9 * (1.0 + np.abs(rows.y).max()):
            return True
        self._notes.append(f"{design.name}: passive windows do not show how it varies ({len(rows.y)} complete ones)")
        return False

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
        if any(len(values[design.name]) < _FEWEST_ROWS for design in self._designs):
            # Too few values to have a scale of their own: the distance to a violation is the scale.
            for i, known in enumerate(scales):
                if len(values[known.name]) < _FEWEST_ROWS:
                    distance = max((abs(r.threshold) for r in self._reduction.requirements if r.leaf == i), default=1.0)
                    floor = 0.05 if known.logarithmic else 0.05 * (abs(known.centre) + 1e-6)
                    scales[i] = replace(known, scale=max(distance * known.scale, floor))
            self._reduction = self._reduce(scales)
        self._leaves, self._correlation = [], None
        alike: dict[tuple[int, int, bool], Leaf] = {}
        for i, design in enumerate(self._designs):
            limits = tuple((r.sign, r.threshold) for r in self._reduction.requirements if r.leaf == i)
            rows = self._rows[design.name]
            plateau = self._plateau(design, rows, scales[i], i)
            kind = (len(design.controls), len(design.extras), design.derived)
            leaf = Leaf.build(
                design,
                self._plant,
                scales[i],
                rows,
                limits,
                passive_rows=self._settings.passive_rows,
                plateau=plateau,
                start=alike[kind].theta if kind in alike else None,
            )
            alike.setdefault(kind, leaf)
            self._leaves.append(leaf)
        count = _TRAJECTORIES_WHOLE if self._reduction.whole else _TRAJECTORIES
        self._draws = TrajectoryDraws(count, self._problem.specification.horizon, len(self._leaves), self._rng)

    def _plateau(self, design: LeafDesign, rows: PassiveRows, scale: LeafScale, number: int) -> float | None:
        """Return how far above its threshold a leaf saturates, None if it does not."""
        cap = None if design.derived else saturating(rows, design.extras)
        if cap is None or self._reduction is None:
            return None
        top = float(scale.to_model(rows.operating[[cap]])[0])
        gaps = [r.sign * (top - r.threshold) for r in self._reduction.requirements if r.leaf == number]
        self._notes.append(
            f"{design.name} saturates at {design.extras[cap][0]} and no derivation says how: only what lies close to a "
            "trial is certified"
        )
        return max(min(gaps, default=0.1), 1e-3)

    def _reduce(self, scales: list[LeafScale]) -> Reduction:
        derivations = {k: v for k, v in self._problem.derivations.items() if k not in self._dropped}
        return reduce_specification(self._problem.specification, scales, derivations, self._problem.operating)

    def observe_trial(self, x: FloatArray, windows: Windows) -> None:
        """Learn from the windows of a trial at configuration `x` (d,)."""
        if not self._leaves:
            values = {d.name: windows.column(d.name) for d in self._designs}
            if any(not np.isfinite(v).any() for v in values.values()):
                return
            values = {name: value[np.isfinite(value)][: _FEWEST_ROWS - 1] for name, value in values.items()}
            values |= {name: rows.y for name, rows in self._rows.items() if len(rows.y)}
            self._build(values)
        for leaf in self._leaves:
            leaf.observe(x, windows)
        self._trials += 1
        if self._trials in _REFIT_AFTER:
            for leaf, slack in zip(self._leaves, self._slack or [None] * len(self._leaves), strict=True):
                if slack is None:
                    leaf.refit()
        self._region = self._border = None

    def _review_noise(self) -> FloatArray:
        """Where noise is larger, and how run effects of leaves go together, from what trials left unexplained."""
        columns = [leaf.review_noise() for leaf in self._leaves]
        if len({len(column) for column in columns}) != 1:
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
        beta = float(ndtri(1.0 - problem.delta))
        uniform = float(ndtri(1.0 - problem.delta / max(4 * len(self._leaves) * len(controls), 4)))
        caution = 1.0 + _EARLY_CAUTION * 8.0 / (8.0 + self._trials)
        if not self._leaves or self._draws is None:
            empty = "nothing has been observed yet"
        else:
            if self._trials in _REFIT_AFTER or self._trials % _REVIEW_EVERY == 0 or self._correlation is None:
                self._correlation = self._review_noise()
            residuals = self._draws.residuals([leaf.noise() for leaf in self._leaves], self._correlation)
            worst = self._draws.worst(residuals, reduction.requirements)
            self._slack = [self._slackest(i, reduction, worst, caution * uniform) for i in range(len(self._leaves))]
            if reduction.impossible:
                names = "; ".join(problem.specification.conjuncts[c].text for c in reduction.impossible)
                empty = f"cannot hold at the operating point: {names}"
        return Region(
            controls=tuple(c.name for c in controls),
            lower=np.array([c.lower for c in controls]),
            upper=np.array([c.upper for c in controls]),
            resolution=np.array([c.resolution for c in controls]),
            alpha=problem.alpha,
            delta=problem.delta,
            beta=caution * (uniform if self._settings.confidence == "uniform" else beta),
            beta_uniform=caution * uniform,
            specification=problem.specification.text,
            operating=dict(problem.operating),
            derivations={k: v.text for k, v in problem.derivations.items() if k not in self._dropped},
            leaves=tuple(leaf.snapshot(slack) for leaf, slack in zip(self._leaves, self._slack, strict=True)),
            reduction=reduction,
            worst=worst,
            residuals=residuals if reduction.whole else np.empty((0, 0, 0)),
            empty_because=empty,
            notes=tuple(self._notes),
        )

    def _slackest(self, number: int, reduction: Reduction, worst: FloatArray, beta: float) -> int | None:
        if reduction.whole:
            return None
        mine = [i for i, r in enumerate(reduction.requirements) if r.leaf == number]
        demand = max((float(worst[i].max()) for i in mine), default=0.0)
        sides = [(reduction.requirements[i].sign, reduction.requirements[i].threshold) for i in mine]
        return self._leaves[number].slackest(sides, demand, beta)

    def information(self, x: FloatArray) -> FloatArray:
        """Return the share by which knowledge of the border would sharpen, summed over the leaves, at `x` (n, d)."""
        region = self.region()
        if self._border is None:
            self._border = [self._border_of(region, number) for number in range(len(self._leaves))]
        total = np.zeros(len(x))
        single: dict[int, FloatArray] = {}
        for leaf, table, border in zip(self._leaves, region.leaves, self._border, strict=True):
            if border is None:
                continue
            if len(leaf.columns) == 1:  # tables over one control add up before they are looked up
                column = leaf.columns[0]
                known = single.get(column)
                single[column] = border.table if known is None else known + border.table
            else:
                total += border.gain(leaf, table, x)
        for column, gain in single.items():
            at = (x[:, column] - region.lower[column]) / (region.upper[column] - region.lower[column])
            total += np.interp(at, np.linspace(0.0, 1.0, len(gain)), gain)
        return total

    def _border_of(self, region: Region, number: int) -> Border | None:
        """Where the border of one leaf is in doubt: weights 1 on the border, falling with knowledge."""
        leaf = self._leaves[number]
        if not leaf.columns or self._slack[number] is not None:
            return None
        mean, sd = leaf.posterior.moments
        doubt = np.zeros(len(mean))
        for i, requirement in enumerate(region.reduction.requirements):
            if requirement.leaf == number:
                distance = requirement.sign * (mean - requirement.threshold) - region.demanded(i)
                doubt = np.maximum(doubt, np.exp(-0.5 * (distance / (region.beta * sd)) ** 2))
        if region.reduction.whole and not doubt.any():
            doubt = sd / sd.max()
        return Border.around(leaf, doubt)

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
