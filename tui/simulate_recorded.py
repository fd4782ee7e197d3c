"""`rantwin simulate SCENARIO --trace-in FILE`: the twin under the loads and limits of recorded windows, beside them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from col.plant import Windows
from tui.dataset_read import Recording, read_dataset
from tui.progress import Progress, Status
from tui.simulate import Simulation, joined
from tui.simulate_do import Interventions
from twin.intervene import Do
from twin.ran import simulate, trial_plan
from twin.scenario import Scenario, load_scenario

__all__ = ["errors_of", "run_beside_recording"]

FloatArray = NDArray[np.float64]


def run_beside_recording(name: str, path: Path, *, seed: int, windows: int | None, progress: Progress) -> Simulation:
    """Simulate one run in which every load and every limit takes the recorded values, window by window.

    Raises:
        InputError: the file is no such recording, its windows have another length, or it drives nothing.
    """
    scenario = load_scenario(name)
    recording = read_dataset(path, scenario)
    there = recording.windows.take(slice(0, windows))
    _check_length(there, scenario, recording.source)
    notes = [f"recorded: {recording.source}, {len(there)} windows", *recording.mended]
    held = tuple(_driven(there, scenario, notes))
    if not held:
        raise InputError("has neither a load nor a limit that this scenario has", source=recording.source)
    if recording.unused:
        notes.append(f"columns without a counterpart: {', '.join(recording.unused[:8])}")
    notes.append(f"driven as recorded: {', '.join(do.variable for do in held)}")
    plan = replace(trial_plan(scenario, scenario.description().reference.values, {}, len(there)), do=held)
    status = Status(title=f"{scenario.name} beside {recording.source}", steps_name="windows", steps_total=len(there))
    started = time.perf_counter()
    with progress:

        def closed(count: int) -> None:
            status.steps_done = count
            progress.update(status)

        record = simulate(scenario, plan, seed=seed, run=0, closed=closed)
    result = joined(scenario, seed, False, Interventions(), [record], time.perf_counter() - started)
    return replace(
        result,
        factual=_beside(result.windows, recording),
        factual_of=recording.source,
        recorded=True,
        notes=[*result.notes, *notes],
    )


def _check_length(windows: Windows, scenario: Scenario, source: str) -> None:
    length = float(windows.end_s[0] - windows.start_s[0])
    if abs(length / scenario.window.length_s - 1.0) > 0.01:
        raise InputError(
            f"windows are {length:g} s long, those of {scenario.name} {scenario.window.length_s:g} s", source=source
        )


def _driven(windows: Windows, scenario: Scenario, notes: list[str]) -> Iterator[Do]:
    """Yield the loads, and the limits that are controls here, kept inside their bounds."""
    loads = [f"load_{way}_{gnb.cell}" for gnb in scenario.topology.gnbs for way in ("dl", "ul")]
    for name in loads if "ues" not in scenario.tables else ():
        if name in windows.metrics and np.any(np.isfinite(windows.metrics[name])):
            yield Do(variable=name, values=tuple(_filled(windows.metrics[name], name, notes)), since=0)
    for control in scenario.controls:
        if control.name in windows.controls:
            column = windows.controls[control.name]
            inside = np.clip(column, control.lower, control.upper)
            if moved := int(np.sum(np.abs(inside - column) > 1e-9)):
                notes.append(f"{control.name}: {moved} values outside {control.lower:g} to {control.upper:g} cut off")
            yield Do(variable=control.name, values=tuple(float(v) for v in inside), since=0)


def _filled(column: FloatArray, name: str, notes: list[str]) -> list[float]:
    """Return a load with each missing value as the last one before it (the first: as the first there is)."""
    good = np.flatnonzero(np.isfinite(column))
    if len(good) < len(column):
        notes.append(f"{name}: {len(column) - len(good)} missing values taken as the one before")
    places = good[np.maximum(np.searchsorted(good, np.arange(len(column)), side="right") - 1, 0)]
    return [float(value) for value in column[places]]


def _beside(simulated: Windows, recording: Recording) -> Windows:
    """Return the recorded windows in the columns of the simulated ones, missing where nothing was recorded."""
    n = len(simulated)
    there = recording.windows.take(slice(0, n))

    def column(name: str) -> FloatArray:
        return there.controls.get(name, there.metrics.get(name, np.full(n, np.nan)))

    return replace(
        simulated,
        controls={name: column(name) for name in simulated.controls},
        metrics={name: column(name) for name in simulated.metrics},
    )


def errors_of(simulation: Simulation) -> dict[str, dict[str, float]]:
    """Return, for every recorded metric, bias and NRMSE (RMSE over the recorded q95 - q05; NaN without a range)."""
    out: dict[str, dict[str, float]] = {}
    if simulation.factual is None:
        return out
    for name, then in simulation.factual.metrics.items():
        error = simulation.windows.metrics[name] - then
        good = np.isfinite(error)
        if not np.any(good) or name.startswith("load_"):
            continue
        low, high = np.quantile(then[good], (0.05, 0.95))
        rmse = float(np.sqrt(np.mean(error[good] ** 2)))
        out[name] = {
            "bias": float(error[good].mean()),
            "rmse": rmse,
            "nrmse": rmse / float(high - low) if high > low else float("nan"),
            "windows": int(good.sum()),
        }
    return out
