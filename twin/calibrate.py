"""Fit the DU's compute model to recordings of a real gNB: full buffers, PRB caps, CFS quotas, as they were recorded.

Two stages, because the data are of two kinds. Settings with CPU to spare give the cost of a slot (non-negative least
squares) and the bits of a PRB; settings in which the quota binds give what becomes of late slots (Nelder-Mead on the
twin's own kernel, all settings side by side, the same random numbers in every evaluation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from col.errors import InputError
from twin.dataplane import DataPlane
from twin.parameters import CellParameters, DuCompute
from twin.recording_rows import Setting

__all__ = ["Fit", "Predicted", "fit_compute", "fits_uplink", "has_cpu_to_spare", "simulate_settings"]

FloatArray = NDArray[np.float64]

WARM_UP_MS = 2000
SPARE_RATIO = 1.15
"""A setting has CPU to spare if its quota is at least this multiple of what was used and hardly any period was
throttled."""
SLOTS_PER_S = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What the twin says of settings, one entry each, shape (n,); names and units as in the recordings."""

    dl_mbps: FloatArray
    ul_mbps: FloatArray
    cpu_cores: FloatArray
    throttled_share: FloatArray
    throttled_periods: FloatArray
    nok_ratio_dl: FloatArray
    slots_scheduled: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The fitted cost of a DU and the rate of a PRB."""

    du: DuCompute
    bits_per_prb_dl: int
    bits_per_prb_ul: int
    pucch_prb: float
    loss: float
    evaluations: int

    def cell(self, setting: Setting) -> CellParameters:
        """Return the cell that stands for a recorded setting: full buffers under its PRB caps.

        Where the gNB made hardly any uplink grant (`fits_uplink`), the share that it made is an input, read off the
        recorded uplink rate; nothing of the downlink is.
        """
        granted = 1.0
        if not fits_uplink(setting):
            granted = min(1.0, setting.ul_mbps * 1000.0 / (setting.cap_prb_ul * self.bits_per_prb_ul))
        du = replace(self.du, ul_fixed_ms=granted * self.du.ul_fixed_ms, ul_full_ms=granted * self.du.ul_full_ms)
        return CellParameters(
            n_ue=max(setting.n_ue, 1),
            bits_per_prb_dl=self.bits_per_prb_dl,
            bits_per_prb_ul=max(1, round(granted * self.bits_per_prb_ul)),
            pucch_prb=self.pucch_prb,
            full_buffer_dl=True,
            full_buffer_ul=True,
            cap_prb_dl=setting.cap_prb_dl,
            cap_prb_ul=setting.cap_prb_ul,
            du=du,
        )


SMALLEST_UPLINK_CAP = 8
"""Below this many PRBs a gNB in test mode makes hardly any uplink grant (recorded: 0.9 of 5.8 Mbit/s at 6 PRB); such
settings tell nothing of what a decoded uplink costs, so none is fitted on."""


def fits_uplink(setting: Setting) -> bool:
    """Tell whether the setting's uplink carried what its cap allows, or was switched off."""
    return setting.cap_prb_ul == 0 or setting.cap_prb_ul >= SMALLEST_UPLINK_CAP


def has_cpu_to_spare(setting: Setting) -> bool:
    """Tell whether the quota did not bind."""
    return setting.throttled_periods < 0.02 and setting.quota_cores >= SPARE_RATIO * setting.cpu_cores


def _streams(seed: int) -> dict[str, np.random.Generator]:
    return {
        name: np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(i,))))
        for i, name in enumerate(("slot", "slow_du", "slow_cu", "phase"))
    }


def simulate_settings(
    fit: Fit, settings: Sequence[Setting], *, seconds: float, seed: int, run_factors: FloatArray | None = None
) -> Predicted:
    """Run the kernel on recorded settings, all side by side, each as a cell of its own with full buffers.

    `run_factors`, shape (n,), multiply the demand of each setting (a run's random effect); 1 where not given.
    """
    plane = DataPlane([fit.cell(s) for s in settings], _streams(seed), du_factor=run_factors)
    for i, setting in enumerate(settings):
        plane.set_quota(i, du_cores=setting.quota_cores)
    plane.advance(WARM_UP_MS)
    plane.take_counters()
    plane.advance(round(seconds * 1000))
    k = plane.take_counters()
    span_s = k["slots"] / SLOTS_PER_S
    served = k["tb_ok_dl"] + k["tb_nok_dl"]
    return Predicted(
        dl_mbps=k["delivered_bits_dl"] / span_s / 1e6,
        ul_mbps=k["delivered_bits_ul"] / span_s / 1e6,
        cpu_cores=k["cpu_ms_du"] / span_s / 1e3,
        throttled_share=k["cgroup_throttled_ms_du"] / span_s / 1e3,
        throttled_periods=k["throttled_periods_du"] / span_s / 10.0,
        nok_ratio_dl=np.divide(k["tb_nok_dl"], served, out=np.zeros_like(served), where=served > 0),
        slots_scheduled=(k["slots_ok"] + k["slots_late"]) / k["slots"],
    )


