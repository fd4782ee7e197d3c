"""Fit the cost of DUs and CUs to windows of a testbed that is not starved: how much CPU they use at their loads.

A safe sweep shows no cliff, so what becomes of late slots is not fitted here (recordings of a gNB under quotas are for
that, `twin.calibrate`). Two factors each tell how the steady part and the part that follows the load differ from the
scenario's; at one load only their common factor can be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from col.plant import Windows
from twin.parameters import CuCompute, DuCompute
from twin.ran import RunPlan, simulate
from twin.scenario_model import Scenario
from twin.traffic import OperatingLoad

__all__ = ["COMPARED", "Factors", "Sample", "WindowFit", "fit_windows", "fitted_scenario", "samples_of"]

FloatArray = NDArray[np.float64]

COMPARED = ("du_cores", "cu_cores", "thp_dl_mbps", "thp_ul_mbps")
"""What is compared between testbed and twin."""
_STARVED = 0.9
"""A container that uses more than this share of its limit may be short of it: its use says nothing of its demand."""
_LOAD_STEP_MBPS = 0.1
_SEED = 20260211
_SPREAD = 0.05
"""Relative spread of the load-dependent part over the steady one, below which the two cannot be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One gNB in one setting: means over its windows. Loads and rates in Mbit/s, limits and use in cores."""

    setting: int
    cell: int
    du_quota: float
    cu_quota: float
    load_dl_mbps: float
    load_ul_mbps: float
    du_cores: float
    cu_cores: float
    thp_dl_mbps: float
    thp_ul_mbps: float
    windows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """What the scenario's costs are multiplied by: the steady part, and the part that follows the load."""

    du_base: float = 1.0
    du_load: float = 1.0
    cu_base: float = 1.0
    cu_load: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFit:
    """The fit; `predicted_before` and `_after` are rows beside the samples, keys COMPARED.

    Errors are RMSE over the mean of what was measured, by COMPARED; `left_out` are those on settings left out of the
    fit in turn, empty where there were too few settings.
    """

    factors: Factors
    samples: tuple[Sample, ...]
    predicted_before: tuple[Mapping[str, float], ...]
    predicted_after: tuple[Mapping[str, float], ...]
    errors_before: Mapping[str, float]
    errors_after: Mapping[str, float]
    left_out: Mapping[str, float]
    is_common: bool
    """Whether there was one load only, so that both parts have one factor."""


def samples_of(windows: Windows, scenario: Scenario, setting: int) -> list[Sample]:
    """Return a sample of each gNB of which every value was measured in at least one window.

    Raises:
        InputError: the testbed has no column that is needed.
    """
    found = []
    for gnb in scenario.topology.gnbs:
        n = gnb.cell
        names = {
            "load_dl_mbps": f"load_dl_{n}",
            "load_ul_mbps": f"load_ul_{n}",
            "du_cores": f"cpuu_du_{n}",
            "cu_cores": f"cpuu_cu_{gnb.cu}",
            "thp_dl_mbps": f"thp_dl_{n}",
            "thp_ul_mbps": f"thp_ul_{n}",
        }
        for name in names.values():
            if name not in windows.metrics:
                raise InputError("the testbed does not measure it, and a calibration needs it", key=name)
        columns = {key: np.asarray(windows.metrics[name]) for key, name in names.items()}
        columns |= {"du_quota": np.asarray(windows.controls[f"cpu_du_{n}"])}
        columns |= {"cu_quota": np.asarray(windows.controls[f"cpu_cu_{gnb.cu}"])}
        whole = np.all([np.isfinite(column) for column in columns.values()], axis=0)
        if np.any(whole):
            means = {key: float(np.mean(column[whole])) for key, column in columns.items()}
            found.append(Sample(setting=setting, cell=n, windows=int(np.sum(whole)), **means))
    return found


def fit_windows(scenario: Scenario, samples: Sequence[Sample]) -> WindowFit:
    """Fit the factors to samples.

    Raises:
        InputError: nothing was measured of a DU or a CU that was not short of CPU.
    """
    model = _Model(scenario)
    factors, is_common = _factors(model, samples)
    before, after = model.predict(samples, Factors()), model.predict(samples, factors)
    settings = sorted({s.setting for s in samples})
    rows: list[Mapping[str, float]] = []
    kept: list[Sample] = []
    if len(settings) >= 3:
        for setting in settings:
            out = [s for s in samples if s.setting == setting]
            try:
                without, _ = _factors(model, [s for s in samples if s.setting != setting])
            except InputError:
                continue
            rows += model.predict(out, without)
            kept += out
    return WindowFit(
        factors=factors,
        samples=tuple(samples),
        predicted_before=tuple(before),
        predicted_after=tuple(after),
        errors_before=_errors(samples, before),
        errors_after=_errors(samples, after),
        left_out=_errors(kept, rows) if kept else {},
        is_common=is_common,
    )


def fitted_scenario(scenario: Scenario, factors: Factors, *, name: str) -> Scenario:
    """Return the scenario with the fitted costs, under a name of its own; all else stays."""
    scaled = _with(scenario, factors)
    changed = {
        f.name: value
        for f in fields(DuCompute)
        if (value := getattr(scaled.du, f.name)) != getattr(scenario.du, f.name) or f.name in scenario.du_overrides
    }
    return replace(scenario, name=name, du_overrides={k: float(f"{v:.6g}") for k, v in changed.items()}, cu=scaled.cu)


