"""Controls that a process reads only when it starts: written to its configuration, then the process is restarted.

A restart of a DU drops every UE; it costs the outage that the inventory declares, and is refused unless the operator
allows it there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.controls.config_file import number_of, with_number
from bridge.controls.driver import Evidence, Proof
from bridge.controls.machine import Machines
from bridge.controls.memory import Held, Memory
from col.errors import InputError, OutcomeUnknownError, PlantError, RefusedError, UnreachableError

__all__ = ["RestartDriver", "RestartValue"]

_PATIENCE_S = 30.0
"""On top of twice the declared outage: whoever has not started by then was never told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartValue:
    """A control that costs `outage_s` seconds without service; `is_allowed` is the operator's word."""

    name: str
    outage_s: float
    is_allowed: bool


class RestartDriver:
    """The controls that stand in one configuration file of one workload."""

    def __init__(
        self,
        workload: str,
        file: Path,
        values: Sequence[RestartValue],
        machines: Machines,
        memory: Memory,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the workload, the file that it starts with and its controls."""
        self._workload, self._file, self._values = workload, file, {value.name: value for value in values}
        self._machines, self._memory, self._now_s = machines, memory, now_s
        self._seen: dict[str, float] = {}
        self._asked_s: dict[str, float] = {}
        for value in values:
            self._number(value.name)

    def names(self) -> tuple[str, ...]:
        """Return the controls in this file."""
        return tuple(self._values)

    def refusals(self, values: Mapping[str, float]) -> tuple[str, ...]:
        """Return which of them the operator does not allow, and what each would cost."""
        return tuple(
            f"{name}: needs a restart of {self._workload}, about {known.outage_s:g} s without service; "
            "`allowed = true` in the inventory allows that"
            for name in values
            if not (known := self._values[name]).is_allowed and values[name] != self._seen.get(name)
        )

    def read(self, within_s: float) -> Mapping[str, float]:
        """Return what the running process was started with; UnreachableError while it is on its way to a new start."""
        started_at = self._machines.started_at(self._workload, within_s)
        for name in self._values:
            self._look(name, started_at)
            self._seen[name] = self._number(name)
        return dict(self._seen)

    def apply(self, values: Mapping[str, float], within_s: float) -> None:
        """Write the file and ask for the restart."""
        until_s = self._now_s() + within_s
        now = self.read(within_s)
        if reasons := self.refusals(values):
            raise RefusedError(reasons)
        if all(now[name] == value for name, value in values.items()):
            return
        started_at = self._machines.started_at(self._workload, max(0.001, until_s - self._now_s()))
        old = self._file.read_text(encoding="utf-8")
        new = old
        for name, value in values.items():
            new = with_number(new, name, value, source=str(self._file))
            held = Held(value=value, before=now[name], proof=Proof.WAITING, started_at=started_at, text="restarting")
            self._memory.put(name, held)
            self._asked_s[name] = self._now_s()
        self._write(new)
        try:
            self._machines.restart(self._workload, max(0.001, until_s - self._now_s()))
        except OutcomeUnknownError:
            raise
        except (RefusedError, UnreachableError):
            self._write(old)
            for name in values:
                self._memory.put(name, None)
            raise
        except PlantError as error:
            raise OutcomeUnknownError(f"the restart of {self._workload}: {error}") from error

    def evidence(self) -> tuple[Evidence, ...]:
        """Return what the last reading said."""
        return tuple(
            Evidence(
                control=name,
                value=value,
                proof=Proof.CONFIGURED if self._memory.get(name) is None else Proof.WAITING,
                text=f"{self._file.name}, read when {self._workload} started",
            )
            for name, value in self._seen.items()
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _look(self, name: str, started_at: str) -> None:
        """Forget a restart that has happened, and one that never came: its value is taken out of the file again."""
        held = self._memory.get(name)
        if held is None:
            return
        if held.started_at == started_at:
            asked_s = self._asked_s.setdefault(name, self._now_s())
            if self._now_s() - asked_s <= _PATIENCE_S + 2.0 * self._values[name].outage_s:
                raise UnreachableError(f"{self._workload} is to start anew with {name} = {held.value:g}")
            text = self._file.read_text(encoding="utf-8")
            self._write(with_number(text, name, held.before, source=str(self._file)))
        self._memory.put(name, None)
        self._asked_s.pop(name, None)

    def _number(self, name: str) -> float:
        try:
            text = self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot be read: {error}", source=str(self._file)) from error
        return number_of(text, name, source=str(self._file))

    def _write(self, text: str) -> None:
        """Write in place: a file that is mounted into a container by itself must keep its inode."""
        with self._file.open("r+", encoding="utf-8") as file:
            file.write(text)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
