"""Calls to a backend as the engine makes them: whatever goes wrong becomes one of the four errors of a backend.

A backend is a plug-in. One that raises something else, or answers with something that is no reading, must neither stop
the agent nor be believed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from bridge.backends.base import Backend, BackendDescription, Reading
from col.errors import OutcomeUnknownError, PlantError, RantwinError, UnreachableError
from col.plant import Windows

__all__ = ["Calls"]


class Calls:
    """A backend that raises UnreachableError, OutcomeUnknownError, RefusedError or PlantError, and nothing else."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._description: BackendDescription | None = None
        self.problem = ""
        """Why the testbed could not be read last time; empty while it can."""

    def describe(self) -> BackendDescription:
        """Return what the testbed is, asked once."""
        if self._description is None:
            try:
                self._description = self._backend.describe()
            except RantwinError as error:
                self.problem = str(error)
                raise
            except Exception as error:
                self.problem = f"the backend failed: {error!r}"
                raise UnreachableError(self.problem) from error
        return self._description

    @property
    def description(self) -> BackendDescription | None:
        """What the testbed is, if that is known already."""
        return self._description

    def read(self) -> Reading:
        """Return what is in force; PlantError if that is not a number for every control."""
        try:
            reading = self._checked(self._backend.read())
        except RantwinError as error:
            self.problem = str(error)
            raise
        except Exception as error:
            self.problem = f"the backend failed: {error!r}"
            raise UnreachableError(self.problem) from error
        self.problem = ""
        return reading

    def try_read(self) -> Reading | None:
        """Return what is in force, None if it cannot be read; `problem` says why."""
        try:
            return self.read()
        except RantwinError:
            return None

    def apply(self, values: Mapping[str, float], *, settle_s: float) -> Reading:
        """Set controls; OutcomeUnknownError whenever the answer does not say what became of it."""
        try:
            return self._backend.apply(dict(values), settle_s=settle_s)
        except PlantError:
            raise
        except Exception as error:
            raise OutcomeUnknownError(f"the backend failed: {error!r}") from error

    def set_automation(self, enabled: bool) -> None:
        """Let the testbed's own automation run, or suspend it."""
        try:
            self._backend.set_automation(enabled)
        except PlantError:
            raise
        except Exception as error:
            raise OutcomeUnknownError(f"the backend failed: {error!r}") from error

    def windows(self, since: int, limit: int) -> Windows | None:
        """Return closed windows from a number on, None if they cannot be had now."""
        try:
            return self._backend.windows(since, limit)
        except Exception as error:
            self.problem = str(error) if isinstance(error, RantwinError) else f"the backend failed: {error!r}"
            return None

    def close(self) -> None:
        """Let go of the testbed."""
        self._backend.close()

    def _checked(self, reading: Reading) -> Reading:
        known = self._description.plant.controls if self._description is not None else ()
        absent = [c.name for c in known if c.name not in reading.controls]
        odd = [name for name, value in reading.controls.items() if not math.isfinite(value)]
        if absent or odd:
            raise PlantError(f"the testbed's reading has no number for {', '.join([*absent, *odd][:5])}")
        return reading
