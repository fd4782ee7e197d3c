"""The agent's own record of the testbed's windows, for the gate, the watchdog and whoever asks."""

from __future__ import annotations

import contextlib

import numpy as np

from bridge.engine_desk import Desk
from bridge.journal import JournalError
from col.plant import Windows, concatenate_windows

__all__ = ["Recorder", "merge"]

_PULL = 500
_RECENT = 2_048


class Recorder:
    """Windows as they were first seen: the latest in memory (a full disk does not blind the watchdog), more on disk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        last = desk.journal.last_sequence()
        self.recent = None if last is None else desk.journal.windows(last - _RECENT + 1, _RECENT)

    @property
    def last(self) -> int:
        """The highest number seen, -1 without windows."""
        return int(self.recent.sequence[-1]) if self.recent is not None and len(self.recent) else -1

    def pull(self, since: int | None = None) -> bool:
        """Fetch windows that closed, from the first unseen one or from `since` on (some may come late).

        Return whether the testbed answered.
        """
        reading = self._desk.reading
        if reading is not None and self.last >= reading.next_sequence:
            # A window that begins only after the reading cannot have closed: the testbed numbers its windows anew.
            self.recent = None
            with contextlib.suppress(JournalError):
                self._desk.journal.drop_windows()
        new = self._desk.calls.windows(self.last + 1 if since is None else min(since, self.last + 1), _PULL)
        if new is not None and self.recent is not None:
            new = new.take(~np.isin(new.sequence, self.recent.sequence))
        if new is None or not len(new):
            return new is not None
        self.recent = merge(self.recent, new).take(slice(-_RECENT, None))
        self._desk.version += 1
        with contextlib.suppress(JournalError):
            self._desk.journal.save_windows(new, self._desk.settings.windows_kept)
        return True

    def latest(self, count: int) -> Windows:
        """Return the last `count` windows, fewer where there are no more."""
        if self.recent is None:
            return self.none()
        return self.recent.take(slice(-count, None))

    def recorded(self, since: int, limit: int) -> Windows:
        """Return at most `limit` recorded windows from a number on."""
        found = self._desk.journal.windows(since, limit)
        return self.none() if found is None else found

    def none(self) -> Windows:
        """Return a table of no windows with the testbed's columns."""
        plant = self._desk.calls.describe().plant
        return Windows.empty([c.name for c in plant.controls], [m.name for m in plant.metrics])


def merge(known: Windows | None, new: Windows) -> Windows:
    """Return both tables in order of sequence number; with other columns than before, the new one alone."""
    if known is None or known.controls.keys() != new.controls.keys() or known.metrics.keys() != new.metrics.keys():
        return new
    if not len(known) or not len(new):
        return known if len(known) else new
    if known.sequence[-1] < new.sequence[0]:
        return concatenate_windows([known, new])
    rows = np.argsort(np.concatenate([known.sequence, new.sequence]), kind="stable")

    def joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.concatenate([a, b])[rows]

    return Windows(
        sequence=joined(known.sequence, new.sequence),
        start_s=joined(known.start_s, new.start_s),
        end_s=joined(known.end_s, new.end_s),
        run=joined(known.run, new.run),
        controls={k: joined(v, new.controls[k]) for k, v in known.controls.items()},
        metrics={k: joined(v, new.metrics[k]) for k, v in known.metrics.items()},
        provenance=known.provenance,
    )
