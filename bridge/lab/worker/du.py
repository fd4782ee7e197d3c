"""A DU: slots of 1 ms, four at a time, in which packets are granted PRBs at the CPU cost of a real one.

It does with real CPU time and real packets what the twin's data plane says a DU does (radio mode `rt`): a slot that is
not finished in time carries nothing and its data stay queued, one that is late before it begins costs less, after a
long stall the slot clock jumps, and the first grants after a stall are retransmissions. Whether and how long it
stalls is up to the kernel.
"""

from __future__ import annotations

import math
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns, thread_time_ns

from .counters import DU, Board
from .packets import ENTERED, HEADER, PORT_DOWN, PORT_UP, Address, drain, open_socket, send, stamp
from .work import Chance, Work

__all__ = ["FRAME", "Du", "Grants", "Queue"]

FRAME = 4
"""Slots that are served together."""

_MS = 1e-6
"""ms in a ns."""
_SLOT_NS = 1_000_000
_NEVER_NS = 1 << 62
_AT = {name: place for place, name in enumerate(DU)}
_SLOTS, _LATE, _SKIPPED, _OK = (_AT[name] for name in ("slots", "late", "skipped", "ok"))
_WORK, _STALL, _STALLS = (_AT[name] for name in ("work_ms", "stall_ms", "stalls"))
_STALL_MS = 4.0
"""A slot that took so much longer than its CPU time was interrupted long enough to lose feedback of the slots before;
shorter ones are the turn of another program (one tick of a kernel with 250 Hz)."""


