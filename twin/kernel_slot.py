"""A slot of a DU: when it is due, what it grants and costs when it begins, and what it carries when it ends."""

from __future__ import annotations

from typing import Any

from twin.kernel_cfs import serve
from twin.kernel_jit import inlined
from twin.kernel_layout import (
    C_IN,
    C_READY,
    K_AVL_DL,
    K_CGROUP_DU,
    K_CPU_DU,
    K_DEL_DL,
    K_DOWN,
    K_FRONTHAUL,
    K_LATE,
    K_OK,
    K_PRB_DL,
    K_RETX_DL,
    K_SKIP,
    K_STALL_DU,
    K_TB_DL,
    K_THR_DU,
    L_ON,
    LINE_FH,
    P_BASE,
    P_BPP_DL,
    P_BURST_DU,
    P_CAP_DL,
    P_CAP_UL,
    P_DEADLINE,
    P_DL_PIPE,
    P_DLF,
    P_DLS,
    P_DU_PAR,
    P_DU_QUOTA,
    P_FH,
    P_FULL_DL,
    P_FULL_UL,
    P_HOLD_STALL,
    P_HOLD_WORK,
    P_INFLIGHT,
    P_KEY,
    P_LATE,
    P_NPRB,
    P_NUE,
    P_PACE_MS,
    P_PERIOD,
    P_RESUME,
    P_RESYNC,
    P_SECOND,
    P_SKIP,
    P_UL_GRANT,
    P_ULF,
    P_ULS,
    S_AGAIN_DL,
    S_AGAIN_UL,
    S_DOWN,
    S_DU_END,
    S_DU_FLAG,
    S_DU_FREE,
    S_DU_LEFT,
    S_JUMP,
    S_LAST_DL,
    S_LAST_UL,
    S_MASK,
    S_PRB_DL,
    S_PRB_UL,
    S_RETX_DL,
    S_RETX_UL,
    S_RR,
)  # fmt: skip
from twin.kernel_links import slot_delay
from twin.kernel_mac import grant, send
from twin.kernel_queues import admit_downlink, admit_uplink
from twin.kernel_ues import average_rates, grant_ues, prepare, send_ues
from twin.link_noise import RETRANSMIT_MS

__all__ = ["begin", "due", "finish", "skip"]


@inlined
def due(a: float, p: Any, s: Any) -> tuple[float, bool]:
    """Return when the slot due at `a` starts, and whether it is skipped instead."""
    start = max(a, s[S_DU_FREE])
    skipped = a < s[S_DOWN] or start - a > (p[P_RESYNC] if s[S_JUMP] != 0.0 else p[P_SKIP])
    return start, skipped


@inlined
def skip(a: float, p: Any, s: Any, k: Any) -> None:
    """Leave the slot out that is due at `a`."""
    down = a < s[S_DOWN]
    s[S_JUMP] = 0.0 if down else 1.0
    k[K_SKIP] += 1.0
    if down:
        k[K_DOWN] += 1.0
    s[S_MASK] = (int(s[S_MASK]) << 1) & ((1 << (int(p[P_INFLIGHT]) + 2)) - 1)


