"""The watchdog: what φ says of the windows watched so far, and whether to give up. Pure: windows in, state out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.promotion import Cause, WatchedWindow
from bridge.settings import WatchLimits
from col.plant import Windows
from col.specification import Specification, Verdict

__all__ = ["WatchState", "Watchdog"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """What the windows watched so far say.

    `verdict` is None while undecided; `give_up` is why to roll back now. `robustness_low` and `robustness_high` bound
    the robustness of the horizon watched now, or of the one that decided. `rounds` horizons are over; `windows_needed`
    windows (the delay included) have to be watched until the present one is. `changed` are controls that are not as
    we set them: control -> (what we had set, what was in force in a window).
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
    """Judges the windows from `first_sequence` on, in rounds of `horizon` windows (at least one).

    `in_force` is the full control vector that we set; a window with another one (beyond `tolerance`, per control, in
    its unit) means that somebody else changed the testbed.
    """

    specification: Specification
    horizon: int
    limits: WatchLimits
    first_sequence: int = 0
    in_force: Mapping[str, float] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=dict)

    def judge(self, windows: Windows | Sequence[Windows]) -> WatchState:
        """Return what all windows so far say: one table, or tables in the order in which they came.

        Call it with everything since `first_sequence` (older windows are ignored). A window number not above one that
        came before is a duplicate or too late, and does not count.
        """
        return WatchState(windows_needed=self.limits.initial_delay_windows + self.horizon)
