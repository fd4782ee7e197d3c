"""What the screen shows, as frozen values: feeds make them, widgets draw them, nothing here knows Textual or gRPC.

State goes down, messages (`tui.watch.messages`) come up. Times ending in `_s` that are not durations are the
monotonic seconds of this process; `WatchState.now_s` is the instant for which a state was made, so that a widget needs
no clock: an age is `now_s` minus a time. Letters in shapes: `n` windows, `nx`, `ny` points of a slice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from bridge.plan import Plan
from bridge.promotion import Promotion
from bridge.testbed import JournalEntry
from col.plant import Control
from tui.watch.kept import Kept

__all__ = [
    "NO_WINDOWS",
    "PHI",
    "Connection",
    "GapRow",
    "GapView",
    "GnbPlace",
    "Notice",
    "PlantView",
    "PromotionView",
    "RegionView",
    "Rehearsal",
    "RehearsalView",
    "Row",
    "RowGroup",
    "RowKind",
    "Severity",
    "Show",
    "StepView",
    "TrialPoint",
    "WatchState",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PHI = "φ"
"""Key of the row of the specification's robustness over the horizon that ends with a window."""

NO_WINDOWS: IntArray = np.empty(0, dtype=np.int64)


class RowGroup(StrEnum):
    """Where a row belongs; rows of a plant are in this order."""

    RAN = "RAN"
    GNB = "gNB"
    HOST = "host"


class RowKind(StrEnum):
    """What a row is: a control that can be set, a metric, one summed or averaged over the gNBs, or φ's robustness."""

    CONTROL = "control"
    METRIC = "metric"
    TOTAL = "total"
    ROBUSTNESS = "robustness"


class Connection(StrEnum):
    """Whether a plant is there: never, now, or not any more."""

    NONE = "none"
    CONNECTED = "connected"
    LOST = "lost"


class Show(StrEnum):
    """Which plants are shown."""

    BOTH = "both"
    TWIN = "twin"
    TESTBED = "testbed"


class Severity(StrEnum):
    """How much a notice matters."""

    INFORMATION = "information"
    WARNING = "warning"
    ERROR = "error"


