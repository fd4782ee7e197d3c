"""How far the twin of the scenario `lab` is from the lab: real containers under CPU limits of the kernel.

The costs of DU and CU are fitted on settings with CPU to spare, as `rantwin calibrate --on` does it; every other
setting (CPU limits down to a third of what is needed, other loads) is left out of the fit and predicted. Beside the
NRMSE of each metric stand the knees: the CPU limit of a DU, and of a CU, at which 95 % of what is offered are carried.
The four gNBs of the lab have different settings at the same time, and take turns in them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.common import NotHereError, Settings, Yardstick, run_benchmark
from benchmarks.testbed.lab_sweep import BATCHES, QUICK_BATCHES, Batch, Setting
from benchmarks.testbed.own_engine import OwnEngine, why_no_engine
from bridge.backends.base import Backend
from bridge.backends.docker import make_backend
from bridge.lab.engine import LabPlan, down, offer, up, wait_for_traffic
from bridge.lab.inventory_text import inventory_text
from tui.lab_scenario import lab_scenario, plan_of
from twin.fit_windows import Sample, fit_windows, fitted_scenario
from twin.leave_out import nrmse
from twin.ran import RunPlan, simulate
from twin.scenario import Scenario
from twin.traffic import OperatingLoad

__all__ = ["main", "measure"]

REPEATS, WINDOWS = 3, 4
DRAIN_S, SETTLE_S, WINDOW_S = 2.0, 6.0, 2.0
"""With CPU to spare before each setting, so that queues are empty; then what a starved DU leaves to wait builds up."""
CORES = 2
GROUPS: Mapping[str, tuple[str, ...]] = {
    "throughput": ("thp_dl", "thp_ul"),
    "cpu": ("cpuu_du", "cpuu_cu"),
    "throttled": ("stall_du", "stall_cu"),
    "delay": ("dly_dl", "dly_ul"),
    "jitter": ("jit_ul",),
}
KNEE = 0.95
"""Of what is offered, as φ asks for it."""

Means = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One gNB in one setting: means over windows in the lab, and what the twin says once it is fitted."""

    setting: Setting
    fitted: bool
    lab: Means
    twin: Means


class Lab:
    """A lab that runs, measured through the docker backend as an agent measures it."""

    def __init__(self, scenario: Scenario, plan: LabPlan, backend: Backend) -> None:
        self.scenario, self._plan, self._backend = scenario, plan, backend
        self._cells = [gnb.cell for gnb in scenario.topology.gnbs]

    def measure(self, batch: Batch, turn: int, windows: int) -> list[tuple[Setting, Means]]:
        """Return the means of each setting, the gNBs having moved on by `turn` settings."""
        settings = [batch.settings[(k + turn) % len(batch.settings)] for k in range(len(self._cells))]
        offer(self._plan.folder, {str(cell): (batch.dl_mbps, batch.ul_mbps) for cell in self._cells})
        self._backend.apply({c.name: c.reference for c in self.scenario.controls}, settle_s=0.0)
        time.sleep(DRAIN_S)
        values: dict[str, float] = {}
        for cell, setting in zip(self._cells, settings, strict=True):
            values |= {f"cpu_du_{cell}": setting.du_cores, f"cpu_cu_{cell}": setting.cu_cores}
        since = self._backend.apply(values, settle_s=SETTLE_S).next_sequence
        until = time.monotonic() + SETTLE_S + 3 * windows * WINDOW_S
        found = self._backend.windows(since, windows)
        while len(found.sequence) < windows and time.monotonic() < until:
            time.sleep(0.1)
            found = self._backend.windows(since, windows)
        return [
            (setting, {name: _mean(found.metrics[f"{name}_{cell}"]) for name in _NAMES})
            for cell, setting in zip(self._cells, settings, strict=True)
        ]


_NAMES = (*(name for names in GROUPS.values() for name in names), "load_dl", "load_ul", "late_du")


def _mean(values: Any) -> float:
    column = np.asarray(values, dtype=np.float64)
    return float(np.mean(column[np.isfinite(column)])) if np.any(np.isfinite(column)) else float("nan")


@contextmanager
def _open_lab() -> Iterator[Lab]:
    scenario = lab_scenario(cores=CORES, window_s=WINDOW_S)
    engine = OwnEngine()
    try:
        engine.start()
        with TemporaryDirectory(prefix="rw") as name:
            plan = plan_of(scenario, name=f"bench-{engine.name}", folder=Path(name) / "shared")
            plan.folder.mkdir()
            client = engine.client()
            try:
                up(client, plan, lambda line: print(f"  {line}", file=sys.stderr))
                wait_for_traffic(plan, 120.0)
                ranges = {k: next(c for c in scenario.controls if c.name.startswith(f"{k}_")) for k in scenario.ranges}
                text = inventory_text(plan, window_s=WINDOW_S, ranges=ranges, docker=engine.address)
                (Path(name) / "inventory.toml").write_text(text, encoding="utf-8")
                backend = make_backend({"inventory": str(Path(name) / "inventory.toml")}, 30.0)
                try:
                    yield Lab(scenario, plan, backend)
                finally:
                    backend.close()
            finally:
                down(client, plan.name)
                client.close()
    finally:
        engine.close()