_COST_PRIOR = (0.6, 0.03, 0.03, 0.1, 0.1)
"""Weak prior of the cost of a slot in CPU-ms (base, DL fixed, DL full, UL fixed, UL full), of the order that the
public data set of Hammar et al. shows; it counts only where the recordings leave a part open."""


def _fit_cost(spare: Sequence[Setting], start: DuCompute) -> DuCompute:
    """Fit the cost of a slot where CPU was to spare; weak ridge towards the prior where the data leave it open.

    One process run in ten or so lies far off the others (host speed): beyond 0.02 core a residual counts less and less
    (Cauchy weights).
    """
    rows = []
    for s in spare:
        dl, ul = s.cap_prb_dl, s.cap_prb_ul
        rows.append([1.0, float(dl > 0), dl / 25.0 if dl else 0.0, float(ul > 0), ul / 25.0 if ul else 0.0])
    a = np.array(rows)
    b = np.array([s.cpu_cores for s in spare])
    prior = np.array(_COST_PRIOR)
    ridge = 0.02
    weight = np.ones(len(b))
    x = prior
    for _ in range(40):
        w = np.sqrt(weight)[:, None]
        stacked = np.vstack([a * w, ridge * np.eye(5)])
        x, _ = nnls(stacked, np.concatenate([b * w[:, 0], ridge * prior]))
        residual = np.abs(b - a @ x)
        weight = 1.0 / (1.0 + (residual / 0.02) ** 2)
    base, dlf, dls, ulf, uls = (float(v) for v in x)
    return replace(start, base_ms=base, dl_fixed_ms=dlf, dl_full_ms=dls, ul_fixed_ms=ulf, ul_full_ms=uls)


def _fit_rates(spare: Sequence[Setting]) -> tuple[int, int, float]:
    """Return bits per PRB of both directions and the PRBs that PUCCH takes.

    From settings with CPU to spare; uplink rates are taken at caps that PUCCH does not cut.
    """
    dl = [s.dl_mbps * 1000.0 / s.cap_prb_dl for s in spare if s.cap_prb_dl > 0]
    ul = [s.ul_mbps * 1000.0 / s.cap_prb_ul for s in spare if 0 < s.cap_prb_ul <= 20 and s.cap_prb_dl > 0]
    full = [s.ul_mbps * 1000.0 for s in spare if s.cap_prb_ul == 25 and s.cap_prb_dl > 0]
    if not dl:
        raise InputError(
            "no setting with CPU to spare and downlink traffic: the rate of a PRB cannot be fitted", key="settings"
        )
    default = CellParameters()
    bits_dl = round(float(np.median(dl)))
    bits_ul = round(float(np.median(ul))) if ul else default.bits_per_prb_ul
    pucch = 25.0 - float(np.median(full)) / bits_ul if full else default.pucch_prb
    return bits_dl, bits_ul, float(np.clip(pucch, 0.0, 8.0))


_FREE: tuple[tuple[str, float, float, float], ...] = (
    # name, start, lower, upper
    ("slot_cv", 0.17, 0.02, 0.6),
    ("slow_sd", 0.05, 0.0, 0.15),
    ("parallelism", 1.1, 1.0, 3.0),
    ("skip_after_ms", 50.0, 2.0, 80.0),
    ("resync_ms", 17.5, 0.0, 30.0),
    ("deadline_ms", 3.4, 1.0, 8.0),
    ("late_cost", 0.21, 0.0, 1.0),
    ("resume_ms", 3.0, 0.0, 8.0),
    ("second_cpu_ms", 21.0, 0.0, 60.0),
    ("nok_share", 0.8, 0.1, 1.0),
)
_STEPS = (0.15, 0.07)
"""Sizes of the first simplex (shares of the ranges) of the search and of its restart from what that found."""


