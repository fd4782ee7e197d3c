"""How well the learner does on plants that it has never seen: coverage, unsafe trials, false-safe share at every step.

Plants come from the generator of `tests/col/synthetic.py` (2, 4 and 8 controls, three kinds). The seeds of this
benchmark start at 1000; they were fixed before any tuning, which used seeds below 100. Truth is exact up to
quadrature; the yardstick beside each plant is what the passive windows alone certify.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from benchmarks.common import Settings, Yardstick, run_benchmark
from col.events import PriorFitted, RegionUpdated, TrialDone
from col.learner import learn
from col.problem import Settings as LearnerSettings
from tests.col.synthetic import KINDS, make_plant

__all__ = ["PlantScore", "main", "measure", "score_plant"]

_FIRST_SEED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantScore:
    """One plant: coverage and count of unsafe trials by step, the worst false-safe share at any step."""

    name: str
    coverage: Mapping[int, float]
    unsafe: Mapping[int, int]
    violations: int
    false_safe_max: float
    volume: float

    def at(self, table: Mapping[int, float], step: int) -> float:
        """Return the entry of the last step up to `step`: a learner that stopped keeps what it had."""
        return table[max(k for k in table if k <= step)]


def score_plant(kind: str, controls: int, seed: int, trials: int, prior: str = "causal", every: int = 1) -> PlantScore:
    """Learn on one plant and hold the region against the truth, every `every` steps."""
    plant = make_plant(seed, controls, kind)
    truth = plant.truth()
    coverage: dict[int, float] = {0: 0.0}
    unsafe: dict[int, int] = {0: 0}
    worst, violations = 0.0, 0
    for event in learn(plant, plant.problem(), LearnerSettings(max_trials=trials, prior=prior), seed):
        if isinstance(event, PriorFitted):
            coverage[0], worst = truth.judge(event.region.contains)
        elif isinstance(event, TrialDone):
            x = np.array([event.trial.intervention[f"x{j}"] for j in range(controls)])
            bad = plant.probability(x[None])[0] < 0.9
            unsafe[event.step + 1] = unsafe[max(unsafe)] + int(bad)
            violations += event.violation
        elif isinstance(event, RegionUpdated) and (event.step % every == 0 or event.step in (25, 50)):
            coverage[event.step], wrong = truth.judge(event.region.contains)
            worst = max(worst, wrong)
    return PlantScore(
        name=f"{kind}-{controls}-{seed}",
        coverage=coverage,
        unsafe=unsafe,
        violations=violations,
        false_safe_max=worst,
        volume=truth.volume,
    )


def measure(settings: Settings, yardstick: Yardstick) -> Mapping[str, Any]:
    """Return the figures over all plants; the quick form has six small plants and 25 trials."""
    sizes, count, trials = ((2, 4), 1, 25) if settings.quick else ((2, 4, 8), 3, 50)
    first = _FIRST_SEED + 100 * (settings.seed - 1)
    scores: list[PlantScore] = []
    for controls in sizes:
        for kind in KINDS:
            for seed in range(first, first + count):
                scores.append(score_plant(kind, controls, seed, trials, every=5 if settings.quick else 1))
        yardstick.sample()

    def middle(step: int, unsafe: bool = False) -> float:
        return float(median(s.at(s.unsafe if unsafe else s.coverage, step) for s in scores))

    long = not settings.quick
    groups = {
        f"coverage_{trials}_{key}": round(float(median(s.at(s.coverage, trials) for s in scores if key in s.name)), 3)
        for key in [*KINDS, *(f"-{d}-" for d in sizes)]
    }
    return {
        "coverage_25": middle(25),
        "coverage_50": middle(50) if long else None,
        "unsafe_25": middle(25, unsafe=True),
        "unsafe_50": middle(50, unsafe=True) if long else None,
        "false_safe_max": float(median(s.false_safe_max for s in scores)),
        "share_above_5_percent": float(np.mean([s.false_safe_max > 0.05 for s in scores])),
        "coverage_0": middle(0),
        "unsafe_total": int(sum(s.unsafe[max(s.unsafe)] for s in scores)),
        "violations_total": int(sum(s.violations for s in scores)),
        "plants": len(scores),
        **groups,
    }


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    return run_benchmark("learning", measure, argv, description=(__doc__ or "").splitlines()[0])


if __name__ == "__main__":
    raise SystemExit(main())
