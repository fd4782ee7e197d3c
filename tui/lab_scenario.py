"""The scenario of a lab on this machine: the one that comes with rantwin, scaled to the cores that there are."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from col.errors import InputError
from twin.scenario import load_scenario, parse_scenario
from twin.strict import write_toml

if TYPE_CHECKING:
    from bridge.lab.engine import LabPlan
    from twin.scenario import Scenario

__all__ = ["MOST_GNBS", "cores_here", "lab_scenario", "plan_of"]

MOST_GNBS = 4
_CORES = 2.0
"""What the scenario that comes with rantwin is made for."""
_LEAST_FACTOR, _MOST_FACTOR = 0.5, 6.25
"""Below, a CPU limit would fall under the kernel's least quota; above, a DU costs what the real one does."""
_PER_CORE = {
    "controls": ("lower_cores", "upper_cores", "resolution_cores", "reference_cores"),
    "autoscaler": ("base_cores", "gain_cores_per_mbps", "dither_cores"),
}
_COSTS = {
    "du": ("base_ms", "dl_fixed_ms", "dl_full_ms", "ul_fixed_ms", "ul_full_ms"),
    "cu": ("base_share", "packet_ms"),
}
_LEAST_LIMIT = 0.01
"""Cores: the kernel takes no quota below 1 ms in a period of 100 ms."""


def cores_here() -> int:
    """Return how many cores this process may use."""
    import os

    return len(os.sched_getaffinity(0)) or 1


def lab_scenario(*, cores: int, gnbs: int = MOST_GNBS, window_s: float | None = None) -> Scenario:
    """Return the scenario for so many cores and gNBs.

    Raises:
        InputError: more gNBs than the lab has, or windows too short for what is measured in them.
    """
    if not 1 <= gnbs <= MOST_GNBS:
        raise InputError(f"must lie in 1 to {MOST_GNBS}", key="--gnbs", value=gnbs)
    base = load_scenario("lab")
    factor = min(max(cores / _CORES, _LEAST_FACTOR), _MOST_FACTOR)
    if factor == 1.0 and gnbs == MOST_GNBS and window_s is None:
        return base
    document = tomllib.loads(base.to_toml())
    _scale(document, factor)
    if window_s is not None:
        if not 1.0 <= window_s <= 3600.0:
            raise InputError("must lie in 1 to 3600 s", key="--window", value=window_s)
        document["window"]["length_s"] = float(window_s)
    if gnbs < MOST_GNBS:
        document["scenario"]["title"] = f"CPU limits of {gnbs} gNB{'s' if gnbs > 1 else ''} of containers here"
        document["gnbs"] = {name: table for name, table in document["gnbs"].items() if int(name) <= gnbs}
        ways = [f"thp_{way}_{i} >= 0.95 * load_{way}_{i}" for i in range(1, gnbs + 1) for way in ("dl", "ul")]
        document["specification"]["text"] = f"always[0,4]({' and '.join(ways)})"
    return parse_scenario(write_toml(document).encode(), "lab scenario.toml")


def _scale(document: dict[str, Any], factor: float) -> None:
    for part, keys in _PER_CORE.items():
        for kind in ("cpu_du", "cpu_cu"):
            table = document[part][kind]
            table.update({key: _rounded(table[key] * factor) for key in keys})
    for kind in ("cpu_du", "cpu_cu"):
        table = document["controls"][kind]
        table["lower_cores"] = max(table["lower_cores"], _LEAST_LIMIT)
    for part, keys in _COSTS.items():
        table = document["compute"][part]
        table.update({key: _rounded(table[key] * factor) for key in keys})
    document["hosts"]["h1"]["capacity_cores"] = _CORES * factor


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def plan_of(scenario: Scenario, *, name: str, folder: Path, limits: dict[str, float] | None = None) -> LabPlan:
    """Return the lab that a scenario describes, at its reference limits where `limits` says nothing else."""
    from dataclasses import asdict

    from bridge.lab.engine import LabPlan

    cell = scenario.cells()[0]
    du = asdict(cell.du)
    gnbs = tuple(str(gnb.cell) for gnb in scenario.topology.gnbs)
    reference = {control.name.removeprefix("cpu_"): control.reference for control in scenario.controls}
    load = scenario.operating_load
    return LabPlan(
        name=name,
        folder=folder,
        gnbs=gnbs,
        limits_cores=reference | (limits or {}),
        load_mbps={gnb: (load.dl_mbps, load.ul_mbps) for gnb in gnbs},
        # What a stall costs besides is the kernel's doing here, and only the twin has to pretend it.
        du_cost={key: float(value) for key, value in du.items()} | {"resume_ms": 0.0},
        cu_cost={key: float(value) for key, value in asdict(cell.cu).items()},
        cell={
            "n_prb": float(cell.n_prb),
            "bits_per_prb_dl": float(cell.bits_per_prb_dl),
            "bits_per_prb_ul": float(cell.bits_per_prb_ul),
            "cap_prb_dl": float(cell.cap_prb_dl),
            "cap_prb_ul": min(float(cell.cap_prb_ul), cell.n_prb - cell.pucch_prb),
            "ul_grant_ms": cell.ul_grant_ms,
            "buffer_packets": float(cell.buffer_packets),
        },
        payload_bytes=scenario.payload_bytes,
    )
