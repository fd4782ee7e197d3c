"""Packets entering and leaving the queues of UEs, and what is counted of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twin.kernel_jit import inlined
from twin.kernel_layout import (
    C_DONE,
    C_IN,
    C_READY,
    DELAY_BINS,
    DELAY_FINE_BINS,
    DELAY_FINE_MS,
    K_DEL_DL,
    K_DLY_DL,
    K_DROP_DL,
    K_DROP_UL,
    K_JIT_DL,
    K_OFF_DL,
    K_OFF_UL,
    K_PKT_DL,
    K_SLOTS,
    P_BITS,
    P_BUF,
    P_NUE,
    S_AHEAD_DL,
    S_DOWN,
    S_F1_HEAD,
    S_F1_TAIL,
    U_AFTER,
    U_INTERVAL,
    U_JITTER,
    U_NEXT,
    U_THEN,
    U_TRANSIT,
    U_UNTIL,
)  # fmt: skip

__all__ = ["admit_downlink", "admit_uplink", "close_call", "deliver", "emit"]


@inlined
def deliver(
    c: int, way: int, u: int, sent_at: float, at: float, ue: Any, k: Any, hist: Any, bits: float, log: Any, n_log: Any
) -> None:
    """Count a packet that arrived; jitter as in RFC 3550 section 6.4.1."""
    delay = at - sent_at
    k[K_DEL_DL + way] += bits
    k[K_PKT_DL + way] += 1.0
    k[K_DLY_DL + way] += delay
    if delay < DELAY_FINE_MS * DELAY_FINE_BINS:
        slot = int(delay / DELAY_FINE_MS)
    else:
        slot = min(int(delay) + DELAY_FINE_BINS - int(DELAY_FINE_MS * DELAY_FINE_BINS), DELAY_BINS - 1)
    hist[c, way, slot] += 1
    before = ue[c, way, u, U_TRANSIT]
    if before >= 0.0:
        ue[c, way, u, U_JITTER] += (abs(delay - before) - ue[c, way, u, U_JITTER]) / 16.0
    ue[c, way, u, U_TRANSIT] = delay
    k[K_JIT_DL + way] += ue[c, way, u, U_JITTER]
    if n_log[c, way] < log.shape[2]:
        log[c, way, n_log[c, way], 0] = sent_at
        log[c, way, n_log[c, way], 1] = at
        n_log[c, way] += 1


@inlined
def admit_downlink(c: int, until: float, p: Any, s: Any, k: Any, cnt: Any, sent: Any, ready: Any, f1: Any) -> None:
    """Put what reaches the DU by `until` into the UEs' queues, as far as they have room."""
    ring = sent.shape[3] - 1
    flying = f1.shape[1] - 1
    while s[S_F1_HEAD] < s[S_F1_TAIL]:
        head = int(s[S_F1_HEAD]) & flying
        if f1[c, head, 0] > until:
            break
        s[S_F1_HEAD] += 1.0
        u = int(f1[c, head, 2])
        if cnt[c, 0, u, C_IN] - cnt[c, 0, u, C_DONE] >= p[P_BUF]:
            k[K_DROP_DL] += 1.0
        else:
            place = cnt[c, 0, u, C_IN] & ring
            ready[c, u, place] = f1[c, head, 0]
            sent[c, 0, u, place] = f1[c, head, 1]
            cnt[c, 0, u, C_IN] += 1
            cnt[c, 0, u, C_READY] += 1


@inlined
def emit(c: int, way: int, u: int, ue: Any) -> None:
    """Let a sender's next packet come an interval later, or when its load has changed by then, as that says."""
    due = ue[c, way, u, U_NEXT] + ue[c, way, u, U_INTERVAL]
    if due > ue[c, way, u, U_UNTIL]:
        due = ue[c, way, u, U_THEN]
        ue[c, way, u, U_INTERVAL] = ue[c, way, u, U_AFTER]
        ue[c, way, u, U_UNTIL] = np.inf
    ue[c, way, u, U_NEXT] = due


@inlined
def admit_uplink(c: int, until: float, p: Any, k: Any, ue: Any, cnt: Any, sent: Any) -> None:
    """Put what the UEs have sent by `until` into their queues, as far as they have room."""
    ring = sent.shape[3] - 1
    for u in range(int(p[P_NUE])):
        while ue[c, 1, u, U_NEXT] <= until:
            k[K_OFF_UL] += p[P_BITS]
            if cnt[c, 1, u, C_IN] - cnt[c, 1, u, C_DONE] >= p[P_BUF]:
                k[K_DROP_UL] += 1.0
            else:
                sent[c, 1, u, cnt[c, 1, u, C_IN] & ring] = ue[c, 1, u, U_NEXT]
                cnt[c, 1, u, C_IN] += 1
            emit(c, 1, u, ue)


@inlined
def _sent_ahead(c: int, way: int, end: float, p: Any, ue: Any) -> float:
    """Return how many packets were taken that are sent after `end`, less those sent by `end` and not taken yet."""
    ahead = 0.0
    for u in range(int(p[P_NUE])):
        if ue[c, way, u, U_NEXT] < np.inf:
            until = min(end, ue[c, way, u, U_UNTIL])
            ahead += math.ceil((ue[c, way, u, U_NEXT] - until) / ue[c, way, u, U_INTERVAL]) - 1.0
            if ue[c, way, u, U_UNTIL] < np.inf and ue[c, way, u, U_THEN] <= end:
                ahead -= math.floor((end - ue[c, way, u, U_THEN]) / ue[c, way, u, U_AFTER]) + 1.0
    return ahead


@inlined
def close_call(c: int, end: float, n_slots: int, p: Any, s: Any, k: Any, ue: Any, cnt: Any, sent: Any) -> None:
    """Count what a call that ends at `end` counts as a whole."""
    if s[S_DOWN] >= end:
        admit_uplink(c, end, p, k, ue, cnt, sent)
    # Load is what was sent by the end of the call, whatever the DU was doing then.
    for way in range(2):
        ahead = _sent_ahead(c, way, end, p, ue)
        k[K_OFF_DL + way] += (s[S_AHEAD_DL + way] - ahead) * p[P_BITS]
        s[S_AHEAD_DL + way] = ahead
    k[K_SLOTS] += n_slots
