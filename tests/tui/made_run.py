"""A run folder made up from formulas: four gNBs, a passive phase, some trials. No twin and no learner is needed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from col.plant import Windows
from tui.figures.region import SliceView
from tui.report_data import Group, save_slices
from tui.run_folder import RunFolder

FloatArray = NDArray[np.float64]

CELLS = (1, 2, 3, 4)
CONTROLS = [f"cpu_{kind}_{i}" for kind in ("du", "cu") for i in CELLS]
REFERENCE = 1.2
NOW = datetime(2026, 11, 22, 3, 4, 5)


def manifest(**changes: Any) -> dict[str, Any]:
    nodes: dict[str, str] = {}
    edges: list[list[str]] = []
    regime: list[list[str]] = []
    for i in CELLS:
        nodes |= {f"load_dl_{i}": "exogenous", f"load_ul_{i}": "exogenous"}
        nodes |= {f"cpu_du_{i}": "control", f"cpu_cu_{i}": "control", f"ps_du_{i}": "latent", f"ps_cu_{i}": "latent"}
        nodes |= {f"cap_du_dl_{i}": "observable", f"cap_du_ul_{i}": "observable", f"cap_cu_{i}": "observable"}
        nodes |= {f"thp_dl_{i}": "target", f"thp_ul_{i}": "target"}
        edges += [[f"cpu_{k}_{i}", f"ps_{k}_{i}"] for k in ("du", "cu")] + [[f"ps_cu_{i}", f"cap_cu_{i}"]]
        for way in ("dl", "ul"):
            edges += [[f"load_{way}_{i}", f"ps_du_{i}"], [f"ps_du_{i}", f"cap_du_{way}_{i}"]]
            edges += [[f"{parent}_{i}", f"thp_{way}_{i}"] for parent in (f"cap_du_{way}", "cap_cu", f"load_{way}")]
            regime += [[f"load_{way}_{i}", f"cpu_{k}_{i}"] for k in ("du", "cu")]
    return {
        "scenario": "made-up",
        "scenario_digest": "0123456789abcdef",
        "seed": 7,
        "settings": {"passive_windows": 240, "max_trials": 6, "effect": "mechanism", "prior": "causal"},
        "alpha": 0.9,
        "delta": 0.05,
        "confidence": "pointwise",
        "window_s": 15.0,
        "specification": "always[0,4](thp_dl_1 >= 0.95*load_dl_1 and pow_h1 <= 95)",
        "specification_metrics": [f"thp_{w}_{i}" for i in CELLS for w in ("dl", "ul")] + ["pow_h1"],
        "units": {"pow_h1": "W"},
        "limits": {"pow_h1": 95.0},
        "controls": [
            {"name": n, "unit": "core", "lower": 0.1, "upper": 1.5, "resolution": 0.05, "reference": REFERENCE}
            for n in CONTROLS
        ],
        "graph": {
            "nodes": nodes,
            "edges": edges,
            "lagged": [[f"load_{w}_{i}", f"load_{w}_{i}"] for i in CELLS for w in ("dl", "ul")],
            "regime": regime,
        },
        "groups": [
            Group(title=f"gNB {i}", x=f"cpu_du_{i}", y=f"cpu_cu_{i}", suffixes=(str(i),)).to_dict() for i in CELLS
        ],
        "notes": ["uncalibrated: CU cost, links and host power are priors"],
        "versions": {"rantwin": "0.1.0"},
        "machine": {"cores": 2},
        "command": "rantwin rehearse made-up --seed 7",
        **changes,
    }


def windows(first: int, n: int, run: int, settings: Mapping[str, float] | None = None, seed: int = 1) -> Windows:
    """Return n windows: under the autoscaler, or with the controls held at `settings`."""
    rng = np.random.default_rng([seed, first])
    t = first + np.arange(n)
    start: FloatArray = np.asarray(15.0 * t, dtype=np.float64)
    controls: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    used = np.zeros(n)
    for i in CELLS:
        for way in ("dl", "ul"):
            wave = 5 + 3.5 * np.sin(t / (17 + 3 * i) + i + (way == "ul")) + rng.normal(0, 0.6, n)
            metrics[f"load_{way}_{i}"] = np.clip(wave, 0, 10) if settings is None else np.full(n, 10.0)
        total = metrics[f"load_dl_{i}"] + metrics[f"load_ul_{i}"]
        for kind, cost, base in (("du", 0.025, 0.45), ("cu", 0.015, 0.05)):
            name = f"cpu_{kind}_{i}"
            following = base + 0.25 + cost * np.roll(total, 1)
            controls[name] = np.clip(following, 0.1, 1.5) if settings is None else np.full(n, settings[name])
            metrics[f"cpuu_{kind}_{i}"] = np.minimum(controls[name], base + cost * total + rng.normal(0, 0.01, n))
            used += metrics[f"cpuu_{kind}_{i}"]
        room = np.minimum((controls[f"cpu_du_{i}"] - 0.45) / 0.025, (controls[f"cpu_cu_{i}"] - 0.05) / 0.015)
        for way in ("dl", "ul"):
            load = metrics[f"load_{way}_{i}"]
            share = np.clip(room / np.maximum(total, 1e-9), 0, 1)
            metrics[f"thp_{way}_{i}"] = load * share
    metrics["pow_h1"] = 52 + 4.5 * used + rng.normal(0, 0.5, n)
    return Windows(
        sequence=t.astype(np.int64),
        start_s=start,
        end_s=start + 15.0,
        run=np.full(n, run, dtype=np.int64),
        controls=controls,
        metrics=metrics,
    )


def trial(index: int, n_passive: int, seed: int = 1) -> tuple[dict[str, Any], Windows]:
    """Return the record and the windows of one trial; trials 3, 11, 19 ... fail."""
    rng = np.random.default_rng([seed, 99, index])
    fails = index % 8 == 3
    values = {n: round(float(rng.integers(8 if "du" in n else 4, 27)) * 0.05 + 0.1, 2) for n in CONTROLS}
    values = {n: max(v, 1.0 if "du" in n else 0.4) for n, v in values.items()}
    if fails:
        values["cpu_du_1"] = 0.9
    record = {
        "index": index,
        "controls": values,
        "outcome": "held",
        "verdict": "fail" if fails else "pass",
        "robustness": -0.12 if fails else 0.02 + 0.001 * index,
        "limiting": "thp_dl_1 >= 0.95*load_dl_1",
        "reasons": [],
        "lower_bound": 0.93,
        "region_share": 0.01 + 0.002 * index,
        "windows": 5,
    }
    return record, windows(n_passive + 5 * index, 5, 100 + index, values, seed)


def slices(truth: bool = True) -> list[SliceView]:
    axis = np.round(np.arange(0.1, 1.501, 0.05), 2)
    x, y = np.meshgrid(axis, axis)
    out = []
    for i in CELLS:
        knee = np.minimum((x - 0.95 - 0.01 * i) / 0.05, (y - 0.36) / 0.04)
        p = 1 / (1 + np.exp(-knee))
        out.append(
            SliceView(
                title=f"gNB {i}",
                x_name=f"cpu_du_{i}",
                y_name=f"cpu_cu_{i}",
                x_unit="core",
                y_unit="core",
                x_values=axis,
                y_values=axis,
                lower=1 / (1 + np.exp(-(knee - 1.2))),
                x_reference=REFERENCE,
                y_reference=REFERENCE,
                truth=p if truth else None,
                truth_x=axis if truth else None,
                truth_y=axis if truth else None,
                best_x=1.15,
                best_y=0.55,
            )
        )
    return out


def summary(data: Mapping[str, Any], trials: int) -> dict[str, Any]:
    failed = sum(k % 8 == 3 for k in range(trials))
    return {
        "scenario": data["scenario"],
        "seed": data["seed"],
        "windows_passive": data["settings"]["passive_windows"],
        "interventions": trials,
        "violations": failed,
        "unsafe_interventions": None,
        "alpha": data["alpha"],
        "delta": data["delta"],
        "effect_model": "mechanism",
        "region_volume": 0.0312,
        "coverage": None,
        "false_safe": None,
        "wall_s": 41.2,
        "simulated_s": 18000.0,
        "calibration_id": "srsran-25.10",
        "cheapest": {
            "controls": {n: 1.15 if "du" in n else 0.55 for n in CONTROLS},
            "total": 6.8,
            "reference_total": 9.6,
            "unit": "core",
            "lower_bound": 0.912,
        },
    }


def make_run(root: Path, *, passive: int = 240, trials: int = 6, finish: bool = True) -> RunFolder:
    """Write a whole run under `root`."""
    settings = {**manifest()["settings"], "passive_windows": passive, "max_trials": trials}
    data = manifest(settings=settings)
    folder = RunFolder.create(root, data, 'name = "made-up"\n', NOW)
    for first in range(0, passive, 120):
        folder.append_passive(windows(first, min(120, passive - first), first // 60))
    for index in range(trials):
        folder.append_trial(*trial(index, passive))
    if finish:
        folder.write_with("slices.npz", lambda path: save_slices(path, slices()))
        folder.write_json(
            "details.json",
            {
                "estimands": [
                    {
                        "outcome": "cap_du_dl_1",
                        "treatments": ["cpu_du_1", "cpu_cu_1"],
                        "adjustment": [["load_dl_1", 1], ["load_ul_1", 1]],
                        "formula": "Σ P(cap | x, l) P(l)",
                    }
                ],
                "conjuncts": [
                    {"text": "pow_h1 <= 95", "limited_trials": 0, "smallest_margin": 0.1, "cuts_region": False}
                ],
            },
        )
        folder.merge()
        folder.write_json("summary.json", summary(data, trials))
    return folder
