"""A run on disk: `runs/<time>-<scenario>/`, written as it goes, whole after a crash, and able to go on from there.

What is in it: `run.json` (what the run is: scenario digest, seed, settings, versions), `scenario.toml`,
`windows.parts/` (one Parquet file a chunk or trial while it runs, `windows.parquet` once it is done),
`interventions.jsonl` (one line a trial), `region.npz` (as it is known so far, while it runs), `slices.npz`,
`summary.json`, `report.html`. While it runs also `progress.json` (`tui.progress_file`); `steering.json`
(`tui.steering`) is the one file that others write.

A trial exists once its line is in `interventions.jsonl`; its windows are durable before that. So a kill at any instant
loses at most the trial that was under way, and that is made again from the same random streams.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import numpy as np

from col.errors import InputError
from col.plant import Windows
from tui.console import plain_json
from tui.window_store import PASSIVE, fsync_folder, merge_parts, read_windows, write_windows

__all__ = ["PROGRESS", "RunFolder", "StoredRun", "digest", "find_run"]

MANIFEST = "run.json"
INTERVENTIONS = "interventions.jsonl"
SUMMARY = "summary.json"
PROGRESS = "progress.json"
_IDENTITY = ("scenario", "scenario_digest", "seed", "settings")


def digest(text: str) -> str:
    """Return the digest of a scenario's text: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """What a run folder holds: passive windows (None before the first chunk), trials in order, each with its windows.

    `trials` are the lines of `interventions.jsonl`; `warnings` say what a crash left behind and was put right.
    """

    passive: Windows | None
    trials: tuple[Mapping[str, Any], ...]
    trial_windows: tuple[Windows | None, ...]
    warnings: tuple[str, ...] = ()

    @property
    def next_run(self) -> int:
        """The number of the first process run that has not been made yet."""
        tables = [w for w in (self.passive, *self.trial_windows) if w is not None and len(w)]
        return max((int(w.run.max()) for w in tables), default=-1) + 1


class RunFolder:
    """One run's folder. One process at a time may write to it."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self._lock: IO[bytes] | None = None

    @classmethod
    def create(cls, root: Path, manifest: Mapping[str, Any], scenario_text: str, now: datetime) -> RunFolder:
        """Create the folder under `root`; its name has the time and the scenario. Nothing exists before this call."""
        root.mkdir(parents=True, exist_ok=True)
        stem = f"{now:%Y%m%d-%H%M%S}-{manifest['scenario']}"
        for attempt in range(1, 1000):
            path = root / (stem if attempt == 1 else f"{stem}-{attempt}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            break
        else:
            raise InputError("too many runs of this second", source=str(root))
        run = cls(path, plain_json(manifest))
        (path / "windows.parts").mkdir()
        run.write_text("scenario.toml", scenario_text)
        run.write_text(INTERVENTIONS, "")
        run.write_json(MANIFEST, manifest)
        run.claim()
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a folder for reading; InputError if it is not a run."""
        manifest_path = path / MANIFEST
        if not manifest_path.is_file():
            raise InputError(f"not a run folder: it has no {MANIFEST}", source=str(path))
        try:
            manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"not JSON ({error})", source=str(manifest_path)) from error
        if not isinstance(manifest, dict) or any(key not in manifest for key in _IDENTITY):
            raise InputError(f"must have the keys {', '.join(_IDENTITY)}", source=str(manifest_path))
        return cls(path, manifest)

    @property
    def is_finished(self) -> bool:
        """Whether the rehearsal came to its end."""
        return (self.path / SUMMARY).is_file()

    def claim(self) -> None:
        """Take the folder for writing until this process ends; InputError if another one has it."""
        lock = (self.path / MANIFEST).open("rb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise InputError("another process is writing to this run", source=str(self.path)) from error
        self._lock = lock
        self.remove(PROGRESS)  # what a process that was killed said of itself

    def close(self) -> None:
        """Let the folder go."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def check_same(self, manifest: Mapping[str, Any]) -> None:
        """Raise InputError unless scenario, seed and settings are those that the run was started with."""
        asked, stored = _flat(plain_json(manifest)), _flat(self.manifest)
        for key in sorted(asked.keys() | stored.keys()):
            if asked.get(key) != stored.get(key):
                raise InputError(
                    f"the run in this folder was started with {stored.get(key)!r}: leave it away, or start a new run",
                    source=str(self.path),
                    key=key,
                    value=asked.get(key),
                )

    def append_passive(self, windows: Windows) -> None:
        """Store a chunk of passive windows; durable on return."""
        write_windows(self._part("passive", int(windows.sequence[0])), windows, PASSIVE)

    def append_trial(self, record: Mapping[str, Any], windows: Windows) -> None:
        """Store a trial: `record` must have its number as `index`; durable on return."""
        index = int(record["index"])
        if len(windows):
            write_windows(self._part("trial", index), windows, index)
        line = json.dumps(plain_json(record), ensure_ascii=False, allow_nan=False) + "\n"
        with (self.path / INTERVENTIONS).open("a", encoding="utf-8") as journal:
            journal.write(line)
            journal.flush()
            os.fsync(journal.fileno())

    def load(self) -> StoredRun:
        """Return all that the folder holds; reads only. A cut-off last line is left out and said in `warnings`."""
        records, warnings, _ = self._read_journal()
        passive, by_trial = self._read_windows()
        tables = []
        for record in records:
            windows = by_trial.get(int(record["index"]))
            if windows is None and int(record.get("windows", 0)) > 0:
                raise InputError(
                    "its windows are missing", source=str(self.path / INTERVENTIONS), key=f"trial {record['index']}"
                )
            tables.append(windows)
        return StoredRun(passive=passive, trials=records, trial_windows=tuple(tables), warnings=warnings)

    def mend(self) -> StoredRun:
        """Put right what a crash left (a cut-off line, windows of a trial without a line); return what there is."""
        records, warnings, whole = self._read_journal()
        if warnings:
            self.write_text(INTERVENTIONS, whole)
        known = {int(record["index"]) for record in records}
        for path in (self.path / "windows.parts").glob("*"):
            kind, _, rest = path.name.partition("-")
            if path.suffix != ".parquet" or (kind == "trial" and int(rest.split(".")[0]) not in known):
                path.unlink()
        stored = self.load()
        return StoredRun(
            passive=stored.passive, trials=stored.trials, trial_windows=stored.trial_windows, warnings=warnings
        )

    def merge(self) -> None:
        """Join the parts to `windows.parquet`; the parts go once that is durable."""
        merged = merge_parts(self._parts())
        if merged is not None:
            write_windows(self.path / "windows.parquet", *merged)
        shutil.rmtree(self.path / "windows.parts", ignore_errors=True)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file, whole or not at all."""
        self.write_text(name, json.dumps(plain_json(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Return a JSON file of the folder, None where there is none."""
        path = self.path / name
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"not JSON ({error})", source=str(path)) from error

    def write_text(self, name: str, text: str) -> None:
        """Write a text file, whole or not at all."""
        partial = self.path / (name + ".tmp")
        with partial.open("w", encoding="utf-8") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        partial.replace(self.path / name)
        fsync_folder(self.path)

    def write_with(self, name: str, write: Callable[[Path], object]) -> None:
        """Let `write` make the file at a temporary path with the same suffix, then move it into place."""
        partial = self.path / f".tmp-{name}"
        write(partial)
        partial.replace(self.path / name)
        fsync_folder(self.path)

    def write_live(self, name: str, write: Callable[[Path], object]) -> None:
        """Do the same for what is worth nothing after a crash: nothing waits for the disk."""
        partial = self.path / f".tmp-{name}"
        write(partial)
        partial.replace(self.path / name)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def _part(self, kind: str, number: int) -> Path:
        return self.path / "windows.parts" / f"{kind}-{number:08d}.parquet"

    def _parts(self) -> list[Path]:
        return sorted((self.path / "windows.parts").glob("*.parquet"))

    def _read_windows(self) -> tuple[Windows | None, dict[int, Windows]]:
        whole = self.path / "windows.parquet"
        found = read_windows(whole) if whole.is_file() else merge_parts(self._parts())
        if found is None:
            return None, {}
        windows, trial = found
        passive = windows.take(trial == PASSIVE)
        by_trial = {int(k): windows.take(trial == k) for k in np.unique(trial) if k != PASSIVE}
        return (passive if len(passive) else None), by_trial

    def _read_journal(self) -> tuple[tuple[Mapping[str, Any], ...], tuple[str, ...], str]:
        path = self.path / INTERVENTIONS
        text = path.read_bytes().decode("utf-8", errors="replace") if path.is_file() else ""
        lines = text.splitlines(keepends=True)
        records: list[Mapping[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                if not line.endswith("\n"):
                    raise ValueError("no end of line")
            except ValueError as error:
                if number == len(lines):
                    warning = f"{path}: line {number} was cut off; that trial is made again"
                    return tuple(records), (warning,), "".join(lines[:-1])
                raise InputError(f"not JSON ({error})", source=str(path), key=f"line {number}") from error
            records.append(record)
        return tuple(records), (), text


def find_run(root: Path, name: str | None, *, unfinished: bool = False) -> Path:
    """Return the folder of a run: a path, a name under `root`, or without a name the latest (unfinished) one."""
    if name:
        for path in (Path(name), root / name):
            if path.is_dir():
                return path
        raise InputError("no such run folder", source=name)
    runs = sorted((p.parent for p in root.glob(f"*/{MANIFEST}")), key=lambda p: p.name, reverse=True)
    for path in runs:
        if not unfinished or not (path / SUMMARY).is_file():
            return path
    what = "unfinished run" if unfinished else "run"
    raise InputError(f"no {what} in this folder", source=str(root))


def _flat(manifest: Mapping[str, Any]) -> dict[str, object]:
    settings: Mapping[str, object] = manifest.get("settings", {})
    plain = {key: manifest.get(key) for key in _IDENTITY if key != "settings"}
    return {**plain, **{f"settings.{key}": value for key, value in settings.items()}}
