"""Calibrations that come with the package, by name: the compute cost of a DU and the link rates of a real gNB."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

from col.errors import InputError
from twin.parameters import CellParameters, DuCompute
from twin.radio import McsTable

__all__ = ["PRIOR", "ZMQ_PRIOR", "Calibrated", "calibrated", "calibration_names"]

PRIOR = "prior"
"""Name that stands for no calibration: the defaults of `DuCompute` and `CellParameters`."""
ZMQ_PRIOR = "zmq-prior"
"""Name that stands for no calibration of a gNB on a virtual radio that exchanges samples in lock-step (ZeroMQ)."""
_LOCK_STEP = DuCompute(
    # From the ranges of the public 5G data set of Hammar et al.: 0.6 core idle, 2.5 cores with both directions full.
    base_ms=0.6,
    dl_fixed_ms=0.1,
    dl_full_ms=0.5,
    ul_fixed_ms=0.3,
    ul_full_ms=0.9,
    parallelism=3.0,
    # The radio waits for the DU: a slot is as long as its processing. In a millisecond in which the DU is still at an
    # earlier slot none begins, none is late or lost, and there is no feedback to miss.
    skip_after_ms=1.0,
    resync_ms=1.0,
    deadline_ms=1e9,
    inflight_slots=0,
    resume_ms=0.0,
)
_FOLDER = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What a scenario takes from a calibration; it binds only where radio mode and MCS table match.

    `throughput_error` is the largest NRMSE of throughput on settings left out of the fit, None where nobody looked.
    """

    calibration_id: str
    radio_mode: str
    mcs_table: McsTable
    du: DuCompute
    bits_per_prb_dl: int
    bits_per_prb_ul: int
    pucch_prb: float
    note: str
    throughput_error: float | None = None


def calibration_names() -> tuple[str, ...]:
    """Return the calibrations that come with the package."""
    files = [file.name for file in resources.files("twin").joinpath(_FOLDER).iterdir() if file.name.endswith(".json")]
    return (PRIOR, ZMQ_PRIOR, *sorted(name.removesuffix(".json") for name in files))


@cache
def _read(name: str) -> Calibrated:
    content: dict[str, Any] = json.loads(resources.files("twin").joinpath(f"{_FOLDER}/{name}.json").read_bytes())
    du, cell = content["du"], content["cell"]
    return Calibrated(
        calibration_id=str(content["calibration_id"]),
        radio_mode=str(content["radio_mode"]),
        mcs_table=McsTable(content["mcs_table"]),
        du=DuCompute(**{f.name: du[f.name] for f in fields(DuCompute) if f.name in du}),
        bits_per_prb_dl=int(cell["bits_per_prb_dl"]),
        bits_per_prb_ul=int(cell["bits_per_prb_ul"]),
        pucch_prb=float(cell["pucch_prb"]),
        throughput_error=max(
            (v["throughput_nrmse"] for v in content["errors"].values() if "settings" in v and "throughput_nrmse" in v),
            default=None,
        ),
        note=f"calibrated: DU compute cost as fitted to {content['stack']} ({content['split']}, full buffers), {name}",
    )


def calibrated(name: str, *, source: str = "", key: str = "calibration") -> Calibrated:
    """Return the calibration of that name.

    Raises:
        InputError: there is no such calibration.
    """
    if name == PRIOR:
        cell = CellParameters()
        return Calibrated(
            calibration_id=PRIOR,
            radio_mode="rt",
            mcs_table=McsTable.QAM256,
            du=cell.du,
            bits_per_prb_dl=cell.bits_per_prb_dl,
            bits_per_prb_ul=cell.bits_per_prb_ul,
            pucch_prb=cell.pucch_prb,
            note="uncalibrated: the DU's compute cost is a prior",
        )
    if name == ZMQ_PRIOR:
        return Calibrated(
            calibration_id=ZMQ_PRIOR,
            radio_mode="zmq",
            mcs_table=McsTable.QAM64,
            du=_LOCK_STEP,
            # MCS 28 of the 64QAM table over 25 PRBs, as the data set's highest rate has it; the uplink's MCS follows
            # from the scenario's SNR.
            bits_per_prb_dl=628,
            bits_per_prb_ul=737,
            pucch_prb=4.0,
            note="uncalibrated: compute cost and rates of the virtual radio are priors, slots stretch under starvation",
        )
    if name not in calibration_names():
        near = difflib.get_close_matches(name, calibration_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(calibration_names())}"
        raise InputError(f"no such calibration; {hint}", source=source, key=key, value=name[:60])
    return _read(name)
