"""UEs that come, go and move: no packet is lost that should not be, none is counted twice, jitter goes on."""

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
from twin.dataplane import DataPlane
from twin.parameters import CellParameters, CuCompute, DuCompute
from twin.streams import Streams

BASE = CellParameters(
    n_ue=2, ue_slots=4, du=DuCompute(slot_cv=0.0, slow_sd=0.0), cu=CuCompute(slow_sd=0.0), buffer_packets=2000
)
BITS = BASE.packet_bits


def plane_of(cells: int = 2, *, seed: int = 1, cu_of: list[int] | None = None, **changes: Any) -> DataPlane:
    generators = streams(seed) | {"air": np.random.Generator(np.random.PCG64(seed))}
    return DataPlane([replace(BASE, **changes)] * cells, generators, log_packets=20_000, cu_of=cu_of)


def balance(plane: DataPlane) -> dict[str, np.ndarray]:
    """Return the packets offered, delivered, dropped and still queued since the start, over all cells, down and up."""
    k = plane.take_counters()
    return {
        way: np.array(
            [
                k[f"offered_bits_{way}"].sum() / BITS,
                k[f"packets_{way}"].sum(),
                k[f"dropped_packets_{way}"].sum(),
                np.ceil(k[f"backlog_bits_{way}"] / BITS).sum(),
            ]
        )
        for way in ("dl", "ul")
    }


def run_out(plane: DataPlane) -> dict[str, np.ndarray]:
    """Stop all senders, let everything arrive and return the balance."""
    for cell in range(len(plane.cells)):
        plane.set_load(cell, dl_mbps=0.0, ul_mbps=0.0)
    plane.advance(3000)
    return balance(plane)


def test_slots_are_free_or_taken() -> None:
    plane = plane_of()
    assert plane.attached(0) == (0, 1)
    plane.attach(0, 3)
    plane.detach(0, 0)
    assert plane.attached(0) == (1, 3)
    with pytest.raises(InputError, match="slot"):
        plane.attach(0, 3)
    with pytest.raises(InputError, match="slot"):
        plane.attach(0, 4)
    with pytest.raises(InputError, match="slot"):
        plane.detach(0, 2)
    with pytest.raises(InputError, match="slot"):
        plane.set_ue_load(0, 0, dl_mbps=1.0, ul_mbps=1.0)
    with pytest.raises(InputError, match="slot"):
        plane.move_ue(0, 1, 1, 1, resume_ms=10.0)
    with pytest.raises(InputError, match="to_cell"):
        plane.move_ue(0, 1, 0, 2, resume_ms=10.0)
    plane.advance(20)
    with pytest.raises(InputError, match="resume_ms"):
        plane.move_ue(0, 1, 1, 2, resume_ms=10.0)


def test_free_slots_change_nothing() -> None:
    """But for the turn, which goes over them too: with one UE there is none."""
    figures = []
    for slots in (0, 4):
        plane = plane_of(1, n_ue=1, ue_slots=slots)
        plane.set_load(0, dl_mbps=9.0, ul_mbps=7.0)
        plane.set_quota(0, du_cores=0.6, cu_cores=0.5)
        plane._ue[0, :, 0, 0] = 0.3  # the phases are drawn for all slots
        plane.advance(1500)
        k = plane.take_counters()
        figures.append({name: values[0] for name, values in k.columns.items()})
    assert figures[0] == pytest.approx(figures[1], nan_ok=True)


def test_each_ue_offers_its_own_rate_also_where_rates_come_and_go() -> None:
    plane = plane_of(1)
    rng = np.random.default_rng(4)
    expected = np.zeros(2)
    for _ in range(40):
        for slot in plane.attached(0):
            rates = rng.choice([0.0, 1.0, 5.0], size=2)
            plane.set_ue_load(0, slot, dl_mbps=rates[0], ul_mbps=rates[1])
            expected += rates * 50.0 * 1000.0 / BITS
        plane.advance(50)
    total = run_out(plane)
    for way, packets in zip(("dl", "ul"), expected, strict=True):
        offered, delivered, dropped, queued = total[way]
        assert offered == pytest.approx(packets, abs=6)  # a stopped sender goes on from where it was
        assert delivered + dropped == pytest.approx(offered)
        assert dropped == queued == 0.0


