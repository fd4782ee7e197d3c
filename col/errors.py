"""Exceptions of rantwin: one root, then one class per thing that the caller can do about it."""

from __future__ import annotations

__all__ = [
    "InputError",
    "NotIdentifiableError",
    "OutcomeUnknownError",
    "PlantError",
    "RantwinError",
    "RefusedError",
    "UnreachableError",
]


class RantwinError(Exception):
    """Root of every error that rantwin raises on purpose. `str(error)` is one clear line for the user."""

    exit_code = 1


class InputError(RantwinError):
    """The user's input is wrong: mend it and call again. Nothing was written.

    The line names where the fault is and what would be right:
    `scenario.toml: cpu.upper_cores = -1: must be above cpu.lower_cores (0.1)`.
    """

    exit_code = 2

    def __init__(self, message: str, *, source: str = "", key: str = "", value: object = None) -> None:
        self.message, self.source, self.key, self.value = message, source, key, value
        place = ": ".join(part for part in (source, f"{key} = {value!r}" if value is not None else key) if part)
        super().__init__(f"{place}: {message}" if place else message)


class NotIdentifiableError(RantwinError):
    """The effect cannot be computed from passive data; the message names what stands in the way."""


class PlantError(RantwinError):
    """A plant failed in a way that asking again does not mend."""


class RefusedError(PlantError):
    """The plant refused an intervention; `reasons` has all of them."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__("refused: " + "; ".join(reasons))


class OutcomeUnknownError(PlantError):
    """It is not known whether an intervention took effect: read back before anything else."""


class UnreachableError(PlantError):
    """The plant cannot be reached now; it may be later."""

    exit_code = 3
