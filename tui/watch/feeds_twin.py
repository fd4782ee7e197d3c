"""The twin's side: a run folder, finished or being written by another process, read again only where it grew."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from col.certificate import SignedCertificate
from col.errors import InputError
from col.plant import Control, Metric, MetricKind, Windows
from tui.certificate_files import load_certificates
from tui.run_folder import PROGRESS, RunFolder
from tui.steering import read_steering
from tui.watch.feeds_rows import Layout, columns_of, holes_in, layout_of, places_of
from tui.watch.run_windows import RunWindows
from tui.watch.state import Connection, GnbPlace, PlantView, Rehearsal, RehearsalView, TrialPoint

__all__ = ["KEEP", "NO_RUN", "TwinFeed", "TwinPicture", "writer_of"]

KEEP = 240
"""Windows that the screen keeps of a plant: an hour of 15 s."""

NO_RUN = "no run yet: 'rantwin rehearse' makes one, or press n to rehearse here"


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinPicture:
    """What is known of a run: the plant's view, how far its rehearsal is, its trials, certificates, and all windows."""

    plant: PlantView
    rehearsal: RehearsalView
    trials: tuple[TrialPoint, ...] = ()
    controls: tuple[Control, ...] = ()
    places: tuple[GnbPlace, ...] = ()
    certificates: tuple[SignedCertificate, ...] = ()
    windows: Windows | None = None
    layout: Layout | None = None
    specification: str = ""
    alpha: float = 0.9
    cheapest: Mapping[str, float] = field(default_factory=dict)
    region_mark: tuple[float, int] | None = None
    """Time and size of the region's file, None where there is none yet."""


def nothing(words: str = NO_RUN) -> TwinPicture:
    """Return the picture of no run."""
    return TwinPicture(plant=PlantView(name="twin", words=words), rehearsal=RehearsalView(words=words))


