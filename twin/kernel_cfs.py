"""CFS bandwidth control: work on a quota that is refilled every period, in continuous time."""

from __future__ import annotations

import math

from twin.kernel_jit import jit

__all__ = ["serve"]


@jit
def serve(
    t: float, work: float, par: float, quota: float, period: float, end: float, left: float, flag: float, second: float,
    resume: float, burst: float, hold: float,
) -> tuple[float, float, float, float, float, float, float, float]:  # fmt: skip
    """Run `work` from `t` under CFS; nothing runs in the last `hold` ms of a period.

    Returns finish, end of the period, quota left, flag, time stalled, time throttled as the cgroup counts it, periods
    throttled, work added by resuming.
    """
    stall = 0.0
    more = 0.0
    cgroup = 0.0
    periods = 0.0
    while True:
        if t >= end:
            periods_over = math.floor((t - end) / period) + 1.0
            end += period * periods_over
            left = quota if burst == 0.0 else min(left + quota * periods_over, quota + min(burst, quota))
            flag = 0.0
        stop = end - hold
        wall = work / par
        if work <= left and t + wall <= stop:
            return t + wall, end, left - work, flag, stall, cgroup, periods, more
        if left <= 1e-9 or t >= stop:
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
        if t + part <= stop:
            t += part
            work -= left
            left = 0.0
        else:
            done = (stop - t) * par
            work -= done
            left -= done
            t = stop
