"""Outages, bursts, noise of links and held variables, each by a law that it must obey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import agreement
from col.errors import InputError
from twin.cfs_burst import CfsBurst
from twin.dataplane import DataPlane
from twin.kernel_cfs import serve
from twin.link_noise import Distribution, LinkNoise, LinkState
from twin.lock_step import LockStep
from twin.parameters import CellParameters, CuCompute, DuCompute

STEADY = CellParameters(
    n_ue=1,
    du=DuCompute(slot_cv=0.0, slow_sd=0.0, resume_ms=0.0, inflight_slots=0),
    cu=CuCompute(slow_sd=0.0, base_share=0.0, packet_ms=1e-6),
)


def plane_of(cell: CellParameters = STEADY, *, mbps: float = 5.0, seed: int = 1, cells: int = 1) -> DataPlane:
    plane = DataPlane([cell] * cells, agreement.streams(seed), log_packets=60_000)
    for c in range(cells):
        plane.set_load(c, dl_mbps=mbps, ul_mbps=mbps)
    plane.advance(200)
    plane.take_counters()
    return plane


def uplink(plane: DataPlane, since_ms: float = 400.0) -> np.ndarray:
    log = plane.packet_log(0).uplink
    return log[log[:, 0] >= since_ms]


@pytest.mark.parametrize("step", [None, LockStep()], ids=["real-time", "lock-step"])
def test_an_outage_of_a_du_loses_the_downlink_and_delays_the_uplink_and_nothing_is_left_over(
    step: LockStep | None,
) -> None:
    plane = plane_of(replace(STEADY, lock_step=step, buffer_packets=100))
    plane.advance(300)
    plane.down_du(0, 2000.0)
    plane.advance(1500)
    during = plane.take_counters()
    plane.advance(2000)
    plane.set_load(0, dl_mbps=0.0, ul_mbps=0.0)
    plane.advance(1000)
    after = plane.take_counters()

    assert during["slots_down"][0] == (1500.0 if step is None else 0.0)
    assert during["delivered_bits_dl"][0] / 1e3 < 5.0 * 310.0
    assert during["backlog_bits_ul"][0] == 100 * 11584  # the UE's own queue, full
    for way, least in (("dl", 600), ("ul", 500)):
        sums = {
            name: during[f"{name}_{way}"][0] + after[f"{name}_{way}"][0]
            for name in ("offered_bits", "packets", "dropped_packets")
        }
        assert sums["packets"] + sums["dropped_packets"] == pytest.approx(sums["offered_bits"] / 11584, abs=8)
        assert sums["dropped_packets"] > least
    assert uplink(plane)[:, 1].max() > 2000.0
    waited = np.subtract(*uplink(plane).T[::-1])
    assert 1200.0 < waited.max() < 1550.0  # those that the queue held were sent when the outage had begun


def test_an_outage_of_a_cu_loses_both_directions_for_as_long_as_it_lasts() -> None:
    plane = plane_of(cells=2)
    plane.down_cu(1, 1200.0)
    plane.advance(2000)
    k = plane.take_counters()

    lost = k["dropped_cu_dl"] + k["dropped_cu_ul"]
    assert lost[0] == 0.0
    assert lost[1] == pytest.approx(2 * 1000 * 5e3 / 11584, abs=4)
    assert k["packets_ul"][1] == pytest.approx(k["packets_ul"][0] - lost[1] / 2, abs=4)


def test_unused_quota_is_carried_over_as_far_as_the_burst_allows() -> None:
    """40 CPU-ms a period, idle for three: then 40 and the burst run in one go."""

    def finish(burst: float) -> float:
        return float(serve(350.0, 90.0, 1.0, 40.0, 100.0, 100.0, 40.0, 0.0, np.inf, 0.0, burst, 0.0)[0])

    assert finish(0.0) == 400.0 + 40.0 + 60.0 + 10.0  # 40 at 350, 40 at 400, 10 at 500
    assert finish(25.0) == 400.0 + 40.0  # 50 by 400 of 65, what is left of them and 25 more from 400 on
    assert finish(1000.0) == 350.0 + 50.0 + 40.0  # no more than the quota can be carried over


def test_a_burst_keeps_a_bursty_du_from_throttling() -> None:
    stalls = {}
    for burst in (None, CfsBurst(burst_du_ms=50.0)):
        plane = plane_of(replace(STEADY, burst=burst), mbps=0.0)
        plane.set_quota(0, du_cores=0.7)
        for _ in range(20):
            for mbps, slots in ((0.0, 150), (14.0, 150)):
                plane.set_load(0, dl_mbps=mbps, ul_mbps=mbps)
                plane.advance(slots)
        stalls[burst] = plane.take_counters()["stall_ms_du"][0]
    assert stalls[None] > 200.0
    assert min(stalls.values()) < 0.2 * stalls[None]


@pytest.mark.parametrize(
    ("distribution", "sd"),
    [(Distribution.UNIFORM, 0.577), (Distribution.NORMAL, 1.0), (Distribution.PARETO, 0.85)],
)
def test_jitter_of_a_link_has_the_spread_asked_for_and_keeps_the_order(distribution: Distribution, sd: float) -> None:
    noise = LinkNoise(jitter_ms=0.2, distribution=distribution)
    quiet, noisy = plane_of(mbps=3.0), plane_of(replace(STEADY, backhaul_noise=noise), mbps=3.0)
    for plane in (quiet, noisy):
        plane.advance(12_000)
    one, other = uplink(quiet), uplink(noisy)
    n = min(len(one), len(other)) - 10
    late = other[:n, 1] - one[:n, 1]

    assert (np.diff(other[:, 1]) >= 0.0).all()
    assert late.std() / 0.2 == pytest.approx(sd, rel=0.08)
    assert abs(late.mean()) < 0.03
    assert abs(np.corrcoef(late[1:], late[:-1])[0, 1]) < 0.06


def test_correlated_jitter_has_the_correlation_asked_for() -> None:
    noise = LinkNoise(jitter_ms=0.2, distribution=Distribution.NORMAL, correlation=0.8)
    quiet, noisy = plane_of(mbps=3.0), plane_of(replace(STEADY, backhaul_noise=noise), mbps=3.0)
    for plane in (quiet, noisy):
        plane.advance(12_000)
    n = min(len(uplink(quiet)), len(uplink(noisy))) - 10
    late = uplink(noisy)[:n, 1] - uplink(quiet)[:n, 1]
    assert np.corrcoef(late[1:], late[:-1])[0, 1] == pytest.approx(0.8, abs=0.06)


def test_losses_come_at_their_rate_and_in_bursts_where_that_is_asked_for() -> None:
    """Gilbert-Elliott: bad for p / (p + r) of the packets, 1 / r in a row."""
    lost = {}
    for name, noise in (
        ("single", LinkNoise(loss=0.05)),
        ("bursts", LinkNoise(to_bad=0.01, to_good=0.19)),
    ):
        plane = plane_of(replace(STEADY, midhaul_noise=noise), mbps=8.0)
        plane.advance(20_000)
        k = plane.take_counters()
        for way in ("dl", "ul"):
            share = k[f"dropped_link_{way}"][0] * 11584 / k[f"offered_bits_{way}"][0]
            assert share == pytest.approx(0.05, abs=0.012), (name, way)
        gaps = np.diff(uplink(plane)[:, 0]) / (11584 / 8000)
        lost[name] = np.round(gaps[gaps > 1.5] - 1.0).mean()
    assert lost["single"] == pytest.approx(1.05, abs=0.06)
    assert lost["bursts"] == pytest.approx(1 / 0.19, rel=0.2)


def test_a_control_that_is_set_otherwise_finds_the_same_noise_on_the_links() -> None:
    noise = LinkNoise(jitter_ms=0.1, loss=0.02)
    arrived = []
    for cores in (16.0, 0.7):
        plane = plane_of(replace(STEADY, midhaul_noise=noise), mbps=4.0)
        plane.set_quota(0, du_cores=cores)
        plane.advance(5000)
        arrived.append([sent for sent, _ in plane.packet_log(0).uplink if sent < 4500.0])
    assert arrived[0] == arrived[1]
    assert len(arrived[0]) < 0.99 * 4500 / 2.896


def test_a_line_that_is_too_slow_drops_at_its_limit_and_delays_by_no_more() -> None:
    plane = plane_of(mbps=8.0)
    plane.set_link(0, "backhaul", LinkState(delay_ms=3.0, rate_mbps=5.0, noise=LinkNoise(limit_packets=50)))
    plane.advance(4000)
    k = plane.take_counters()
    serialise_ms = 11584 * 1.04 / 5000.0

    assert k["delivered_bits_ul"][0] / 4e6 == pytest.approx(5.0 / 1.04, rel=0.05)
    waited = np.subtract(*uplink(plane, 2500.0).T[::-1])
    assert waited.max() < 51 * serialise_ms + 3.0 + 10.0
    assert waited.min() > 48 * serialise_ms


def test_a_link_that_becomes_quicker_lets_no_packet_overtake() -> None:
    plane = plane_of(mbps=8.0)
    plane.set_link(0, "midhaul", LinkState(delay_ms=40.0))
    plane.advance(300)
    plane.set_link(0, "midhaul", LinkState(delay_ms=0.5))
    plane.advance(300)
    for times in (plane.packet_log(0).uplink, plane.packet_log(0).downlink):
        assert (np.diff(times[:, 0]) > 0.0).all()
        assert (np.diff(times[:, 1]) >= 0.0).all()
        assert np.subtract(*times[-5:].T[::-1]).max() < 13.0


def test_a_fronthaul_beyond_its_window_loses_slots_in_real_time_and_slows_lock_step_down() -> None:
    late = LinkNoise(jitter_ms=0.1, window_ms=0.15)  # uniform around 0.1 ms: a quarter is later
    plane = plane_of(replace(STEADY, fronthaul_noise=late))
    plane.advance(8000)
    assert plane.take_counters()["slots_fronthaul"][0] / 8000 == pytest.approx(0.25, abs=0.02)

    plane = plane_of(replace(STEADY, lock_step=LockStep()), mbps=0.0)
    plane.set_link(0, "fronthaul", LinkState(delay_ms=1.0))
    plane.advance(8000)
    k = plane.take_counters()
    took_ms = 0.49 / 1.3 + 2.0
    assert k["slots_ok"][0] / 8000 == pytest.approx(1.0 / took_ms, rel=1e-3)


def test_held_variables_are_what_they_are_held_at_whatever_causes_them() -> None:
    plane = plane_of(replace(STEADY, du=replace(STEADY.du, slot_cv=0.3)), mbps=8.0)
    plane.set_quota(0, du_cores=0.2)
    plane.hold_stall(0, 0.3)
    plane.hold_demand(0, 0.4)
    plane.contention(0, du_factor=1.5, cu_factor=1.0)
    plane.advance(200)
    plane.take_counters()
    plane.advance(10_000)
    k = plane.take_counters()
    late = k["slots_late"][0]
    assert k["stall_ms_du"][0] / 10_000 == pytest.approx(0.3, abs=0.01)
    assert k["cpu_ms_du"][0] == pytest.approx(0.4 * 1.5 * (k["slots_ok"][0] + 0.3 * late), rel=0.03)

    plane.hold_stall(0, None)
    plane.advance(200)
    plane.take_counters()
    plane.advance(5000)
    assert plane.take_counters()["cpu_ms_du"][0] / 5000 == pytest.approx(0.2, rel=0.02)  # the quota binds again


def test_what_cannot_be_is_refused() -> None:
    plane = plane_of()
    for bad, key in (
        (lambda: plane.down_du(0, 10.0), "until_ms"),
        (lambda: plane.down_cu(3, 1e4), "cu"),
        (lambda: plane.set_link(0, "sidehaul", LinkState(delay_ms=1.0)), "leg"),
        (lambda: plane.hold_stall(0, 1.0), "share"),
        (lambda: plane.set_burst(0, du_ms=-1.0), "burst"),
        (lambda: plane.contention(0, du_factor=0.0, cu_factor=1.0), "factor"),
        (lambda: LinkNoise(loss=1.5), "loss"),
        (lambda: LinkState(delay_ms=float("nan")), "delay_ms"),
        (lambda: LockStep(pace_cap=0.0), "pace_cap"),
    ):
        with pytest.raises(InputError, match=key):
            bad()
    streams = {name: stream for name, stream in agreement.streams(1).items() if name != "links"}
    with pytest.raises(InputError, match="links"):
        DataPlane([replace(STEADY, midhaul_noise=LinkNoise(loss=0.1))], streams)
