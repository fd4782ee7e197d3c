"""The CU: packets of both directions and steady work, in order of arrival, of all the cells that hang on it.

The state of a CU, its quota and what it counts stand in the rows of its first cell `h`; `follow` leads from each cell
of the CU to the next one (-1: none).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twin.kernel_cfs import serve
from twin.kernel_jit import inlined
from twin.kernel_layout import (
    K_CPU_CU,
    K_CU_BASE,
    K_CU_PACKETS,
    K_CU_PKT,
    K_CU_SOJOURN,
    K_DROP_CU_DL,
    K_DROP_DL,
    K_DROP_LINK_DL,
    K_DROP_LINK_UL,
    K_DROP_UL,
    K_OFF_DL,
    K_STALL_CU,
    K_THR_CU,
    L_ON,
    LINE_BH_DL,
    LINE_BH_UL,
    LINE_MH_DL,
    P_BH,
    P_BH_SER,
    P_BITS,
    P_BURST_CU,
    P_CU_BASE,
    P_CU_BUF,
    P_CU_FACTOR,
    P_CU_PAR,
    P_CU_PKT,
    P_CU_QUOTA,
    P_HOLD_CU_STALL,
    P_HOLD_CU_WORK,
    P_KEY,
    P_MH,
    P_MH_SER,
    P_NUE,
    P_PERIOD,
    S_BH_DL,
    S_BH_UL,
    S_CU_END,
    S_CU_FLAG,
    S_CU_FREE,
    S_CU_FROM,
    S_CU_LEFT,
    S_CU_UNTIL,
    S_DOWN,
    S_F1_TAIL,
    S_MH_DL,
    S_PEND_HEAD,
    S_PEND_TAIL,
    S_TICK,
    U_NEXT,
)  # fmt: skip
from twin.kernel_links import cross
from twin.kernel_queues import deliver, emit

__all__ = ["drain_cu", "next_downlink"]


@inlined
def next_downlink(h: int, follow: Any, par: Any, st: Any, ue: Any, line: Any) -> tuple[int, int, float, float]:
    """Return which cell's and UE's packet the core sends next, when it is sent and when it reaches the CU.

    A packet that the backhaul will lose reaches it when it is sent.
    """
    next_c = h
    next_u = 0
    next_send = np.inf
    d = h
    while d >= 0:
        for v in range(int(par[d, P_NUE])):
            if ue[d, 0, v, U_NEXT] < next_send:
                next_send = ue[d, 0, v, U_NEXT]
                next_u = v
                next_c = d
        d = follow[d]
    ser = par[next_c, P_BH_SER]
    at = max(next_send, st[h, S_BH_DL]) + ser + par[h, P_BH]
    if line[h, LINE_BH_DL, L_ON] != 0.0 and next_send < np.inf:
        free = st[h, S_BH_DL]
        at, _ = cross(line[h, LINE_BH_DL], par[h, P_KEY], 8 * LINE_BH_DL, next_send, free, ser, par[h, P_BH], True)
        at = max(at, next_send)
    return next_c, next_u, next_send, at


@inlined
def drain_cu(
    h: int, until: float, next_c: int, next_u: int, next_send: float, at_dl: float, block0: int, slow: Any, follow: Any,
    par: Any, st: Any, counters: Any, p: Any, s: Any, k: Any, ue: Any, pend: Any, f1: Any, hist: Any, line: Any,
    log: Any, n_log: Any,
) -> tuple[int, int, float, float]:  # fmt: skip
    """Let the CU take everything that reaches it by `until`.

    Steady work, downlink from the backhaul, uplink from the DUs; `p`, `s` and `k` are the rows of `h`. Returns the next
    downlink packet (cell, UE, sent, at the CU).
    """
    pending = pend.shape[1] - 1
    blocks = slow.shape[1] - 1
    stand = max(p[P_HOLD_CU_STALL], 0.0)
    while True:
        at_ul = np.inf
        c = h
        d = h
        while d >= 0:
            if st[d, S_PEND_HEAD] < st[d, S_PEND_TAIL]:
                head_at = pend[d, int(st[d, S_PEND_HEAD]) & pending, 0]
                if head_at < at_ul:
                    at_ul = head_at
                    c = d
            d = follow[d]
        at = s[S_TICK]
        kind = 0
        if at_dl < at:
            at = at_dl
            kind = 1
        if at_ul < at:
            at = at_ul
            kind = 2
        if at > until:
            return next_c, next_u, next_send, at_dl
        block = min(int(at) // 100 - block0 + 1, blocks)
        work = (p[P_CU_BASE] if kind == 0 else p[P_CU_PKT]) * p[P_CU_FACTOR] * slow[h, block]
        u = 0
        sent_at = 0.0
        if kind == 0:
            s[S_TICK] += 1.0
        elif kind == 1:
            c = next_c
            u = next_u
            sent_at = next_send
            reached = at
            if line[h, LINE_BH_DL, L_ON] == 0.0:
                s[S_BH_DL] = max(next_send, s[S_BH_DL]) + par[c, P_BH_SER]
            else:
                reached, s[S_BH_DL] = cross(
                    line[h, LINE_BH_DL], p[P_KEY], 8 * LINE_BH_DL, sent_at, s[S_BH_DL], par[c, P_BH_SER], p[P_BH], False
                )
            counters[c, K_OFF_DL] += par[c, P_BITS]
            emit(c, 0, u, ue)
            next_c, next_u, next_send, at_dl = next_downlink(h, follow, par, st, ue, line)
            if reached < 0.0:
                counters[c, K_DROP_DL] += 1.0
                counters[c, K_DROP_LINK_DL] += 1.0
                continue
        else:
            head = int(st[c, S_PEND_HEAD]) & pending
            sent_at = pend[c, head, 1]
            u = int(pend[c, head, 2])
            st[c, S_PEND_HEAD] += 1.0
        if s[S_CU_FREE] - at > p[P_CU_BUF] or (at < s[S_CU_UNTIL] and at >= s[S_CU_FROM]):
            if kind != 0:
                counters[c, K_DROP_DL + kind - 1] += 1.0
                counters[c, K_DROP_CU_DL + kind - 1] += 1.0
            continue
        start = max(at, s[S_CU_FREE])
        asked = work
        if p[P_HOLD_CU_WORK] > 0.0:  # all of it is steady then, whatever packets ask for
            work = p[P_HOLD_CU_WORK] if kind == 0 else 0.0
        done = start + work / p[P_CU_PAR]
        if done <= s[S_CU_END] - stand and work <= s[S_CU_LEFT]:
            s[S_CU_LEFT] -= work
        else:
            done, s[S_CU_END], s[S_CU_LEFT], s[S_CU_FLAG], stall, _, periods, _ = serve(
                start,
                work,
                p[P_CU_PAR],
                p[P_CU_QUOTA] if p[P_HOLD_CU_STALL] < 0.0 else np.inf,
                p[P_PERIOD],
                s[S_CU_END],
                s[S_CU_LEFT],
                s[S_CU_FLAG],
                np.inf,
                0.0,
                p[P_BURST_CU],
                stand,
            )
            k[K_STALL_CU] += stall
            k[K_THR_CU] += periods
        s[S_CU_FREE] = done
        k[K_CPU_CU] += work
        if kind == 0:
            k[K_CU_BASE] += asked
            continue
        k[K_CU_PKT] += asked
        k[K_CU_SOJOURN] += done - at
        k[K_CU_PACKETS] += 1.0
        if kind == 1:
            if line[c, LINE_MH_DL, L_ON] == 0.0:
                st[c, S_MH_DL] = max(done, st[c, S_MH_DL]) + par[c, P_MH_SER]
                reached = st[c, S_MH_DL] + par[c, P_MH]
            else:
                reached, st[c, S_MH_DL] = cross(
                    line[c, LINE_MH_DL], par[c, P_KEY], 8 * LINE_MH_DL, done, st[c, S_MH_DL], par[c, P_MH_SER],
                    par[c, P_MH], False
                )  # fmt: skip
            if reached < st[c, S_DOWN]:  # lost on the way, or nobody there to take it
                counters[c, K_DROP_DL] += 1.0
                counters[c, K_DROP_LINK_DL] += 1.0 if reached < 0.0 else 0.0
                continue
            place = int(st[c, S_F1_TAIL]) & pending
            f1[c, place, 0] = reached
            f1[c, place, 1] = sent_at
            f1[c, place, 2] = u
            st[c, S_F1_TAIL] += 1.0
        else:
            if line[h, LINE_BH_UL, L_ON] == 0.0:
                s[S_BH_UL] = max(done, s[S_BH_UL]) + par[c, P_BH_SER]
                reached = s[S_BH_UL] + p[P_BH]
            else:
                reached, s[S_BH_UL] = cross(
                    line[h, LINE_BH_UL], p[P_KEY], 8 * LINE_BH_UL, done, s[S_BH_UL], par[c, P_BH_SER], p[P_BH], False
                )
                if reached < 0.0:
                    counters[c, K_DROP_UL] += 1.0
                    counters[c, K_DROP_LINK_UL] += 1.0
                    continue
            deliver(c, 1, u, sent_at, reached, ue, counters[c], hist, par[c, P_BITS], log, n_log)
