"""do() on any variable of the causal graph, carried out inside a run.

An intervention takes a variable's own mechanism away and puts a value in its place; every other mechanism stays as it
is, its streams of random numbers included, and sees the value. The table behind the graph says for each variable where
that is done (`twin.causal_table.Hold`):

* what is set or decided somewhere on the control plane (controls, loads, UEs, memory, contention, the neighbour) is
  looked up in `RanState.held` there before anything else;
* what follows from the packets is held inside the data plane (demand, throttle state, SNR, MCS, errors, PRBs);
* what is only read off at the end of a window is replaced there, before power, controllers and the record see it.

Held values may move from window to window. They change between two windows: after the one that ends is closed and
before anything acts in the next. A run in which every held value is the one that it had anyway is the same run, bit for
bit.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simpy

from col.errors import InputError
from twin.causal_graph import causal_variables, derivations, split_name
from twin.causal_table import Hold, Variable
from twin.do_bounds import do_bounds
from twin.mechanism import Process
from twin.parameters import CFS_PERIOD_MS
from twin.topology import Topology

if TYPE_CHECKING:
    from twin.ran_state import RanState
    from twin.scenario_model import Scenario

__all__ = ["Do", "Surgery", "as_interventions", "check_do", "held_from_start", "replaced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Do:
    """do(variable = value): one value for good, or one a window (the last one stays).

    `since` None: from the start of the run, warm-up included. Else from window `since` on; for window 0 that is when
    the run's own plan first intervenes, so that it settles as that did, or the window's start where it does not.
    Values are in the variable's unit; controls are not rounded to their resolution here.
    """

    variable: str
    values: tuple[float, ...]
    since: int | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("needs at least one value", key=self.variable)
        for value in self.values:
            if not math.isfinite(value):
                raise InputError("must be a finite number", key=self.variable, value=value)
        if self.since is not None and self.since < 0:
            raise InputError("must be a window, 0 or above", key=f"{self.variable}.since", value=self.since)

    def value(self, window: int) -> float:
        """Return the value in window `window`, -1 being all that comes before window 0."""
        return self.values[max(0, min(window - (self.since or 0), len(self.values) - 1))]


def as_interventions(values: Mapping[str, float | Sequence[float]], since: int | None = 0) -> tuple[Do, ...]:
    """Return do() of several variables at once from a mapping of names to a value or to one value a window."""
    return tuple(
        Do(
            variable=name,
            values=(float(value),) if isinstance(value, int | float) else tuple(float(v) for v in value),
            since=since,
        )
        for name, value in values.items()
    )


def check_do(scenario: Scenario, interventions: Sequence[Do]) -> dict[str, Variable]:
    """Return the row of the causal table for each variable that is held.

    Raises:
        InputError: a variable that the scenario does not have or that cannot be held, held twice at a time, out of its
            bounds, or a constant of the run that is to be held from later on.
    """
    known = causal_variables(scenario.topology)
    controls = {control.name: control for control in scenario.controls}
    rows: dict[str, Variable] = {}
    last: dict[str, int] = {}  # window with the last value so far
    for do in interventions:
        row = known.get(do.variable)
        if row is None:
            near = difflib.get_close_matches(do.variable, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"the scenario has no such variable{hint}", key="do", value=do.variable)
        if do.variable in rows and (do.since is None or do.since < last[do.variable]):
            raise InputError("is held twice", key="do", value=do.variable)
        last[do.variable] = (do.since or 0) + len(do.values) - 1
        if row.held is Hold.NONE:
            raise InputError("has no one place where it could be held: hold its parents", key="do", value=do.variable)
        if row.held is Hold.RUN and (do.since is not None or len(do.values) > 1):
            raise InputError("is drawn once for a whole run: hold it from its start", key="do", value=do.variable)
        control = controls.get(do.variable)
        lower, upper, unit = (
            do_bounds(scenario, do.variable) if control is None else (control.lower, control.upper, f" {control.unit}")
        )
        for value in do.values:
            if not lower <= value <= upper:
                within = f"lie in {lower:g} to {upper:g}{unit}" if math.isfinite(upper) else f"be {lower:g} or above"
                raise InputError(f"must {within}", key=do.variable, value=value)
        rows[do.variable] = row
    return rows


def held_from_start(interventions: Sequence[Do]) -> dict[str, float]:
    """Return what is held from the start of the run on, as `RanState` takes it."""
    return {do.variable: do.value(-1) for do in interventions if do.since is None}


def replaced(metrics: Mapping[str, float], held: Mapping[str, float], topology: Topology) -> dict[str, float]:
    """Return the window's metrics that do() replaces, and those that follow from them by formula.

    Only variables that are held at the end of the window (`Hold.WINDOW`, `Hold.CAPACITY`), and demand and throttle
    state, of which the window shows no more than what there was CPU time for: others are in the window's own numbers
    already. Throughput follows what the stages could carry: it moves in proportion to its formula.
    """
    if not held:
        return {}
    rows = causal_variables(topology)
    at_end = (Hold.WINDOW, Hold.CAPACITY, Hold.DEMAND, Hold.STALL)
    new = {name: held[name] for name in metrics if name in held and name in rows and rows[name].held in at_end}
    moved = {name for name in new if rows[name].held is Hold.CAPACITY}
    if moved:
        after = {**metrics, **new}
        for name, formula in derivations(topology).items():
            if name in new or moved.isdisjoint(formula.names):
                continue
            before_mbps, after_mbps = (float(formula.evaluate(columns)) for columns in (metrics, after))
            share = metrics[name] / before_mbps if before_mbps > 0.0 else math.nan
            new[name] = after_mbps * share if math.isfinite(share) else after_mbps
    return new


class Surgery:
    """The interventions of one run at work: begin with the run, then step at every window's start."""

    def __init__(
        self, scenario: Scenario, interventions: Sequence[Do], ran: RanState, *, first_at: int, window_starts: range
    ) -> None:
        """Take when window 0's interventions come, and when windows start, in slots since the run's start.

        Raises:
            InputError: see `check_do`.
        """
        self._ran, self._interventions = ran, tuple(interventions)
        self._rows = check_do(scenario, interventions)
        self._first_at, self._starts = first_at, window_starts
        for do in self._interventions:
            if do.since is None:
                self._hold(do.variable, do.value(-1))

    def processes(self) -> list[Process]:
        """Return what to start with the run; call before the run moves, so that nothing comes first between windows."""
        if not any(do.since is not None or len(do.values) > 1 for do in self._interventions):
            return []
        times = [self._first_at, *self._starts[1:]]
        return [self._at(self._ran.wait(slot), window) for window, slot in enumerate(times)]

    def _at(self, moment: simpy.Event, window: int) -> Process:
        yield moment
        for do in self._interventions:
            if do.since is not None and window < do.since:
                continue
            value = do.value(window)
            if window == do.since or value != do.value(window - 1):
                self._hold(do.variable, value)

    def _hold(self, name: str, value: float) -> None:
        """Hold a variable from now on."""
        ran, row = self._ran, self._rows[name]
        ran.catch_up()
        ran.held[name] = value
        if (act := _ACTS.get(row.held)) is not None:
            act(ran, *split_name(name), value)
        for mechanism in ran.mechanisms:
            mechanism.held(name)


def _control(ran: RanState, stem: str, element: str, value: float) -> None:
    ran.apply({f"{stem}_{element}": value})


def _load(ran: RanState, stem: str, element: str, value: float) -> None:
    ran.offer_again()


def _radio(ran: RanState, stem: str, element: str, value: float) -> None:
    ran.plane.hold(ran.row(int(element)), stem, value)


def _demand(ran: RanState, stem: str, element: str, value: float) -> None:
    if stem == "wd_du":
        ran.plane.hold_demand(ran.row(int(element)), value)
    else:
        ran.plane.hold_cu_demand(ran.topology.cus.index(element), value)


def _stall(ran: RanState, stem: str, element: str, value: float) -> None:
    share = value / CFS_PERIOD_MS
    if stem == "ps_du":
        ran.plane.hold_stall(ran.row(int(element)), share)
    else:
        ran.plane.hold_cu_stall(ran.topology.cus.index(element), share)


_ACTS: Mapping[Hold, Callable[[RanState, str, str, float], None]] = {
    Hold.CONTROL: _control,
    Hold.LOAD: _load,
    Hold.DEMAND: _demand,
    Hold.STALL: _stall,
    Hold.RADIO: _radio,
}
