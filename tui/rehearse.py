"""`rantwin rehearse`: the one place where scenario, twin, learner, run folder and progress are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from col.errors import InputError
from col.learner import learn
from col.problem import Problem, Settings
from tui.calibration_view import calibration_view, packaged_calibration
from tui.certification import CertificateOptions, certify_run, options_of
from tui.console import EXIT_DONE, EXIT_FAILED
from tui.continued import ContinuedPlant
from tui.findings import details_of, summary_of
from tui.knee import knee_panels
from tui.manifest import groups_of, manifest_of, settings_of, with_requested
from tui.progress import Progress, Status
from tui.recorder import Recorder, recorded_of
from tui.region_facts import cheapest_safe, region_slices
from tui.report import render_report
from tui.report_data import load_report_data, save_slices
from tui.run_folder import RunFolder, StoredRun, find_run
from tui.sensitivity import sensitivity_of_border
from tui.verification import Truth, verify
from twin.ran import RunPlan, simulate
from twin.scenario import Scenario, load_scenario
from twin.truth_finder import supports
from twin.twin import Twin

__all__ = ["DEFAULT_SCENARIO", "RehearsalRequest", "rehearse"]

DEFAULT_SCENARIO = "cpu-allocation"
_PASSIVE_CHUNK = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalRequest:
    """What the user asked for; None where nothing was said.

    `resume` names a run folder, "" means the latest unfinished one. `certificates` has what was said of
    `certification.CertificateOptions`, None where nothing was.
    """

    scenario: str | None = None
    seed: int | None = None
    passive_windows: int | None = None
    max_trials: int | None = None
    effect: str | None = None
    prior: str | None = None
    confidence: str | None = None
    runs_dir: Path = Path("runs")
    workers: int = 2
    resume: str | None = None
    verify: bool = False
    certificates: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """A run that is ready to go on."""

    scenario: Scenario
    settings: Settings
    certificates: CertificateOptions
    seed: int
    folder: RunFolder
    stored: StoredRun


def rehearse(
    request: RehearsalRequest,
    progress: Progress,
    *,
    started: Callable[[Path], None] = lambda _: None,
    now: Callable[[], datetime] = datetime.now,
    clock: Callable[[], float] = perf_counter,
) -> tuple[int, dict[str, Any]]:
    """Rehearse, or go on with a stopped rehearsal; return the exit code and the summary.

    Bad input raises InputError before anything is written. `started` hears of the run folder as soon as it exists, so
    that whoever stops the run can say how to go on with it.
    """
    session = _resumed(request) if request.resume is not None else _new(request, now())
    started(session.folder.path)
    try:
        if session.folder.is_finished and not (request.verify and _lacks_truth(session.folder)):
            return _already_done(session)
        return _run(session, request, progress, clock, now)
    finally:
        session.folder.close()


def _run(
    session: _Session,
    request: RehearsalRequest,
    progress: Progress,
    clock: Callable[[], float],
    now: Callable[[], datetime],
) -> tuple[int, dict[str, Any]]:
    scenario, folder, stored = session.scenario, session.folder, session.stored
    problem = scenario.problem()
    twin = Twin(scenario, session.seed, workers=request.workers, first_run=stored.next_run)
    plant = ContinuedPlant(twin, stored)
    before = max((float(t.get("elapsed_s", 0.0)) for t in stored.trials), default=0.0)
    began = 0.0

    def elapsed() -> float:
        return before + clock() - began

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
        recorder = Recorder(folder, problem.specification, twin.describe(), progress, status, elapsed)
        recorded = recorded_of(stored, twin.describe())
        for event in learn(plant, problem, session.settings, session.seed, recorded=recorded):
            recorder.take(event)
        recommendation = None
        if session.certificates.enabled and recorder.outcome is not None:
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
        summary = _finish(session, problem, recorder, recommendation, truth, wall_s)
        status.doing = f"done: {summary['reason']}"
        progress.update(status)
    held = recorder.reference is None or recorder.reference.holds
    return (EXIT_DONE if held else EXIT_FAILED), summary


def _finish(
    session: _Session,
    problem: Problem,
    recorder: Recorder,
    recommendation: Mapping[str, Any] | None,
    truth: Truth | None,
    wall_s: float,
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
    details = details_of(problem, session.scenario.description(), session.settings, recorder, stored)
    folder.write_json("details.json", details)
    calibration = calibration_view(packaged_calibration(session.scenario.calibration))
    calibration["panels"] += knee_panels(session.scenario)
    folder.write_json("calibration.json", calibration)
    folder.merge()
    summary = summary_of(folder.manifest, recorder, stored, best, recommendation, truth, wall_s)
    folder.write_text("report.html", render_report(replace(load_report_data(folder), summary=summary)))
    folder.write_json("summary.json", summary)
    return summary


def _new(request: RehearsalRequest, now: datetime) -> _Session:
    """Check everything, then create the run folder."""
    scenario = load_scenario(request.scenario or DEFAULT_SCENARIO)
    _check_verifiable(request, scenario)
    seed = 0 if request.seed is None else request.seed
    settings = with_requested(
        Settings(passive_windows=scenario.passive.windows, passive_chunk=_chunk(scenario)), _asked(request)
    )
    problem = scenario.problem()
    problem.check(Twin(scenario, seed, workers=request.workers).describe())
    certificates = CertificateOptions().with_asked(request.certificates)
    manifest = manifest_of(scenario, problem, settings, seed, asdict(certificates))
    folder = RunFolder.create(request.runs_dir, manifest, scenario.to_toml(), now)
    return _Session(
        scenario=scenario,
        settings=settings,
        certificates=certificates,
        seed=seed,
        folder=folder,
        stored=folder.load(),
    )


def _resumed(request: RehearsalRequest) -> _Session:
    """Open a stopped run; whatever was asked for besides must be what it was started with."""
    folder = RunFolder.open(find_run(request.runs_dir, request.resume or None, unfinished=True))
    scenario = load_scenario(folder.path / "scenario.toml")
    _check_verifiable(request, scenario)
    manifest = dict(folder.manifest)
    changed = {"scenario_digest": scenario.digest[:16]}
    if request.scenario is not None:
        other = load_scenario(request.scenario)
        changed = {"scenario": other.name, "scenario_digest": other.digest[:16]}
    seed = int(manifest["seed"]) if request.seed is None else request.seed
    stored_settings = settings_of(manifest, source=str(folder.path / "run.json"))
    settings = with_requested(stored_settings, _asked(request))
    folder.check_same({**manifest, **changed, "seed": seed, "settings": asdict(settings)})
    folder.claim()
    stored = folder.load() if folder.is_finished else folder.mend()
    certificates = options_of(manifest.get("certificates"), str(folder.path / "run.json"))
    return _Session(
        scenario=scenario,
        settings=settings,
        certificates=certificates.with_asked(request.certificates),
        seed=seed,
        folder=folder,
        stored=stored,
    )


def _compile(scenario: Scenario) -> None:
    """Run the data plane for a moment, so that its compilation is not taken for simulation."""
    reference = scenario.description().reference.values
    simulate(scenario, RunPlan(base=reference, first_window=1000, windows=1), seed=0, run=0)


def _lacks_truth(folder: RunFolder) -> bool:
    summary = folder.read_json("summary.json")
    return summary is not None and summary.get("coverage") is None


def _already_done(session: _Session) -> tuple[int, dict[str, Any]]:
    summary: dict[str, Any] = session.folder.read_json("summary.json")
    return (EXIT_FAILED if summary.get("verdict") == "infeasible" else EXIT_DONE), summary


def _check_verifiable(request: RehearsalRequest, scenario: Scenario) -> None:
    """Refuse `--verify` at the start rather than after an hour of learning."""
    if request.verify and (reason := supports(scenario)):
        raise InputError(f"the truth of this scenario cannot be computed: {reason}", key="--verify")


def _asked(request: RehearsalRequest) -> dict[str, Any]:
    names = ("passive_windows", "max_trials", "effect", "prior", "confidence")
    return {name: value for name in names if (value := getattr(request, name)) is not None}


def _chunk(scenario: Scenario) -> int:
    """Return whole runs of about 120 windows: a resumed run starts at a run's beginning."""
    return scenario.passive.run_windows * max(1, _PASSIVE_CHUNK // scenario.passive.run_windows)
