"""The seam of the control plane: what acts in a run of the RAN besides its load and its limits.

A mechanism has processes of its own on the run's clock, hears of every value that is put in force, adds metrics to the
windows, and moves the data plane (`ran.plane`, after `ran.catch_up()`). It holds no state outside itself, draws only
from streams of its own, and never asks where frames are cut. Order at one and the same ms, the same in a planned and in
a live run: a window that ends there is closed (`metrics`, then `seen`), then the mechanisms act (`ran.wait`), then
interventions come (`apply`). What a mechanism does when a window ends so belongs to the next window.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import simpy

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["Mechanism", "Process", "RunEvent"]

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """Something that happened in a run, `at_ms` after its start: an OOM kill, a fault, a handover, a decision.

    `kind` is one word (`oom`, `fault`, `handover`, `decision`), `subject` the variable or part that it is about
    (`mem_du_1`, `host h1`), and `values` what it was, numbers in the units of the variables named or texts.
    """

    at_ms: int
    kind: str
    subject: str
    values: Mapping[str, float | str] = field(default_factory=dict)


class Mechanism(Protocol):
    """One mechanism of one run. Derive from it; whatever is not overridden does nothing."""

    drives_load: ClassVar[bool] = False
    """Whether this mechanism sets what the UEs offer: then the scenario's load laws offer nothing (`ran.offer`)."""

    def processes(self, ran: RanState) -> Iterable[Process]:
        """Return the processes to start when the run begins, at time 0.

        To let time pass they yield `ran.wait(ms)`: at a shared time that comes after windows are closed.
        """
        return ()

    def apply(self, values: Mapping[str, float]) -> None:
        """Take controls that have just been put in force, by name, in their units (`ran.controls` has all of them).

        Called for the base configuration first, before any process starts; the data plane has caught up and has the
        CPU limits already.
        """
        return

    def seen(self, metrics: Mapping[str, float]) -> None:
        """Take all metrics of the time since the last call, hosts included after a window, without them before one.

        Called at the end of the warm-up, of every window and of every settling time, after `metrics` and before the
        built-in autoscaler acts. Whoever sets controls from here calls `ran.apply`, and only while `ran.automation`.
        """
        return

    def metrics(self, ran: RanState, elapsed_ms: float) -> Mapping[str, float]:
        """Return this mechanism's variables of the time since the last call (`elapsed_ms`), by name, latent ones too.

        Called at the end of the warm-up, of every window and of every settling time; sums begin again from zero. The
        names are the same every time; NaN is missing. How often this is called differs between a planned and a live
        run before the first window, so draw nothing here (nor in `seen`).
        """
        return {}

    def busy_cores(self, elapsed_ms: float) -> Mapping[str, float]:
        """Return what this mechanism kept each host busy with, mean of the time of the last `metrics` [core].

        It raises the host's power. Called after `metrics`, for windows only.
        """
        return {}

    def held(self, name: str) -> None:
        """Hear that do() holds a variable from now on, or at another value: `ran.held[name]`.

        A mechanism that computes the variable looks there before anything else.
        """
        return

    def host_up(self, elapsed_ms: float) -> Mapping[str, float]:
        """Return the share of the time of the last `metrics` that hosts had power, for hosts where it is below 1."""
        return {}
