"""`rantwin lab up|down|status`: four gNBs of real containers on this machine, and an agent's configuration for them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from col.errors import InputError
from tui.config_dir import ConfigDir, operator_config_dir
from tui.console import EXIT_DONE, EXIT_FAILED, print_json
from tui.keys import ensure_signing_key

if TYPE_CHECKING:
    from twin.scenario import Scenario

__all__ = ["LabFiles", "lab_down_command", "lab_status_command", "lab_up_command"]

_STARTS_S = 90.0
_LARGEST_STEP = 0.5
"""Of a control's range: the blast radius of one promotion."""


@dataclass(frozen=True, slots=True)
class LabFiles:
    """Where a lab keeps what belongs to it, below the operator's config directory."""

    config: ConfigDir
    name: str

    @property
    def folder(self) -> Path:
        """The lab's folder."""
        return self.config.path / "lab" / self.name

    @property
    def shared(self) -> Path:
        """What the containers see: what to do, and their counters."""
        return self.folder / "shared"

    @property
    def inventory(self) -> Path:
        """The inventory of the docker backend."""
        return self.folder / "inventory.toml"

    @property
    def scenario(self) -> Path:
        """The scenario to rehearse."""
        return self.folder / "scenario.toml"

    @property
    def agent_config(self) -> Path:
        """The agent's configuration: the operator's default one, unless that is another testbed's."""
        own = self.config.agent_config
        if not own.is_file() or own.read_text(encoding="utf-8", errors="replace").startswith(self._mark):
            return own
        return self.folder / "agent.toml"

    @property
    def agent_socket(self) -> Path:
        """Where the agent listens."""
        return self.config.agent_socket if self.is_default else self.folder / "agent.sock"

    @property
    def is_default(self) -> bool:
        """Whether every command finds this lab's agent by itself."""
        return self.agent_config == self.config.agent_config

    @property
    def _mark(self) -> str:
        return f"# Written by 'rantwin lab up' for the lab {self.name!r}; it is written again with every 'lab up'.\n"

    def write_agent_config(self, text: str) -> Path:
        """Write the agent's configuration and return where it is."""
        path = self.agent_config
        path.write_text(self._mark + text, encoding="utf-8")
        return path


def lab_up_command(args: argparse.Namespace) -> int:
    """Bring the lab up, wait until traffic goes through, write inventory and configuration; serve it if asked to."""
    from bridge.lab.engine import engine, up, wait_for_traffic
    from tui.lab_scenario import cores_here, lab_scenario, plan_of

    files = LabFiles(operator_config_dir(), args.name)
    scenario = lab_scenario(cores=args.cores or cores_here(), gnbs=args.gnbs, window_s=args.window)
    plan = plan_of(scenario, name=args.name, folder=files.shared)
    client = engine()
    for folder in (files.folder, files.shared):
        files.config.folder(folder)
    up(client, plan, _say)
    wait_for_traffic(plan, _STARTS_S)
    _say("iperf3's traffic goes through every gNB, both ways")
    _write(files, scenario)
    address = f"unix:{files.agent_socket}"
    agent = _write_agent(files, scenario, exploration=args.exploration)
    serve, to = ("", "") if files.is_default else (f" {agent}", f" --to {address}")
    step = min(_largest_step(scenario).values())
    rehearse = f"rantwin rehearse {files.scenario} {certificate_options(step)}"
    for line in (
        f"wrote {files.scenario}, {files.inventory} and {agent}",
        f"the agent beside it:     rantwin serve{serve}",
        f"a rehearsal for it:      {rehearse}",
        f"then:                    rantwin promote{to}; rantwin watch, rantwin history; rantwin lab down",
    ):
        _say(line)
    if args.json:
        print_json(
            {
                "lab": args.name,
                "containers": [plan.container(key) for key in plan.keys],
                "scenario": str(files.scenario),
                "inventory": str(files.inventory),
                "agent_config": str(agent),
                "address": address,
                "largest_step": step,
            }
        )
        sys.stdout.flush()
    return _serve(agent) if args.serve else EXIT_DONE


def certificate_options(largest_step: float) -> str:
    """Return the options that make a rehearsal's certificates ones for the lab."""
    from bridge.lab.inventory_text import STACK, TESTBED

    return f"--testbed {TESTBED} --stack '{STACK}' --largest-step {largest_step:g}"


def _serve(path: Path) -> int:
    from bridge.agent import run_agent
    from bridge.agent_config import load_agent_config

    run_agent(load_agent_config(path), lambda address: _say(f"agent listens on {address}, backend docker"))
    return EXIT_DONE


def _largest_step(scenario: Scenario) -> dict[str, float]:
    """Return the most that each kind of control may change in one promotion [core]."""
    return {kind: round(_LARGEST_STEP * (limit.upper - limit.lower), 4) for kind, limit in scenario.ranges.items()}


