"""The data plane of all cells, slot by slot and packet by packet, as one compiled call.

Semantics (what `twin.reference` states again, packet by packet, on SimPy):

* A sender emits a datagram per UE and direction at a constant interval. Downlink: backhaul (FIFO serialisation,
  delay), CU, midhaul (the same), queue of the UE at the DU, slot, fronthaul and air. Uplink: queue of the UE, slot,
  midhaul, CU, backhaul, core. A link's noise is that of `twin.link_noise`.
* A DU handles one slot a ms, in order: slot n starts at s = max(n, end of the slot before). If s - n exceeds
  `skip_after_ms` it is skipped, and so are the next ones until s - n is at most `resync_ms` (the slot clock jumps).
  If s - n exceeds `deadline_ms` it costs `late_cost` of its demand and carries nothing. Otherwise grants are made for
  what is queued at s (downlink) and what is at least `ul_grant_ms` old at n (uplink); if the slot ends later than n +
  `deadline_ms` it is lost and the data stay queued. After a stall longer than 1 ms the next grants of each direction,
  one for each slot served among the last `inflight_slots` + 2 but at most `inflight_slots`, are HARQ retransmissions
  without new data. Downlink data are delivered at n + `dl_pipeline_ms` + fronthaul delay + 1 ms (the slot on the
  air) but not before the slot's processing ends, which is when uplink data leave for the CU.
* In lock-step (`twin.lock_step`) there are no slots that are late, skipped or lost, and no retransmissions after
  stalls. Slot k starts at s_k, uplink must be `ul_grant_ms` old at s_k, and downlink data of a slot that ends at e
  are delivered at max(s_k + `dl_pipeline_ms`, e) + fronthaul delay + 1 ms. The noise of its demand is that of ms
  floor(s_k).
* A CU works in order of arrival through packets of both directions of all its cells and, every ms, through its steady
  work (once, however many cells it has); at the same time steady work comes before downlink and that before uplink,
  and a cell before those of higher rows. What would wait longer than `buffer_ms` is lost: a packet is dropped, steady
  work is not made up for. The backhaul is the CU's, so its cells share the line; what a CU costs, its links' delay
  and its noise are those of its first cell.
* A queue of a UE has room until it holds `buffer_packets`, whether they may be granted yet or not; a packet that
  comes later is dropped. A packet leaves it at the end of the slot that carries its last bit.
* CFS: work runs at `parallelism` CPU-ms per ms and draws on a quota that is refilled every period and does not
  accumulate, but for a burst (`twin.cfs_burst`); work splits across periods. When the quota is used up everything
  waits for the next period, and each time that it does, `resume_ms` more is to be done in a DU.
* Outages, held variables, contention, changes of links: `twin.plane_compute`.

When things happen. A call moves the cells from one ms to another. A cell in real time with a CU of its own has
carried out, after a call up to T, all slots numbered below T, even where the last one starts or ends later; its CU
has taken what reached it by the start of the last slot. That is exact as long as nothing is changed at T, and what is
changed then takes effect from slot T on. There, what reaches the CU while a slot is being processed is not seen by
the DU's queue before that slot has ended. All other cells (lock-step, several cells to a CU) are moved event by
event, the beginning and the end of each slot being one: exactly what happens before T has happened after the call.

The functions run uncompiled too (`NUMBA_DISABLE_JIT=1`, or no numba) and then give the same numbers. CUs do not touch
each other, so the loop over them is outermost. All times in ms, all work in CPU-ms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.kernel_cu import drain_cu, next_downlink
from twin.kernel_jit import jit
from twin.kernel_layout import P_DU_FACTOR, P_FULL_DL, P_FULL_UL
from twin.kernel_queues import close_call
from twin.kernel_slot import begin, due, finish, skip

__all__ = ["advance_alone"]


@jit
def _cell(
    c: int, first: int, n_slots: int, follow: Any, par: Any, st: Any, counters: Any, p: Any, s: Any, k: Any, ue: Any,
    cnt: Any, sent: Any, ready: Any, pend: Any, f1: Any, hist: Any, give_dl: Any, give_ul: Any, line: Any, noise: Any,
    slow_du: Any, slow_cu: Any, back: int, log: Any, n_log: Any, radio: Any,
) -> None:  # fmt: skip
    packets = p[P_FULL_DL] == 0.0 or p[P_FULL_UL] == 0.0
    next_c, next_u, next_send, at_dl = next_downlink(c, follow, par, st, ue, line)
    for n in range(first, first + n_slots):
        a = float(n)
        start, skipped = due(a, p, s)
        if packets:
            next_c, next_u, next_send, at_dl = drain_cu(
                c,
                a if skipped else start,
                next_c,
                next_u,
                next_send,
                at_dl,
                first // 100,
                slow_cu,
                follow,
                par,
                st,
                counters,
                p,
                s,
                k,
                ue,
                pend,
                f1,
                hist,
                line,
                log,
                n_log,
            )
        if skipped:
            skip(a, p, s, k)
            continue
        factor = noise[c, n - first + back] * slow_du[c, n // 100 - (first - back) // 100] * p[P_DU_FACTOR]
        block = n // 100 - (first - back) // 100
        done, served = begin(c, a, start, factor, p, s, k, ue, cnt, sent, ready, f1, give_dl, give_ul, n, block, radio)
        if served:
            finish(
                c, n, a, done, p, s, k, ue, cnt, sent, ready, pend, f1, hist, give_dl, give_ul, line, log, n_log, radio
            )
    close_call(c, float(first + n_slots), n_slots, p, s, k, ue, cnt, sent)


@jit
def advance_alone(
    first: int, n_slots: int, cells: NDArray[np.int64], follow: NDArray[np.int64], par: NDArray[np.float64],
    st: NDArray[np.float64], counters: NDArray[np.float64], ue: NDArray[np.float64], cnt: NDArray[np.int64],
    sent: NDArray[np.float64], ready: NDArray[np.float64], pend: NDArray[np.float64], f1: NDArray[np.float64],
    hist: NDArray[np.int64], give: NDArray[np.int64], line: NDArray[np.float64], noise: NDArray[np.float64],
    slow_du: NDArray[np.float64], slow_cu: NDArray[np.float64], back: int, log: NDArray[np.float64],
    n_log: NDArray[np.int64], radio: tuple[NDArray[np.float64], ...] | None,
) -> None:  # fmt: skip
    """Move cells in real time that have a CU of their own from ms `first` on by `n_slots` ms, in place.

    Shapes, with g cells, u UEs, q places in a queue: cells (rows to move), follow (next cell of the same CU, -1: none)
    (g,), par (g, N_PAR), st (g, N_ST), counters (g, N_COUNTERS), ue (g, 2, u, N_UE), cnt (g, 2, u, N_CNT), sent (g, 2,
    u, q), ready (g, u, q), pend and f1 (g, places, 3), hist (g, 2, DELAY_BINS), give (g, 2, u), line (g, N_LINES,
    N_LINE), noise (g, n_slots + back), slow_du (g, blocks of 100 ms touched by these), slow_cu (g, those touched from
    `first` on with one block more on either side), log (g, 2, packets, 2) and n_log (g, 2). Noise begins `back` ms
    before `first`, for slots that begin late. `radio` is that of `twin.plane_radio`; without one the kernel is compiled
    without what it costs.
    """
    for c in cells:
        _cell(
            c,
            first,
            n_slots,
            follow,
            par,
            st,
            counters,
            par[c],
            st[c],
            counters[c],
            ue,
            cnt,
            sent,
            ready,
            pend,
            f1,
            hist,
            give[c, 0],
            give[c, 1],
            line,
            noise,
            slow_du,
            slow_cu,
            back,
            log,
            n_log,
            radio,
        )
