"""What the emulated testbed keeps across a crash: values in force, numbering, recent windows.

One SQLite file in a folder of its own. Each change is on the disk before it is acknowledged, so a kill -9 at any time
leaves a state that the next process starts from. While the disk takes nothing (full), changes are kept in memory and
written with the next one that it takes: a testbed does not refuse a limit because of its book-keeping.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from col.errors import InputError, PlantError
from twin.live import LiveWindow

__all__ = ["PlantState", "Stored", "StoredWindow"]

WINDOWS_KEPT = 20_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS windows (
    sequence INTEGER PRIMARY KEY, start_s REAL NOT NULL, end_s REAL NOT NULL, run INTEGER NOT NULL,
    controls BLOB NOT NULL, metrics BLOB NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is known when a process starts; `runs` is how many there have been.

    `resume_s` is where the testbed's own clock goes on: not before any time that the last process may have told.
    """

    values: Mapping[str, float]
    next_sequence: int = 0
    resume_s: float = 0.0
    runs: int = 0
    automation: bool | None = None
    misbehaviour: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWindow:
    """A closed window on the testbed's own clock; columns in the order of the names that the state was opened with."""

    sequence: int
    start_s: float
    end_s: float
    run: int
    controls: tuple[float, ...]
    metrics: tuple[float, ...]


class PlantState:
    """The state folder of one emulated testbed, held by one process at a time."""

    def __init__(
        self,
        folder: Path,
        *,
        identity: str,
        controls: Sequence[str],
        metrics: Sequence[str],
        wait_s: float = 5.0,
        keep: int = WINDOWS_KEPT,
    ) -> None:
        """Open or begin a state; `identity` is what the testbed is, and a state of another one is not taken over.

        Raises:
            InputError: the folder cannot be written, is in use after `wait_s`, or is the state of another testbed.
            PlantError: the file is damaged.
        """
        self._controls, self._metrics, self._keep = tuple(controls), tuple(metrics), keep
        self._unsaved: list[StoredWindow] = []
        self._unsaved_facts: dict[str, object] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", key="state", value=str(folder)) from error
        _hold(self._lock, folder, wait_s)
        path = folder / "testbed.sqlite"
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            known = self._fact("identity")
        except sqlite3.Error as error:
            raise PlantError(f"{path}: state is damaged ({error}); remove the folder to begin anew") from error
        if known is None:
            self.save(identity=identity)
        elif known != identity:
            raise InputError(
                "is the state of another testbed (scenario, gap or seed differ); give another folder or remove it",
                key="state",
                value=str(folder),
            )

    def load(self, reference: Mapping[str, float]) -> Stored:
        """Return what the last process left, or a beginning at the reference configuration."""
        values = self._fact("values")
        return Stored(
            values={**reference, **values} if values is not None else dict(reference),
            next_sequence=self._fact("next_sequence") or 0,
            resume_s=self._fact("resume_s") or 0.0,
            runs=self._fact("runs") or 0,
            automation=self._fact("automation"),
            misbehaviour=self._fact("misbehaviour") or {},
        )

    def save(self, **facts: object) -> None:
        """Write facts (fields of `Stored`)."""
        self.append((), **facts)

    def append(self, windows: Sequence[StoredWindow], **facts: object) -> None:
        """Write windows together with facts; the oldest windows go when there are too many."""
        self._unsaved = [*self._unsaved, *windows][-self._keep :]
        self._unsaved_facts |= facts
        rows = [
            (w.sequence, w.start_s, w.end_s, w.run, np.array(w.controls).tobytes(), np.array(w.metrics).tobytes())
            for w in self._unsaved
        ]
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?, ?)", rows)
                self._db.executemany(
                    "INSERT OR REPLACE INTO facts VALUES (?, ?)",
                    [(name, json.dumps(value)) for name, value in self._unsaved_facts.items()],
                )
                if rows:
                    self._db.execute("DELETE FROM windows WHERE sequence <= ?", (rows[-1][0] - self._keep,))
        except sqlite3.OperationalError:  # full, or failing: what is in force stays in force
            return
        self._unsaved, self._unsaved_facts = [], {}

    @property
    def is_durable(self) -> bool:
        """Whether everything is on the disk."""
        return not self._unsaved and not self._unsaved_facts

    def windows(self, since: int, limit: int) -> list[StoredWindow]:
        """Return windows with a number of at least `since`, in order, at most `limit`."""
        rows = self._db.execute(
            "SELECT sequence, start_s, end_s, run, controls, metrics FROM windows WHERE sequence >= ?"
            " ORDER BY sequence LIMIT ?",
            (since, limit),
        )
        saved = [
            StoredWindow(
                sequence=sequence,
                start_s=start_s,
                end_s=end_s,
                run=run,
                controls=tuple(np.frombuffer(controls).tolist()),
                metrics=tuple(np.frombuffer(metrics).tolist()),
            )
            for sequence, start_s, end_s, run, controls, metrics in rows
        ]
        unsaved = [window for window in self._unsaved if window.sequence >= since]
        return sorted([*saved, *unsaved], key=lambda window: window.sequence)[:limit] if unsaved else saved

    def row(self, window: LiveWindow, *, run: int, offset_s: float) -> StoredWindow:
        """Return a live window as it is stored; its run began at `offset_s` on the testbed's clock."""
        return StoredWindow(
            sequence=window.sequence,
            start_s=offset_s + window.start_ms / 1000.0,
            end_s=offset_s + window.end_ms / 1000.0,
            run=run,
            controls=tuple(window.controls[name] for name in self._controls),
            metrics=tuple(window.metrics[name] for name in self._metrics),
        )

    def close(self) -> None:
        """Let go of the folder."""
        self._db.close()
        os.close(self._lock)

    def _fact(self, name: str) -> Any:
        if name in self._unsaved_facts:
            return self._unsaved_facts[name]
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])


def _hold(lock: int, folder: Path, wait_s: float) -> None:
    """Take the lock; a process that was killed lets go of it by itself, which may take a moment."""
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if time.monotonic() >= until:
                os.close(lock)
                raise InputError(
                    "is in use by another emulated testbed; give each its own folder", key="state", value=str(folder)
                ) from error
            time.sleep(0.05)
