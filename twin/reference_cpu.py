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

    What is left of it is lost, but for `burst_ms`: a refill fills up to the quota and at most that much more.
    """

    def __init__(
        self, env: simpy.Environment, *, quota_ms: float, first_refill_ms: float, burst_ms: float = 0.0
    ) -> None:
        self.env = env
        self.quota_ms, self.burst_ms = quota_ms, burst_ms
        self.left_ms = 0.0
        self.refilled = env.event()
        self._running_since: float | None = None
        self._parallelism = 1.0
        env.process(self._refill(first_refill_ms))

    def _refill(self, first_ms: float) -> Process:
        period = 0
        while True:
            yield self.env.timeout(first_ms + period * CFS_PERIOD_MS - self.env.now)
            if self._running_since is not None:  # what was drawn so far belongs to the period before
                self.left_ms = max(self.left_ms - (self.env.now - self._running_since) * self._parallelism, 0.0)
            self.left_ms = min(self.left_ms + self.quota_ms, self.quota_ms + self.burst_ms)
            refilled, self.refilled = self.refilled, self.env.event()
            refilled.succeed()
            period += 1

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
            began, refilled = env.now, self.refilled
            self._running_since, self._parallelism = began, parallelism
            yield env.timeout(burst_ms / parallelism) | refilled
            self._running_since = None
            if refilled.triggered:
                work_ms -= (env.now - began) * parallelism
            else:
                work_ms -= burst_ms
                self.left_ms -= burst_ms
        return pauses
