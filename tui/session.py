"""A rehearsal that is ready to go on: everything checked, its folder made or opened, its plant at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from col.errors import InputError
from col.plant import Plant
from col.problem import Settings
from tui.certification import CertificateOptions, options_of
from tui.continued import ContinuedPlant
from tui.manifest import manifest_of, settings_of, with_requested
from tui.on_testbed import Testbed, open_testbed
from tui.run_folder import RunFolder, StoredRun, find_run
from twin.scenario import Scenario, load_scenario
from twin.truth_finder import supports
from twin.twin import Twin

__all__ = ["DEFAULT_SCENARIO", "RehearsalRequest", "Session", "open_session"]

DEFAULT_SCENARIO = "cpu-allocation"
_PASSIVE_CHUNK = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalRequest:
    """What the user asked for; None where nothing was said.

    `resume` names a run folder, "" means the latest unfinished one. `certificates` has what was said of
    `certification.CertificateOptions`, None where nothing was. `on` is the address of a testbed's agent; then
    `connect` makes the client.
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
    on: str | None = None
    connect: Callable[[str], Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A run that is ready to go on; `testbed` is None where it is rehearsed on the twin."""

    scenario: Scenario
    settings: Settings
    certificates: CertificateOptions
    seed: int
    folder: RunFolder
    stored: StoredRun
    plant: Plant
    testbed: Testbed | None = None

    def close(self) -> None:
        """Let folder and testbed go."""
        self.folder.close()
        if self.testbed is not None:
            self.testbed.close()


def open_session(request: RehearsalRequest, now: datetime) -> Session:
    """Check everything, then create the run folder, or open the one that is to go on.

    Raises:
        InputError: bad input; nothing was written.
        UnreachableError: the testbed's agent does not answer.
    """
    return _resumed(request) if request.resume is not None else _new(request, now)


def _new(request: RehearsalRequest, now: datetime) -> Session:
    scenario = load_scenario(request.scenario or DEFAULT_SCENARIO)
    _check_verifiable(request, scenario)
    seed = 0 if request.seed is None else request.seed
    settings = with_requested(
        Settings(passive_windows=scenario.passive.windows, passive_chunk=_chunk(scenario)), _asked(request)
    )
    problem = scenario.problem()
    twin = Twin(scenario, seed, workers=request.workers)
    problem.check(twin.describe())
    certificates = CertificateOptions().with_asked(request.certificates)
    testbed = None if request.on is None else open_testbed(request.on, request.connect, problem)
    try:
        on = None if testbed is None else testbed.facts
        manifest = manifest_of(scenario, problem, settings, seed, asdict(certificates), on)
        folder = RunFolder.create(request.runs_dir, manifest, scenario.to_toml(), now)
        if testbed is not None:
            testbed.take_history(folder, settings.passive_windows)
    except BaseException:
        if testbed is not None:
            testbed.close()
        raise
    return Session(
        scenario=scenario,
        settings=settings,
        certificates=certificates,
        seed=seed,
        folder=folder,
        stored=folder.load(),
        plant=twin if testbed is None else testbed.plant,
        testbed=testbed,
    )


def _resumed(request: RehearsalRequest) -> Session:
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
    testbed = None
    if (on := manifest.get("on")) is not None and not folder.is_finished:
        testbed = open_testbed(request.on or on["address"], request.connect, scenario.problem())
        testbed.check_same(on, source=str(folder.path))
    elif on is None and request.on is not None:
        raise InputError("the run in this folder was rehearsed on the twin: start a new one", key="--on")
    plant: Plant
    if testbed is not None:
        plant = testbed.plant
    else:
        twin = Twin(scenario, seed, workers=request.workers, first_run=stored.next_run)
        plant = ContinuedPlant(twin, stored)
    return Session(
        scenario=scenario,
        settings=settings,
        certificates=certificates.with_asked(request.certificates),
        seed=seed,
        folder=folder,
        stored=stored,
        plant=plant,
        testbed=testbed,
    )


def _check_verifiable(request: RehearsalRequest, scenario: Scenario) -> None:
    """Refuse `--verify` at the start rather than after an hour of learning."""
    if request.verify and request.on is not None:
        raise InputError("the truth is known of the twin alone, not of a testbed", key="--verify")
    if request.verify and (reason := supports(scenario)):
        raise InputError(f"the truth of this scenario cannot be computed: {reason}", key="--verify")


def _asked(request: RehearsalRequest) -> dict[str, Any]:
    names = ("passive_windows", "max_trials", "effect", "prior", "confidence")
    return {name: value for name in names if (value := getattr(request, name)) is not None}


def _chunk(scenario: Scenario) -> int:
    """Return whole runs of about 120 windows: a resumed run starts at a run's beginning."""
    return scenario.passive.run_windows * max(1, _PASSIVE_CHUNK // scenario.passive.run_windows)
