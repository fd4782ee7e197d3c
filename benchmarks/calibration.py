"""How well the calibrated compute model predicts settings of a real gNB that it was not fitted on.

Whole settings are left out in turn (all repetitions of one), the rest is fitted, the setting predicted. The headline
figures are the worst of the three groups (full load under quota, partial load with CPU to spare, partial load under
quota); beside them stand the trivial predictor and what one repetition says of the next. The quick form leaves out
every fifth setting and fits shorter: it shows that everything runs, its figures are coarse.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from benchmarks.common import Settings, Yardstick, run_benchmark
from twin.leave_out import leave_settings_out, repetition_floor, summarise
from twin.recordings import packaged_recordings

__all__ = ["main", "measure"]

_FIGURES = ("throughput_nrmse", "cpu_nrmse", "throttled_nrmse")


def measure(settings: Settings, yardstick: Yardstick) -> dict[str, Any]:
    """Leave settings out, fit, predict, compare."""
    recordings = packaged_recordings()
    left_out = leave_settings_out(
        recordings.settings,
        evaluations=60 if settings.quick else 500,
        seconds=4.0 if settings.quick else 10.0,
        every=5 if settings.quick else 1,
        seed=settings.seed,
        progress=lambda done, total: print(f"  left out {done} of {total}", file=sys.stderr),
    )
    yardstick.sample()
    groups = summarise(left_out, fewest=1 if settings.quick else 3)
    figures: dict[str, Any] = {}
    for key in _FIGURES:
        values = [g[key] for g in groups.values() if key in g and math.isfinite(g[key])]
        figures[key] = max(values) if values else None
    floor = repetition_floor(recordings.settings)
    for key in _FIGURES:
        figures[f"repetition_{key}"] = floor[key]
    for name, group in groups.items():
        short = name.replace(",", "").replace(" ", "_")
        figures |= {f"{short}.{key}": value for key, value in group.items() if math.isfinite(value)}
    return figures


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    return run_benchmark("calibration", measure, argv, description=__doc__.splitlines()[0] if __doc__ else "")


if __name__ == "__main__":
    raise SystemExit(main())
