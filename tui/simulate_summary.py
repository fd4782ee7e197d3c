"""What a simulation says in a few lines, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tui.figures.svg import number
from tui.progress import duration
from tui.simulate import Simulation, robustness_of
from tui.simulate_recorded import errors_of

__all__ = ["effects_of", "headline_of", "statistics_of", "summary_lines", "summary_of"]

_MOST_CELLS = 8
_MOST_EFFECTS = 10
_TARGETS = ("thp_dl", "thp_ul", "dly_dl", "dly_ul", "jit_ul", "pow")


def statistics_of(values: NDArray[np.float64]) -> dict[str, float | int]:
    """Return mean, standard deviation, least and greatest of what is not missing, and how many are."""
    there = values[np.isfinite(values)]
    if not len(there):
        return {"missing": len(values)}
    return {
        "mean": float(there.mean()),
        "sd": float(there.std()),
        "min": float(there.min()),
        "max": float(there.max()),
        "missing": int(len(values) - len(there)),
    }


def effects_of(simulation: Simulation) -> Mapping[str, dict[str, float]]:
    """Return the effect on every metric and control that moved: mean, least and greatest over the windows."""
    out: dict[str, dict[str, float]] = {}
    before, after = simulation.factual, simulation.windows
    if before is None:
        return out
    for name in (*after.controls, *after.metrics):
        effect = after.column(name) - before.column(name)
        there = effect[np.isfinite(effect)]
        if len(there) and np.any(there != 0):
            out[name] = {"mean": float(there.mean()), "min": float(there.min()), "max": float(there.max())}
    return out


def summary_of(simulation: Simulation) -> dict[str, Any]:
    """Return what was simulated and what came out, for machines."""
    robustness = robustness_of(simulation)
    judged = robustness[np.isfinite(robustness)]
    scenario = simulation.scenario
    return {
        "scenario": scenario.name,
        "scenario_digest": scenario.digest[:16],
        **simulation.plan,
        "window_s": scenario.window.length_s,
        "simulated_s": simulation.simulated_s,
        "wall_s": simulation.wall_s,
        "specification": scenario.specification.text,
        "stretches": len(robustness),
        "stretches_held": int(np.sum(judged >= 0)),
        "stretches_inconclusive": int(len(robustness) - len(judged)),
        "least_robustness": float(judged.min()) if len(judged) else None,
        "events": len(simulation.events),
        "metrics": {name: statistics_of(values) for name, values in simulation.windows.metrics.items()},
        "hidden": {name: statistics_of(values) for name, values in simulation.hidden.items()},
        **_compared(simulation),
        "calibration_id": scenario.calibration_id,
        "notes": list(simulation.notes),
    }


def _compared(simulation: Simulation) -> dict[str, Any]:
    if simulation.factual is None:
        return {}
    if simulation.recorded:
        return {"errors": errors_of(simulation)}
    effects = effects_of(simulation)
    return {"effects": dict(effects), "moved_against_the_graph": sorted(set(effects) - simulation.may_move)}


def headline_of(simulation: Simulation) -> str:
    """Return whether φ held."""
    robustness = robustness_of(simulation)
    horizon = simulation.scenario.specification.horizon
    if not len(robustness):
        return f"φ looks {horizon} windows ahead: too few windows to judge it"
    judged = robustness[np.isfinite(robustness)]
    held = int(np.sum(judged >= 0))
    words = f"φ holds in {held} of {len(robustness)} stretches of {horizon} windows"
    if len(judged) < len(robustness):
        words += f", {len(robustness) - len(judged)} inconclusive"
    return words + (f"; least robustness {number(float(judged.min()), 3)}" if len(judged) else "")


def summary_lines(simulation: Simulation) -> list[str]:
    """Return what people want to know first."""
    scenario, windows = simulation.scenario, simulation.windows
    words = simulation.do.words()
    lines = [
        f"{scenario.name}, seed {simulation.seed}: {len(windows)} windows of {scenario.window.length_s:g} s, "
        f"{simulation.regime}{f', do({words})' if words else ''}",
        f"{duration(simulation.simulated_s)} simulated in {simulation.wall_s:.1f} s",
        headline_of(simulation),
    ]
    if simulation.factual is not None:
        words = _error_words(simulation) if simulation.recorded else _effect_words(simulation)
        of = "beside" if simulation.recorded else "counterfactual of"
        lines.append(f"{of} {simulation.factual_of}: {words}")
        lines += [f"  ! {note}" for note in simulation.notes if simulation.recorded and note not in scenario.notes]
    cells = scenario.topology.gnbs
    for gnb in cells[:_MOST_CELLS]:
        lines.append(f"  gNB {gnb.cell}: {_cell_words(simulation, gnb.cell, gnb.cu)}")
    if len(cells) > _MOST_CELLS:
        lines.append(f"  ... and {len(cells) - _MOST_CELLS} more gNBs (windows.csv has them all)")
    powers = [
        f"{host.name} {_mean(simulation, f'pow_{host.name}')} W" for host in scenario.topology.hosts[:_MOST_CELLS]
    ]
    lines.append(f"  power: {', '.join(powers)}" + (", ..." if len(scenario.topology.hosts) > _MOST_CELLS else ""))
    kinds: dict[str, int] = {}
    for _, _, event in simulation.events:
        kinds[event.kind] = kinds.get(event.kind, 0) + 1
    if kinds:
        lines.append("  events: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    return lines


def _effect_words(simulation: Simulation) -> str:
    effects = effects_of(simulation)
    targets = {name: e for name, e in effects.items() if name.rpartition("_")[0] in _TARGETS}
    words = [f"{name} {number(e['mean'], 3)}" for name, e in targets.items()]
    shown = ", ".join(words[:_MOST_EFFECTS]) + (", ..." if len(words) > _MOST_EFFECTS else "")
    return f"{len(effects)} variables moved" + (f"; mean effects: {shown}" if shown else "")


def _error_words(simulation: Simulation) -> str:
    errors = errors_of(simulation)
    kinds: dict[str, list[float]] = {}
    for name, error in errors.items():
        kinds.setdefault(name.rpartition("_")[0], []).append(error["nrmse"])
    words = [
        f"{kind} {number(100 * float(np.nanmedian(values)), 1)} %"
        for kind, values in kinds.items()
        if np.any(np.isfinite(values))
    ]
    return f"{len(errors)} metrics compared" + (f"; NRMSE (median over cells): {', '.join(words)}" if words else "")


def _mean(simulation: Simulation, name: str, digits: int = 3) -> str:
    column = simulation.windows.metrics.get(name)
    if column is None:
        column = simulation.windows.controls.get(name)
    mean = None if column is None else statistics_of(column).get("mean")
    return "–" if mean is None else number(float(mean), digits)


def _cell_words(simulation: Simulation, cell: int, cu: str) -> str:
    def mean(name: str) -> str:
        return _mean(simulation, name)

    words = [
        f"down {mean(f'thp_dl_{cell}')} of {mean(f'load_dl_{cell}')} Mbit/s",
        f"up {mean(f'thp_ul_{cell}')} of {mean(f'load_ul_{cell}')}",
        f"delay {mean(f'dly_dl_{cell}')}/{mean(f'dly_ul_{cell}')} ms",
        f"jitter {mean(f'jit_ul_{cell}')} ms",
        f"CPU DU {mean(f'cpuu_du_{cell}')}, CU {mean(f'cpuu_cu_{cu}')} core",
    ]
    return ", ".join(words)