def _write(files: LabFiles, scenario: Scenario) -> None:
    from bridge.lab.inventory_text import inventory_text
    from tui.lab_scenario import plan_of

    files.scenario.write_text(scenario.to_toml(), encoding="utf-8")
    ranges = {kind: next(c for c in scenario.controls if c.name.startswith(f"{kind}_")) for kind in scenario.ranges}
    plan = plan_of(scenario, name=files.name, folder=files.shared)
    text = inventory_text(plan, window_s=scenario.window.length_s, ranges=ranges)
    files.inventory.write_text(text, encoding="utf-8")


def _write_agent(files: LabFiles, scenario: Scenario, *, exploration: bool) -> Path:
    """Write the agent's configuration and return where it is."""
    from bridge.agent_config import AgentConfig, agent_config_text
    from bridge.settings import BlastRadius, EngineSettings, Exploration
    from tui.requirements import requirements_of

    config = files.config
    key, made = ensure_signing_key(config)
    if made:
        _say(f"made your signing key {key.key_id}: {config.signing_key}")
    config.folder(config.agent_state)
    state = config.folder(files.folder / "agent")
    controls = scenario.controls
    box = Exploration(
        enabled=exploration,
        lower={control.name: control.lower for control in controls},
        upper={control.name: control.upper for control in controls},
        largest_step={control.name: control.upper - control.lower for control in controls},
        most_gnbs=len(scenario.topology.gnbs),
    )
    engine = EngineSettings(
        requirements=requirements_of(scenario, {key.key_id: key.public.raw}),
        blast=BlastRadius(largest_step=_largest_step(scenario), most_gnbs=2),
        exploration=box if exploration else Exploration(enabled=False),
        settle_s=scenario.window.settle_s,
    )
    agent = AgentConfig(
        state_dir=state,
        listen=f"unix:{files.agent_socket}",
        backend="docker",
        backend_options={"inventory": str(files.inventory)},
        engine=engine,
        trusted_keys=(config.signing_public,),
    )
    return files.write_agent_config(agent_config_text(agent))


def lab_down_command(args: argparse.Namespace) -> int:
    """Remove the lab's containers and network; its files stay."""
    from bridge.lab.engine import down, engine

    removed = down(engine(), args.name)
    if args.json:
        print_json({"lab": args.name, "removed": removed})
    else:
        print(f"removed {removed} containers" if removed else "no lab of that name is up")
    return EXIT_DONE


def lab_status_command(args: argparse.Namespace) -> int:
    """Say what is there: containers, limits, what goes through each gNB now; exit code 1 where the lab is not up."""
    from bridge.lab.engine import engine, look
    from bridge.lab.traffic_now import traffic_now

    files = LabFiles(operator_config_dir(), args.name)
    state = look(engine(), args.name)
    gnbs = sorted(key.removeprefix("du_") for key in state.limits_cores if key.startswith("du_"))
    traffic = traffic_now(files.shared / "counters", gnbs) if state.up and gnbs else {}
    if args.json:
        print_json(
            {
                "lab": args.name,
                "up": state.up,
                "containers": dict(state.containers),
                "limits_cores": dict(state.limits_cores),
                "restarts": dict(state.restarts),
                "traffic": traffic,
            }
        )
        return EXIT_DONE if state.up else EXIT_FAILED
    if not state.containers:
        print(f"no lab {args.name!r} here; start one with: rantwin lab up")
        return EXIT_FAILED
    for line in _status_lines(state, traffic):
        print(line)
    return EXIT_DONE if state.up else EXIT_FAILED


def _status_lines(state: Any, traffic: dict[str, dict[str, float]]) -> list[str]:
    lines = []
    for name, what in state.containers.items():
        key = name.removeprefix(f"{state.name}-").replace("-", "_")
        limit = f"{state.limits_cores[key]:g} core" if key in state.limits_cores else ""
        again = f"started again {state.restarts[name]} times" if state.restarts.get(name) else ""
        lines.append(f"{name:<28} {what:<11} {limit:<11} {again}".rstrip())
    for gnb, now in traffic.items():
        ways = (
            f"{way.upper()} {now[f'thp_{way}']:.2f} of {now[f'load_{way}']:.2f} Mbit/s, {now[f'dly_{way}']:.1f} ms"
            for way in ("dl", "ul")
        )
        lines.append(f"gNB {gnb}: {'; '.join(ways)}; late {100 * now['late_du']:.1f} %")
    return lines


def check_name(name: str) -> str:
    """Return the name of a lab if containers can be called so."""
    if not (name.isascii() and name.replace("-", "").isalnum() and name[:1].isalnum() and len(name) <= 32):
        raise InputError("must be at most 32 letters, digits and '-'", key="--name", value=name)
    return name


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
