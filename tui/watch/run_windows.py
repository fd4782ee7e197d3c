"""The windows of a run folder that is being written: each part is read once, and only the newest windows are kept.

A run may go on for days; what the screen holds of it does not grow.
"""

from __future__ import annotations

import contextlib
import os
from itertools import pairwise
from pathlib import Path

import numpy as np

from col.errors import InputError
from col.plant import Windows, concatenate_windows
from tui.window_store import read_windows

__all__ = ["MOST", "RunWindows"]

MOST = 2400
"""Windows that are kept of a run: ten hours of 15 s, more than a rehearsal by default makes."""


class RunWindows:
    """Reads the windows of one run; `table` has the newest in order, `count` says how many there were in all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: set[str] = set()
        self.table: Windows | None = None
        self.count = 0
        self.is_whole = False
        """Whether the run has ended and its parts are one table."""

    def read(self) -> bool:
        """Read what is new; return whether anything was.

        Raises:
            InputError: the table of an ended run is damaged, or parts are not of one run.
        """
        if self.is_whole:
            return False
        whole = self._path / "windows.parquet"
        if whole.is_file():
            windows, _ = read_windows(whole)
            self.count, self.table, self.is_whole = len(windows), _newest(windows), True
            self._seen.clear()
            return True
        new = sorted(self._new_parts(), key=lambda windows: int(windows.sequence[0]))
        if not new:
            return False
        before = 0 if self.table is None else len(self.table)
        joined = _joined(new if self.table is None else [self.table, *new])
        self.count += len(joined) - before
        self.table = _newest(joined)
        return True

    def _new_parts(self) -> list[Windows]:
        """Return the parts that were not there before; they vanish once they are merged."""
        folder = self._path / "windows.parts"
        new: list[Windows] = []
        with contextlib.suppress(FileNotFoundError):
            names = {name for name in os.listdir(folder) if name.endswith(".parquet")}
            for name in sorted(names - self._seen):
                with contextlib.suppress(FileNotFoundError, InputError):
                    windows, _ = read_windows(folder / name)
                    self._seen.add(name)
                    if len(windows):
                        new.append(windows)
        return new


def _newest(windows: Windows) -> Windows:
    return windows.take(slice(max(0, len(windows) - MOST), None))


def _joined(tables: list[Windows]) -> Windows:
    """Return tables as one; a later one that lies before or within another is put there, what is known stays."""
    if all(a.sequence[-1] < b.sequence[0] for a, b in pairwise(tables)):
        return concatenate_windows(tables)
    whole = tables[0]
    for table in tables[1:]:
        new = table.take(~np.isin(table.sequence, whole.sequence))
        if len(new):
            at = int(np.searchsorted(whole.sequence, new.sequence[0]))
            pieces = (whole.take(slice(0, at)), new, whole.take(slice(at, None)))
            whole = concatenate_windows([piece for piece in pieces if len(piece)])
    return whole
