"""Independences that the graph implies, looked for in data of randomised controls by a kernel test (HSIC).

Gretton et al., A kernel statistical test of independence, NIPS 2007; its gamma approximation. What is randomised
independently in every window makes the test valid however the outcome hangs together from window to window.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import gamma, rankdata

from col.graph import CausalGraph
from tests.twin.test_causal_do import short
from twin.causal_graph import causal_graph
from twin.intervene import Do
from twin.ran import RunPlan, simulate

FloatArray = NDArray[np.float64]
WINDOWS = 240
RANGES = {"cpu_du": (0.35, 1.2), "cpu_cu": (0.3, 0.8)}
DOUBT = 0.01
"""Probability that any of all independences is doubted where every one holds."""


def gram(x: FloatArray) -> FloatArray:
    """Return the centred Gaussian kernel matrix of the ranks of x, its width the median distance."""
    ranks = rankdata(x) / len(x)
    squared = (ranks[:, None] - ranks[None, :]) ** 2
    kernel = np.exp(-squared / np.median(squared[squared > 0]))
    centred: FloatArray = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
    return centred


def p_value(x: FloatArray, y: FloatArray) -> float:
    """Return how likely two centred kernel matrices are to be so much alike if their variables are independent."""
    n = len(x)
    statistic = float((x * y).sum()) / n
    # Mean and variance under independence, from the matrices without their diagonals.
    mean = float(np.trace(x) * np.trace(y)) / n**2
    off = (x * y / 6.0) ** 2
    variance = (
        72.0 * (n - 4) * (n - 5) / (n * (n - 1) * (n - 2) * (n - 3)) * float(off.sum() - np.trace(off)) / n / (n - 1)
    )
    variance *= n * n
    shape = mean**2 / variance
    return float(gamma.sf(statistic, shape, scale=variance / mean))


@cache
def randomised() -> dict[str, FloatArray]:
    """Return windows in which every control and load is drawn anew, independently of everything."""
    scenario = short()
    law = replace(scenario.passive_load, lower_mbps=2.0, correlation_s=0.02)
    scenario = replace(scenario, passive_load=law)
    rng = np.random.default_rng(12)
    names = scenario.topology.control_names
    drawn = {name: rng.uniform(*RANGES[name[:6]], WINDOWS) for name in names}
    plan = RunPlan(
        base={control.name: control.reference for control in scenario.controls},
        first_window=500,
        windows=WINDOWS,
        passive_load=True,
        do=tuple(Do(variable=name, values=tuple(column), since=0) for name, column in drawn.items()),
    )
    record = simulate(scenario, plan, seed=3, run=0)
    columns = {**record.metrics, **record.controls}
    return {name: column for name, column in columns.items() if np.isfinite(column).all() and np.ptp(column) > 0}


@cache
def matrix(name: str) -> FloatArray:
    return gram(randomised()[name])


def dependences(name: str) -> set[str]:
    """Return what a variable depends on, of all metrics, at a level for all pairs of controls and metrics together."""
    others = [other for other in randomised() if not other.startswith("cpu_")]
    level = DOUBT / (len(others) * 8)
    return {other for other in others if p_value(matrix(name), matrix(other)) < level}


def contradictions(graph: CausalGraph, control: str) -> set[str]:
    """Return the metrics that depend on a randomised control although the graph says that it does not act on them."""
    return {name for name in dependences(control) if control not in graph.ancestral_controls(name)}


def test_the_test_of_independence_knows_both_cases() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=200), rng.normal(size=200)
    assert p_value(gram(x), gram(x * x + 0.3 * noise)) < 1e-6
    ps = [p_value(gram(rng.normal(size=100)), gram(rng.normal(size=100))) for _ in range(200)]
    assert 0.02 < np.mean(np.array(ps) < 0.1) < 0.2
    assert min(ps) > 1e-4


@pytest.mark.parametrize("control", ["cpu_du_1", "cpu_du_3", "cpu_cu_2", "cpu_cu_4"])
def test_randomised_controls_are_independent_of_what_they_do_not_act_on(control: str) -> None:
    graph = causal_graph(short().topology)
    assert contradictions(graph, control) == set()
    cell = control[-1]
    own = {"cpu_du": f"late_du_{cell}", "cpu_cu": f"cap_cu_{cell}"}[control[:6]]
    assert own in dependences(control)


def test_a_graph_that_lacks_an_arrow_is_contradicted_by_the_data() -> None:
    """Otherwise the test above would say nothing."""
    topology = short().topology
    wrong = causal_graph(topology, removed=[("cpu_du_1", "ps_du_1")])
    assert {"late_du_1", "stall_du_1", "dly_ul_1"} <= contradictions(wrong, "cpu_du_1")


def test_loads_are_independent_of_each_other_and_of_the_controls() -> None:
    assert dependences("load_ul_1") & {name for name in randomised() if name.startswith("load_")} == {"load_ul_1"}
    assert not any(name.startswith("load_") for name in dependences("cpu_du_2"))


def residual(child: str, parents: list[str]) -> FloatArray:
    """Return what is left of a variable after a least-squares fit of second order on others."""
    data = randomised()
    columns = [data[name] for name in parents]
    squares = [a * b for i, a in enumerate(columns) for b in columns[i:]]
    design = np.column_stack([np.ones(WINDOWS), *columns, *squares])
    fit, *_ = np.linalg.lstsq(design, data[child], rcond=None)
    out: FloatArray = data[child] - design @ fit
    return out


@pytest.mark.parametrize("control", ["cpu_du_1", "cpu_cu_2"])
def test_power_is_independent_of_limits_given_what_is_used(control: str) -> None:
    used = [name for name in randomised() if name.startswith("cpuu_") and name[-2:] in ("_1", "_2", "h1")]
    assert p_value(matrix(control), matrix("pow_h1")) < 0.01
    assert p_value(matrix(control), gram(residual("pow_h1", used))) > 0.05
