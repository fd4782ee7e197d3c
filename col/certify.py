"""Certification: fresh horizons of each step of a path, with random streams that learning did not use.

What a region recommends is its luckiest point: it was chosen because its estimate looked best. So it is tried again,
on horizons drawn afresh, and only these count. One run is one horizon: its windows share a random effect.

With m steps planned, each may err with probability delta / m, so that with confidence 1 - delta every bound on every
certificate is true; `col.looks` says how a step is judged at that level.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from col.certificate import Certificate, Prediction
from col.errors import InputError, PlantError
from col.looks import LEAST_FOR_AN_INTERVAL, Look, lower_bound, plan_looks, prediction_interval
from col.plant import Intervention, Plant, TrialOutcome
from col.recommend import Step
from col.specification import Specification, Verdict

__all__ = ["Certification", "Certified", "Issue", "Progress", "certify"]

Fresh = Callable[[int], Plant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """What certificates say besides the evidence: whom they are for, which twin speaks, and from when until when."""

    testbed_id: str
    stack: str
    radio_mode: str
    scenario: str
    scenario_digest: str
    calibration_id: str
    issued_at_s: float
    expires_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far certification has come: horizons done of the step `step` (from 1; 0 is the base) of `steps`.

    `horizons_needed` is the next look; more follow if there are failures.
    """

    step: int
    steps: int
    horizons: int
    horizons_needed: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """What the fresh horizons of one step said; `certificate` is unsigned, None where the step is refused."""

    step: Step
    horizons: int
    failures: int
    bound: float
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certification:
    """The steps that were tried, in order; only the last one may be refused. `why` is one line about that."""

    steps: tuple[Certified, ...]
    why: str = ""

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """The unsigned certificates, from the base on."""
        return tuple(s.certificate for s in self.steps if s.certificate is not None)


@dataclass(slots=True)
class _Sample:
    """Counted horizons of one configuration: how many failed, and the mean of each metric in each."""

    passed: list[bool] = field(default_factory=list)
    means: list[dict[str, float]] = field(default_factory=list)

    @property
    def failures(self) -> int:
        return self.passed.count(False)


