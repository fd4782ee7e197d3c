"""A testbed that a script can make fail in every way; its time is a manual clock.

`faults[method]` are taken one a call, `always[method]` stay until removed. A fault is one of `Fault` or an exception to
be raised. The truth is in `values`, and tests read it there, never from the engine.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from bridge.backends.base import BackendDescription, Reading
from bridge.clock import ManualClock
from col.errors import OutcomeUnknownError, RefusedError, UnreachableError
from col.plant import Control, Metric, MetricKind, PlantDescription, Windows

WINDOW_S = 15.0


class Fault(StrEnum):
    NONE = "none"
    REFUSE = "refuse"
    UNREACHABLE = "unreachable"
    LOST_BEFORE = "lost before its effect"
    LOST_AFTER = "lost after its effect"
    LATE = "lost, and the effect comes when told to"
    NO_EFFECT = "acknowledged without effect"
    PARTIAL = "acknowledged with a part of the effect"
    NAN = "a reading that is not a number"
    CRASH = "an exception of no known kind"


def late_share(values: Mapping[str, float]) -> dict[str, float]:
    """The plant: late slots appear below one core."""
    return {f"late_{x}": 0.02 if values[f"cpu_{x}"] >= 1.0 else 0.5 for x in "ab"}


@dataclass
class ScriptedBackend:
    clock: ManualClock
    values: dict[str, float] = field(default_factory=lambda: {"cpu_a": 2.0, "cpu_b": 2.0, "bias": 0.0})
    automation: bool = False
    wall_window_s: float = WINDOW_S
    behaviour: Callable[[Mapping[str, float]], dict[str, float]] = late_share
    plant_id: str = "scripted"
    more_controls: tuple[str, ...] = ()
    faults: dict[str, deque[Fault | BaseException]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[str, Fault] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    held_back: set[int] = field(default_factory=set)
    without_numbers: set[int] = field(default_factory=set)
    repeats_all: bool = False
    is_frozen: bool = False
    calls: list[tuple[str, object]] = field(default_factory=list)
    before_call: Callable[[str], None] = lambda name: None
    after_call: Callable[[str], None] = lambda name: None
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._origin_s = self.clock.monotonic()
        self._next_start_s = 0.0
        self._rows: list[tuple[int, float, float, dict[str, float], dict[str, float]]] = []
        self._sequence = 0
        self._late: list[dict[str, float]] = []
        self._frozen_s = 0.0

    @property
    def testbed_s(self) -> float:
        if self.is_frozen:
            return self._frozen_s
        return (self.clock.monotonic() - self._origin_s) * WINDOW_S / self.wall_window_s

    def freeze(self) -> None:
        self.advance()
        self._frozen_s = self.testbed_s
        self.is_frozen = True

    def change(self, **values: float) -> None:
        """Somebody else sets controls."""
        self.advance()
        self.values |= values

    def let_late_requests_in(self) -> None:
        for values in self._late:
            self.advance()
            self.values |= values
        self._late.clear()

    def advance(self) -> None:
        """Close the windows that are over."""
        while self._next_start_s + WINDOW_S <= self.testbed_s:
            end_s = self._next_start_s + WINDOW_S
            metrics = self.behaviour(self.values)
            if self._sequence in self.without_numbers:
                metrics = dict.fromkeys(metrics, np.nan)
            self._rows.append((self._sequence, self._next_start_s, end_s, dict(self.values), metrics))
            self._sequence += 1
            self._next_start_s = end_s

    def describe(self) -> BackendDescription:
        self._begin("describe")
        names = ("cpu_a", "cpu_b", *self.more_controls)
        controls = tuple(
            Control(name=n, unit="cores", lower=0.2, upper=4.0, resolution=0.05, reference=2.0) for n in names
        )
        bias = Control(name="bias", unit="dB", lower=-6.0, upper=6.0, resolution=0.5, reference=0.0)
        plant = PlantDescription(
            plant_id=self.plant_id,
            controls=(*controls, bias),
            metrics=tuple(Metric(name=f"late_{x}", unit="share", kind=MetricKind.TARGET) for x in "ab"),
            window_s=WINDOW_S,
            wall_window_s=self.wall_window_s,
        )
        self.after_call("describe")
        return BackendDescription(
            plant=plant, stack="scripted", radio_mode="none", gnbs={x: (f"cpu_{x}",) for x in "ab"}
        )

    def read(self) -> Reading:
        fault = self._begin("read")
        self.advance()
        reading = self._reading()
        if fault is Fault.NAN:
            reading = Reading(controls=dict.fromkeys(self.values, np.nan), at_s=0.0, next_sequence=0)
        self.after_call("read")
        return reading

    def apply(self, values: Mapping[str, float], *, settle_s: float) -> Reading:
        fault = self._begin("apply", dict(values))
        self.advance()
        if fault is Fault.LATE:
            self._late.append(dict(values))
            raise OutcomeUnknownError("no answer in time")
        effect = dict(values)
        if fault is Fault.NO_EFFECT:
            effect = {}
        elif fault is Fault.PARTIAL:
            effect = dict(list(values.items())[:1])
        self.values |= effect
        self._next_start_s = self.testbed_s + settle_s
        reading = self._reading()
        if fault is Fault.LOST_AFTER:
            raise OutcomeUnknownError("no answer in time")
        self.after_call("apply")
        return reading

    def set_automation(self, enabled: bool) -> None:
        fault = self._begin("set_automation", enabled)
        if fault is not Fault.NO_EFFECT:
            self.automation = enabled
        if fault is Fault.LOST_AFTER:
            raise OutcomeUnknownError("no answer in time")
        self.after_call("set_automation")

    def windows(self, since: int, limit: int) -> Windows:
        self._begin("windows", since)
        self.advance()
        hidden = self.missing | self.held_back
        rows = [r for r in self._rows if (self.repeats_all or r[0] >= since) and r[0] not in hidden][:limit]
        self.after_call("windows")
        return Windows(
            sequence=np.array([r[0] for r in rows], dtype=np.int64),
            start_s=np.array([r[1] for r in rows]),
            end_s=np.array([r[2] for r in rows]),
            run=np.zeros(len(rows), dtype=np.int64),
            controls={c: np.array([r[3].get(c, np.nan) for r in rows]) for c in self.values},
            metrics={m: np.array([r[4][m] for r in rows]) for m in ("late_a", "late_b")},
        )

    def close(self) -> None:
        self.calls.append(("close", None))

    def applied(self) -> list[object]:
        """Return the values of every apply that was called."""
        return [argument for name, argument in self.calls if name == "apply"]

    def _reading(self) -> Reading:
        next_sequence = self._sequence if self.testbed_s <= self._next_start_s else self._sequence + 1
        return Reading(
            controls=dict(self.values),
            at_s=self.testbed_s,
            next_sequence=next_sequence,
            automation=self.automation,
            problems=self.problems,
        )

    def _begin(self, name: str, argument: object = None) -> Fault:
        self.before_call(name)
        self.calls.append((name, argument))
        waiting = self.faults[name]
        fault = waiting.popleft() if waiting else self.always.get(name, Fault.NONE)
        if isinstance(fault, BaseException):
            raise fault
        if fault is Fault.UNREACHABLE:
            raise UnreachableError("nobody answers")
        if fault is Fault.LOST_BEFORE:
            raise OutcomeUnknownError("no answer in time")
        if fault is Fault.REFUSE:
            raise RefusedError(("out of service",))
        if fault is Fault.CRASH:
            raise RuntimeError("a fault in the plug-in")
        return fault
