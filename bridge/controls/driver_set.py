"""Several drivers as one, for a backend that has more than one kind of control."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from bridge.controls.driver import ControlDriver, Evidence
from col.errors import InputError, OutcomeUnknownError, PlantError, RefusedError

__all__ = ["DriverSet"]


class DriverSet:
    """Drivers whose controls differ, as one driver: refused as a whole, then applied one after the other."""

    def __init__(self, drivers: Sequence[ControlDriver], *, now_s: Callable[[], float] = time.monotonic) -> None:
        """Take drivers; InputError if two answer for one control."""
        self._drivers, self._now_s = tuple(drivers), now_s
        every = self.names()
        if twice := sorted({name for name in every if every.count(name) > 1}):
            raise InputError("is set by two drivers", key=twice[0])

    def names(self) -> tuple[str, ...]:
        """Return the controls of all drivers, in their order."""
        return tuple(name for driver in self._drivers for name in driver.names())

    def refusals(self, values: Mapping[str, float]) -> tuple[str, ...]:
        """Return the reasons of all drivers."""
        return tuple(r for driver, own in self._shares(values) for r in driver.refusals(own))

    def read(self, within_s: float) -> Mapping[str, float]:
        """Return the values in force of all drivers' controls, all within one time."""
        until_s = self._now_s() + within_s
        found: dict[str, float] = {}
        for driver in self._drivers:
            found.update(driver.read(max(0.001, until_s - self._now_s())))
        return found

    def apply(self, values: Mapping[str, float], within_s: float) -> None:
        """Set the values, driver by driver; what fails after the first has acted leaves the outcome unknown."""
        until_s = self._now_s() + within_s
        if reasons := self.refusals(values):
            raise RefusedError(reasons)
        done: list[str] = []
        for driver, own in self._shares(values):
            try:
                driver.apply(own, max(0.001, until_s - self._now_s()))
            except OutcomeUnknownError:
                raise
            except PlantError as error:
                if not done:
                    raise
                raise OutcomeUnknownError(f"{', '.join(done)} was set, then: {error}") from error
            done += own

    def evidence(self) -> tuple[Evidence, ...]:
        """Return what all drivers know."""
        return tuple(e for driver in self._drivers for e in driver.evidence())

    def close(self) -> None:
        """Close all drivers."""
        for driver in self._drivers:
            driver.close()

    def _shares(self, values: Mapping[str, float]) -> list[tuple[ControlDriver, dict[str, float]]]:
        shares = []
        for driver in self._drivers:
            if own := {name: values[name] for name in driver.names() if name in values}:
                shares.append((driver, own))
        return shares
