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

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from twin.kernel_layout import (
    C_DONE,
    C_IN,
    C_READY,
    C_SENT,
    DELAY_BINS,
    DELAY_FINE_BINS,
    DELAY_FINE_MS,
    K_AVL_DL,
    K_AVL_UL,
    K_CGROUP_DU,
    K_CPU_CU,
    K_CPU_DU,
    K_CU_BASE,
    K_CU_PKT,
    K_DEL_DL,
    K_DEL_UL,
    K_DLY_DL,
    K_DROP_DL,
    K_DROP_UL,
    K_LATE,
    K_OFF_DL,
    K_OFF_UL,
    K_OK,
    K_PKT_DL,
    K_PRB_DL,
    K_PRB_UL,
    K_RETX_DL,
    K_RETX_UL,
    K_SKIP,
    K_SLOTS,
    K_STALL_CU,
    K_STALL_DU,
    K_TB_DL,
    K_TB_UL,
    K_THR_CU,
    K_THR_DU,
    P_BASE,
    P_BATCH,
    P_BATCH_MS,
    P_BH,
    P_BH_SER,
    P_BITS,
    P_BPP_DL,
    P_BPP_UL,
    P_BUF,
    P_CAP_DL,
    P_CAP_UL,
    P_CU_BASE,
    P_CU_BUF,
    P_CU_FACTOR,
    P_CU_PAR,
    P_CU_PKT,
    P_CU_QUOTA,
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
    P_IV_DL,
    P_IV_UL,
    P_LATE,
    P_MH,
    P_MH_SER,
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
    S_BH_DL,
    S_BH_UL,
    S_CU_END,
    S_CU_FLAG,
    S_CU_FREE,
    S_CU_LEFT,
    S_DU_END,
    S_DU_FLAG,
    S_DU_FREE,
    S_DU_LEFT,
    S_F1_HEAD,
    S_F1_TAIL,
    S_JUMP,
    S_LAST_DL,
    S_LAST_UL,
    S_MASK,
    S_MH_DL,
    S_MH_UL,
    S_PEND_HEAD,
    S_PEND_TAIL,
    S_RETX_DL,
    S_RETX_UL,
    S_RR,
    S_TICK,
    U_JITTER,
    U_NEXT,
    U_TRANSIT,
)

__all__ = ["advance_cells"]

_F = TypeVar("_F", bound=Callable[..., Any])

try:
    from numba import njit
except ImportError:  # numba is only a matter of speed

    def njit(**_: Any) -> Callable[[Any], Any]:  # type: ignore[no-redef]
        """Leave a function as it is."""
        return lambda function: function


def _jit(function: _F) -> _F:
    return cast(_F, njit(cache=True, nogil=True, error_model="numpy")(function))


def _inl(function: _F) -> _F:
    # Calls with a dozen arrays cost as much as their work: these functions become part of their caller.
    return cast(_F, njit(inline="always", error_model="numpy")(function))


@_jit
def _serve(
    t: float, work: float, par: float, quota: float, period: float, end: float, left: float, flag: float, second: float,
    resume: float,
) -> tuple[float, float, float, float, float, float, float, float]:  # fmt: skip
    """Run `work` from `t` under CFS.

    Returns finish, end of the period, quota left, flag, time stalled, time throttled as the cgroup counts it, periods
    throttled, work added by resuming.
    """
    stall = 0.0
    more = 0.0
    cgroup = 0.0
    periods = 0.0
    while True:
        if t >= end:
            end += period * (math.floor((t - end) / period) + 1.0)
            left = quota
            flag = 0.0
        wall = work / par
        if work <= left and t + wall <= end:
            return t + wall, end, left - work, flag, stall, cgroup, periods, more
        if left <= 1e-9:
            pause = end - t
            stall += pause
            cgroup += pause
            if pause > second:
                cgroup += pause - second
            if flag == 0.0:
                periods += 1.0
                flag = 1.0
            work += resume
            more += resume
            t = end
            continue
        part = left / par
        if t + part <= end:
            t += part
            work -= left
            left = 0.0
        else:
            done = (end - t) * par
            work -= done
            left -= done
            t = end


