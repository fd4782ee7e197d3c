"""How well the compute model predicts settings that it was not fitted on: whole settings left out, one at a time.

Repetitions of a setting leave together, so nothing of the setting is seen. Beside each error stands what a trivial
predictor reaches (rate and CPU in proportion to the quota up to what CPU to spare gave) and what one repetition says
of the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.calibrate import fit_compute, fits_uplink, has_cpu_to_spare, simulate_settings
from twin.recording_rows import Setting

__all__ = ["GROUPS", "LeftOut", "group_of", "leave_settings_out", "nrmse", "repetition_floor", "summarise"]

GROUPS = ("full load under quota", "partial load, CPU to spare", "partial load under quota")
_METRICS = ("dl_mbps", "ul_mbps", "cpu_cores", "throttled_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A setting that was left out: mean of its repetitions, prediction, trivial prediction, by metric."""

    group: str
    quota_cores: float
    n_ue: int
    cap_prb_dl: int
    cap_prb_ul: int
    extrapolated: bool
    uplink_usable: bool
    measured: dict[str, float]
    predicted: dict[str, float]
    trivial: dict[str, float]


def group_of(s: Setting) -> str:
    """Return the group in which a setting's error is counted."""
    if s.cap_prb_dl >= 25 and s.cap_prb_ul >= 25 and s.quota_cores < 1.5:
        return GROUPS[0]
    return GROUPS[1] if has_cpu_to_spare(s) else GROUPS[2]


def nrmse(predicted: Iterable[float], measured: Iterable[float]) -> float:
    """Return RMSE / (q95 - q05) of the measured values; NaN where they do not vary."""
    p, m = np.array(list(predicted)), np.array(list(measured))
    span = float(np.quantile(m, 0.95) - np.quantile(m, 0.05)) if len(m) > 1 else 0.0
    return float(np.sqrt(np.mean((p - m) ** 2)) / span) if span > 0 else float("nan")


def _key(s: Setting) -> tuple[float, int, int, int]:
    return (s.quota_cores, s.n_ue, s.cap_prb_dl, s.cap_prb_ul)


def _trivial(s: Setting, rest: Sequence[Setting]) -> dict[str, float]:
    """Everything in proportion to the quota, up to the mean of full-load settings with CPU to spare."""
    spare = [r for r in rest if has_cpu_to_spare(r) and r.cap_prb_dl == 25 and r.cap_prb_ul == 25]
    cpu = float(np.mean([r.cpu_cores for r in spare]))
    share = min(1.0, s.quota_cores / cpu)
    rates = {m: float(np.mean([getattr(r, m) for r in spare])) for m in ("dl_mbps", "ul_mbps")}
    return {
        "dl_mbps": share * rates["dl_mbps"] * s.cap_prb_dl / 25.0,
        "ul_mbps": share * rates["ul_mbps"] * s.cap_prb_ul / 25.0,
        "cpu_cores": min(s.quota_cores, cpu),
        "throttled_share": 1.0 - share,
    }


def _one(job: tuple[tuple[float, int, int, int], Sequence[Setting], int, float, int]) -> LeftOut:
    key, settings, evaluations, seconds, seed = job
    out = [s for s in settings if _key(s) == key]
    rest = [s for s in settings if _key(s) != key]
    fit = fit_compute(rest, max_evaluations=evaluations, seconds=seconds, seed=seed)
    # Two independent streams of noise; settings differ in nothing else.
    runs = [simulate_settings(fit, [out[0]], seconds=40.0, seed=seed) for seed in (seed + 101, seed + 102)]
    measured = {m: float(np.mean([getattr(s, m) for s in out])) for m in _METRICS}
    predicted = {m: float(np.mean([getattr(r, m)[0] for r in runs])) for m in _METRICS}
    group = group_of(out[0])
    same = [s for s in rest if group_of(s) == group]
    inside = any(s.quota_cores < key[0] for s in same) and any(s.quota_cores > key[0] for s in same)
    if group == GROUPS[1]:
        load = key[2] + key[3]
        inside = any(s.cap_prb_dl + s.cap_prb_ul < load for s in same) and any(
            s.cap_prb_dl + s.cap_prb_ul > load for s in same
        )
    return LeftOut(
        group=group, quota_cores=key[0], n_ue=key[1], cap_prb_dl=key[2], cap_prb_ul=key[3], extrapolated=not inside,
        uplink_usable=fits_uplink(out[0]), measured=measured, predicted=predicted, trivial=_trivial(out[0], rest),
    )  # fmt: skip


def leave_settings_out(
    settings: Sequence[Setting],
    *,
    evaluations: int = 500,
    seconds: float = 10.0,
    workers: int = 2,
    every: int = 1,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[LeftOut]:
    """Leave every setting out in turn, fit the rest, predict it."""
    keys = sorted({_key(s) for s in settings})[::every]
    jobs = [(key, list(settings), evaluations, seconds, seed) for key in keys]
    done: list[LeftOut] = []
    with ProcessPoolExecutor(workers) as pool:
        for result in pool.map(_one, jobs):
            done.append(result)
            if progress is not None:
                progress(len(done), len(jobs))
    return done


def summarise(left_out: Sequence[LeftOut], *, fewest: int = 3) -> dict[str, dict[str, float]]:
    """Return NRMSE by group of at least `fewest` settings, and the trivial predictor's.

    Throughput (the worse direction), CPU, throttled share. Uplink rates of settings whose uplink hardly carried
    anything are not counted (see `fits_uplink`).
    """
    table: dict[str, dict[str, float]] = {}
    for group in GROUPS:
        rows = [r for r in left_out if r.group == group]
        if len(rows) < fewest:
            continue
        entry: dict[str, float] = {"settings": float(len(rows))}
        for kind in ("predicted", "trivial"):
            prefix = "" if kind == "predicted" else "trivial_"
            errors = []
            for m in ("dl_mbps", "ul_mbps"):
                counted = [r for r in rows if m == "dl_mbps" or r.uplink_usable]
                errors.append(nrmse([getattr(r, kind)[m] for r in counted], [r.measured[m] for r in counted]))
            finite = [e for e in errors if math.isfinite(e)]
            entry[f"{prefix}throughput_nrmse"] = max(finite) if finite else float("nan")
            for m, name in (("cpu_cores", "cpu_nrmse"), ("throttled_share", "throttled_nrmse")):
                entry[f"{prefix}{name}"] = nrmse([getattr(r, kind)[m] for r in rows], [r.measured[m] for r in rows])
        table[group] = entry
    return table


def repetition_floor(settings: Sequence[Setting]) -> dict[str, float]:
    """Return what one repetition of a setting says of the next: NRMSE of the first as predictor of the second."""
    pairs: dict[tuple[float, int, int, int], list[Setting]] = {}
    for s in settings:
        pairs.setdefault(_key(s), []).append(s)
    twice = [p for p in pairs.values() if len(p) > 1]
    floor: dict[str, float] = {}
    for m, name in (
        ("dl_mbps", "throughput_nrmse"),
        ("cpu_cores", "cpu_nrmse"),
        ("throttled_share", "throttled_nrmse"),
    ):
        first: NDArray[np.float64] = np.array([getattr(p[0], m) for p in twice])
        second: NDArray[np.float64] = np.array([getattr(p[1], m) for p in twice])
        floor[name] = nrmse(first, second)
    return floor
