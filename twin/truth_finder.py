"""Find the truth about a scenario by asking the twin, with random streams that learning never used.

Each container's limit is scanned while all others are at their upper bounds: coarsely over its range, then step by step
where the verdict turns. All points of a scan see the same horizons (common random numbers; a horizon is one fresh run),
and a point gets no more of them than it takes to see that it is of no interest. Cells with equal parameters share
their horizons.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from col.specification import Specification
from twin.power import HostPower, Neighbour
from twin.ran import RunRecord, simulate, trial_plan
from twin.scenario import Scenario
from twin.truth import ContainerTruth, HostTruth, Truth

__all__ = ["TruthSettings", "find_truth", "load_truth", "save_truth", "supports"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Progress = Callable[[str, int, int], None]

_SEED_OFFSET = 0x7255_0000
"""Runs of the truth have seeds of their own, apart from every seed that a user is likely to learn with."""

_OF_INTEREST = 0.6
"""A container that holds in fewer horizons than this makes no configuration safe; it is not looked at more closely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthSettings:
    """How much is simulated: coarse scan, fine scan (at the control's resolution) where it matters, checks."""

    coarse_step_cores: float = 0.04
    coarse_horizons: int = 3
    first_horizons: int = 12
    more_horizons: int = 24
    most_horizons: int = 48
    check_points: int = 12
    check_horizons: int = 12
    use_points: int = 12
    workers: int = 2


