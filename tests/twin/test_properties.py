"""What must hold in every run of the RAN, whatever the limits: laws that no mechanism may break."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from twin.ran import RunPlan, RunRecord, simulate
from twin.scenario import Scenario, load_scenario

LIMITS = (0.35, 0.5, 0.62, 0.75, 0.9, 1.3, 2.0)
WAYS = ("dl", "ul")


@cache
def scenario() -> Scenario:
    return load_scenario("cpu-allocation")


@cache
def run(kind: str, cores: float) -> RunRecord:
    """Two windows at the operating load, all limits of one kind at `cores`, those of the other at plenty."""
    base = {c.name: cores if c.name.startswith(kind) else 1.5 for c in scenario().controls}
    return simulate(scenario(), RunPlan(base=base, first_window=4000, windows=2), seed=3, run=0)


@pytest.mark.parametrize("cores", LIMITS)
@pytest.mark.parametrize("kind", ["cpu_du", "cpu_cu"])
def test_no_more_arrives_than_is_offered_and_than_every_stage_could_carry(kind: str, cores: float) -> None:
    metrics = run(kind, cores).metrics
    for cell in range(1, 5):
        for way in WAYS:
            arrived = metrics[f"thp_{way}_{cell}"]
            # What the windows before left in the queues may come on top.
            assert (arrived <= metrics[f"load_{way}_{cell}"] * 1.01).all()
            assert (arrived <= metrics[f"cap_du_{way}_{cell}"] * 1.001).all()
        both = metrics[f"thp_dl_{cell}"] + metrics[f"thp_ul_{cell}"]
        assert (both <= metrics[f"cap_cu_{cell}"] * 1.01).all()


@pytest.mark.parametrize("kind", ["cpu_du", "cpu_cu"])
def test_more_cpu_never_carries_less_nor_lowers_use_and_power(kind: str) -> None:
    runs = [run(kind, cores).metrics for cores in LIMITS]
    stem = kind.replace("cpu", "cpuu")
    for less, more in pairwise(runs):
        for cell in range(1, 5):
            for way in WAYS:
                assert (more[f"thp_{way}_{cell}"] >= 0.995 * less[f"thp_{way}_{cell}"]).all()
            assert (more[f"{stem}_{cell}"] >= 0.99 * less[f"{stem}_{cell}"]).all()
        # Meter noise is drawn alike in both runs.
        assert (more["pow_h1"] >= less["pow_h1"] - 0.05).all()


@pytest.mark.parametrize("kind", ["cpu_du", "cpu_cu"])
def test_a_limit_above_all_demand_moves_nothing_at_all(kind: str) -> None:
    """No part does more than its parallelism allows in a period; above that a quota is never used up."""
    plenty, more = run(kind, 1.3 + 1e-9), run(kind, 2.0)
    for name, values in plenty.metrics.items():
        if not name.startswith("cap_cu"):  # which is what the limit would allow, used or not
            assert np.array_equal(values, more.metrics[name], equal_nan=True), name
