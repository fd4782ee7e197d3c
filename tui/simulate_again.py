"""`rantwin simulate --counterfactual`: what would have become of a simulation under do(), on the very same noise."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from col.errors import InputError
from col.plant import Windows
from tui.progress import Progress, Status
from tui.simulate import Simulation, SimulationRequest, joined, plans_of
from tui.simulate_do import Interventions, read_interventions
from tui.window_store import read_windows
from twin.causal_graph import causal_variables
from twin.causal_table import Hold
from twin.counterfactual import Counterfactual, RecordedRun, counterfactual, factual_controls
from twin.intervene import Do
from twin.ran import simulate
from twin.scenario import Scenario, load_scenario

__all__ = ["CounterfactualRequest", "run_counterfactual"]


class CounterfactualRequest:
    """What the user asked for: a simulation's folder, do(), and whether the other controls stay where they were."""

    def __init__(self, folder: Path, do: list[str], *, keep_controls: bool) -> None:
        """Read the folder.

        Raises:
            InputError: it is not that of a simulation.
        """
        self.folder, self.do_texts, self.keep_controls = folder, do, keep_controls
        try:
            self.plan: dict[str, Any] = json.loads((folder / "simulation.json").read_text(encoding="utf-8"))
            self.seed, self.passive = int(self.plan["seed"]), bool(self.plan["passive"])
            self.runs, self.windows = int(self.plan["runs"]), int(self.plan["windows"])
            self.given = Interventions(controls=dict(self.plan["controls"]), held=dict(self.plan["held"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"is not the folder of a simulation ({type(error).__name__}: {error})", source=str(folder)
            ) from error


def run_counterfactual(request: CounterfactualRequest, progress: Progress) -> Simulation:
    """Let the recorded runs happen again, check that they do, and once more under do().

    Raises:
        InputError: do() is wrong, or the runs do not happen again as they were recorded (another version of the twin).
    """
    scenario = load_scenario(request.folder / "scenario.toml")
    asked = read_interventions(request.do_texts, scenario)
    if not asked.words():
        raise InputError("needs an intervention: --do NAME=VALUE", key="--counterfactual", value=str(request.folder))
    recorded, _ = read_windows(request.folder / "windows.parquet")
    started = time.perf_counter()
    plans = plans_of(
        scenario,
        SimulationRequest(
            scenario=scenario.name,
            seed=request.seed,
            windows=request.windows // (1 if request.passive else request.runs),
            passive=request.passive,
            runs=request.runs,
        ),
        request.given,
    )
    status = Status(title=f"counterfactual of {request.folder.name}", steps_name="runs", steps_total=2 * len(plans))
    found: list[Counterfactual] = []
    with progress:
        for run, plan in enumerate(plans):
            status.doing = f"run {run + 1} of {len(plans)}, as it was"
            progress.update(status)
            record = simulate(scenario, plan, seed=request.seed, run=run)
            status.steps_done, status.doing = 2 * run + 1, f"run {run + 1} of {len(plans)}, under do()"
            progress.update(status)
            held = list(_interventions(asked, scenario))
            if request.keep_controls:
                kept = factual_controls(record, but=asked.controls)
                held += [Do(variable=name, values=column, since=0) for name, column in kept.items()]
            whole = RecordedRun(scenario=scenario, plan=plan, seed=request.seed, record=record)
            found.append(counterfactual(whole, held))
    factual = joined(scenario, request.seed, request.passive, request.given, [one.factual for one in found], 0.0)
    _check_same(recorded, factual.windows, request.folder)
    result = joined(
        scenario, request.seed, request.passive, asked, [one.record for one in found], time.perf_counter() - started
    )
    may_move = frozenset[str]().union(*(one.may_move() for one in found))
    return replace(result, factual=factual.windows, factual_of=str(request.folder), may_move=may_move)


def _interventions(asked: Interventions, scenario: Scenario) -> Iterator[Do]:
    """Yield do() from the first window on; what is drawn once for a run is held from its start."""
    table = causal_variables(scenario.topology)
    for name, value in {**asked.controls, **asked.held}.items():
        yield Do(variable=name, values=(value,), since=None if table[name].held is Hold.RUN else 0)


def _check_same(recorded: Windows, again: Windows, folder: Path) -> None:
    for name, then in recorded.metrics.items():
        now = again.metrics.get(name)
        if now is None or then.shape != now.shape or not np.allclose(now, then, rtol=1e-9, atol=0.0, equal_nan=True):
            raise InputError(
                "does not happen again as it was recorded: another version of the twin?",
                source=str(folder / "windows.parquet"),
                key=name,
            )
