"""The data plane on its own: what must hold whatever the parameters, and limits that are known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.agreement import streams
from col.errors import InputError
from twin.dataplane import Counters, DataPlane
from twin.parameters import CellParameters, CuCompute, DuCompute, GrantPolicy, LinkParameters

STEADY_DU = DuCompute(slot_cv=0.0, slow_sd=0.0, inflight_slots=0, resume_ms=0.0)
STEADY_CU = CuCompute(slow_sd=0.0)

cells = st.builds(
    CellParameters,
    n_ue=st.integers(1, 8),
    grant_policy=st.sampled_from(GrantPolicy),
    cap_prb_dl=st.integers(8, 25),
    cap_prb_ul=st.integers(8, 25),
    ul_grant_ms=st.floats(1.0, 8.0),
    buffer_packets=st.integers(2, 200),
    packet_bits=st.integers(800, 12000),
    du=st.builds(
        DuCompute,
        base_ms=st.floats(0.1, 0.9),
        slot_cv=st.floats(0.0, 0.5),
        parallelism=st.floats(1.0, 4.0),
        skip_after_ms=st.floats(5.0, 60.0),
        resync_ms=st.floats(1.0, 30.0),
        late_cost=st.floats(0.0, 1.0),
        inflight_slots=st.integers(0, 8),
        resume_ms=st.floats(0.0, 2.0),
    ),
    cu=st.builds(CuCompute, packet_ms=st.floats(0.01, 0.4), buffer_ms=st.floats(10.0, 300.0)),
)
loads = st.floats(0.0, 25.0)
quotas = st.floats(0.1, 1.5)


def run(
    cell: CellParameters,
    *,
    down: float = 10.0,
    up: float = 10.0,
    du: float = 16.0,
    cu: float = 16.0,
    warm: int = 500,
    slots: int = 2000,
    seed: int = 1,
) -> tuple[DataPlane, Counters]:
    """Run one cell and return it with its counters after the warm-up."""
    plane = DataPlane([cell], streams(seed), log_packets=20_000)
    plane.set_load(0, dl_mbps=down, ul_mbps=up)
    plane.set_quota(0, du_cores=du, cu_cores=cu)
    plane.advance(warm)
    plane.take_counters()
    plane.advance(slots)
    return plane, plane.take_counters()


def delays_ms(plane: DataPlane, *, since: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the delays of packets sent from `since` on, down and up."""
    log = plane.packet_log(0)
    down, up = (times[times[:, 0] >= since] for times in (log.downlink, log.uplink))
    return down[:, 1] - down[:, 0], up[:, 1] - up[:, 0]


@settings(max_examples=40)
@given(cell=cells, down=loads, up=loads, du=quotas, cu=quotas, seed=st.integers(0, 99))
def test_every_packet_offered_is_delivered_or_dropped_once_all_has_run_out(
    cell: CellParameters, down: float, up: float, du: float, cu: float, seed: int
) -> None:
    plane = DataPlane([cell], streams(seed))
    plane.set_load(0, dl_mbps=down, ul_mbps=up)
    plane.set_quota(0, du_cores=du, cu_cores=cu)
    plane.advance(700)
    plane.set_load(0, dl_mbps=0.0, ul_mbps=0.0)
    plane.set_quota(0, du_cores=16.0, cu_cores=16.0)
    plane.advance(6000)
    counters = plane.take_counters()

    for way in ("dl", "ul"):
        offered = counters[f"offered_bits_{way}"][0] / cell.packet_bits
        ended = counters[f"packets_{way}"][0] + counters[f"dropped_packets_{way}"][0]
        assert counters[f"backlog_bits_{way}"][0] == 0.0
        assert ended == round(offered)
        assert counters[f"delivered_bits_{way}"][0] == counters[f"packets_{way}"][0] * cell.packet_bits


