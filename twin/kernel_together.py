"""Cells that are moved event by event: in lock-step, or several of them to one CU. Semantics in `twin.kernel`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.kernel_cu import drain_cu, next_downlink
from twin.kernel_jit import jit
from twin.kernel_layout import P_DU_FACTOR, P_PACE_MS, S_AT, S_BUSY, S_DOWN, S_DU_FREE, S_SLOT, S_START
from twin.kernel_queues import close_call
from twin.kernel_slot import begin, due, finish, skip

__all__ = ["advance_together"]

_JUST = 1e-9
"""What happens at the very end of a call belongs to the next one."""


@jit
def _schedule(p: Any, s: Any) -> None:
    """Say when a cell's next slot begins, or is skipped."""
    if p[P_PACE_MS] > 0.0:
        s[S_AT] = max(s[S_DU_FREE], s[S_DOWN])
    else:
        start, skipped = due(s[S_SLOT], p, s)
        s[S_AT] = s[S_SLOT] if skipped else start


@jit
def _cu(
    h: int, first: int, n_slots: int, follow: Any, par: Any, st: Any, counters: Any, ue: Any, cnt: Any, sent: Any,
    ready: Any, pend: Any, f1: Any, hist: Any, give: Any, line: Any, noise: Any, slow_du: Any, slow_cu: Any, back: int,
    log: Any, n_log: Any, radio: Any,
) -> None:  # fmt: skip
    """Move the CU whose first cell is `h`, and its cells: always the one whose slot begins or ends first."""
    end = float(first + n_slots)
    next_c, next_u, next_send, at_dl = next_downlink(h, follow, par, st, ue, line)
    d = h
    while d >= 0:
        if st[d, S_BUSY] == 0.0:
            _schedule(par[d], st[d])
        d = follow[d]
    while True:
        at = np.inf
        c = h
        d = h
        while d >= 0:
            if st[d, S_AT] < at:
                at = st[d, S_AT]
                c = d
            d = follow[d]
        over = at >= end
        next_c, next_u, next_send, at_dl = drain_cu(
            h,
            end - _JUST if over else at,
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
            par[h],
            st[h],
            counters[h],
            ue,
            pend,
            f1,
            hist,
            line,
            log,
            n_log,
        )
        if over:
            break
        p = par[c]
        s = st[c]
        k = counters[c]
        give_dl = give[c, 0]
        give_ul = give[c, 1]
        n = int(s[S_SLOT])
        real_time = p[P_PACE_MS] == 0.0
        if s[S_BUSY] == 0.0:
            a = float(n) if real_time else at
            start = at
            skipped = False
            if real_time:
                start, skipped = due(a, p, s)
            if skipped:
                skip(a, p, s, k)
            else:
                ms = n if real_time else int(start)
                factor = noise[c, ms - first + back] * slow_du[c, ms // 100 - (first - back) // 100] * p[P_DU_FACTOR]
                block = ms // 100 - (first - back) // 100
                done, served = begin(
                    c, a, start, factor, p, s, k, ue, cnt, sent, ready, f1, give_dl, give_ul, n, block, radio
                )
                if served:
                    s[S_BUSY] = 1.0
                    s[S_START] = a
                    s[S_AT] = done
                    continue
        else:
            finish(
                c,
                n,
                s[S_START],
                at,
                p,
                s,
                k,
                ue,
                cnt,
                sent,
                ready,
                pend,
                f1,
                hist,
                give_dl,
                give_ul,
                line,
                log,
                n_log,
                radio,
            )
            s[S_BUSY] = 0.0
        s[S_SLOT] += 1.0
        _schedule(p, s)
    d = h
    while d >= 0:
        close_call(d, end, n_slots, par[d], st[d], counters[d], ue, cnt, sent)
        d = follow[d]


@jit
def advance_together(
    first: int, n_slots: int, heads: NDArray[np.int64], follow: NDArray[np.int64], par: NDArray[np.float64],
    st: NDArray[np.float64], counters: NDArray[np.float64], ue: NDArray[np.float64], cnt: NDArray[np.int64],
    sent: NDArray[np.float64], ready: NDArray[np.float64], pend: NDArray[np.float64], f1: NDArray[np.float64],
    hist: NDArray[np.int64], give: NDArray[np.int64], line: NDArray[np.float64], noise: NDArray[np.float64],
    slow_du: NDArray[np.float64], slow_cu: NDArray[np.float64], back: int, log: NDArray[np.float64],
    n_log: NDArray[np.int64], radio: tuple[NDArray[np.float64], ...] | None,
) -> None:  # fmt: skip
    """Move the CUs whose first cells are `heads`, with all their cells; all else as `twin.kernel.advance_alone`."""
    for h in heads:
        _cu(
            h,
            first,
            n_slots,
            follow,
            par,
            st,
            counters,
            ue,
            cnt,
            sent,
            ready,
            pend,
            f1,
            hist,
            give,
            line,
            noise,
            slow_du,
            slow_cu,
            back,
            log,
            n_log,
            radio,
        )
