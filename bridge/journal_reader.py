"""Reading a journal: entries, the check of the chain, records and facts; also while the agent that writes it runs."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from bridge.journal_chain import Verification, verify_chain
from bridge.journal_windows import last_sequence, load_windows
from bridge.records import Record
from bridge.testbed import JournalEntry
from col.errors import InputError, PlantError
from col.plant import Windows

__all__ = ["JournalReader"]

_COLUMNS = (
    "number, wall_s, monotonic_s, promotion_id, who, actor, kind, state_before, state_after, details,"
    " previous_hash, hash"
)


class JournalReader:
    """A journal to be read. `open_file` for somebody else's; the agent's own is a `Journal`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open_file(cls, path: Path) -> Self:
        """Open the journal at `path` for reading, whether its agent runs or not; InputError if there is none."""
        if not path.is_file():
            raise InputError("no such journal", source=str(path))
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)
            connection.execute("SELECT number FROM head").fetchone()
        except sqlite3.Error as error:
            raise InputError(f"not a journal that can be read: {error}", source=str(path)) from error
        reader = cls.__new__(cls)
        JournalReader.__init__(reader, connection)
        return reader

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def head(self) -> tuple[int, str]:
        """Return number and hash of the entry that was written last."""
        number, text = self._connection.execute("SELECT number, hash FROM head").fetchone()
        return int(number), str(text)

    def entries(self, since: int = 1, limit: int = 1_000, promotion_id: str = "") -> tuple[JournalEntry, ...]:
        """Return at most `limit` entries from a number on, of one promotion if named."""
        of_one = "promotion_id = ? AND" if promotion_id else ""
        arguments = [*([promotion_id] if promotion_id else []), since, limit]
        query = f"SELECT {_COLUMNS} FROM entries WHERE {of_one} number >= ? ORDER BY number LIMIT ?"
        return tuple(self._entries(query, arguments))

    def verify(self) -> Verification:
        """Check the whole chain against its head, and the records that are kept against their last entries."""
        try:
            # One transaction, so that an agent that writes meanwhile does not look like a break.
            self._connection.execute("BEGIN")
            try:
                states = dict(self._connection.execute("SELECT promotion_id, state FROM promotions"))
                entries = self._entries(f"SELECT {_COLUMNS} FROM entries ORDER BY number", [])
                return verify_chain(entries, self.head(), states)
            finally:
                self._connection.execute("ROLLBACK")
        except (sqlite3.Error, ValueError, TypeError) as error:
            return Verification(entries=0, broken=1, problem=f"the file is damaged: {error}")

    def record(self, promotion_id: str) -> Record | None:
        """Return a promotion's record, None if it is not kept; PlantError if it cannot be read any more."""
        rows = self._rows("SELECT record FROM promotions WHERE promotion_id = ?", promotion_id)
        if not rows:
            return None
        record = _readable(rows[0][0])
        if record is None:
            raise PlantError(f"the journal's record of promotion {promotion_id} cannot be read")
        return record

    def unfinished(self) -> tuple[Record, ...]:
        """Return the records of all promotions that are not over, oldest first, without those that cannot be read."""
        rows = self._rows("SELECT record FROM promotions WHERE is_final = 0 ORDER BY place")
        return tuple(record for row in rows if (record := _readable(row[0])) is not None)

    def unreadable(self) -> tuple[str, ...]:
        """Return the ids of promotions that are not over and whose records cannot be read."""
        rows = self._rows("SELECT promotion_id, record FROM promotions WHERE is_final = 0 ORDER BY place")
        return tuple(str(row[0]) for row in rows if _readable(row[1]) is None)

    def was_used(self, promotion_id: str) -> bool:
        """Return whether any entry names this promotion, also when its record is no longer kept."""
        return bool(self._rows("SELECT 1 FROM entries WHERE promotion_id = ? LIMIT 1", promotion_id))

    def fact(self, name: str) -> object:
        """Return what was last written under a name, None if nothing was."""
        rows = self._rows("SELECT value FROM facts WHERE name = ?", name)
        try:
            return json.loads(rows[0][0]) if rows else None
        except (ValueError, TypeError) as error:
            raise PlantError(f"the journal is damaged: what it remembers as {name!r} cannot be read") from error

    def windows(self, since: int, limit: int) -> Windows | None:
        """Return at most `limit` windows from a number on, None if there are none."""
        return load_windows(self._connection, since, limit)

    def last_sequence(self) -> int | None:
        """Return the highest window number, None without windows."""
        return last_sequence(self._connection)

    def _rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            raise PlantError(f"the journal is damaged and cannot be read: {error}") from error

    def _entries(self, query: str, arguments: list[object]) -> Iterator[JournalEntry]:
        for row in self._connection.execute(query, arguments):
            yield JournalEntry(
                number=row[0],
                wall_s=row[1],
                monotonic_s=row[2],
                promotion_id=row[3],
                who=row[4],
                actor=row[5],
                kind=row[6],
                state_before=row[7],
                state_after=row[8],
                details=json.loads(row[9]),
                previous_hash=row[10],
                hash=row[11],
            )


def _readable(text: str) -> Record | None:
    try:
        return Record.from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
