"""The truth beside the estimate: asks the twin, with streams that learning did not use; the answer is plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from col.events import Outcome
from tui.figures.region import SliceView
from twin import truth as law
from twin import verification as against
from twin.scenario import Scenario
from twin.truth_finder import TruthSettings, find_truth

__all__ = ["Truth", "verify"]

_NEAR = 0.02
"""Points whose true probability is this near to α are counted apart: their side of the border is a matter of luck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the twin says of the region: `facts` is plain data for `verification.json`.

    `unsafe_trials` counts the trials whose true P is below α.
    """

    facts: Mapping[str, Any]
    unsafe_trials: int
    law: law.Truth
    reference: Mapping[str, float]

    def on_slices(self, slices: Sequence[SliceView]) -> list[SliceView]:
        """Return the slices with the true P drawn in, at the points of the estimate."""
        return [self._on(view) for view in slices]

    def _on(self, view: SliceView) -> SliceView:
        nx, ny = len(view.x_values), len(view.y_values)
        points = np.tile([self.reference[name] for name in self.law.controls], (nx * ny, 1))
        points[:, self.law.controls.index(view.x_name)] = np.tile(view.x_values, ny)
        points[:, self.law.controls.index(view.y_name)] = np.repeat(view.y_values, nx)
        truth = self.law.probability(points).reshape(ny, nx)
        return replace(view, truth=truth, truth_x=view.x_values, truth_y=view.y_values)


def verify(
    scenario: Scenario,
    outcome: Outcome,
    *,
    seed: int,
    workers: int = 2,
    progress: Callable[[str, int, int], None] | None = None,
) -> Truth:
    """Compute coverage, false-safe share, unsafe trials and the true border on the twin.

    The truth is that of the scenario, the same for every rehearsal of it; `seed` draws the points that are compared.

    Raises:
        InputError: the scenario's truth cannot be factorised over its cells.
    """
    truth = find_truth(scenario, settings=TruthSettings(workers=workers), progress=progress)
    region: Any = outcome.region  # its fields are read-only, which the protocol there does not ask for but mypy does
    found = against.verify(truth, region, scenario, seed=seed)
    reference = {control.name: control.reference for control in scenario.controls}
    applied = [(t.read_back or t.intervention).over(reference) for t in outcome.trials]
    x = np.array([[values[name] for name in truth.controls] for values in applied]).reshape(-1, len(truth.controls))
    p = truth.probability(x) if len(x) else np.empty(0)
    facts = {
        **asdict(found),
        "near_width": _NEAR,
        "runs": truth.runs,
        "trials_probability": p.tolist(),
        "unsafe_trials_near_border": int(np.sum((p < truth.alpha) & (p >= truth.alpha - _NEAR))),
    }
    return Truth(facts=facts, unsafe_trials=int(np.sum(p < truth.alpha)), law=truth, reference=reference)
