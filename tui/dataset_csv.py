"""Windows as CSV in the column names of the public 5G data set, where they correspond; every other variable by its own.

A missing value is an empty field. Numbers are written so that they read back exactly.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from col.plant import Windows
from tui.dataset_columns import PERCENT_COLUMNS, columns_of
from twin.topology import Topology

__all__ = ["dataset_csv"]

FloatArray = NDArray[np.float64]


def dataset_csv(
    windows: Windows, topology: Topology, *, hidden: Mapping[str, FloatArray], fixed: Mapping[str, float]
) -> str:
    """Return the table; `hidden` are variables besides the metrics, `fixed` what was set for good, by name."""
    n = len(windows)
    variables: dict[str, FloatArray] = {
        **{name: np.full(n, value) for name, value in fixed.items()},
        **windows.controls,
        **windows.metrics,
        **hidden,
    }
    table: dict[str, FloatArray] = {}
    known = columns_of(topology)
    for name, values in variables.items():
        if name not in known:
            table[name] = values
        for column in known.get(name, ()):
            table[column.name] = column.factor * values
    for gnb in topology.gnbs:
        for way, column_name in PERCENT_COLUMNS.items():
            load, arrived = windows.metrics[f"load_{way}_{gnb.cell}"], windows.metrics[f"thp_{way}_{gnb.cell}"]
            lost = np.full(n, np.nan)
            np.divide(load - arrived, load, out=lost, where=load > 0)
            table[f"DU{gnb.cell}_{column_name}"] = 100.0 * np.clip(lost, 0.0, 1.0)
    frame = {
        "sequence": [str(int(v)) for v in windows.sequence],
        "start_s": [_field(v) for v in windows.start_s],
        "end_s": [_field(v) for v in windows.end_s],
        "run": [str(int(v)) for v in windows.run],
    }
    order = sorted(table, key=lambda name: (not name[:2].isupper(), name if name[:2].isupper() else ""))
    columns = [*frame.values(), *([_field(v) for v in table[name]] for name in order)]
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow([*frame, *order])
    writer.writerows(zip(*columns, strict=True))
    return sink.getvalue()


def _field(value: float) -> str:
    return repr(float(value)) if np.isfinite(value) else ""
