"""A CU: packets of both directions in order of arrival, each at its CPU cost, and steady work beside them."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns, thread_time_ns

from .counters import CU, Board
from .packets import HEADER, PASSED, PORT_DOWN, PORT_UP, Address, drain, open_socket, send, stamp
from .work import Work

__all__ = ["Cu", "own_quota_cores"]

_TICK_NS = 5_000_000
"""It wakes up so often, since waking up costs more CPU time than a packet."""
_CGROUP = Path("/sys/fs/cgroup")
_QUOTA_EVERY_S = 0.25

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
        base_ms = cost["base_share"] * _TICK_NS * 1e-6
        ways = ((self._from_core, self._from_du, self._du, "dl"), (self._from_du, self._from_core, self._core, "ul"))
        queues: tuple[Waiting, Waiting] = (deque(), deque())
        tick, quota, quota_at = monotonic_ns(), own_quota_cores(), before
        while goes_on():
            tick += _TICK_NS
            ahead = tick - monotonic_ns()
            if ahead > 0:
                time.sleep(ahead * 1e-9)
            if -ahead <= buffer_ns:  # steady work that could not be done in time is not made up for
                work.do(base_ms)
                values[place["base_ms"]] += base_ms
            for queue, (source, *_) in zip(queues, ways, strict=True):
                queue.extend((HEADER.unpack_from(data)[PASSED], data) for data in drain(source))
            # In the order of arrival also where it is behind: what came after this tick waits for the next one.
            while (row := _older(queues)) is not None and queues[row][0][0] <= tick:
                passed, data = queues[row].popleft()
                _, by, to, way = ways[row]
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
            values[place["cpu_ms"]] = thread_time_ns() * 1e-6
            board.show()
