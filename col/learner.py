"""COL as a generator: watch, fit, check the reference, then try, learn and certify, one event at a time.

A caller steps it, may stop after any event, and may resume a stopped one by handing in what was recorded: the state of
the learner depends on the data alone, and each step has random numbers of its own, so that a resumed rehearsal goes on
as the uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from col.effect import EffectModel, Mechanism
from col.errors import InputError, OutcomeUnknownError, RefusedError
from col.events import (
    Event,
    Finished,
    Identified,
    Outcome,
    PassiveObserved,
    PriorFitted,
    Proposed,
    Recorded,
    ReferenceChecked,
    RegionUpdated,
    TrialDone,
)
from col.plant import Intervention, Plant, Trial, TrialOutcome, Windows, concatenate_windows
from col.policy import Policy
from col.problem import Problem, Settings
from col.region import Region
from col.specification import Specification, Verdict

__all__ = ["Event", "Outcome", "Recorded", "Settings", "learn"]

FloatArray = NDArray[np.float64]
_VOLUME_POINTS = 2048
_IDLE = 6
"""Trials of the reference in a row after which a learner that finds nothing else to try gives up."""
_MODEL, _PICK, _VOLUME = 0, 1, 2


def learn(
    plant: Plant,
    problem: Problem,
    settings: Settings,
    rng_seed: int,
    *,
    recorded: Recorded | None = None,
    most_trials: Callable[[], int] | None = None,
) -> Iterator[Event]:
    """Learn the safe region of `problem` on `plant`; yields events, the last one `Finished`.

    `most_trials` is asked for the budget before each trial, instead of `settings`: a caller may change it on the way. A
    trial that was `Proposed` is not made if the budget is used up when the caller asks for the next event. What is
    learned is what a learner learns that has the last budget, or as many trials as were made, from the start.

    Raises:
        InputError: the problem does not fit the plant.
        OutcomeUnknownError: it is not known whether a trial took effect; everything recorded before stands.
    """
    budget = most_trials or (lambda: settings.max_trials)
    yield from _Learner(plant, problem, settings, rng_seed, recorded or Recorded(), budget).events()


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _robustness(specification: Specification, windows: Windows) -> float:
    """Return the robustness of the windows of a trial, NaN where a metric is missing."""
    missing = np.full(len(windows), np.nan)
    return float(specification.robustness({m: windows.metrics.get(m, missing) for m in specification.metrics}))


class _Learner:
    def __init__(
        self,
        plant: Plant,
        problem: Problem,
        settings: Settings,
        seed: int,
        recorded: Recorded,
        most_trials: Callable[[], int],
    ) -> None:
        self._plant, self._problem, self._settings, self._seed = plant, problem, settings, seed
        self._description = plant.describe()
        problem.check(self._description)
        self._recorded, self._most_trials = recorded, most_trials
        self._replay = list(recorded.trials)
        self._policy = Policy(self._description, problem.cost, settings, problem.alpha)
        self._model: EffectModel = Mechanism(problem, self._description, settings, _generator(seed, _MODEL))
        self._trials: list[Trial] = []
        self._tried: list[FloatArray] = []
        self._struck: set[Intervention] = set()
        self._refused = self._violations = 0
        self._passive = Windows.empty([c.name for c in self._description.controls], [])
        self._notes: tuple[str, ...] = ()

    def events(self) -> Iterator[Event]:
        yield Identified(leaves=self._model.summaries())
        yield from self._watch()
        self._model.observe_passive(self._passive)
        region = self._model.region()
        self._notes = region.notes
        yield PriorFitted(leaves=self._model.summaries(), region=region, notes=region.notes)
        failed = yield from self._check_reference()
        if failed:
            yield self._finish(failed)
            return
        reason = yield from self._expand()
        yield self._finish(reason)

    def _watch(self) -> Iterator[Event]:
        total, tables = self._settings.passive_windows, []
        done = 0
        if self._recorded.passive is not None and len(self._recorded.passive):
            tables.append(self._recorded.passive)
            done = len(self._recorded.passive)
            yield PassiveObserved(windows=self._recorded.passive, done=done, total=max(total, done), recorded=True)
        while done < total:
            windows = self._plant.observe(min(self._settings.passive_chunk, total - done))
            if not len(windows):
                break
            tables.append(windows)
            done += len(windows)
            self._passive = concatenate_windows(tables)
            yield PassiveObserved(windows=windows, done=done, total=total)
        if tables:
            self._passive = concatenate_windows(tables)

    def _check_reference(self) -> Generator[Event, None, str]:
        """Try the reference until its bound reaches alpha; return why that fails, empty if all is well."""
        reference, failures, tries = self._policy.reference, 0, 0
        level = self._problem.alpha
        limiting = ""
        while True:
            region = self._model.region()
            known = region.lower_bound(reference[None, :])[0] >= level
            # Short of knowing, several passes and a likely estimate will do to look elsewhere in the region.
            likely = tries >= 3 and not failures and region.probability(reference[None, :])[0] >= level
            if tries and (known or likely) and failures * 3 <= tries:
                yield ReferenceChecked(holds=True, trials=tries)
                return ""
            stop = failures >= 2 and failures * 3 > tries
            if stop or tries >= self._settings.reference_trials or self._is_spent:
                limiting = limiting or region.limiting(reference)
                yield ReferenceChecked(holds=False, trials=tries, limiting=limiting)
                if region.empty_because:
                    limiting = region.empty_because
                return f"the specification cannot be shown to hold at the reference configuration; limiting: {limiting}"
            bound = float(region.lower_bound(reference[None, :])[0])
            refused = self._refused
            done = yield from self._try(reference, "checks that the specification can hold at the reference", bound)
            if done is None and self._refused == refused:
                continue
            if done is None:
                return "the plant refused the reference configuration"
            tries += 1
            if done.verdict is not Verdict.PASS:
                failures += 1
                limiting = self._worst_conjunct(done.trial.windows)

    @property
    def _is_spent(self) -> bool:
        """Whether no further trial may be made; those that were recorded are made again whatever the budget is now."""
        return not self._replay and len(self._trials) >= self._most_trials()

    def _worst_conjunct(self, windows: Windows) -> str:
        conjuncts = self._problem.specification.conjuncts
        values = [np.nan_to_num(_robustness(c, windows), nan=-np.inf) for c in conjuncts]
        return conjuncts[int(np.argmin(values))].text

    def _expand(self) -> Generator[Event, None, str]:
        idle = 0
        while not self._is_spent:
            step = len(self._trials) + self._refused
            region = self._model.region()
            if self._replay:
                intervention = self._replay[0].intervention.over(self._description.reference.values)
                x = np.array([intervention[c.name] for c in self._description.controls])
                yield from self._try(x, "recorded", float(region.lower_bound(x[None, :])[0]))
                continue
            tried = np.array(self._tried).reshape(-1, len(self._policy.reference))
            rng = _generator(self._seed, _PICK, step)
            pick = self._policy.propose(self._model, region, rng, tried=tried, struck=self._struck)
            if pick is None:
                idle += 1
                if idle > _IDLE or self._policy.intervention(self._policy.reference) in self._struck:
                    return "no further configuration is safe enough to try"
                bound = float(region.lower_bound(self._policy.reference[None, :])[0])
                yield from self._try(self._policy.reference, "the reference again: nothing else is safe enough", bound)
                continue
            idle = 0
            yield from self._try(pick.x, pick.why, pick.lower_bound)
        return "all trials made"

    def _try(self, x: FloatArray, why: str, bound: float) -> Generator[Event, None, TrialDone | None]:
        """Carry out one trial; return its event, None if it was refused or is not to be made any more."""
        step = len(self._trials) + self._refused
        intervention = self._policy.intervention(x)
        names = [c.name for c in self._description.controls]
        cost = float(self._problem.cost.evaluate(x[None, :], names, self._policy.reference)[0])
        yield Proposed(step=step, intervention=intervention, why=why, lower_bound=bound, cost=cost)
        if self._is_spent:
            return None
        replayed = bool(self._replay)
        trial = self._replay.pop(0) if replayed else self._apply(intervention)
        if trial.outcome is TrialOutcome.UNKNOWN:
            raise OutcomeUnknownError(
                "it is not known whether the last intervention took effect: read the plant back before going on"
                + ("; " + "; ".join(trial.reasons) if trial.reasons else "")
            )
        if trial.outcome is TrialOutcome.REFUSED:
            self._refused += 1
            self._struck.add(intervention)
            nan = float("nan")
            yield TrialDone(step=step, trial=trial, verdict=None, robustness=nan, violation=False, recorded=replayed)
            if self._refused > self._most_trials():
                raise RefusedError(trial.reasons)
            return None
        applied = (trial.read_back or trial.intervention).over(intervention.values)
        x = np.array([applied[name] for name in names])
        verdict = self._problem.specification.verdict(trial.windows)
        robustness = _robustness(self._problem.specification, trial.windows)
        violation = verdict is Verdict.FAIL
        self._trials.append(trial)
        self._tried.append(x)
        self._violations += violation
        done = TrialDone(
            step=step, trial=trial, verdict=verdict, robustness=robustness, violation=violation, recorded=replayed
        )
        yield done
        self._model.observe_trial(x, trial.windows)
        yield self._updated()
        return done

    def _apply(self, intervention: Intervention) -> Trial:
        try:
            return self._plant.trial(intervention, self._problem.specification.horizon)
        except RefusedError as error:
            nothing = Windows.empty([c.name for c in self._description.controls], [])
            return Trial(
                intervention=intervention, outcome=TrialOutcome.REFUSED, windows=nothing, reasons=error.reasons
            )

    def _volumes(self, region: Region) -> tuple[float, float]:
        rng = _generator(self._seed, _VOLUME)
        points = region.uniform_points(rng, _VOLUME_POINTS)
        inside = region.contains(points)
        if not inside.any():
            return 0.0, 0.0
        return float(inside.mean()), float(region.contains(points[inside], uniform=True).sum() / len(points))

    def _updated(self) -> RegionUpdated:
        region = self._model.region()
        volume, uniform = self._volumes(region)
        return RegionUpdated(
            step=len(self._trials),
            region=region,
            volume=volume,
            volume_uniform=uniform,
            trials=len(self._trials),
            violations=self._violations,
        )

    def _finish(self, reason: str) -> Finished:
        region = self._model.region()
        volume, uniform = self._volumes(region)
        summaries = self._model.summaries()
        return Finished(
            outcome=Outcome(
                region=region,
                reason=reason,
                certified=bool(region.contains(self._policy.reference[None, :])[0]),
                trials=tuple(self._trials),
                refused=self._refused,
                violations=self._violations,
                volume=volume,
                volume_uniform=uniform,
                passive_windows=len(self._passive),
                support=min((s.support for s in summaries), default=0),
                notes=tuple(dict.fromkeys((*self._notes, *region.notes))),
            )
        )


def check_problem(plant: Plant, problem: Problem) -> None:
    """Raise InputError unless the problem fits the plant."""
    if not problem.specification.metrics:
        raise InputError("the specification reads no metric", key="specification")
    problem.check(plant.describe())
