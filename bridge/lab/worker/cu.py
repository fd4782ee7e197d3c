"""A CU: packets of both directions in order of arrival, each at its CPU cost, and steady work beside them."""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns, thread_time_ns

from .counters import CU, Board
from .packets import HEADER, PASSED, PORT_DOWN, PORT_UP, Address, drain, open_socket, send, stamp
from .work import Work

__all__ = ["Cu", "own_quota_cores"]

_STEP_NS, _BEHIND_NS = 20_000_000, 2_000_000
"""It wakes up for packets, and after so long for its steady work: waking up for that more often would cost more.
Where it is further behind it takes steady work and packets in turn, so much time at once."""
_CGROUP = Path("/sys/fs/cgroup")
_QUOTA_EVERY_S = 0.25
_SHOWN_EVERY_S = 0.01

Waiting = deque[tuple[int, bytes]]
"""Packets and when they were passed on to here [ns]."""


def own_quota_cores(root: Path = _CGROUP) -> float:
    """Return the CPU limit of the container that this runs in (cgroup v2 or v1), infinite where there is none."""
    with contextlib.suppress(OSError, ValueError):
        if (root / "cpu.max").is_file():
            quota, period = (root / "cpu.max").read_text().split()
            return float("inf") if quota == "max" else float(quota) / float(period)
        for folder in (root / "cpu", root / "cpu,cpuacct"):
            if (folder / "cpu.cfs_quota_us").is_file():
                own = float((folder / "cpu.cfs_quota_us").read_text())
                return own / float((folder / "cpu.cfs_period_us").read_text()) if own > 0 else float("inf")
    return float("inf")


def _older(queues: tuple[Waiting, Waiting]) -> int | None:
    """Return which queue's first packet came first, None where both are empty."""
    down, up = queues
    if not down or not up:
        return 0 if down else 1 if up else None
    return 0 if down[0][0] <= up[0][0] else 1


class Cu:
    """The process. `cost` has `base_share` (cores), `packet_ms` (CPU-ms a packet) and `buffer_ms`."""

    def __init__(self, cost: Mapping[str, float], du: Address, core: Address, counters: Path) -> None:
        self._cost, self._du, self._core = dict(cost), du, core
        self._board = Board(counters, CU)
        self._from_du, self._from_core = open_socket(PORT_UP), open_socket(PORT_DOWN)

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Serve packets as long as it goes on."""
        board, work, cost = self._board, Work(), self._cost
        place = {name: board.index(name) for name in CU}
        values = board.values
        values[place["started_s"]] = before = time.monotonic()
        buffer_ns, packet_ms = int(cost["buffer_ms"] * 1e6), cost["packet_ms"]
        ways = ((self._from_core, self._from_du, self._du, "dl"), (self._from_du, self._from_core, self._core, "ul"))
        queues: tuple[Waiting, Waiting] = (deque(), deque())
        poll = select.poll()
        for source, *_ in ways:
            poll.register(source, select.POLLIN)
        until, quota, quota_at, shown = monotonic_ns(), own_quota_cores(), before, before
        while goes_on():
            ahead = until + _STEP_NS - monotonic_ns()
            ready = poll.poll(ahead * 1e-6 if ahead > 0 and not any(queues) else 0)
            now, since = monotonic_ns(), until
            until = now if now - since <= _STEP_NS else since + _BEHIND_NS
            # Steady work that could not be done in time is not made up for.
            base_ms = cost["base_share"] * max(0, until - max(since, now - buffer_ns)) * 1e-6
            work.do(base_ms)
            values[place["base_ms"]] += base_ms
            for handle, _ in ready:
                row = 0 if handle == self._from_core.fileno() else 1
                queues[row].extend((HEADER.unpack_from(data)[PASSED], data) for data in drain(ways[row][0]))
            # In the order of arrival also where it is behind: what came after this step waits for the next one.
            while (older := _older(queues)) is not None and queues[older][0][0] <= until:
                passed, data = queues[older].popleft()
                _, by, to, way = ways[older]
                if monotonic_ns() - passed > buffer_ns:
                    values[place[f"dropped_{way}"]] += 1
                    continue
                work.do(packet_ms)
                send(by, stamp(data), to)
                values[place[f"packets_{way}"]] += 1
                values[place["packet_ms"]] += packet_ms
            at = time.monotonic()
            if at - quota_at > _QUOTA_EVERY_S:
                quota, quota_at = own_quota_cores(), at
            values[place["quota_ms"]] += 1000.0 * (at - before) * min(quota, 1.0)
            values[place["at_s"]] = before = at
            if at - shown >= _SHOWN_EVERY_S:
                shown = at
                values[place["cpu_ms"]] = thread_time_ns() * 1e-6
                board.show()
