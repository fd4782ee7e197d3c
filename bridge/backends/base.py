"""What a testbed must offer to the agent: read, set, and windows. Everything else is the agent's business.

A backend never retries, never decides and keeps no state of a promotion. Every call returns or raises within the time
that the agent allows it (`call_timeout_s`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from col.plant import PlantDescription, Windows

__all__ = ["Backend", "BackendDescription", "Reading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendDescription:
    """What stands behind a backend.

    `plant.plant_id` is the id of the testbed. `cells` groups controls by the gNB that they touch (a control shared by
    several stands in each); `gnb_metrics` names for each gNB the metrics that tell whether it is alive.
    `estimated` are metrics that the testbed only estimates.
    """

    plant: PlantDescription
    stack: str
    radio_mode: str
    gnbs: Mapping[str, tuple[str, ...]]
    gnb_metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    estimated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is in force now, read from the testbed itself.

    `at_s` is the testbed's own clock; `next_sequence` the number of the first window that begins after this reading;
    `automation` says whether something of the testbed's own (an autoscaler) may move controls. `problems` are lines for
    people on what is wrong beside that (a source of telemetry that is silent); they stand in the agent's status.
    """

    controls: Mapping[str, float]
    at_s: float
    next_sequence: int
    automation: bool = False
    problems: tuple[str, ...] = ()


@runtime_checkable
class Backend(Protocol):
    """A testbed as the agent sees it.

    Errors of every method: UnreachableError (nothing was done, or it could not be read), OutcomeUnknownError (`apply`
    and `set_automation` only: the request left and no answer came), RefusedError (the testbed said no, nothing was
    done), PlantError (it answers, but not sensibly).
    """

    def describe(self) -> BackendDescription:
        """Return what the testbed is; the same answer as long as it is the same testbed."""
        ...

    def read(self) -> Reading:
        """Return what is in force now."""
        ...

    def apply(self, values: Mapping[str, float], *, settle_s: float) -> Reading:
        """Set the named controls, discard the window in progress, begin windows again after `settle_s`.

        The answer is an acknowledgement, not proof of an effect: `next_sequence` is the first window that counts.
        """
        ...

    def set_automation(self, enabled: bool) -> None:
        """Let the testbed's own automation move controls, or suspend it."""
        ...

    def windows(self, since: int, limit: int) -> Windows:
        """Return the closed windows with a sequence number of at least `since`, in order, at most `limit` of them."""
        ...

    def close(self) -> None:
        """Let go of the testbed; what is in force stays in force."""
        ...
