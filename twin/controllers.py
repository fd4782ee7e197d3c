"""Who sets the controls while nobody intervenes: operators, chance, autoscalers, SON functions.

Each controller sets the controls of one kind at the start of a window, from what was seen in the window before:
value = base + gain x what it follows + N(0, dither). What it follows decides whether the effect of the control can be
read off passive data:

* `chance`: nothing; the control is randomised, and no adjustment is needed. `clock`: an operator's timetable, the same.
* `load`: the offered load (cpu, mem, bw, gains: of the cells served, both directions, sum; thr: uplink of the pair,
  sum). Load drives the targets too: confounded, and adjusting for the lagged loads mends it.
* `cpu_use`: CPU use of the container (as the HPA of Kubernetes does), which latent demand drives: adjusting for loads
  does not help, adjusting for the lagged use does.
* `queue`: the throttle backlog `ps_*` of the container, which no metric shows: not identifiable from passive data.

The dither is what makes an effect estimable at all: without it the control is a function of what it follows. Every
decision is noted with all that went into it.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from col.errors import InputError
from col.plant import Control
from twin.mechanism import Mechanism
from twin.streams import Streams
from twin.strict import limits
from twin.topology import Topology

if TYPE_CHECKING:
    from twin.ran_state import RanState
    from twin.scenario_model import Scenario

__all__ = ["Controller", "Controllers", "Follows", "followed_metrics"]


class Follows(StrEnum):
    """What a controller looks at."""

    CHANCE = "chance"
    CLOCK = "clock"
    LOAD = "load"
    CPU_USE = "cpu_use"
    QUEUE = "queue"


_MOST = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """Sets one control, or every control of a kind: `control` is a name (`cpu_du_1`) or a kind (`cpu_du`).

    `base`, `gain` and `dither` are in the control's unit, the gain per unit of what it follows; it decides every
    `every_windows` windows. Where it follows the clock there is a timetable in the place of base and gain: from
    `times_s[k]` on `values[k]`, over again after `period_s`, on the clock of the plant, which goes on from run to run.
    """

    control: str
    follows: Follows
    base: float = field(default=0.0, metadata=limits(lower=-_MOST, upper=_MOST))
    gain: float = field(default=0.0, metadata=limits(lower=-_MOST, upper=_MOST))
    dither: float = field(default=0.0, metadata=limits(lower=0, upper=_MOST))
    every_windows: int = field(default=1, metadata=limits(lower=1, upper=100_000))
    times_s: tuple[float, ...] = field(default=(), metadata=limits(lower=0, upper=1e7))
    values: tuple[float, ...] = field(default=(), metadata=limits(lower=-_MOST, upper=_MOST))
    period_s: float = field(default=86_400.0, metadata=limits(above=0, upper=1e7))

    def __post_init__(self) -> None:
        if self.follows is not Follows.CLOCK:
            if self.times_s or self.values:
                raise InputError('a timetable needs follows = "clock"', key="times_s", value=list(self.times_s)[:6])
            if self.follows is Follows.CHANCE and self.gain:
                raise InputError("there is nothing to multiply; leave it out", key="gain", value=self.gain)
            return
        times = self.times_s
        if not times or times[0] != 0.0 or any(b <= a for a, b in itertools.pairwise(times)):
            raise InputError("must begin at 0 and increase", key="times_s", value=list(times)[:6])
        if len(self.values) != len(times):
            raise InputError(f"needs one for each of the {len(times)} times_s", key="values", value=len(self.values))
        if not self.period_s > times[-1]:
            raise InputError(f"must be above the last of times_s ({times[-1]:g})", key="period_s", value=self.period_s)

    def check_scenario(self, scenario: Scenario) -> None:
        """Refuse a control that is none, that cannot follow this, or that something else sets too."""
        names = scenario.topology.control_names
        mine = [name for name in names if self.sets(name)]
        kinds = dict.fromkeys(name.rpartition("_")[0] for name in names)
        if not mine:
            raise InputError(f"must be a control or a kind of control: {', '.join(kinds)}", key="control",
                             value=self.control)  # fmt: skip
        if self.follows in (Follows.CPU_USE, Follows.QUEUE) and not self.control.startswith("cpu_"):
            raise InputError(f"only a CPU limit can follow that; {self.control} may follow load", key="follows",
                             value=self.follows.value)  # fmt: skip
        for name in mine:
            setters = [other for other in scenario.parts(Controller) if other.sets(name)]
            if len(setters) > 1 or name.rpartition("_")[0] in scenario.rules:
                raise InputError(f"{name} is set by something else too", key="control", value=self.control)

    def sets(self, control: str) -> bool:
        """Return whether it sets this control."""
        return self.control in (control, control.rpartition("_")[0])

    def scheduled(self, clock_s: float) -> float:
        """Return the timetable's value at a time of the plant's clock."""
        return self.values[bisect_right(self.times_s, clock_s % self.period_s) - 1]


def followed_metrics(controller: Controller, control: str, topology: Topology) -> tuple[str, ...]:
    """Return the variables of the window before that a controller looks at to set a control, latent ones too.

    They are the parents of the control in the causal graph.
    """
    kind, _, owner = control.rpartition("_")
    if controller.follows is Follows.CPU_USE:
        return (f"cpuu_{kind.removeprefix('cpu_')}_{owner}",)
    if controller.follows is Follows.QUEUE:
        return (f"ps_{kind.removeprefix('cpu_')}_{owner}",)
    if controller.follows is not Follows.LOAD:
        return ()
    if kind == "thr":
        return tuple(f"load_ul_{cell}" for pair in topology.pairs if pair.name == owner for cell in pair.cells)
    if kind.endswith("_cu"):
        return topology.loads_of_cu(owner)
    return (f"load_dl_{owner}", f"load_ul_{owner}")


class Controllers(Mechanism):
    """The controllers of a scenario at work in one run; each control has a generator of its own."""

    def __init__(self, rules: Sequence[Controller], streams: Streams, ran: RanState) -> None:
        """Take the rules; the timetables' clock stands where the runs before this one would have left it."""
        scenario = ran.scenario
        self._ran = ran
        self._clock_s = streams.run * scenario.passive.run_windows * scenario.window.length_s
        self._set: list[tuple[Control, Controller, tuple[str, ...], np.random.Generator]] = []
        for row, control in enumerate(scenario.controls):
            for rule in rules:
                if rule.sets(control.name):
                    inputs = followed_metrics(rule, control.name, scenario.topology)
                    self._set.append((control, rule, inputs, streams.generator("controller", row)))
        self._windows = 0

    def seen(self, metrics: Mapping[str, float]) -> None:
        """Decide on the window that begins now; while the operator has suspended automation, nothing is put in force.

        The dither is drawn all the same, so that suspending does not shift what comes later.
        """
        decided: dict[str, float] = {}
        for control, rule, inputs, generator in self._set:
            dither = rule.dither * float(generator.standard_normal())
            if self._windows % rule.every_windows:
                continue
            looked_at = {name: metrics.get(name, math.nan) for name in inputs}
            value = self._wanted(rule, looked_at) + dither
            if not self._ran.automation or not math.isfinite(value):
                continue  # who sees nothing changes nothing
            decided[control.name] = control.snap(value)
            self._ran.note(
                "decision",
                control.name,
                value=decided[control.name],
                by=rule.follows.value,
                dither=dither,
                clock_s=self._now_s(),
                **looked_at,
            )
        self._windows += 1
        if decided:
            self._ran.apply(decided)

    def _now_s(self) -> float:
        return self._clock_s + self._ran.now_ms / 1000.0

    def _wanted(self, rule: Controller, looked_at: Mapping[str, float]) -> float:
        if rule.follows is Follows.CLOCK:
            return rule.scheduled(self._now_s())
        return rule.base + rule.gain * sum(looked_at.values())
