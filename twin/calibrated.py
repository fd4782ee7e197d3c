"""Calibrations that come with the package: the compute cost of a DU as fitted to a real gNB, by name."""

from __future__ import annotations

import difflib
import json
from dataclasses import fields
from functools import cache
from importlib import resources
from typing import Any

from col.errors import InputError
from twin.parameters import DuCompute

__all__ = ["PRIOR", "calibrated_du", "calibration_names", "calibration_note"]

PRIOR = "prior"
"""Name that stands for no calibration: the defaults of `DuCompute`."""
_FOLDER = "data"


def calibration_names() -> tuple[str, ...]:
    """Return the calibrations that come with the package."""
    files = [file.name for file in resources.files("twin").joinpath(_FOLDER).iterdir() if file.name.endswith(".json")]
    return (PRIOR, *sorted(name.removesuffix(".json") for name in files))


@cache
def _document(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        resources.files("twin").joinpath(_FOLDER).joinpath(f"{name}.json").read_bytes()
    )
    return content


def calibrated_du(name: str, *, source: str = "", key: str = "calibration") -> DuCompute:
    """Return the DU's compute cost of a calibration.

    Raises:
        InputError: there is no such calibration.
    """
    if name == PRIOR:
        return DuCompute()
    if name not in calibration_names():
        near = difflib.get_close_matches(name, calibration_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(calibration_names())}"
        raise InputError(f"no such calibration; {hint}", source=source, key=key, value=name[:60])
    values = _document(name)["du"]
    return DuCompute(**{f.name: values[f.name] for f in fields(DuCompute) if f.name in values})


def calibration_note(name: str, *, perturbed: bool) -> str:
    """Return one line for people on where the DU's compute cost comes from."""
    if name == PRIOR:
        return "uncalibrated: the DU's compute cost is a prior"
    note = f"calibrated: DU compute cost from {name} (all-in-one gNB, rt mode, full buffers)"
    return note + ", with values of its own in this scenario" if perturbed else note