@_inl
def _deliver(
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
    if n_log[c, way] < log.shape[2]:
        log[c, way, n_log[c, way], 0] = sent_at
        log[c, way, n_log[c, way], 1] = at
        n_log[c, way] += 1


@_inl
def _next_downlink(c: int, n_ue: int, p: Any, s: Any, ue: Any) -> tuple[int, float, float]:
    """Return which UE's packet the core sends next, when it is sent and when it reaches the CU."""
    next_u = 0
    next_send = np.inf
    for v in range(n_ue):
        if ue[c, 0, v, U_NEXT] < next_send:
            next_send = ue[c, 0, v, U_NEXT]
            next_u = v
    return next_u, next_send, max(next_send, s[S_BH_DL]) + p[P_BH_SER] + p[P_BH]


@_inl
def _drain_cu(
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
            next_u, next_send, at_dl = _next_downlink(c, n_ue, p, s, ue)
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
            done, s[S_CU_END], s[S_CU_LEFT], s[S_CU_FLAG], stall, _, periods, _ = _serve(
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
            _deliver(c, 1, u, sent_at, s[S_BH_UL] + p[P_BH], ue, k, hist, p[P_BITS], log, n_log)


@_inl
def _admit_downlink(c: int, until: float, p: Any, s: Any, k: Any, cnt: Any, sent: Any, ready: Any, f1: Any) -> None:
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


@_inl
def _admit_uplink(c: int, until: float, p: Any, k: Any, ue: Any, cnt: Any, sent: Any) -> None:
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
            ue[c, 1, u, U_NEXT] += p[P_IV_UL]


@_inl
def _grant(
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


@_inl
def _send(
    c: int, way: int, at: float, p: Any, s: Any, k: Any, ue: Any, cnt: Any, sent: Any, pend: Any, hist: Any, give:
    Any, log: Any,
    n_log: Any,
) -> None:  # fmt: skip
    """Take the granted bits from the queues; packets whose last bit went are delivered (down) or go to the CU (up)."""
    bits = int(p[P_BITS])
    ring = sent.shape[3] - 1
    pending = pend.shape[1] - 1
    n_ue = int(p[P_NUE])
    u = int(s[S_RR]) - 1
    for _ in range(n_ue):
        u = u + 1 if u + 1 < n_ue else 0
        if give[u] <= 0:
            continue
        cnt[c, way, u, C_SENT] += give[u]
        while (cnt[c, way, u, C_DONE] + 1) * bits <= cnt[c, way, u, C_SENT]:
            sent_at = sent[c, way, u, cnt[c, way, u, C_DONE] & ring]
            cnt[c, way, u, C_DONE] += 1
            if way == 0:
                _deliver(c, 0, u, sent_at, at, ue, k, hist, p[P_BITS], log, n_log)
            else:
                s[S_MH_UL] = max(at, s[S_MH_UL]) + p[P_MH_SER]
                place = int(s[S_PEND_TAIL]) & pending
                pend[c, place, 0] = s[S_MH_UL] + p[P_MH]
                pend[c, place, 1] = sent_at
                pend[c, place, 2] = u
                s[S_PEND_TAIL] += 1.0


@_inl
def _sent_ahead(c: int, way: int, end: float, p: Any, ue: Any) -> float:
    """Return how many packets were taken that are sent after `end`, less those sent by `end` and not taken yet."""
    ahead = 0.0
    if p[P_IV_DL + way] < np.inf:
        for u in range(int(p[P_NUE])):
            ahead += math.ceil((ue[c, way, u, U_NEXT] - end) / p[P_IV_DL + way]) - 1.0
    return ahead


@_jit
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
    next_u, next_send, at_dl = _next_downlink(c, n_ue, p, s, ue)
    for i in range(n_slots):
        a = float(first + i)
        block = (first + i) // 100 - first // 100
        start = max(a, s[S_DU_FREE])
        k[K_SLOTS] += 1.0
        skipped = start - a > (p[P_RESYNC] if s[S_JUMP] != 0.0 else p[P_SKIP])
        s[S_JUMP] = 1.0 if skipped else 0.0
        if packets:
            until = a if skipped else start
            next_u, next_send, at_dl = _drain_cu(
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
            _admit_downlink(c, start, p, s, k, cnt, sent, ready, f1)
            _admit_uplink(c, start, p, k, ue, cnt, sent)
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
                prb_dl = _grant(c, 0, start, cap_dl, p, s, cnt, sent, ready, give_dl)
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
                prb_ul = _grant(c, 1, a, cap_ul, p, s, cnt, sent, ready, give_ul)
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
            done, s[S_DU_END], s[S_DU_LEFT], s[S_DU_FLAG], stall, cgroup, periods, more = _serve(
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
                    _admit_downlink(c, done, p, s, k, cnt, sent, ready, f1)
                    at = a + p[P_DL_PIPE] + p[P_FH] + 1.0
                    _send(c, 0, at, p, s, k, ue, cnt, sent, pend, hist, give_dl, log, n_log)
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
                    _admit_uplink(c, done, p, k, ue, cnt, sent)
                    _send(c, 1, done, p, s, k, ue, cnt, sent, pend, hist, give_ul, log, n_log)
        s[S_RR] = s[S_RR] + 1.0 if s[S_RR] + 1.0 < n_ue else 0.0
    s[S_MASK] = mask
    # Load is what was sent by the end of the call, whatever the DU was doing then.
    for way in range(2):
        ahead = _sent_ahead(c, way, float(first + n_slots), p, ue)
        k[K_OFF_DL + way] += (s[S_AHEAD_DL + way] - ahead) * p[P_BITS]
        s[S_AHEAD_DL + way] = ahead


@_jit
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
