"""The MAC of a cell UE by UE: schedulers, HARQ, links that fail (`twin.parameters.Scheduler`, `twin.harq`).

Where no UE differs from the others and no block fails it gives what `twin.kernel_mac` does, which costs less.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twin.kernel_jit import inlined
from twin.kernel_layout import (
    C_DONE,
    C_READY,
    C_SENT,
    P_BATCH,
    P_BATCH_MS,
    P_BITS,
    P_NUE,
    S_RR,
)
from twin.kernel_mac import hand_on
from twin.kernel_radio import choose_mcs, demand_per_prb, error_rate, new_block
from twin.kernel_radio_layout import (
    A_AVERAGE,
    A_BAR,
    A_BLER,
    A_BPP,
    A_KOS,
    A_MCS,
    A_OLLA,
    A_OUT,
    A_PRB,
    A_RANK,
    A_REPEAT,
    A_SNR,
    A_WORK,
    H_BITS,
    H_DUE,
    H_FIRST,
    H_MCS,
    H_PRB,
    H_SENT,
    H_SNR,
    M_BLOCK,
    M_CAP_DL,
    M_ERRORS,
    M_HOLD_PRB_DL,
    M_KEY,
    M_OLLA_DOWN,
    M_OLLA_LIMIT,
    M_OLLA_UP,
    M_PF,
    M_PF_FAIRNESS,
    M_PF_STEP,
    M_PROCESSES,
    M_RETX,
    M_RLC,
    M_RLF_KOS,
    M_RLF_MS,
    M_RTT,
    R_KO_DL,
    R_LOST_DL,
    R_MCS_DL,
    R_NEW_DL,
    R_RLF,
    R_TB_DL,
)
from twin.kernel_random import uniform

__all__ = ["average_rates", "grant_ues", "prepare", "send_ues"]

_PROCESSES = 16


@inlined
def prepare(c: int, block: int, p: Any, give_dl: Any, give_ul: Any, radio: Any) -> None:
    """Begin a slot of cell `c` in block `block` of the SNR."""
    mac, air, _, tab, snr, _ = radio
    m = mac[c]
    if m[M_ERRORS] != 0.0:
        block = min(max(block, 0), snr.shape[3] - 1)
        if m[M_BLOCK] != block:
            new_block(c, int(p[P_NUE]), block, air, snr, tab)
            m[M_BLOCK] = block
    if m[M_PF] != 0.0:
        for u in range(int(p[P_NUE])):
            give_dl[u] = 0
            give_ul[u] = 0


@inlined
def average_rates(c: int, p: Any, give_dl: Any, give_ul: Any, radio: Any) -> None:
    """Move the averages that the proportional fair scheduler goes by, after a slot served in time."""
    mac, air, _, _, _, _ = radio
    if mac[c, M_PF] != 0.0:
        step = mac[c, M_PF_STEP]
        for u in range(int(p[P_NUE])):
            air[c, 0, u, A_AVERAGE] += (give_dl[u] - air[c, 0, u, A_AVERAGE]) * step
            air[c, 1, u, A_AVERAGE] += (give_ul[u] - air[c, 1, u, A_AVERAGE]) * step


@inlined
def grant_ues(
    c: int, way: int, n: int, start: float, waits: float, cap: float, p: Any, s: Any, cnt: Any, sent: Any, ready: Any,
    give: Any, radio: Any,
) -> tuple[float, float]:  # fmt: skip
    """Share the PRBs of slot `n`, which starts at `start`, among repetitions first and then UEs with new data.

    Fills `give` (bits of new data) and, in `air`, PRBs and the process repeated; returns the PRBs used and what they
    cost in PRBs of the highest MCS. `waits` is the time up to which a packet has waited.
    """
    mac, air, harq, tab, _, _ = radio
    m = mac[c]
    n_ue = int(p[P_NUE])
    bits = int(p[P_BITS])
    ring = sent.shape[3] - 1
    errors = m[M_ERRORS] != 0.0
    whole = int(cap)
    held = m[M_HOLD_PRB_DL + way]
    if held >= 0.0:
        whole = int(math.floor((n + 1) * held) - math.floor(n * held))
    left = whole
    cost = 0.0
    total = 0.0
    active = 0
    oldest = np.inf
    first = int(s[S_RR]) - 1
    u = first
    for _ in range(n_ue):
        u = u + 1 if u + 1 < n_ue else 0
        give[u] = 0
        air[c, way, u, A_REPEAT] = -1.0
        backlog = cnt[c, way, u, C_READY] * bits - cnt[c, way, u, C_SENT]
        out = errors and air[c, way, u, A_OUT] > 0.0
        if (backlog <= 0 and not out) or air[c, 0, u, A_BAR] > start:
            continue
        if out:
            due = -1
            for h in range(_PROCESSES):
                if (
                    harq[c, way, u, h, H_BITS] > 0.0
                    and harq[c, way, u, h, H_DUE] <= n
                    and (due < 0 or harq[c, way, u, h, H_FIRST] < harq[c, way, u, due, H_FIRST])
                ):
                    due = h
            if due >= 0:
                prb = min(int(harq[c, way, u, due, H_PRB]), whole)
                air[c, way, u, A_REPEAT] = -2.0
                if 0 < prb <= left:
                    left -= prb
                    air[c, way, u, A_REPEAT] = due
                    mcs = int(harq[c, way, u, due, H_MCS])
                    cost += prb * demand_per_prb(c, way, air[c, way, u, A_SNR], mcs, m, tab)
                continue
            if air[c, way, u, A_OUT] >= m[M_PROCESSES]:
                continue
        if backlog > 0:
            if errors:
                choose_mcs(c, way, u, m, air, tab)
            give[u] = backlog
            total += backlog / air[c, way, u, A_BPP]
            active += 1
            head = cnt[c, way, u, C_DONE] & ring
            if out:
                head = (cnt[c, way, u, C_SENT] // bits) & ring
            since = ready[c, u, head] if way == 0 else sent[c, 1, u, head]
            if since < oldest:
                oldest = since
            if m[M_PF] != 0.0:
                average = max(air[c, way, u, A_AVERAGE], 1.0)
                fairness = m[M_PF_FAIRNESS]
                average = average * average if fairness == 2.0 else average**fairness
                air[c, way, u, A_RANK] = air[c, way, u, A_BPP] / average
    if active > 0 and (left == 0 or (p[P_BATCH] != 0.0 and total < whole - 1e-9 and waits - oldest < p[P_BATCH_MS])):
        for v in range(n_ue):
            give[v] = 0
        active = 0
    if active > 0 and m[M_PF] != 0.0:
        for v in range(n_ue):
            air[c, way, v, A_PRB] = 0.0
        for _ in range(active):
            best = -1
            highest = -1.0
            u = first
            for _ in range(n_ue):
                u = u + 1 if u + 1 < n_ue else 0
                if give[u] > 0 and air[c, way, u, A_PRB] == 0.0 and air[c, way, u, A_RANK] > highest:
                    highest = air[c, way, u, A_RANK]
                    best = u
            bpp = air[c, way, best, A_BPP]
            prb = min(int(give[best] / bpp - 1e-9) + 1, left)
            left -= prb
            cost += prb * air[c, way, best, A_WORK]
            air[c, way, best, A_PRB] = prb
            give[best] = min(give[best], int(prb * bpp))
            if left == 0:
                break
        for v in range(n_ue):
            if air[c, way, v, A_PRB] == 0.0:
                give[v] = 0
    elif active > 0:
        share = left // active
        spare = left
        for v in range(n_ue):
            if give[v] > 0:
                spare -= min(int(give[v] / air[c, way, v, A_BPP] - 1e-9) + 1, share)
        u = first
        for _ in range(n_ue):
            u = u + 1 if u + 1 < n_ue else 0
            if give[u] <= 0:
                continue
            bpp = air[c, way, u, A_BPP]
            need = int(give[u] / bpp - 1e-9) + 1
            prb = min(need, share)
            extra = min(need - prb, spare)
            spare -= extra
            prb += extra
            left -= prb
            cost += prb * air[c, way, u, A_WORK]
            air[c, way, u, A_PRB] = prb
            give[u] = min(give[u], int(prb * bpp))
    if held >= 0.0:
        cost += left
        left = 0
    return float(whole - left), cost


@inlined
def _transmit_ue(
    c: int, way: int, u: int, n: int, a: float, bits: int, cnt: Any, give: Any, give_ul: Any, m: Any, air: Any,
    harq: Any, tab: Any, rk: Any,
) -> Any:  # fmt: skip
    """Send what a UE was granted in slot `n` and return how many of its bits can be delivered: all before a gap."""
    if m[M_ERRORS] == 0.0:
        cnt[c, way, u, C_SENT] += give[u]
        return cnt[c, way, u, C_SENT]
    repeat = int(air[c, way, u, A_REPEAT])
    if repeat >= 0 or give[u] > 0:
        snr_db = air[c, way, u, A_SNR]
        rk[R_TB_DL + way] += 1.0
        if repeat >= 0:
            mcs = int(harq[c, way, u, repeat, H_MCS])
            combined = harq[c, way, u, repeat, H_SNR] + 10.0 ** (snr_db / 10.0)
            failed = uniform(int(m[M_KEY]), n, 2 * u + way) < error_rate(
                c, way, 10.0 * math.log10(combined), mcs, m, tab
            )
            if not failed:
                harq[c, way, u, repeat, H_BITS] = 0.0
                air[c, way, u, A_OUT] -= 1.0
            else:
                harq[c, way, u, repeat, H_SENT] += 1.0
                harq[c, way, u, repeat, H_SNR] = combined
                harq[c, way, u, repeat, H_DUE] = n + m[M_RTT]
        else:
            rk[R_NEW_DL + way] += 1.0
            rk[R_MCS_DL + way] += air[c, way, u, A_MCS]
            failed = uniform(int(m[M_KEY]), n, 2 * u + way) < air[c, way, u, A_BLER]
            if failed:
                repeat = 0
                while harq[c, way, u, repeat, H_BITS] > 0.0:
                    repeat += 1
                harq[c, way, u, repeat, H_FIRST] = cnt[c, way, u, C_SENT]
                harq[c, way, u, repeat, H_BITS] = give[u]
                harq[c, way, u, repeat, H_PRB] = air[c, way, u, A_PRB]
                harq[c, way, u, repeat, H_DUE] = n + m[M_RTT]
                harq[c, way, u, repeat, H_SENT] = 1.0
                harq[c, way, u, repeat, H_SNR] = 10.0 ** (snr_db / 10.0)
                harq[c, way, u, repeat, H_MCS] = air[c, way, u, A_MCS]
                air[c, way, u, A_OUT] += 1.0
                if air[c, way, u, A_MCS] > 0.0:
                    air[c, way, u, A_OLLA] = max(air[c, way, u, A_OLLA] - m[M_OLLA_DOWN], -m[M_OLLA_LIMIT])
            elif air[c, way, u, A_MCS] < m[M_CAP_DL + way]:
                air[c, way, u, A_OLLA] = min(air[c, way, u, A_OLLA] + m[M_OLLA_UP], m[M_OLLA_LIMIT])
            cnt[c, way, u, C_SENT] += give[u]
        if not failed:
            air[c, way, u, A_KOS] = 0.0
        else:
            rk[R_KO_DL + way] += 1.0
            if harq[c, way, u, repeat, H_SENT] > m[M_RETX]:
                rk[R_LOST_DL + way] += 1.0
                harq[c, way, u, repeat, H_SENT] = 0.0
                harq[c, way, u, repeat, H_SNR] = 0.0
                harq[c, way, u, repeat, H_DUE] = n + m[M_RLC]
            air[c, way, u, A_KOS] += 1.0
            if air[c, way, u, A_KOS] >= m[M_RLF_KOS]:
                rk[R_RLF] += 1.0
                _reestablish(c, u, bits, cnt, air, harq)
                air[c, 0, u, A_BAR] = a + m[M_RLF_MS]
                if way == 0:  # what the slot granted uplink is void
                    give_ul[u] = 0
                    air[c, 1, u, A_REPEAT] = -1.0
    if air[c, way, u, A_OUT] == 0.0:
        return cnt[c, way, u, C_SENT]
    gap = np.inf
    for h in range(_PROCESSES):
        if harq[c, way, u, h, H_BITS] > 0.0 and harq[c, way, u, h, H_FIRST] < gap:
            gap = harq[c, way, u, h, H_FIRST]
    return int(gap)


@inlined
def _reestablish(c: int, u: int, bits: int, cnt: Any, air: Any, harq: Any) -> None:
    """Let a UE send anew, in both directions, every packet that was not delivered whole."""
    for w in range(2):
        cnt[c, w, u, C_SENT] = cnt[c, w, u, C_DONE] * bits
        air[c, w, u, A_KOS] = 0.0
        air[c, w, u, A_OLLA] = 0.0
        air[c, w, u, A_OUT] = 0.0
        for h in range(_PROCESSES):
            harq[c, w, u, h, H_BITS] = 0.0


@inlined
def send_ues(
    c: int, way: int, n: int, a: float, at: float, p: Any, s: Any, k: Any, ue: Any, cnt: Any, sent: Any, pend: Any,
    hist: Any, give: Any, give_ul: Any, line: Any, log: Any, n_log: Any, radio: Any,
) -> None:  # fmt: skip
    """Carry what slot `n`, due at `a`, granted; packets that are complete leave at `at`. `give`: of this direction."""
    mac, air, harq, tab, _, counters = radio
    n_ue = int(p[P_NUE])
    bits = int(p[P_BITS])
    u = int(s[S_RR]) - 1
    for _ in range(n_ue):
        u = u + 1 if u + 1 < n_ue else 0
        if give[u] <= 0 and air[c, way, u, A_REPEAT] < 0.0:
            continue
        upto = _transmit_ue(c, way, u, n, a, bits, cnt, give, give_ul, mac[c], air, harq, tab, counters[c])
        hand_on(c, way, u, upto, at, p, s, k, ue, cnt, sent, pend, hist, line, log, n_log)