@settings(max_examples=60)
@given(cell=cells, down=loads, up=loads, du=quotas, cu=quotas, seed=st.integers(0, 99))
def test_counters_keep_to_what_is_possible(
    cell: CellParameters, down: float, up: float, du: float, cu: float, seed: int
) -> None:
    slots, period = 2000, 100.0
    plane, k = run(cell, down=down, up=up, du=du, cu=cu, slots=slots, seed=seed)

    assert k["slots"][0] == slots
    assert k["slots_ok"][0] + k["slots_late"][0] + k["slots_skipped"][0] == slots
    # Work under way at the end is booked when it begins: a CU's queue may reach `buffer_ms` and a period further.
    ahead = {"du": period, "cu": cell.cu.buffer_ms + 2 * period}
    for unit, cores, par in (("du", du, cell.du.parallelism), ("cu", cu, cell.cu.parallelism)):
        span = slots + ahead[unit]
        assert 0.0 <= k[f"stall_ms_{unit}"][0] <= span
        assert k[f"cpu_ms_{unit}"][0] <= cores * (span + 2 * period) + 1e-6
        assert k[f"cpu_ms_{unit}"][0] / par + k[f"stall_ms_{unit}"][0] <= span + 1e-6
        assert k[f"throttled_periods_{unit}"][0] <= span / period + 2
    for way in ("dl", "ul"):
        assert 0.0 <= k[f"prb_used_{way}"][0] <= k[f"prb_available_{way}"][0]
        assert k[f"tb_ok_{way}"][0] + k[f"tb_retx_{way}"][0] <= k["slots_ok"][0]
        assert 0.0 <= k[f"backlog_bits_{way}"][0] <= cell.n_ue * cell.buffer_packets * cell.packet_bits
    downlink, uplink = delays_ms(plane)
    links, bits = cell.links, cell.packet_bits * cell.links.overhead / 1000.0
    lines_ms = links.midhaul_ms + links.backhaul_ms + bits / links.midhaul_mbps + bits / links.backhaul_mbps
    # A downlink slot may carry what comes up to its deadline after its nominal time.
    on_air_ms = cell.dl_pipeline_ms + links.fronthaul_ms + 1.0 - cell.du.deadline_ms
    assert downlink.min(initial=np.inf) >= lines_ms + on_air_ms
    assert uplink.min(initial=np.inf) >= lines_ms + cell.ul_grant_ms


@settings(max_examples=25)
@given(load=st.floats(1.0, 16.0), du=st.tuples(quotas, quotas), cu=st.tuples(quotas, quotas), seed=st.integers(0, 99))
def test_more_quota_never_delivers_noticeably_less(
    load: float, du: tuple[float, float], cu: tuple[float, float], seed: int
) -> None:
    less, more = (
        run(CellParameters(), down=load, up=load, du=pick(du), cu=pick(cu), warm=1000, slots=6000, seed=seed)[1]
        for pick in (min, max)
    )
    for way in ("dl", "ul"):
        assert more[f"delivered_bits_{way}"][0] >= 0.96 * less[f"delivered_bits_{way}"][0] - 12 * 11584


@pytest.mark.parametrize("policy", list(GrantPolicy))
def test_all_that_is_offered_arrives_when_nothing_is_short(policy: GrantPolicy) -> None:
    _, k = run(CellParameters(grant_policy=policy), warm=2000, slots=15000)

    for way in ("dl", "ul"):
        assert k[f"delivered_bits_{way}"][0] / 15000 / 1000 == pytest.approx(10.0, rel=0.002)
        assert k[f"offered_bits_{way}"][0] / 15000 / 1000 == pytest.approx(10.0, rel=0.001)
        assert k[f"dropped_packets_{way}"][0] == 0


def test_batching_saves_cpu_and_costs_delay() -> None:
    spread, batch = (CellParameters(grant_policy=policy) for policy in (GrantPolicy.SPREAD, GrantPolicy.BATCH))
    (one, few), (two, many) = run(batch, slots=8000), run(spread, slots=8000)

    assert few["cpu_ms_du"][0] < 0.95 * many["cpu_ms_du"][0]
    assert delays_ms(one, since=500.0)[0].mean() > delays_ms(two, since=500.0)[0].mean() + 0.5


