"""The learner from outside: what it reaches, how it stops, resumes and refuses, and what it makes of bad data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest

from col.errors import OutcomeUnknownError
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
from col.learner import learn
from col.plant import Intervention, Trial, TrialOutcome, Windows, concatenate_windows
from col.problem import Problem, Settings
from tests.col.synthetic import SyntheticPlant, make_plant

SHORT = Settings(passive_windows=240, passive_chunk=120, max_trials=5, passive_rows=100)


def short_of(trials: int) -> Settings:
    return replace(SHORT, max_trials=trials)


def all_events(
    plant: Any, problem: Problem, settings: Settings = SHORT, recorded: Recorded | None = None
) -> list[Event]:
    return list(learn(plant, problem, settings, 7, recorded=recorded))


def outcome_of(events: list[Event]) -> Outcome:
    assert isinstance(events[-1], Finished)
    return events[-1].outcome


@pytest.mark.parametrize(
    ("kind", "controls", "least"), [("station", 2, 0.85), ("station", 4, 0.8), ("service", 2, 0.6)]
)
def test_most_of_the_region_is_found_and_hardly_anything_unsafe_is_certified(
    kind: str, controls: int, least: float
) -> None:
    plant = make_plant(21, controls, kind)

    events = all_events(plant, plant.problem(), Settings(max_trials=20))

    coverage, false_safe = plant.truth().judge(outcome_of(events).region.contains)
    tried = [e.trial.intervention for e in events if isinstance(e, TrialDone)]
    truths = [plant.probability(np.array([[x[f"x{j}"] for j in range(controls)]]))[0] for x in tried]
    assert coverage >= least
    assert false_safe <= 0.02
    assert sum(p < 0.9 for p in truths) <= 1


def test_events_come_in_their_order_and_count_what_happened() -> None:
    plant = make_plant(1, 2, "station")

    events = all_events(plant, plant.problem())

    kinds = [type(e) for e in events]
    assert kinds[0] is Identified
    assert kinds[1:3] == [PassiveObserved, PassiveObserved]
    assert kinds[3] is PriorFitted
    assert kinds[-1] is Finished
    assert kinds.count(TrialDone) == kinds.count(Proposed) == kinds.count(RegionUpdated) == 5
    assert kinds.count(ReferenceChecked) == 1
    assert [e.step for e in events if isinstance(e, TrialDone)] == list(range(5))
    assert outcome_of(events).passive_windows == 240
    assert outcome_of(events).certified


def test_the_same_seed_gives_the_same_picks() -> None:
    first, second = (
        [
            e.intervention
            for e in all_events(make_plant(1, 2, "station"), make_plant(1, 2, "station").problem())
            if isinstance(e, Proposed)
        ]
        for _ in range(2)
    )

    assert first == second


@pytest.mark.parametrize("stopped_after", [0, 2, 4])
def test_a_resumed_rehearsal_goes_on_as_the_uninterrupted_one(stopped_after: int) -> None:
    whole = all_events(make_plant(1, 2, "station"), make_plant(1, 2, "station").problem())
    picks = [e.intervention for e in whole if isinstance(e, Proposed)]
    plant = make_plant(1, 2, "station")
    watched: list[Windows] = []
    trials: list[Trial] = []
    for event in learn(plant, plant.problem(), SHORT, 7):
        if isinstance(event, PassiveObserved):
            watched.append(event.windows)
        if isinstance(event, TrialDone):
            trials.append(event.trial)
        if len(trials) == stopped_after and isinstance(event, PriorFitted | RegionUpdated):
            break

    recorded = Recorded(passive=concatenate_windows(watched), trials=tuple(trials))
    resumed = all_events(plant, plant.problem(), recorded=recorded)

    assert [e.intervention for e in resumed if isinstance(e, Proposed)] == picks
    x = outcome_of(whole).region.uniform_points(np.random.default_rng(0), 300)
    np.testing.assert_array_equal(outcome_of(resumed).region.lower_bound(x), outcome_of(whole).region.lower_bound(x))


@pytest.mark.parametrize(("first", "last", "changed_at"), [(5, 3, 3), (5, 8, 4), (2, 5, 1), (5, 1, 1), (8, 3, 5)])
def test_a_budget_changed_on_the_way_learns_what_that_budget_learns_from_the_start(
    first: int, last: int, changed_at: int
) -> None:
    whole = all_events(
        make_plant(1, 2, "station"), make_plant(1, 2, "station").problem(), short_of(max(last, changed_at))
    )
    budget, proposed = [first], 0
    events: list[Event] = []
    plant = make_plant(1, 2, "station")
    for event in learn(plant, plant.problem(), short_of(99), 7, most_trials=lambda: budget[-1]):
        events.append(event)
        if isinstance(event, Proposed):
            proposed += 1
            if proposed == changed_at + 1:  # so many were made, the next one is proposed: it is withdrawn or made
                budget.append(last)

    tried, wanted = ([e.trial.intervention for e in made if isinstance(e, TrialDone)] for made in (events, whole))
    assert tried == wanted
    assert outcome_of(events).reason == outcome_of(whole).reason
    x = outcome_of(whole).region.uniform_points(np.random.default_rng(0), 300)
    np.testing.assert_array_equal(outcome_of(events).region.lower_bound(x), outcome_of(whole).region.lower_bound(x))


def test_a_budget_below_what_was_made_makes_the_recorded_trials_again_and_no_other() -> None:
    plant = make_plant(1, 2, "station")
    events = all_events(plant, plant.problem())
    trials = tuple(e.trial for e in events if isinstance(e, TrialDone))
    passive = concatenate_windows([e.windows for e in events if isinstance(e, PassiveObserved)])

    resumed = all_events(plant, plant.problem(), short_of(2), Recorded(passive=passive, trials=trials))

    assert len(outcome_of(resumed).trials) == len(trials) == SHORT.max_trials
    x = outcome_of(events).region.uniform_points(np.random.default_rng(0), 300)
    np.testing.assert_array_equal(outcome_of(resumed).region.lower_bound(x), outcome_of(events).region.lower_bound(x))


def test_a_caller_may_stop_after_any_event() -> None:
    plant = make_plant(1, 2, "station")

    for count in (1, 3, 5, 8):
        generator = learn(plant, plant.problem(), SHORT, 7)
        assert len(list(islice(generator, count))) == count
        generator.close()  # type: ignore[attr-defined]


class Wrapped:
    """A plant whose trials or windows are changed on their way to the learner."""

    def __init__(
        self,
        plant: SyntheticPlant,
        *,
        trial: Callable[[Trial], Trial] = lambda t: t,
        watch: Callable[[Windows], Windows] = lambda w: w,
    ) -> None:
        self._plant, self._trial, self._watch = plant, trial, watch
        self.describe, self.history = plant.describe, plant.history

    def observe(self, n: int) -> Windows:
        return self._watch(self._plant.observe(n))

    def trial(self, x: Intervention, n: int, *, keep: bool = False) -> Trial:
        return self._trial(self._plant.trial(x, n, keep=keep))


def refuse_all_but(reference: Intervention) -> Callable[[Trial], Trial]:
    def refuse(trial: Trial) -> Trial:
        if trial.intervention == reference:
            return trial
        return replace(
            trial, outcome=TrialOutcome.REFUSED, reasons=("maintenance",), windows=trial.windows.take(slice(0))
        )

    return refuse


def test_a_refused_trial_is_no_observation_and_is_not_asked_for_again() -> None:
    plant = make_plant(1, 2, "station")
    wrapped = Wrapped(plant, trial=refuse_all_but(plant.describe().reference))
    asked: list[Intervention] = []
    for event in learn(wrapped, plant.problem(), SHORT, 7):
        if isinstance(event, TrialDone) and event.verdict is None:
            asked.append(event.trial.intervention)
        if len(asked) == 3:
            break

    assert len(set(asked)) == 3


def test_an_unknown_outcome_stops_the_learner() -> None:
    plant = make_plant(1, 2, "station")
    wrapped = Wrapped(plant, trial=lambda t: replace(t, outcome=TrialOutcome.UNKNOWN))

    with pytest.raises(OutcomeUnknownError, match="read the plant back"):
        all_events(wrapped, plant.problem())


def test_a_rolled_back_trial_is_an_observation() -> None:
    plant = make_plant(1, 2, "station")
    wrapped = Wrapped(plant, trial=lambda t: replace(t, outcome=TrialOutcome.ROLLED_BACK))

    assert len(outcome_of(all_events(wrapped, plant.problem())).trials) == 5


def test_a_specification_that_fails_at_the_reference_is_said_with_its_limiting_conjunct() -> None:
    plant = make_plant(1, 2, "station")
    plant.reference = plant.low + 0.02 * (plant.high - plant.low)

    outcome = outcome_of(all_events(plant, plant.problem()))

    assert not outcome.certified
    assert "reference" in outcome.reason
    assert "served0" in outcome.reason
    assert len(outcome.trials) <= 5


def spoil(change: Callable[[np.ndarray], np.ndarray], column: str, kind: str) -> Callable[[Windows], Windows]:
    def spoiled(windows: Windows) -> Windows:
        table = dict(getattr(windows, kind))
        table[column] = change(table[column])
        return replace(windows, controls=table) if kind == "controls" else replace(windows, metrics=table)

    return spoiled


@pytest.mark.parametrize(
    "watch",
    [
        spoil(lambda v: np.full_like(v, v[0]), "x0", "controls"),
        spoil(lambda v: np.full_like(v, np.nan), "carry0a", "metrics"),
        spoil(lambda v: np.where(np.arange(len(v)) % 3, v, np.nan), "carry0a", "metrics"),
        spoil(lambda v: np.full_like(v, 7.0), "carry0a", "metrics"),
        spoil(lambda v: np.full_like(v, 0.0), "load0", "metrics"),
        lambda w: w.take(slice(0, 3)),
        lambda w: w.take(slice(0, 0)),
    ],
    ids=["constant control", "all missing", "some missing", "constant metric", "no load", "three rows", "no rows"],
)
def test_degenerate_passive_data_end_in_an_outcome(watch: Callable[[Windows], Windows]) -> None:
    plant = make_plant(1, 2, "station")
    settings = replace(SHORT, passive_windows=120, max_trials=4)

    outcome = outcome_of(all_events(Wrapped(plant, watch=watch), plant.problem(), settings))

    assert outcome.reason
    assert plant.truth(points=500).judge(outcome.region.contains)[1] < 0.1


def test_trials_with_every_metric_missing_certify_nothing_and_end() -> None:
    plant = make_plant(1, 2, "station")

    def blind(trial: Trial) -> Trial:
        nothing = {name: np.full(len(trial.windows), np.nan) for name in trial.windows.metrics}
        return replace(trial, windows=replace(trial.windows, metrics=nothing))

    outcome = outcome_of(all_events(Wrapped(plant, trial=blind), plant.problem()))

    assert "reference" in outcome.reason
    assert outcome.violations == 0
