"""`rantwin lab accept SCENARIO`: let the lab's agent take certificates of a twin that was calibrated on the lab."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from col.errors import InputError
from tui.config_dir import operator_config_dir
from tui.console import EXIT_DONE, print_json
from tui.lab import LabFiles

if TYPE_CHECKING:
    from twin.scenario import Scenario

__all__ = ["lab_accept_command"]


def lab_accept_command(args: argparse.Namespace) -> int:
    """Add the scenario to those whose certificates the lab's agent takes; it counts once the agent starts anew.

    Raises:
        InputError: no such lab, or the scenario asks for something else than the lab's own: nothing is written.
    """
    from bridge.agent_config import agent_config_text, load_agent_config
    from twin.scenario import load_scenario

    files = LabFiles(operator_config_dir(), args.name)
    if not files.scenario.is_file() or not files.agent_config.is_file():
        raise InputError("no lab of that name was ever up here; start one with: rantwin lab up", key="--name")
    scenario = load_scenario(args.scenario)
    _check_same(scenario, load_scenario(files.scenario), str(args.scenario))
    config = load_agent_config(files.agent_config)
    needs = config.engine.requirements
    is_new = scenario.digest not in needs.scenario_digests
    if is_new:
        needs = replace(needs, scenario_digests=needs.scenario_digests | {scenario.digest})
        changed = replace(config, engine=replace(config.engine, requirements=needs))
        files.write_agent_config(agent_config_text(changed))
    if args.json:
        print_json({"lab": args.name, "digest": scenario.digest, "agent_config": str(files.agent_config)})
    elif is_new:
        serve = "" if files.is_default else f" {files.agent_config}"
        print(f"wrote {files.agent_config}; it counts once the agent starts again: rantwin serve{serve}")
    else:
        print(f"{files.agent_config} has it already")
    return EXIT_DONE


def _check_same(scenario: Scenario, own: Scenario, source: str) -> None:
    """Refuse what differs from the lab in more than in how its twin computes."""
    pairs: tuple[tuple[str, object, object], ...] = (
        ("specification.text", scenario.specification.text, own.specification.text),
        ("specification.alpha", scenario.alpha, own.alpha),
        ("specification.delta", scenario.delta, own.delta),
        ("window.length_s", scenario.window.length_s, own.window.length_s),
        ("scenario.calibration", scenario.calibration_id, own.calibration_id),
        ("controls", scenario.controls, own.controls),
        ("load.operating", scenario.operating_load, own.operating_load),
    )
    for key, found, wanted in pairs:
        if found != wanted:
            text = f"is another one than the lab's: {' '.join(str(wanted).split())[:200]}"
            raise InputError(text, source=source, key=key, value=" ".join(str(found).split())[:200])
