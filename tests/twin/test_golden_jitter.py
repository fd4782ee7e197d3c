"""Interarrival jitter of RFC 3550 (section 6.4.1): what it is for known transit times."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.agreement import streams
from twin.dataplane import DataPlane
from twin.parameters import CellParameters, CuCompute, DuCompute

STEADY = CellParameters(
    n_ue=1,
    cap_prb_dl=0,
    du=DuCompute(base_ms=0.1, ul_fixed_ms=0.1, slot_cv=0.0, slow_sd=0.0, parallelism=1.0),
    cu=CuCompute(slow_sd=0.0, base_share=0.0),
)
INTERVAL_MS = 10
MBPS = STEADY.packet_bits / INTERVAL_MS / 1000.0
"""One packet every ten slots: all wait alike for theirs."""


def test_a_step_of_the_transit_time_raises_the_jitter_by_a_sixteenth_which_decays() -> None:
    plane = DataPlane([STEADY], streams(1), log_packets=2000)
    plane.set_load(0, dl_mbps=0.0, ul_mbps=MBPS)
    plane.advance(7000)  # nothing runs before the first refill of the quotas: let that step decay
    assert plane.take_counters()["jitter_ms_ul"][0] < 1e-9

    plane.set_demand(0, du_factor=2.5, cu_factor=1.0)  # slots end later from now on
    read = []
    for _ in range(40):
        plane.advance(INTERVAL_MS)
        read.append(plane.take_counters()["jitter_ms_ul"][0])
    transit = np.subtract.reduce(plane.packet_log(0).uplink, axis=1)
    step_ms = np.ptp(transit[500:])
    grant_ms = STEADY.du.ul_full_ms * 12 / STEADY.n_prb  # 12 PRBs carry a packet
    since = next(n for n, jitter in enumerate(read) if jitter > 1e-9)

    assert step_ms == pytest.approx(1.5 * (STEADY.du.base_ms + STEADY.du.ul_fixed_ms + grant_ms))
    assert since <= 1  # the packet before may still be on its way
    assert read[since:] == pytest.approx([step_ms / 16.0 * (15.0 / 16.0) ** n for n in range(40 - since)])


def test_the_mean_of_the_jitter_is_the_mean_change_of_the_transit_time() -> None:
    """A filter of gain 1: over packets, E[J] = E|D|."""
    plane = DataPlane([CellParameters(n_ue=1, cap_prb_dl=0)], streams(2), log_packets=30_000)
    plane.set_load(0, dl_mbps=0.0, ul_mbps=11.584 / 2.0)  # a packet every two slots
    plane.set_quota(0, du_cores=0.6, cu_cores=16.0)
    plane.advance(1000)
    packets, weighted = 0, 0.0
    for _ in range(5000):
        plane.advance(2)
        counters = plane.take_counters()
        packets += counters["packets_ul"][0]
        weighted += counters["packets_ul"][0] * counters["jitter_ms_ul"][0]
    transit = np.subtract.reduce(plane.packet_log(0).uplink, axis=1)

    assert weighted / packets == pytest.approx(np.abs(np.diff(transit[-int(packets) :])).mean(), rel=0.03)
