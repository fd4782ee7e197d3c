"""What a control driver offers to a backend: it sets some controls of a testbed and says what shows that they hold.

A backend asks all of its drivers for refusals before anything is touched, then lets each apply its share. Drivers never
retry and keep no state of a promotion; every call returns or raises within `within_s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

__all__ = ["ControlDriver", "Evidence", "Proof"]


class Proof(StrEnum):
    """What shows that a control has the value that `read` answers."""

    READ_BACK = "read back"
    """The value was read from the thing itself: the kernel, the engine, the running configuration."""

    EFFECT = "effect"
    """Metrics moved as the value demands; there is nothing to read it from."""

    NOT_CONTRADICTED = "not contradicted"
    """It was in force before, was acknowledged again, and no metric speaks against it."""

    CONFIGURED = "configured"
    """The process started with it, and nothing was set since."""

    WAITING = "waiting"
    """It was acknowledged; its effect has to show soon, or `read` answers the value before."""

    NONE = "none"
    """It was acknowledged and no effect showed in time: `read` answers the value before, which was sent again.

    Not so on a way back: there the value before is that of a trial which is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about one control: the value that `read` answers, what shows it, and one line for people."""

    control: str
    value: float
    proof: Proof
    text: str = ""


@runtime_checkable
class ControlDriver(Protocol):
    """Sets some controls of a testbed. Calls come one after the other, from any thread.

    Errors: UnreachableError (nothing was done, or it could not be read), OutcomeUnknownError (`apply` only: it may have
    been done in part), RefusedError (`apply` only: nothing was done), PlantError (it answers, but not sensibly).
    """

    def names(self) -> tuple[str, ...]:
        """Return the controls that this driver answers for; always the same ones. Touches nothing."""
        ...

    def refusals(self, values: Mapping[str, float]) -> tuple[str, ...]:
        """Return every reason why these values (of own controls only) cannot be set; changes nothing.

        One line a reason, for people: the control, the value, what would have to be different.
        """
        ...

    def read(self, within_s: float) -> Mapping[str, float]:
        """Return the value in force of each own control, in its unit; every name is there and finite."""
        ...

    def apply(self, values: Mapping[str, float], within_s: float) -> None:
        """Set own controls. Returning means acknowledged: `read` and `evidence` say what is in force."""
        ...

    def evidence(self) -> tuple[Evidence, ...]:
        """Return what is known of each own control now; touches nothing."""
        ...

    def close(self) -> None:
        """Let go of connections and threads; what is in force stays in force."""
        ...
