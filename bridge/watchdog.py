"""The watchdog: what φ says of the windows watched so far, and whether to give up. Pure: windows in, state out.

Windows are judged one by one in the order in which they come, so that the answer does not depend on how they are
chunked:

* a number that is not above one seen before is a duplicate, or too late: it does not count;
* numbers that were left out are lost windows: nothing was measured in them;
* a window with other controls in force than ours is not evidence about ours: somebody changed the testbed, give up;
* a window that lacks a metric of φ, or a control in force, is incomplete: φ sees that value as missing, never as good.

After `initial_delay_windows` come rounds of `horizon` windows. φ has to hold wherever its own horizon fits into a round
(once, where they are equal). A round fails with the window after which nothing could save it (early falsification),
passes when its last window is there, nothing was missing and φ holds, and is otherwise inconclusive at its end; then
the next one begins with the next window. `failure_limit` failed rounds, or `inconclusive_limit` incomplete windows in a
row, and the watchdog gives up. That is final. A pass is not: as long as the promotion is not confirmed it is watched,
what is seen then can still end it, and a later round that does not pass takes the verdict back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bridge.promotion import Cause, WatchedWindow
from bridge.settings import WatchLimits
from col.errors import InputError
from col.plant import Windows
from col.specification import Specification, Verdict

__all__ = ["WatchState", "Watchdog"]

FloatArray = NDArray[np.float64]
_MOST = 1_000
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """What the windows watched so far say.

    `verdict` is that of the last round that is over, None while undecided; `give_up` is why to roll back now.
    `robustness_low` and `robustness_high` bound the robustness of the round watched now, or of the last one that is
    over. `rounds` rounds are over; after `windows_needed` windows (the delay included) the present one is, or was the
    first that passed. `changed` are controls that are not as we set them: control -> (what we had set, what was in
    force). `last_sequence` is the number of the last window that counted.
    """

    verdict: Verdict | None = None
    robustness_low: float = -math.inf
    robustness_high: float = math.inf
    watched: tuple[WatchedWindow, ...] = ()
    give_up: Cause | None = None
    rounds: int = 0
    windows_needed: int = 0
    last_sequence: int | None = None
    changed: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watchdog:
    """Judges the windows from `first_sequence` on, in rounds of `horizon` windows.

    `horizon` is that of φ in a promotion, the windows asked for in exploration. `in_force` is the full control vector
    that we set; a window with another one (beyond `tolerance` per control, in its unit) means that somebody else
    changed the testbed. Where `in_force` is empty this is not looked at.

    Raises:
        InputError: a limit out of range.
    """

    specification: Specification
    horizon: int
    limits: WatchLimits
    first_sequence: int = 0
    in_force: Mapping[str, float] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = {
            "horizon": (self.horizon, 1),
            "failure_limit": (self.limits.failure_limit, 1),
            "inconclusive_limit": (self.limits.inconclusive_limit, 1),
            "initial_delay_windows": (self.limits.initial_delay_windows, 0),
        }
        for key, (value, least) in numbers.items():
            if not least <= value <= _MOST:
                raise InputError(f"must lie in [{least}, {_MOST}]", source="watch", key=key, value=value)

    def judge(self, windows: Windows | Sequence[Windows]) -> WatchState:
        """Return what all windows so far say: one table, or tables in the order in which they came.

        Give it everything since `first_sequence` (older windows are ignored), also what it was given before: it keeps
        nothing. Once the state says `give_up`, windows that come later change nothing.
        """
        tables = [windows] if isinstance(windows, Windows) else windows
        return _Watch(self).through(tables)


@dataclass(frozen=True, slots=True)
class _Row:
    """One window as the watchdog sees it: the metrics of φ, NaN where missing."""

    sequence: int
    values: Mapping[str, float]
    missing: tuple[str, ...]
    changed: Mapping[str, tuple[float, float]]


class _Watch:
    """One pass over the windows."""

    def __init__(self, dog: Watchdog) -> None:
        self.dog = dog
        self.metrics = sorted(dog.specification.metrics)
        self.lost = tuple(self.metrics)
        self.state = WatchState(windows_needed=dog.limits.initial_delay_windows + dog.horizon)
        self.watched: list[WatchedWindow] = []
        self.round: list[_Row] = []
        self.failures = 0
        self.incomplete_in_a_row = 0

    def through(self, tables: Sequence[Windows]) -> WatchState:
        """Take every window in turn until it is time to give up."""
        expected = self.dog.first_sequence
        for row in self._rows(tables):
            if row.sequence < expected:
                continue
            while expected < row.sequence and self.state.give_up is None:
                self._take(_Row(expected, dict.fromkeys(self.metrics, math.nan), self.lost, {}))
                expected += 1
            if self.state.give_up is not None:
                break
            self._take(row)
            expected = row.sequence + 1
            if self.state.give_up is not None:
                break
        return replace(self.state, watched=tuple(self.watched))

    def _take(self, row: _Row) -> None:
        """Count one window."""
        self.state = replace(self.state, last_sequence=row.sequence)
        if row.changed:
            self._watched(row, self.state.robustness_low, self.state.robustness_high)
            self._give_up(Cause.TESTBED_CHANGED, Verdict.INCONCLUSIVE, changed=row.changed)
            return
        if row.sequence < self.dog.first_sequence + self.dog.limits.initial_delay_windows:
            self._watched(row, -math.inf, math.inf)  # seen, not judged
            return
        self.round.append(row)
        low, high = self._bounds()
        self._watched(row, low, high)
        self.state = replace(self.state, robustness_low=low, robustness_high=high)
        self.incomplete_in_a_row = self.incomplete_in_a_row + 1 if row.missing else 0
        if high < 0:
            self.failures += 1
            if self.failures >= self.dog.limits.failure_limit:
                self._give_up(Cause.SPECIFICATION_FAILED, Verdict.FAIL)
                return
            self._next_round(None)
        elif len(self.round) == self.dog.horizon:
            self._next_round(Verdict.PASS if self._passes(low) else None)
        if self.incomplete_in_a_row >= self.dog.limits.inconclusive_limit:
            self._give_up(Cause.INCONCLUSIVE, Verdict.INCONCLUSIVE)

    def _next_round(self, verdict: Verdict | None) -> None:
        self.round = []
        needed = self.state.windows_needed
        if verdict is not Verdict.PASS:
            needed = len(self.watched) + self.dog.horizon
        self.state = replace(self.state, verdict=verdict, rounds=self.state.rounds + 1, windows_needed=needed)

    def _give_up(
        self, cause: Cause, verdict: Verdict, changed: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        self.state = replace(self.state, give_up=cause, verdict=verdict, changed=changed or {})

    def _watched(self, row: _Row, low: float, high: float) -> None:
        self.watched.append(
            WatchedWindow(sequence=row.sequence, robustness_low=low, robustness_high=high, missing=row.missing)
        )

    def _passes(self, low: float) -> bool:
        """Whether a full round passes: φ holds and every window of it was complete.

        More than φ asks (a value that no operator reads may be missing there); a window that is not whole is no
        evidence that the testbed is well.
        """
        return (
            low >= 0 and self.dog.horizon >= self.dog.specification.horizon and not any(r.missing for r in self.round)
        )

    def _bounds(self) -> tuple[float, float]:
        """Return the least and greatest robustness of the round that the windows still to come allow."""
        horizon = self.dog.specification.horizon
        length = max(self.dog.horizon, horizon)
        columns: dict[str, FloatArray] = {}
        starts = range(length - horizon + 1)
        for name in self.metrics:
            column = np.full(length, np.nan)
            column[: len(self.round)] = [row.values[name] for row in self.round]
            columns[name] = np.stack([column[s : s + horizon] for s in starts])
        low, high = self.dog.specification.robustness_bounds(columns)
        return float(np.min(low)), float(np.min(high))

    def _rows(self, tables: Sequence[Windows]) -> Iterator[_Row]:
        """Yield the windows that count in the order in which they came."""
        for table in tables:
            metrics = {name: table.metrics.get(name) for name in self.metrics}
            controls = {name: table.controls.get(name) for name in self.dog.in_force}
            for i, sequence in enumerate(table.sequence.tolist()):
                if sequence < self.dog.first_sequence:
                    continue
                values = {name: math.nan if column is None else float(column[i]) for name, column in metrics.items()}
                values = {name: v if math.isfinite(v) else math.nan for name, v in values.items()}
                there = {name: math.nan if column is None else float(column[i]) for name, column in controls.items()}
                missing = [name for name, v in values.items() if math.isnan(v)]
                missing += [name for name, v in there.items() if math.isnan(v)]
                yield _Row(sequence, values, tuple(missing), self._changed(there))

    def _changed(self, there: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        return {
            name: (self.dog.in_force[name], value)
            for name, value in there.items()
            if abs(value - self.dog.in_force[name]) > self.dog.tolerance.get(name, _TOLERANCE)
        }
