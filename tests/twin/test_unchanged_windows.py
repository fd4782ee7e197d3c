"""What a scenario's windows are does not change because the twin learns to do something that it does not ask for.

The oracle is `unchanged_windows.json`: windows of every scenario as commit 3d4f16f gave them. Wherever the numbers of
a new version are meant to differ, `python -m tests.twin.test_unchanged_windows` writes it anew.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twin.ran import RunPlan, simulate
from twin.scenario import load_scenario

ORACLE = Path(__file__).with_name("unchanged_windows.json")
SCENARIOS = ("cpu-allocation", "cpu-allocation-neighbour", "lab", "zmq")
SEED = 1


def arithmetic() -> str:
    """Return what the transcendental functions of this machine make of some numbers: their last bit is its own."""
    x = np.exp(0.15 * np.random.Generator(np.random.PCG64(SEED)).standard_normal(64))
    return x.sum().hex() + (x[::7] ** 1.4).sum().hex()


def windows(name: str) -> dict[str, list[float]]:
    """Return a scenario's metrics: three windows under its autoscaler, two in a starved trial."""
    scenario = load_scenario(name)
    slots = {key: round(1000 * getattr(scenario.window, key)) for key in ("warmup_s", "settle_s")}
    base = {c.name: c.reference for c in scenario.controls}
    starved = {
        c.name: round(c.lower + share * (c.reference - c.lower), 2)
        for c, share in zip(scenario.controls, (0.45, 0.2, 0.6, 0.5, 0.35, 0.2, 0.25, 0.8), strict=False)
    }
    passive = RunPlan(base=base, first_window=slots["warmup_s"], windows=3, autoscaled=True, passive_load=True)
    trial = RunPlan(
        base=base,
        first_window=slots["warmup_s"] + slots["settle_s"],
        windows=2,
        interventions=((slots["warmup_s"], starved),),
    )
    records = [simulate(scenario, plan, seed=SEED, run=run) for run, plan in enumerate((passive, trial))]
    return {
        metric.name: [float(v) for record in records for v in record.metrics[metric.name]]
        for metric in scenario.topology.metrics()
    }


@cache
def oracle() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(ORACLE.read_text())
    return content


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_that_switches_nothing_on_gives_the_windows_it_always_gave(name: str) -> None:
    expected, seen = oracle()["windows"][name], windows(name)

    assert len(expected) >= 40
    # Between machines the last bit of an exponential may differ, and with it the last digits of a sum.
    tolerance = 0.0 if oracle()["arithmetic"] == arithmetic() else 1e-9
    for metric, values in expected.items():
        np.testing.assert_allclose(seen[metric], values, rtol=tolerance, atol=0.0, equal_nan=True, err_msg=metric)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_that_switches_nothing_on_keeps_its_digest(name: str) -> None:
    assert load_scenario(name).digest == oracle()["digests"][name]


if __name__ == "__main__":
    rows = [
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f"{json.dumps(metric)}: {json.dumps(values)}" for metric, values in windows(name).items())
        + "\n}"
        for name in SCENARIOS
    ]
    digests = json.dumps({name: load_scenario(name).digest for name in SCENARIOS}, indent=0)
    ORACLE.write_text(
        f'{{"arithmetic": "{arithmetic()}",\n"digests": {digests},\n"windows": {{\n' + ",\n".join(rows) + "}}\n"
    )