def certify(
    steps: Sequence[Step],
    fresh: Fresh,
    specification: Specification,
    issue: Issue,
    *,
    alpha: float,
    delta: float,
    also: Sequence[str] = (),
    workers: int = 1,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Certification:
    """Try each step of a path on fresh horizons and return what can be certified; the first refused step ends the path.

    `fresh(k)` returns a plant at its reference configuration whose next run is number k of streams that learning did
    not use (the twin with another seed, say); it is called once a horizon, from any thread, with numbers that do not
    depend on `workers`. A trial is begun from the plant's reference. `also` names metrics besides those of the
    specification for which the twin's prediction is wanted (what they are derived from).

    Raises:
        InputError: no steps, a metric that the plant lacks, alpha or delta out of range.
        PlantError: a trial that was not carried out, or mixed two runs.
    """
    if not steps or not 0.0 < alpha < 1.0 or not 0.0 < delta < 1.0 or workers < 1:
        raise InputError("needs steps, alpha and delta between 0 and 1, workers from 1", key="certify")
    description = fresh(0).describe()
    metrics = sorted(specification.metrics | set(also))
    specification.check({m.name for m in description.metrics})
    looks = plan_looks(alpha, delta / len(steps))
    trials = _Trials(fresh, specification, metrics, workers, looks, len(steps), progress)
    before = trials.base(steps[0].base)
    done: list[Certified] = []
    for number, step in enumerate(steps, start=1):
        sample, look = trials.step(number, step.target)
        n, failures = len(sample.passed), sample.failures
        if look is None:
            bound = lower_bound(n, n - failures, delta / len(steps))
            done.append(Certified(step=step, horizons=n, failures=failures, bound=bound))
            why = f"step {number} failed in {failures} of {n} fresh horizons: not certified, the path ends before it"
            return Certification(steps=tuple(done), why=why)
        bound = lower_bound(n, n - failures, look.level)
        certificate = Certificate(
            testbed_id=issue.testbed_id,
            stack=issue.stack,
            radio_mode=issue.radio_mode,
            scenario=issue.scenario,
            scenario_digest=issue.scenario_digest,
            calibration_id=issue.calibration_id,
            window_s=description.window_s,
            specification=specification.text,
            alpha=alpha,
            delta=delta,
            bound=bound,
            horizons=n,
            passes=n - failures,
            base=dict(step.base),
            target=dict(step.target),
            predictions=_predictions(before, sample, metrics),
            issued_at_s=issue.issued_at_s,
            expires_at_s=issue.expires_at_s,
        )
        done.append(Certified(step=step, horizons=n, failures=failures, bound=bound, certificate=certificate))
        before = sample
    return Certification(steps=tuple(done))


class _Trials:
    """Runs horizons in threads and counts them in order, so that nothing depends on how many threads there are."""

    def __init__(
        self,
        fresh: Fresh,
        specification: Specification,
        metrics: Sequence[str],
        workers: int,
        looks: Sequence[Look],
        steps: int,
        progress: Callable[[Progress], None],
    ) -> None:
        self._fresh, self._specification, self._metrics = fresh, specification, metrics
        self._workers, self._looks, self._steps, self._progress = workers, looks, steps, progress

    def base(self, x: Mapping[str, float]) -> _Sample:
        """Return as many horizons of the base as a prediction needs."""
        sample = _Sample()
        for passed, means in self._horizons(x, 0, LEAST_FOR_AN_INTERVAL):
            self._count(sample, passed, means, 0, LEAST_FOR_AN_INTERVAL)
        return sample

    def step(self, number: int, x: Mapping[str, float]) -> tuple[_Sample, Look | None]:
        """Return the horizons of a step and the look that certifies it, None where it is refused."""
        sample = _Sample()
        first = LEAST_FOR_AN_INTERVAL + (number - 1) * self._looks[-1].horizons
        for look in self._looks:
            already = len(sample.passed)
            for passed, means in self._horizons(x, first + already, look.horizons - already):
                self._count(sample, passed, means, number, look.horizons)
                if sample.failures > self._looks[-1].failures:
                    return sample, None
            if sample.failures <= look.failures:
                return sample, look
        return sample, None

    def _count(self, sample: _Sample, passed: bool, means: dict[str, float], step: int, needed: int) -> None:
        sample.passed.append(passed)
        sample.means.append(means)
        self._progress(
            Progress(
                step=step,
                steps=self._steps,
                horizons=len(sample.passed),
                horizons_needed=needed,
                failures=sample.failures,
            )
        )

    def _horizons(self, x: Mapping[str, float], first: int, n: int) -> Iterator[tuple[bool, dict[str, float]]]:
        if self._workers == 1:
            yield from (self._horizon(x, run) for run in range(first, first + n))
            return
        with ThreadPoolExecutor(self._workers) as pool:
            # A few ahead, so that nobody waits for the slowest of a batch; where a step is refused, little was in vain.
            waiting: deque[Future[tuple[bool, dict[str, float]]]] = deque()
            try:
                for run in range(first, first + n):
                    waiting.append(pool.submit(self._horizon, x, run))
                    if len(waiting) > 2 * self._workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for begun in waiting:
                    begun.cancel()

    def _horizon(self, x: Mapping[str, float], run: int) -> tuple[bool, dict[str, float]]:
        trial = self._fresh(run).trial(Intervention(dict(x)), self._specification.horizon)
        if trial.outcome is not TrialOutcome.HELD:
            raise PlantError(f"a fresh horizon was not carried out ({trial.outcome}): {'; '.join(trial.reasons)}")
        windows = trial.windows
        if len(set(windows.run.tolist())) > 1:
            raise PlantError("the windows of a fresh horizon are of several runs")
        passed = self._specification.verdict(windows) is Verdict.PASS  # a missing metric is no pass
        return passed, {name: float(np.mean(windows.column(name))) for name in self._metrics}


def _predictions(base: _Sample, target: _Sample, metrics: Sequence[str]) -> dict[str, Prediction]:
    """Return the predicted intervals of each metric that was measured in enough horizons."""
    found = {}
    for name in metrics:
        ends = [prediction_interval(np.array([m[name] for m in sample.means])) for sample in (base, target)]
        if ends[0] is not None and ends[1] is not None:
            (base_low, base_high), (target_low, target_high) = ends[0], ends[1]
            found[name] = Prediction(
                base_low=base_low, base_high=base_high, target_low=target_low, target_high=target_high
            )
    return found
