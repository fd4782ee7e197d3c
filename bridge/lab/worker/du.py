"""A DU: a slot every ms in which packets are granted PRBs at the CPU cost of a real one.

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

__all__ = ["Du", "Grants", "Queue"]

_MS = 1e-6
"""ms in a ns."""
_SLOT_NS = 1_000_000
_SLOTS_A_WAKE = 2
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
        self._packets: deque[tuple[int, bytes]] = deque()
        self._sent_bits = 0
        self.bits = 0
        self.dropped = 0

    def put(self, data: bytes) -> None:
        """Take a packet, or drop it where there is no room."""
        if len(self._packets) >= self._most:
            self.dropped += 1
            return
        self._packets.append((HEADER.unpack_from(data)[ENTERED], data))
        self.bits += _bits(data)

    def old_bits(self, until_ns: int) -> int:
        """Return the bits of packets that entered by then."""
        total = 0
        for entered, data in self._packets:
            if entered > until_ns:
                break
            total += _bits(data)
        return total - self._sent_bits if total else 0

    def take(self, bits: int) -> list[bytes]:
        """Take so many bits; return the packets that are complete."""
        self.bits -= bits
        self._sent_bits += bits
        done = []
        while self._packets and self._sent_bits >= (size := _bits(self._packets[0][1])):
            self._sent_bits -= size
            done.append(self._packets.popleft()[1])
        return done


def _bits(data: bytes) -> int:
    return 8 * (len(data) - HEADER.size)


class Grants:
    """The grants of one direction: a whole number of PRBs for what waits, or a retransmission of the last one."""

    def __init__(self, bits_per_prb: float, cap_prb: float) -> None:
        self._bpp, self.cap = bits_per_prb, cap_prb
        self._most = int(int(cap_prb) * bits_per_prb)
        self._give = 0
        self._last, self._owed = 0.0, 0
        self.prb, self.blocks, self.again = 0.0, 0, 0

    def grant(self, waiting_bits: int) -> float:
        """Return the PRBs of this slot."""
        if self._owed:
            return self._last
        self._give = min(waiting_bits, self._most)
        return float(math.ceil(self._give / self._bpp)) if self._give > 0 else 0.0

    def carry(self, prb: float) -> int:
        """Count the grant, whose slot was in time; return how many bits of the queue went with it."""
        self.prb += prb
        if self._owed:
            self._owed -= 1
            self.again += 1
            return 0
        self._last = prb
        self.blocks += 1
        return self._give

    def lose(self, grants: int) -> None:
        """So many grants have to be sent again."""
        if self._last:
            self._owed += grants


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
        self._window = (1 << (self._inflight + 2)) - 1
        self._mask, self._jump = 0, False
        self._free = self._used = 0
        places = int(cell["buffer_packets"])
        self.down, self.up = Queue(places), Queue(places)

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Serve slots as long as it goes on."""
        first, slot = monotonic_ns(), 0
        self._free, self._used = first, thread_time_ns()
        self._values[_AT["started_s"]] = time.monotonic()
        while goes_on():
            # Waking up costs as much CPU time as a small slot, so it is done once for a few of them.
            ahead = first + (slot + _SLOTS_A_WAKE) * _SLOT_NS - monotonic_ns()
            if ahead > 0:
                time.sleep(ahead * 1e-9)
            for _ in range(_SLOTS_A_WAKE):
                slot += self._slot(first + (slot + 1) * _SLOT_NS)
            self._show()

    def _slot(self, due: int) -> int:
        """Serve the slot that was due then [ns]; return how many slots are over with it."""
        cost, values = self._cost, self._values
        late_ms = (max(monotonic_ns(), due) - due) * _MS
        values[_SLOTS] += 1
        if late_ms > (self._resync if self._jump else cost["skip_after_ms"]):
            gone = max(1, math.ceil(late_ms - self._resync))
            values[_SLOTS] += gone - 1
            values[_SKIPPED] += gone
            self._mask, self._jump = 0, True
            return gone
        self._jump = False
        if self._poll.poll(0):
            for data in drain(self._from_cu):
                self.down.put(data)
            for data in drain(self._from_ue):
                self.up.put(data)
        late = late_ms > cost["deadline_ms"]
        down = self._dl.grant(self.down.bits)
        up = self._ul.grant(self.up.old_bits(due - self._grant_ns))
        demand = cost["base_ms"]
        if down:
            demand += cost["dl_fixed_ms"] + cost["dl_full_ms"] * down / self._n_prb
        if up:
            demand += cost["ul_fixed_ms"] + cost["ul_full_ms"] * up / self._n_prb
        demand *= self._chance.next() * (cost["late_cost"] if late else 1.0)
        self._work.do(demand)
        done, used = monotonic_ns(), thread_time_ns()
        # What passed since the slot could begin and was not CPU time of ours was waiting for the CPU.
        stall_ms = (done - max(due, self._free) - used + self._used) * _MS
        if stall_ms > _STALL_MS:
            values[_STALL] += stall_ms
            values[_STALLS] += 1
            lost = min(self._mask.bit_count(), self._inflight)
            self._dl.lose(lost)
            self._ul.lose(lost)
            self._mask = 0
            demand += cost["resume_ms"]
            self._work.do(cost["resume_ms"])
            done, used = monotonic_ns(), thread_time_ns()
        values[_WORK] += demand
        self._free, self._used = done, used
        if late or (done - due) * _MS > cost["deadline_ms"]:
            values[_LATE] += 1
            self._mask = (self._mask << 1) & self._window
            return 1
        self._mask = ((self._mask << 1) | 1) & self._window
        values[_OK] += 1
        if down and (bits := self._dl.carry(down)):
            for data in self.down.take(bits):
                send(self._from_cu, stamp(data), self._ue)
        if up and (bits := self._ul.carry(up)):
            for data in self.up.take(bits):
                send(self._from_ue, stamp(data), self._cu)
        return 1

    def _show(self) -> None:
        values = self._values
        values[_AT["at_s"]] = time.monotonic()
        values[_AT["cpu_ms"]] = self._used * _MS
        for way, queue, grants in (("dl", self.down, self._dl), ("ul", self.up, self._ul)):
            values[_AT[f"backlog_bits_{way}"]] = float(queue.bits)
            values[_AT[f"dropped_{way}"]] = float(queue.dropped)
            values[_AT[f"prb_used_{way}"]] = grants.prb
            values[_AT[f"prb_available_{way}"]] = grants.cap * values[_OK]
            values[_AT[f"tb_{way}"]], values[_AT[f"retx_{way}"]] = float(grants.blocks), float(grants.again)
        self._board.show()
