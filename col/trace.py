"""A recorded trace as a plant: passive windows are replayed, trials answered where they were recorded.

Nothing is made up. A trial is held only if its full control vector was recorded for long enough, and each recording is
handed out once, since the same windows twice would count as new evidence; everything else is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from col.errors import InputError, PlantError
from col.plant import Intervention, PlantDescription, Trial, TrialOutcome, Windows, concatenate_windows

__all__ = ["RecordedTrace", "check_windows", "windows_from_columns"]

IntArray = NDArray[np.int64]

_FRAME: Final = ("sequence", "start_s", "end_s", "run")
_CLOCK_TOLERANCE: Final = 1e-6
"""Share of a window by which its length or its neighbour's end may be off."""


def windows_from_columns(
    columns: Mapping[str, ArrayLike], description: PlantDescription, *, source: str = "windows"
) -> Windows:
    """Return the windows in `columns`, one array of shape (n,) for each name, and check them.

    The columns are sequence, start_s, end_s, run, every control and every metric of the plant.

    Raises:
        InputError: a column is missing, unknown, of another length or no numbers, or what `check_windows` refuses.
    """
    controls = [c.name for c in description.controls]
    metrics = [m.name for m in description.metrics]
    arrays: dict[str, NDArray[Any]] = {}
    for name in (*_FRAME, *controls, *metrics):
        if name not in columns:
            raise InputError("the column is missing", source=source, key=name)
        try:
            arrays[name] = np.array(columns[name], dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("must be numbers, with NaN where a value is missing", source=source, key=name) from None
        length = len(arrays["sequence"]) if arrays["sequence"].ndim == 1 else 0
        if arrays[name].shape != (length,):
            found = f"shape {arrays[name].shape}, must be ({length},)"
            raise InputError(f"has {found}: is the file cut off?", source=source, key=name)
    for name in columns:
        if name not in arrays:
            raise InputError("is no control or metric of the plant", source=source, key=str(name))
    for name in ("sequence", "run"):
        whole = arrays[name]
        bad = _first(~(np.abs(whole) < 2**53) | (whole != np.rint(whole)))
        if bad is not None:
            raise InputError(f"row {bad}: must be a whole number", source=source, key=name, value=float(whole[bad]))
        arrays[name] = whole.astype(np.int64)
    bad = _first(np.diff(arrays["sequence"]) <= 0)
    if bad is not None:
        repeated = f"row {bad + 1}: must be above the one before ({arrays['sequence'][bad]})"
        raise InputError(repeated, source=source, key="sequence", value=int(arrays["sequence"][bad + 1]))
    windows = Windows(
        sequence=arrays["sequence"],
        start_s=arrays["start_s"],
        end_s=arrays["end_s"],
        run=arrays["run"],
        controls={name: arrays[name] for name in controls},
        metrics={name: arrays[name] for name in metrics},
    )
    check_windows(windows, description, source=source)
    return windows


def check_windows(windows: Windows, description: PlantDescription, *, source: str = "windows") -> None:
    """Raise InputError unless the windows can be ones of that plant; it names column, row and what would be right.

    Controls must be there, finite and within their bounds; metrics must be there, and finite or missing (NaN); windows
    must be as long as the plant's and must not overlap.
    """
    for what, given, wanted in (
        ("control", windows.controls, [c.name for c in description.controls]),
        ("metric", windows.metrics, [m.name for m in description.metrics]),
    ):
        for name in wanted:
            if name not in given:
                raise InputError(f"the column of the {what} is missing", source=source, key=name)
        for name in given:
            if name not in wanted:
                raise InputError(f"the plant has no such {what}", source=source, key=name)
    for name, column in (("start_s", windows.start_s), ("end_s", windows.end_s)):
        _refuse(~np.isfinite(column), column, "must be a finite time", source, name)
    length = windows.end_s - windows.start_s
    slack = _CLOCK_TOLERANCE * description.window_s
    wanted_s = f"the window must last {description.window_s:g} s"
    _refuse(np.abs(length - description.window_s) > slack, windows.end_s, wanted_s, source, "end_s")
    overlap = np.r_[False, windows.start_s[1:] < windows.end_s[:-1] - slack]
    _refuse(overlap, windows.start_s, "begins before the window before it ends", source, "start_s")
    for control in description.controls:
        column = windows.controls[control.name]
        outside = ~((column >= control.lower - 1e-9) & (column <= control.upper + 1e-9))
        said = f"must lie in [{control.lower:g}, {control.upper:g}] {control.unit}"
        _refuse(outside, column, said, source, control.name)
    for name, column in windows.metrics.items():
        _refuse(np.isinf(column), column, "must be finite, or NaN where it is missing", source, name)


class RecordedTrace:
    """A plant over recorded windows.

    `observe` replays the passive windows in their order, whatever configuration was kept before. `trial` hands out the
    first unused recording of its full control vector: windows of one run, one after the other, that are not passive.
    Replayed windows are numbered and timed in the order of the replay; their values and runs are the recorded ones.
    """

    def __init__(
        self,
        description: PlantDescription,
        windows: Windows,
        passive_rows: NDArray[np.bool_] | IntArray | Sequence[int],
    ) -> None:
        """Check the recording.

        Args:
            description: the plant that was recorded; its reference is the confirmed configuration at the beginning.
            windows: everything that was recorded, n windows.
            passive_rows: which rows were recorded while nothing was intervened on: indices, or a mask of shape (n,).

        Raises:
            InputError: windows that cannot be ones of that plant, or rows that do not exist.
        """
        check_windows(windows, description, source="recorded trace")
        passive = _mask(passive_rows, len(windows))
        self._description = description
        self._windows = windows
        self._passive: IntArray = np.flatnonzero(passive)
        self._trials = _recordings(windows, passive)
        self._confirmed = description.reference
        self._next_passive = 0
        self._replayed: Windows = windows.take(slice(0, 0))
        self._next_sequence = int(windows.sequence[0]) if len(windows) else 0
        self._clock_s = float(windows.start_s[0]) if len(windows) else 0.0

    @property
    def recorded_trials(self) -> tuple[tuple[Intervention, int], ...]:
        """The recordings that trials can still be answered from: full control vector and number of windows."""
        return tuple((self._vector(rows[0]), len(rows)) for rows in self._trials)

    @property
    def passive_left(self) -> int:
        """The passive windows that `observe` can still replay."""
        return len(self._passive) - self._next_passive

    def describe(self) -> PlantDescription:
        """Return the plant that was recorded."""
        return self._description

    def history(self, since: int) -> Windows:
        """Return the windows replayed so far with a sequence number of at least `since`."""
        return _copy(self._replayed.take(self._replayed.sequence >= since))

    def observe(self, n: int) -> Windows:
        """Return the next `n` passive windows.

        Raises:
            PlantError: fewer are left; nothing is replayed.
        """
        _check_count(n)
        if n > self.passive_left:
            raise PlantError(f"the recorded trace has {self.passive_left} passive windows left, {n} were asked for")
        rows = self._passive[self._next_passive : self._next_passive + n]
        self._next_passive += n
        return self._replay(rows)

    def trial(self, x: Intervention, n: int, *, keep: bool = False) -> Trial:
        """Return the recorded trial of `x` over the confirmed configuration, or a refused one with the reason."""
        _check_count(n)
        self._description.check(x)
        asked = x.over(self._confirmed.values)
        lengths = [len(rows) for rows in self._trials if self._same(asked, self._vector(rows[0]))]
        if not lengths or max(lengths) < n:
            reason = "no unused recording has this control vector"
            if lengths:
                reason = f"recorded for {max(lengths)} windows, {n} were asked for"
            none = self._windows.take(slice(0, 0))
            return Trial(intervention=asked, outcome=TrialOutcome.REFUSED, windows=none, reasons=(reason,))
        found = next(r for r in self._trials if len(r) >= n and self._same(asked, self._vector(r[0])))
        self._trials = [rows for rows in self._trials if rows is not found]
        read_back = self._vector(found[0])
        if keep:
            self._confirmed = read_back
        windows = self._replay(found[:n])
        return Trial(intervention=asked, outcome=TrialOutcome.HELD, windows=windows, read_back=read_back)

    def _vector(self, row: int) -> Intervention:
        return Intervention({name: float(column[row]) for name, column in self._windows.controls.items()})

    def _same(self, asked: Intervention, recorded: Intervention) -> bool:
        """Return whether two vectors are one setting: they differ by less than half a step of every control."""
        controls = self._description.controls
        return all(abs(asked[c.name] - recorded[c.name]) < 0.5 * c.resolution for c in controls)

    def _replay(self, rows: IntArray) -> Windows:
        n, window_s = len(rows), self._description.window_s
        recorded = self._windows.take(rows)
        starts = np.asarray(self._clock_s + window_s * np.arange(n), dtype=np.float64)
        replayed = Windows(
            sequence=self._next_sequence + np.arange(n, dtype=np.int64),
            start_s=starts,
            end_s=starts + window_s,
            run=recorded.run,
            controls=recorded.controls,
            metrics=recorded.metrics,
            provenance=recorded.provenance,
        )
        self._next_sequence += n
        self._clock_s = float(replayed.end_s[-1])
        self._replayed = concatenate_windows([self._replayed, replayed])
        return _copy(replayed)


def _recordings(windows: Windows, passive: NDArray[np.bool_]) -> list[IntArray]:
    """Return the rows of each recorded trial: not passive, consecutive, of one run and one control vector."""
    rows = np.flatnonzero(~passive)
    if not len(rows):
        return []
    same = (np.diff(rows) == 1) & (np.diff(windows.sequence[rows]) == 1) & (np.diff(windows.run[rows]) == 0)
    for column in windows.controls.values():
        same &= np.diff(column[rows]) == 0
    return list(np.split(rows, np.flatnonzero(~same) + 1))


def _mask(rows: NDArray[np.bool_] | IntArray | Sequence[int], n: int) -> NDArray[np.bool_]:
    given = np.asarray(rows)
    if given.dtype == np.bool_ and given.shape == (n,):
        return given.copy()
    mask = np.zeros(n, dtype=np.bool_)
    if given.size == 0:
        return mask
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.integer) or given.min() < 0 or given.max() >= n:
        raise InputError(
            f"must be rows 0 to {n - 1} or a mask of shape ({n},)", source="recorded trace", key="passive_rows"
        )
    mask[given] = True
    return mask


def _check_count(n: int) -> None:
    if n < 1:
        raise InputError("must be at least 1", key="windows", value=n)


def _copy(windows: Windows) -> Windows:
    """Return windows of their own, so that no caller can change what is remembered."""
    return windows.take(np.arange(len(windows)))


def _first(bad: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(bad)) if bad.any() else None


def _refuse(bad: NDArray[np.bool_], column: NDArray[np.float64], said: str, source: str, key: str) -> None:
    row = _first(bad)
    if row is not None:
        raise InputError(f"row {row}: {said}", source=source, key=key, value=float(column[row]))
