"""What the learner tells its caller, one frozen value after each thing that happened."""

from __future__ import annotations

from dataclasses import dataclass

from col.effect import LeafSummary
from col.plant import Intervention, Trial, Windows
from col.region import Region
from col.specification import Verdict

__all__ = [
    "Event",
    "Finished",
    "Identified",
    "Outcome",
    "PassiveObserved",
    "PriorFitted",
    "Proposed",
    "Recorded",
    "ReferenceChecked",
    "RegionUpdated",
    "TrialDone",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Passive windows and trials that were made already, in order: a resumed learner replays them."""

    passive: Windows | None = None
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """What will be modelled and the estimand of each: emitted once, before anything is watched."""

    leaves: tuple[LeafSummary, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassiveObserved:
    """`windows` were watched just now; `done` of `total` so far. `recorded` if they come from a resumed run."""

    windows: Windows
    done: int
    total: int
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorFitted:
    """What the passive phase said, and the region that it alone certifies."""

    leaves: tuple[LeafSummary, ...]
    region: Region
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """What will be tried next and why; `lower_bound` is what is known of its safety."""

    step: int
    intervention: Intervention
    why: str
    lower_bound: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialDone:
    """A trial ended. `verdict` and `robustness` are None and NaN where it was refused."""

    step: int
    trial: Trial
    verdict: Verdict | None
    robustness: float
    violation: bool
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceChecked:
    """Whether the specification holds at the reference configuration; if not, `limiting` is the conjunct that fails."""

    holds: bool
    trials: int
    limiting: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionUpdated:
    """The region after `step` trials, with its share of the control box, pointwise and uniform."""

    step: int
    region: Region
    volume: float
    volume_uniform: float
    trials: int
    violations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was learned. `reason` says why the learner stopped; `certified` is False if the region is empty."""

    region: Region
    reason: str
    certified: bool
    trials: tuple[Trial, ...]
    refused: int
    violations: int
    volume: float
    volume_uniform: float
    passive_windows: int
    support: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last event."""

    outcome: Outcome


Event = Identified | PassiveObserved | PriorFitted | Proposed | TrialDone | ReferenceChecked | RegionUpdated | Finished
