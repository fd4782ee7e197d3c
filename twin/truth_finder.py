"""Find the truth about a scenario by asking the twin, with random streams that learning never used.

For each cell it is found how much CPU its DU and its CU need in each of many horizons, by bisection with common random
numbers, a horizon being one fresh run; for each host what its containers use at which limits. Two assumptions make that
short: more CPU never breaks a horizon, and what a DU needs does not depend on the CU once that has enough.
`Truth.rectangle_agreement` measures both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from col.specification import Specification
from twin.power import HostPower, Neighbour
from twin.ran import RunRecord, simulate, trial_plan
from twin.scenario import Scenario
from twin.truth import HostTruth, Truth

__all__ = ["TruthSettings", "find_truth", "load_truth", "save_truth", "supports"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Progress = Callable[[str, int, int], None]

_SEED_OFFSET = 0x7255_0000
"""Runs of the truth have seeds of their own, apart from every seed that a user is likely to learn with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthSettings:
    """How much is simulated.

    Horizons (runs) bisected, tolerance of a bisection, horizons that check the assumptions, points of the table of use.
    """

    horizons: int = 100
    tolerance_cores: float = 0.004
    check_horizons: int = 40
    use_points: int = 12
    workers: int = 2


def supports(scenario: Scenario) -> str:
    """Return why the truth of a scenario cannot be factorised, empty if it can."""
    topology = scenario.topology
    for cu in topology.cus:
        if len(topology.cells_of_cu(cu)) > 1:
            return f"CU {cu} serves more than one cell, so that cells are not independent"
    return ""


def find_truth(
    scenario: Scenario, *, seed: int = 0, settings: TruthSettings | None = None, progress: Progress | None = None
) -> Truth:
    """Find the truth of a scenario.

    Raises:
        InputError: the scenario's cells are not independent of each other.
    """
    settings = settings or TruthSettings()
    if reason := supports(scenario):
        raise InputError(f"the truth does not factorise: {reason}", source=scenario.name, key="gnbs")
    return _Finder(scenario, seed + _SEED_OFFSET, settings, progress).find()