class TwinFeed:
    """Reads one run folder; `poll` returns what is known now, and is cheap where nothing changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder: RunFolder | None = None
        self._windows = RunWindows(path)
        self._lines: list[Mapping[str, Any]] = []
        self._read_bytes = 0
        self._certificates: tuple[SignedCertificate, ...] = ()
        self._certificate_mark: object = None
        self._received_s: float | None = None
        self._picture: TwinPicture | None = None
        self._mark: object = None
        self._news: object = None
        self._said: Mapping[str, Any] = {}
        self._said_mark: object = None

    def poll(self, now_s: float) -> TwinPicture:
        """Return what is known of the run; a folder that is no run, or is broken, is said in words."""
        try:
            return self._poll(now_s)
        except (InputError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            says = str(error) if isinstance(error, InputError | OSError) else repr(error)
            words = f"the run cannot be read: {says}"
            if self._picture is None:
                return nothing(words)
            plant = replace(self._picture.plant, connection=Connection.LOST, words=words)
            return replace(self._picture, plant=plant)

    def _poll(self, now_s: float) -> TwinPicture:
        if self._folder is None:
            self._folder = RunFolder.open(self.path)
        had_any = self._picture is not None
        has_new = self._windows.read()
        self._read_lines()
        writer = writer_of(self.path / "run.json")
        if had_any and has_new and not self._windows.is_whole:
            self._received_s = now_s
        summary_there = self._folder.is_finished
        if summary_there and writer is None:
            self._received_s = None
        self._read_said(writer)
        mark = (self._windows.count, self._windows.is_whole, len(self._lines), summary_there, writer, self._received_s,
                self._read_certificates())  # fmt: skip
        news = (self._said_mark, self._region_mark())
        if self._picture is None or mark != self._mark:
            self._picture = self._make(writer)
        elif news != self._news:  # comes several times a second while a rehearsal runs, without any window
            rehearsal = self._rehearsal(writer)
            plant = replace(self._picture.plant, words=rehearsal.words)
            self._picture = replace(self._picture, plant=plant, rehearsal=rehearsal, region_mark=news[1])
        self._mark, self._news = mark, news
        return self._picture

    def _read_lines(self) -> None:
        """Read the lines of trials that were not there before."""
        journal = self.path / "interventions.jsonl"
        if journal.is_file() and journal.stat().st_size != self._read_bytes:
            if journal.stat().st_size < self._read_bytes:  # a resumed run mended it
                self._lines, self._read_bytes = [], 0
            with journal.open("rb") as source:
                source.seek(self._read_bytes)
                for line in source:
                    if not line.endswith(b"\n"):
                        break
                    self._lines.append(_record(line))
                    self._read_bytes += len(line)

    def _read_said(self, writer: int | None) -> None:
        """Read what the process that writes the run says of itself; nothing once it has gone."""
        path = self.path / PROGRESS
        try:
            facts = path.stat()
            mark = (facts.st_ino, facts.st_mtime_ns) if writer is not None else None
            if mark != self._said_mark:
                said = json.loads(path.read_text(encoding="utf-8")) if mark is not None else {}
                self._said, self._said_mark = said if isinstance(said, dict) else {}, mark
        except (OSError, ValueError):
            self._said, self._said_mark = {}, None

    def _read_certificates(self) -> int:
        files = sorted((self.path / "certificates").glob("*.json"))
        mark = tuple((file.name, file.stat().st_mtime_ns) for file in files)
        if mark != self._certificate_mark:
            certificates = tuple(load_certificates(self.path))
            for signed in certificates:
                signed.certificate()  # one that is none is said here
            self._certificates, self._certificate_mark = certificates, mark
        return hash(mark)

    def _region_mark(self) -> tuple[float, int] | None:
        try:
            facts = (self.path / "region.npz").stat()
        except FileNotFoundError:
            return None
        return (facts.st_mtime, facts.st_size)

    def _make(self, writer: int | None) -> TwinPicture:
        assert self._folder is not None
        manifest = self._folder.manifest
        controls = tuple(Control(**entry) for entry in manifest["controls"])
        places = places_of(manifest.get("groups", ()))
        layout = self._picture.layout if self._picture and self._picture.layout else _layout(manifest, controls, places)
        windows = self._windows.table
        recent = windows.take(slice(max(0, len(windows) - KEEP), None)) if windows is not None else None
        on = manifest.get("on")
        rehearsal = self._rehearsal(writer)
        summary = self._folder.read_json("summary.json") or {}
        plant = PlantView(
            name="twin",
            title=f"{manifest['scenario']}, seed {manifest['seed']}" + (f", learned on {on['plant_id']}" if on else ""),
            emulated=bool(on and on.get("emulated")),
            connection=Connection.CONNECTED,
            words=rehearsal.words,
            rows=layout.rows,
            sequence=recent.sequence if recent is not None else np.empty(0, dtype=np.int64),
            values=columns_of(layout, recent) if recent is not None else {},
            holes=holes_in(recent.sequence) if recent is not None else (),
            window_s=float(manifest["window_s"]),
            received_s=self._received_s,
            in_force={c.name: float(recent.controls[c.name][-1]) for c in controls if c.name in recent.controls}
            if recent is not None and len(recent)
            else {},
        )
        return TwinPicture(
            plant=plant,
            rehearsal=rehearsal,
            trials=tuple(_point(record) for record in self._lines),
            controls=controls,
            places=places,
            certificates=self._certificates,
            windows=windows,
            layout=layout,
            specification=str(manifest["specification"]),
            alpha=float(manifest["alpha"]),
            cheapest=dict((summary.get("cheapest") or {}).get("controls") or {}),
            region_mark=self._region_mark(),
        )

    def _rehearsal(self, writer: int | None) -> RehearsalView:
        assert self._folder is not None
        manifest, said = self._folder.manifest, self._said
        settings = manifest["settings"]
        trial_windows = sum(int(line.get("windows", 0)) for line in self._lines)
        passive = max(0, self._windows.count - trial_windows)
        total = int(settings["max_trials"])
        summary: Mapping[str, Any] = {}
        if writer is not None:
            state = Rehearsal.PAUSED if said.get("paused") else Rehearsal.RUNNING
            words = str(said.get("doing") or "rehearsal runs")
            total = int(said.get("trials_total") or total)
        elif self._folder.is_finished:
            summary = self._folder.read_json("summary.json") or {}
            state, words = Rehearsal.FINISHED, f"rehearsal finished: {summary.get('reason', '')}".rstrip(": ")
            total = int(summary.get("max_trials", total))
        else:
            state, words = Rehearsal.STOPPED, "rehearsal stopped: press u to resume it"
            with contextlib.suppress(InputError):
                wanted = read_steering(self.path).max_trials
                total = total if wanted is None else wanted
        return RehearsalView(
            state=state,
            run=str(self.path),
            scenario=str(manifest["scenario"]),
            seed=int(manifest["seed"]),
            passive_done=min(passive, int(settings["passive_windows"])),
            passive_total=int(settings["passive_windows"]),
            trials_done=len(self._lines),
            trials_total=max(total, len(self._lines)),
            violations=sum(line.get("verdict") == "fail" for line in self._lines),
            region_share=summary.get("region_volume", said.get("region_share")),
            left_s=said.get("left_s"),
            following=said.get("following") or {},
            on_testbed=manifest.get("on") is not None,
            words=words,
        )


def _layout(manifest: Mapping[str, Any], controls: tuple[Control, ...], places: tuple[GnbPlace, ...]) -> Layout:
    nodes: Mapping[str, str] = manifest.get("graph", {}).get("nodes", {})
    targets = {name for name, kind in nodes.items() if kind == "target"} or set(manifest["specification_metrics"])
    metrics = [
        Metric(name=name, unit=unit, kind=MetricKind.TARGET if name in targets else MetricKind.OBSERVABLE)
        for name, unit in manifest.get("units", {}).items()
    ]
    return layout_of(controls, metrics, places, specification=str(manifest["specification"]))


def _record(line: bytes) -> Mapping[str, Any]:
    """Return the record of one trial; an error if it is none, and then at each look until it is mended."""
    record: Mapping[str, Any] = json.loads(line)
    _point(record)
    return record


def _point(record: Mapping[str, Any]) -> TrialPoint:
    robustness = record.get("robustness")
    return TrialPoint(
        number=int(record["index"]) + 1,
        values={name: float(value) for name, value in record["controls"].items()},
        outcome=str(record.get("outcome", "")),
        verdict=str(record.get("verdict") or ""),
        robustness=float("nan") if robustness is None else float(robustness),
        limiting=str(record.get("limiting", "")),
        why=str(record.get("why", "")),
    )


def writer_of(path: Path) -> int | None:
    """Return the process that holds the run's lock, None where nobody writes to it.

    Read from /proc/locks: taking the lock to find out would refuse it to a rehearsal that begins just then.
    """
    try:
        facts = path.stat()
        device = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[3] == "WRITE" and words[5] == device:
                return int(words[4])
    except (OSError, ValueError):
        return None
    return None
