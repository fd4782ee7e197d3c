"""The gap between the plants: the twin's number for each row minus the testbed's, and what the twin had predicted.

Only what is comparable is compared: the twin's own windows at the testbed's configuration, else what a certificate
predicts there. Where there is neither, there is no gap, and the words say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bridge.drift import believed
from col.certificate import Certificate, Prediction, SignedCertificate
from col.plant import Control, Windows
from tui.watch.feeds_rows import Layout, columns_of
from tui.watch.feeds_twin import KEEP
from tui.watch.kept import Kept
from tui.watch.marks import unit_word
from tui.watch.state import NO_WINDOWS, GapRow, GapView, PlantView, Row

__all__ = ["GapFinder"]

FloatArray = NDArray[np.float64]


class GapFinder:
    """Finds what the twin says of the testbed's configuration; looks again only where run or configuration changed."""

    def __init__(self) -> None:
        self._found: Kept[_Found] = Kept()
        self._rows: Kept[Mapping[str, GapRow]] = Kept()
        self._in_units: Kept[dict[str, FloatArray]] = Kept()
        self._now = _Found()

    def gap(
        self,
        twin: PlantView,
        testbed: PlantView,
        *,
        windows: Windows | None,
        layout: Layout | None,
        controls: Sequence[Control],
        certificates: Sequence[SignedCertificate],
        horizon: int,
        drift: float | None,
    ) -> GapView:
        """Return the gap of each row that both plants have; `horizon` windows make the testbed's mean."""
        if not twin.rows or not len(testbed.sequence):
            self._now = _Found()
            return GapView(drift=drift)
        here = dict(testbed.in_force)
        found = self._now = self._found.get(
            (twin.rows, windows, layout),
            (here, certificates, controls),
            lambda: _found(twin.rows, here, windows, layout, controls, certificates),
        )
        rows = self._rows.get(
            (twin.rows, found, testbed.values, testbed.sequence),
            horizon,
            lambda: _compared(twin.rows, found, testbed, horizon),
        )
        return GapView(rows=rows, words=found.words, drift=drift)

    def in_units_of(self, twin: PlantView, testbed: PlantView) -> PlantView:
        """Return the testbed's view without what it gives in another unit than the twin: no scale is right for both."""
        units = {row.key: row.unit for row in twin.rows if row.unit}
        odd = [row for row in testbed.rows if units.get(row.key, row.unit) != row.unit]
        if not odd:
            return testbed
        keys = {row.key for row in odd}
        values = self._in_units.get(
            (testbed.values,), keys, lambda: {key: v for key, v in testbed.values.items() if key not in keys}
        )
        says = f"{odd[0].key} is in {unit_word(odd[0].unit)} here and in {unit_word(units[odd[0].key])} on the twin"
        says += f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
        return replace(testbed, values=values, problems=(*testbed.problems, f"{says}: not shown"))

    def comparable(self, twin: PlantView) -> PlantView:
        """Return the twin's view at the testbed's configuration, as it is where nothing is known of that.

        Its windows come from several runs: their numbers here are those of a list, not of the run.
        """
        if not self._now.columns:
            return twin
        title = f"{twin.title}, at the testbed's configuration"
        return replace(twin, title=title, sequence=self._now.sequence, values=self._now.columns, holes=())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What the twin says of the testbed's configuration: columns by row, numbered by `sequence`, and intervals."""

    words: str = "no gap: the twin has neither windows nor a prediction at the testbed's configuration"
    columns: Mapping[str, FloatArray] = field(default_factory=dict)
    sequence: NDArray[np.int64] = field(default_factory=lambda: NO_WINDOWS)
    predictions: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def _found(
    rows: Sequence[Row],
    in_force: Mapping[str, float],
    windows: Windows | None,
    layout: Layout | None,
    controls: Sequence[Control],
    certificates: Sequence[SignedCertificate],
) -> _Found:
    near = {control.name: control.resolution / 2 + 1e-9 for control in controls}
    found = _Found()
    predicted, certificate = _prediction(in_force, certificates, near)
    if predicted is not None and certificate is not None:
        middle = {name: np.array([(low + high) / 2]) for name, (low, high) in predicted.items()}
        for key, (parts, is_sum) in (layout.totals if layout is not None else {}).items():
            if all(part in middle for part in parts):
                middle[key] = sum((middle[part] for part in parts), np.zeros(1)) / (1 if is_sum else len(parts))
        found = _Found(
            words=f"twin: predicted by certificate {certificate.digest[:12]} for this configuration",
            columns={row.key: middle.get(row.key, np.array([math.nan])) for row in rows},
            sequence=np.arange(1),
            predictions=predicted,
        )
    if windows is None or layout is None or not len(at := _windows_at(windows, in_force, near)):
        return found
    newest = at[-KEEP:]
    return replace(
        found,
        words=f"twin: its {len(at)} window{'s' if len(at) > 1 else ''} at the testbed's configuration",
        columns=_columns_at(layout, windows, newest),
        sequence=np.arange(len(newest)),
    )


