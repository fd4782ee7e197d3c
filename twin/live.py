"""A live run of a scenario: no end, advanced by any amount, with controls that can be set at any time.

With no disturbance and nothing set it is, number for number, the run that `twin.ran` simulates: the same parts and the
same streams. Its windows follow from the seed, the run and the commands with the simulated times at which they came;
not from the steps in which time was advanced.

Time is counted in slots of 1 ms since the run's start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import simpy

from col.errors import InputError
from col.plant import Intervention, Windows
from twin.mechanism import Process, RunEvent
from twin.ran_state import RanState, make_autoscaler
from twin.scenario_model import Scenario
from twin.streams import Streams
from twin.traffic import PassiveWalk, operating_path

__all__ = ["FRAME_SLOTS", "Disturbance", "LiveRun", "LiveWindow", "LoadLaw", "windows_table"]

FRAME_SLOTS = 1000
"""The data plane lags behind by at most this, so that whoever sets a control waits for one frame, not for a window."""


class LoadLaw(StrEnum):
    """What the senders offer: the constant operating load, or the passive load that moves from window to window."""

    OPERATING = "operating"
    PASSIVE = "passive"


class Disturbance(Protocol):
    """What acts on a live run besides the mechanisms of its scenario."""

    def processes(self, ran: RanState) -> Iterable[Process]:
        """Return the processes to start with the run."""
        ...

    def seen(self, metrics: Mapping[str, float]) -> None:
        """Take the metrics of the time since the last call, at the end of a window or of a settling time."""
        ...

    def stray_cores(self) -> Mapping[str, float]:
        """Return what else kept each host busy [core], mean since the last call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWindow:
    """A closed window: its number, times in ms since the run's start, the controls in force and the metrics."""

    sequence: int
    start_ms: int
    end_ms: int
    controls: Mapping[str, float]
    metrics: Mapping[str, float]


