"""Limits of queueing theory: a line that is an M/D/1 queue, a DU that is a D/G/1 queue."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from benchmarks.agreement import streams
from twin.dataplane import DataPlane
from twin.parameters import CellParameters, CuCompute, DuCompute, LinkParameters
from twin.reference_links import Link
from twin.reference_parts import Packet, Process


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_a_line_met_at_random_makes_packets_wait_as_in_an_m_d_1_queue(load: float) -> None:
    """Pollaczek and Khinchine: W = rho s / (2 (1 - rho)). This checks the reference, which the kernel is held to."""
    env, rng, service_ms, n = simpy.Environment(), np.random.default_rng(1), 0.1, 20_000
    waited: list[float] = []
    line = Link(
        env,
        rate_mbps=1.0,
        delay_ms=2.0,
        to=lambda packet: waited.append(env.now - packet.sent_ms - service_ms - 2.0),
    )

    def source() -> Process:
        for gap in rng.exponential(service_ms / load, n):
            yield env.timeout(gap)
            line.send(Packet(0, 0, env.now, round(1000 * service_ms)))

    env.process(source())
    env.run()

    assert len(waited) == n
    assert np.mean(waited) == pytest.approx(load * service_ms / (2.0 * (1.0 - load)), rel=0.08)


def slot_ends_ms(du: DuCompute, slots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return slots and how long after its instant each ended, as the packets say that they carry, one a slot."""
    links = LinkParameters(midhaul_ms=0.0, backhaul_ms=0.0, midhaul_mbps=1e6, backhaul_mbps=1e6)
    cu = CuCompute(base_share=0.0, packet_ms=1e-9, slow_sd=0.0)
    cell = CellParameters(n_ue=1, cap_prb_dl=0, ul_grant_ms=0.0, du=du, cu=cu, links=links)
    plane = DataPlane([cell], streams(seed), log_packets=slots)
    plane.set_load(0, dl_mbps=0.0, ul_mbps=cell.packet_bits / 1000.0)
    plane.set_quota(0, du_cores=1024.0, cu_cores=1024.0)
    plane.advance(slots)
    log = plane.packet_log(0).uplink
    slot = np.ceil(log[:, 0]).astype(int)
    return slot, log[:, 1] - slot


@pytest.mark.parametrize("load", [0.8, 0.92])
def test_slots_of_random_work_wait_as_in_a_d_g_1_queue(load: float) -> None:
    """Lindley's recursion over the very noise; and Kingman's bound var(S) / (2 (1 - rho) T), met in heavy traffic."""
    slots, cv, parallelism, seed = 40_000, 0.5, 1.3, 3
    du = DuCompute(
        base_ms=load * parallelism, dl_fixed_ms=0.0, dl_full_ms=0.0, ul_fixed_ms=0.0, ul_full_ms=0.0,
        slot_cv=cv, slow_sd=0.0, parallelism=parallelism, skip_after_ms=1e6, resync_ms=1e6, deadline_ms=1e6,
        inflight_slots=0, resume_ms=0.0,
    )  # fmt: skip
    sd = np.sqrt(np.log1p(cv * cv))
    service = load * np.exp(sd * streams(seed)["slot"].standard_normal(slots) - 0.5 * sd * sd)
    waits = [0.0]
    for served in service[:-1]:
        waits.append(max(0.0, waits[-1] + served - 1.0))
    slot, ended = slot_ends_ms(du, slots, seed)
    settled = slot >= 4000  # long after the first refill, before which nothing ran
    bound = (load * cv) ** 2 / (2.0 * (1.0 - load))
    waited = (ended - service[slot])[settled]

    assert np.abs(waited - np.array(waits)[slot][settled]).max() < 1e-4
    assert (0.6 if load < 0.9 else 0.8) * bound < waited.mean() < bound
