"""What is known of one leaf: its Gaussian process over controls and measured causes, and its noise.

Passive windows and trials are observations of one mechanism: the first with their loads, the second at the operating
point. All numbers are in modelled units (`requirement.LeafScale`) but where a raw value is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from col.gaussian_process import Hyperparameters, Observations, Posterior
from col.noise import LeafNoise, autocorrelation, effective_share, scale_factor
from col.plant import PlantDescription, Windows
from col.prior import LeafDesign, PassiveRows, select_rows
from col.region_leaf import RegionLeaf
from col.requirement import LeafScale

__all__ = ["Leaf", "choose_scale"]

FloatArray = NDArray[np.float64]
_GRID_LIMIT = 256
_LONGEST_SATURATED = 0.15
_FEWEST_TRIALS = 5
_FEWEST_NEAR = 5
_NOISE_WIDTH, _NOISE_PRIOR, _NEAR_LOAD = 0.15, 12.0, 0.3
"""Noise at a place is judged by what was observed within this share of the range, and 12 observations of the mean."""
_SQUARE = 36
_POOL = 512
_FIT_ROWS = 96
_BEND = 0.4
_REACH = 0.2
"""Nothing further than this share of a control's range from what was observed is taken to be known.

Half of it where no violation was ever seen: how steep the cliff is cannot be told from its top.
"""
_LONGEST_CONTROL = 0.4
"""Length-scales fitted in a corner are over-confident: none of a control exceeds this share of its range."""


def choose_scale(design: LeafDesign, y: FloatArray) -> tuple[bool, float, float]:
    """Return whether to take logarithms, the centre and the scale for raw values `y` (n,)."""
    y = y[np.isfinite(y)]
    logarithmic = bool(len(y) and np.all(y > 0) and design.derived)
    value = np.log(y) if logarithmic else y
    if not len(y):
        return logarithmic, 0.0, 1.0
    centre = float(np.median(value))
    scale = float(np.std(value)) if len(y) >= 8 else 0.0
    floor = 0.05 if logarithmic else 1e-6 * (1.0 + abs(centre))
    return logarithmic, centre, max(scale, floor)


@dataclass(slots=True)
class Leaf:
    """One leaf: its design, scale, observations, posterior and noise. Built by `effect.Mechanism`."""

    design: LeafDesign
    scale: LeafScale
    columns: tuple[int, ...]
    low: FloatArray
    span: FloatArray
    operating: FloatArray
    spread: FloatArray
    tracked_controls: FloatArray
    theta: Hyperparameters
    centre: Hyperparameters
    posterior: Posterior
    passive: Observations
    floor: float
    limits: tuple[tuple[int, float], ...] = ()
    """Side and threshold of each requirement on the leaf."""
    plateau: float | None = None
    """Distance from where a saturating leaf is flat down to its threshold; None for a leaf that does not saturate."""
    rho: float = 0.3
    window_squares: float = 0.0
    window_degrees: float = 0.0
    scatter: list[tuple[float, int]] = field(default_factory=list)
    """Of each trial the scatter of its windows relative to `window`, and its degrees of freedom."""
    local_noise: FloatArray = field(default_factory=lambda: np.ones(1))
    """Noise at the tracked points relative to the leaf's, (m,) or (1,) where it is not known to vary."""
    trials: int = 0
    support: int = 0
    hull: FloatArray = field(default_factory=lambda: np.empty((2, 0)))
    """Least and greatest value of each scaled control in what was observed near the operating point, (2, c)."""

    @classmethod
    def build(
        cls,
        design: LeafDesign,
        plant: PlantDescription,
        scale: LeafScale,
        rows: PassiveRows,
        limits: tuple[tuple[int, float], ...],
        *,
        passive_rows: int,
        plateau: float | None = None,
        start: Hyperparameters | None = None,
    ) -> Leaf:
        """Return the leaf after the passive phase; `limits` are the (sign, threshold) pairs of its requirements.

        `start` is where the search for hyperparameters begins: those of a leaf that is alike save time.
        """
        names = [control.name for control in plant.controls]
        columns = tuple(names.index(c) for c in design.controls)
        chosen = [plant.controls[c] for c in columns]
        low = np.array([c.lower for c in chosen])
        span = np.array([c.upper - c.lower for c in chosen])
        operating, spread = rows.operating, rows.spread
        p = len(columns) + len(operating)
        if len(columns) == 1:
            steps = min(round(span[0] / chosen[0].resolution), _GRID_LIMIT)
            tracked = np.linspace(0.0, 1.0, max(steps, 16) + 1)[:, None]
        elif len(columns) == 2:
            axis = np.linspace(0.0, 1.0, _SQUARE)
            tracked = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        elif columns:
            from scipy.stats import qmc  # slow to import, and few leaves have so many controls

            tracked = qmc.Sobol(len(columns), scramble=True, seed=0).random(_POOL)
        else:
            tracked = np.zeros((1, 0))
        violation = max((abs(threshold) for _, threshold in limits), default=1.0)
        floor = float(np.clip(violation, 0.3, 6.0 if len(columns) <= 2 else 1.5))
        theta = Hyperparameters(
            amplitude=max(1.0, floor),
            lengthscales=np.array([0.3] * len(columns) + [1.0] * len(operating)),
            linear=1.0,
            run=0.1,
            window=0.1,
            trial=0.1,
            passive=0.05,
            joint=0.3,
            additive=len(columns) if len(columns) > 2 else 0,
        )
        passive = Observations(z=np.empty((0, p)), y=np.empty(0), run=np.empty(0, dtype=np.int64), noise=np.empty(0))
        nothing = Posterior(theta=theta, data=passive, tracked=np.empty((0, p)))
        leaf = cls(
            design=design,
            scale=scale,
            columns=columns,
            low=low,
            span=span,
            operating=operating,
            spread=spread,
            tracked_controls=tracked,
            theta=theta,
            centre=theta,
            posterior=nothing,
            passive=passive,
            floor=floor,
            plateau=plateau,
            limits=limits,
            support=rows.support,
            hull=np.repeat([[np.inf], [-np.inf]], len(columns), axis=1),
        )
        if len(rows.y):
            leaf.theta = start or theta
            leaf._learn_passive(rows, passive_rows)
        leaf._rebuild()
        return leaf

    def _learn_passive(self, rows: PassiveRows, count: int) -> None:
        everything = Observations(
            z=np.column_stack([(rows.controls - self.low) / self.span, self._scaled_extras(rows.extras)]),
            y=self.scale.to_model(rows.y),
            run=rows.run,
            noise=np.ones(len(rows.y)),
        )
        usable = np.flatnonzero(np.isfinite(everything.y))
        chosen = select_rows(rows, count)
        self.passive = everything.take(chosen[np.isin(chosen, usable)])
        # Low values of a control that were seen at low loads only do not count as seen at the operating load.
        near = rows.distance() <= _NEAR_LOAD
        if near.sum() >= _FEWEST_NEAR:
            self.hull = np.quantile(everything.z[near, : len(self.columns)], [0.02, 0.98], axis=0)
        self.theta = self._fit(iterations=25)
        state = Posterior(theta=self.theta, data=self.passive, tracked=np.empty((0, everything.z.shape[1]))).state()
        residual = everything.y[usable] - state.predict(everything.z[usable])[0]
        self.rho = autocorrelation(residual, rows.run[usable])
        runs = len(np.unique(self.passive.run))
        run = self.theta.run
        if runs < 5:
            # One run cannot show by how much runs differ; it is then taken to be no less than its windows do.
            run = max(run, self.theta.window, 0.1 * self.floor)
        run = max(run, self._least_run)
        trial = math.sqrt(run**2 + self.theta.window**2 * effective_share(5, self.rho))
        self.theta = replace(self.theta, run=run, trial=trial, passive=0.5 * run)
        self.centre = replace(self.centre, run=run, window=self.theta.window, trial=trial)
        self.window_degrees = 4.0
        self.window_squares = self.window_degrees * self.theta.window**2

    def _scaled_extras(self, extras: FloatArray) -> FloatArray:
        # The operating point is at 1/2, where the linear part of the kernel vanishes.
        result: FloatArray = 0.5 + (extras - self.operating) / self.spread
        return result

    def _fit(self, iterations: int) -> Hyperparameters:
        from col.kernel import fit_hyperparameters  # scikit-learn: only where a model is fitted

        c, e = len(self.columns), len(self.operating)
        longest = _LONGEST_CONTROL if self.plateau is None else _LONGEST_SATURATED
        data = self.passive
        most = _FIT_ROWS if c + e <= 8 else 2 * _FIT_ROWS // 3
        if len(data) > most:
            data = data.take(np.linspace(0, len(data) - 1, most).round().astype(int))
        tried = self.posterior.data.run < 0
        if tried.any():
            keep = np.arange(0, len(data), 2) if len(data) > 60 else np.arange(len(data))
            data = data.take(keep).joined(self.posterior.data.take(np.flatnonzero(tried)))
        lower = Hyperparameters(
            amplitude=self.floor,
            linear=0.01,
            run=1e-3,
            window=1e-3,
            trial=max(0.6 * self.centre.trial if len(self.passive) else 1e-3, self._least_run),
            joint=0.05,
            lengthscales=np.array([0.05] * c + [0.3] * e),
            passive=0.0,
        )
        upper = Hyperparameters(
            amplitude=12.0,
            linear=10.0 if self.plateau is None else 0.02,
            run=2.0,
            window=3.0,
            trial=2.0,
            joint=3.0,
            lengthscales=np.array([longest] * c + [2.0] * e),
            passive=0.0,
        )
        spread = np.array([0.7, 1.0, 1.0, 1.5, 0.35, 0.7, *[0.5] * c, *[0.7] * e])
        found = fit_hyperparameters(data, self.theta, self.centre, lower, upper, spread, iterations=iterations)
        if c > 2:
            return found
        # A slope seen in a corner may bend within a length-scale: else straight lines would certify far from the data.
        return replace(found, amplitude=max(found.amplitude, _BEND * found.linear))

    @property
    def _least_run(self) -> float:
        # On the plateau runs look alike however near the cliff is: one pass there must not count as many.
        return 0.4 * self.plateau if self.plateau is not None else 0.0

    def _rebuild(self) -> None:
        tried = np.flatnonzero(self.posterior.data.run < 0)
        data = self.passive.joined(self.posterior.data.take(tried)) if len(tried) else self.passive
        extras = np.full((len(self.tracked_controls), len(self.operating)), 0.5)
        tracked = np.column_stack([self.tracked_controls, extras])
        self.posterior = Posterior(theta=self.theta, data=data, tracked=tracked)

    def observe(self, x: FloatArray, windows: Windows) -> float:
        """Take in the windows of a trial at configuration `x` (d,); return its standardised surprise, NaN if unseen."""
        y = self.scale.to_model(windows.column(self.design.name))
        y = y[np.isfinite(y)]
        if not len(y):
            return float("nan")
        extras = np.full(len(self.operating), 0.5)
        for i, (name, _) in enumerate(self.design.extras):
            seen = windows.metrics.get(name)
            if seen is not None and np.isfinite(seen).any():
                extras[i] = 0.5 + (float(np.nanmean(seen)) - self.operating[i]) / self.spread[i]
        z = np.concatenate([(x[list(self.columns)] - self.low) / self.span, extras])
        here = z[: len(self.columns)]
        self.hull = np.array([np.minimum(self.hull[0], here), np.maximum(self.hull[1], here)])
        share, full = effective_share(len(y), self.rho), effective_share(5, self.rho)
        squares = float(((y - y.mean()) ** 2).sum()) / max(1.0 - share, 0.1) * (len(y) - 1) / len(y)
        self.window_squares += squares
        self.window_degrees += len(y) - 1
        self.scatter.append((squares, len(y) - 1))
        noise = max(1.0, share / full)
        mean, sd = self.posterior.state().predict(z[None, :])
        surprise = float((y.mean() - mean[0]) / math.sqrt(sd[0] ** 2 + self.theta.trial**2 * noise))
        self.posterior.append(z, float(y.mean()), noise)
        self.trials += 1
        return surprise

    def refit(self) -> None:
        """Fit the hyperparameters again with the trials made so far."""
        self.theta = self._fit(iterations=8)
        self._rebuild()

    def review_noise(self) -> FloatArray:
        """Look again at where noise is larger; return the standardised residuals of the trials, (trials,)."""
        residual, sd = self.posterior.leave_one_out()
        data = self.posterior.data
        ratio = (residual / sd) ** 2
        tried = data.run < 0
        if self.tabled and len(self.columns) and tried.sum() >= _FEWEST_TRIALS:
            c = len(self.columns)
            away = (data.z[:, c:] - 0.5) / _NEAR_LOAD
            weight = np.where(tried, 1.0, 0.5 * np.exp(-0.5 * (away * away).sum(1)))
            level = self.window_squares / max(self.window_degrees, 1.0)
            squares = np.array([s for s, _ in self.scatter])
            degrees = np.array([float(d) for _, d in self.scatter])
            places = np.concatenate([data.z[:, :c], data.z[tried, :c]])
            weights = np.concatenate([weight, degrees])
            values = np.concatenate([weight * np.minimum(ratio, 9.0), squares / max(level, 1e-12)])
            gap = ((self.tracked_controls[:, None, :] - places[None, :, :]) / _NOISE_WIDTH) ** 2
            near = np.exp(-0.5 * gap.sum(2))
            variance = (_NOISE_PRIOR + near @ values) / (_NOISE_PRIOR + near @ weights)
            self.local_noise = np.clip(np.sqrt(variance), 0.8, 2.5)
        return (residual / sd)[tried]

    def noise(self) -> LeafNoise:
        """Return run effect and window noise at the operating point, on the safe side of what few runs tell."""
        variance = self.window_squares / self.window_degrees if self.window_degrees else (0.1 * self.floor) ** 2
        window = math.sqrt(variance)
        rest = self.theta.trial**2 - variance * effective_share(5, self.rho)
        run = max(math.sqrt(max(rest, 0.1 * self.theta.trial**2)), self._least_run)
        degrees = 5.0 + 0.7 * self.trials
        return LeafNoise(run=run * scale_factor(degrees), window=window, rho=max(0.0, self.rho - 0.1))

    @property
    def tabled(self) -> bool:
        """Whether the tracked points are a table over one or two controls, even in each."""
        return len(self.columns) <= 2

    @property
    def axis(self) -> FloatArray:
        """The values of a control in the table, shape (g,)."""
        return np.unique(self.tracked_controls[:, 0]) if 1 <= len(self.columns) <= 2 else np.zeros(1)

    @property
    def _violation_seen(self) -> bool:
        y = self.posterior.data.y
        return all(bool(np.any(sign * (y - threshold) < 0)) for sign, threshold in self.limits)

    def slackest(self, requirements: Sequence[tuple[int, float]], demand: float, betas: float) -> int | None:
        """Return the tracked point nearest to violation if even there nothing is in doubt, else None.

        `requirements` are (sign, threshold) pairs, `demand` is the most that noise asks for in any trajectory, and
        `betas` the number of standard deviations of the knowledge that must be left.
        """
        if len(self.columns) < 2 or not requirements or any(sign != requirements[0][0] for sign, _ in requirements):
            return None
        mean, sd = self.posterior.moments
        sign = requirements[0][0]
        left = sign * mean - max(sign * threshold for _, threshold in requirements) - betas * sd - demand
        worst = int(np.argmin(left))
        return worst if left[worst] > 0 else None

    def snapshot(self, slackest: int | None = None) -> RegionLeaf:
        """Return what the region needs of the leaf as it stands; of a slack one only its worst place."""
        table = self.tabled or slackest is not None
        mean, sd = self.posterior.moments
        grid = self.axis
        if slackest is not None:
            mean, sd, grid = mean[[slackest]], sd[[slackest]], np.zeros(1)
        nothing = np.empty(0)
        reach = _REACH if self._violation_seen else 0.5 * _REACH
        hull = self.hull + np.array([[-reach], [reach]]) if len(self.columns) else np.array([[-1.0], [2.0]])
        return RegionLeaf(
            scale=self.scale,
            columns=self.columns or (0,),
            low=self.low if len(self.columns) else np.zeros(1),
            span=self.span if len(self.columns) else np.ones(1),
            extras=np.full(len(self.operating), 0.5),
            hull=hull,
            grid=grid if table else nothing,
            grid_mean=mean if table else nothing,
            grid_sd=sd if table else nothing,
            noise_grid=np.ones(len(mean)) * (self.local_noise if slackest is None else 1.0) if table else nothing,
            state=None if table else self.posterior.state(),
        )