class _Model:
    """The twin at constant loads and plenty of CPU or the limits in force, without what differs from run to run."""

    def __init__(self, scenario: Scenario) -> None:
        still = {**scenario.du_overrides, "run_sd": 0.0, "slow_sd": 0.0}
        cu = replace(scenario.cu, run_sd=0.0, slow_sd=0.0)
        self._scenario = replace(scenario, du_overrides=still, cu=cu)
        self._known: dict[tuple[object, ...], dict[str, float]] = {}

    @property
    def scenario(self) -> Scenario:
        return self._scenario

    def predict(self, samples: Sequence[Sample], factors: Factors) -> list[Mapping[str, float]]:
        scenario = _with(self._scenario, factors)
        return [self._at(scenario, factors, s) for s in samples]

    def _at(self, scenario: Scenario, factors: Factors, s: Sample) -> dict[str, float]:
        load = tuple(max(_LOAD_STEP_MBPS, _rounded(v, _LOAD_STEP_MBPS)) for v in (s.load_dl_mbps, s.load_ul_mbps))
        key = (factors, load, _rounded(s.du_quota, 0.01), _rounded(s.cu_quota, 0.01))
        if key not in self._known:
            there = replace(scenario, operating_load=OperatingLoad(dl_mbps=load[0], ul_mbps=load[1]))
            base = {c.name: s.du_quota if "_du_" in c.name else s.cu_quota for c in scenario.controls}
            first = round(scenario.window.warmup_s * 1000)
            record = simulate(there, RunPlan(base=base, first_window=first, windows=2), seed=_SEED, run=0)
            names = {"thp_dl_mbps": "thp_dl_", "thp_ul_mbps": "thp_ul_", "du_cores": "cpuu_du_", "cu_cores": "cpuu_cu_"}
            self._known[key] = {
                key: float(np.mean([np.mean(v) for name, v in record.metrics.items() if name.startswith(prefix)]))
                for key, prefix in names.items()
            }
        found = dict(self._known[key])
        # Loads are tried at steps: within one, what is delivered and the CPU time for it follow what is offered.
        share = (s.load_dl_mbps + s.load_ul_mbps) / sum(load)
        for name, steady in (("du_cores", scenario.du.base_ms), ("cu_cores", scenario.cu.base_share)):
            found[name] = steady + (found[name] - steady) * share if found[name] > steady else found[name]
        for way, (wanted, tried) in zip(
            ("dl", "ul"), zip((s.load_dl_mbps, s.load_ul_mbps), load, strict=True), strict=True
        ):
            found[f"thp_{way}_mbps"] = min(wanted, found[f"thp_{way}_mbps"] * max(1.0, wanted / tried))
        return found


def _with(scenario: Scenario, factors: Factors) -> Scenario:
    du = scenario.du
    scaled = {
        **{name: getattr(du, name) * factors.du_base for name in ("base_ms",)},
        **{
            name: getattr(du, name) * factors.du_load
            for name in ("dl_fixed_ms", "dl_full_ms", "ul_fixed_ms", "ul_full_ms")
        },
    }
    cu: CuCompute = replace(
        scenario.cu,
        base_share=scenario.cu.base_share * factors.cu_base,
        packet_ms=scenario.cu.packet_ms * factors.cu_load,
    )
    return replace(scenario, du_overrides={**scenario.du_overrides, **scaled}, cu=cu)


def _factors(model: _Model, samples: Sequence[Sample]) -> tuple[Factors, bool]:
    """Fit in three rounds: how many slots carry a grant depends a little on how long slots take."""
    factors, commons = Factors(), [True, True]
    for _ in range(3):
        predicted = model.predict(samples, factors)
        found = {}
        for place, (part, steady) in enumerate(
            (
                ("du", model.scenario.du.base_ms * factors.du_base),
                ("cu", model.scenario.cu.base_share * factors.cu_base),
            )
        ):
            rows = [
                (getattr(s, f"{part}_cores"), p[f"{part}_cores"])
                for s, p in zip(samples, predicted, strict=True)
                if getattr(s, f"{part}_cores") < _STARVED * getattr(s, f"{part}_quota")
            ]
            if not rows:
                raise InputError(f"no window of a {part.upper()} that was not short of CPU", key=f"cpuu_{part}")
            measured, says = (np.array(column) for column in zip(*rows, strict=True))
            base, load, commons[place] = _two(measured, says, steady)
            found[f"{part}_base"] = base * getattr(factors, f"{part}_base")
            found[f"{part}_load"] = load * getattr(factors, f"{part}_load")
        factors = Factors(**found)
    return factors, all(commons)


def _two(measured: FloatArray, says: FloatArray, steady: float) -> tuple[float, float, bool]:
    """Return factors of the steady and of the load-dependent part, and whether they had to be one."""
    common = float(np.clip(np.median(measured / says), 0.2, 5.0))
    follows = np.clip(says - steady, 0.0, None)
    if float(np.std(follows)) < _SPREAD * float(np.mean(says)) or len(measured) < 4:
        return common, common, True
    # Towards the common factor where the data leave a direction open.
    ridge = 0.02 * float(np.mean(says))
    a = np.vstack([np.column_stack([np.full_like(follows, steady), follows]), ridge * np.eye(2)])
    b = np.concatenate([measured, ridge * np.array([common, common])])
    x = np.clip(np.linalg.lstsq(a, b, rcond=None)[0], 0.2, 5.0)
    return float(x[0]), float(x[1]), False


def _errors(samples: Sequence[Sample], predicted: Sequence[Mapping[str, float]]) -> dict[str, float]:
    errors = {}
    for name in COMPARED:
        measured = np.array([asdict(s)[name] for s in samples])
        says = np.array([p[name] for p in predicted])
        errors[name] = float(np.sqrt(np.mean((measured - says) ** 2)) / max(1e-9, float(np.mean(measured))))
    return errors


def _rounded(value: float, step: float) -> float:
    return round(round(value / step) * step, 9)