def _residuals(fit: Fit, settings: Sequence[Setting], seconds: float, seed: int) -> FloatArray:
    """Return scaled misfits of the settings in which the quota binds."""
    p = simulate_settings(fit, settings, seconds=seconds, seed=seed)
    peak_dl = np.array([max(1, s.cap_prb_dl) * fit.bits_per_prb_dl / 1000.0 for s in settings])
    peak_ul = np.array([max(1, s.cap_prb_ul) * fit.bits_per_prb_ul / 1000.0 for s in settings])
    names = ("dl_mbps", "ul_mbps", "throttled_share", "throttled_periods", "cpu_cores", "nok_ratio_dl")
    measured = {name: np.array([getattr(s, name) for s in settings]) for name in names}
    return np.concatenate(
        [
            4.0 * (p.dl_mbps - measured["dl_mbps"]) / peak_dl,
            4.0 * (p.ul_mbps - measured["ul_mbps"]) / peak_ul,
            1.0 * (p.throttled_share - measured["throttled_share"]),
            0.5 * (p.throttled_periods - measured["throttled_periods"]),
            2.0 * (p.cpu_cores - measured["cpu_cores"]),
            0.3 * (p.nok_ratio_dl - measured["nok_ratio_dl"]),
        ]
    )


def _run_sd(fit: Fit, settings: Sequence[Setting]) -> float:
    """Return how much the demand differs from run to run: robust spread of CPU use over what the cost model says."""
    ratios = []
    for s in settings:
        if has_cpu_to_spare(s):
            du = fit.du
            cost = du.base_ms
            if s.cap_prb_dl:
                cost += du.dl_fixed_ms + du.dl_full_ms * s.cap_prb_dl / 25.0
            if s.cap_prb_ul:
                cost += du.ul_fixed_ms + du.ul_full_ms * s.cap_prb_ul / 25.0
            ratios.append(np.log(s.cpu_cores / cost))
    if len(ratios) < 4:
        return DuCompute().run_sd
    spread = 1.4826 * float(np.median(np.abs(np.array(ratios) - np.median(ratios))))
    return float(np.clip(spread, 0.005, 0.1))


def fit_compute(
    settings: Sequence[Setting],
    *,
    seconds: float = 12.0,
    seed: int = 20260211,
    max_evaluations: int = 600,
    progress: Callable[[int, float], None] | None = None,
) -> Fit:
    """Fit the compute model; `progress(evaluations, loss)` is called now and then.

    Raises:
        InputError: too few settings of either kind.
    """
    usable = [s for s in settings if fits_uplink(s)]
    spare = [s for s in usable if has_cpu_to_spare(s)]
    bound = [s for s in usable if not has_cpu_to_spare(s)]
    if len(spare) < 3:
        raise InputError("needs at least 3 settings with CPU to spare", key="settings", value=len(spare))
    bits_dl, bits_ul, pucch = _fit_rates(spare)
    du = _fit_cost(spare, DuCompute())
    fit = Fit(du=du, bits_per_prb_dl=bits_dl, bits_per_prb_ul=bits_ul, pucch_prb=pucch, loss=0.0, evaluations=0)
    if len(bound) < 4:
        raise InputError("needs at least 4 settings in which the quota binds", key="settings", value=len(bound))
    lower = np.array([f[2] for f in _FREE])
    upper = np.array([f[3] for f in _FREE])
    start = (np.array([f[1] for f in _FREE]) - lower) / (upper - lower)
    evaluations = 0

    def with_values(z: FloatArray) -> Fit:
        values = lower + np.clip(z, 0.0, 1.0) * (upper - lower)
        named: dict[str, Any] = {f[0]: float(v) for f, v in zip(_FREE, values, strict=True)}
        return replace(fit, du=replace(du, **named))

    def loss(z: FloatArray) -> float:
        nonlocal evaluations
        evaluations += 1
        outside = float(np.sum(np.clip(-z, 0.0, None) ** 2 + np.clip(z - 1.0, 0.0, None) ** 2))
        r = _residuals(with_values(z), bound, seconds, seed)
        value = float(np.sum(np.where(np.abs(r) < 0.3, r * r, 0.6 * np.abs(r) - 0.09))) + outside
        if progress is not None:
            progress(evaluations, value)
        return value

    at, found = start, None
    for size in _STEPS:
        simplex = np.vstack([at, at + np.diag(size * np.where(at > 0.6, -1.0, 1.0))])
        found = minimize(
            loss,
            at,
            method="Nelder-Mead",
            options={
                "maxfev": max_evaluations // len(_STEPS),
                "initial_simplex": simplex,
                "xatol": 1e-3,
                "fatol": 1e-6,
                "adaptive": True,
            },
        )
        at = np.asarray(found.x)
    assert found is not None
    best = with_values(np.asarray(found.x))
    best = replace(best, loss=float(found.fun), evaluations=evaluations)
    return replace(best, du=replace(best.du, run_sd=_run_sd(best, settings)))
