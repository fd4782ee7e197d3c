"""Windows in the journal: one row a window, values as one block of numbers, column names kept once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

import numpy as np

from col.plant import Provenance, Windows

__all__ = ["WINDOW_TABLES", "drop_windows", "last_sequence", "load_windows", "save_windows"]

WINDOW_TABLES = """
CREATE TABLE IF NOT EXISTS window_columns (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS windows (
    sequence INTEGER PRIMARY KEY, start_s REAL, end_s REAL, run INTEGER, columns_id INTEGER NOT NULL, numbers BLOB
);
"""


def save_windows(connection: sqlite3.Connection, windows: Windows, keep: int) -> None:
    """Add windows inside the open transaction, the first of each number wins; drop the oldest beyond `keep`."""
    controls, metrics = list(windows.controls), list(windows.metrics)
    names = json.dumps([controls, metrics, {k: str(v) for k, v in sorted(windows.provenance.items())}])
    connection.execute("INSERT OR IGNORE INTO window_columns (names) VALUES (?)", (names,))
    (columns_id,) = connection.execute("SELECT id FROM window_columns WHERE names = ?", (names,)).fetchone()
    columns = [*windows.controls.values(), *windows.metrics.values()]
    table = np.column_stack(columns).astype("<f8") if columns else np.empty((len(windows), 0))
    connection.executemany(
        "INSERT OR IGNORE INTO windows VALUES (?, ?, ?, ?, ?, ?)",
        [
            (int(s), float(start), float(end), int(run), columns_id, row.tobytes())
            for s, start, end, run, row in zip(
                windows.sequence, windows.start_s, windows.end_s, windows.run, table, strict=True
            )
        ],
    )
    connection.execute(
        "DELETE FROM windows WHERE sequence <= (SELECT sequence FROM windows ORDER BY sequence DESC LIMIT 1 OFFSET ?)",
        (keep,),
    )


def drop_windows(connection: sqlite3.Connection) -> None:
    """Forget all windows inside the open transaction: the testbed numbers them anew."""
    connection.execute("DELETE FROM windows")


def last_sequence(connection: sqlite3.Connection) -> int | None:
    """Return the highest number, None without windows."""
    row = connection.execute("SELECT MAX(sequence) FROM windows").fetchone()
    return None if row[0] is None else int(row[0])


def load_windows(connection: sqlite3.Connection, since: int, limit: int) -> Windows | None:
    """Return at most `limit` windows from a number on; None if there are none.

    Only the stretch that has the columns of its first window: a table has one set of columns.
    """
    rows = connection.execute(
        "SELECT sequence, start_s, end_s, run, columns_id, numbers FROM windows WHERE sequence >= ?"
        " ORDER BY sequence LIMIT ?",
        (since, limit),
    ).fetchall()
    if not rows:
        return None
    first = rows[0][4]
    different = next((i for i, row in enumerate(rows) if row[4] != first), len(rows))
    (names,) = connection.execute("SELECT names FROM window_columns WHERE id = ?", (first,)).fetchone()
    return _table(rows[:different], *json.loads(names))


def _table(
    rows: Sequence[tuple[int, float, float, int, int, bytes]],
    controls: list[str],
    metrics: list[str],
    provenance: dict[str, str],
) -> Windows:
    numbers = np.array([np.frombuffer(row[5], dtype="<f8") for row in rows]).reshape(len(rows), -1)
    return Windows(
        sequence=np.array([row[0] for row in rows], dtype=np.int64),
        start_s=np.array([row[1] for row in rows]),
        end_s=np.array([row[2] for row in rows]),
        run=np.array([row[3] for row in rows], dtype=np.int64),
        controls={name: numbers[:, i] for i, name in enumerate(controls)},
        metrics={name: numbers[:, len(controls) + i] for i, name in enumerate(metrics)},
        provenance={name: Provenance(value) for name, value in provenance.items()},
    )
