"""`rantwin calibrate --on ADDRESS`: a short, safe sweep of a testbed's CPU limits, the fit, and the twin beside it.

Every step is a trial: through the gate, under a lease, watched, and back at its end. It goes down only as far as what
each container was seen to use leaves a headroom, and no further once a trial was rolled back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from col.errors import InputError, RefusedError
from col.plant import Control, Intervention, Plant, TrialOutcome, Windows
from tui.console import plain_json
from tui.on_testbed import open_testbed
from tui.progress import Progress, Status
from twin.fit_windows import COMPARED, Sample, WindowFit, fit_windows, fitted_scenario, samples_of
from twin.scenario import Scenario, load_scenario

__all__ = ["CalibrateOnRequest", "Step", "Sweep", "calibrate_on", "report_lines", "sweep"]

KINDS = ("cpu_du", "cpu_cu")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOnRequest:
    """What the user asked for. `headroom` is the least limit over what a container was seen to use."""

    on: str
    scenario: str | Path
    out: Path
    levels: int = 3
    windows: int = 3
    headroom: float = 1.3
    at_once: int = 2
    connect: Callable[[str], Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One trial of the sweep: what was asked for, and how it ended."""

    values: Mapping[str, float]
    outcome: str
    windows: int
    reasons: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Sweep:
    """What a sweep brought."""

    samples: list[Sample] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def calibrate_on(request: CalibrateOnRequest, progress: Progress) -> dict[str, Any]:
    """Sweep, fit, write the scenario with the fitted costs; return the result for machines.

    Raises:
        InputError: the testbed lacks what is needed, or its operator allows no exploration; nothing is written.
        RefusedError: not one step was allowed.
        UnreachableError: the agent does not answer.
    """
    if request.out.suffix != ".toml":
        raise InputError("must end in .toml", key="--out", value=str(request.out))
    if request.headroom < 1.1:
        raise InputError(
            "must be at least 1.1: below that a container is starved", key="--headroom", value=request.headroom
        )
    scenario = load_scenario(request.scenario)
    testbed = open_testbed(request.on, request.connect, scenario.problem(), why="step of a calibration of the twin")
    status = Status(title=f"calibrate on {testbed.facts['plant_id']}", steps_name="trials")
    try:
        with progress:
            done = sweep(testbed.plant, scenario, request, status, progress)
            status.doing = "fits the costs of DUs and CUs"
            progress.update(status)
            fit = fit_windows(scenario, done.samples)
            status.doing = "done"
            progress.update(status)
    finally:
        testbed.close()
    if done.steps and all(step.outcome == TrialOutcome.REFUSED for step in done.steps):
        raise RefusedError(tuple(dict.fromkeys(reason for step in done.steps for reason in step.reasons)))
    fitted = fitted_scenario(scenario, fit.factors, name=request.out.stem)
    request.out.parent.mkdir(parents=True, exist_ok=True)
    request.out.write_text(fitted.to_toml(), encoding="utf-8")
    result = {
        "testbed": dict(testbed.facts),
        "scenario": scenario.name,
        "written": [str(request.out)],
        "trials": [asdict(step) for step in done.steps],
        "windows": sum(sample.windows for sample in done.samples),
        "factors": asdict(fit.factors),
        "is_common": fit.is_common,
        "errors": {"before": fit.errors_before, "after": fit.errors_after, "left_out": fit.left_out},
        "settings": _settings(fit),
    }
    return dict(plain_json(result))


def sweep(plant: Plant, scenario: Scenario, request: CalibrateOnRequest, status: Status, progress: Progress) -> Sweep:
    """Watch the plant as it is, then take its limits down in steps, some gNBs at a time, DUs first."""
    done = Sweep()
    controls = {c.name: c for c in plant.describe().controls}
    groups = list(_groups(scenario, request.at_once))
    status.steps_total = len(KINDS) * len(groups) * request.levels
    status.doing = "watches the testbed as it is"
    progress.update(status, f"windows before the sweep: {request.windows}")
    windows = plant.observe(request.windows)
    done.samples += samples_of(windows, scenario, 0)
    used: dict[str, float] = {}
    _remember(used, windows)
    confirmed = {name: float(np.asarray(windows.controls[name])[-1]) for name in controls}
    for kind in KINDS:
        for group in groups:
            names = [name for name in group if name.startswith(kind)]
            for level in range(1, request.levels + 1):
                status.steps_done += 1
                values = _values(names, controls, confirmed, used, request, level)
                if not values:
                    continue
                status.doing = "tries " + ", ".join(f"{n} = {v:g}" for n, v in values.items())
                progress.update(status, status.doing)
                trial = plant.trial(Intervention(values), request.windows)
                step = Step(
                    values=values, outcome=str(trial.outcome), windows=len(trial.windows), reasons=trial.reasons
                )
                done.steps.append(step)
                if trial.outcome in (TrialOutcome.HELD, TrialOutcome.ROLLED_BACK):
                    done.samples += samples_of(trial.windows, scenario, len(done.steps))
                    _remember(used, trial.windows)
                if trial.outcome is not TrialOutcome.HELD:
                    progress.update(status, f"no further down: {step.outcome}; {'; '.join(step.reasons)}")
                    status.steps_done += request.levels - level
                    if trial.outcome is TrialOutcome.UNKNOWN:
                        return done
                    break
    return done


