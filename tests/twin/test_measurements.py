import math

import pytest

from twin.measurements import ROWS, Scope, added_rows, standard_measurements
from twin.scenario import load_scenario
from twin.topology import Gnb, Host, Topology


def topology(*mechanisms: str) -> Topology:
    return Topology(
        hosts=(Host(name="h1", capacity_cores=16.0),),
        gnbs=(Gnb(cell=1, host="h1", cu="a", ues=3), Gnb(cell=2, host="h1", cu="a", ues=3)),
        mechanisms=frozenset(mechanisms),
    )


def added(*mechanisms: str) -> set[str]:
    return {m.name for m in topology(*mechanisms).metrics()} - {m.name for m in topology().metrics()}


def test_a_scenario_without_optional_tables_has_the_metrics_that_it_always_had() -> None:
    for scope in Scope:
        assert added_rows(scope, frozenset()) == ()
    assert len(load_scenario("cpu-allocation").topology.metrics()) == 86


def test_a_mechanism_brings_its_metrics_and_any_brings_delays_and_use_of_links() -> None:
    any_at_all = {f"{stem}_{i}" for stem in ("dly_du", "util_fh", "util_mh", "util_bh") for i in (1, 2)} | {"dly_cu_a"}
    assert added("cfs") == any_at_all
    assert added("memory") - any_at_all == {"memu_du_1", "memu_du_2", "memu_cu_a", "up_du_1", "up_du_2", "up_cu_a"}
    assert {"snr_1", "cqi_2", "mcs_ul_1", "bler_dl_2"} <= added("harq")


def test_values_in_terms_of_ts_28_552_have_its_names_and_units() -> None:
    metrics = {
        "prb_dl_1": 42.0,
        "thp_ul_1": 10.0,
        "cpuu_du_1": 0.6,
        "cpuu_cu_a": 0.3,
        "memu_du_1": 2200.0,
        "dly_cu_a": 250.0,
        "pow_h1": 85.0,
        "nue_1": math.nan,
        "cap_du_ul_1": 21.0,
    }
    limits = {"cpu_du_1": 1.2, "mem_du_1": 4.0}
    seen = {(s.name, element): (value, s.unit) for s, element, value in standard_measurements(metrics, limits, 15.0)}
    assert seen == {
        ("RRU.PrbTotDl", "1"): (42.0, "%"),
        ("DRB.PdcpSduVolumeUL", "1"): (150.0, "Mbit"),
        ("VR.VCpuUsageMean", "1"): (pytest.approx(50.0), "%"),
        ("VR.VMemoryUsageMean", "1"): (pytest.approx(55.0), "%"),
        ("DRB.PdcpSduDelayDl", "a"): (pytest.approx(2.5), "0.1 ms"),
        ("PEE.AvgPower", "h1"): (85.0, "W"),
    }


def test_every_name_is_of_a_metric_that_some_scenario_has() -> None:
    everything = topology(*{table for row in ROWS for table in row.when if table != "*"})
    stems = {metric.name.rpartition("_")[0] for metric in everything.metrics()} | {"ho"}
    assert {row.stem for row in ROWS} <= stems
    for row in ROWS:
        assert (row.when == ()) == (row.unit == "") == (row.says == ""), row.stem
