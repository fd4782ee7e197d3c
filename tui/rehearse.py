"""`rantwin rehearse`: the one place where scenario, twin, learner, run folder and progress are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from col.learner import learn
from col.problem import Problem
from tui.calibration_view import calibration_view, packaged_calibration
from tui.certification import certify_run
from tui.console import EXIT_DONE, EXIT_FAILED
from tui.findings import details_of, summary_of
from tui.knee import knee_panels
from tui.manifest import groups_of
from tui.progress import Progress, Status
from tui.progress_file import StoredProgress
from tui.recorder import Recorder, recorded_of
from tui.region_facts import cheapest_safe, region_slices
from tui.report import render_report
from tui.report_data import load_report_data, save_slices
from tui.run_folder import RunFolder
from tui.sensitivity import sensitivity_of_border
from tui.session import RehearsalRequest, Session, open_session
from tui.steered import Steered
from tui.verification import Truth, verify
from twin.ran import RunPlan, simulate
from twin.scenario import Scenario

__all__ = ["RehearsalRequest", "rehearse"]


def rehearse(
    request: RehearsalRequest,
    progress: Progress,
    *,
    started: Callable[[Path], None] = lambda _: None,
    now: Callable[[], datetime] = datetime.now,
    clock: Callable[[], float] = perf_counter,
    wait: Callable[[float], None] = sleep,
) -> tuple[int, dict[str, Any]]:
    """Rehearse, or go on with a stopped rehearsal; return the exit code and the summary.

    Bad input raises InputError before anything is written. `started` hears of the run folder as soon as it exists, so
    that whoever stops the run can say how to go on with it. Where `steering.json` of that folder holds it, it waits by
    `wait` (s).
    """
    session = open_session(request, now())
    try:
        started(session.folder.path)
        if session.folder.is_finished and not (request.verify and _lacks_truth(session.folder)):
            return _already_done(session)
        return _run(session, request, progress, clock, now, wait)
    finally:
        session.close()


def _run(
    session: Session,
    request: RehearsalRequest,
    progress: Progress,
    clock: Callable[[], float],
    now: Callable[[], datetime],
    wait: Callable[[float], None],
) -> tuple[int, dict[str, Any]]:
    scenario, folder, stored = session.scenario, session.folder, session.stored
    problem = scenario.problem()
    plant, description = session.plant, session.plant.describe()
    before = max((float(t.get("elapsed_s", 0.0)) for t in stored.trials), default=0.0)
    began = 0.0
    planned, ended = session.settings.max_trials, folder.read_json("summary.json")
    steered = Steered(
        folder.path,
        stored,
        planned,
        dict(description.reference.values),
        ended_with=None if ended is None else int(ended.get("max_trials", planned)),
        wait=wait,
        clock=clock,
    )
    progress = StoredProgress(progress, folder)

    def elapsed() -> float:
        return before + clock() - began - steered.held_s

    status = Status(
        title=f"rehearse {scenario.name}, seed {session.seed}",
        folder=str(folder.path),
        passive_total=session.settings.passive_windows,
        trials_total=session.settings.max_trials,
        notes=list(stored.warnings),
    )
    with progress:
        progress.update(status, f"{status.title}: {folder.path}")
        for warning in stored.warnings:
            progress.update(status, f"warning: {warning}")
        status.doing = "compiles the data plane (once on this machine)"
        progress.update(status)
        _compile(scenario)
        began = clock()
        recorder = Recorder(folder, problem.specification, description, progress, status, elapsed)
        recorded = recorded_of(stored, description)
        for event in learn(
            plant, problem, session.settings, session.seed, recorded=recorded, most_trials=steered.most_trials
        ):
            recorder.take(event)
            steered.wait_after(event, status, progress, held=recorder.write_region)
        recommendation = None
        # Fresh horizons on a testbed would be trials: what is learned there is not certified by them.
        if session.certificates.enabled and session.testbed is None and recorder.outcome is not None:
            recommendation = certify_run(
                folder,
                scenario,
                recorder.outcome.region,
                session.certificates,
                seed=session.seed,
                workers=request.workers,
                now_s=now().timestamp(),
                progress=progress,
                status=status,
                clock=clock,
            )
        wall_s = elapsed()
        truth = None
        if request.verify and recorder.outcome is not None:
            status.doing = "computes the truth on the twin"
            progress.update(status, "verifies: computes the truth on the twin")

            def show(what: str, done: int, total: int) -> None:
                status.doing = f"computes the truth on the twin: {what}, {done} of {total}"
                progress.update(status)

            truth = verify(scenario, recorder.outcome, seed=session.seed, workers=request.workers, progress=show)
            status.unsafe = truth.unsafe_trials
        status.doing = "writes the report"
        progress.update(status)
        summary = _finish(session, problem, recorder, recommendation, truth, wall_s, steered.most_trials())
        status.doing = f"done: {summary['reason']}"
        progress.update(status)
    held = recorder.reference is None or recorder.reference.holds
    return (EXIT_DONE if held else EXIT_FAILED), summary


def _finish(
    session: Session,
    problem: Problem,
    recorder: Recorder,
    recommendation: Mapping[str, Any] | None,
    truth: Truth | None,
    wall_s: float,
    budget: int,
) -> dict[str, Any]:
    """Write all that a finished run has; `summary.json` last, since it is what says that the run is finished."""
    folder, outcome = session.folder, recorder.outcome
    if outcome is None:
        raise RuntimeError("the learner ended without an outcome")
    controls = session.scenario.controls
    best = cheapest_safe(outcome.region, controls)
    slices = region_slices(outcome.region, controls, groups_of(session.scenario), best)
    if truth is not None:
        slices = truth.on_slices(slices)
        folder.write_json("verification.json", truth.facts)
        folder.write_json("sensitivity.json", sensitivity_of_border(session.scenario))
    folder.write_with("region.npz", outcome.region.save)
    folder.write_with("slices.npz", lambda path: save_slices(path, slices))
    stored = folder.load()
    details = details_of(problem, session.plant.describe(), session.settings, recorder, stored)
    if budget != (planned := session.settings.max_trials):
        details["notes"].append(f"the budget was changed from {planned} to {budget} trials while it ran")
    folder.write_json("details.json", details)
    calibration = calibration_view(packaged_calibration(session.scenario.calibration))
    calibration["panels"] += knee_panels(session.scenario)
    folder.write_json("calibration.json", calibration)
    folder.merge()
    summary = summary_of(folder.manifest, recorder, stored, best, recommendation, truth, wall_s)
    summary["max_trials"] = budget
    folder.write_text("report.html", render_report(replace(load_report_data(folder), summary=summary)))
    folder.write_json("summary.json", summary)
    return summary


def _compile(scenario: Scenario) -> None:
    """Run the data plane for a moment, so that its compilation is not taken for simulation."""
    reference = scenario.description().reference.values
    simulate(scenario, RunPlan(base=reference, first_window=1000, windows=1), seed=0, run=0)


def _lacks_truth(folder: RunFolder) -> bool:
    summary = folder.read_json("summary.json")
    return summary is not None and summary.get("coverage") is None


def _already_done(session: Session) -> tuple[int, dict[str, Any]]:
    summary: dict[str, Any] = session.folder.read_json("summary.json")
    return (EXIT_FAILED if summary.get("verdict") == "infeasible" else EXIT_DONE), summary
