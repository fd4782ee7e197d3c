"""The truth beside the estimate: asks the twin, with streams that learning did not use; the answer is plain data."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from col.errors import RantwinError
from col.events import Outcome
from tui.console import plain_json
from tui.figures.region import SliceView
from twin.scenario import Scenario

__all__ = ["Truth", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the twin says of the region: `facts` is plain data for `verification.json`.

    `grids` holds, for each pair of control names, their values (nx,), (ny,) and the true P (ny, nx) with all other
    controls at their reference.
    """

    facts: Mapping[str, Any]
    unsafe_trials: int | None = None
    grids: Mapping[tuple[str, str], tuple[Any, Any, Any]] = field(default_factory=dict)

    def on_slices(self, slices: Sequence[SliceView]) -> list[SliceView]:
        """Return the slices with the truth drawn in where there is a grid for them."""
        out = []
        for view in slices:
            grid = self.grids.get((view.x_name, view.y_name))
            if grid is not None:
                xs, ys, p = (np.asarray(part, dtype=np.float64) for part in grid)
                view = replace(view, truth=p, truth_x=xs, truth_y=ys)
            out.append(view)
        return out


def verify(scenario: Scenario, outcome: Outcome, seed: int, workers: int) -> Truth:
    """Compute coverage, false-safe share and the true border on the twin."""
    try:
        truth = importlib.import_module("twin.truth")
    except ModuleNotFoundError as error:
        raise RantwinError("this installation cannot verify: the twin has no truth to compute") from error
    found = truth.verify(scenario, outcome.region, seed, trials=outcome.trials, workers=workers)
    facts = {
        key: plain_json(getattr(found, key, None))
        for key in ("coverage", "coverage_ci", "false_safe", "false_safe_ci", "near_border", "points")
    }
    return Truth(facts=facts, unsafe_trials=getattr(found, "unsafe_trials", None), grids=getattr(found, "boundary", {}))
