"""The seam of the whole design: what can be watched and changed, whatever stands behind it.

The twin, a testbed behind the bridge, a recorded trace and the shadow of a testbed are all plants; nothing that learns
may know which one it holds.  Letters in shapes: `n` windows, `d` controls, `m` metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError

__all__ = [
    "Control",
    "Intervention",
    "Metric",
    "MetricKind",
    "Plant",
    "PlantDescription",
    "Provenance",
    "Trial",
    "TrialOutcome",
    "Windows",
    "concatenate_windows",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class MetricKind(StrEnum):
    """What a metric is for: targets stand in specifications, observables may be adjusted for or modelled."""

    OBSERVABLE = "observable"
    TARGET = "target"


class Provenance(StrEnum):
    """How a metric's values came about."""

    MEASURED = "measured"
    ESTIMATED = "estimated"


class TrialOutcome(StrEnum):
    """How a trial ended. A refused one is no observation; a rolled-back one is."""

    HELD = "held"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """An input that an operator may set.

    `lower`, `upper`, `resolution` and `reference` are in `unit`; `reference` is the value known to be safe to start
    from; a control that is not `live` needs a restart.
    """

    name: str
    unit: str
    lower: float
    upper: float
    resolution: float
    reference: float
    live: bool = True
    description: str = ""

    def __post_init__(self) -> None:
        values = (self.lower, self.upper, self.resolution, self.reference)
        if not all(math.isfinite(v) for v in values):
            raise InputError("bounds, resolution and reference must be finite", key=self.name, value=values)
        if not self.lower < self.upper:
            raise InputError(f"lower bound must be below upper bound ({self.upper:g})", key=self.name, value=self.lower)
        if not 0 < self.resolution <= self.upper - self.lower:
            raise InputError("resolution must be positive and within the range", key=self.name, value=self.resolution)
        if not self.lower <= self.reference <= self.upper:
            raise InputError(
                f"reference must lie in [{self.lower:g}, {self.upper:g}]", key=self.name, value=self.reference
            )

    def snap(self, value: float) -> float:
        """Return the nearest settable value inside the bounds."""
        steps = round((value - self.lower) / self.resolution)
        snapped = self.lower + steps * self.resolution
        return float(min(self.upper, max(self.lower, round(snapped, 12))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """An output that is one number a window, in `unit`; it may be missing (NaN) in some windows."""

    name: str
    unit: str
    kind: MetricKind = MetricKind.OBSERVABLE
    description: str = ""


@dataclass(frozen=True, slots=True)
class Intervention:
    """do(X = x): controls set to values, each in its control's unit. Controls not named keep theirs."""

    values: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType({k: float(v) for k, v in self.values.items()}))

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __getitem__(self, control: str) -> float:
        return self.values[control]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervention) and dict(self.values) == dict(other.values)

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.values.items())))

    def __reduce__(self) -> tuple[type[Intervention], tuple[dict[str, float]]]:
        return (Intervention, (dict(self.values),))

    def over(self, base: Mapping[str, float]) -> Intervention:
        """Return the intervention on the full control vector: these values, `base` for the rest."""
        return Intervention({**base, **self.values})


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """A table of windows, one row each, in order of sequence number.

    `sequence`, `start_s`, `end_s` and `run` have shape (n,); each column of `controls` (the values in force) and of
    `metrics` too. A missing value is NaN. `run` numbers the process runs: windows of one run share a random effect.
    """

    sequence: IntArray
    start_s: FloatArray
    end_s: FloatArray
    run: IntArray
    controls: Mapping[str, FloatArray]
    metrics: Mapping[str, FloatArray]
    provenance: Mapping[str, Provenance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.sequence)
        columns = {"start_s": self.start_s, "end_s": self.end_s, "run": self.run, **self.controls, **self.metrics}
        for name, column in columns.items():
            if np.shape(column) != (n,):
                raise InputError(f"column has shape {np.shape(column)}, must be ({n},)", source="windows", key=name)
        if n > 1 and not np.all(np.diff(self.sequence) > 0):
            raise InputError("sequence numbers must increase", source="windows", key="sequence")

    def __len__(self) -> int:
        return len(self.sequence)

    def take(self, rows: slice | IntArray | NDArray[np.bool_]) -> Windows:
        """Return the windows of the given rows."""
        return Windows(
            sequence=self.sequence[rows],
            start_s=self.start_s[rows],
            end_s=self.end_s[rows],
            run=self.run[rows],
            controls={k: v[rows] for k, v in self.controls.items()},
            metrics={k: v[rows] for k, v in self.metrics.items()},
            provenance=self.provenance,
        )

    def column(self, name: str) -> FloatArray:
        """Return the column of a metric or a control, shape (n,)."""
        if name in self.metrics:
            return self.metrics[name]
        if name in self.controls:
            return self.controls[name]
        known = ", ".join(sorted([*self.metrics, *self.controls])[:12])
        raise InputError(f"no such metric or control; known are {known} ...", source="windows", key=name)

    @classmethod
    def empty(cls, controls: Sequence[str], metrics: Sequence[str]) -> Windows:
        """Return a table of no windows with these columns."""
        none = np.empty(0)
        no_ints = np.empty(0, dtype=np.int64)
        return cls(
            sequence=no_ints,
            start_s=none,
            end_s=none,
            run=no_ints,
            controls={c: none for c in controls},
            metrics={m: none for m in metrics},
        )


