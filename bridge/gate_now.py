"""What the gate asks of the testbed as it is now: the metrics of φ, φ over the latest windows, drift."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.backends.base import BackendDescription, Reading
from bridge.drift import Drift
from bridge.gate_words import shown
from bridge.reasons import Reason, ReasonCode
from bridge.settings import Requirements
from col.plant import Control, Provenance, Windows
from col.specification import Specification, Verdict

__all__ = [
    "at_configuration",
    "conflict_reasons",
    "drift_reasons",
    "metric_reasons",
    "since_in_force",
    "specification_reasons",
]

_LATEST = 3
"""The window in progress, the one just closed that was not fetched yet, and the one before it: older is not now."""


def at_configuration(windows: Windows, vector: Mapping[str, float], controls: Sequence[Control]) -> Windows:
    """Return the windows in which this full control vector was in force; one that does not say so is left out."""
    rows: NDArray[np.bool_] = np.ones(len(windows), dtype=bool)
    for control in controls:
        column, wanted = windows.controls.get(control.name), vector.get(control.name)
        if column is None or wanted is None:
            return windows.take(slice(0, 0))
        with np.errstate(invalid="ignore"):
            rows &= np.abs(column - wanted) <= control.resolution / 2 + 1e-9
    return windows.take(rows)


def since_in_force(windows: Windows, here: Windows) -> Windows:
    """Return those of the windows `here`, of one configuration, that came after the last window of any other.

    A testbed that was elsewhere meanwhile has to show anew that it is well: what held before is not now.
    """
    elsewhere = windows.sequence[~np.isin(windows.sequence, here.sequence)]
    return here.take(here.sequence > elsewhere.max()) if len(elsewhere) else here


def metric_reasons(
    specification: Specification, description: BackendDescription, windows: Windows, accept: frozenset[str]
) -> list[Reason]:
    """Return the metrics of φ that the testbed does not measure."""
    measured = {m.name for m in description.plant.metrics}
    estimated = description.estimated | {m for m, p in windows.provenance.items() if p is Provenance.ESTIMATED}
    reasons = []
    for name in sorted(specification.metrics):
        if name not in measured:
            text = f"the specification reads {name}, which this testbed does not measure"
            reasons.append(Reason(code=ReasonCode.METRIC_MISSING, text=text, facts={"metric": name}))
        elif name in estimated and name not in accept:
            text = f"the specification reads {name}, which this testbed only estimates"
            reasons.append(Reason(code=ReasonCode.METRIC_ESTIMATED, text=text, facts={"metric": name}))
    return reasons


def specification_reasons(
    specification: Specification, windows: Windows, reading: Reading | None
) -> tuple[list[Reason], float | None]:
    """Return why φ is not known to hold now, and its robustness where it is known.

    It is read over its horizon's worth of windows in a row, the latest of the configuration in force; a lost window is
    a gap, and windows that closed long before the reading are not now.
    """
    needed = specification.horizon
    if not len(windows):
        return [_inconclusive(f"no window of the configuration in force yet, {needed} in a row are needed")], None
    last = int(windows.sequence[-1])
    if reading is not None and reading.next_sequence - last > _LATEST:
        behind = reading.next_sequence - 1 - last
        return [_inconclusive(f"the latest window of the configuration in force is {behind} windows old")], None
    recent = windows.take(windows.sequence > last - needed)
    columns = _latest(specification, recent, last)
    verdict = specification.verdict(columns)
    if verdict is Verdict.PASS:
        return [], float(specification.robustness(columns))
    if verdict is Verdict.INCONCLUSIVE:
        missing = sorted(m for m in specification.metrics if m not in columns or np.isnan(columns[m]).all())
        text = f"{len(recent)} of {needed} windows in a row"
        if missing:
            text += f", {missing[0]} was not measured" + (f" (nor {len(missing) - 1} others)" if missing[1:] else "")
        elif len(recent) == needed:
            text += ", values are missing in some"
        return [_inconclusive(text)], None
    bounds = [(float(part.robustness_bounds(columns)[1]), part.text) for part in specification.conjuncts]
    worst, conjunct = min(bounds)
    text = (
        f"the testbed does not satisfy the specification now: robustness {worst:.3g} of "
        f"{shown(conjunct, 80)} over windows {last - needed + 1} to {last}"
    )
    facts = {"robustness": repr(worst), "last_window": str(last)}
    return [Reason(code=ReasonCode.SPECIFICATION_FAILS_NOW, text=text, facts=facts)], worst


def failing_metrics(specification: Specification, windows: Windows, unknown: frozenset[str]) -> frozenset[str]:
    """Return the metrics of conjuncts of φ that fail in the latest windows, and of `unknown` those they lack."""
    if not len(windows):
        return frozenset()
    last = int(windows.sequence[-1])
    columns = _latest(specification, windows.take(windows.sequence > last - specification.horizon), last)
    found: set[str] = set()
    for part in specification.conjuncts:
        verdict = part.verdict(columns)
        found |= part.metrics if verdict is Verdict.FAIL else part.metrics & unknown
    return frozenset(found)


def _latest(specification: Specification, recent: Windows, last: int) -> dict[str, NDArray[np.float64]]:
    """Return a horizon of each metric of φ that ends with window `last`, NaN where there is no number."""
    needed = specification.horizon
    columns = {name: np.full(needed, np.nan) for name in specification.metrics & recent.metrics.keys()}
    for name, column in columns.items():
        values = recent.metrics[name]
        column[recent.sequence - (last - needed + 1)] = np.where(np.isfinite(values), values, np.nan)
    return columns


def _inconclusive(text: str) -> Reason:
    return Reason(
        code=ReasonCode.SPECIFICATION_INCONCLUSIVE_NOW,
        text=f"not known whether the testbed satisfies the specification now: {text}",
    )


def drift_reasons(drift: Drift, requirements: Requirements, description: BackendDescription) -> list[Reason]:
    """Return that the drift is above its limit or not known."""
    if drift.overall is None:
        text = f"fewer than {requirements.drift_windows} windows of the certified configuration to compare"
        if drift.unknown and len(drift.pairs.sequence) >= requirements.drift_windows:
            text = f"{shown(drift.unknown[0])} cannot be compared with the twin's prediction"
        facts = {"windows": str(len(drift.pairs.sequence))}
        return [Reason(code=ReasonCode.DRIFT_UNKNOWN, text=f"drift is not known: {text}", facts=facts)]
    if drift.overall <= requirements.drift_limit:
        return []
    gap = next(g for g in drift.gaps if g.value == drift.overall)
    unit = next((m.unit for m in description.plant.metrics if m.name == gap.metric), "")
    text = (
        f"drift {drift.overall:.3g} is above {requirements.drift_limit:g}: {gap.metric} is {gap.mean:.4g} {unit}, "
        f"the twin predicts {gap.low:.4g} to {gap.high:.4g} {unit}"
    )
    facts = {"drift": repr(drift.overall), "limit": repr(requirements.drift_limit), "metric": gap.metric}
    return [Reason(code=ReasonCode.DRIFT, text=text, facts=facts)]


def conflict_reasons(reading: Reading, confirmed: Mapping[str, float], controls: Sequence[Control]) -> list[Reason]:
    """Return the controls that are not as confirmed, though nobody of ours is at work: somebody else changed them."""
    reasons = []
    for control in controls:
        there, ours = reading.controls.get(control.name), confirmed.get(control.name)
        if (
            there is None
            or ours is None
            or not math.isfinite(there)
            or abs(there - ours) <= control.resolution / 2 + 1e-9
        ):
            continue
        text = f"somebody else set {control.name} to {there:g} {control.unit}, confirmed is {ours:g} {control.unit}"
        facts = {"control": control.name, "value": repr(there), "confirmed": repr(ours)}
        reasons.append(Reason(code=ReasonCode.CONFLICT, text=text, facts=facts))
    return reasons
