"""The gap between the plants: the twin's number for each row minus the testbed's, and what the twin had predicted.

Only what is comparable is compared: the twin's own windows at the testbed's configuration, else what a certificate
predicts there. Where there is neither, there is no gap, and the words say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bridge.drift import believed
from col.certificate import Certificate, Prediction, SignedCertificate
from col.plant import Control, Windows
from tui.watch.feeds_rows import Layout, columns_of
from tui.watch.feeds_twin import KEEP
from tui.watch.state import GapRow, GapView, PlantView, Row

__all__ = ["GapFinder"]

FloatArray = NDArray[np.float64]


class GapFinder:
    """Finds what the twin says of the testbed's configuration; looks again only where run or configuration changed."""

    def __init__(self) -> None:
        self._key: object = None
        self._columns: dict[str, FloatArray] = {}
        self._words = ""
        self._predictions: Mapping[str, tuple[float, float]] = {}

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
            return GapView(drift=drift)
        key = (id(windows), tuple(testbed.in_force.items()), tuple(certificates))
        if key != self._key:
            self._key = key
            self._look(twin.rows, testbed.in_force, windows, layout, controls, certificates)
        shown = self._shown(twin)
        rows = {}
        for row in twin.rows:
            column = testbed.values.get(row.key)
            if column is None:
                continue
            expected = shown.latest(row.key) if shown is not None else math.nan
            here = testbed.latest(row.key)
            low, high = self._predictions.get(row.key, (math.nan, math.nan))
            mean = _mean(column, testbed.sequence, horizon)
            known = not math.isnan(low) and not math.isnan(mean)
            rows[row.key] = GapRow(
                key=row.key, twin=expected, testbed=here, gap=expected - here, low=low, high=high, mean=mean,
                inside=low <= mean <= high if known else None,
            )  # fmt: skip
        return GapView(rows=rows, words=self._words, drift=drift)

    def _look(
        self,
        rows: Sequence[Row],
        in_force: Mapping[str, float],
        windows: Windows | None,
        layout: Layout | None,
        controls: Sequence[Control],
        certificates: Sequence[SignedCertificate],
    ) -> None:
        near = {control.name: control.resolution / 2 + 1e-9 for control in controls}
        self._predictions, self._columns = {}, {}
        self._words = "no gap: the twin has neither windows nor a prediction at the testbed's configuration"
        predicted, certificate = _prediction(in_force, certificates, near)
        if predicted is not None and certificate is not None:
            self._predictions = predicted
            middle = {name: np.array([(low + high) / 2]) for name, (low, high) in predicted.items()}
            for key, (parts, is_sum) in (layout.totals if layout is not None else {}).items():
                if all(part in middle for part in parts):
                    middle[key] = sum((middle[part] for part in parts), np.zeros(1)) / (1 if is_sum else len(parts))
            self._columns = {row.key: middle.get(row.key, np.array([math.nan])) for row in rows}
            self._words = f"twin: predicted by certificate {certificate.digest[:12]} for this configuration"
        if windows is None or layout is None or (at := _windows_at(windows, in_force, near)) is None:
            return
        columns = columns_of(layout, windows)
        self._columns = {name: column[at][-KEEP:] for name, column in columns.items()}
        count = int(at.sum())
        self._words = f"twin: its {count} window{'s' if count > 1 else ''} at the testbed's configuration"

    def comparable(self, twin: PlantView) -> PlantView:
        """Return the twin's view at the testbed's configuration, as it is where nothing is known of that.

        Its windows come from several runs: their numbers here are those of a list, not of the run.
        """
        return self._shown(twin) or twin

    def _shown(self, twin: PlantView) -> PlantView | None:
        if not self._columns:
            return None
        count = len(next(iter(self._columns.values())))
        title = f"{twin.title}, at the testbed's configuration"
        return replace(twin, title=title, sequence=np.arange(count), values=self._columns, holes=())


def _windows_at(windows: Windows, in_force: Mapping[str, float], near: Mapping[str, float]) -> NDArray[np.bool_] | None:
    """Return which windows were at that configuration, None where none was."""
    if not in_force or any(name not in windows.controls for name in in_force):
        return None
    at = np.ones(len(windows), dtype=bool)
    for name, value in in_force.items():
        at &= np.abs(windows.controls[name] - value) <= near.get(name, 1e-9)
    return at if at.any() else None


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


def _mean(column: FloatArray, sequence: NDArray[np.int64], horizon: int) -> float:
    """Return the mean of the last `horizon` windows, NaN where one of them is missing."""
    if len(column) < horizon or int(sequence[-1] - sequence[-horizon]) != horizon - 1:
        return math.nan
    return float(np.mean(column[-horizon:]))
