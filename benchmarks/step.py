"""What one step of the learner costs at 500 observations and 8 controls: learn from a trial, update, propose."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from benchmarks.common import Settings, Yardstick, run_benchmark
from col.events import Proposed, TrialDone
from col.learner import learn
from col.problem import Settings as LearnerSettings
from tests.col.synthetic import make_plant

__all__ = ["main", "measure", "step_times_ms"]

_PASSIVE_ROWS = 440


def step_times_ms(kind: str, *, trials: int, observations: int) -> list[float]:
    """Return the CPU time of each step, in ms, from the trial's windows to the next proposal.

    Each leaf has `observations` observations at the last step; steps at which hyperparameters are fitted again count.
    """
    plant = make_plant(3, 8, kind)
    settings = LearnerSettings(max_trials=trials, passive_rows=observations - trials)
    times: list[float] = []
    started: float | None = None
    for event in learn(plant, plant.problem(), settings, 1):
        now = time.process_time()
        if isinstance(event, Proposed) and started is not None:
            times.append(1000.0 * (now - started))
        if isinstance(event, TrialDone):
            started = time.process_time()
    return times


def measure(settings: Settings, yardstick: Yardstick) -> Mapping[str, Any]:
    """Return the median step over the last steps of two plants, one separable and one not."""
    trials = 20 if settings.quick else 60
    figures: dict[str, Any] = {}
    late: list[float] = []
    for kind in ("station", "service"):
        times = step_times_ms(kind, trials=trials, observations=_PASSIVE_ROWS + 60)
        tail = times[len(times) // 2 :]
        figures[f"median_ms_{kind}"] = round(float(median(tail)), 1)
        figures[f"p95_ms_{kind}"] = round(float(np.quantile(tail, 0.95)), 1)
        late += tail
        yardstick.sample()
    return {"median_ms": float(median(late)), **figures, "observations": _PASSIVE_ROWS + 60, "controls": 8}


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    return run_benchmark("step", measure, argv, description=(__doc__ or "").splitlines()[0])


if __name__ == "__main__":
    raise SystemExit(main())
