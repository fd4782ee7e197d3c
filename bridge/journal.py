"""The journal: every transition before it is acted on, durable, in a hash chain; and what the engine has to remember.

One SQLite database (WAL, synchronous=FULL: a commit that returned survives the machine's death) in one file that one
process may write and others may read meanwhile. An entry and the record that it changes are one transaction.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from bridge.clock import Clock
from bridge.journal_chain import GENESIS, canonical_json, chain_hash, plain
from bridge.journal_reader import JournalReader
from bridge.journal_space import Space
from bridge.journal_windows import WINDOW_TABLES, drop_windows, save_windows
from bridge.records import Record
from bridge.testbed import JournalEntry
from col.errors import PlantError, UnreachableError
from col.plant import Windows

__all__ = ["Draft", "Journal", "JournalError", "JournalFullError"]

T = TypeVar("T")
_LEAST_KEPT = 4

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY, wall_s REAL NOT NULL, monotonic_s REAL NOT NULL, promotion_id TEXT NOT NULL,
    who TEXT NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, state_before TEXT NOT NULL, state_after TEXT NOT NULL,
    details TEXT NOT NULL, previous_hash TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_of_promotion ON entries (promotion_id, number);
CREATE TABLE IF NOT EXISTS head (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS promotions (
    promotion_id TEXT PRIMARY KEY, place INTEGER NOT NULL, state TEXT NOT NULL, is_final INTEGER NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS promotions_by_place ON promotions (is_final, place);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
    + WINDOW_TABLES
)


class JournalError(PlantError):
    """The journal cannot be written or read."""


class JournalFullError(JournalError):
    """No room for what may wait; a rollback still finds some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An entry before it has its number, time and hash."""

    kind: str
    who: str = ""
    actor: str = ""
    promotion_id: str = ""
    state_before: str = ""
    state_after: str = ""
    details: Mapping[str, object] = field(default_factory=dict)


class Journal(JournalReader):
    """The journal at `path`, held by this process alone until `close`. Sizes in bytes.

    Raises:
        UnreachableError: another process holds it.
        JournalError: it cannot be opened, is no journal, or is gone though there was one.
    """

    def __init__(
        self, path: Path, clock: Clock, *, max_bytes: int = 256 * 2**20, reserve_bytes: int = 4 * 2**20
    ) -> None:
        self.path, self._clock = path, clock
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _hold(path.with_name(path.name + ".lock"))
        reserve = path.with_name(path.name + ".reserve")
        if reserve.exists() and not (path.is_file() and path.stat().st_size):
            # Begun anew, it would take whatever is in force now for what was confirmed.
            os.close(self._lock)
            raise JournalError(f"{path}: the journal was lost; to begin another one, move {path.parent} away")
        try:
            # The agent opens it in one thread and uses it in another, never in two at a time.
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
            super().__init__(connection)
            os.chmod(path, 0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 200")
            connection.executescript(_TABLES)
            connection.execute("INSERT OR IGNORE INTO head VALUES (1, 0, ?)", (GENESIS,))
            self._space = Space(connection, reserve, max_bytes=max_bytes, reserve_bytes=reserve_bytes)
        except (sqlite3.Error, OSError) as error:
            os.close(self._lock)
            raise JournalError(f"{path}: the journal cannot be opened: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        super().close()
        with contextlib.suppress(OSError):
            os.close(self._lock)

    def has_room(self) -> bool:
        """Return whether new plans may be written: the reserve for rollbacks is whole, and the disk not full.

        Where the database has almost grown to its size, older records of promotions that are over make room.
        """
        with contextlib.suppress(sqlite3.Error, JournalError):
            if self._space.is_getting_full:
                (over,) = self._connection.execute("SELECT COUNT(*) FROM promotions WHERE is_final = 1").fetchone()
                if over > _LEAST_KEPT:
                    self.prune(max(over // 2, _LEAST_KEPT))
            return self._space.close_reserve() and not self._space.is_disk_full
        return False

    def append(
        self,
        draft: Draft,
        record: Record | None = None,
        facts: Mapping[str, object] | None = None,
        *,
        is_critical: bool = False,
    ) -> JournalEntry:
        """Write one entry, with the record and the facts that it changes, and return it once it is durable.

        Raises:
            JournalFullError: the disk or the journal is full; `is_critical` writes use the reserve before.
            JournalError: anything else; nothing was written.
        """

        def write() -> JournalEntry:
            number, previous = self.head()
            entry = JournalEntry(
                number=number + 1,
                wall_s=self._clock.wall(),
                monotonic_s=self._clock.monotonic(),
                promotion_id=draft.promotion_id,
                who=str(draft.who),
                actor=str(draft.actor),
                kind=draft.kind,
                state_before=str(draft.state_before),
                state_after=str(draft.state_after),
                # As it will be read again: the hash has to cover just that.
                details=json.loads(canonical_json(plain(draft.details))),
                previous_hash=previous,
            )
            entry = replace(entry, hash=chain_hash(entry))
            self._connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    entry.number,
                    entry.wall_s,
                    entry.monotonic_s,
                    entry.promotion_id,
                    entry.who,
                    entry.actor,
                    entry.kind,
                    entry.state_before,
                    entry.state_after,
                    canonical_json(entry.details),
                    entry.previous_hash,
                    entry.hash,
                ),
            )
            self._connection.execute("UPDATE head SET number = ?, hash = ?", (entry.number, entry.hash))
            self._write_record(record, entry.number)
            self._write_facts(facts or {})
            return entry

        return self._write(write, is_critical=is_critical)

    def save(
        self, record: Record | None = None, facts: Mapping[str, object] | None = None, *, is_critical: bool = False
    ) -> None:
        """Write what changes without a transition: heartbeats, windows watched. Errors as of `append`."""

        def write() -> None:
            self._write_record(record, None)
            self._write_facts(facts or {})

        self._write(write, is_critical=is_critical)

    def save_windows(self, windows: Windows, keep: int) -> None:
        """Keep windows, at most `keep` of them. Errors as of `append`."""
        self._write(lambda: save_windows(self._connection, windows, keep))

    def drop_windows(self) -> None:
        """Forget the windows: the testbed numbers them anew."""
        self._write(lambda: drop_windows(self._connection))

    def prune(self, keep: int) -> None:
        """Forget the oldest promotions that are over, beyond `keep` of them; their entries stay."""
        query = (
            "DELETE FROM promotions WHERE is_final = 1 AND place <= (SELECT place FROM promotions"
            " WHERE is_final = 1 ORDER BY place DESC LIMIT 1 OFFSET ?)"
        )
        self._write(lambda: self._connection.execute(query, (keep,)))

    def _write_record(self, record: Record | None, place: int | None) -> None:
        if record is None:
            return
        self._connection.execute(
            "INSERT INTO promotions VALUES (:id, :place, :state, :is_final, :record) ON CONFLICT (promotion_id) DO"
            " UPDATE SET place = COALESCE(:moved, place), state = :state, is_final = :is_final, record = :record",
            {
                "id": record.promotion_id,
                "place": place or 0,
                "moved": place,
                "state": str(record.state),
                "is_final": int(record.state.is_final),
                "record": json.dumps(record.to_dict(), separators=(",", ":")),
            },
        )

    def _write_facts(self, facts: Mapping[str, object]) -> None:
        for name, value in facts.items():
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, canonical_json(value)))

    def _write(self, write: Callable[[], T], *, is_critical: bool = False) -> T:
        try:
            try:
                return self._transaction(write)
            except sqlite3.Error as error:
                if not (is_critical and _is_full(error) and self._space.open_reserve()):
                    raise
                return self._transaction(write)
        except sqlite3.Error as error:
            if _is_full(error):
                raise JournalFullError(f"{self.path}: no room in the journal: {error}") from error
            raise JournalError(f"{self.path}: the journal cannot be written: {error}") from error

    def _transaction(self, write: Callable[[], T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = write()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result


def _is_full(error: sqlite3.Error) -> bool:
    # A write that the disk refuses may come as an I/O error too, whatever its reason was.
    return error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC)


def _hold(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise UnreachableError(f"{path}: another agent holds this journal") from error
    return descriptor
