"""The MAC UE by UE, held against closed forms: shares of PRBs, rates of errors, repetitions, order, links that fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.agreement import streams
from col.errors import InputError
from twin.air import AirInterface
from twin.channel import ChannelParameters
from twin.channel_state import Channel
from twin.dataplane import Counters, DataPlane
from twin.harq import Harq, mean_transmissions, residual_error
from twin.link_adaptation import LinkAdaptation, block_error_rate
from twin.parameters import CellParameters, CuCompute, DuCompute, GrantPolicy, Scheduler
from twin.radio import McsTable, snr_threshold_db
from twin.streams import Streams

QAM64 = McsTable.QAM64
FREE_DU = DuCompute(slot_cv=0.0, slow_sd=0.0, base_ms=0.1)
FREE_CU = CuCompute(slow_sd=0.0, packet_ms=0.01)
FIXED_MCS = LinkAdaptation(olla_step_db=0.0, slope_db=1.0)


def plane_of(*cells: CellParameters, seed: int = 1, log: int = 60_000) -> DataPlane:
    generators = streams(seed) | {"air": np.random.Generator(np.random.PCG64(seed))}
    return DataPlane(cells, generators, log_packets=log)


def cell(**changes: Any) -> CellParameters:
    return replace(CellParameters(du=FREE_DU, cu=FREE_CU), **changes)


def air(snr_db: float, **changes: Any) -> AirInterface:
    base = AirInterface(mcs_table=QAM64, adaptation=FIXED_MCS, snr_dl_db=snr_db, snr_ul_db=snr_db)
    return replace(base, **changes)


def run(plane: DataPlane, *, dl: float = 0.0, ul: float = 0.0, warm: int = 500, slots: int = 4000) -> Counters:
    plane.set_load(0, dl_mbps=dl, ul_mbps=ul)
    plane.advance(warm)
    plane.take_counters()
    plane.advance(slots)
    return plane.take_counters()


def outcome(plane: DataPlane) -> dict[str, np.ndarray]:
    """Return what can be compared between cells with and without an air interface."""
    ours = ("snr_sum", "cqi_sum", "ue_ms", "tb_ue", "tb_new", "mcs_sum")
    columns = {name: values for name, values in plane.take_counters().columns.items() if not name.startswith(ours)}
    log = plane.packet_log(0)
    return {**columns, "down": log.downlink, "up": log.uplink}


@pytest.mark.parametrize("policy", list(GrantPolicy))
def test_ue_by_ue_gives_what_all_at_once_does_where_ues_are_alike_and_nothing_fails(policy: GrantPolicy) -> None:
    outcomes = []
    for kind in range(3):
        interface = None if kind < 2 else AirInterface(snr_dl_db=60.0, snr_ul_db=60.0)
        plane = plane_of(CellParameters(n_ue=3, grant_policy=policy, air=interface))
        plane.set_load(0, dl_mbps=9.0, ul_mbps=9.0)
        plane.set_quota(0, du_cores=0.62, cu_cores=0.5)
        if kind == 1:
            plane.hold(0, "prb_dl", 50.0)  # switches to the other MAC ...
            plane.hold(0, "prb_dl", None)  # ... which has nothing special to do then
        for slots in (700, 333, 967):
            plane.advance(slots)
        outcomes.append(outcome(plane))
    assert len(outcomes[0]["up"]) > 1000
    for name, values in outcomes[0].items():
        np.testing.assert_array_equal(outcomes[1][name], values, err_msg=name)
        np.testing.assert_array_equal(outcomes[2][name], values, err_msg=name)


def test_cutting_the_run_into_calls_changes_nothing_of_errors_and_schedules() -> None:
    figures = []
    for cuts in ((2000,), (150, 7, 43, 800, 1000)):
        plane = plane_of(cell(n_ue=4, air=AirInterface(), scheduler=Scheduler.PF), cell(air=AirInterface()))
        plane.set_channel(Channel(ChannelParameters(), Streams(3, 0), cells=2, slots=4, pairs=[(0, 1)]))
        for c in (0, 1):
            plane.set_load(c, dl_mbps=9.0, ul_mbps=6.0)
        for slots in cuts:
            plane.advance(slots)
        figures.append((plane.take_counters(), plane.packet_log(0)))
    for name in figures[0][0].columns:
        np.testing.assert_allclose(figures[0][0][name], figures[1][0][name], rtol=1e-12, err_msg=name)
    np.testing.assert_array_equal(figures[0][1].downlink, figures[1][1].downlink)
    assert figures[0][0]["tb_ko_dl"].min() > 0


def test_blocks_fail_and_are_repeated_as_often_as_the_curves_say() -> None:
    """Far below the threshold, with the MCS held, and with room for all repetitions."""
    snr_db = snr_threshold_db(15, QAM64) - 5.0
    harq = Harq(max_retx=2, processes=16)
    interface = air(snr_db, adaptation=replace(FIXED_MCS, slope_db=3.0), harq=harq)
    plane = plane_of(cell(n_ue=2, air=interface, buffer_packets=2000))
    plane.hold(0, "mcs_ul", 15.0)
    k = run(plane, ul=2.0, slots=60_000)
    assert k["mcs_sum_ul"][0] / k["tb_new_ul"][0] == 15.0
    # A block that HARQ gave up on begins again as a new one does.
    blocks = k["tb_new_ul"][0] + k["harq_lost_ul"][0]
    expected = mean_transmissions(snr_db, 15, QAM64, harq, slope_db=3.0)
    assert k["tb_ue_ul"][0] / blocks == pytest.approx(expected, rel=0.005)
    lost = residual_error(snr_db, 15, QAM64, harq, slope_db=3.0)
    assert lost > 0.01
    assert k["harq_lost_ul"][0] / blocks == pytest.approx(lost, rel=0.1)
    assert k["delivered_bits_ul"][0] == pytest.approx(k["offered_bits_ul"][0], rel=0.002)
    assert k["rlf"][0] == 0.0


def test_an_outer_loop_left_alone_ends_at_its_target() -> None:
    """The MCS dithers between two where the SNR lies between their thresholds."""
    adaptation = LinkAdaptation(olla_step_db=0.02, olla_target=0.05)
    interface = air(15.4, adaptation=adaptation)
    plane = plane_of(cell(n_ue=1, air=interface, cap_prb_dl=0))
    k = run(plane, ul=9.0, warm=4000, slots=30_000)
    assert k["tb_ko_ul"][0] / k["tb_ue_ul"][0] == pytest.approx(0.05, abs=0.008)


def test_an_error_free_link_carries_the_block_sizes_of_its_mcs_and_no_more() -> None:
    for snr_db, mcs in ((12.0, 17), (30.0, 28)):
        interface = air(snr_db, adaptation=replace(FIXED_MCS, slope_db=0.05))
        k = run(plane_of(cell(n_ue=2, air=interface)), dl=40.0, warm=1000)
        # Downlink the CQI of 12 dB means MCS 15, of 30 dB MCS 28.
        known = {17: 15, 28: 28}[mcs]
        assert k["mcs_sum_dl"][0] / k["tb_new_dl"][0] == known
        assert k["delivered_bits_dl"][0] / k["slots"][0] == pytest.approx(25 * interface.bits(0)[known], rel=0.01)
        k = run(plane_of(cell(n_ue=2, air=interface)), ul=40.0, warm=1000)
        assert k["mcs_sum_ul"][0] / k["tb_new_ul"][0] == mcs
        assert k["delivered_bits_ul"][0] / k["slots"][0] == pytest.approx(22 * interface.bits(1)[mcs], rel=0.01)


def test_packets_arrive_in_order_and_late_by_whole_rounds_of_harq() -> None:
    """One UE, sparse packets, one block a packet: no queue, so a delay is that of its repetitions, or of one before."""
    rtt = 8
    snr_db = snr_threshold_db(28, QAM64)
    interface = air(snr_db, adaptation=replace(FIXED_MCS, slope_db=4.0), harq=Harq(rtt_slots=rtt))
    plane = plane_of(cell(n_ue=1, packet_bits=8000, air=interface))
    plane.set_load(0, dl_mbps=8000 / 200 / 1000.0, ul_mbps=0.0)
    plane.advance(40_000)
    log = plane.packet_log(0).downlink
    delay = log[:, 1] - log[:, 0]
    rounds = (delay - delay.min()) / rtt
    assert np.all(np.diff(log[:, 0]) > 0)
    assert np.abs(rounds - np.round(rounds)).max() < 1.01 / rtt  # the phase within a slot
    p1 = block_error_rate(snr_db, 28, QAM64, slope_db=4.0)
    assert np.mean(rounds > 0.5) == pytest.approx(p1, abs=0.07)
    fast = plane_of(cell(n_ue=1, air=replace(interface, snr_dl_db=24.0)))
    fast.set_load(0, dl_mbps=8.0, ul_mbps=0.0)
    fast.advance(4000)
    assert np.all(np.diff(fast.packet_log(0).downlink[:, 0]) > 0)
    assert np.all(np.diff(fast.packet_log(0).downlink[:, 1]) >= 0)
    assert fast.take_counters()["tb_ko_dl"][0] > 20


def test_a_link_fails_after_so_many_failures_in_a_row_and_comes_back_with_what_was_queued() -> None:
    harq = Harq(rlf_kos=10, rlf_ms=300.0, processes=16, max_retx=4)
    plane = plane_of(cell(n_ue=1, air=air(25.0, harq=harq), buffer_packets=2000), log=20_000)
    plane.set_load(0, dl_mbps=4.0, ul_mbps=2.0)
    plane.advance(200)
    plane.take_counters()
    plane.set_snr(1, np.array([[-30.0]]))
    plane.advance(100)
    plane.set_snr(1, np.array([[25.0]]))
    broken = plane.take_counters()
    plane.advance(3000)
    after = plane.take_counters()
    assert broken["rlf"][0] == 1.0
    assert broken["tb_ko_ul"][0] == 10.0  # then the UE is silent
    assert after["rlf"][0] == 0.0
    for way in ("dl", "ul"):
        assert after[f"dropped_packets_{way}"][0] == broken[f"dropped_packets_{way}"][0] == 0.0
    log = plane.packet_log(0)
    gap = np.diff(log.uplink[:, 1]).max()
    assert 300.0 < gap < 340.0
    assert np.diff(log.downlink[:, 1]).max() > 290.0  # the same link
    plane.set_load(0, dl_mbps=0.0, ul_mbps=0.0)
    plane.advance(500)
    rest = plane.take_counters()
    assert rest["backlog_bits_dl"][0] == rest["backlog_bits_ul"][0] == 0.0


def test_round_robin_shares_prbs_and_proportional_fair_serves_whoever_has_the_better_ratio() -> None:
    """Two UEs with full queues at the rates r1, r2: PF of exponent b ends where R1 / R2 = (r1 / r2)^(1 / b)."""
    shares = {}
    for scheduler, fairness in ((Scheduler.RR, 1.0), (Scheduler.PF, 1.0), (Scheduler.PF, 2.0)):
        interface = air(60.0, adaptation=replace(FIXED_MCS, slope_db=0.05))
        plane = plane_of(cell(n_ue=2, air=interface, scheduler=scheduler, pf_fairness=fairness, cap_prb_ul=0))
        plane.set_snr(0, np.array([[25.0, 11.5]]))
        plane.set_load(0, dl_mbps=60.0, ul_mbps=0.0)
        plane.advance(2000)
        plane.ue_delivered_bits(0)
        plane.advance(6000)
        bits = plane.ue_delivered_bits(0)
        shares[scheduler, fairness] = bits[0][0] / bits[1][0]
    rates = air(60.0).bits(0)
    ratio = rates[28] / rates[15]
    assert shares[Scheduler.RR, 1.0] == pytest.approx(ratio, rel=0.02)  # the odd PRB in turn
    assert shares[Scheduler.PF, 1.0] == pytest.approx(ratio, rel=0.03)
    assert shares[Scheduler.PF, 2.0] == pytest.approx(ratio**0.5, rel=0.03)


def test_what_one_ue_does_not_need_goes_to_the_other() -> None:
    for scheduler in Scheduler:
        plane = plane_of(cell(n_ue=2, ue_slots=2, scheduler=scheduler))
        plane.set_ue_load(0, 0, dl_mbps=2.0, ul_mbps=2.0)
        plane.set_ue_load(0, 1, dl_mbps=40.0, ul_mbps=40.0)
        plane.advance(1000)
        plane.ue_delivered_bits(0)
        plane.advance(4000)
        bits = plane.ue_delivered_bits(0)
        assert bits[0][0] / 4000 == pytest.approx(2000, rel=0.02)
        assert sum(ue[0] for ue in bits.values()) / 4000 == pytest.approx(25 * 848, rel=0.03)
        assert sum(ue[1] for ue in bits.values()) / 4000 == pytest.approx(22 * 966, rel=0.03)


def test_a_narrower_carrier_carries_and_costs_less() -> None:
    k = {}
    for n_prb in (10, 25, 50):
        plane = plane_of(cell(n_ue=2))
        plane.set_bandwidth(0, n_prb)
        k[n_prb] = run(plane, dl=60.0, ul=60.0, warm=1000, slots=2000)
    for n_prb, counters in k.items():
        assert counters["delivered_bits_dl"][0] / 2000 == pytest.approx(n_prb * 848, rel=0.02)
        assert counters["delivered_bits_ul"][0] / 2000 == pytest.approx(int(n_prb - 2.6) * 966, rel=0.02)
        du = FREE_DU
        base = du.base_ms * (1.0 + 0.5 * (n_prb / 25 - 1.0))
        work = (
            base + du.dl_fixed_ms + du.ul_fixed_ms + du.dl_full_ms * n_prb / 25 + du.ul_full_ms * int(n_prb - 2.6) / 25
        )
        assert counters["cpu_ms_du"][0] / 2000 == pytest.approx(work, rel=0.01)
    with pytest.raises(InputError, match="n_prb"):
        plane.set_bandwidth(0, 0)


def test_work_follows_the_mcs_and_rises_near_the_threshold() -> None:
    share = 0.5
    adaptation = replace(FIXED_MCS, slope_db=0.05, mcs_work_share=share)
    work = {}
    for snr_db in (snr_threshold_db(10, QAM64) + 0.3, 40.0):
        k = run(plane_of(cell(n_ue=1, air=air(snr_db, adaptation=adaptation))), ul=40.0, warm=500, slots=1000)
        work[snr_db] = (k["cpu_ms_du"][0] / 1000 - FREE_DU.base_ms - FREE_DU.ul_fixed_ms) / (
            FREE_DU.ul_full_ms * 22 / 25
        )
    low, high = work.values()
    iterations = 1.0 + 3.0 * np.exp(-0.3 / 0.7)
    assert high == pytest.approx(1.0, rel=0.01)
    assert low == pytest.approx(0.5 + 0.5 * (4 * 340) / (6 * 948) * iterations, rel=0.01)


def test_held_variables_stay_where_they_are_put_whatever_causes_them() -> None:
    def held(variable: str, value: float, *, load: float = 6.0) -> Counters:
        plane = plane_of(cell(n_ue=2, air=air(20.0)))
        plane.hold(0, variable, value)
        return run(plane, dl=load, ul=load, slots=3000)

    k = held("mcs_ul", 5.0)
    assert k["mcs_sum_ul"][0] / k["tb_new_ul"][0] == 5.0
    k = held("bler_dl", 0.3)
    assert k["tb_ko_dl"][0] / k["tb_ue_dl"][0] == pytest.approx(0.3, abs=0.025)
    k = held("snr", 3.0)
    assert k["snr_sum_ul"][0] / k["ue_ms"][0] == pytest.approx(3.0)
    assert k["mcs_sum_ul"][0] / k["tb_new_ul"][0] == 5.0
    assert k["mcs_sum_dl"][0] / k["tb_new_dl"][0] > 15.0
    k = held("sdl", 3.0)
    assert k["cqi_sum"][0] / k["ue_ms"][0] == 4.0
    for load in (0.0, 6.0, 40.0):
        k = held("prb_dl", 37.0, load=load)
        assert k["prb_used_dl"][0] / k["prb_available_dl"][0] == pytest.approx(0.37, abs=0.001)
        assert k["delivered_bits_dl"][0] <= 0.37 * 25 * 3000 * air(20.0).bits(0)[28] * 1.01
    plane = plane_of(cell())
    with pytest.raises(InputError, match="air interface"):
        plane.hold(0, "snr", 3.0)
    with pytest.raises(InputError, match="variable"):
        plane.hold(0, "cqi", 3.0)
    plane.hold(0, "prb_ul", 10.0)
    k = run(plane, ul=20.0)
    assert k["prb_used_ul"][0] / k["prb_available_ul"][0] == pytest.approx(0.1, abs=0.001)


def test_a_channel_sets_the_snr_and_gains_act_through_it_alone() -> None:
    def windows(gain_db: float | None, *, channel: bool = True) -> Counters:
        plane = plane_of(cell(n_ue=3, air=AirInterface()))
        if channel:
            plane.set_channel(Channel(ChannelParameters(), Streams(5, 0), cells=1, slots=3))
        plane.set_gains(0, tx_db=gain_db)
        return run(plane, dl=8.0, ul=5.0, warm=0, slots=3000)

    low, high, inert, as_inert = (
        windows(10.0),
        windows(30.0),
        windows(10.0, channel=False),
        windows(30.0, channel=False),
    )
    assert high["snr_sum_dl"][0] - low["snr_sum_dl"][0] > 5.0 * low["ue_ms"][0]
    np.testing.assert_allclose(high["snr_sum_ul"], low["snr_sum_ul"])
    assert low["ue_ms"][0] == 9000.0
    assert all(np.array_equal(inert[name], as_inert[name], equal_nan=True) for name in inert.columns)


def test_an_air_interface_needs_its_stream_and_full_buffers_have_none() -> None:
    with pytest.raises(InputError, match="stream"):
        DataPlane([cell(air=AirInterface())], {n: rng for n, rng in streams(1).items() if n != "air"})
    with pytest.raises(InputError, match="full"):
        cell(air=AirInterface(), full_buffer_dl=True)
    with pytest.raises(InputError, match="snr"):
        plane_of(cell()).set_snr(0, np.array([[3.0]]))