class _Finder:
    """Runs the horizons; all cells of a run are bisected at once, each on its own."""

    def __init__(self, scenario: Scenario, seed: int, settings: TruthSettings, progress: Progress | None) -> None:
        self.scenario, self.seed, self.settings, self.progress = scenario, seed, settings, progress
        self.topology = scenario.topology
        self.names = tuple(c.name for c in scenario.controls)
        self.bounds = {c.name: (c.lower, c.upper) for c in scenario.controls}
        self.cells = [g.cell for g in self.topology.gnbs]
        self.du = [f"cpu_du_{g.cell}" for g in self.topology.gnbs]
        self.cu = [f"cpu_cu_{g.cu}" for g in self.topology.gnbs]
        spec = scenario.problem().specification
        self.horizon = spec.horizon
        self.alpha = scenario.problem().alpha
        self.base = {c.name: c.reference for c in scenario.controls}
        self.of_cell: list[list[Specification]] = [[] for _ in self.cells]
        self.limit_w: dict[str, float] = {}
        for conjunct in spec.conjuncts:
            self._place(conjunct)
        self.runs = 0

    def _place(self, conjunct: Specification) -> None:
        """Put a conjunct with its cell, or with its host if it is an upper bound on power."""
        metrics = conjunct.metrics
        for row, cell in enumerate(self.cells):
            if all(m.endswith(f"_{cell}") and not m.startswith("pow_") for m in metrics):
                self.of_cell[row].append(conjunct)
                return
        for host in self.topology.hosts:
            if metrics == {f"pow_{host.name}"}:
                for watts in np.arange(1.0, 2000.0, 0.5):  # the first level that fails is the limit
                    if conjunct.robustness({f"pow_{host.name}": np.full(self.horizon, watts)}) < 0:
                        self.limit_w[host.name] = float(watts) - 0.5
                        return
        raise InputError(
            "the truth does not factorise: this conjunct is neither of one cell nor a power limit of one host",
            source=self.scenario.name, key="specification", value=conjunct.text[:80],
        )  # fmt: skip

    def _run(self, target: Mapping[str, float], run: int) -> RunRecord:
        return simulate(
            self.scenario, trial_plan(self.scenario, self.base, target, self.horizon), seed=self.seed, run=run
        )

    def _verdicts(self, record: RunRecord) -> BoolArray:
        columns = record.metrics
        return np.array([all(float(s.robustness(columns)) >= 0 for s in specs) for specs in self.of_cell])

    def _needs(self, run: int, searched: Sequence[str], start: FloatArray) -> tuple[FloatArray, int]:
        """Bisect in one run the least limit of each searched control at which its cell's conjuncts hold.

        Returns the limits, infinite where even the upper bound does not do, and how many simulations that took.
        """
        tolerance = self.settings.tolerance_cores
        low = np.array([self.bounds[name][0] for name in searched])
        high = np.array([self.bounds[name][1] for name in searched])
        fails, holds = low - tolerance, np.full(len(searched), np.inf)
        step = np.full(len(searched), 0.016)
        at = np.clip(start, low, high)
        runs = 0
        while True:
            active = (np.minimum(holds, high + tolerance) - fails > tolerance) & ~((holds == np.inf) & (fails >= high))
            if not active.any():
                return holds, runs
            at = np.clip(at, low, high)
            target = {name: self.bounds[name][1] for name in self.names}
            target.update(dict(zip(searched, (float(v) for v in at), strict=True)))
            verdict = self._verdicts(self._run(target, run))
            runs += 1
            holds = np.where(active & verdict, np.minimum(holds, at), holds)
            fails = np.where(active & ~verdict, np.maximum(fails, at), fails)
            bracketed = np.isfinite(holds) & (fails >= low)
            middle = (np.where(np.isfinite(holds), holds, high) + fails) / 2.0
            outward = np.where(verdict, at - step, at + step)
            at = np.where(bracketed, middle, np.where((outward <= low) & (fails < low), low, outward))
            step = step * 2.0

    def find(self) -> Truth:
        """Bisect, tabulate, check."""
        s = self.settings
        need = {"du": np.empty((len(self.cells), s.horizons)), "cu": np.empty((len(self.cells), s.horizons))}
        for kind, searched in (("du", self.du), ("cu", self.cu)):
            start = np.array([sum(self.bounds[name]) / 2.0 for name in searched])
            pilot, runs = self._needs(10**6, searched, start)
            self.runs += runs
            start = np.where(np.isfinite(pilot), pilot, start)
            with ThreadPoolExecutor(s.workers) as pool:
                jobs = pool.map(lambda h, n=searched, a=start: self._needs(h, n, a), range(s.horizons))
                for h, (found, runs) in enumerate(jobs):
                    need[kind][:, h] = found
                    self.runs += runs
                    if self.progress is not None:
                        self.progress(f"what each {kind.upper()} needs", h + 1, s.horizons)
        du, cu = self._pool(need["du"], need["cu"])
        grid, use_du, use_cu = self._uses()
        truth = Truth(
            scenario_digest=self.scenario.digest, alpha=self.alpha, controls=self.names,
            du_columns=tuple(self.names.index(n) for n in self.du),
            cu_columns=tuple(self.names.index(n) for n in self.cu),
            need_du=du, need_cu=cu, use_grid=grid, use_du=use_du, use_cu=use_cu, hosts=self._hosts(),
            tolerance_cores=s.tolerance_cores / 2.0, rectangle_agreement=self._check(need["du"], need["cu"]),
            runs=self.runs,
        )  # fmt: skip
        return truth

    def _pool(self, du: FloatArray, cu: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Let cells with equal parameters, conjuncts and bounds share their samples."""
        parameters = self.scenario.cells()
        texts = [
            tuple(t.text.replace(f"_{cell}", "_i") for t in self.of_cell[row]) for row, cell in enumerate(self.cells)
        ]
        twins = [
            [
                other
                for other in range(len(self.cells))
                if parameters[other] == parameters[row]
                and texts[other] == texts[row]
                and self.bounds[self.du[other]] == self.bounds[self.du[row]]
            ]
            for row in range(len(self.cells))
        ]
        size = max(len(t) for t in twins) * du.shape[1]
        pooled = [[np.resize(np.concatenate([a[i] for i in t]), size) for t in twins] for a in (du, cu)]
        return np.array(pooled[0]), np.array(pooled[1])

    def _uses(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return mean CPU use over a grid of limits, DUs and CUs moved together."""
        low = min(b[0] for b in self.bounds.values())
        high = max(b[1] for b in self.bounds.values())
        grid = np.linspace(low, high, self.settings.use_points)
        du = np.empty((len(self.cells), len(grid)))
        cu = np.empty((len(self.cells), len(grid)))
        for j, at in enumerate(grid):
            for kind, names, out in (("du", self.du, du), ("cu", self.cu, cu)):
                target = {n: self.bounds[n][1] for n in self.names} | dict.fromkeys(names, float(at))
                record = self._run(target, 2 * 10**6 + j)
                self.runs += 1
                ids = self.cells if kind == "du" else [g.cu for g in self.topology.gnbs]
                out[:, j] = [float(np.mean(record.metrics[f"cpuu_{kind}_{i}"])) for i in ids]
        return grid, du, cu

    def _hosts(self) -> tuple[HostTruth, ...]:
        """Draw meter noise and neighbours as the twin does, for every host with a power limit."""
        s, p = self.scenario, self.scenario.power
        out = []
        for number, host in enumerate(self.topology.hosts):
            draws = 2000
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number,)))
            noise = np.empty((draws, self.horizon))
            idle = p.mean_w(0.0, host.capacity_cores)
            for d in range(draws):
                meter = HostPower(p, host.capacity_cores, s.window.length_s, noise=rng, drift=rng)
                noise[d] = [meter.read_w(0.0) - idle for _ in range(self.horizon)]
            released: Callable[[FloatArray], FloatArray] | None = None
            activity = np.zeros((draws, self.horizon))
            if s.neighbour is not None:
                neighbour = Neighbour(s.neighbour, rng)
                parameters = s.neighbour
                pool = parameters.pool_cores
                activity = np.array(
                    [[neighbour.use_cores(0.0) / pool for _ in range(self.horizon)] for _ in range(draws)]
                )
                released = np.vectorize(parameters.released_cores, otypes=[float])
            cores = host.capacity_cores
            columns = tuple(self.names.index(n) for n in self.topology.limits_of_host(host.name))
            out.append(
                HostTruth(
                    name=host.name, limit_w=self.limit_w.get(host.name, math.inf),
                    cells=tuple(i for i, g in enumerate(self.topology.gnbs) if g.host == host.name), columns=columns,
                    mean_w=np.vectorize(lambda busy, c=cores: p.mean_w(busy, c), otypes=[float]), noise=noise,
                    released=released, activity=activity,
                )
            )  # fmt: skip
        return tuple(out)

    def _check(self, need_du: FloatArray, need_cu: FloatArray) -> float:
        """Return how often a cell's verdict at random limits near both borders is what its needs say, same horizons."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(99,)))
        agree: list[bool] = []
        for h in range(min(self.settings.check_horizons, self.settings.horizons)):
            target = {}
            expected = np.ones(len(self.cells), dtype=bool)
            for need, names in ((need_du[:, h], self.du), (need_cu[:, h], self.cu)):
                for row, name in enumerate(names):
                    centre = need[row] if np.isfinite(need[row]) else self.bounds[name][1]
                    at = float(np.clip(centre + rng.uniform(-0.08, 0.3), *self.bounds[name]))
                    target[name] = at
                    expected[row] &= at >= need[row]
            verdict = self._verdicts(self._run(target, h))
            self.runs += 1
            agree += [bool(v == e) for v, e in zip(verdict, expected, strict=True)]
        return float(np.mean(agree)) if agree else float("nan")


def save_truth(truth: Truth, path: Path) -> None:
    """Keep what was simulated, so that it is found once a scenario; hosts are drawn again from the seed."""
    np.savez(
        path, digest=np.array(truth.scenario_digest), need_du=truth.need_du, need_cu=truth.need_cu,
        use_grid=truth.use_grid, use_du=truth.use_du, use_cu=truth.use_cu,
        numbers=np.array([truth.tolerance_cores, truth.rectangle_agreement, truth.runs]),
    )  # fmt: skip


def load_truth(scenario: Scenario, path: Path, *, seed: int = 0) -> Truth | None:
    """Return a truth kept by `save_truth`, None if there is none or it is of another scenario."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as kept:
        if str(kept["digest"]) != scenario.digest:
            return None
        finder = _Finder(scenario, seed + _SEED_OFFSET, TruthSettings(), None)
        numbers = kept["numbers"]
        return Truth(
            scenario_digest=scenario.digest, alpha=finder.alpha, controls=finder.names,
            du_columns=tuple(finder.names.index(n) for n in finder.du),
            cu_columns=tuple(finder.names.index(n) for n in finder.cu),
            need_du=kept["need_du"], need_cu=kept["need_cu"], use_grid=kept["use_grid"], use_du=kept["use_du"],
            use_cu=kept["use_cu"], hosts=finder._hosts(), tolerance_cores=float(numbers[0]),
            rectangle_agreement=float(numbers[1]), runs=int(numbers[2]),
        )  # fmt: skip