def report_lines(result: Mapping[str, Any]) -> list[str]:
    """Return the result for people: what was tried, the factors, the twin against the testbed."""
    trials, factors, errors = result["trials"], result["factors"], result["errors"]
    held = sum(trial["outcome"] == TrialOutcome.HELD for trial in trials)
    lines = [f"{held} of {len(trials)} trials held on {result['testbed']['plant_id']}, {result['windows']} gNB windows"]
    lines += [
        f"  {trial['outcome']}: {', '.join(f'{n} = {v:g}' for n, v in trial['values'].items())}"
        f" ({'; '.join(trial['reasons'])})"
        for trial in trials
        if trial["outcome"] != TrialOutcome.HELD
    ]
    if result["is_common"]:
        lines.append(f"costs at this one load: DU x {factors['du_base']:.3f}, CU x {factors['cu_base']:.3f}")
    else:
        parts = [
            f"{p.upper()} steady x {factors[f'{p}_base']:.3f}, with the load x {factors[f'{p}_load']:.3f}"
            for p in ("du", "cu")
        ]
        lines.append("costs: " + "; ".join(parts))
    lines.append("twin against testbed, RMSE over the mean:      before   after   left out")
    for name in COMPARED:
        row = [errors["before"][name], errors["after"][name], errors["left_out"].get(name)]
        shown = "  ".join("      -" if value is None else f"{100 * value:6.1f} %" for value in row)
        lines.append(f"  {name:<44}{shown}")
    lines.append("not fitted: what becomes of late slots. A safe sweep shows no cliff; recordings under quotas do")
    return [*lines, *result["written"]]


def _groups(scenario: Scenario, at_once: int) -> Sequence[list[str]]:
    gnbs = scenario.topology.gnbs
    chunks = [gnbs[i : i + at_once] for i in range(0, len(gnbs), at_once)]
    return [[n for gnb in chunk for n in (f"cpu_du_{gnb.cell}", f"cpu_cu_{gnb.cu}")] for chunk in chunks]


def _values(
    names: Sequence[str],
    controls: Mapping[str, Control],
    confirmed: Mapping[str, float],
    used: Mapping[str, float],
    request: CalibrateOnRequest,
    level: int,
) -> dict[str, float]:
    """Return the limits of a level: evenly from what is confirmed down to the headroom over the use seen so far."""
    values = {}
    for name in names:
        if name not in used or not np.isfinite(confirmed[name]):
            continue  # nobody knows how far down is safe
        control = controls[name]
        least = max(control.lower, request.headroom * used[name])
        wanted = confirmed[name] + (least - confirmed[name]) * level / request.levels
        value = control.snap(wanted)
        if value < wanted - 1e-9:  # to the safe side
            value = control.snap(min(control.upper, wanted + control.resolution))
        if value < confirmed[name] - control.resolution / 2:
            values[name] = value
    return values


def _remember(used: dict[str, float], windows: Windows) -> None:
    """Keep the most that each container was seen to use; the metric of `cpu_du_1` is `cpuu_du_1`."""
    for name in windows.controls:
        column = np.asarray(windows.metrics.get(name.replace("cpu_", "cpuu_", 1), ()))
        seen = column[np.isfinite(column)] if len(column) else column
        if len(seen):
            used[name] = max(used.get(name, 0.0), float(np.max(seen)))


def _settings(fit: WindowFit) -> list[dict[str, Any]]:
    rows = zip(fit.samples, fit.predicted_before, fit.predicted_after, strict=True)
    return [
        {
            "setting": s.setting,
            "gnb": s.cell,
            "du_quota": s.du_quota,
            "cu_quota": s.cu_quota,
            "measured": {name: getattr(s, name) for name in COMPARED},
            "before": dict(before),
            "after": dict(after),
        }
        for s, before, after in rows
    ]
