"""CPU of the reference model: a cgroup under CFS bandwidth control, every refill of its quota an event.

All times in ms, all work in CPU-ms.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from twin.parameters import CFS_PERIOD_MS
from twin.reference_parts import Process

__all__ = ["CfsBandwidth"]


class CfsBandwidth:
    """A cgroup under CFS bandwidth control: a quota of CPU time that is refilled every period.

    What is left of it is lost, but for `burst_ms`: a refill adds the quota to it and cuts that off at the quota and at
    most that much more. `hold_stall` replaces the quota: there is no limit but in the last part of each period, where
    nothing runs.
    """

    def __init__(self, env: simpy.Environment, *, first_refill_ms: float) -> None:
        self.env = env
        self.quota_ms, self.burst_ms = 0.0, 0.0
        self.held_stall: float | None = None
        self.left_ms, self.began_ms = 0.0, first_refill_ms - CFS_PERIOD_MS
        self.refilled, self.stopped = env.event(), env.event()
        self._running_since: float | None = None
        self._parallelism = 1.0
        env.process(self._refill(first_refill_ms))

    def _refill(self, first_ms: float) -> Process:
        env, period = self.env, 0
        while True:
            begins = first_ms + period * CFS_PERIOD_MS
            yield env.timeout(begins - env.now)
            self.began_ms = begins
            self._settle()
            if self.held_stall is None:
                most = self.quota_ms + min(self.burst_ms, self.quota_ms)
                left = 0.0 if self.left_ms > 1e9 else self.left_ms  # a stall held so far leaves nothing
                self.left_ms = min(left + self.quota_ms, most)
            else:
                self.left_ms = 1e12
                env.process(self._stop(self.held_stall))
            refilled, self.refilled = self.refilled, env.event()
            refilled.succeed()
            period += 1

    def hold_stall(self, share: float | None) -> None:
        """Stand in the last `share` of each period, that under way included; None lets it go at the next refill."""
        self.held_stall = share
        if share is not None:
            self.env.process(self._stop(share))

    def _stop(self, share: float) -> Process:
        """Stop what runs when the rest of the period that is under way is held as a stall."""
        at_ms = self.began_ms + (1.0 - share) * CFS_PERIOD_MS
        yield self.env.timeout(max(at_ms - self.env.now, 0.0))
        if self.held_stall == share:
            self._settle()
            self.left_ms = 0.0
            stopped, self.stopped = self.stopped, self.env.event()
            stopped.succeed()

    def _settle(self) -> None:
        """Draw on what is left for the work that is under way."""
        if self._running_since is not None:
            self.left_ms = max(self.left_ms - (self.env.now - self._running_since) * self._parallelism, 0.0)
            self._running_since = self.env.now

    def run(
        self, work_ms: float, parallelism: float, *, resume_ms: float = 0.0
    ) -> Generator[simpy.Event, Any, list[float]]:
        """Run some work to its end and return the pauses that throttling made; each adds `resume_ms` of work."""
        env = self.env
        pauses = []
        while work_ms > 0.0:
            if self.left_ms <= 1e-9:  # what rounding leaves of a quota is no quota
                began = env.now
                yield self.refilled
                pauses.append(env.now - began)
                work_ms += resume_ms
            burst_ms = min(work_ms, self.left_ms)
            began, refilled, stopped = env.now, self.refilled, self.stopped
            self._running_since, self._parallelism = began, parallelism
            yield env.timeout(burst_ms / parallelism) | refilled | stopped
            if refilled.triggered or stopped.triggered:
                work_ms -= (env.now - began) * parallelism
            else:
                work_ms -= burst_ms
                self.left_ms -= burst_ms
            self._running_since = None
        return pauses
