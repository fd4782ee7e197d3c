"""From the learner's events to run folder and progress display: what is stored is durable before it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

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
from col.plant import Intervention, PlantDescription, Trial, TrialOutcome, Windows
from col.region import Region
from col.specification import Specification
from tui.progress import Progress, Status, configuration, share
from tui.run_folder import RunFolder, StoredRun

__all__ = ["Recorder", "recorded_of"]

_REGION_SHARE = 49.0
"""Seconds that pass before the region is stored again, for each that storing it took ..."""
_REGION_LONGEST_S = 5.0
"""... but never more than so many."""


def recorded_of(stored: StoredRun, description: PlantDescription) -> Recorded:
    """Return what a run folder holds in the learner's words."""
    nothing = Windows.empty([c.name for c in description.controls], [m.name for m in description.metrics])
    trials = []
    for record, windows in zip(stored.trials, stored.trial_windows, strict=True):
        read_back = record.get("read_back")
        trials.append(
            Trial(
                intervention=Intervention(record["controls"]),
                outcome=TrialOutcome(record["outcome"]),
                windows=nothing if windows is None else windows,
                reasons=tuple(record.get("reasons", ())),
                read_back=None if read_back is None else Intervention(read_back),
            )
        )
    return Recorded(passive=stored.passive, trials=tuple(trials))


class Recorder:
    """Takes the events of one rehearsal; `elapsed` returns its wall time in s, sessions before included."""

    def __init__(
        self,
        folder: RunFolder,
        specification: Specification,
        description: PlantDescription,
        progress: Progress,
        status: Status,
        elapsed: Callable[[], float],
    ) -> None:
        self._folder, self._specification, self._progress, self._status = folder, specification, progress, status
        self._reference = dict(description.reference.values)
        self._elapsed = elapsed
        self._region: Region | None = None
        self._replays = (folder.path / "region.npz").exists()
        self._region_from_s = -math.inf
        self._proposed: Proposed | None = None
        self._trials_began = 0.0
        self._made = self._replayed = 0
        self._began = elapsed()
        self.history: list[dict[str, Any]] = []
        self.reference: ReferenceChecked | None = None
        self.outcome: Outcome | None = None

    def take(self, event: Event) -> None:
        """Store what is to be stored, then show it."""
        line = self._take(event)
        match event:
            case TrialDone():
                self._replays = event.recorded
            case PriorFitted() | RegionUpdated():
                self._region = event.region
                if not self._replays and self._elapsed() >= self._region_from_s:
                    self.write_region()
            case _:
                pass
        self._status.left_s = self._left()
        self._progress.update(self._status, line)

    def write_region(self) -> None:
        """Store the region as it is known now if that was not done yet.

        Of itself that happens after each new trial unless it took more than a fiftieth of the time since it was done
        last: the next one has it then. While recorded trials are made again, what is stored is ahead.
        """
        if self._region is None:
            return
        region, self._region = self._region, None
        began_s = self._elapsed()
        self._folder.write_live("region.npz", lambda path: region.save(path, compressed=False))
        now_s = self._elapsed()
        self._region_from_s = now_s + min(_REGION_SHARE * (now_s - began_s), _REGION_LONGEST_S)

    def _take(self, event: Event) -> str:
        status = self._status
        match event:
            case Identified():
                obstacles = [leaf for leaf in event.leaves if leaf.obstacle]
                status.notes += [f"{leaf.name}: {leaf.obstacle}" for leaf in obstacles]
                status.doing = "watches the plant; nothing is changed"
                done = len(event.leaves) - len(obstacles)
                return f"identified: {done} of {len(event.leaves)} effects follow from passive windows"
            case PassiveObserved():
                if event.recorded:
                    self._replayed = event.done
                else:
                    self._folder.append_passive(event.windows)
                status.passive_done, status.passive_total = event.done, event.total
                status.windows += len(event.windows)
                if event.done >= event.total:
                    status.doing = "fits the effects to the passive windows"
                origin = " (recorded)" if event.recorded else ""
                return f"passive windows: {event.done} of {event.total}{origin}"
            case PriorFitted():
                self._trials_began = self._elapsed()
                status.notes += [note for note in event.notes if note not in status.notes]
                return "prior fitted" + (f": {event.region.empty_because}" if event.region.empty_because else "")
            case Proposed():
                self._proposed = event
                what = configuration(dict(event.intervention.values), self._reference)
                status.doing = f"trial {event.step + 1}: {what}"
                return ""
            case TrialDone():
                return self._trial(event)
            case ReferenceChecked():
                self.reference = event
                if event.holds:
                    return f"reference: the specification holds, shown in {event.trials} trials"
                return f"reference: the specification does not hold; limiting: {event.limiting}"
            case RegionUpdated():
                status.region_share, status.region_share_uniform = event.volume, event.volume_uniform
                status.violations, status.trials_done = event.violations, event.trials
                index = self._proposed.step if self._proposed else event.step - 1
                self.history.append({"index": index, "volume": event.volume, "volume_uniform": event.volume_uniform})
                return f"  region: {share(event.volume)} of the control box, {event.violations} violations so far"
            case Finished():
                self.outcome = event.outcome
                status.doing = f"done: {event.outcome.reason}"
                status.region_share, status.region_share_uniform = event.outcome.volume, event.outcome.volume_uniform
                return f"done: {event.outcome.reason}"

    def _trial(self, event: TrialDone) -> str:
        trial = event.trial
        worst, text, failed = limiting_conjunct(self._specification, trial.windows)
        if not event.recorded:
            proposed = self._proposed
            record = {
                "index": event.step,
                "controls": dict(trial.intervention.values),
                "read_back": None if trial.read_back is None else dict(trial.read_back.values),
                "outcome": str(trial.outcome),
                "verdict": None if event.verdict is None else str(event.verdict),
                "robustness": event.robustness,
                "violation": event.violation,
                "limiting": text,
                "failed_metrics": failed,
                "reasons": list(trial.reasons),
                "why": proposed.why if proposed else "",
                "lower_bound": proposed.lower_bound if proposed else math.nan,
                "cost": proposed.cost if proposed else math.nan,
                "windows": len(trial.windows),
                "elapsed_s": round(self._elapsed(), 3),
            }
            self._folder.append_trial(record, trial.windows)
            self._made += 1
        else:
            self._trials_began = self._elapsed()
        self._status.windows += len(trial.windows)
        if event.verdict is None:
            return f"trial {event.step + 1}: refused: {'; '.join(trial.reasons)}"
        what = configuration(dict(trial.intervention.values), self._reference)
        again = " (recorded)" if event.recorded else ""
        return f"trial {event.step + 1}{again}: {event.verdict}, margin {worst:.3f} ({text}); {what}"

    def _elapsed_here(self) -> float:
        return self._elapsed() - self._began

    def _left(self) -> float | None:
        status = self._status
        status.left_open = not self._made
        if not self._made:
            fresh = status.passive_done - self._replayed
            missing = status.passive_total - status.passive_done
            return self._elapsed_here() / fresh * missing if fresh > 0 and missing > 0 else None
        pace = (self._elapsed() - self._trials_began) / self._made
        return pace * max(status.trials_total - status.trials_done, 0)


