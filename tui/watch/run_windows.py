"""The windows of a run folder that is being written: each part is read once, and only the newest windows are kept.

A run may go on for days; what the screen holds of it does not grow.
"""

from __future__ import annotations

import contextlib
import os
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
            InputError: the table of an ended run is damaged.
        """
        if self.is_whole:
            return False
        whole = self._path / "windows.parquet"
        if whole.is_file():
            windows, _ = read_windows(whole)
            self.count, self.table, self.is_whole = len(windows), _newest(windows), True
            self._seen.clear()
            return True
        new = self._new_parts()
        if new:
            self.count += sum(len(windows) for windows in new)
            self.table = _newest(concatenate_windows(new if self.table is None else [self.table, *new]))
        return bool(new)

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
    """Return the newest windows in order of their numbers."""
    if np.any(np.diff(windows.sequence) < 0):
        windows = windows.take(np.argsort(windows.sequence, kind="stable"))
    return windows.take(slice(max(0, len(windows) - MOST), None))