def test_a_sender_that_stops_loses_nothing_of_what_it_has_sent() -> None:
    """Many packets are in the backhaul at that time."""
    plane = plane_of(1, n_ue=1)
    plane.set_ue_load(0, 0, dl_mbps=20.0, ul_mbps=0.0)
    plane.advance(400)
    plane.set_ue_load(0, 0, dl_mbps=0.0, ul_mbps=0.0)
    before = balance(plane)["dl"]
    plane.advance(200)
    after = balance(plane)["dl"]
    assert before[0] == pytest.approx(400 * 20_000 / BITS, abs=1.0)
    assert before[1] < before[0] - 10
    assert after[0] == 0.0
    assert before[1] + after[1] == pytest.approx(before[0])


@pytest.mark.parametrize("cu_of", [None, [0, 0]], ids=["a-cu-each", "one-cu"])
@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("lose_in_flight", [True, False])
def test_a_move_loses_what_it_says_and_nothing_else(
    cu_of: list[int] | None, forward: bool, lose_in_flight: bool
) -> None:
    plane = plane_of(cu_of=cu_of)
    plane.set_load(0, dl_mbps=16.0, ul_mbps=14.0)
    plane.set_load(1, dl_mbps=2.0, ul_mbps=2.0)
    for cell in (0, 1):
        plane.set_quota(cell, du_cores=0.62 if cell == 0 else 16.0)
    plane.advance(1037)
    plane.move_ue(0, 1, 1, 3, resume_ms=1037 + 200, forward=forward, lose_in_flight=lose_in_flight)
    assert plane.attached(0) == (0,)
    assert plane.attached(1) == (0, 1, 3)
    plane.advance(199)
    assert plane.ue_delivered_bits(1)[3] == (0, 0)
    plane.advance(400)
    assert min(plane.ue_delivered_bits(1)[3]) > 0
    total = run_out(plane)
    for way in ("dl", "ul"):
        offered, delivered, dropped, queued = total[way]
        assert queued == 0.0
        assert delivered + dropped == pytest.approx(offered)
    if forward:
        assert total["dl"][2] == (1.0 if lose_in_flight and total["dl"][2] else 0.0)
    else:
        assert total["dl"][2] > 1.0
    assert total["ul"][2] <= (1.0 if lose_in_flight else 0.0)


def test_a_handover_gap_is_an_interruption_and_a_burst_and_the_jitter_knows_both() -> None:
    """RFC 3550: one stream of packets, whose delay jumps by the gap and falls back as the queue drains."""
    plane = plane_of(n_ue=1)
    plane.set_ue_load(0, 0, dl_mbps=3.0, ul_mbps=3.0)
    plane.advance(1000)
    settled = plane.take_counters()["jitter_ms_ul"][0]
    gap_ms = 160.0
    plane.move_ue(0, 0, 1, 2, resume_ms=1000.0 + gap_ms)
    plane.detach(1, 0)
    plane.advance(1500)
    k = plane.take_counters()
    log = plane.packet_log(1)
    up = log.uplink[log.uplink[:, 0] > 900.0]
    delay = up[:, 1] - up[:, 0]
    assert np.all(np.diff(up[:, 0]) > 0)
    assert delay.max() == pytest.approx(gap_ms + delay.min(), abs=8.0)
    # Rebuild the jitter from the packets of both cells, in order.
    packets = np.concatenate([plane.packet_log(0).uplink, plane.packet_log(1).uplink])
    jitter, peak = 0.0, 0.0
    for change in np.abs(np.diff(packets[:, 1] - packets[:, 0])):
        jitter += (change - jitter) / 16.0
        peak = max(peak, jitter)
    assert k["jitter_ms_ul"][1] == pytest.approx(jitter, rel=1e-9)
    assert peak > settled + 0.8 * gap_ms / 16.0
    assert k["jitter_ms_ul"][0] == 0.0  # nobody is there


