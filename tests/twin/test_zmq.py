"""The virtual radio: lock-step, so that too little CPU makes everything slower and nothing late."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from twin.ran import RunPlan, RunRecord, simulate
from twin.scenario import load_scenario

CAP_UL_MBPS = 7.1


@cache
def at(du: float, cu: float = 1.2) -> RunRecord:
    scenario = load_scenario("zmq")
    base = {c.name: du if "_du_" in c.name else cu for c in scenario.controls}
    return simulate(scenario, RunPlan(base=base, first_window=4000, windows=2), seed=7, run=0)


def mean(record: RunRecord, metric: str) -> float:
    return float(np.mean(record.metrics[metric]))


def test_with_plenty_of_cpu_the_loads_fit_below_what_the_uplink_of_this_radio_carries() -> None:
    scenario, record = load_scenario("zmq"), at(3.0)
    assert max(scenario.operating_load.ul_mbps, scenario.passive_load.upper_mbps) < CAP_UL_MBPS
    for cell in range(1, 5):
        assert mean(record, f"thp_dl_{cell}") == pytest.approx(8.0, rel=2e-3)
        assert mean(record, f"thp_ul_{cell}") == pytest.approx(5.0, rel=2e-3)
        assert mean(record, f"cap_du_ul_{cell}") == pytest.approx(CAP_UL_MBPS, rel=0.05)


def test_starved_of_cpu_the_rate_is_in_proportion_to_the_quota_and_nothing_is_lost() -> None:
    rates = {quota: mean(at(quota), "thp_dl_1") for quota in (0.3, 0.6, 1.0)}
    assert rates[0.6] / rates[0.3] == pytest.approx(2.0, rel=0.02)
    assert rates[1.0] / rates[0.3] == pytest.approx(10.0 / 3.0, rel=0.02)
    for quota in rates:
        assert mean(at(quota), "nok_dl_1") == 0.0
        assert mean(at(quota), "nok_ul_1") == 0.0


def test_a_scenario_of_this_radio_keeps_saying_so() -> None:
    scenario = load_scenario("zmq")
    assert scenario.to_dict()["scenario"]["radio_mode"] == "zmq"
    assert scenario.calibration_id == "zmq-prior"
    assert any("priors" in note for note in scenario.notes)