def supports(scenario: Scenario) -> str:
    """Return why the truth of a scenario cannot be factorised, empty if it can."""
    topology = scenario.topology
    if others := [kind for kind in topology.control_kinds if kind not in ("cpu_du", "cpu_cu")]:
        return f"{', '.join(others)} is a control, and only CPU limits are scanned"
    if len(topology.control_kinds) < 2:
        return "the CPU limits of DUs and of CUs must both be controls"
    for table in ("ues", "mobility.load", "mobility.a3", "memory", "contention"):
        if table in topology.mechanisms:
            return f"with [{table}] cells are not independent of each other, or of their own past"
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
    """Runs the horizons; the containers of one kind (DUs, CUs) are scanned together, each judged by its own cell."""

    def __init__(self, scenario: Scenario, seed: int, settings: TruthSettings, progress: Progress | None) -> None:
        self.scenario, self.seed, self.settings, self.progress = scenario, seed, settings, progress
        self.topology = scenario.topology
        self.names = tuple(c.name for c in scenario.controls)
        self.bounds = {c.name: (c.lower, c.upper) for c in scenario.controls}
        self.step = {c.name: c.resolution for c in scenario.controls}
        self.cells = [g.cell for g in self.topology.gnbs]
        self.kinds = {
            "du": [f"cpu_du_{g.cell}" for g in self.topology.gnbs],
            "cu": [f"cpu_cu_{g.cu}" for g in self.topology.gnbs],
        }
        problem = scenario.problem()
        self.horizon = problem.specification.horizon
        self.alpha = problem.alpha
        self.base = {c.name: c.reference for c in scenario.controls}
        self.of_cell: list[list[Specification]] = [[] for _ in self.cells]
        self.limit_w: dict[str, float] = {}
        for conjunct in problem.specification.conjuncts:
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
        full = {name: self.bounds[name][1] for name in self.names} | dict(target)
        plan = trial_plan(self.scenario, self.base, full, self.horizon)
        return simulate(self.scenario, plan, seed=self.seed, run=run)

    def _verdicts(self, record: RunRecord) -> BoolArray:
        columns = record.metrics
        return np.array([all(float(s.robustness(columns)) >= 0 for s in specs) for specs in self.of_cell])

    def _horizons(self, targets: Sequence[Mapping[str, float]], runs: Sequence[int]) -> list[RunRecord]:
        self.runs += len(runs)
        with ThreadPoolExecutor(self.settings.workers) as pool:
            return list(pool.map(self._run, targets, runs))

    def _at(self, kind: str, cores: float, first: int, count: int) -> BoolArray:
        """Return the verdicts (count, g) of horizons `first` and on with all limits of a kind at `cores`."""
        target = {n: float(np.clip(cores, *self.bounds[n])) for n in self.kinds[kind]}
        records = self._horizons([target] * count, range(first, first + count))
        return np.array([self._verdicts(r) for r in records])

    def _scan(self, kind: str) -> dict[float, BoolArray]:
        """Return verdicts (horizons, g) by limit."""
        s, names = self.settings, self.kinds[kind]
        low = min(self.bounds[n][0] for n in names)
        high = max(self.bounds[n][1] for n in names)
        step = min(self.step[n] for n in names)
        coarse = np.append(np.arange(low, high - 1e-9, s.coarse_step_cores), high)
        seen = {round(float(at), 9): self._at(kind, float(at), 0, s.coarse_horizons) for at in coarse}
        self._say(kind, 1, 3)
        turning = [
            (a, b)
            for a, b in itertools.pairwise(seen)
            if not (seen[a].all() and seen[b].all()) and (seen[a].any() or seen[b].any())
        ]
        if turning:
            # Every step from the first limit at which anything held to a coarse step above the last that failed.
            start, end = turning[0][0], min(high, turning[-1][1] + s.coarse_step_cores)
            for at in np.arange(start, end + 1e-9, step):
                seen.setdefault(round(float(at), 9), np.empty((0, len(self.cells)), dtype=bool))
            fine = [at for at in seen if start - 1e-9 <= at <= end + 1e-9]
            self._more(kind, seen, fine, s.first_horizons)
            self._say(kind, 2, 3)
            self._more(kind, seen, [at for at in fine if seen[at].mean() >= _OF_INTEREST], s.more_horizons)
            self._more(kind, seen, [at for at in fine if _OF_INTEREST <= seen[at].mean() < 1.0], s.most_horizons)
        self._say(kind, 3, 3)
        return dict(sorted(seen.items()))

    def _more(self, kind: str, seen: dict[float, BoolArray], limits: Sequence[float], upto: int) -> None:
        for at in limits:
            have = len(seen[at])
            if have < upto:
                seen[at] = np.concatenate([seen[at], self._at(kind, at, have, upto - have)])

    def _say(self, kind: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(f"truth: what each {kind.upper()} needs", done, total)

    def find(self) -> Truth:
        """Scan, tabulate, check."""
        containers: dict[str, ContainerTruth] = {}
        for kind, names in self.kinds.items():
            seen = self._scan(kind)
            limits = np.array(list(seen))
            for row, name in enumerate(names):
                same = self._alike(row, kind)
                held = np.array([v[:, same].mean() for v in seen.values()])
                horizons = np.array([v[:, same].size for v in seen.values()], dtype=float)
                containers[name] = ContainerTruth(control=name, limits=limits, held=held, horizons=horizons)
        truth = Truth(
            scenario_digest=self.scenario.digest,
            alpha=self.alpha,
            controls=self.names,
            containers=tuple(containers[n] for n in self.names),
            hosts=self.host_truths(*self._uses()),
            product_error=0.0,
            runs=0,
        )
        return replace(truth, product_error=self._check(truth), runs=self.runs)

    def _alike(self, row: int, kind: str) -> list[int]:
        """Return the cells whose parameters, conjuncts and bounds are those of a cell: they share their horizons."""
        parameters = self.scenario.cells()
        names = self.kinds[kind]

        def text(i: int) -> list[str]:
            return [s.text.replace(f"_{self.cells[i]}", "_i") for s in self.of_cell[i]]

        return [
            i
            for i in range(len(self.cells))
            if parameters[i] == parameters[row]
            and text(i) == text(row)
            and self.bounds[names[i]] == self.bounds[names[row]]
        ]

    def _uses(self) -> tuple[FloatArray, FloatArray]:
        """Return a grid of limits (p,) and the mean CPU use of each control's container there (p, d)."""
        low = min(b[0] for b in self.bounds.values())
        high = max(b[1] for b in self.bounds.values())
        grid = np.linspace(low, high, self.settings.use_points)
        use = np.empty((len(grid), len(self.names)))
        for kind, names in self.kinds.items():
            targets = [dict.fromkeys(names, float(at)) for at in grid]
            for j, record in enumerate(self._horizons(targets, range(2 * 10**6, 2 * 10**6 + len(grid)))):
                for name in names:
                    use[j, self.names.index(name)] = np.mean(record.metrics[f"cpuu_{kind}_{name.rsplit('_', 1)[1]}"])
        return grid, use

    def host_truths(self, grid: FloatArray, use: FloatArray) -> tuple[HostTruth, ...]:
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
                    name=host.name,
                    limit_w=self.limit_w.get(host.name, math.inf),
                    columns=columns,
                    grid=grid,
                    use=use[:, list(columns)],
                    mean_w=np.vectorize(lambda busy, c=cores: p.mean_w(busy, c), otypes=[float]),
                    noise=noise,
                    released=released,
                    activity=activity,
                )
            )
        return tuple(out)

    def _check(self, truth: Truth) -> float:
        """Return how far the product is off at configurations drawn where a cell holds in some horizons only."""
        s = self.settings
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(99,)))
        worst = 0.0
        for number in range(s.check_points):
            target = {}
            for container in truth.containers:
                of_interest = container.limits[(container.held >= 0.5)]
                at = float(rng.choice(of_interest[: max(6, len(of_interest) // 3)]))
                target[container.control] = at
            first = 10**6 + number * s.check_horizons
            records = self._horizons([target] * s.check_horizons, range(first, first + s.check_horizons))
            held = np.array([self._verdicts(r) for r in records])
            for row in range(len(self.cells)):
                said = 1.0
                for names in self.kinds.values():
                    container = truth.containers[self.names.index(names[row])]
                    said *= float(container.probability(np.array([target[container.control]]))[0])
                error = math.sqrt(max(said * (1.0 - said), 0.01) / s.check_horizons)
                worst = max(worst, abs(float(held[:, row].mean()) - said) - 3.0 * error)
        return worst


def save_truth(truth: Truth, path: Path) -> None:
    """Keep what was simulated, so that it is found once a scenario; the draws of the hosts are made again."""
    arrays: dict[str, Any] = {}
    for i, container in enumerate(truth.containers):
        arrays |= {f"limits_{i}": container.limits, f"held_{i}": container.held, f"horizons_{i}": container.horizons}
    for i, host in enumerate(truth.hosts):
        arrays |= {f"grid_{i}": host.grid, f"use_{i}": host.use}
    numbers = np.array([truth.product_error, float(truth.runs)])
    np.savez(path, digest=np.array(truth.scenario_digest), numbers=numbers, **arrays)


def load_truth(scenario: Scenario, path: Path, *, seed: int = 0) -> Truth | None:
    """Return a truth kept by `save_truth`, None if there is none or it is of another scenario."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as kept:
        if str(kept["digest"]) != scenario.digest:
            return None
        finder = _Finder(scenario, seed + _SEED_OFFSET, TruthSettings(), None)
        use = np.zeros((len(kept["grid_0"]), len(finder.names)))
        for i, host in enumerate(finder.topology.hosts):
            columns = [finder.names.index(n) for n in finder.topology.limits_of_host(host.name)]
            use[:, columns] = kept[f"use_{i}"]
        return Truth(
            scenario_digest=scenario.digest,
            alpha=finder.alpha,
            controls=finder.names,
            containers=tuple(
                ContainerTruth(
                    control=n, limits=kept[f"limits_{i}"], held=kept[f"held_{i}"], horizons=kept[f"horizons_{i}"]
                )
                for i, n in enumerate(finder.names)
            ),
            hosts=finder.host_truths(kept["grid_0"], use),
            product_error=float(kept["numbers"][0]),
            runs=int(kept["numbers"][1]),
        )
