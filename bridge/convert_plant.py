"""Descriptions, readings and windows of a testbed, to the wire and from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.backends.base import BackendDescription, Reading
from bridge.convert_values import (
    MOST_NAMES,
    EnumTable,
    check_name,
    check_names,
    check_number,
    check_numbers,
    check_whole,
    clean_line,
    clean_lines,
    duration_from,
    duration_to,
)
from col.errors import InputError
from col.plant import Control, Metric, MetricKind, PlantDescription, Provenance, Windows
from protos.rantwin.testbed.v1 import testbed_service_pb2 as pb

__all__ = [
    "METRIC_KINDS",
    "MOST_CELLS",
    "PROVENANCES",
    "backend_from",
    "backend_to",
    "reading_from",
    "reading_to",
    "rows_that_fit",
    "windows_from",
    "windows_to",
]

MOST_CELLS = 250_000
"""Values in one message of windows: 2 MB of doubles."""
LONGEST_WINDOW_S = 86_400.0

METRIC_KINDS = EnumTable(MetricKind, pb.MetricKind, "METRIC_KIND")
PROVENANCES = EnumTable(Provenance, pb.Provenance, "PROVENANCE")

FloatArray = NDArray[np.float64]


def rows_that_fit(windows: Windows) -> int:
    """Return how many rows of a table fit into one message, at least one."""
    return max(1, MOST_CELLS // (4 + len(windows.controls) + len(windows.metrics)))


def windows_to(windows: Windows) -> pb.Windows:
    """Return a table of windows as a message; InputError if it has infinite values or does not fit."""
    if len(windows) > rows_that_fit(windows):
        raise InputError("too many windows for one message", key="windows", value=len(windows))
    for name, column in {**windows.controls, **windows.metrics}.items():
        check_name(name, "windows")
        _no_infinity(column, name)
    return pb.Windows(
        sequences=windows.sequence.tolist(),
        starts_s=_no_infinity(windows.start_s, "start_s", nan=False).tolist(),
        ends_s=_no_infinity(windows.end_s, "end_s", nan=False).tolist(),
        runs=windows.run.tolist(),
        controls=[pb.Column(name=name, values=column.tolist()) for name, column in windows.controls.items()],
        metrics=[
            pb.Column(name=name, values=column.tolist(), provenance=_provenance(windows, name))
            for name, column in windows.metrics.items()
        ],
    )


def windows_from(message: pb.Windows) -> Windows:
    """Return a table of windows; InputError unless it is a sound one."""
    n, width = len(message.sequences), 4 + len(message.controls) + len(message.metrics)
    if width > MOST_NAMES or n * width > 2 * MOST_CELLS + width:
        raise InputError("too many values", key="windows", value=n * width)
    controls, metrics = _columns(message.controls, n), _columns(message.metrics, n)
    if controls.keys() & metrics.keys():
        raise InputError("a control and a metric have one name", key="windows")
    sequence = np.array(message.sequences, dtype=np.int64)
    if n and sequence[0] < 0:
        raise InputError("must be >= 0", key="windows.sequences", value=int(sequence[0]))
    return Windows(
        sequence=sequence,
        start_s=_no_infinity(np.array(message.starts_s, dtype=np.float64), "starts_s", nan=False),
        end_s=_no_infinity(np.array(message.ends_s, dtype=np.float64), "ends_s", nan=False),
        run=np.array(message.runs, dtype=np.int64),
        controls=controls,
        metrics=metrics,
        provenance={c.name: PROVENANCES.read(c.provenance, c.name) for c in message.metrics if c.provenance},
    )


def _columns(columns: Iterable[pb.Column], n: int) -> dict[str, FloatArray]:
    out: dict[str, FloatArray] = {}
    for column in columns:
        if check_name(column.name, "windows") in out:
            raise InputError("two columns of one name", key=column.name)
        if len(column.values) != n:
            raise InputError(f"must have {n} values", key=column.name, value=len(column.values))
        out[column.name] = _no_infinity(np.array(column.values, dtype=np.float64), column.name)
    return out


def _no_infinity(column: FloatArray, key: str, *, nan: bool = True) -> FloatArray:
    if np.isinf(column).any() or not (nan or np.isfinite(column).all()):
        raise InputError("must be finite", key=key)
    return column


def _provenance(windows: Windows, name: str) -> Any:
    provenance = windows.provenance.get(name)
    return None if provenance is None else PROVENANCES.to(provenance)


def reading_to(reading: Reading) -> pb.Reading:
    """Return a reading as a message."""
    return pb.Reading(
        controls=check_numbers(reading.controls, "reading.controls"),
        testbed_time_s=check_number(reading.at_s, "reading.at_s"),
        next_sequence=check_whole(reading.next_sequence, "reading.next_sequence"),
        automation=reading.automation,
    )


def reading_from(message: pb.Reading) -> Reading:
    """Return a reading, or raise InputError."""
    return Reading(
        controls=check_numbers(message.controls, "reading.controls"),
        at_s=check_number(message.testbed_time_s, "reading.testbed_time_s"),
        next_sequence=check_whole(message.next_sequence, "reading.next_sequence"),
        automation=message.automation,
    )


def backend_to(backend: BackendDescription) -> pb.BackendDescription:
    """Return the description of a testbed as a message."""
    strangers = set(backend.gnb_metrics) - set(backend.gnbs)
    if strangers:
        raise InputError("has metrics but is no gNB", key=min(strangers))
    return pb.BackendDescription(
        plant=_plant_to(backend.plant),
        stack=check_name(backend.stack, "stack", empty=True),
        radio_mode=check_name(backend.radio_mode, "radio_mode", empty=True),
        gnbs=[
            pb.Gnb(
                name=check_name(name, "gnbs"),
                control_names=check_names(controls, name),
                health_metric_names=check_names(backend.gnb_metrics.get(name, ()), name),
            )
            for name, controls in backend.gnbs.items()
        ],
        estimated_metric_names=check_names(sorted(backend.estimated), "estimated"),
    )


def backend_from(message: pb.BackendDescription) -> BackendDescription:
    """Return the description of a testbed, or raise InputError."""
    names = check_names((gnb.name for gnb in message.gnbs), "gnbs")
    return BackendDescription(
        plant=_plant_from(message.plant),
        stack=check_name(message.stack, "stack", empty=True),
        radio_mode=check_name(message.radio_mode, "radio_mode", empty=True),
        gnbs={n: check_names(gnb.control_names, n) for n, gnb in zip(names, message.gnbs, strict=True)},
        gnb_metrics={
            n: check_names(gnb.health_metric_names, n)
            for n, gnb in zip(names, message.gnbs, strict=True)
            if gnb.health_metric_names
        },
        estimated=frozenset(check_names(message.estimated_metric_names, "estimated_metric_names")),
    )


def _plant_to(plant: PlantDescription) -> pb.PlantDescription:
    return pb.PlantDescription(
        plant_id=check_name(plant.plant_id, "plant_id"),
        controls=[
            pb.Control(
                name=check_name(c.name, "controls"),
                unit=check_name(c.unit, c.name, empty=True),
                lower=c.lower,
                upper=c.upper,
                resolution=c.resolution,
                reference=c.reference,
                live=c.live,
                description=clean_line(c.description),
            )
            for c in plant.controls
        ],
        metrics=[
            pb.Metric(
                name=check_name(m.name, "metrics"),
                unit=check_name(m.unit, m.name, empty=True),
                kind=METRIC_KINDS.to(m.kind),
                description=clean_line(m.description),
            )
            for m in plant.metrics
        ],
        window_length=duration_to(plant.window_s, "window_s", low=1e-6, high=LONGEST_WINDOW_S),
        wall_window_length=duration_to(plant.wall_window_s, "wall_window_s", high=LONGEST_WINDOW_S),
        emulated=plant.emulated,
        notes=clean_lines(plant.notes),
    )


def _plant_from(message: pb.PlantDescription) -> PlantDescription:
    _each_once([*message.controls], [*message.metrics])
    return PlantDescription(
        plant_id=check_name(message.plant_id, "plant_id"),
        controls=tuple(
            Control(
                name=c.name,
                unit=check_name(c.unit, c.name, empty=True),
                lower=c.lower,
                upper=c.upper,
                resolution=c.resolution,
                reference=c.reference,
                live=c.live,
                description=clean_line(c.description),
            )
            for c in message.controls
        ),
        metrics=tuple(
            Metric(
                name=m.name,
                unit=check_name(m.unit, m.name, empty=True),
                kind=METRIC_KINDS.read(m.kind, m.name),
                description=clean_line(m.description),
            )
            for m in message.metrics
        ),
        window_s=duration_from(message.window_length, "window_length", low=1e-6, high=LONGEST_WINDOW_S),
        wall_window_s=duration_from(message.wall_window_length, "wall_window_length", high=LONGEST_WINDOW_S),
        emulated=message.emulated,
        notes=clean_lines(message.notes),
    )


def _each_once(controls: Sequence[pb.Control], metrics: Sequence[pb.Metric]) -> None:
    check_names([*(c.name for c in controls), *(m.name for m in metrics)], "controls and metrics")
