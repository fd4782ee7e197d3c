"""Rehearsals side by side: one scenario under many seeds, in processes of this machine or on a Dask cluster.

A study is a folder of runs, one a seed, each what `rantwin rehearse --seed` would have written, and `study.json` with a
row for each that has ended. A study that was stopped goes on where it stood: ended seeds are kept, begun ones resumed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from col.errors import InputError
from tui.console import EXIT_DONE, EXIT_FAILED
from tui.progress import Progress, QuietProgress, Status
from tui.rehearse import RehearsalRequest, rehearse
from tui.run_folder import MANIFEST, SUMMARY
from tui.session import DEFAULT_SCENARIO
from twin.job_pool import JobPool, ProcessJobs
from twin.scenario import load_scenario

__all__ = ["COLUMNS", "STUDY", "StudyRequest", "rehearse_seed", "rehearse_study", "table_lines"]

STUDY = "study.json"
COLUMNS = (
    "region_volume", "coverage", "false_safe", "interventions", "violations", "unsafe_interventions", "steps_certified",
    "wall_s",
)  # fmt: skip
"""What of each run stands in a row, as in its `summary.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest:
    """What the user asked for.

    `options` has what was said of `RehearsalRequest` besides scenario, seed and folders. `dask` is the address of a
    scheduler, None for `workers` processes here. `resume` names the folder of a study that was stopped.
    """

    seeds: tuple[int, ...]
    scenario: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    runs_dir: Path = Path("runs")
    workers: int = 2
    dask: str | None = None
    resume: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedJob:
    """One rehearsal: the scenario's text, what was asked for, and the study's folder (None: elsewhere, send it)."""

    scenario: str
    seed: int
    options: Mapping[str, Any]
    folder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """Exit code, name of the run's folder, its summary, and the folder's files where it is not in the study's yet."""

    code: int
    name: str
    summary: Mapping[str, Any]
    archive: bytes = b""


def rehearse_study(
    request: StudyRequest,
    progress: Progress,
    *,
    started: Callable[[Path], None] = lambda _: None,
    now: Callable[[], datetime] = datetime.now,
) -> tuple[int, dict[str, Any]]:
    """Rehearse every seed; return the worst exit code and the study: its rows, medians and ranges.

    Raises:
        InputError: bad input; nothing was written.
        PlantError, UnreachableError: workers are lost again and again, or cannot be reached; the study can go on.
    """
    with contextlib.ExitStack() as stack:
        pool: JobPool
        if request.dask is None:
            pool = ProcessJobs(request.workers, preload=("tui.rehearse",))
        else:
            from twin.job_pool_dask import DaskJobs

            pool = stack.enter_context(DaskJobs(request.dask))
        folder, text = _open(request, now())
        started(folder)
        study = _Study(folder, request, text)
        jobs = study.jobs()
        title = f"rehearse {study.scenario}, {len(request.seeds)} seeds"
        status = Status(title=title, folder=str(folder), doing="rehearses", steps_name="rehearsals")
        status.steps_total, status.steps_done = len(request.seeds), len(request.seeds) - len(jobs)
        stack.enter_context(progress)
        progress.update(status, f"{title}: {folder}")
        for place, result in pool.results(rehearse_seed, jobs):
            line = study.take(jobs[place].seed, result)
            status.steps_done += 1
            progress.update(status, line)
        return study.code, study.document()


def rehearse_seed(job: SeedJob) -> SeedResult:
    """Rehearse one seed, or go on with it; in the process, and maybe on the machine, of a worker."""
    with contextlib.ExitStack() as stack:
        root = Path(job.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="rantwin-")))
        file = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rantwin-"))) / "scenario.toml"
        file.write_text(job.scenario, encoding="utf-8")
        begun = _run_of(root, job.seed)
        where: dict[str, Any] = {"resume": str(begun)} if begun is not None else {"scenario": str(file)}
        request = RehearsalRequest(**{**job.options, **where, "seed": job.seed, "runs_dir": root, "workers": 1})
        folder: list[Path] = []
        code, summary = rehearse(request, QuietProgress(), started=folder.append)
        archive = b"" if job.folder is not None else _packed(folder[0])
        return SeedResult(code=code, name=folder[0].name, summary=summary, archive=archive)


class _Study:
    """The rows of a study at work."""

    def __init__(self, folder: Path, request: StudyRequest, text: str) -> None:
        self._folder, self._request, self._text = folder, request, text
        self.scenario = json.loads((folder / STUDY).read_text(encoding="utf-8"))["scenario"]
        self._rows: dict[int, dict[str, Any]] = {}
        self.code = EXIT_DONE

    def jobs(self) -> list[SeedJob]:
        """Return what is still to be done; what has ended becomes a row."""
        away = self._request.dask is not None
        options = dict(self._request.options)
        if away:  # the operator's key stays on the operator's machine
            options["certificates"] = {**options.get("certificates", {}), "enabled": False}
        jobs = []
        for seed in self._request.seeds:
            run = _run_of(self._folder, seed)
            if run is not None and (run / SUMMARY).is_file():
                self._row(seed, run.name, json.loads((run / SUMMARY).read_text(encoding="utf-8")))
                continue
            if run is not None and away:  # begun on this machine, and the workers cannot see it
                shutil.rmtree(run)
            folder = None if away else str(self._folder.absolute())
            jobs.append(SeedJob(scenario=self._text, seed=seed, options=options, folder=folder))
        return jobs

    def take(self, seed: int, result: SeedResult) -> str:
        """Keep what a rehearsal found; return a line that says it."""
        if result.archive:
            _unpack(result.archive, self._folder / result.name)
        self.code = max(self.code, EXIT_FAILED if result.code else EXIT_DONE)
        row = self._row(seed, result.name, result.summary)
        self._write()
        said = ", ".join(f"{name.replace('_', ' ')} {_shown(row[name])}" for name in COLUMNS if row[name] is not None)
        return f"seed {seed}: {said}"

    def document(self) -> dict[str, Any]:
        """Return the study."""
        rows = [self._rows[seed] for seed in self._request.seeds if seed in self._rows]
        spread = {}
        for name in COLUMNS:
            values = [float(row[name]) for row in rows if row[name] is not None]
            if values:
                spread[name] = {"median": statistics.median(values), "least": min(values), "most": max(values)}
        return {"scenario": self.scenario, "seeds": list(self._request.seeds), "runs": rows, "spread": spread}

    def _row(self, seed: int, name: str, summary: Mapping[str, Any]) -> dict[str, Any]:
        recommended = (summary.get("recommended") or {}).get("steps_certified")
        found = {"steps_certified": recommended, **summary}
        self._rows[seed] = {"seed": seed, "run": name, **{column: found.get(column) for column in COLUMNS}}
        return self._rows[seed]

    def _write(self) -> None:
        _write(self._folder / STUDY, self.document())


def table_lines(study: Mapping[str, Any]) -> Iterator[str]:
    """Yield the study as a table for people: a line a seed, then medians and ranges."""
    shown = [name for name in COLUMNS if any(row[name] is not None for row in study["runs"])]
    header = ["seed", *(name.replace("_", " ") for name in shown)]
    rows = [[str(row["seed"]), *(_shown(row[name]) for name in shown)] for row in study["runs"]]
    spread = study["spread"]
    rows.append(["median", *(_shown(spread[name]["median"]) for name in shown)])
    rows.append(["range", *(f"{_shown(spread[n]['least'])}..{_shown(spread[n]['most'])}" for n in shown)])
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header))]
    for line in (header, *rows):
        yield "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True))


def _open(request: StudyRequest, now: datetime) -> tuple[Path, str]:
    """Return the study's folder, made now or found again, and the text of its scenario."""
    if request.resume is not None:
        return _found(request)
    scenario = load_scenario(request.scenario or DEFAULT_SCENARIO)
    scenario.problem()
    text = scenario.to_toml()
    stem = f"{now:%Y%m%d-%H%M%S}-{scenario.name}-seeds"
    for attempt in range(1, 1000):
        folder = request.runs_dir / (stem if attempt == 1 else f"{stem}-{attempt}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    (folder / "scenario.toml").write_text(text, encoding="utf-8")
    _write(folder / STUDY, {"scenario": scenario.name, "seeds": list(request.seeds), "runs": [], "spread": {}})
    return folder, text


def _found(request: StudyRequest) -> tuple[Path, str]:
    name = request.resume or ""
    studies = sorted(path.parent for path in request.runs_dir.glob(f"*/{STUDY}"))
    folders = [Path(name), request.runs_dir / name] if name else studies[-1:]
    for folder in folders:
        if (folder / STUDY).is_file():
            text = (folder / "scenario.toml").read_text(encoding="utf-8")
            if request.scenario is not None and load_scenario(request.scenario).to_toml() != text:
                raise InputError("is not the scenario of this study", key="SCENARIO", value=request.scenario)
            return folder, text
    raise InputError(f"no study there: a folder with {STUDY}", key="--resume", value=name or str(request.runs_dir))


def _run_of(folder: Path, seed: int) -> Path | None:
    """Return the run of a seed, the one that has ended if there are several."""
    found: list[Path] = []
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        with contextlib.suppress(OSError, ValueError):  # one that was killed before it was whole
            if json.loads(manifest.read_text(encoding="utf-8")).get("seed") == seed:
                found.append(manifest.parent)
    ended = [run for run in found if (run / SUMMARY).is_file()]
    return next(iter(reversed(ended or found)), None)


def _packed(folder: Path) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return buffer.getvalue()


def _unpack(archive: bytes, folder: Path) -> None:
    """Unpack a run; it appears under its name when it is whole."""
    with (
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as made,
        zipfile.ZipFile(BytesIO(archive)) as packed,
    ):
        packed.extractall(made)  # members outside are taken inside by extractall
        whole = folder
        for attempt in range(2, 1000):
            if not whole.exists():
                break
            whole = folder.with_name(f"{folder.name}-{attempt}")
        shutil.copytree(made, whole)


def _shown(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    made = path.with_suffix(".new")
    made.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(made, path)
