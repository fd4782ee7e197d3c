"""The default rehearsal over many seeds against the truth: with the causal prior, without one, with the naive one.

For each seed the passive windows are simulated once and each prior learns from the same ones; trials are its own.
Figures are medians over the seeds with the range behind them. The truth of the scenario is found once.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.common import Settings, Yardstick, run_benchmark
from col.events import Finished, Recorded, RegionUpdated, TrialDone
from col.learner import learn
from col.problem import Settings as LearnerSettings
from twin.scenario import Scenario, load_scenario
from twin.truth import Truth
from twin.truth_finder import TruthSettings, find_truth, load_truth, save_truth
from twin.twin import Twin
from twin.verification import verify

__all__ = ["main", "measure", "rehearse_seed", "summarise"]

SCENARIO = "cpu-allocation"
PRIORS = ("causal", "none", "naive")
STEPS = (10, 25, 50)
_QUICK_TRUTH = TruthSettings(first_horizons=2, more_horizons=2, most_horizons=2, check_points=1, check_horizons=2)


def rehearse_seed(job: tuple[int, str, Truth, int, int]) -> dict[str, dict[str, float]]:
    """Rehearse one seed with every prior and return figures by prior."""
    seed, name, truth, passive, trials = job
    scenario = load_scenario(name)
    start = time.perf_counter()
    watching = Twin(scenario, seed)
    windows = watching.observe(passive)
    passive_s = time.perf_counter() - start
    out = {}
    for prior in PRIORS:
        start = time.perf_counter()
        figures = _learn(scenario, truth, seed, prior, Recorded(passive=windows), watching.next_run, trials)
        out[prior] = figures | {"wall_s": passive_s + time.perf_counter() - start}
    return out


def _learn(
    scenario: Scenario, truth: Truth, seed: int, prior: str, recorded: Recorded, first_run: int, trials: int
) -> dict[str, float]:
    problem = scenario.problem()
    passive = len(recorded.passive) if recorded.passive is not None else 0
    settings = replace(LearnerSettings(), passive_windows=passive, max_trials=trials, prior=prior)
    twin = Twin(scenario, seed, first_run=first_run)
    figures: dict[str, float] = {}
    false_safe_max = 0.0
    x: list[list[float]] = []
    for event in learn(twin, problem, settings, seed, recorded=recorded):
        if isinstance(event, TrialDone):
            x.append([event.trial.intervention[c] for c in truth.controls])
        if isinstance(event, RegionUpdated) and (event.step in STEPS or event.step % 10 == 0):
            found = verify(truth, event.region, scenario, points=1000, seed=seed)
            false_safe_max = max(false_safe_max, found.false_safe)
            if event.step in STEPS:
                p = truth.probability(np.array(x)) if x else np.empty(0)
                figures[f"coverage_{event.step}"] = found.coverage
                figures[f"unsafe_{event.step}"] = float(np.sum(p < truth.alpha))
        if isinstance(event, Finished):
            outcome = event.outcome
            found = verify(truth, outcome.region, scenario, seed=seed)
            p = truth.probability(np.array(x)) if x else np.empty(0)
            figures |= {
                "coverage": found.coverage,
                "false_safe": found.false_safe,
                "false_safe_max": max(false_safe_max, found.false_safe),
                "unsafe": float(np.sum(p < truth.alpha)),
                "clearly_unsafe": float(np.sum(p < truth.alpha - 0.02)),
                "worst_p": float(p.min()) if len(p) else float("nan"),
                "violations": float(outcome.violations),
                "trials": float(len(outcome.trials)),
            }
    return figures


def measure(settings: Settings, yardstick: Yardstick) -> dict[str, Any]:
    """Find the truth, rehearse every seed, summarise."""
    scenario = load_scenario(SCENARIO)
    quick = settings.quick
    seeds = range(settings.seed, settings.seed + (1 if quick else 20))
    truth = find_truth(
        scenario,
        settings=_QUICK_TRUTH if quick else TruthSettings(),
        progress=lambda what, done, total: print(f"  {what}: {done} of {total}", file=sys.stderr),
    )
    jobs = [(seed, SCENARIO, truth, 120 if quick else 960, 8 if quick else 60) for seed in seeds]
    results: list[dict[str, dict[str, float]]] = []
    if quick:
        results = [rehearse_seed(job) for job in jobs]
    else:
        # Threads of a truth hold functions that do not travel, so each worker finds its way by the kept samples.
        with ProcessPoolExecutor(2, initializer=_keep, initargs=(_samples(truth),)) as pool:
            for n, result in enumerate(pool.map(_rehearse_kept, [(j[0], j[3], j[4]) for j in jobs])):
                results.append(result)
                print(json.dumps({"seed": jobs[n][0], **_plain(result)}), file=sys.stderr, flush=True)
    yardstick.sample()
    figures = summarise(results)
    figures["wall_s_median"] = figures.pop("wall_s")
    figures["seeds"] = len(results)
    figures["truth_product_error"] = truth.product_error
    return figures


def summarise(results: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Return median and range of every figure over the seeds, of the causal prior under its own name."""
    figures: dict[str, Any] = {}
    for prior in PRIORS:
        for key in dict.fromkeys(key for r in results for key in r[prior]):
            # A rehearsal that ended before some step has no figure there; how many have one is said beside it.
            values = [r[prior][key] for r in results if math.isfinite(r[prior].get(key, math.nan))]
            name = key if prior == "causal" else f"{prior}.{key}"
            figures[name] = round(median(values), 4) if values else None
            figures[f"{name}_range"] = [round(min(values), 4), round(max(values), 4)] if values else None
            if len(values) < len(results):
                figures[f"{name}_seeds"] = len(values)
    return figures


def _plain(result: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return one seed's figures as JSON has them: what does not exist is null."""
    return {
        prior: {key: round(value, 4) if math.isfinite(value) else None for key, value in figures.items()}
        for prior, figures in result.items()
    }


_KEPT: dict[str, Truth] = {}


def _samples(truth: Truth) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "truth.npz"
        save_truth(truth, path)
        return path.read_bytes()


def _keep(samples: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "truth.npz"
        path.write_bytes(samples)
        kept = load_truth(load_scenario(SCENARIO), path)
    assert kept is not None
    _KEPT[SCENARIO] = kept


def _rehearse_kept(job: tuple[int, int, int]) -> dict[str, dict[str, float]]:
    seed, passive, trials = job
    return rehearse_seed((seed, SCENARIO, _KEPT[SCENARIO], passive, trials))


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    return run_benchmark("rehearsal", measure, argv, description=__doc__.splitlines()[0] if __doc__ else "")


if __name__ == "__main__":
    raise SystemExit(main())
