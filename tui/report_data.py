"""What a report is made of, read back from a run folder: the report never needs the learner or the plant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from col.plant import Windows, concatenate_windows
from tui.figures.region import SliceView
from tui.run_folder import RunFolder

__all__ = ["Group", "ReportData", "load_report_data", "load_slices", "save_slices"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What belongs together in a picture, one gNB for example: two controls, and the suffixes of its metrics."""

    title: str
    x: str
    y: str
    suffixes: tuple[str, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Group:
        """Return the group of a manifest's entry."""
        return cls(title=data["title"], x=data["x"], y=data["y"], suffixes=tuple(data["suffixes"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the entry for a manifest."""
        return {"title": self.title, "x": self.x, "y": self.y, "suffixes": list(self.suffixes)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """A run, ready to be shown. `trial` (n,) has the trial of each window, -1 in the passive phase.

    `summary` is None while the run is not finished; `details`, `calibration`, `verification`, `sensitivity` and
    `recommendation` are empty where a run has none.
    """

    name: str
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    details: Mapping[str, Any]
    trials: Sequence[Mapping[str, Any]]
    windows: Windows | None
    trial: NDArray[np.int64]
    slices: Sequence[SliceView]
    groups: Sequence[Group]
    calibration: Mapping[str, Any]
    verification: Mapping[str, Any]
    sensitivity: Mapping[str, Any]
    recommendation: Mapping[str, Any]
    warnings: Sequence[str] = ()

    @property
    def alpha(self) -> float:
        """The probability with which φ must hold."""
        return float(self.manifest["alpha"])

    @property
    def controls(self) -> Sequence[Mapping[str, Any]]:
        """Every control: name, unit, lower, upper, resolution, reference."""
        controls: Sequence[Mapping[str, Any]] = self.manifest["controls"]
        return controls

    @property
    def command(self) -> str:
        """The command that makes the run again, with the budget that it had in the end."""
        command = str(self.manifest.get("command", "rantwin rehearse"))
        planned = self.manifest["settings"]["max_trials"]
        budget = (self.summary or {}).get("max_trials", planned)
        return command if budget == planned else f"{command} --max-trials {budget}"

    @property
    def reference(self) -> dict[str, float]:
        """The reference value of each control."""
        return {c["name"]: float(c["reference"]) for c in self.controls}

    @property
    def failed(self) -> frozenset[int]:
        """The trials in which φ failed."""
        return frozenset(int(t["index"]) for t in self.trials if t.get("verdict") == "fail")


def load_report_data(folder: RunFolder) -> ReportData:
    """Read a run folder, finished or not."""
    stored = folder.load()
    tables, numbers = [], []
    if stored.passive is not None:
        tables.append(stored.passive)
        numbers.append(np.full(len(stored.passive), -1, dtype=np.int64))
    for record, table in zip(stored.trials, stored.trial_windows, strict=True):
        if table is not None and len(table):
            tables.append(table)
            numbers.append(np.full(len(table), int(record["index"]), dtype=np.int64))
    return ReportData(
        name=folder.path.resolve().name,
        manifest=folder.manifest,
        summary=folder.read_json("summary.json"),
        details=folder.read_json("details.json") or {},
        trials=stored.trials,
        windows=concatenate_windows(tables) if tables else None,
        trial=np.concatenate(numbers) if numbers else np.empty(0, dtype=np.int64),
        slices=load_slices(folder.path / "slices.npz"),
        groups=[Group.from_dict(entry) for entry in folder.manifest.get("groups", ())],
        calibration=folder.read_json("calibration.json") or {},
        verification=folder.read_json("verification.json") or {},
        sensitivity=folder.read_json("sensitivity.json") or {},
        recommendation=folder.read_json("recommendation.json") or {},
        warnings=stored.warnings,
    )


_TEXTS = ("title", "x_name", "y_name", "x_unit", "y_unit", "held")
_NUMBERS = ("x_reference", "y_reference", "best_x", "best_y", "zoom")
_ARRAYS = ("x_values", "y_values", "lower", "truth", "truth_x", "truth_y")


def save_slices(path: Path, slices: Sequence[SliceView]) -> None:
    """Store slices as one `.npz` without pickles."""
    columns: dict[str, Any] = {"count": np.array(len(slices))}
    for k, view in enumerate(slices):
        columns |= {f"{k}.{name}": np.array(getattr(view, name)) for name in _TEXTS}
        for name in (*_NUMBERS, *_ARRAYS):
            value = getattr(view, name)
            if value is not None:
                columns[f"{k}.{name}"] = np.asarray(value, dtype=np.float64)
    with path.open("wb") as sink:
        np.savez_compressed(sink, allow_pickle=False, **columns)


def load_slices(path: Path) -> list[SliceView]:
    """Return the slices of a file, none where there is no file."""
    if not path.is_file():
        return []
    try:
        with np.load(path, allow_pickle=False) as stored:
            return list(_read_slices({name: stored[name] for name in stored.files}))
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise InputError(f"not a file of slices ({error})", source=str(path)) from error


def _read_slices(stored: Mapping[str, NDArray[Any]]) -> Iterator[SliceView]:
    for k in range(int(stored["count"])):
        numbers = {n: float(stored[f"{k}.{n}"]) for n in _NUMBERS if f"{k}.{n}" in stored}
        arrays = {n: stored[f"{k}.{n}"] for n in _ARRAYS if f"{k}.{n}" in stored}
        texts = {n: str(stored[f"{k}.{n}"]) for n in _TEXTS}
        zoom = bool(numbers.pop("zoom", 0.0))
        yield SliceView(**texts, **numbers, **arrays, zoom=zoom)  # type: ignore[arg-type]  # three kinds of fields, checked above