def test_a_ue_that_leaves_takes_everything_of_its_own_along_and_its_slot_is_as_new() -> None:
    plane = plane_of(1, n_ue=2, air=AirInterface(snr_dl_db=12.0, snr_ul_db=10.0), buffer_packets=300)
    plane.set_load(0, dl_mbps=14.0, ul_mbps=12.0)
    plane.set_quota(0, du_cores=0.6)
    plane.advance(777)
    plane.detach(0, 1)
    at_once = balance(plane)
    assert at_once["dl"][2] > 10
    plane.attach(0, 1)
    assert plane._air[0, :, 1, 2:4].max() == 0.0  # outer loop and MCS
    plane.set_ue_load(0, 1, dl_mbps=1.0, ul_mbps=1.0)
    plane.set_quota(0, du_cores=16.0)
    plane.advance(1000)
    rest = run_out(plane)
    for way in ("dl", "ul"):
        offered, delivered, dropped, _ = at_once[way] + rest[way]
        assert rest[way][3] == 0.0
        assert delivered + dropped == pytest.approx(offered)


def test_ues_walk_between_cells_for_a_while_and_no_packet_is_lost_or_doubled() -> None:
    plane = plane_of(4, air=AirInterface(), cu_of=[0, 0, 1, 2])
    plane.set_channel(
        Channel(ChannelParameters(gnb_power_dbm=30.0), Streams(2, 0), cells=4, slots=4, pairs=[(0, 1), (2, 3)])
    )
    for cell in range(4):
        plane.set_load(cell, dl_mbps=6.0, ul_mbps=5.0)
        plane.set_quota(cell, du_cores=0.7, cu_cores=0.9)
    rng = np.random.default_rng(8)
    moves = 0
    for _ in range(50):
        plane.advance(int(rng.integers(5, 40)))
        source, target = rng.choice(4, 2, replace=False)
        there = plane.attached(int(source))
        free = [slot for slot in range(4) if slot not in plane.attached(int(target))]
        if there and free:
            forward, lose = bool(rng.integers(2)), bool(rng.integers(2))
            plane.move_ue(
                int(source), int(rng.choice(there)), int(target), free[0],
                resume_ms=plane.now_ms + float(rng.integers(0, 120)), forward=forward, lose_in_flight=lose,
            )  # fmt: skip
            moves += 1
    assert moves > 30
    plane.advance(1000)
    total = run_out(plane)
    for way in ("dl", "ul"):
        offered, delivered, dropped, queued = total[way]
        assert queued == 0.0
        assert delivered + dropped == pytest.approx(offered)
        assert delivered > 0.5 * offered


def test_load_is_what_was_set_whatever_the_quotas_and_links_make_of_its_packets() -> None:
    """Each change keeps the sender's share of its interval, and moves nothing that was sent before it."""
    total = []
    for du_cores in (16.0, 0.45):
        plane = plane_of(1, n_ue=1, ue_slots=1)
        plane.set_quota(0, du_cores=du_cores)
        times: list[float] = []
        next_ms, share = 0.0, float(plane._phase[0, 0, 0])
        rng = np.random.default_rng(3)
        for _ in range(30):
            mbps = float(rng.choice([2.0, 5.0, 20.0]))
            plane.set_ue_load(0, 0, dl_mbps=mbps, ul_mbps=mbps)
            start, interval_ms = plane.now_ms, BITS / (1000.0 * mbps)
            next_ms = start + share * interval_ms
            plane.advance(int(rng.integers(20, 90)))
            while next_ms <= plane.now_ms:
                times.append(next_ms)
                next_ms += interval_ms
            share = (next_ms - plane.now_ms) / interval_ms
        total.append(balance(plane))
        assert total[-1]["dl"][0] == pytest.approx(len(times), abs=1e-6)
        if du_cores == 16.0:  # a DU that stalls has drawn on the next few packets when the load changes
            sent = plane.packet_log(0).downlink[:, 0]
            np.testing.assert_allclose(sent, times[: len(sent)], atol=1e-6)
            assert len(sent) > len(times) - 20
    for way in ("dl", "ul"):
        assert total[0][way][0] == pytest.approx(total[1][way][0], abs=1e-6)
