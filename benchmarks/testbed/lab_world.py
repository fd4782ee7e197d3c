"""A lab of one gNB on a Docker engine of its own, its agent and an operator: what faults of real containers are."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.testbed.agent import AgentProcess
from benchmarks.testbed.lab_plant import LabPlant
from benchmarks.testbed.own_engine import OwnEngine
from benchmarks.testbed.world import Levels, World
from bridge.agent_config import AgentConfig, agent_config_text
from bridge.lab.engine import LabPlan, up, wait_for_traffic
from bridge.lab.inventory_text import STACK, TESTBED, inventory_text
from bridge.settings import BlastRadius, EngineSettings
from col.signing import make_keys
from tui.lab_scenario import lab_scenario, plan_of
from tui.requirements import requirements_of
from twin.scenario import Scenario, parse_scenario
from twin.strict import write_toml

__all__ = ["LAB_WINDOW_S", "open_lab_world"]

LAB_WINDOW_S = 1.0
_STARTS_S = 120.0
_LEVELS = Levels(du=(0.17, 0.2), cu=(0.1, 0.12), other=0.11, theirs=0.09, starved=0.034)


@contextmanager
def open_lab_world(engine: OwnEngine, *, state: Path | None = None) -> Iterator[World]:
    """Yield a world of real containers on an engine that runs; `state` is where the agent keeps its journal.

    Windows are 1 s long, and φ looks at two: 130 packets each way in a window, so that one more or less does not count.
    """
    with TemporaryDirectory(prefix="rw") as name:
        folder = Path(name)
        scenario = _scenario()
        lab = f"bench-{os.getpid()}"
        plan = plan_of(scenario, name=lab, folder=folder / "shared")
        plan.folder.mkdir()
        client = engine.client()
        try:
            up(client, plan, lambda _: None)
        finally:
            client.close()
        wait_for_traffic(plan, _STARTS_S)
        limited = tuple(key for key in plan.keys if key in plan.limits_cores)
        plant = LabPlant(engine, lab, limited, folder / "d.sock")
        config = _agent(folder, scenario, plan, plant, state)
        agent = AgentProcess(folder / "agent.toml")
        try:
            agent.start()
            base = plant.in_force()
            yield World(folder, scenario, plant, agent, config, LAB_WINDOW_S, base, _LEVELS, (TESTBED, STACK))
        finally:
            agent.close()
            plant.behave()
            plant.close()
            _take_down(engine, lab)


def _scenario() -> Scenario:
    document = tomllib.loads(lab_scenario(cores=2, gnbs=1, window_s=LAB_WINDOW_S).to_toml())
    text = document["specification"]["text"]
    document["specification"]["text"] = text.replace("always[0,4]", "always[0,1]")
    return parse_scenario(write_toml(document).encode(), "lab.toml")


def _agent(folder: Path, scenario: Scenario, plan: LabPlan, plant: LabPlant, state: Path | None) -> AgentConfig:
    ranges = {kind: next(c for c in scenario.controls if c.name.startswith(f"{kind}_")) for kind in scenario.ranges}
    inventory = inventory_text(plan, window_s=scenario.window.length_s, ranges=ranges, docker=plant.wire.address)
    (folder / "inventory.toml").write_text(inventory, encoding="utf-8")
    make_keys(folder / "keys" / "signing.pem", folder / "keys" / "signing.pub")
    config = AgentConfig(
        state_dir=state or folder / "agent",
        listen=f"unix:{folder}/agent.sock",
        backend="docker",
        backend_options={"inventory": str(folder / "inventory.toml")},
        trusted_keys=(folder / "keys" / "signing.pub",),
        poll_s=0.1,
        engine=EngineSettings(
            requirements=requirements_of(scenario, {}),
            blast=BlastRadius(largest_step={kind: 1.0 for kind in scenario.ranges}),
            settle_s=scenario.window.settle_s,
            lease_ttl_min_s=0.1,
        ),
    )
    (folder / "agent.toml").write_text(agent_config_text(config), encoding="utf-8")
    return config


def _take_down(engine: OwnEngine, lab: str) -> None:
    from bridge.lab.engine import down

    client = engine.client()
    try:
        down(client, lab)
    finally:
        client.close()