@inlined
def begin(
    c: int, a: float, start: float, factor: float, p: Any, s: Any, k: Any, ue: Any, cnt: Any, sent: Any, ready: Any,
    f1: Any, give_dl: Any, give_ul: Any, number: int, block: int, radio: Any,
) -> tuple[float, bool]:  # fmt: skip
    """Grant what is there, and do the work of the slot that is due at `a` and starts at `start`.

    Fills `give_dl` and `give_ul` with the bits that UEs may send; returns when the work is done and whether anything
    comes of it.
    """
    s[S_JUMP] = 0.0
    n_ue = int(p[P_NUE])
    ring = sent.shape[3] - 1
    cap_dl = p[P_CAP_DL]
    cap_ul = p[P_CAP_UL]
    n_prb = p[P_NPRB]
    real_time = p[P_PACE_MS] == 0.0
    if p[P_FULL_DL] == 0.0 or p[P_FULL_UL] == 0.0:
        admit_downlink(c, start, p, s, k, cnt, sent, ready, f1)
        admit_uplink(c, start, p, k, ue, cnt, sent)
    late = real_time and start - a > p[P_DEADLINE]
    prb_dl = 0.0
    prb_ul = 0.0
    cost_dl = 0.0
    cost_ul = 0.0
    if radio is not None:
        prepare(c, block, p, give_dl, give_ul, radio)
    retx_dl = s[S_RETX_DL] > 0.0
    retx_ul = s[S_RETX_UL] > 0.0
    if cap_dl > 0.0:
        if retx_dl:
            prb_dl = s[S_LAST_DL]
            cost_dl = prb_dl
        elif p[P_FULL_DL] != 0.0:
            prb_dl = cap_dl
            cost_dl = prb_dl
        elif radio is not None:
            prb_dl, cost_dl = grant_ues(c, 0, number, start, start, cap_dl, p, s, cnt, sent, ready, give_dl, radio)
        else:
            prb_dl = grant(c, 0, start, cap_dl, p, s, cnt, sent, ready, give_dl)
            cost_dl = prb_dl
    if cap_ul > 0.0:
        if retx_ul:
            prb_ul = s[S_LAST_UL]
            cost_ul = prb_ul
        elif p[P_FULL_UL] != 0.0:
            prb_ul = cap_ul
            cost_ul = prb_ul
        else:
            for u in range(n_ue):
                while (
                    cnt[c, 1, u, C_READY] < cnt[c, 1, u, C_IN]
                    and sent[c, 1, u, cnt[c, 1, u, C_READY] & ring] <= a - p[P_UL_GRANT]
                ):
                    cnt[c, 1, u, C_READY] += 1
            if radio is not None:
                prb_ul, cost_ul = grant_ues(c, 1, number, start, a, cap_ul, p, s, cnt, sent, ready, give_ul, radio)
            else:
                prb_ul = grant(c, 1, a, cap_ul, p, s, cnt, sent, ready, give_ul)
                cost_ul = prb_ul
    work = p[P_BASE]
    if prb_dl > 0.0:
        work += p[P_DLF] + p[P_DLS] * cost_dl / n_prb
    if prb_ul > 0.0:
        work += p[P_ULF] + p[P_ULS] * cost_ul / n_prb
    work *= factor
    if p[P_HOLD_WORK] > 0.0:
        work = p[P_HOLD_WORK]
    if late:
        work *= p[P_LATE]
    stall = 0.0
    done = start + work / p[P_DU_PAR]
    if done <= s[S_DU_END] - p[P_HOLD_STALL] and work <= s[S_DU_LEFT]:
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
            p[P_BURST_DU],
            p[P_HOLD_STALL],
        )
        work += more
        k[K_STALL_DU] += stall
        k[K_CGROUP_DU] += cgroup
        k[K_THR_DU] += periods
    s[S_DU_FREE] = done
    k[K_CPU_DU] += work
    mask = int(s[S_MASK])
    if stall > 1.0 and real_time:
        inflight = 0
        for _ in range(int(p[P_INFLIGHT]) + 2):
            inflight += mask & 1
            mask >>= 1
        inflight = min(inflight, int(p[P_INFLIGHT]))
        if cap_dl > 0.0 and s[S_LAST_DL] > 0.0:
            s[S_RETX_DL] += inflight
        if cap_ul > 0.0 and s[S_LAST_UL] > 0.0:
            s[S_RETX_UL] += inflight
        mask = 0
    served = not late and (done - a <= p[P_DEADLINE] or not real_time)
    s[S_MASK] = ((mask << 1) | (1 if served else 0)) & ((1 << (int(p[P_INFLIGHT]) + 2)) - 1)
    if not served:
        k[K_LATE] += 1.0
    s[S_PRB_DL] = prb_dl
    s[S_PRB_UL] = prb_ul
    s[S_AGAIN_DL] = 1.0 if retx_dl else 0.0
    s[S_AGAIN_UL] = 1.0 if retx_ul else 0.0
    return done, served


@inlined
def finish(
    c: int, number: int, a: float, done: float, p: Any, s: Any, k: Any, ue: Any, cnt: Any, sent: Any, ready: Any,
    pend: Any, f1: Any, hist: Any, give_dl: Any, give_ul: Any, line: Any, log: Any, n_log: Any,
    radio: Any,
) -> None:  # fmt: skip
    """Carry what the slot `number`, due at `a` and done at `done`, granted."""
    n_ue = int(p[P_NUE])
    real_time = p[P_PACE_MS] == 0.0
    if line[c, LINE_FH, L_ON] != 0.0 or not real_time:
        lost, took = slot_delay(line[c, LINE_FH], p[P_KEY], number, p[P_FH])
        if not real_time:
            s[S_DU_FREE] = max(a + p[P_PACE_MS], done + 2.0 * took + (RETRANSMIT_MS if lost else 0.0))
        elif lost:
            k[K_LATE] += 1.0
            k[K_FRONTHAUL] += 1.0
            s[S_MASK] = int(s[S_MASK]) & ~1
            return
    k[K_OK] += 1.0
    for way in range(2):
        cap = p[P_CAP_DL + way]
        prb = s[S_PRB_DL + way]
        k[K_AVL_DL + way] += cap
        if prb > 0.0:
            k[K_PRB_DL + way] += prb
            if s[S_AGAIN_DL + way] != 0.0:
                s[S_RETX_DL + way] -= 1.0
                k[K_RETX_DL + way] += 1.0
            else:
                s[S_LAST_DL + way] = prb
                k[K_TB_DL + way] += 1.0
                if p[P_FULL_DL + way] != 0.0:
                    k[K_DEL_DL + way] += prb * p[P_BPP_DL + way]
                else:
                    # A queue is as long as it is until the slot ends: what comes before that may find it full.
                    at = done
                    if way == 0:
                        admit_downlink(c, done, p, s, k, cnt, sent, ready, f1)
                        if real_time:
                            at = max(a + p[P_DL_PIPE] + p[P_FH] + 1.0, done)
                        else:
                            at = max(a + p[P_DL_PIPE], done) + p[P_FH] + 1.0
                    else:
                        admit_uplink(c, done, p, k, ue, cnt, sent)
                    give = give_dl if way == 0 else give_ul
                    if radio is not None:
                        send_ues(
                            c, way, number, a, at, p, s, k, ue, cnt, sent, pend, hist, give, give_ul, line, log, n_log,
                            radio,
                        )  # fmt: skip
                    else:
                        send(c, way, at, p, s, k, ue, cnt, sent, pend, hist, give, line, log, n_log)
    if radio is not None:
        average_rates(c, p, give_dl, give_ul, radio)
    s[S_RR] = s[S_RR] + 1.0 if s[S_RR] + 1.0 < n_ue else 0.0