def test_after_a_change_of_load_the_new_rate_is_offered() -> None:
    plane = DataPlane([CellParameters()], streams(3))
    for mbps in (5.0, 0.0, 12.0, 2.0):
        plane.set_load(0, dl_mbps=mbps, ul_mbps=mbps / 2)
        plane.advance(10_000)
        k = plane.take_counters()
        for way, rate in (("dl", mbps), ("ul", mbps / 2)):
            assert k[f"offered_bits_{way}"][0] / 1e7 == pytest.approx(rate, abs=0.02)


def test_the_load_of_a_window_is_what_was_sent_in_it_whatever_the_quotas_are() -> None:
    offered = []
    for du, cu in ((1.2, 1.2), (0.45, 1.2), (1.2, 0.3), (0.3, 0.2)):
        plane = DataPlane([CellParameters()], streams(4))
        plane.set_load(0, dl_mbps=10.0, ul_mbps=7.0)
        plane.set_quota(0, du_cores=du, cu_cores=cu)
        windows = []
        for _ in range(12):
            plane.advance(433)
            k = plane.take_counters()
            windows.append((k["offered_bits_dl"][0], k["offered_bits_ul"][0]))
        offered.append(windows)

    assert offered[0] == offered[1] == offered[2] == offered[3]


def test_a_full_buffer_fills_every_slot_that_is_in_time() -> None:
    cell = CellParameters(full_buffer_dl=True, full_buffer_ul=True, cap_prb_dl=20)
    _, k = run(cell, down=0.0, up=0.0, du=0.6, slots=10_000)

    assert k["delivered_bits_dl"][0] == k["tb_ok_dl"][0] * 20 * cell.bits_per_prb_dl
    assert k["prb_used_dl"][0] == k["prb_available_dl"][0] == 20 * k["slots_ok"][0]
    assert k["slots_ok"][0] < 9000
    assert k["tb_retx_dl"][0] > 0


def golden(q: float) -> tuple[Counters, DataPlane]:
    """Run slots of 1 CPU-ms, two at a time, late work skipped: 863 packets/s against 1.6 packets a slot."""
    du = replace(
        STEADY_DU, base_ms=1.0, dl_fixed_ms=0.0, dl_full_ms=0.0, parallelism=2.0,
        skip_after_ms=5.0, resync_ms=5.0, deadline_ms=5.0, late_cost=0.0,
    )  # fmt: skip
    cell = CellParameters(
        n_ue=1, du=du, cu=replace(STEADY_CU, packet_ms=1e-6), bits_per_prb_dl=741, cap_prb_ul=0, buffer_packets=431
    )
    plane, counters = run(cell, down=9.997, up=0.0, du=q, warm=3000, slots=15_000)
    return counters, plane


@pytest.mark.parametrize(
    ("q", "late", "throttled", "goodput"),
    [
        (0.3, 0.71, 0.75, 0.537),
        (0.5, 0.51, 0.55, 0.906),
        (0.7, 0.31, 0.35, 1.0),
        (0.8, 0.21, 0.25, 1.0),
        (0.9, 0.11, 0.15, 1.0),
        (0.95, 0.06, 0.10, 1.0),
        (1.2, 0.0, 0.0, 1.0),
    ],
)
def test_where_late_work_is_skipped_the_shares_are_those_of_an_independent_calculation(
    q: float, late: float, throttled: float, goodput: float
) -> None:
    """The figures are of a separate program for D/G/1 under a quota of q CPU-ms a slot."""
    k, _ = golden(q)
    a_slot_in_each_period = 0.0105  # depends on where in a slot the periods begin

    assert (k["slots_late"][0] + k["slots_skipped"][0]) / 15_000 == pytest.approx(late, abs=a_slot_in_each_period)
    assert k["stall_ms_du"][0] / 15_000 == pytest.approx(throttled, abs=a_slot_in_each_period)
    assert k["delivered_bits_dl"][0] / k["offered_bits_dl"][0] == pytest.approx(goodput, abs=2 * a_slot_in_each_period)
    assert k["cpu_ms_du"][0] / 15_000 == pytest.approx(min(q, 1.0), rel=0.005)