def measure(settings: Settings, yardstick: Yardstick) -> dict[str, Any]:
    """Sweep the lab, fit on what had CPU to spare, predict the rest."""
    if why := why_no_engine():
        raise NotHereError(f"no lab can run here: {why}")
    batches = QUICK_BATCHES if settings.quick else BATCHES
    repeats, windows = (1, 2) if settings.quick else (REPEATS, WINDOWS)
    seen: dict[tuple[int, Setting], list[Means]] = {}
    with _open_lab() as lab:
        scenario = lab.scenario
        for turn in range(repeats):
            for number, batch in enumerate(batches):
                for setting, means in lab.measure(batch, turn, windows):
                    seen.setdefault((number, setting), []).append(means)
            print(f"  sweep {turn + 1} of {repeats}", file=sys.stderr, flush=True)
    yardstick.sample()
    measured = {key: {name: _mean([m[name] for m in rows]) for name in _NAMES} for key, rows in seen.items()}
    fitted, factors = _fitted(scenario, batches, measured)
    rows = _rows(fitted, batches, measured, settings.seed, runs=1 if settings.quick else 3)
    return {**_figures(rows), **factors, "settings": len(rows), "load_average": round(_load(), 1)}


def _load() -> float:
    import os

    return os.getloadavg()[1]


def _fitted(
    scenario: Scenario, batches: Sequence[Batch], measured: Mapping[tuple[int, Setting], Means]
) -> tuple[Scenario, dict[str, float]]:
    samples = [
        Sample(
            setting=number,
            cell=place + 1,
            du_quota=setting.du_cores,
            cu_quota=setting.cu_cores,
            load_dl_mbps=means["load_dl"],
            load_ul_mbps=means["load_ul"],
            du_cores=means["cpuu_du"],
            cu_cores=means["cpuu_cu"],
            thp_dl_mbps=means["thp_dl"],
            thp_ul_mbps=means["thp_ul"],
            windows=1,
        )
        for place, ((number, setting), means) in enumerate(measured.items())
        if batches[number].fitted
    ]
    fit = fit_windows(scenario, samples)
    factors = {name: round(getattr(fit.factors, name), 4) for name in ("du_base", "du_load", "cu_base", "cu_load")}
    return fitted_scenario(scenario, fit.factors, name="lab-fitted"), {f"fit_{k}": v for k, v in factors.items()}


def _rows(
    scenario: Scenario,
    batches: Sequence[Batch],
    measured: Mapping[tuple[int, Setting], Means],
    seed: int,
    *,
    runs: int,
) -> list[Row]:
    rows = []
    for number, batch in enumerate(batches):
        load = OperatingLoad(dl_mbps=batch.dl_mbps, ul_mbps=batch.ul_mbps)
        # What differs from run to run by chance is in the lab's figures once, and in the twin's expectation not at all.
        still = {**scenario.du_overrides, "run_sd": 0.0, "slow_sd": 0.0}
        cu = replace(scenario.cu, run_sd=0.0, slow_sd=0.0)
        there = replace(scenario, operating_load=load, du_overrides=still, cu=cu)
        cells = [gnb.cell for gnb in scenario.topology.gnbs]
        base: dict[str, float] = {}
        for cell, setting in zip(cells, batch.settings, strict=True):
            base |= {f"cpu_du_{cell}": setting.du_cores, f"cpu_cu_{cell}": setting.cu_cores}
        plan = RunPlan(base=base, first_window=round(SETTLE_S * 1000), windows=WINDOWS)
        records = [simulate(there, plan, seed=seed, run=run).metrics for run in range(runs)]
        for cell, setting in zip(cells, batch.settings, strict=True):
            twin = {name: _mean([record[f"{name}_{cell}"] for record in records]) for name in _NAMES}
            lab = measured[number, setting]
            rows.append(Row(setting=setting, fitted=batch.fitted, lab=lab, twin=twin))
    return rows


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    left_out = [row for row in rows if not row.fitted]
    for group, names in GROUPS.items():
        pairs = [(row.twin[name], row.lab[name]) for row in left_out for name in names]
        both = [(t, m) for t, m in pairs if np.isfinite(t) and np.isfinite(m)]
        figures[f"{group}_nrmse"] = round(nrmse((t for t, _ in both), (m for _, m in both)), 4)
    for stage in ("du", "cu"):
        knees = {side: _knee(rows, stage, side) for side in ("lab", "twin")}
        figures[f"knee_{stage}_lab_cores"], figures[f"knee_{stage}_twin_cores"] = knees["lab"], knees["twin"]
        figures[f"knee_{stage}_error"] = round(abs(knees["twin"] / knees["lab"] - 1.0), 4)
    figures["table"] = [_line(row) for row in rows]
    return figures


def _knee(rows: Sequence[Row], stage: str, side: str) -> float:
    """Return the limit at which KNEE of what is offered is carried: on the line through the points below it."""
    points = []
    for row in rows:
        if row.setting.swept != stage:
            continue
        means = row.lab if side == "lab" else row.twin
        share = min(means["thp_dl"] / means["load_dl"], means["thp_ul"] / means["load_ul"])
        limit = row.setting.du_cores if stage == "du" else row.setting.cu_cores
        if share < 0.97:
            points.append((limit, share))
    limits, shares = np.array(sorted(points)[-5:]).T
    slope, offset = np.polyfit(limits, shares, 1)
    return round(float((KNEE - offset) / slope), 5)


def _line(row: Row) -> dict[str, Any]:
    s = row.setting
    both = {name: [round(row.lab[name], 4), round(row.twin[name], 4)] for name in _NAMES}
    return {"du_cores": s.du_cores, "cu_cores": s.cu_cores, "fitted": row.fitted, **both}


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    return run_benchmark("lab", measure, argv, description=__doc__.splitlines()[0] if __doc__ else "")


if __name__ == "__main__":
    raise SystemExit(main())
