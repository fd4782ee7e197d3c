"""Several DUs on one CU: what they share, what they do not, and that time goes the same way for all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.agreement import streams
from col.errors import InputError
from twin.dataplane import Counters, DataPlane
from twin.parameters import CellParameters, CuCompute, DuCompute, LinkParameters

STEADY_DU = DuCompute(slot_cv=0.0, slow_sd=0.0, resume_ms=0.0)
STEADY_CU = CuCompute(slow_sd=0.0)
CELL = CellParameters(du=STEADY_DU, cu=STEADY_CU)


def plane_of(
    cells: list[CellParameters], cu_of: list[int] | None, *, mbps: float = 8.0, du: float = 16.0, cu: float = 16.0
) -> DataPlane:
    plane = DataPlane(cells, streams(3), cu_of=cu_of, log_packets=20_000)
    for c in range(len(cells)):
        plane.set_load(c, dl_mbps=mbps, ul_mbps=mbps)
        plane.set_quota(c, du_cores=du, cu_cores=cu)
    return plane


def run(plane: DataPlane, calls: tuple[int, ...]) -> Counters:
    for n in calls:
        plane.advance(n)
    return plane.take_counters()


def test_a_cu_that_is_never_short_delays_its_cells_by_their_own_packets_alone() -> None:
    """With work and lines that take next to no time nobody waits for anybody: cells fare as with CUs of their own."""
    fast = LinkParameters(backhaul_mbps=1e12)
    quick = replace(CELL, cu=replace(STEADY_CU, base_share=0.0, packet_ms=1e-12), links=fast)
    own, shared = (plane_of([quick] * 3, cu_of, mbps=0.0, du=0.6) for cu_of in (None, [4, 9, 4]))
    for plane in (own, shared):
        plane.advance(100)  # until quotas have been refilled, those of CUs at a time of the CU's own
        for cell in range(3):
            plane.set_load(cell, dl_mbps=8.0, ul_mbps=8.0)
    ours, theirs = run(own, (1500,)), run(shared, (1500,))

    assert ours["stall_ms_du"].min() > 100.0
    for name in ("slots_ok", "slots_late", "slots_skipped", "stall_ms_du", "cpu_ms_du", "prb_used_dl", "prb_used_ul"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=0.01, err_msg=name)
    for cell in range(3):
        for one, other in zip(_both(own, cell), _both(shared, cell), strict=True):
            n = min(len(one), len(other)) - 60
            assert n > 700
            np.testing.assert_allclose(one[:n], other[:n], atol=1e-6)


def _both(plane: DataPlane, cell: int) -> tuple[np.ndarray, np.ndarray]:
    log = plane.packet_log(cell)
    return log.downlink, log.uplink


def test_what_a_cu_does_is_the_sum_over_its_cells_and_its_steady_work_is_done_once() -> None:
    k = run(plane_of([CELL] * 4, [0, 0, 0, 1]), (1000, 4000))
    packets = k["packets_dl"] + k["packets_ul"]

    assert k["cu_base_ms"] == pytest.approx([0.17 * 5000, 0.0, 0.0, 0.17 * 5000], rel=1e-3)
    assert k["cu_packet_ms"][0] == pytest.approx(0.1216 * packets[:3].sum(), rel=2e-3)
    assert k["cu_packet_ms"][3] == pytest.approx(0.1216 * packets[3], rel=2e-3)
    assert k["cpu_ms_cu"][1] == k["cpu_ms_cu"][2] == k["cu_budget_ms"][1] == 0.0


def test_a_cell_suffers_from_its_neighbour_on_a_cu_that_is_short() -> None:
    """0.5 core less the steady 0.17 leave 2.7 packets a ms: enough for 8 + 8 Mbit/s (1.4), too little for 24 more."""
    delivered = {}
    for name, cu_of in (("own", [0, 1]), ("shared", [0, 0])):
        plane = plane_of([CELL] * 2, cu_of, cu=0.5)
        plane.set_load(1, dl_mbps=12.0, ul_mbps=12.0)
        k = run(plane, (1000,)), run(plane, (6000,))
        delivered[name] = k[1]["delivered_bits_dl"][0] / k[1]["offered_bits_dl"][0]
        if name == "shared":
            assert k[1]["dropped_cu_dl"].min() > 0.0
            assert k[1]["cpu_ms_cu"][0] / 6000 == pytest.approx(0.5, rel=0.02)
            # Both directions of both cells stand in one line, so each loses the same share.
            share = (3000.0 - k[1]["cu_base_ms"][0]) / 0.1216 / (40e6 / 11584 * 6)
            for way in ("dl", "ul"):
                lost = k[1][f"dropped_cu_{way}"] * 11584 / k[1][f"offered_bits_{way}"]
                assert 1.0 - lost == pytest.approx(np.full(2, share), rel=0.01)
    assert delivered["own"] == pytest.approx(1.0, rel=0.005)
    assert delivered["shared"] < 0.86


@pytest.mark.parametrize("cu_of", [[0, 0, 0], [0, 1, 0]])
def test_cutting_the_run_into_calls_changes_nothing(cu_of: list[int]) -> None:
    """Cells whose slots begin late, up to 60 ms, must not make their CU run ahead of the others."""
    late = CellParameters(du=DuCompute(skip_after_ms=60.0), buffer_packets=40)
    planes = [plane_of([late, CellParameters(), late], cu_of, mbps=9.0, du=0.5, cu=0.6) for _ in range(2)]
    whole, cut = run(planes[0], (1500,)), run(planes[1], (1, 99, 37, 463, 600, 300))

    assert whole["slots_late"].min() > 0
    for name in whole.columns:
        np.testing.assert_array_equal(cut[name], whole[name], err_msg=name)
    for cell in range(3):
        for one, other in zip(_both(planes[0], cell), _both(planes[1], cell), strict=True):
            np.testing.assert_array_equal(one, other)


def test_every_packet_of_cells_that_share_is_delivered_or_dropped() -> None:
    cells = [replace(CELL, n_ue=n, buffer_packets=30) for n in (1, 3, 2)]
    plane = plane_of(cells, [0, 0, 1], mbps=10.0, du=0.45, cu=0.35)
    plane.advance(1700)
    for c in range(3):
        plane.set_load(c, dl_mbps=0.0, ul_mbps=0.0)
        plane.set_quota(c, du_cores=16.0, cu_cores=16.0)
    plane.advance(3000)
    k = plane.take_counters()
    for way in ("dl", "ul"):
        ended = k[f"packets_{way}"] + k[f"dropped_packets_{way}"]
        np.testing.assert_array_equal(ended, np.round(k[f"offered_bits_{way}"] / 11584))
        assert k[f"dropped_cu_{way}"].max() > 0


def test_a_cu_must_be_given_for_each_cell() -> None:
    with pytest.raises(InputError, match="cu_of"):
        DataPlane([CELL, CELL], streams(0), cu_of=[0])