@pytest.mark.parametrize("q", [0.7, 0.8, 0.9])
def test_delay_of_periodic_stalls_nears_the_fluid_limit(q: float) -> None:
    """Packets that come during a stall of S in each P wait S / 2, and then for the queue to drain at load rho."""
    stall_ms, period_ms, rho = 100.0 * (1.0 - q) + 5.0, 100.0, 0.863 / 1.6
    fluid_ms = stall_ms**2 / (2.0 * period_ms) / (1.0 - rho)

    extra_ms = float(np.subtract(*(delays_ms(golden(cores)[1], since=3000.0)[0].mean() for cores in (q, 1.5))))

    # Slots that catch up after a stall are still served when late by less than the deadline: up to 5 ms are saved.
    saved_ms = (stall_ms - 5.0) ** 2 / (2.0 * period_ms) / (1.0 - rho)
    assert 0.9 * saved_ms < extra_ms < 1.1 * fluid_ms


def test_one_stream_of_packets_never_waits_at_a_cu_that_keeps_up() -> None:
    """D/D/1: service shorter than the interval."""
    cell = CellParameters(n_ue=1, du=STEADY_DU, cu=replace(STEADY_CU, base_share=0.0, packet_ms=1.0))
    plane, _ = run(cell, down=11.0, up=0.0, warm=2000)

    fixed_ms = 3.75 + 2 * cell.packet_bits * cell.links.overhead / 1e6 + 1.0 + 6.1
    assert delays_ms(plane, since=2000.0)[0].max() <= fixed_ms + 1.0  # and at most a slot's wait


def test_wait_at_the_cu_stays_below_that_of_random_arrivals() -> None:
    """Many periodic streams with random phases queue nearly, and never more on average than, as M/D/1 does."""
    service_ms, rho = 0.16, 0.8
    mbps = rho / service_ms * 11584 / 1000.0
    links = LinkParameters(backhaul_mbps=1e5, midhaul_mbps=1e5)
    waits = []
    for seed in range(12):
        means = []
        for packet_ms in (service_ms, 1e-6):
            cu = replace(STEADY_CU, base_share=0.0, packet_ms=packet_ms)
            cell = CellParameters(
                n_ue=64, n_prb=250, cap_prb_dl=250, du=STEADY_DU, cu=cu, links=links, buffer_packets=400, cap_prb_ul=0
            )
            plane, _ = run(cell, down=mbps, up=0.0, warm=300, slots=1500, seed=seed)
            means.append(delays_ms(plane, since=300.0)[0].mean())
        waits.append(means[0] - means[1] - service_ms)

    random_arrivals = rho * service_ms / (2.0 * (1.0 - rho))
    assert 0.4 * random_arrivals < np.mean(waits) < 1.05 * random_arrivals


def test_what_a_starved_cu_could_not_do_is_not_made_up_for() -> None:
    plane = DataPlane([CellParameters()], streams(2))
    plane.set_load(0, dl_mbps=10.0, ul_mbps=10.0)
    plane.set_quota(0, cu_cores=0.1)  # less than its steady work takes
    plane.advance(20_000)
    starved = plane.take_counters()
    plane.set_quota(0, cu_cores=0.8)
    plane.advance(1000)
    plane.take_counters()
    plane.advance(5000)
    after = plane.take_counters()

    assert starved["cpu_ms_cu"][0] / 20_000 == pytest.approx(0.1, rel=0.03)
    assert starved["stall_ms_cu"][0] <= 20_000 * 0.95
    assert after["delivered_bits_dl"][0] == pytest.approx(after["offered_bits_dl"][0], rel=0.01)


def test_bad_quotas_loads_and_spans_are_refused() -> None:
    plane = DataPlane([CellParameters()], streams(0))
    with pytest.raises(InputError, match="quota"):
        plane.set_quota(0, du_cores=0.0)
    with pytest.raises(InputError, match="load"):
        plane.set_load(0, dl_mbps=-1.0, ul_mbps=0.0)
    with pytest.raises(InputError, match="load"):
        plane.set_load(0, dl_mbps=float("nan"), ul_mbps=0.0)
    with pytest.raises(InputError, match="n_slots"):
        plane.advance(-1)
    with pytest.raises(InputError, match="cells"):
        DataPlane([], streams(0))
