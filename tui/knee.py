"""How a flow of constant bit rate meets the DU's knee by both grant policies: a prediction, it was not measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from twin.dataplane import DataPlane
from twin.parameters import GrantPolicy
from twin.ran import DATA_PLANE_STREAMS
from twin.scenario import Scenario

__all__ = ["knee_panels"]

_LIMITS = 25
_WARM_UP_SLOTS, _SLOTS = 2_000, 20_000
_STREAM = 78
"""Spawn key of this figure's random numbers: apart from every stream that learning uses."""


def knee_panels(scenario: Scenario) -> list[dict[str, Any]]:
    """Return panels of throughput and CPU use over the DU's CPU limit at the operating load, CU at its upper bound.

    None where the limit is no control.

    All limits of both policies run side by side as cells of one data plane, without any random effect of a run.
    """
    cell = scenario.cells()[0]
    if "cpu_du" not in scenario.ranges:
        return []
    control = scenario.ranges["cpu_du"]
    cu = scenario.ranges.get("cpu_cu")
    cu_cores = scenario.fixed["cpu_cu"] if cu is None else cu.upper
    limits = np.linspace(control.lower, control.upper, _LIMITS)
    policies = list(GrantPolicy)
    cells = [replace(cell, grant_policy=policy) for policy in policies for _ in limits]
    seeds = np.random.SeedSequence(0, spawn_key=(_STREAM,)).spawn(len(DATA_PLANE_STREAMS))
    streams = {name: np.random.default_rng(seed) for name, seed in zip(DATA_PLANE_STREAMS, seeds, strict=True)}
    plane = DataPlane(cells, streams)
    load = scenario.operating_load
    for number, limit in enumerate(np.tile(limits, len(policies))):
        plane.set_quota(number, du_cores=float(limit), cu_cores=cu_cores)
        plane.set_load(number, dl_mbps=load.dl_mbps, ul_mbps=load.ul_mbps)
    plane.advance(_WARM_UP_SLOTS)
    plane.take_counters()
    plane.advance(_SLOTS)
    counters = plane.take_counters()
    elapsed_ms = counters["slots"]
    shown = {
        ("DL throughput", "Mbit/s"): counters["delivered_bits_dl"] / elapsed_ms / 1000.0,
        ("UL throughput", "Mbit/s"): counters["delivered_bits_ul"] / elapsed_ms / 1000.0,
        ("CPU used by the DU", "core"): counters["cpu_ms_du"] / elapsed_ms,
    }
    return [
        {
            "title": f"Prediction at {load.dl_mbps:g} + {load.ul_mbps:g} Mbit/s",
            "x_label": "CPU limit of the DU",
            "x_unit": "core",
            "y_label": label,
            "y_unit": unit,
            "measured": [],
            "curves": [
                {"label": f"grant policy {policy}", "x": limits.tolist(), "y": values[k].tolist()}
                for k, policy in enumerate(policies)
            ],
        }
        for (label, unit), flat in shown.items()
        for values in [flat.reshape(len(policies), _LIMITS)]
    ]
