"""Processes that are down, who took them down, and what share of a time they were up.

Memory kills a process, a host failure kills all of a host's; each comes back when the last of its causes lets it. How
long a restart takes is the same question in both cases: container, gNB initialisation, F1 and NG set-up, UEs that
attach again, 5 to 15 s together [assumption: 0.5-2, 2-5, up to 1 and 1-5 s].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from col.errors import InputError
from twin.strict import limits

__all__ = ["Outages", "Restart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """How long a process takes from its start until UEs are served: uniform, and its CPU work at its CPU limit [s]."""

    least_s: float = field(default=5.0, metadata=limits(lower=0.1, upper=3600))
    most_s: float = field(default=15.0, metadata=limits(lower=0.1, upper=3600))
    cpu_s: float = field(default=0.0, metadata=limits(lower=0, upper=3600))
    """CPU-seconds of initialisation, on one thread: below a limit of one core they take cpu_s / limit."""

    def __post_init__(self) -> None:
        if not self.least_s <= self.most_s:
            raise InputError(f"must be at most most_s ({self.most_s:g})", key="least_s", value=self.least_s)

    def draw_ms(self, rng: np.random.Generator, limit_cores: float) -> int:
        """Return the length of a restart under that CPU limit in ms; one draw."""
        fixed_s = self.least_s + (self.most_s - self.least_s) * float(rng.random())
        return round(1000.0 * (fixed_s + self.cpu_s / min(1.0, limit_cores)))


class Outages:
    """Until when each process is down; `stop` is what tells the data plane, given a process and the end [ms].

    Processes have names, `du_1` or `cu_a`; `up_*` is one of their metrics.
    """

    def __init__(self, processes: tuple[str, ...], stop: Callable[[str, int], None]) -> None:
        self._until = dict.fromkeys(processes, 0)
        self._counted_to = dict.fromkeys(processes, 0)
        self._down_ms = dict.fromkeys(processes, 0)
        self._starts = dict.fromkeys(processes, 0)
        self._stop = stop
        self._read_at = 0

    def take_down(self, process: str, now_ms: int, until_ms: int) -> None:
        """Kill a process now; it serves again from `until_ms` on, or later if something else keeps it down."""
        self._count(process, now_ms)
        self._starts[process] += 1
        if until_ms > self._until[process]:
            self._until[process] = until_ms
            self._stop(process, until_ms)

    def is_down(self, process: str, now_ms: int) -> bool:
        """Return whether a process is down now."""
        return now_ms < self._until[process]

    def until_ms(self, process: str) -> int:
        """Return when a process was last to come back, 0 if it never was down."""
        return self._until[process]

    def starts(self, process: str) -> int:
        """Return how often a process was killed, and so started again, since the run's start."""
        return self._starts[process]

    def take_up_shares(self, now_ms: int) -> Mapping[str, float]:
        """Return the share of the time since this was last asked that each process was up, as `up_<process>`."""
        elapsed = max(1, now_ms - self._read_at)
        out = {}
        for process in self._until:
            self._count(process, now_ms)
            out[f"up_{process}"] = 1.0 - self._down_ms[process] / elapsed
            self._down_ms[process] = 0
        self._read_at = now_ms
        return out

    def _count(self, process: str, now_ms: int) -> None:
        self._down_ms[process] += max(0, min(now_ms, self._until[process]) - self._counted_to[process])
        self._counted_to[process] = now_ms
