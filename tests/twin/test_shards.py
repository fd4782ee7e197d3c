"""A large RAN is simulated in parts that do not touch each other: the same whatever simulates them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from col.errors import InputError
from col.plant import Intervention, Windows
from twin.job_pool import ProcessJobs, ThreadJobs
from twin.ran import simulate, trial_plan
from twin.scenario import load_scenario
from twin.scenario_model import Scenario
from twin.shards import MOST_TOGETHER, shards
from twin.topology import Pair
from twin.twin import Twin


@pytest.fixture(scope="module")
def large() -> Scenario:
    """Forty gNBs in short windows."""
    scenario = load_scenario("gnbs-40")
    return replace(scenario, window=replace(scenario.window, length_s=1.0, settle_s=0.5, warmup_s=0.5))


def same(a: Windows, b: Windows) -> bool:
    columns = {**a.controls, **a.metrics}, {**b.controls, **b.metrics}
    return list(columns[0]) == list(columns[1]) and all(
        np.array_equal(columns[0][name], columns[1][name], equal_nan=True) for name in columns[0]
    )


def test_every_cell_host_and_cu_is_in_one_shard_and_none_is_larger_than_it_may_be(large: Scenario) -> None:
    parts = shards(large)
    assert sorted(g.cell for part in parts for g in part.topology.gnbs) == list(range(1, 41))
    hosts = [host.name for part in parts for host in part.topology.hosts]
    assert sorted(hosts) == sorted(host.name for host in large.topology.hosts)
    assert max(len(part.topology.gnbs) for part in parts) == MOST_TOGETHER
    assert len({cu for part in parts for cu in part.topology.cus}) == sum(len(part.topology.cus) for part in parts)


def test_cells_that_anything_ties_together_stay_together(large: Scenario) -> None:
    chain = tuple(Pair(name=f"p{k}", cells=(k, k + 1)) for k in range(1, 40))
    assert shards(replace(large, topology=replace(large.topology, pairs=chain))) != ()
    assert len(shards(replace(large, topology=replace(large.topology, pairs=chain)))) == 1
    assert shards(load_scenario("cpu-allocation")) == (load_scenario("cpu-allocation"),)


def test_windows_are_the_same_whoever_simulates_the_shards(large: Scenario) -> None:
    x = Intervention({"cpu_du_17": 0.5})
    trials = [Twin(large, 3, pool=pool).trial(x, 2).windows for pool in (ThreadJobs(1), ThreadJobs(3), ProcessJobs(2))]
    assert same(trials[0], trials[1])
    assert same(trials[0], trials[2])
    alone = Twin(large, 4).trial(x, 2).windows
    assert not same(trials[0], alone)


def test_an_intervention_in_one_shard_leaves_all_others_as_they_were(large: Scenario) -> None:
    base = dict(large.description().reference.values)
    as_is = simulate(large, trial_plan(large, base, base, 1), seed=1, run=0)
    starved = simulate(large, trial_plan(large, base, {**base, "cpu_du_17": 0.3}, 1), seed=1, run=0)
    assert list(as_is.metrics) == [metric.name for metric in large.topology.metrics()]
    own = next(part for part in shards(large) if any(g.cell == 17 for g in part.topology.gnbs))
    inside = {metric.name for metric in own.topology.metrics()}
    moved = {name for name in as_is.metrics if not np.array_equal(as_is.metrics[name], starved.metrics[name], True)}
    assert "stall_du_17" in moved
    assert moved <= inside


def test_the_shards_of_a_run_share_no_random_numbers(large: Scenario) -> None:
    base = dict(large.description().reference.values)
    use = simulate(large, trial_plan(large, base, base, 1), seed=1, run=0).metrics
    assert len({float(use[f"cpuu_du_{cell}"][0]) for cell in range(1, 41)}) == 40


def test_what_cannot_be_held_is_refused_as_in_one_piece(large: Scenario) -> None:
    base = dict(large.description().reference.values)
    plan = replace(trial_plan(large, base, base, 1), held={"load_dl_41": 3.0})
    with pytest.raises(InputError, match="no such variable"):
        simulate(large, plan, seed=1, run=0)