class Queue:
    """Packets of one direction. A packet leaves with its last bit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._young: deque[tuple[int, bytes]] = deque()
        self._ready: deque[bytes] = deque()
        self._sent_bits = 0
        self.bits = self.ready_bits = 0
        """Of all packets, and of those that may be granted."""
        self.dropped = 0

    def put(self, data: bytes) -> None:
        """Take a packet, or drop it where there is no room."""
        if len(self._young) + len(self._ready) >= self._most:
            self.dropped += 1
            return
        self._young.append((HEADER.unpack_from(data)[ENTERED], data))
        self.bits += _bits(data)

    def ripen(self, until_ns: int) -> None:
        """Let packets that entered by then be granted."""
        young = self._young
        while young and young[0][0] <= until_ns:
            data = young.popleft()[1]
            self._ready.append(data)
            self.ready_bits += _bits(data)

    def take(self, bits: int) -> list[bytes]:
        """Take so many ready bits; return the packets that are complete."""
        self.bits -= bits
        self.ready_bits -= bits
        self._sent_bits += bits
        done = []
        while self._ready and self._sent_bits >= (size := _bits(self._ready[0])):
            self._sent_bits -= size
            done.append(self._ready.popleft())
        return done


def _bits(data: bytes) -> int:
    return 8 * (len(data) - HEADER.size)


class Grants:
    """The grants of one direction in a frame of `FRAME` slots: what waits, after what has to be sent again."""

    def __init__(self, bits_per_prb: float, cap_prb: float) -> None:
        self._bpp, self.cap = bits_per_prb, cap_prb
        self._most = int(int(cap_prb) * bits_per_prb)
        self._last, self._owed, self._again = 0.0, 0, 0
        self.give = 0
        """Bits that the grant made last takes from the queue."""
        self.prb, self.blocks, self.retransmitted = 0.0, 0, 0

    def grant(self, waiting_bits: int) -> tuple[int, float]:
        """Return how many slots of the frame carry a grant, and their PRBs together."""
        again = self._again = min(self._owed, FRAME)
        most = self._most
        give = self.give = min(waiting_bits, most * (FRAME - again))
        if give <= 0:
            return again, again * self._last
        full, rest = divmod(give, most)
        prb = full * float(int(self.cap)) + math.ceil(rest / self._bpp)
        return again + full + (rest > 0), again * self._last + prb

    def carry(self, slots: int, prb: float) -> None:
        """Count the grants of a frame that was in time."""
        self.prb += prb
        self._owed -= self._again
        self.retransmitted += self._again
        new = slots - self._again
        if new:
            self.blocks += new
            self._last = (prb - self._again * self._last) / new

    def lose(self, slots: int) -> None:
        """So many grants have to be sent again."""
        if self._last:
            self._owed += slots


class Du:
    """The process. `cost` and `cell` are the numbers of the DU's cost curve and of its cell (docs/lab.md)."""

    def __init__(
        self, cost: Mapping[str, float], cell: Mapping[str, float], ue: Address, cu: Address, counters: Path, seed: int
    ) -> None:
        self._cost = dict(cost)
        self._ue, self._cu = ue, cu
        self._board = Board(counters, DU)
        self._values = self._board.values
        self._chance, self._work = Chance(cost["slot_cv"], seed), Work()
        self._from_ue, self._from_cu = open_socket(PORT_UP), open_socket(PORT_DOWN)
        self._poll = select.poll()
        for source in (self._from_ue, self._from_cu):
            self._poll.register(source, select.POLLIN)
        self._n_prb = cell["n_prb"]
        self._dl = Grants(cell["bits_per_prb_dl"], cell["cap_prb_dl"])
        self._ul = Grants(cell["bits_per_prb_ul"], cell["cap_prb_ul"])
        self._grant_ns = int(cell["ul_grant_ms"] * 1e6)
        self._resync = min(cost["resync_ms"], cost["skip_after_ms"])
        self._inflight = int(cost["inflight_slots"])
        self._served, self._jump = 0, False
        self._free = self._used = 0
        places = int(cell["buffer_packets"])
        self.down, self.up = Queue(places), Queue(places)

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Serve slots as long as it goes on, a frame at a time: waking up costs more CPU time than a small slot."""
        first, slot = monotonic_ns(), 0
        self._free, self._used = first, thread_time_ns()
        self._values[_AT["started_s"]] = time.monotonic()
        while goes_on():
            due = first + (slot + FRAME) * _SLOT_NS
            ahead = due - monotonic_ns()
            if ahead > 0:
                time.sleep(ahead * 1e-9)
            slot += self._frame(due)
            self._show()

    def _frame(self, due: int) -> int:
        """Serve the slots of the frame whose last one was due then [ns]; return how many slots are over with it."""
        cost, values = self._cost, self._values
        late_ms = (monotonic_ns() - due) * _MS
        values[_SLOTS] += FRAME
        if late_ms > (self._resync if self._jump else cost["skip_after_ms"]):
            gone = max(FRAME, math.ceil(late_ms - self._resync))
            values[_SLOTS] += gone - FRAME
            values[_SKIPPED] += gone
            self._served, self._jump = 0, True
            return gone
        self._jump = False
        if self._poll.poll(0):
            for data in drain(self._from_cu):
                self.down.put(data)
            for data in drain(self._from_ue):
                self.up.put(data)
        self.down.ripen(_NEVER_NS)
        self.up.ripen(due - self._grant_ns)
        late = late_ms > cost["deadline_ms"]
        n_dl, prb_dl = self._dl.grant(self.down.ready_bits)
        n_ul, prb_ul = self._ul.grant(self.up.ready_bits)
        demand = FRAME * cost["base_ms"] + n_dl * cost["dl_fixed_ms"] + n_ul * cost["ul_fixed_ms"]
        demand += (cost["dl_full_ms"] * prb_dl + cost["ul_full_ms"] * prb_ul) / self._n_prb
        demand *= self._chance.next() * (cost["late_cost"] if late else 1.0)
        self._work.do(demand)
        done, used = monotonic_ns(), thread_time_ns()
        # What passed since the frame could begin and was not CPU time of ours was waiting for the CPU.
        stall_ms = (done - max(due, self._free) - used + self._used) * _MS
        if stall_ms > _STALL_MS:
            values[_STALL] += stall_ms
            values[_STALLS] += 1
            lost = min(self._served, self._inflight)
            self._dl.lose(lost)
            self._ul.lose(lost)
            self._served = 0
            demand += cost["resume_ms"]
            self._work.do(cost["resume_ms"])
            done, used = monotonic_ns(), thread_time_ns()
        values[_WORK] += demand
        self._free, self._used = done, used
        if late or (done - due) * _MS > cost["deadline_ms"]:
            values[_LATE] += FRAME
            self._served = 0
            return FRAME
        self._served = FRAME
        values[_OK] += FRAME
        if n_dl:
            self._dl.carry(n_dl, prb_dl)
            for data in self.down.take(self._dl.give):
                send(self._from_cu, stamp(data), self._ue)
        if n_ul:
            self._ul.carry(n_ul, prb_ul)
            for data in self.up.take(self._ul.give):
                send(self._from_ue, stamp(data), self._cu)
        return FRAME

    def _show(self) -> None:
        values = self._values
        values[_AT["at_s"]] = time.monotonic()
        values[_AT["cpu_ms"]] = self._used * _MS
        for way, queue, grants in (("dl", self.down, self._dl), ("ul", self.up, self._ul)):
            values[_AT[f"backlog_bits_{way}"]] = float(queue.bits)
            values[_AT[f"dropped_{way}"]] = float(queue.dropped)
            values[_AT[f"prb_used_{way}"]] = grants.prb
            values[_AT[f"prb_available_{way}"]] = grants.cap * values[_OK]
            values[_AT[f"tb_{way}"]], values[_AT[f"retx_{way}"]] = float(grants.blocks), float(grants.retransmitted)
        self._board.show()
