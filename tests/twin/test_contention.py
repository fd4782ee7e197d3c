"""Contention: off it changes nothing; on, neighbours cost CPU and power, and hosts are shared by weight."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.twin.emulated_process import brief_scenario
from twin.contention import ContentionParameters, fair_share
from twin.ran import RunPlan, RunRecord, simulate
from twin.scenario import Scenario

QUIET = ContentionParameters(
    llc=0.0, smt=0.0, neighbour_cores=0.0, activity_mean=0.0, activity_sd=0.0, burst_activity=0.0
)


@cache
def run(contention: ContentionParameters | None = None, *, cores: float = 16.0, windows: int = 2) -> RunRecord:
    scenario = with_cores(brief_scenario(), cores)
    if contention is not None:
        topology = replace(scenario.topology, mechanisms=frozenset({"contention"}))
        scenario = replace(scenario, topology=topology, tables={"contention": contention})
    base = {control.name: control.reference for control in scenario.controls}
    return simulate(scenario, RunPlan(base=base, first_window=2000, windows=windows), seed=3, run=1)


def with_cores(scenario: Scenario, cores: float) -> Scenario:
    hosts = tuple(replace(host, capacity_cores=cores) for host in scenario.topology.hosts)
    return replace(scenario, topology=replace(scenario.topology, hosts=hosts))


@given(
    st.floats(0.1, 64),
    st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 32)), min_size=1, max_size=8),
)
def test_shares_are_weighted_max_min(cores: float, containers: list[tuple[float, float]]) -> None:
    weights, demands = [c[0] for c in containers], [c[1] for c in containers]
    got = fair_share(cores, weights, demands)
    for share, weight, demand in zip(got, weights, demands, strict=True):
        assert share <= demand + 1e-9
        assert share >= min(demand, cores * weight / sum(weights)) - 1e-9  # a weight is worth its part of the host
    assert sum(got) == pytest.approx(min(cores, sum(demands)), rel=1e-6)


def test_a_share_that_one_leaves_goes_to_the_others_by_weight() -> None:
    assert fair_share(4.0, [1.0, 1.0, 2.0], [0.4, 9.0, 9.0]) == pytest.approx([0.4, 1.2, 2.4])


def test_slowdown_is_one_on_a_host_that_nothing_else_uses_and_grows_with_the_neighbour_and_past_half_the_cpus() -> None:
    par = ContentionParameters(llc=0.2, smt=0.4)
    assert par.slowdown(0.0, 8.0, 16.0) == 1.0
    assert par.slowdown(0.5, 8.0, 16.0) == pytest.approx(1.1)
    assert par.slowdown(0.5, 8.1, 16.0) == pytest.approx(1.5)


def test_contention_without_any_effect_changes_no_digit() -> None:
    without, with_it = run(), run(QUIET)
    for name, values in without.metrics.items():
        assert np.array_equal(values, with_it.metrics[name], equal_nan=True), name


def test_a_neighbour_costs_cpu_time_and_power_and_leaves_delivery_alone_where_there_is_room() -> None:
    loud = replace(QUIET, llc=0.2, neighbour_cores=4.0, activity_mean=0.5)
    without, beside = run(), run(loud)
    assert beside.hidden["nn_h1"] == pytest.approx(0.5)
    assert beside.hidden["hst_h1"] == pytest.approx(0.1)
    for cell in (1, 4):
        ratio = beside.metrics[f"cpuu_du_{cell}"] / without.metrics[f"cpuu_du_{cell}"]
        assert ratio == pytest.approx(1.1, rel=0.02)
        assert beside.metrics[f"thp_ul_{cell}"] == pytest.approx(without.metrics[f"thp_ul_{cell}"], rel=0.01)
    # 2 cores of the neighbour and a tenth of the containers' 2.1, at 2.5 to 3 W each
    assert 5.0 < float(np.mean(beside.metrics["pow_h1"] - without.metrics["pow_h1"])) < 7.0


def test_an_activity_path_is_the_same_whatever_the_cores_or_costs_are() -> None:
    moving = replace(QUIET, activity_mean=0.4, activity_sd=0.2, burst_activity=0.5, burst_every_s=5.0, burst_s=2.0)
    one, other = run(moving, windows=4), run(replace(moving, llc=0.3, neighbour_cores=3.0), windows=4)
    assert np.array_equal(one.hidden["nn_h2"], other.hidden["nn_h2"])
    assert np.ptp(one.hidden["nn_h2"]) > 0.05
    assert not np.array_equal(one.hidden["nn_h1"], one.hidden["nn_h2"])


def test_containers_that_ask_for_more_than_there_is_share_the_host_and_starve() -> None:
    """Two gNBs ask for 2.1 cores; on 1.2 cores neither DU nor CU gets what it needs, and nobody gets more."""
    crowded = run(QUIET, cores=1.2)
    used = sum(crowded.metrics[f"cpuu_{part}_{i}"] for part in ("du", "cu") for i in (1, 2))
    assert np.all(used <= 1.2 * 1.02)
    assert np.all(crowded.metrics["thp_ul_1"] < 9.0)


def test_a_heavier_weight_is_worth_more_of_a_crowded_host() -> None:
    even, heavy = run(QUIET, cores=1.2), run(replace(QUIET, du_weight=8.0), cores=1.2)
    assert np.all(heavy.metrics["cpuu_du_1"] > 1.1 * even.metrics["cpuu_du_1"])
    assert np.all(heavy.metrics["cpuu_cu_1"] < even.metrics["cpuu_cu_1"])
