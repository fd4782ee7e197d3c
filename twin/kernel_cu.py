"""The CU: packets of both directions and steady work, in order of arrival."""

from __future__ import annotations

from typing import Any

import numpy as np

from twin.kernel_cfs import serve
from twin.kernel_jit import inlined
from twin.kernel_layout import (
    K_CPU_CU,
    K_CU_BASE,
    K_CU_PKT,
    K_DROP_DL,
    K_OFF_DL,
    K_STALL_CU,
    K_THR_CU,
    P_BH,
    P_BH_SER,
    P_BITS,
    P_CU_BASE,
    P_CU_BUF,
    P_CU_FACTOR,
    P_CU_PAR,
    P_CU_PKT,
    P_CU_QUOTA,
    P_IV_DL,
    P_MH,
    P_MH_SER,
    P_NUE,
    P_PERIOD,
    S_BH_DL,
    S_BH_UL,
    S_CU_END,
    S_CU_FLAG,
    S_CU_FREE,
    S_CU_LEFT,
    S_F1_TAIL,
    S_MH_DL,
    S_PEND_HEAD,
    S_PEND_TAIL,
    S_TICK,
    U_NEXT,
)  # fmt: skip
from twin.kernel_queues import deliver

__all__ = ["drain_cu", "next_downlink"]


@inlined
def next_downlink(c: int, n_ue: int, p: Any, s: Any, ue: Any) -> tuple[int, float, float]:
    """Return which UE's packet the core sends next, when it is sent and when it reaches the CU."""
    next_u = 0
    next_send = np.inf
    for v in range(n_ue):
        if ue[c, 0, v, U_NEXT] < next_send:
            next_send = ue[c, 0, v, U_NEXT]
            next_u = v
    return next_u, next_send, max(next_send, s[S_BH_DL]) + p[P_BH_SER] + p[P_BH]


@inlined
def drain_cu(
    c: int, until: float, next_u: int, next_send: float, at_dl: float, block0: int, slow: Any, p: Any, s: Any, k: Any,
    ue: Any, pend: Any, f1: Any, hist: Any, log: Any, n_log: Any,
) -> tuple[int, float, float]:  # fmt: skip
    """Let the CU take everything that reaches it by `until`.

    Steady work, downlink from the backhaul, uplink from the DU; returns the next downlink packet (UE, sent, at the CU).
    """
    n_ue = int(p[P_NUE])
    pending = pend.shape[1] - 1
    blocks = slow.shape[1] - 1
    while True:
        at_ul = np.inf
        if s[S_PEND_HEAD] < s[S_PEND_TAIL]:
            at_ul = pend[c, int(s[S_PEND_HEAD]) & pending, 0]
        at = s[S_TICK]
        kind = 0
        if at_dl < at:
            at = at_dl
            kind = 1
        if at_ul < at:
            at = at_ul
            kind = 2
        if at > until:
            return next_u, next_send, at_dl
        block = min(int(at) // 100 - block0 + 1, blocks)
        work = (p[P_CU_BASE] if kind == 0 else p[P_CU_PKT]) * p[P_CU_FACTOR] * slow[c, block]
        u = 0
        sent_at = 0.0
        if kind == 0:
            s[S_TICK] += 1.0
        elif kind == 1:
            u = next_u
            sent_at = next_send
            s[S_BH_DL] = max(next_send, s[S_BH_DL]) + p[P_BH_SER]
            k[K_OFF_DL] += p[P_BITS]
            ue[c, 0, u, U_NEXT] += p[P_IV_DL]
            next_u, next_send, at_dl = next_downlink(c, n_ue, p, s, ue)
        else:
            head = int(s[S_PEND_HEAD]) & pending
            sent_at = pend[c, head, 1]
            u = int(pend[c, head, 2])
            s[S_PEND_HEAD] += 1.0
        if s[S_CU_FREE] - at > p[P_CU_BUF]:
            if kind != 0:
                k[K_DROP_DL + kind - 1] += 1.0
            continue
        start = max(at, s[S_CU_FREE])
        done = start + work / p[P_CU_PAR]
        if done <= s[S_CU_END] and work <= s[S_CU_LEFT]:
            s[S_CU_LEFT] -= work
        else:
            done, s[S_CU_END], s[S_CU_LEFT], s[S_CU_FLAG], stall, _, periods, _ = serve(
                start,
                work,
                p[P_CU_PAR],
                p[P_CU_QUOTA],
                p[P_PERIOD],
                s[S_CU_END],
                s[S_CU_LEFT],
                s[S_CU_FLAG],
                np.inf,
                0.0,
            )
            k[K_STALL_CU] += stall
            k[K_THR_CU] += periods
        s[S_CU_FREE] = done
        k[K_CPU_CU] += work
        if kind == 0:
            k[K_CU_BASE] += work
        elif kind == 1:
            k[K_CU_PKT] += work
            s[S_MH_DL] = max(done, s[S_MH_DL]) + p[P_MH_SER]
            place = int(s[S_F1_TAIL]) & pending
            f1[c, place, 0] = s[S_MH_DL] + p[P_MH]
            f1[c, place, 1] = sent_at
            f1[c, place, 2] = u
            s[S_F1_TAIL] += 1.0
        else:
            k[K_CU_PKT] += work
            s[S_BH_UL] = max(done, s[S_BH_UL]) + p[P_BH_SER]
            deliver(c, 1, u, sent_at, s[S_BH_UL] + p[P_BH], ue, k, hist, p[P_BITS], log, n_log)