class LiveRun:
    """A run at work: a fresh process of every gNB at the configuration `base`.

    The autoscaler works under the passive load alone, until it is suspended. Windows begin after the warm-up; the
    passive load moves at the start of each.
    """

    def __init__(
        self,
        scenario: Scenario,
        streams: Streams,
        base: Mapping[str, float],
        *,
        law: LoadLaw = LoadLaw.OPERATING,
        automation: bool | None = None,
        first_sequence: int = 0,
        disturbance: Disturbance | None = None,
    ) -> None:
        """Take the scenario, the run's streams and a value for every control.

        Raises:
            InputError: a control is missing from `base`, unknown or out of bounds.
        """
        self._description, self._scenario = scenario.description(), scenario
        self._env = simpy.Environment()
        missing = [c.name for c in self._description.controls if c.name not in base]
        if missing:
            raise InputError("a live run needs a value for every control", key=missing[0])
        self._autoscaler = make_autoscaler(scenario, streams) if law is LoadLaw.PASSIVE else None
        acts = self._autoscaler is not None and automation is not False
        self._ran = RanState(scenario, streams, self._env, self._checked(base), {}, automation=acts)
        self._law = law
        self._walk = PassiveWalk(scenario.passive_load, scenario.window.length_s, streams, self._ran.cells)
        self._next_sequence = first_sequence
        self._disturbance = disturbance
        self._closed: list[LiveWindow] = []
        self._epoch = 0
        self._window_start: int | None = None
        self._warm = round(scenario.window.warmup_s * 1000)
        if law is LoadLaw.PASSIVE:
            self._ran.offer(self._walk.step())
        else:
            self._ran.offer(operating_path(scenario.operating_load, 1, self._ran.cells)[0])
        self._env.process(self._frames())
        for process in disturbance.processes(self._ran) if disturbance is not None else ():
            self._env.process(process)
        self._env.process(self._windows(self._warm, self._epoch))

    @property
    def now_ms(self) -> int:
        """Simulated time since the run's start in ms."""
        return int(self._env.now)

    @property
    def controls(self) -> dict[str, float]:
        """The values in force now."""
        return dict(self._ran.controls)

    @property
    def automation(self) -> bool:
        """Whether the autoscaler may move controls."""
        return self._ran.automation

    @property
    def events(self) -> Sequence[RunEvent]:
        """What was noted in the run so far, in order; only the latest of very many."""
        return self._ran.events

    @property
    def has_autoscaler(self) -> bool:
        """Whether there is an autoscaler at all."""
        return self._autoscaler is not None

    @property
    def next_sequence(self) -> int:
        """The number of the first window that begins from now on; a window in progress does not count."""
        return self._next_sequence + (self._window_start is not None)

    @property
    def window_end_ms(self) -> int | None:
        """When the window in progress ends, None while the run warms up or settles."""
        return None if self._window_start is None else self._window_start + self._scenario.window_slots

    def advance(self, slots: int) -> tuple[LiveWindow, ...]:
        """Let `slots` ms pass and return the windows that closed meanwhile, in order."""
        if slots < 0:
            raise InputError("must be zero or above", key="slots", value=slots)
        until = self.now_ms + slots
        if slots > 0:
            self._env.run(until=until)
        while self._env.peek() <= until:  # `run` stops before what happens at that very time
            self._env.step()
        closed, self._closed = self._closed, []
        return tuple(closed)

    def set_controls(self, values: Mapping[str, float], *, settle_s: float) -> dict[str, float]:
        """Put values in force now, each the nearest that its control can take, and return them.

        The window in progress is discarded (it never gets a number); windows begin again after `settle_s`.

        Raises:
            InputError: a control is unknown or a value out of bounds; nothing has changed.
        """
        in_force = self._checked(values)
        self._ran.apply(in_force)
        self._epoch += 1
        self._window_start = None
        begin = max(self.now_ms + round(settle_s * 1000), self._warm)
        self._env.process(self._windows(begin, self._epoch))
        return in_force

    def set_automation(self, enabled: bool) -> None:
        """Suspend the autoscaler, or let it move controls again from the next window's start on.

        Raises:
            InputError: there is no autoscaler to enable.
        """
        if enabled and self._autoscaler is None:
            raise InputError("there is no autoscaler under the operating load", key="automation", value=enabled)
        self._ran.automation = enabled

    def _checked(self, values: Mapping[str, float]) -> dict[str, float]:
        self._description.check(Intervention(values))
        return {name: self._description.control(name).snap(value) for name, value in values.items()}

    def _frames(self) -> Process:
        while True:
            yield self._env.timeout(FRAME_SLOTS)
            self._ran.catch_up()

    def _windows(self, begin: int, epoch: int) -> Process:
        """Close windows from `begin` on, until somebody begins them again."""
        yield self._env.timeout(begin - self.now_ms)
        if epoch != self._epoch:
            return
        self._begin_window(self._ran.read())  # what was before the first window is seen but not recorded
        while True:
            yield self._env.timeout(self._scenario.window_slots)
            if epoch != self._epoch:
                return
            metrics = self._ran.read()
            stray = self._disturbance.stray_cores() if self._disturbance is not None else None
            metrics |= self._ran.host_metrics(metrics, stray)
            self._closed.append(
                LiveWindow(
                    sequence=self._next_sequence,
                    start_ms=self.now_ms - self._scenario.window_slots,
                    end_ms=self.now_ms,
                    controls=self.controls,
                    metrics=metrics,
                )
            )
            self._next_sequence += 1
            self._begin_window(metrics)

    def _begin_window(self, seen: Mapping[str, float]) -> None:
        """Begin a window now, after a time of which the metrics are known: whoever follows them acts at this point."""
        self._window_start = self.now_ms
        self._ran.seen(seen)
        if self._law is LoadLaw.PASSIVE:
            self._ran.offer(self._walk.step())
        if self._autoscaler is not None and self.automation:
            self._autoscaler.act(self._ran, seen)
        if self._disturbance is not None:
            self._disturbance.seen(seen)


def windows_table(windows: Sequence[LiveWindow], scenario: Scenario, *, run: int, offset_s: float = 0.0) -> Windows:
    """Return live windows of one run as a table; the run began at `offset_s` on the plant's clock."""
    return Windows(
        sequence=np.array([w.sequence for w in windows], dtype=np.int64),
        start_s=np.array([offset_s + w.start_ms / 1000.0 for w in windows]),
        end_s=np.array([offset_s + w.end_ms / 1000.0 for w in windows]),
        run=np.full(len(windows), run, dtype=np.int64),
        controls={n: np.array([w.controls[n] for w in windows]) for n in scenario.topology.control_names},
        metrics={m.name: np.array([w.metrics[m.name] for w in windows]) for m in scenario.topology.metrics()},
    )
