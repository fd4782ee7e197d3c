"""Which intervention to try next: the most informative for its cost among those that are safe with confidence.

The paper's rule is argmax over the estimated region of variance divided by cost. Variance counts here where it matters,
at the border of the region (`EffectModel.information`), and picks keep a margin to the border: the region's bound holds
point by point, and the point picked is the luckiest of many.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from col.effect import EffectModel
from col.plant import Intervention, PlantDescription
from col.problem import Cost, Settings
from col.region import Region

__all__ = ["Pick", "Policy"]

FloatArray = NDArray[np.float64]
_STARTS = 3
_LINE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """A configuration to try, `x` (d,), with its score, cost and lower bound, and why it was chosen."""

    x: FloatArray
    score: float
    cost: float
    lower_bound: float
    why: str


class Policy:
    """Search of the control box by lines: each control in turn moves to its best safe value, from several starts."""

    def __init__(self, plant: PlantDescription, cost: Cost, settings: Settings, alpha: float) -> None:
        self._controls = plant.controls
        self._names = [c.name for c in plant.controls]
        self._lower = np.array([c.lower for c in plant.controls])
        self._upper = np.array([c.upper for c in plant.controls])
        self._resolution = np.array([c.resolution for c in plant.controls])
        self._reference = np.array([c.reference for c in plant.controls])
        self._cost, self._settings = cost, settings
        self._level = alpha + min(settings.pick_margin, 0.8 * (1.0 - alpha))

    @property
    def reference(self) -> FloatArray:
        """The reference configuration, shape (d,)."""
        return self._reference

    def snap(self, x: FloatArray) -> FloatArray:
        """Return `x` (n, d) on the controls' resolutions, inside the bounds."""
        steps = np.round((x - self._lower) / self._resolution)
        snapped: FloatArray = np.clip(np.round(self._lower + steps * self._resolution, 12), self._lower, self._upper)
        return snapped

    def intervention(self, x: FloatArray) -> Intervention:
        """Return the intervention that sets every control."""
        return Intervention(dict(zip(self._names, (float(v) for v in x), strict=True)))

    def allowed(self, region: Region, x: FloatArray) -> NDArray[np.bool_]:
        """Return which of `x` (n, d) may be tried: safe with the pick's margin, and within the budget."""
        beta = self._settings.pick_share * region.beta
        affordable = self._cost.evaluate(x, self._names, self._reference) <= self._cost.budget + 1e-9
        safe = np.zeros(len(x), dtype=bool)
        if affordable.any():
            safe[affordable] = region.lower_bound(x[affordable], beta=beta, least=self._level) >= self._level
        return safe

    def _score(self, model: EffectModel, x: FloatArray) -> FloatArray:
        score: FloatArray = model.information(x) / self._cost.evaluate(x, self._names, self._reference)
        return score

    def propose(
        self,
        model: EffectModel,
        region: Region,
        rng: np.random.Generator,
        *,
        tried: FloatArray,
        struck: Collection[Intervention] = (),
    ) -> Pick | None:
        """Return the next configuration, None if no allowed one is left; `tried` (k, d) are those tried so far."""
        pool = np.concatenate([self._reference[None, :], tried, self._random(region, rng)])
        pool = self.snap(pool)
        good = pool[self.allowed(region, pool)]
        if not len(good):
            return None
        order = np.argsort(-self._score(model, good))
        starts = np.concatenate([good[order[: _STARTS - 1]], good[rng.integers(len(good), size=1)]])
        score, x = self._climb(model, region, starts, rng, struck)
        if x is None:
            return None
        point = x[None, :]
        return Pick(
            x=x,
            score=score,
            cost=float(self._cost.evaluate(point, self._names, self._reference)[0]),
            lower_bound=float(region.lower_bound(point)[0]),
            why=f"sharpens the border most for its cost; near its limit: {region.limiting(x)}",
        )

    def _random(self, region: Region, rng: np.random.Generator) -> FloatArray:
        """Points between the reference and random corners: the region holds the reference, corners are rarely safe."""
        target = rng.uniform(self._lower, self._upper, size=(96, len(self._lower)))
        weight = rng.uniform(0.0, 1.0, size=(96, 1)) ** 0.7
        result: FloatArray = self._reference + weight * (target - self._reference)
        return result

    def _climb(
        self,
        model: EffectModel,
        region: Region,
        starts: FloatArray,
        rng: np.random.Generator,
        struck: Collection[Intervention],
    ) -> tuple[float, FloatArray | None]:
        """Move each start along one control after the other to its best allowed value; return the best of the ends."""
        x = starts.copy()
        score = self._score(model, x)
        score[[self.intervention(row) in struck for row in x]] = -np.inf
        width = _LINE + 7
        for _ in range(2):
            before = score.copy()
            for j in rng.permutation(x.shape[1]):
                values = np.linspace(self._lower[j], self._upper[j], _LINE)
                near = x[:, j : j + 1] + np.arange(-3, 4) * self._resolution[j]
                lines = np.repeat(x[:, None, :], width, axis=1)
                lines[:, :_LINE, j] = values
                lines[:, _LINE:, j] = near
                flat = self.snap(lines.reshape(-1, x.shape[1]))
                allowed = self.allowed(region, flat)
                if struck:
                    allowed &= np.array([self.intervention(row) not in struck for row in flat])
                scores = np.full(len(flat), -np.inf)
                if allowed.any():
                    scores[allowed] = self._score(model, flat[allowed])
                for i in range(len(x)):
                    k = i * width + int(np.argmax(scores[i * width : (i + 1) * width]))
                    if scores[k] > score[i]:
                        score[i], x[i] = scores[k], flat[k]
            if np.all(score <= before * (1.0 + 1e-3)):
                break
        end = int(np.argmax(score))
        return (float(score[end]), x[end]) if np.isfinite(score[end]) else (float(score[end]), None)