class Rehearsal(StrEnum):
    """Where the rehearsal of the run that is shown stands."""

    NONE = "none"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the side-by-side view. `place` is the gNB's or host's name, empty for the RAN.

    `key` is that of the plants' values; `estimated` says that the testbed does not measure it.
    """

    key: str
    label: str
    unit: str
    group: RowGroup
    place: str = ""
    kind: RowKind = RowKind.METRIC
    description: str = ""
    estimated: bool = False
    target: bool = False
    """Whether it is a target of specifications."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantView:
    """A plant as it is known here.

    `sequence` (n,) numbers the recent windows; each of `values`, by row key, has shape (n,), NaN where missing; a hole
    in the numbers stands in `holes` as (first, last). `received_s` is when the newest came (None: never, or recorded
    long ago: then numbers have no age). A row is stale once that is more than `stale_after_s` ago. `words` say what
    the connection is, or how to get one where there is none.
    """

    name: str
    title: str = ""
    emulated: bool = False
    connection: Connection = Connection.NONE
    words: str = ""
    rows: tuple[Row, ...] = ()
    sequence: IntArray = field(default_factory=lambda: NO_WINDOWS)
    values: Mapping[str, FloatArray] = field(default_factory=dict)
    holes: tuple[tuple[int, int], ...] = ()
    window_s: float = 0.0
    received_s: float | None = None
    stale_after_s: float = 60.0
    in_force: Mapping[str, float] = field(default_factory=dict)
    confirmed: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def latest(self, key: str) -> float:
        """Return the newest value of a row, NaN where there is none."""
        column = self.values.get(key)
        return float(column[-1]) if column is not None and len(column) else float("nan")

    def is_stale(self, now_s: float) -> bool:
        """Whether what is shown is old: the plant is lost, or its windows stopped coming."""
        if self.connection is Connection.LOST:
            return True
        return self.received_s is not None and now_s - self.received_s > self.stale_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRow:
    """Twin minus testbed of one row, in the row's unit; NaN where a side is missing.

    `low` and `high` are the twin's predicted interval at the testbed's configuration (NaN: no prediction) for the mean
    over the horizon, `mean` that mean on the testbed, `inside` whether it lies in there (None: cannot be said).
    """

    key: str
    twin: float
    testbed: float
    gap: float
    low: float = float("nan")
    high: float = float("nan")
    mean: float = float("nan")
    inside: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GapView:
    """The gap between the plants, by row key. `words` say what the twin's numbers stand for; `drift` is the agent's."""

    rows: Mapping[str, GapRow] = field(default_factory=dict)
    words: str = ""
    drift: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPoint:
    """One trial of a rehearsal, `number` counted from 1; `values` is the full control vector."""

    number: int
    values: Mapping[str, float]
    outcome: str
    verdict: str
    robustness: float
    limiting: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionView:
    """A 2-D slice of the estimated region over the controls `x` and `y`, all others at `held`.

    `lower` (ny, nx) is the lower bound of P(φ | do(x)) at `y_values` (ny,), `x_values` (nx,), None while there is none;
    the border is where it crosses `alpha`. `current` and `confirmed` are full control vectors, empty where unknown.
    `cursor` is (x, y) in the controls' units, None before it was moved; the next three say what holds there: the bound,
    the cost (a trial's, 1 is the reference), and a line for each requirement of φ.
    """

    controls: tuple[Control, ...] = ()
    x: str = ""
    y: str = ""
    x_values: FloatArray = field(default_factory=lambda: np.empty(0))
    y_values: FloatArray = field(default_factory=lambda: np.empty(0))
    lower: FloatArray | None = None
    alpha: float = 0.9
    held: Mapping[str, float] = field(default_factory=dict)
    held_words: str = ""
    trials: tuple[TrialPoint, ...] = ()
    current: Mapping[str, float] = field(default_factory=dict)
    confirmed: Mapping[str, float] = field(default_factory=dict)
    cheapest: Mapping[str, float] = field(default_factory=dict)
    following: Mapping[str, float] = field(default_factory=dict)
    """What a paused rehearsal tries next."""
    cursor: tuple[float, float] | None = None
    cursor_bound: float = float("nan")
    cursor_cost: float = float("nan")
    cursor_words: tuple[str, ...] = ()
    words: str = ""
    """Why there is no region, where there is none."""

    def control(self, name: str) -> Control | None:
        """Return the control of that name, None if there is none."""
        return next((c for c in self.controls if c.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalView:
    """The run that is shown and how far its rehearsal is. `ours` says that it was started from this screen."""

    state: Rehearsal = Rehearsal.NONE
    run: str = ""
    scenario: str = ""
    seed: int = 0
    passive_done: int = 0
    passive_total: int = 0
    trials_done: int = 0
    trials_total: int = 0
    violations: int = 0
    region_share: float | None = None
    left_s: float | None = None
    """Time left as the rehearsal itself estimates it."""
    following: Mapping[str, float] = field(default_factory=dict)
    """What a rehearsal that is paused before a trial tries next: the full control vector, empty where unknown."""
    on_testbed: bool = False
    """Whether it learns on a testbed: its trials change that."""
    ours: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """A certified step of the run: its number in the path, what it changes (control, before, after, unit), evidence.

    `state` is `done`, `next` or `later`, or empty while no testbed is there to say.
    """

    number: int
    count: int
    changes: tuple[tuple[str, float, float, str], ...]
    bound: float
    passes: int
    horizons: int
    expires_wall_s: float
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionView:
    """Promotions: the queue of certified steps, the plan of the next, the one in flight, those before, the journal.

    `active` was told at `received_s`: its timers have run on since. `promotions` are those of which this screen heard,
    newest first. `waits_for` says for what an apply waits. `plan` came from a dry run: its reasons are the gate's now.
    """

    steps: tuple[StepView, ...] = ()
    plan: Plan | None = None
    active: Promotion | None = None
    received_s: float | None = None
    promotions: tuple[Promotion, ...] = ()
    journal: tuple[JournalEntry, ...] = ()
    journal_total: int = 0
    exploration_enabled: bool = False
    keeps_lease: bool = False
    waits_for: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GnbPlace:
    """Where a gNB stands: the CU that serves it and its host, empty where that is not known."""

    cell: str
    cu: str = ""
    host: str = ""
    controls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened, for people."""

    at_wall_s: float
    text: str
    severity: Severity = Severity.INFORMATION


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """All that the screen shows, for the instant `now_s`.

    `gnb` is the gNB that is looked at (empty: all), `filter` a text that rows must contain, `frozen` that new windows
    are kept back, `operate` that this screen may change the testbed.
    """

    now_s: float = 0.0
    now_wall_s: float = 0.0
    twin: PlantView = field(default_factory=lambda: PlantView(name="twin"))
    testbed: PlantView = field(default_factory=lambda: PlantView(name="testbed"))
    gap: GapView = field(default_factory=GapView)
    region: RegionView = field(default_factory=RegionView)
    rehearsal: RehearsalView = field(default_factory=RehearsalView)
    promotions: PromotionView = field(default_factory=PromotionView)
    topology: tuple[GnbPlace, ...] = ()
    specification: str = ""
    messages: tuple[Notice, ...] = ()
    show: Show = Show.BOTH
    gnb: str = ""
    filter: str = ""
    frozen: bool = False
    operate: bool = False
    refresh_s: float = 0.5

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of both plants in one order: the twin's, then what the testbed alone has, kept in their groups."""
        twin, testbed = self.twin.rows, self.testbed.rows
        return _ROWS.get((twin, testbed), None, lambda: _joined(twin, testbed))

    @property
    def shown_rows(self) -> tuple[Row, ...]:
        """The rows that the chosen gNB and the filter leave: RAN and host rows of other gNBs' hosts go as well."""
        rows, gnb, wanted = self.rows, self.gnb, self.filter.casefold()
        if not gnb and not wanted:
            return rows
        host = next((place.host for place in self.topology if place.cell == gnb), "")
        return _SHOWN.get((rows,), (gnb, host, wanted), lambda: _left(rows, gnb, host, wanted))

    @property
    def gnbs(self) -> tuple[str, ...]:
        """The gNBs in order, as the rows name them."""
        rows = self.rows
        return _GNBS.get((rows,), None, lambda: tuple(dict.fromkeys(r.place for r in rows if r.group is RowGroup.GNB)))


_ROWS: Kept[tuple[Row, ...]] = Kept()
_SHOWN: Kept[tuple[Row, ...]] = Kept()
_GNBS: Kept[tuple[str, ...]] = Kept()


def _joined(twin: tuple[Row, ...], testbed: tuple[Row, ...]) -> tuple[Row, ...]:
    known = {row.key for row in twin}
    rows = [*twin, *(row for row in testbed if row.key not in known)]
    groups = {group: k for k, group in enumerate(RowGroup)}
    places = {place: k for k, place in enumerate(dict.fromkeys(row.place for row in rows))}
    return tuple(sorted(rows, key=lambda row: (groups[row.group], places[row.place])))


def _left(rows: tuple[Row, ...], gnb: str, host: str, wanted: str) -> tuple[Row, ...]:
    if gnb:
        rows = tuple(
            row
            for row in rows
            if (row.group is RowGroup.GNB and row.place == gnb) or (row.group is RowGroup.HOST and row.place == host)
        )
    if wanted:
        rows = tuple(
            r for r in rows if wanted in f"{r.group} {r.place} {r.label} {r.key} {r.unit} {r.description}".casefold()
        )
    return rows
