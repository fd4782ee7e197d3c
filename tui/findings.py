"""What a rehearsal found, as data: `summary.json` for machines, `details.json` for the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from col.plant import PlantDescription
from col.prior import design_leaves
from col.problem import Problem, Settings
from col.region import Region
from tui.recorder import Recorder, conjunct_robustness, short_text
from tui.region_facts import Cheapest, border_limits
from tui.run_folder import StoredRun
from tui.verification import Truth

__all__ = ["details_of", "summary_of"]

_BORDER_STREAM = 77
"""Spawn key of the rays that look for the border: apart from every stream that learning uses."""


def summary_of(
    manifest: Mapping[str, Any],
    recorder: Recorder,
    stored: StoredRun,
    best: Cheapest | None,
    recommendation: Mapping[str, Any] | None,
    truth: Truth | None,
    wall_s: float,
) -> dict[str, Any]:
    """Return the summary; coverage, false-safe share and unsafe interventions are None where there was no truth."""
    outcome, settings = recorder.outcome, manifest["settings"]
    if outcome is None:
        raise RuntimeError("no outcome to summarise")
    tables = [w for w in (stored.passive, *stored.trial_windows) if w is not None and len(w)]
    reference = recorder.reference
    infeasible = reference is not None and not reference.holds
    return {
        "scenario": manifest["scenario"],
        "scenario_digest": manifest["scenario_digest"],
        "on": manifest.get("on"),
        "seed": manifest["seed"],
        "verdict": "infeasible" if infeasible else "certified" if outcome.certified else "empty",
        "reason": outcome.reason,
        "limiting": reference.limiting if infeasible and reference else None,
        "windows_passive": outcome.passive_windows,
        "windows_support": outcome.support,
        "interventions": len(outcome.trials),
        "refused": outcome.refused,
        "violations": outcome.violations,
        "unsafe_interventions": None if truth is None else truth.unsafe_trials,
        "alpha": manifest["alpha"],
        "delta": manifest["delta"],
        "confidence": settings["confidence"],
        "effect_model": settings["effect"],
        "prior": settings["prior"],
        "region_volume": outcome.volume,
        "region_volume_uniform": outcome.volume_uniform,
        "cheapest": None if best is None else asdict(best),
        "recommended": None if recommendation is None else recommendation["recommended"],
        "coverage": None if truth is None else truth.facts.get("coverage"),
        "coverage_ci": None if truth is None else truth.facts.get("coverage_ci"),
        "false_safe": None if truth is None else truth.facts.get("false_safe"),
        "false_safe_ci": None if truth is None else truth.facts.get("false_safe_ci"),
        "wall_s": round(wall_s, 3),
        "certification_s": None if recommendation is None else recommendation["certification_s"],
        "simulated_s": max((float(w.end_s[-1]) for w in tables), default=0.0),
        "calibration_id": manifest.get("calibration_id"),
    }


def details_of(
    problem: Problem, description: PlantDescription, settings: Settings, recorder: Recorder, stored: StoredRun
) -> dict[str, Any]:
    """Return estimands, what limits, and how the region grew."""
    outcome = recorder.outcome
    designs = design_leaves(problem, description, adjusted=settings.prior != "naive")
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(_BORDER_STREAM,)))
    border = {} if outcome is None else border_limits(outcome.region, description.controls, rng)
    return {
        "estimands": [
            {
                "outcome": design.name,
                "treatments": list(design.controls),
                "adjustment": [[name, lag] for name, lag in design.estimand.adjustment],
                "formula": design.estimand.formula,
            }
            for design in designs
            if design.estimand is not None
        ],
        "not_identifiable": [f"{design.name}: {design.obstacle}" for design in designs if design.obstacle],
        "border": border,
        "conjuncts": _conjuncts(problem, stored, border, None if outcome is None else outcome.region),
        "history": recorder.history,
        "notes": [] if outcome is None else list(outcome.notes),
    }


def _conjuncts(
    problem: Problem, stored: StoredRun, border: Mapping[str, float], region: Region | None
) -> list[dict[str, Any]]:
    """Return for each conjunct of φ how near to failing it came, and whether it stops the region anywhere."""
    leaves: dict[int, set[str]] = {}
    if region is not None:
        for requirement in region.reduction.requirements:
            leaves.setdefault(requirement.conjunct, set()).add(region.leaves[requirement.leaf].scale.name)
    conjuncts = problem.specification.conjuncts
    margins = np.array(
        [
            [math.nan if w is None else conjunct_robustness(c, w) for w in stored.trial_windows] or [math.nan]
            for c in conjuncts
        ]
    ).reshape(len(conjuncts), -1)
    known = np.any(np.isfinite(margins), axis=0)
    limited = np.argmin(np.where(np.isfinite(margins), margins, np.inf), axis=0)[known]
    out = []
    for k, conjunct in enumerate(conjuncts):
        stops = sum(border.get(name, 0.0) for name in leaves.get(k, ()))
        finite = margins[k][np.isfinite(margins[k])]
        out.append(
            {
                "text": short_text(conjunct),
                "smallest_margin": float(finite.min()) if len(finite) else None,
                "limited_trials": int(np.sum(limited == k)),
                "border_share": stops if border else None,
                "cuts_region": stops > 0 if border else None,
            }
        )
    return out
