"""Runs of a scenario as jobs of a pool, a job a run or a shard of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from twin.job_pool import JobPool
from twin.ran import RunPlan, RunRecord, simulate, simulate_shard
from twin.scenario_model import Scenario
from twin.shards import joined, shards

__all__ = ["simulate_runs"]


def simulate_runs(
    scenario: Scenario,
    plans: Sequence[RunPlan],
    *,
    seed: int,
    pool: JobPool,
    first_run: int = 0,
    done: Callable[[int], None] = lambda _: None,
) -> list[RunRecord]:
    """Simulate one run a plan, numbered from `first_run`; return their records in order.

    `done` hears how many windows are done by now, a shard's counted by its share of the gNBs. What comes out does not
    depend on the pool. Errors are those of `twin.ran.simulate` and of the pool.
    """
    parts = shards(scenario)
    if len(parts) == 1:
        jobs = [(scenario, plan, seed, first_run + k) for k, plan in enumerate(plans)]
        return _collected(pool.results(_run, jobs), [plan.windows for plan in plans], done)
    pieces = [(part, plan, seed, first_run + k, s) for k, plan in enumerate(plans) for s, part in enumerate(parts)]
    weights = [piece[1].windows * len(piece[0].topology.gnbs) / len(scenario.topology.gnbs) for piece in pieces]
    records = _collected(pool.results(_shard, pieces), weights, done)
    return [joined(scenario, records[at : at + len(parts)]) for at in range(0, len(records), len(parts))]


def _collected(
    results: Iterable[tuple[int, RunRecord]], weights: Sequence[float], done: Callable[[int], None]
) -> list[RunRecord]:
    found: dict[int, RunRecord] = {}
    windows = 0.0
    for place, record in results:
        found[place] = record
        windows += weights[place]
        done(round(windows))
    return [found[place] for place in range(len(weights))]


def _run(job: tuple[Scenario, RunPlan, int, int]) -> RunRecord:
    scenario, plan, seed, run = job
    return simulate(scenario, plan, seed=seed, run=run)


def _shard(job: tuple[Scenario, RunPlan, int, int, int]) -> RunRecord:
    part, plan, seed, run, shard = job
    return simulate_shard(part, plan, seed=seed, run=run, shard=shard)
