"""What an emulated testbed is: its settings, and how it describes itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from col.errors import InputError
from twin.calibrated import calibrated
from twin.emulated.protocol import PROTOCOL
from twin.emulated.scenario_gap import Gap, HostTrouble, other_constants
from twin.live import LiveRun, LoadLaw
from twin.scenario_model import Scenario
from twin.streams import Streams

__all__ = ["STACK", "EmulatedSettings", "describe"]

STACK = "srsran-25.10"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedSettings:
    """What an emulated testbed is.

    `speed` is simulated seconds per second; 0 stands still and is moved by `advance` requests alone. `gap` scales how
    it differs from the twin (0: not at all).
    """

    scenario: Scenario
    seed: int = 0
    speed: float = 1.0
    gap: float = 1.0
    law: LoadLaw = LoadLaw.OPERATING
    plant_id: str = "embedded"

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError("must be zero or above", key="seed", value=self.seed)
        if not 0.0 <= self.speed <= 1e6:
            raise InputError("must lie in 0 to 1e6", key="speed", value=self.speed)
        Gap().scaled(self.gap)

    @property
    def identity(self) -> str:
        """What a state folder belongs to; speed is not part of it."""
        parts = {"plant_id": self.plant_id, "scenario": self.scenario.digest, "gap": self.gap, "seed": self.seed}
        return json.dumps({**parts, "law": str(self.law)}, sort_keys=True)

    def live_run(
        self, run: int, base: Mapping[str, float], *, law: LoadLaw, automation: bool | None, first_sequence: int
    ) -> LiveRun:
        """Return a fresh process run of this testbed."""
        gap = Gap().scaled(self.gap)
        scenario, streams = other_constants(self.scenario, gap), Streams(self.seed, run)
        return LiveRun(
            scenario,
            streams,
            base,
            law=law,
            automation=automation,
            first_sequence=first_sequence,
            disturbance=HostTrouble(scenario.topology, gap, streams),
        )


def describe(settings: EmulatedSettings) -> dict[str, Any]:
    """Return the answer to `describe`: what the testbed is, the same as long as it is the same testbed."""
    scenario, description = settings.scenario, settings.scenario.description()
    wall = scenario.window.length_s / settings.speed if settings.speed > 0 else 0.0
    return {
        "protocol": PROTOCOL,
        "plant_id": settings.plant_id,
        "stack": STACK,
        "radio_mode": calibrated(scenario.calibration).radio_mode,
        "emulated": True,
        "window_s": scenario.window.length_s,
        "wall_window_s": wall,
        "controls": [
            {
                "name": c.name, "unit": c.unit, "lower": c.lower, "upper": c.upper, "resolution": c.resolution,
                "reference": c.reference, "live": c.live, "description": c.description,
            }
            for c in description.controls
        ],
        "metrics": [
            {"name": m.name, "unit": m.unit, "kind": str(m.kind), "description": m.description}
            for m in description.metrics
        ],
        "gnbs": {f"gnb{g.cell}": [f"cpu_du_{g.cell}", f"cpu_cu_{g.cu}"] for g in scenario.topology.gnbs},
        "gnb_metrics": {f"gnb{g.cell}": [f"thp_dl_{g.cell}", f"thp_ul_{g.cell}"] for g in scenario.topology.gnbs},
        "estimated": [],
        "notes": list(_notes(settings, wall)),
    }  # fmt: skip


def _notes(settings: EmulatedSettings, wall_window_s: float) -> tuple[str, ...]:
    speed, gap = settings.speed, settings.gap
    return (
        f"EMULATED: a simulation in a process of its own stands in for {STACK}; no radio, no gNB, no container",
        f"differs from the twin on purpose (gap {gap:g}): compute cost, tails, noisy neighbours, coupling of gNBs"
        if gap
        else "gap 0: the same model as the twin",
        f"runs at {speed:g} times real time, a window takes {wall_window_s:g} s; on a machine that is too slow for "
        "that, simulated time falls behind: windows come later, none is lost, and time more than two windows (or "
        "one second) behind is not caught up"
        if speed
        else "stands still: simulated time moves by `advance` requests alone",
    )
