"""The twin as a plant: passive runs for `observe`, a fresh run for every trial.

It advances only in these two.  What it answers follows from scenario, seed and the order of runs alone: not from how
many windows are asked for at a time, nor from the number of workers.
"""

from __future__ import annotations

import numpy as np

from col.errors import InputError
from col.plant import Intervention, PlantDescription, Trial, TrialOutcome, Windows, concatenate_windows
from twin.job_pool import JobPool, ThreadJobs
from twin.ran import RunPlan, RunRecord, passive_plan, trial_plan
from twin.run_jobs import simulate_runs
from twin.scenario_model import Scenario

__all__ = ["Twin"]


class Twin:
    """A plant that simulates a scenario.

    A run is a fresh process of every gNB with a random effect of its own; runs are numbered from `first_run` in the
    order in which they are begun, so that Twin(scenario, seed, first_run=k) goes on where another one stood before its
    run k. Passive windows come from runs of `passive.run_windows` windows; each trial is a run.
    """

    def __init__(
        self, scenario: Scenario, seed: int, *, workers: int = 1, first_run: int = 0, pool: JobPool | None = None
    ) -> None:
        """Take the scenario, a seed of at least 0, and how many runs may be simulated at once (threads).

        `pool` is where runs are simulated, if not in threads of this process.

        Raises:
            InputError: seed, workers or first_run out of range.
        """
        for key, value, least in (("seed", seed, 0), ("workers", workers, 1), ("first_run", first_run, 0)):
            if not _is_count(value, least):
                raise InputError(f"must be a whole number of at least {least}", key=key, value=value)
        self._scenario, self._seed, self._pool = scenario, seed, pool or ThreadJobs(workers)
        self._description = scenario.description()
        self._confirmed = self._description.reference
        self._next_run = first_run
        self._sequence = 0
        self._clock_s = 0.0
        self._pending: list[Windows] = []
        self._recorded: list[Windows] = []

    @property
    def next_run(self) -> int:
        """The number that the next run will have."""
        return self._next_run

    @property
    def confirmed(self) -> Intervention:
        """The configuration that the plant goes back to after a trial."""
        return self._confirmed

    def describe(self) -> PlantDescription:
        """Return controls, metrics and window of the scenario."""
        return self._description

    def history(self, since: int) -> Windows:
        """Return the windows handed out so far with a sequence number of at least `since`."""
        table = concatenate_windows([self._none(), *self._recorded])
        return table.take(table.sequence >= since)

    def observe(self, n: int) -> Windows:
        """Return the next `n` passive windows: autoscaler at work, passive load."""
        self._check_count(n)
        missing = n - sum(len(table) for table in self._pending)
        runs = -(-missing // self._scenario.passive.run_windows)
        if runs > 0:
            plan = passive_plan(self._scenario, dict(self._confirmed.values))
            numbers = range(self._next_run, self._next_run + runs)
            self._next_run += runs
            self._pending += [_table(record) for record in self._simulate(plan, numbers)]
        taken: list[Windows] = []
        while n > 0:
            table = self._pending.pop(0)
            if len(table) > n:
                self._pending.insert(0, table.take(slice(n, None)))
                table = table.take(slice(n))
            taken.append(self._hand_out(table))
            n -= len(table)
        return concatenate_windows([self._none(), *taken])

    def trial(self, x: Intervention, n: int, *, keep: bool = False) -> Trial:
        """Apply `x` in a fresh run at the operating load, autoscaler suspended, and watch `n` windows.

        Values are set to the nearest that the controls can take; `read_back` has what is in force.
        """
        self._description.check(x)
        self._check_count(n)
        asked = x.over(self._confirmed.values)
        in_force = Intervention({name: self._description.control(name).snap(asked[name]) for name in asked})
        plan = trial_plan(self._scenario, dict(self._confirmed.values), dict(in_force.values), n)
        run = self._next_run
        self._next_run += 1
        (record,) = self._simulate(plan, range(run, run + 1))
        windows = self._hand_out(_table(record))
        if keep:
            self._confirmed = in_force
        return Trial(intervention=asked, outcome=TrialOutcome.HELD, windows=windows, read_back=in_force)

    def _simulate(self, plan: RunPlan, runs: range) -> list[RunRecord]:
        """Return the records of the runs in order."""
        plans = [plan] * len(runs)
        return simulate_runs(self._scenario, plans, seed=self._seed, pool=self._pool, first_run=runs.start)

    def _hand_out(self, table: Windows) -> Windows:
        """Give windows their numbers and their place on the plant's clock, warm-up and settling included."""
        n = len(table)
        offset = self._clock_s
        if table.sequence[0] == 0:
            offset += float(table.start_s[0])
        starts = np.asarray(offset + self._scenario.window.length_s * np.arange(n), dtype=np.float64)
        out = Windows(
            sequence=self._sequence + np.arange(n, dtype=np.int64),
            start_s=starts,
            end_s=np.asarray(starts + self._scenario.window.length_s, dtype=np.float64),
            run=table.run,
            controls=table.controls,
            metrics=table.metrics,
        )
        for column in (*out.controls.values(), *out.metrics.values(), out.start_s, out.end_s, out.sequence, out.run):
            column.flags.writeable = False  # what a caller does to its windows must not reach the history
        self._sequence += n
        self._clock_s = float(out.end_s[-1])
        self._recorded.append(out)
        return out

    def _none(self) -> Windows:
        return Windows.empty(
            [control.name for control in self._description.controls],
            [metric.name for metric in self._description.metrics],
        )

    @staticmethod
    def _check_count(n: int) -> None:
        if not _is_count(n, 1):
            raise InputError("must be a whole number of at least 1", key="n", value=n)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)


def _table(record: RunRecord) -> Windows:
    """Return a run's windows, numbered within the run."""
    n = len(record.start_s)
    return Windows(
        sequence=np.arange(n, dtype=np.int64),
        start_s=record.start_s,
        end_s=record.end_s,
        run=np.full(n, record.run, dtype=np.int64),
        controls=record.controls,
        metrics=record.metrics,
    )
