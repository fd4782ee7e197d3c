"""Golden values of a DU under CFS bandwidth control, for slots of constant work, against reference and kernel alike.

The table was computed by a program of its own (a D/G/1 queue of slots, no code shared with either model): one slot of
1 CPU-ms a ms, two CPU-ms done a ms while it runs, a period of 100 ms that starts at 0, 863 packets a second uplink,
at most 1.6 packets a slot, in real time a slot
late by more than 5 ms is skipped at no cost. Where packets are
lost (quota below 0.54 core) the program threw the oldest away after 500 ms while the twin's queue refuses the newest,
so the delay is golden only above that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twin.dataplane import DataPlane
from twin.lock_step import LockStep
from twin.parameters import CellParameters, CuCompute, DuCompute, LinkParameters
from twin.reference import Draws, simulate

SLOTS = {"reference": 4000, "kernel": 15_000}
PACKETS_PER_S = 863.0
DU = DuCompute(
    base_ms=1.0, dl_fixed_ms=0.0, dl_full_ms=0.0, ul_fixed_ms=0.0, ul_full_ms=0.0, slot_cv=0.0, slow_sd=0.0,
    parallelism=2.0, skip_after_ms=5.0, resync_ms=5.0, deadline_ms=5.0, late_cost=0.0, inflight_slots=0, resume_ms=0.0,
)  # fmt: skip
CELL = CellParameters(
    n_ue=1,
    cap_prb_dl=0,
    pucch_prb=0.0,
    ul_grant_ms=0.0,
    bits_per_prb_ul=round(1.6 * 11584 / 25),
    buffer_packets=431,
    du=DU,
    cu=CuCompute(slow_sd=0.0, base_share=0.0, packet_ms=1e-6),
    links=LinkParameters(midhaul_ms=0.0, backhaul_ms=0.0, midhaul_mbps=1e6, backhaul_mbps=1e6),
)
MBPS = PACKETS_PER_S * CELL.packet_bits / 1e6

# quota [core]: share of slots lost, goodput, mean delay [ms], mean of the interarrival jitter over all packets [ms]
REAL_TIME = {
    1.2: (0.0, 1.0, 0.999, 0.267),
    1.0: (0.0, 1.0, 0.999, 0.267),
    0.95: (0.06, 1.0, 1.728, 0.467),
    0.9: (0.11, 1.0, 2.634, 0.563),
    0.8: (0.21, 0.999, 5.924, 0.735),
    0.7: (0.31, 0.998, 11.36, 0.908),
    0.5: (0.51, 0.906, None, 1.368),
    0.3: (0.71, 0.537, None, 3.168),
}

# quota [core]: slots a ms, goodput, mean delay [ms], mean of the interarrival jitter over all packets [ms]
LOCK_STEP = {
    1.2: (1.0, 1.0, 0.999, 0.267),
    0.95: (0.95, 1.0, 1.265, 0.366),
    0.9: (0.9, 0.999, 2.042, 0.449),
    0.8: (0.8, 0.999, 5.205, 0.621),
    0.7: (0.7, 0.998, 10.56, 0.797),
    0.5: (0.5, 0.924, None, 1.216),
    0.3: (0.3, 0.555, None, None),
}


class AllAtZero(np.random.Generator):
    """A generator whose phases are all zero: periods and senders start with the first slot."""

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return np.zeros(size)


def by_reference(cell: CellParameters, quota: float) -> tuple[np.ndarray, int]:
    slots = SLOTS["reference"]
    blocks = np.zeros(slots // 100 + 2)
    draws = Draws(
        du_refill_ms=0.0,
        cu_refill_ms=0.0,
        sender_phase=np.zeros((2, 1)),
        slot_normal=np.zeros(slots),
        slow_du_normal=blocks,
        slow_cu_normal=blocks,
    )
    run = simulate(cell, draws, load_dl_mbps=0.0, load_ul_mbps=MBPS, du_cores=quota)
    return run.times(1), sum(slot.outcome == "ok" for slot in run.slots)


def by_kernel(cell: CellParameters, quota: float) -> tuple[np.ndarray, int]:
    still = np.random.PCG64(1)
    plane = DataPlane(
        [cell],
        {name: AllAtZero(still) for name in ("slot", "slow_du", "slow_cu", "phase")},
        log_packets=20_000,
    )
    plane.set_load(0, dl_mbps=0.0, ul_mbps=MBPS)
    plane.set_quota(0, du_cores=quota)
    plane.advance(SLOTS["kernel"])
    return plane.packet_log(0).uplink, int(plane.take_counters()["slots_ok"][0])


MODELS = {"reference": by_reference, "kernel": by_kernel}


def mean_jitter_ms(delays: np.ndarray) -> float:
    """Return the mean over all packets of the interarrival jitter of RFC 3550 at each."""
    jitter, total = 0.0, 0.0
    for change in np.abs(np.diff(delays)):
        jitter += (change - jitter) / 16.0
        total += jitter
    return total / max(len(delays) - 1, 1)


@pytest.mark.parametrize(
    ("model", "quota"),
    [*(("kernel", quota) for quota in REAL_TIME), *(("reference", quota) for quota in (1.0, 0.9, 0.7))],
)
def test_real_time_slots_that_skip_late_work_meet_the_golden_table(model: str, quota: float) -> None:
    late, goodput, delay_ms, jitter_ms = REAL_TIME[quota]
    packets, done = MODELS[model](CELL, quota)
    delays, slots = packets[:, 1] - packets[:, 0], SLOTS[model]

    assert 1.0 - done / slots == pytest.approx(late, abs=0.0015)
    if model == "kernel":  # the reference runs on after its last slot
        assert len(packets) / (PACKETS_PER_S * slots / 1000.0) == pytest.approx(
            goodput, abs=0.002 if delay_ms else 0.02
        )
    # A slot that could have carried more kept up to two slots of it for the next one there: here it is gone.
    assert delay_ms is None or -0.01 < delays.mean() / delay_ms - 1.0 < 0.07
    assert mean_jitter_ms(delays) == pytest.approx(jitter_ms, rel=0.03)


@pytest.mark.parametrize("quota", [0.7, 0.9])
def test_how_fast_slots_are_served_does_not_change_how_many_are_lost(quota: float) -> None:
    cell = replace(CELL, du=replace(DU, parallelism=4.0))
    _, done = by_kernel(cell, quota)

    assert 1.0 - done / SLOTS["kernel"] == pytest.approx(REAL_TIME[quota][0], abs=0.0015)


@pytest.mark.parametrize(
    ("model", "quota"), [*(("kernel", quota) for quota in LOCK_STEP), *(("reference", quota) for quota in (0.9, 0.7))]
)
def test_slots_in_lock_step_stretch_as_the_golden_table_says(model: str, quota: float) -> None:
    pace, goodput, delay_ms, jitter_ms = LOCK_STEP[quota]
    packets, done = MODELS[model](replace(CELL, lock_step=LockStep()), quota)
    delays, slots = packets[:, 1] - packets[:, 0], SLOTS[model]

    assert done / slots == pytest.approx(pace, abs=0.002)
    if model == "kernel":
        assert len(packets) / (PACKETS_PER_S * slots / 1000.0) == pytest.approx(
            goodput, abs=0.002 if delay_ms else 0.02
        )
    assert delay_ms is None or -0.01 < delays.mean() / delay_ms - 1.0 < 0.11
    assert jitter_ms is None or mean_jitter_ms(delays) == pytest.approx(jitter_ms, rel=0.04)
