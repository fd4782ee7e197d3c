"""`run.json`: what a run is, so that it can be shown, made again, and gone on with by nobody who means another one."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from importlib import metadata
from itertools import zip_longest
from typing import Any

from col.errors import InputError
from col.problem import Problem, Settings
from tui.report_data import Group
from twin.scenario import Scenario

__all__ = ["groups_of", "manifest_of", "place_of", "settings_of", "versions", "with_requested"]

_LIBRARIES = ("rantwin", "numpy", "scipy", "scikit-learn", "numba", "simpy", "networkx", "pyarrow")


def manifest_of(
    scenario: Scenario,
    problem: Problem,
    settings: Settings,
    seed: int,
    certificates: Mapping[str, Any],
    on: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the manifest of a new run; `on` is the testbed on which it learns, None for the twin."""
    description = scenario.description()
    predicates = problem.specification.predicates
    limits = {min(p.metrics): p.threshold for p in predicates if len(p.metrics) == 1 and p.threshold is not None}
    return {
        "format": 1,
        "scenario": scenario.name,
        "title": scenario.title,
        "scenario_digest": scenario.digest[:16],
        "seed": seed,
        "settings": asdict(settings),
        "certificates": dict(certificates),
        "on": None if on is None else dict(on),
        "specification": problem.specification.text,
        "specification_metrics": sorted(problem.specification.metrics),
        "alpha": problem.alpha,
        "delta": problem.delta,
        "confidence": settings.confidence,
        "window_s": description.window_s,
        "controls": [asdict(control) for control in description.controls],
        "units": {metric.name: metric.unit for metric in description.metrics},
        "limits": limits,
        "operating": dict(problem.operating),
        "graph": problem.graph.to_dict(),
        "groups": [group.to_dict() for group in groups_of(scenario)],
        "notes": list(description.notes) if on is None else [f"learned on {place_of(on)}", *on["notes"]],
        "calibration_id": scenario.calibration,
        "versions": versions(),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.platform()},
        "command": _command(scenario, settings, seed, on),
    }


def place_of(on: Mapping[str, Any]) -> str:
    """Return the testbed of a run in words, EMULATED where it is."""
    return f"{'EMULATED ' if on['emulated'] else ''}testbed {on['plant_id']} ({on['stack']})"


def groups_of(scenario: Scenario) -> list[Group]:
    """Return what is drawn together: each gNB's DU and CU limit, and then whatever else is a control, two by two.

    A control that is left over is drawn over the first one of the others.
    """
    names = scenario.topology.control_names
    groups = [
        Group(
            title=f"gNB {gnb.cell}",
            x=f"cpu_du_{gnb.cell}",
            y=f"cpu_cu_{gnb.cu}",
            suffixes=tuple(dict.fromkeys((str(gnb.cell), gnb.cu, gnb.host))),
        )
        for gnb in scenario.topology.gnbs
        if {f"cpu_du_{gnb.cell}", f"cpu_cu_{gnb.cu}"} <= set(names)
    ]
    drawn = {name for group in groups for name in (group.x, group.y)}
    rest = [name for name in names if name not in drawn]
    for x, y in zip_longest(rest[::2], rest[1::2], fillvalue=names[0]):
        if x != y:
            touched = [gnb for gnb in scenario.topology.gnbs if {x, y} & set(scenario.topology.controls_of(gnb))]
            suffixes = [suffix for gnb in touched for suffix in (str(gnb.cell), gnb.cu, gnb.host)]
            owners = [name.rpartition("_")[2] for name in (x, y)]
            groups.append(Group(title=f"{x}, {y}", x=x, y=y, suffixes=tuple(dict.fromkeys([*suffixes, *owners]))))
    return groups


def versions() -> dict[str, str]:
    """Return the versions on which the numbers of a run depend."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def settings_of(manifest: Mapping[str, Any], *, source: str) -> Settings:
    """Return the settings that a run was started with."""
    known = {f.name for f in fields(Settings)}
    unknown = sorted(set(manifest["settings"]) - known)
    if unknown:
        raise InputError("not a setting of this version of rantwin", source=source, key=f"settings.{unknown[0]}")
    return Settings(**manifest["settings"])


def with_requested(settings: Settings, asked: Mapping[str, Any]) -> Settings:
    """Return the settings with what the user asked for; a fault is told by the option's name."""
    try:
        return replace(settings, **asked)
    except InputError as error:
        key = f"--{error.key.replace('_', '-')}" if error.key in asked else error.key
        text = str(error).split(": ", 1)[-1]
        raise InputError(text, key=key, value=error.value) from error


def _command(scenario: Scenario, settings: Settings, seed: int, on: Mapping[str, Any] | None) -> str:
    given = scenario.source if scenario.source and scenario.source != f"{scenario.name}.toml" else scenario.name
    words = ["rantwin", "rehearse", given, "--seed", str(seed)]
    default = Settings(passive_windows=scenario.passive.windows)
    for name in ("passive_windows", "max_trials", "effect", "prior", "confidence"):
        if getattr(settings, name) != getattr(default, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(settings, name))]
    return shlex.join([*words, *(["--on", str(on["address"])] if on is not None else [])])