def _columns_at(layout: Layout, windows: Windows, at: NDArray[np.int64]) -> dict[str, FloatArray]:
    """Return the columns of some windows: of a day of them only those are looked at, and the horizons before them."""
    back = layout.specification.horizon - 1 if layout.specification is not None else 0
    needed = np.unique(np.maximum(at[:, None] - np.arange(back + 1), 0))
    columns = columns_of(layout, windows.take(needed))
    places = np.searchsorted(needed, at)
    return {name: column[places] for name, column in columns.items()}


def _compared(rows: Sequence[Row], found: _Found, testbed: PlantView, horizon: int) -> dict[str, GapRow]:
    sequence, nothing = testbed.sequence, (math.nan, math.nan)
    is_whole = len(sequence) >= horizon and int(sequence[-1] - sequence[-horizon]) == horizon - 1
    compared = {}
    for row in rows:
        column = testbed.values.get(row.key)
        if column is None:
            continue
        theirs = found.columns.get(row.key)
        expected = float(theirs[-1]) if theirs is not None else math.nan
        here = float(column[-1])
        low, high = found.predictions.get(row.key, nothing)
        mean = sum(column[-horizon:].tolist()) / horizon if is_whole else math.nan
        known = not math.isnan(low) and not math.isnan(mean)
        compared[row.key] = GapRow(
            key=row.key, twin=expected, testbed=here, gap=expected - here, low=low, high=high, mean=mean,
            inside=low <= mean <= high if known else None,
        )  # fmt: skip
    return compared


def _windows_at(windows: Windows, in_force: Mapping[str, float], near: Mapping[str, float]) -> NDArray[np.int64]:
    """Return the places of the windows that were at that configuration."""
    if not in_force or any(name not in windows.controls for name in in_force):
        return NO_WINDOWS
    at = np.ones(len(windows), dtype=bool)
    for name, value in in_force.items():
        at &= np.abs(windows.controls[name] - value) <= near.get(name, 1e-9)
    return np.flatnonzero(at)


def _prediction(
    in_force: Mapping[str, float], certificates: Sequence[SignedCertificate], near: Mapping[str, float]
) -> tuple[dict[str, tuple[float, float]] | None, Certificate | None]:
    """Return the intervals of the certificate that ends or begins at this configuration, the target's first."""
    read = [signed.certificate() for signed in certificates]
    for at_target in (True, False):
        for certificate in read:
            values = certificate.target if at_target else certificate.base
            if values.keys() == in_force.keys() and all(
                abs(value - in_force[name]) <= near.get(name, 1e-9) for name, value in values.items()
            ):
                return {name: _ends(p, at_target) for name, p in certificate.predictions.items()}, certificate
    return None, None


def _ends(prediction: Prediction, at_target: bool) -> tuple[float, float]:
    """Return the interval as the agent believes it: a saturated throughput has no spread at all on the twin."""
    if at_target:
        return believed(prediction.target_low, prediction.target_high)
    return believed(prediction.base_low, prediction.base_high)