def limiting_conjunct(specification: Specification, windows: Windows) -> tuple[float, str, list[str]]:
    """Return the smallest robustness over the conjuncts, that conjunct's text, and the metrics of all that failed."""
    values: list[tuple[float, Specification]] = []
    for conjunct in specification.conjuncts:
        values.append((conjunct_robustness(conjunct, windows), conjunct))
    known = [entry for entry in values if math.isfinite(entry[0])]
    if not known:
        return math.nan, "", []
    worst = min(known, key=lambda entry: entry[0])
    failed = sorted({name for value, conjunct in known if value < 0 for name in conjunct.metrics})
    return worst[0], short_text(worst[1]), failed


def conjunct_robustness(conjunct: Specification, windows: Windows) -> float:
    """Return a conjunct's robustness over a trial's windows, NaN where it is inconclusive.

    Of a trial that was ended because it failed it is the greatest that the windows not watched could have left.
    """
    columns: Mapping[str, Any] = {name: windows.metrics[name] for name in conjunct.metrics if name in windows.metrics}
    if len(columns) < len(conjunct.metrics) or not len(windows):
        return math.nan
    value = float(np.asarray(conjunct.robustness(columns)))
    if math.isnan(value) and (most := float(np.asarray(conjunct.robustness_bounds(columns)[1]))) < 0:
        return most
    return value


def short_text(conjunct: Specification) -> str:
    """Return a conjunct in as few words as say it: the comparison alone where there is but one."""
    predicates: Sequence[Any] = conjunct.predicates
    return str(predicates[0].text) if len(predicates) == 1 else conjunct.text
