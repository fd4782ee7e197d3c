"""The data plane of all cells, slot by slot and packet by packet, as one compiled call.

Semantics (what `twin.reference` states again, packet by packet, on SimPy):

* A sender emits a datagram per UE and direction at a constant interval. Downlink: backhaul (FIFO serialisation, delay),
  CU, midhaul (the same), queue of the UE at the DU, slot, fronthaul and air. Uplink: queue of the UE, slot, midhaul,
  CU, backhaul, core.
* A DU handles one slot a ms, in order: slot n starts at s = max(n, end of the slot before). If s - n exceeds
  `skip_after_ms` it is skipped, and so are the next ones until s - n is at most `resync_ms` (the slot clock jumps).
  If s - n exceeds `deadline_ms` it costs `late_cost` of its demand and carries nothing.
  Otherwise grants are made for what is queued at s (downlink) and what is at least `ul_grant_ms` old at n (uplink);
  if the slot ends later than n + `deadline_ms` it is lost and the data stay queued. After a stall longer than 1 ms
  the next grants of each direction, one for each slot served among the last `inflight_slots` + 2 but at most
  `inflight_slots`, are HARQ retransmissions without new data.
* A CU works in order of arrival through packets of both directions and, every ms, through its steady work. What would
  wait longer than `buffer_ms` is lost: a packet is dropped, steady work is not made up for.
* A queue of a UE has room until it holds `buffer_packets`, whether they may be granted yet or not; a packet that comes
  later is dropped. A packet leaves it at the end of the slot that carries its last bit.
* CFS: work runs at `parallelism` CPU-ms per ms and draws on a quota that is refilled every period and does not
  accumulate; work splits across periods. When the quota is used up everything waits for the next period, and each
  time that it does, `resume_ms` more is to be done in a DU.

The functions run uncompiled too (`NUMBA_DISABLE_JIT=1`, or no numba) and then give the same numbers. Cells do not
touch each other, so the loop over them is outermost. All times in ms, all work in CPU-ms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.kernel_cfs import serve
from twin.kernel_cu import drain_cu, next_downlink
from twin.kernel_jit import jit
from twin.kernel_layout import (
    C_IN,
    C_READY,
    K_AVL_DL,
    K_AVL_UL,
    K_CGROUP_DU,
    K_CPU_DU,
    K_DEL_DL,
    K_DEL_UL,
    K_LATE,
    K_OFF_DL,
    K_OK,
    K_PRB_DL,
    K_PRB_UL,
    K_RETX_DL,
    K_RETX_UL,
    K_SKIP,
    K_SLOTS,
    K_STALL_DU,
    K_TB_DL,
    K_TB_UL,
    K_THR_DU,
    P_BASE,
    P_BITS,
    P_BPP_DL,
    P_BPP_UL,
    P_CAP_DL,
    P_CAP_UL,
    P_DEADLINE,
    P_DL_PIPE,
    P_DLF,
    P_DLS,
    P_DU_FACTOR,
    P_DU_PAR,
    P_DU_QUOTA,
    P_FH,
    P_FULL_DL,
    P_FULL_UL,
    P_INFLIGHT,
    P_LATE,
    P_NPRB,
    P_NUE,
    P_PERIOD,
    P_RESUME,
    P_RESYNC,
    P_SECOND,
    P_SKIP,
    P_UL_GRANT,
    P_ULF,
    P_ULS,
    S_AHEAD_DL,
    S_DU_END,
    S_DU_FLAG,
    S_DU_FREE,
    S_DU_LEFT,
    S_JUMP,
    S_LAST_DL,
    S_LAST_UL,
    S_MASK,
    S_RETX_DL,
    S_RETX_UL,
    S_RR,
)  # fmt: skip
from twin.kernel_mac import grant, send
from twin.kernel_queues import admit_downlink, admit_uplink, sent_ahead

__all__ = ["advance_cells"]


@jit
def _cell(
    c: int, first: int, n_slots: int, p: Any, s: Any, k: Any, ue: Any, cnt: Any, sent: Any, ready: Any, pend: Any,
    f1: Any, hist: Any,
    noise: Any, slow_du: Any, slow_cu: Any, log: Any, n_log: Any,
) -> None:  # fmt: skip
    n_ue = int(p[P_NUE])
    ring = sent.shape[3] - 1
    cap_dl = p[P_CAP_DL]
    cap_ul = p[P_CAP_UL]
    n_prb = p[P_NPRB]
    packets = p[P_FULL_DL] == 0.0 or p[P_FULL_UL] == 0.0
    give_dl = np.zeros(n_ue, dtype=np.int64)
    give_ul = np.zeros(n_ue, dtype=np.int64)
    mask = int(s[S_MASK])
    window = (1 << (int(p[P_INFLIGHT]) + 2)) - 1
    next_u, next_send, at_dl = next_downlink(c, n_ue, p, s, ue)
    for i in range(n_slots):
        a = float(first + i)
        block = (first + i) // 100 - first // 100
        start = max(a, s[S_DU_FREE])
        k[K_SLOTS] += 1.0
        skipped = start - a > (p[P_RESYNC] if s[S_JUMP] != 0.0 else p[P_SKIP])
        s[S_JUMP] = 1.0 if skipped else 0.0
        if packets:
            until = a if skipped else start
            next_u, next_send, at_dl = drain_cu(
                c,
                until,
                next_u,
                next_send,
                at_dl,
                first // 100,
                slow_cu,
                p,
                s,
                k,
                ue,
                pend,
                f1,
                hist,
                log,
                n_log,
            )
        if skipped:
            k[K_SKIP] += 1.0
            mask = (mask << 1) & window
            continue
        if packets:
            admit_downlink(c, start, p, s, k, cnt, sent, ready, f1)
            admit_uplink(c, start, p, k, ue, cnt, sent)
        late = start - a > p[P_DEADLINE]
        prb_dl = 0.0
        prb_ul = 0.0
        retx_dl = s[S_RETX_DL] > 0.0
        retx_ul = s[S_RETX_UL] > 0.0
        if cap_dl > 0.0:
            if retx_dl:
                prb_dl = s[S_LAST_DL]
            elif p[P_FULL_DL] != 0.0:
                prb_dl = cap_dl
            else:
                prb_dl = grant(c, 0, start, cap_dl, p, s, cnt, sent, ready, give_dl)
        if cap_ul > 0.0:
            if retx_ul:
                prb_ul = s[S_LAST_UL]
            elif p[P_FULL_UL] != 0.0:
                prb_ul = cap_ul
            else:
                for u in range(n_ue):
                    while (
                        cnt[c, 1, u, C_READY] < cnt[c, 1, u, C_IN]
                        and sent[c, 1, u, cnt[c, 1, u, C_READY] & ring] <= a - p[P_UL_GRANT]
                    ):
                        cnt[c, 1, u, C_READY] += 1
                prb_ul = grant(c, 1, a, cap_ul, p, s, cnt, sent, ready, give_ul)
        work = p[P_BASE]
        if prb_dl > 0.0:
            work += p[P_DLF] + p[P_DLS] * prb_dl / n_prb
        if prb_ul > 0.0:
            work += p[P_ULF] + p[P_ULS] * prb_ul / n_prb
        work *= noise[c, i] * slow_du[c, block] * p[P_DU_FACTOR]
        if late:
            work *= p[P_LATE]
        stall = 0.0
        done = start + work / p[P_DU_PAR]
        if done <= s[S_DU_END] and work <= s[S_DU_LEFT]:
            s[S_DU_LEFT] -= work
        else:
            done, s[S_DU_END], s[S_DU_LEFT], s[S_DU_FLAG], stall, cgroup, periods, more = serve(
                start,
                work,
                p[P_DU_PAR],
                p[P_DU_QUOTA],
                p[P_PERIOD],
                s[S_DU_END],
                s[S_DU_LEFT],
                s[S_DU_FLAG],
                p[P_SECOND],
                p[P_RESUME],
            )
            work += more
            k[K_STALL_DU] += stall
            k[K_CGROUP_DU] += cgroup
            k[K_THR_DU] += periods
        s[S_DU_FREE] = done
        k[K_CPU_DU] += work
        if stall > 1.0:
            inflight = 0
            m = mask
            for _ in range(int(p[P_INFLIGHT]) + 2):
                inflight += m & 1
                m >>= 1
            inflight = min(inflight, int(p[P_INFLIGHT]))
            if cap_dl > 0.0 and s[S_LAST_DL] > 0.0:
                s[S_RETX_DL] += inflight
            if cap_ul > 0.0 and s[S_LAST_UL] > 0.0:
                s[S_RETX_UL] += inflight
            mask = 0
        if late or done - a > p[P_DEADLINE]:
            k[K_LATE] += 1.0
            mask = (mask << 1) & window
            continue
        mask = ((mask << 1) | 1) & window
        k[K_OK] += 1.0
        k[K_AVL_DL] += cap_dl
        k[K_AVL_UL] += cap_ul
        if prb_dl > 0.0:
            k[K_PRB_DL] += prb_dl
            if retx_dl:
                s[S_RETX_DL] -= 1.0
                k[K_RETX_DL] += 1.0
            else:
                s[S_LAST_DL] = prb_dl
                k[K_TB_DL] += 1.0
                if p[P_FULL_DL] != 0.0:
                    k[K_DEL_DL] += prb_dl * p[P_BPP_DL]
                else:
                    # A queue is as long as it is until the slot ends: what comes before that may find it full.
                    admit_downlink(c, done, p, s, k, cnt, sent, ready, f1)
                    at = a + p[P_DL_PIPE] + p[P_FH] + 1.0
                    send(c, 0, at, p, s, k, ue, cnt, sent, pend, hist, give_dl, log, n_log)
        if prb_ul > 0.0:
            k[K_PRB_UL] += prb_ul
            if retx_ul:
                s[S_RETX_UL] -= 1.0
                k[K_RETX_UL] += 1.0
            else:
                s[S_LAST_UL] = prb_ul
                k[K_TB_UL] += 1.0
                if p[P_FULL_UL] != 0.0:
                    k[K_DEL_UL] += prb_ul * p[P_BPP_UL]
                else:
                    admit_uplink(c, done, p, k, ue, cnt, sent)
                    send(c, 1, done, p, s, k, ue, cnt, sent, pend, hist, give_ul, log, n_log)
        s[S_RR] = s[S_RR] + 1.0 if s[S_RR] + 1.0 < n_ue else 0.0
    s[S_MASK] = mask
    # Load is what was sent by the end of the call, whatever the DU was doing then.
    for way in range(2):
        ahead = sent_ahead(c, way, float(first + n_slots), p, ue)
        k[K_OFF_DL + way] += (s[S_AHEAD_DL + way] - ahead) * p[P_BITS]
        s[S_AHEAD_DL + way] = ahead


@jit
def advance_cells(
    first: int, n_slots: int, par: NDArray[np.float64], st: NDArray[np.float64], counters: NDArray[np.float64],
    ue: NDArray[np.float64], cnt: NDArray[np.int64], sent: NDArray[np.float64], ready: NDArray[np.float64],
    pend: NDArray[np.float64], f1: NDArray[np.float64], hist: NDArray[np.int64], noise: NDArray[np.float64],
    slow_du: NDArray[np.float64], slow_cu: NDArray[np.float64], log: NDArray[np.float64], n_log: NDArray[np.int64],
) -> None:  # fmt: skip
    """Move all cells from slot `first` over `n_slots` slots, in place.

    Shapes, with g cells, u UEs, q places in a queue: par (g, N_PAR), st (g, N_ST), counters (g, N_COUNTERS), ue (g,
    2, u, N_UE), cnt (g, 2, u, N_CNT), sent (g, 2, u, q), ready (g, u, q), pend and f1 (g, places, 3),
    hist (g, 2, DELAY_BINS), noise (g, n_slots), slow_du (g, blocks of 100 slots touched), slow_cu (the same with one
    block more on either side), log (g, 2, packets, 2) and
    n_log (g, 2).
    """
    for c in range(par.shape[0]):
        _cell(
            c,
            first,
            n_slots,
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
            noise,
            slow_du,
            slow_cu,
            log,
            n_log,
        )
