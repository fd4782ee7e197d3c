"""A plant that goes on where a stopped run left off: same numbers for its windows as if it had never stopped."""

from __future__ import annotations

from dataclasses import replace

from col.plant import Intervention, Plant, PlantDescription, Trial, Windows, concatenate_windows
from tui.run_folder import StoredRun

__all__ = ["ContinuedPlant"]


class ContinuedPlant:
    """`plant` starts afresh after the windows in `stored`: sequence numbers and times follow on from those."""

    def __init__(self, plant: Plant, stored: StoredRun) -> None:
        self._plant = plant
        self._before = [w for w in (stored.passive, *stored.trial_windows) if w is not None and len(w)]
        self._first = max((int(w.sequence[-1]) for w in self._before), default=-1) + 1
        self._start_s = max((float(w.end_s[-1]) for w in self._before), default=0.0)

    def describe(self) -> PlantDescription:
        """Return what the plant is."""
        return self._plant.describe()

    def history(self, since: int) -> Windows:
        """Return the windows of both sessions with a sequence number of at least `since`."""
        now = self._shift(self._plant.history(max(since - self._first, 0)))
        table = concatenate_windows([*self._before, now]) if self._before else now
        return table.take(table.sequence >= since)

    def observe(self, n: int) -> Windows:
        """Change nothing and return the next `n` windows."""
        return self._shift(self._plant.observe(n))

    def trial(self, x: Intervention, n: int, *, keep: bool = False) -> Trial:
        """Apply `x` and watch `n` windows."""
        trial = self._plant.trial(x, n, keep=keep)
        return replace(trial, windows=self._shift(trial.windows))

    def _shift(self, windows: Windows) -> Windows:
        if not self._before:
            return windows
        return replace(
            windows,
            sequence=windows.sequence + self._first,
            start_s=windows.start_s + self._start_s,
            end_s=windows.end_s + self._start_s,
        )