def concatenate_windows(tables: Sequence[Windows]) -> Windows:
    """Join tables with the same columns, in order of sequence number."""
    if not tables:
        raise InputError("no tables to join", source="windows")
    tables = [t for t in tables if len(t)] or list(tables[:1])
    first = tables[0]
    return Windows(
        sequence=np.concatenate([t.sequence for t in tables]),
        start_s=np.concatenate([t.start_s for t in tables]),
        end_s=np.concatenate([t.end_s for t in tables]),
        run=np.concatenate([t.run for t in tables]),
        controls={k: np.concatenate([t.controls[k] for t in tables]) for k in first.controls},
        metrics={k: np.concatenate([t.metrics[k] for t in tables]) for k in first.metrics},
        provenance=first.provenance,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One intervention applied and watched: the full control vector asked for, what was read back, and the windows."""

    intervention: Intervention
    outcome: TrialOutcome
    windows: Windows
    reasons: tuple[str, ...] = ()
    read_back: Intervention | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantDescription:
    """What a plant is and what it is not.

    `wall_window_s` is how long a window takes on the caller's clock (0 where the plant advances as fast as it can);
    `notes` are for people: what is measured, what is assumed.
    """

    plant_id: str
    controls: tuple[Control, ...]
    metrics: tuple[Metric, ...]
    window_s: float
    wall_window_s: float = 0.0
    emulated: bool = False
    notes: tuple[str, ...] = ()

    def control(self, name: str) -> Control:
        """Return the control of that name."""
        for control in self.controls:
            if control.name == name:
                return control
        raise InputError(f"no such control; known are {', '.join(c.name for c in self.controls)}", key=name)

    def check(self, x: Intervention) -> None:
        """Raise InputError unless every control of `x` is known, finite and within its bounds."""
        for name, value in x.values.items():
            control = self.control(name)
            if not math.isfinite(value) or not control.lower - 1e-9 <= value <= control.upper + 1e-9:
                raise InputError(
                    f"must lie in [{control.lower:g}, {control.upper:g}] {control.unit}", key=name, value=value
                )

    @property
    def reference(self) -> Intervention:
        """The reference configuration: every control at its reference value."""
        return Intervention({c.name: c.reference for c in self.controls})


@runtime_checkable
class Plant(Protocol):
    """Whatever can be watched and changed.

    A simulated plant advances only in `observe` and `trial`; a live one blocks.
    """

    def describe(self) -> PlantDescription:
        """Return what the plant is: controls, metrics, window."""
        ...

    def history(self, since: int) -> Windows:
        """Return the windows already recorded with a sequence number of at least `since`."""
        ...

    def observe(self, n: int) -> Windows:
        """Change nothing and return the `n` windows that begin after the call."""
        ...

    def trial(self, x: Intervention, n: int, *, keep: bool = False) -> Trial:
        """Apply `x`, read back, let it settle, watch `n` windows.

        Controls not named take their confirmed values and whatever else would move controls is suspended, so that
        every trial is a do() on the full control vector. Afterwards the plant is back at its confirmed configuration
        unless `keep`. An intervention outside the bounds or over an unknown control raises InputError and changes
        nothing.
        """
        ...
