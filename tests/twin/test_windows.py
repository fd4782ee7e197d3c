import math
from dataclasses import replace

import numpy as np
import pytest

from twin.topology import Gnb, Host, Topology
from twin.windows import window_metrics

TOPOLOGY = Topology(
    hosts=(Host(name="h1", capacity_cores=16.0),),
    gnbs=(Gnb(cell=1, host="h1", cu="1", ues=3), Gnb(cell=2, host="h1", cu="2", ues=3)),
)
PACKET_BITS = 11584.0


def counters(**columns: float) -> dict[str, np.ndarray]:
    """Cell 1 served 15 s at 10 Mbit/s both ways with `columns` set otherwise; cell 2 was idle."""
    first = {
        "slots": 15000.0,
        "slots_late": 100.0,
        "slots_skipped": 50.0,
        "offered_bits_dl": 150e6,
        "offered_bits_ul": 150e6,
        "delivered_bits_dl": 150e6,
        "delivered_bits_ul": 150e6,
        "dropped_packets_dl": 0.0,
        "dropped_packets_ul": 0.0,
        "packets_dl": 12950.0,
        "packets_ul": 12950.0,
        "delay_sum_ms_dl": 129500.0,
        "delay_sum_ms_ul": 64750.0,
        "jitter_ms_ul": 0.5,
        "prb_used_dl": 185000.0,
        "prb_used_ul": 150000.0,
        "prb_available_dl": 370000.0,
        "prb_available_ul": 300000.0,
        "tb_ok_dl": 9900.0,
        "tb_ok_ul": 9000.0,
        "tb_nok_dl": 100.0,
        "tb_nok_ul": 1000.0,
        "backlog_bits_dl": 16000.0,
        "backlog_bits_ul": 8000.0,
        "cpu_ms_du": 10500.0,
        "cpu_ms_cu": 5700.0,
        "stall_ms_du": 300.0,
        "stall_ms_cu": 1500.0,
        "cu_packet_ms": 3150.0,
        "cu_budget_ms": 4200.0,
    } | columns
    idle = dict.fromkeys(first, 0.0) | {
        "slots": 15000.0,
        "prb_available_dl": 375000.0,
        "prb_available_ul": 335000.0,
        "cpu_ms_du": 7350.0,
        "cpu_ms_cu": 2550.0,
        "cu_budget_ms": 15450.0,
    }
    return {name: np.array([first[name], idle[name]]) for name in first}


def test_every_metric_of_cells_and_cus_is_computed() -> None:
    named = {metric.name for metric in TOPOLOGY.metrics() if not metric.name.startswith("pow_")}
    assert set(window_metrics(counters(), TOPOLOGY, PACKET_BITS)) == named | {"gul_1", "gul_2"}


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("load_dl_1", 10.0),
        ("thp_ul_1", 10.0),
        ("prb_dl_1", 50.0),
        ("cpuu_du_1", 0.7),
        ("cpuu_cu_1", 0.38),
        ("stall_du_1", 0.02),
        ("stall_cu_1", 0.1),
        ("late_du_1", 0.01),
        ("nok_dl_1", 0.01),
        ("nok_ul_1", 0.1),
        ("bs_dl_1", 2.0),
        ("bsr_1", 1.0),
        ("dly_dl_1", 10.0),
        ("dly_ul_1", 5.0),
        ("jit_ul_1", 0.5),
        ("cap_du_dl_1", 20.0),
        ("cap_du_ul_1", 20.0),
        ("cap_cu_1", 20.0 / 0.75),
        ("load_dl_2", 0.0),
        ("thp_dl_2", 0.0),
        ("prb_ul_2", 0.0),
    ],
)
def test_metrics_have_the_value_and_unit_that_their_description_says(metric: str, value: float) -> None:
    assert window_metrics(counters(), TOPOLOGY, PACKET_BITS)[metric] == pytest.approx(value)


def test_what_an_idle_cell_cannot_show_is_missing() -> None:
    metrics = window_metrics(counters(), TOPOLOGY, PACKET_BITS)
    for stem in ("cap_du_dl", "cap_du_ul", "cap_cu", "dly_dl", "dly_ul", "jit_ul", "nok_dl", "nok_ul"):
        assert math.isnan(metrics[f"{stem}_2"])


def test_what_a_starved_cu_loses_does_not_count_against_the_du() -> None:
    lost = 6475.0  # half of the uplink packets of 15 s at 10 Mbit/s
    starved = counters(
        delivered_bits_ul=75e6, packets_ul=6475.0, dropped_packets_ul=lost, cu_packet_ms=4200.0, cu_budget_ms=4200.0
    )
    metrics = window_metrics(starved, TOPOLOGY, PACKET_BITS)
    assert metrics["thp_ul_1"] == pytest.approx(5.0)
    assert metrics["cap_du_ul_1"] == pytest.approx(20.0, rel=1e-3)


def test_what_a_starved_du_loses_does_not_count_against_the_cu() -> None:
    starved = counters(delivered_bits_dl=75e6, dropped_packets_dl=6475.0)
    metrics = window_metrics(starved, TOPOLOGY, PACKET_BITS)
    assert metrics["thp_dl_1"] == pytest.approx(5.0)
    assert metrics["cap_cu_1"] == pytest.approx(20.0 / 0.75)


def test_a_cu_that_was_down_carried_nothing_at_the_least_even_where_it_drops_what_was_offered_before() -> None:
    down = counters(offered_bits_dl=0.0, delivered_bits_ul=0.0, dropped_cu_dl=2.0, dropped_cu_ul=0.0)
    topology = replace(TOPOLOGY, mechanisms=frozenset({"faults"}))
    assert window_metrics(down, topology, PACKET_BITS, up={"up_cu_1": 0.0})["cap_cu_1"] == 0.0
