"""What drivers of controls need from whoever knows the engines: the process behind a workload, and to start it anew."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Machines"]


class Machines(Protocol):
    """The running side of an inventory's workloads, each named by its key (`du_1`).

    Errors of every method: UnreachableError (the engine does not answer, or the workload does not run), PlantError.
    """

    def pid(self, workload: str, within_s: float) -> int:
        """Return the process id on this machine of the workload's first process.

        RefusedError where the workload runs on another machine: its namespaces cannot be entered from here.
        """
        ...

    def started_at(self, workload: str, within_s: float) -> str:
        """Return a text that changes with every start of the workload: an engine's `State.StartedAt`."""
        ...

    def restart(self, workload: str, within_s: float) -> None:
        """Ask for a restart of the workload; may return before it runs again.

        OutcomeUnknownError where the request left and no answer came.
        """
        ...
