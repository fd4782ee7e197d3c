"""The two clocks of the agent, injected so that tests need no waiting.

Timers run on the monotonic clock alone: a wall clock that is stepped by an hour moves none of them. The wall clock only
dates what people read, and certificates.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Where the time comes from."""

    @property
    def boot(self) -> str:
        """The name of this boot of the machine: monotonic seconds of another one are not to be compared."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back within one boot of the machine, also across restarts of the process."""
        ...

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC, as far as this machine knows."""
        ...


class SystemClock:
    """The clocks of this machine. Time in which the machine was suspended counts: a lease does not outlive it."""

    @property
    def boot(self) -> str:
        """The kernel's id of this boot; a name of no other boot where the kernel has none."""
        try:
            return _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            return f"unknown-{os.getpid()}-{self.wall()}"

    def monotonic(self) -> float:
        """Return seconds since boot."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return time.time()


@dataclass(slots=True)
class ManualClock:
    """Clocks that move when told to."""

    boot: str = "boot"
    monotonic_s: float = 1000.0
    wall_s: float = 1_800_000_000.0

    def monotonic(self) -> float:
        """Return the monotonic seconds."""
        return self.monotonic_s

    def wall(self) -> float:
        """Return the wall seconds."""
        return self.wall_s

    def advance(self, seconds: float) -> None:
        """Let both clocks go on."""
        self.monotonic_s += seconds
        self.wall_s += seconds

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as somebody who sets the time does."""
        self.wall_s += seconds
