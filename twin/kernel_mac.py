"""The MAC of a slot: PRBs shared among UEs, bits taken from their queues."""

from __future__ import annotations

from typing import Any

import numpy as np

from twin.kernel_jit import inlined
from twin.kernel_layout import (
    C_DONE,
    C_READY,
    C_SENT,
    K_DROP_LINK_UL,
    K_DROP_UL,
    L_ON,
    LINE_MH_UL,
    P_BATCH,
    P_BATCH_MS,
    P_BITS,
    P_BPP_DL,
    P_KEY,
    P_MH,
    P_MH_SER,
    P_NUE,
    S_MH_UL,
    S_PEND_TAIL,
    S_RR,
)  # fmt: skip
from twin.kernel_links import cross
from twin.kernel_queues import deliver

__all__ = ["grant", "hand_on", "send"]


@inlined
def grant(
    c: int, way: int, start: float, cap: float, p: Any, s: Any, cnt: Any, sent: Any, ready: Any, give: Any
) -> float:
    """Share the slot's PRBs: equal shares first, what is left in turn.

    Fills `give` (bits that each UE may send) and returns the PRBs used.
    """
    n_ue = int(p[P_NUE])
    bpp = p[P_BPP_DL + way]
    bits = int(p[P_BITS])
    ring = sent.shape[3] - 1
    total = 0
    active = 0
    oldest = np.inf
    for u in range(n_ue):
        backlog = cnt[c, way, u, C_READY] * bits - cnt[c, way, u, C_SENT]
        give[u] = backlog
        if backlog > 0:
            total += backlog
            active += 1
            first = cnt[c, way, u, C_DONE] & ring
            since = ready[c, u, first] if way == 0 else sent[c, 1, u, first]
            if since < oldest:
                oldest = since
    if active == 0:
        return 0.0
    whole = int(cap)
    if p[P_BATCH] != 0.0 and total < whole * bpp and start - oldest < p[P_BATCH_MS]:
        for u in range(n_ue):
            give[u] = 0
        return 0.0
    if active == 1:
        share = whole
    else:
        share = whole // active
    per_bit = 1.0 / bpp
    spare = whole
    if active > 1:
        for u in range(n_ue):
            if give[u] > 0:
                spare -= min(int(give[u] * per_bit - 1e-9) + 1, share)
    used = 0
    u = int(s[S_RR]) - 1
    for _ in range(n_ue):
        u = u + 1 if u + 1 < n_ue else 0
        if give[u] <= 0:
            continue
        need = int(give[u] * per_bit - 1e-9) + 1
        prb = min(need, share)
        if need > prb and active > 1:
            extra = min(need - prb, spare)
            spare -= extra
            prb += extra
        used += prb
        give[u] = min(give[u], int(prb * bpp))
    return float(used)


@inlined
def hand_on(
    c: int, way: int, u: int, upto: int, at: float, p: Any, s: Any, k: Any, ue: Any, cnt: Any, sent: Any, pend: Any,
    hist: Any, line: Any, log: Any, n_log: Any,
) -> None:  # fmt: skip
    """Let the packets of a UE go whose bits all lie before `upto`: delivered (down), or on their way to the CU (up)."""
    bits = int(p[P_BITS])
    ring = sent.shape[3] - 1
    pending = pend.shape[1] - 1
    while (cnt[c, way, u, C_DONE] + 1) * bits <= upto:
        sent_at = sent[c, way, u, cnt[c, way, u, C_DONE] & ring]
        cnt[c, way, u, C_DONE] += 1
        if way == 0:
            deliver(c, 0, u, sent_at, at, ue, k, hist, p[P_BITS], log, n_log)
        else:
            if line[c, LINE_MH_UL, L_ON] == 0.0:
                s[S_MH_UL] = max(at, s[S_MH_UL]) + p[P_MH_SER]
                reached = s[S_MH_UL] + p[P_MH]
            else:
                reached, s[S_MH_UL] = cross(
                    line[c, LINE_MH_UL], p[P_KEY], 8 * LINE_MH_UL, at, s[S_MH_UL], p[P_MH_SER], p[P_MH], False
                )
                if reached < 0.0:
                    k[K_DROP_UL] += 1.0
                    k[K_DROP_LINK_UL] += 1.0
                    continue
            place = int(s[S_PEND_TAIL]) & pending
            pend[c, place, 0] = reached
            pend[c, place, 1] = sent_at
            pend[c, place, 2] = u
            s[S_PEND_TAIL] += 1.0


@inlined
def send(
    c: int, way: int, at: float, p: Any, s: Any, k: Any, ue: Any, cnt: Any, sent: Any, pend: Any, hist: Any, give:
    Any, line: Any, log: Any, n_log: Any,
) -> None:  # fmt: skip
    """Take the granted bits from the queues; packets whose last bit went are delivered (down) or go to the CU (up)."""
    n_ue = int(p[P_NUE])
    u = int(s[S_RR]) - 1
    for _ in range(n_ue):
        u = u + 1 if u + 1 < n_ue else 0
        if give[u] <= 0:
            continue
        cnt[c, way, u, C_SENT] += give[u]
        hand_on(c, way, u, cnt[c, way, u, C_SENT], at, p, s, k, ue, cnt, sent, pend, hist, line, log, n_log)
