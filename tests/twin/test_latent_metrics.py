"""Variables of a window that no container exports, and CUs that serve several cells."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.twin.emulated_process import brief_scenario
from twin.latent_metrics import SchedulerDelay
from twin.ran import RunPlan, RunRecord, simulate
from twin.scenario import Scenario


@cache
def scenario(*, shared: bool = False) -> Scenario:
    brief = brief_scenario()
    if not shared:
        return brief
    gnbs = tuple(replace(gnb, cu="ab"[gnb.cell > 2]) for gnb in brief.topology.gnbs)
    return replace(brief, topology=replace(brief.topology, gnbs=gnbs))


@cache
def run(*, du: float = 1.2, cu: float = 1.2, shared: bool = False) -> RunRecord:
    base = {c.name: du if "_du_" in c.name else cu for c in scenario(shared=shared).controls}
    return simulate(scenario(shared=shared), RunPlan(base=base, first_window=4000, windows=3), seed=3, run=1)


def test_a_scheduler_decision_is_hit_by_its_share_of_the_stalls() -> None:
    """30 ms of stall in 100 ms, demand 1 ms a slot, 4 us a decision: 0.3 ms x 4 / 1000 = 1.2 us on top."""
    delay = SchedulerDelay(base_us=4.0, per_ue_us=0.0)
    one = np.ones(1)
    assert delay.mean_us(one, one, 0.0 * one, 100 * one) == pytest.approx(4.0)
    assert delay.mean_us(one, one, 30.0 * one, 100 * one) == pytest.approx(5.2)


def test_throttling_shows_in_the_delays_of_the_stage_that_it_hits() -> None:
    plenty, du, cu = run().hidden, run(du=0.55).hidden, run(cu=0.33).hidden
    assert plenty["dly_du_1"] == pytest.approx(4.25)
    assert np.all(du["dly_du_1"] > 5.0)
    # A packet takes 122 us, and some wait for steady work; throttled it waits for the CU's 200 ms of buffer to drain.
    assert np.all((plenty["dly_cu_1"] > 121.6) & (plenty["dly_cu_1"] < 250.0))
    assert np.all((cu["dly_cu_1"] > 1e5) & (cu["dly_cu_1"] < 2.5e5))
    assert du["ps_du_1"] == pytest.approx(100.0 * run(du=0.55).metrics["stall_du_1"])
    assert np.all(plenty["ps_cu_1"] == 0.0)


def test_demand_is_what_a_slot_takes_and_not_what_the_limit_lets_it() -> None:
    plenty, tight = run(), run(du=0.45)
    assert plenty.hidden["wd_du_2"] == pytest.approx(plenty.metrics["cpuu_du_2"], rel=1e-6)
    assert np.all(tight.hidden["wd_du_2"] > 1.05 * tight.metrics["cpuu_du_2"])


def test_use_of_links_is_what_they_carry_over_what_they_can() -> None:
    alone, shared = run().hidden, run(shared=True).hidden
    assert alone["util_mh_1"] == pytest.approx(1.04, rel=0.01)  # 10 of 1000 Mbit/s and 4 % of headers
    assert alone["util_fh_1"] == pytest.approx(1.8432)  # 184.32 Mbit/s of samples on 10 GbE
    assert shared["util_mh_1"] == pytest.approx(1.04, rel=0.01)
    assert shared["util_bh_1"] == pytest.approx(2.08, rel=0.01)


def test_without_an_air_interface_the_radio_is_what_the_scenario_states() -> None:
    hidden = run().hidden
    assert [hidden[f"{stem}_1"][0] for stem in ("snr", "sdl", "cqi", "mcs_dl", "mcs_ul", "bler_ul")] == [
        30.0, 30.0, 15.0, 27.0, 27.0, 0.0
    ]  # fmt: skip


@pytest.mark.parametrize("cu", [1.2, 0.5])
def test_capacities_explain_what_is_delivered_through_a_cu_that_serves_two_cells(cu: float) -> None:
    """Two cells ask a CU for 0.17 + 0.0105 x 40 = 0.59 core."""
    record = run(cu=cu, shared=True)
    columns = dict(record.metrics)
    for name, expression in scenario(shared=True).problem().derivations.items():
        assert np.asarray(expression.evaluate(columns)) == pytest.approx(record.metrics[name], rel=0.03), name
    assert np.all((record.metrics["thp_dl_3"] > 9.9) == (cu > 0.59))
    assert np.all(record.metrics["cap_du_ul_2"] > 15.0)  # what the CU loses is no fault of the DU
