"""Bounds every call of a backend whose library may hang.

The call is made in a thread of its own. One that does not come back in time is given up: its thread is left to itself,
and as long as it lives no other call reaches the backend, since what it will still do is not known.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from bridge.backends.base import Backend, BackendDescription, Reading
from col.errors import OutcomeUnknownError, UnreachableError
from col.plant import Windows

__all__ = ["BoundedBackend"]

T = TypeVar("T")


class _Call(Generic[T]):
    """One call on its way."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="backend call", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result.append(self._function())
        except BaseException as error:
            self._error = error

    def is_over(self, within_s: float) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result[0]


class BoundedBackend:
    """A backend whose every call returns or raises within `call_timeout_s`, whatever the wrapped one does."""

    def __init__(self, backend: Backend, call_timeout_s: float) -> None:
        self._backend, self._call_timeout_s = backend, call_timeout_s
        self._lock = threading.Lock()
        self._stuck: _Call[object] | None = None

    def describe(self) -> BackendDescription:
        """Return what the testbed is."""
        return self._bounded("describe", self._backend.describe)

    def read(self) -> Reading:
        """Return what is in force now."""
        return self._bounded("read", self._backend.read)

    def apply(self, values: Mapping[str, float], *, settle_s: float) -> Reading:
        """Set the named controls."""
        return self._bounded("apply", lambda: self._backend.apply(values, settle_s=settle_s), acts=True)

    def set_automation(self, enabled: bool) -> None:
        """Suspend the testbed's own automation, or let it go on."""
        self._bounded("set_automation", lambda: self._backend.set_automation(enabled), acts=True)

    def windows(self, since: int, limit: int) -> Windows:
        """Return closed windows."""
        return self._bounded("windows", lambda: self._backend.windows(since, limit))

    def close(self) -> None:
        """Let go of the testbed; not waited for any longer than for another call."""
        _Call(self._backend.close).is_over(self._call_timeout_s)

    def _bounded(self, name: str, function: Callable[[], T], *, acts: bool = False) -> T:
        if not self._lock.acquire(timeout=self._call_timeout_s):
            raise UnreachableError(f"the backend is busy with another call, so {name} was not tried")
        try:
            if self._stuck is not None and not self._stuck.is_over(0.0):
                raise UnreachableError(f"the backend still hangs in an earlier call, so {name} was not tried")
            self._stuck = None
            call = _Call(function)
            if call.is_over(self._call_timeout_s):
                return call.result()
            self._stuck = call  # type: ignore[assignment]
        finally:
            self._lock.release()
        text = f"the backend did not come back from {name} within {self._call_timeout_s:g} s"
        raise OutcomeUnknownError(text) if acts else UnreachableError(text)
