"""Joint back-door sets: against pgmpy, against exact enumeration, against brute force, and on a small RAN."""

from __future__ import annotations

import importlib
import subprocess
import sys
from itertools import chain, combinations, product
from types import ModuleType
from typing import Any

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray

from col.errors import InputError, NotIdentifiableError
from col.graph import CausalGraph
from col.identify import Estimand, is_backdoor_set, joint_backdoor, open_path

FloatArray = NDArray[np.float64]


def subsets(items: list[str]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(items, size) for size in range(len(items) + 1)))


def random_dag(rng: np.random.Generator, size: int, density: float) -> nx.DiGraph:
    names = [f"v{i}" for i in rng.permutation(size)]
    dag = nx.DiGraph()
    dag.add_nodes_from(names)
    dag.add_edges_from(pair for pair in combinations(names, 2) if rng.random() < density)
    return dag


def pick(rng: np.random.Generator, items: list[str], count: int) -> list[str]:
    return [items[i] for i in rng.permutation(len(items))[:count]]


# --- the oracle for single treatments ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pgmpy() -> ModuleType:
    importlib.import_module("pgmpy.base")
    importlib.import_module("pgmpy.identification")
    return sys.modules["pgmpy"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_single_treatments_agree_with_pgmpy_on_random_graphs_with_latent_variables(pgmpy: Any) -> None:
    rng = np.random.default_rng(11)
    answers = []
    for _ in range(150):
        dag = random_dag(rng, 7, 0.35)
        x, y, *rest = pick(rng, sorted(dag), 7)
        latents, measured = rest[:2], rest[2:]
        z = pick(rng, measured, int(rng.integers(0, 4)))
        graph = pgmpy.base.DAG()
        graph.add_nodes_from(dag.nodes)
        graph.add_edges_from(dag.edges)
        graph.latents = set(latents)
        for role, variables in (("exposures", x), ("outcomes", y), ("adjustment", z)):
            graph = graph.with_role(role, variables, inplace=False)
        blocks = pgmpy.identification.Adjustment().validate(graph)
        # pgmpy leaves it to the caller that no descendant of the treatment is in the set.
        expected = bool(blocks) and not set(z) & nx.descendants(dag, x)
        assert is_backdoor_set(dag, [x], y, z) == expected, (sorted(dag.edges), x, y, z)
        answers.append(expected)
    assert 30 < sum(answers) < 120


# --- exact enumeration ------------------------------------------------------------------------------------------------


class BinaryModel:
    """A structural causal model over binary variables with random tables, all its states enumerated."""

    def __init__(self, dag: nx.DiGraph, rng: np.random.Generator) -> None:
        self.order = list(nx.topological_sort(dag))
        self.states = np.array(list(product((0, 1), repeat=len(self.order))))
        self.factors = {}
        for node in self.order:
            parents = sorted(dag.predecessors(node))
            code = sum((self.column(p) << i for i, p in enumerate(parents)), np.zeros(len(self.states), dtype=np.int64))
            one = rng.uniform(0.1, 0.9, 2 ** len(parents))[code]
            self.factors[node] = np.where(self.column(node) == 1, one, 1 - one)

    def column(self, node: str) -> NDArray[np.int64]:
        return np.asarray(self.states[:, self.order.index(node)])

    def is_at(self, values: dict[str, int]) -> NDArray[np.bool_]:
        chosen = np.ones(len(self.states), dtype=np.bool_)
        for node, value in values.items():
            chosen &= self.column(node) == value
        return chosen

    def under_do(self, x: dict[str, int], y: str) -> float:
        weight = np.prod([f for n, f in self.factors.items() if n not in x], axis=0) * self.is_at(x)
        return float(weight[self.is_at({y: 1})].sum())

    def adjusted(self, x: dict[str, int], y: str, z: list[str]) -> float:
        weight, total = np.prod(list(self.factors.values()), axis=0), 0.0
        for values in product((0, 1), repeat=len(z)):
            stratum = self.is_at(dict(zip(z, values, strict=True)))
            given = stratum & self.is_at(x)
            total += weight[given & self.is_at({y: 1})].sum() / weight[given].sum() * weight[stratum].sum()
        return float(total)


def test_a_set_without_descendants_is_accepted_exactly_where_adjusting_for_it_gives_the_effect() -> None:
    rng = np.random.default_rng(5)
    accepted = refused = 0
    for _ in range(40):
        dag = random_dag(rng, 7, 0.4)
        model = BinaryModel(dag, rng)
        treatments = pick(rng, sorted(dag), int(rng.integers(1, 4)))
        y, *rest = pick(rng, sorted(set(dag) - set(treatments)), 7)
        x = {name: int(rng.integers(2)) for name in treatments}
        truth = model.under_do(x, y)
        allowed = sorted(set(rest) - set().union(*(nx.descendants(dag, t) for t in treatments)))
        for z in subsets(allowed):
            agrees = abs(model.adjusted(x, y, list(z)) - truth) < 1e-12
            assert is_backdoor_set(dag, treatments, y, z) == agrees, (sorted(dag.edges), x, y, z)
            accepted, refused = accepted + agrees, refused + (not agrees)
    assert min(accepted, refused) > 50


def test_a_set_with_an_effect_of_the_treatments_is_never_accepted() -> None:
    dag = nx.DiGraph([("x", "m"), ("m", "y"), ("x", "leaf")])
    assert is_backdoor_set(dag, ["x"], "y", [])
    assert not is_backdoor_set(dag, ["x"], "y", ["m"])
    assert not is_backdoor_set(dag, ["x"], "y", ["leaf"])
    assert not is_backdoor_set(dag, ["x"], "y", ["x"])


# --- the search -------------------------------------------------------------------------------------------------------


def random_graph(rng: np.random.Generator) -> CausalGraph:
    kinds = {"l1": "exogenous", "l2": "exogenous", "u": "latent", "s": "latent", "a": "observable", "b": "observable"}
    nodes = {"c1": "control", "c2": "control", **kinds, "y": "target"}
    inner = [n for n in nodes if n not in ("c1", "c2", "l1", "l2")]
    order = ["c1", "c2", "l1", "l2", *pick(rng, inner, len(inner))]
    edges = [(p, q) for p, q in combinations(order, 2) if q in inner and rng.random() < 0.3]
    lagged = [(p, q) for p in order[2:] for q in inner if rng.random() < 0.1] + [("l1", "l1")]
    regime = [(p, c) for p in order[2:] for c in ("c1", "c2") if rng.random() < 0.2]
    return CausalGraph.from_dict({"nodes": nodes, "edges": edges, "lagged": lagged, "regime": regime})


def test_the_set_found_is_a_smallest_one_and_none_is_missed() -> None:
    rng = np.random.default_rng(3)
    found = {"empty": 0, "some": 0, "none": 0}
    windows = 7
    for _ in range(40):
        graph = random_graph(rng)
        dag = graph.unroll(windows, with_regime=True)
        treatments = [["c1"], ["c1", "c2"]][int(rng.integers(2))]
        acting = [c for c in treatments if nx.has_path(dag, f"{c}@{windows - 1}", f"y@{windows - 1}")]
        candidates = [f"{n}@{windows - 1 - lag}" for n in ("l1", "l2", "a", "b", "y") for lag in (0, 1)]
        candidates.remove(f"y@{windows - 1}")
        x = [f"{c}@{windows - 1}" for c in acting]
        valid = (len(z) for z in subsets(candidates) if not x or is_backdoor_set(dag, x, f"y@{windows - 1}", z))
        smallest = next(valid, None)
        try:
            estimand = joint_backdoor(graph, treatments, "y", graph.measured)
        except NotIdentifiableError:
            found["none"] += 1
            assert smallest is None, graph.to_dict()
            continue
        assert len(estimand.adjustment) == smallest, graph.to_dict()
        assert [name for name, _ in estimand.effective] == acting
        z = [f"{name}@{windows - 1 - lag}" for name, lag in estimand.adjustment]
        assert not x or is_backdoor_set(dag, x, f"y@{windows - 1}", z)
        found["some" if z else "empty"] += 1
    assert min(found.values()) >= 5, found


def test_what_shall_be_included_is_included_and_the_rest_is_still_valid() -> None:
    rng = np.random.default_rng(8)
    checked = 0
    for _ in range(40):
        graph = random_graph(rng)
        try:
            estimand = joint_backdoor(graph, ["c1", "c2"], "y", graph.measured, include=[("l1", 0), ("a", 1)])
        except NotIdentifiableError:
            continue
        dag = graph.unroll(8, with_regime=True)
        assert {("l1", 0), ("a", 1)} <= set(estimand.adjustment)
        z = [f"{name}@{7 - lag}" for name, lag in estimand.adjustment]
        if estimand.effective:
            assert is_backdoor_set(dag, [f"{name}@7" for name, _ in estimand.effective], "y@7", z)
            checked += 1
    assert checked >= 10


# --- a small RAN: two cells with a DU each and one CU; queues last from window to window ------------------------------

CELL = "load prb, prb wd_du, wd_du ps_du, cpu_du ps_du, wd_du cpuu_du, cpu_du cpuu_du, ps_du stall, ps_du thp, load thp"
BY_LOAD = [("load_1", "cpu_du_1"), ("load_2", "cpu_du_2"), ("load_1", "cpu_cu_a"), ("load_2", "cpu_cu_a")]
BY_USE = [("cpuu_du_1", "cpu_du_1"), ("cpuu_du_2", "cpu_du_2")]
BY_QUEUE = [("ps_du_1", "cpu_du_1"), ("ps_du_2", "cpu_du_2"), ("ps_cu_a", "cpu_cu_a")]


def ran(regime: list[tuple[str, str]]) -> CausalGraph:
    nodes = {"cpu_cu_a": "control", "wd_cu_a": "latent", "ps_cu_a": "latent"}
    edges = [("wd_cu_a", "ps_cu_a"), ("cpu_cu_a", "ps_cu_a")]
    lagged = [("ps_cu_a", "ps_cu_a")]
    for i in (1, 2):
        nodes |= {f"load_{i}": "exogenous", f"cpu_du_{i}": "control", f"wd_du_{i}": "latent", f"ps_du_{i}": "latent"}
        nodes |= {f"{name}_{i}": "observable" for name in ("prb", "stall", "cpuu_du")} | {f"thp_{i}": "target"}
        edges += [(f"{a}_{i}", f"{b}_{i}") for a, b in (pair.split() for pair in CELL.split(", "))]
        edges += [(f"load_{i}", "wd_cu_a"), ("ps_cu_a", f"thp_{i}")]
        lagged += [(f"load_{i}", f"load_{i}"), (f"ps_du_{i}", f"ps_du_{i}")]
    return CausalGraph.from_dict({"nodes": nodes, "edges": edges, "lagged": lagged, "regime": regime})


def valid(regime: list[tuple[str, str]], treatments: list[str], *z: str) -> bool:
    dag = ran(regime).unroll(4, with_regime=True)
    return is_backdoor_set(dag, [f"{c}@3" for c in treatments], "thp_1@3", z)


def test_an_autoscaler_on_the_last_load_is_adjusted_for_by_the_last_load_and_not_by_the_present_one() -> None:
    assert not valid(BY_LOAD, ["cpu_du_1"])
    assert not valid(BY_LOAD, ["cpu_du_1"], "load_1@3")
    assert valid(BY_LOAD, ["cpu_du_1"], "load_1@2")
    assert valid(BY_LOAD, ["cpu_du_1"], "load_1@2", "load_1@3")
    assert valid([], ["cpu_du_1"])
    estimand = joint_backdoor(ran(BY_LOAD), ["cpu_du_1"], "thp_1", ran(BY_LOAD).measured)
    assert estimand.adjustment == (("load_1", 1),)
    assert estimand.formula == (
        "P(thp_1 | do(cpu_du_1)) = sum_{load_1(t-1)} P(thp_1 | cpu_du_1, load_1(t-1)) P(load_1(t-1))"
    )


def test_a_cu_that_two_cells_share_needs_the_loads_of_both() -> None:
    assert not valid(BY_LOAD, ["cpu_cu_a"], "load_1@2")
    assert valid(BY_LOAD, ["cpu_cu_a"], "load_1@2", "load_2@2")
    graph = ran(BY_LOAD)
    joint = joint_backdoor(graph, graph.controls, "thp_1", graph.measured)
    assert joint.adjustment == (("load_1", 1), ("load_2", 1))
    assert joint.effective == (("cpu_cu_a", 0), ("cpu_du_1", 0))  # cpu_du_2 does not act on cell 1
    with pytest.raises(NotIdentifiableError, match=r"not measured: .*load_2"):
        joint_backdoor(graph, graph.controls, "thp_1", graph.measured - {"load_2", "prb_2"})


def test_an_autoscaler_on_cpu_use_is_adjusted_for_by_cpu_use() -> None:
    assert not valid(BY_USE, ["cpu_du_1"], "load_1@2")
    assert joint_backdoor(ran(BY_USE), ["cpu_du_1"], "thp_1", ran(BY_USE).measured).adjustment == (("cpuu_du_1", 1),)


def test_an_autoscaler_on_a_hidden_queue_is_not_identifiable_and_the_open_path_is_named() -> None:
    graph = ran(BY_QUEUE)
    with pytest.raises(NotIdentifiableError) as caught:
        joint_backdoor(graph, ["cpu_du_1"], "thp_1", graph.measured)
    assert str(caught.value) == (
        "the effect of do(cpu_du_1) on thp_1 does not follow from passive windows: cpu_du_1(t) <- ps_du_1(t-1) -> "
        "ps_du_1(t) -> thp_1(t) stays open; not measured: ps_du_1"
    )


def test_a_cause_many_windows_back_is_not_overlooked() -> None:
    kinds = dict.fromkeys(["u", "a1", "a2", "a3", "a4", "c1", "c2", "c3"], "latent")
    graph = CausalGraph.from_dict(
        {
            "nodes": {**kinds, "seen": "observable", "c": "control", "y": "target"},
            "edges": [["a4", "y"], ["c", "y"], ["c3", "seen"]],
            "lagged": [["u", "a1"], ["a1", "a2"], ["a2", "a3"], ["a3", "a4"], ["u", "c1"], ["c1", "c2"], ["c2", "c3"]],
            "regime": [["c3", "c"]],
        }
    )
    with pytest.raises(NotIdentifiableError, match=r"c3\(t-1\) .* u\(t-4\) .* a4\(t\) -> y\(t\)"):
        joint_backdoor(graph, ["c"], "y", graph.measured)
    nodes = {**graph.to_dict()["nodes"], "c3": "observable"}
    graph = CausalGraph.from_dict({**graph.to_dict(), "nodes": nodes})
    assert joint_backdoor(graph, ["c"], "y", graph.measured).adjustment == (("c3", 1),)


def test_an_intervention_held_for_two_windows_is_adjusted_for_both() -> None:
    graph = CausalGraph.from_dict(
        {
            "nodes": {"l": "exogenous", "c": "control", "s": "latent", "y": "target"},
            "edges": [["l", "s"], ["c", "s"], ["s", "y"]],
            "lagged": [["l", "l"], ["s", "s"]],
            "regime": [["l", "c"]],
        }
    )
    estimand = joint_backdoor(graph, ["c"], "y", graph.measured, held=2)
    assert estimand.effective == (("c", 0), ("c", 1))
    assert estimand.adjustment == (("l", 2), ("l", 1))
    dag = graph.unroll(3, with_regime=True)
    model = BinaryModel(dag, np.random.default_rng(2))
    for value in (0, 1):
        held = {"c@1": value, "c@2": value}
        truth = model.under_do(held, "y@2")
        assert model.adjusted(held, "y@2", ["l@0", "l@1"]) == pytest.approx(truth, abs=1e-12)
        assert abs(model.adjusted(held, "y@2", ["l@1"]) - truth) > 1e-9
        assert abs(model.adjusted({"c@2": value}, "y@2", ["l@1"]) - truth) > 1e-4  # held for one window only


def test_an_effect_that_does_not_exist_needs_no_adjustment() -> None:
    estimand = joint_backdoor(ran(BY_QUEUE), ["cpu_du_2"], "thp_1", ran(BY_QUEUE).measured)
    assert estimand == Estimand(treatments=("cpu_du_2",), outcome="thp_1", adjustment=(), effective=())
    assert estimand.formula == "P(thp_1 | do(cpu_du_2)) = P(thp_1)"


def test_an_open_path_is_shown_node_by_node() -> None:
    dag = nx.DiGraph([("u", "x"), ("u", "c"), ("v", "c"), ("v", "y"), ("x", "y"), ("c", "d")])
    assert open_path(dag, ["x"], "y", []) == ()
    assert open_path(dag, ["x"], "y", ["d"]) == ("x", "<-", "u", "->", "c", "<-", "v", "->", "y")
    assert open_path(dag, ["x"], "y", ["d", "v"]) == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"treatments": ["load_1"]}, "treatments = 'load_1': is no control, known are cpu_cu_a"),
        ({"treatments": []}, "at least one control"),
        ({"treatments": "cpu_du_1"}, "must be a list"),
        ({"outcome": "nothing"}, "outcome = 'nothing': must be a variable of the graph"),
        ({"outcome": "cpu_du_2"}, "that is no control"),
        ({"held": 0}, "must be at least 1 window"),
        ({"include": [("ps_du_1", 0)]}, "must be a measured variable"),
        ({"include": [("load_1", -1)]}, "at a lag of 0 to 8"),
        ({"include": [("stall_1", 0)]}, "it is an effect of the treatments"),
    ],
)
def test_a_wrong_request_is_refused(arguments: dict[str, Any], said: str) -> None:
    graph = ran(BY_LOAD)
    with pytest.raises(InputError, match=said):
        joint_backdoor(
            graph, **{"treatments": ["cpu_du_1"], "outcome": "thp_1", "measured": graph.measured, **arguments}
        )


def test_nodes_outside_the_graph_are_refused() -> None:
    dag = nx.DiGraph([("x", "y")])
    with pytest.raises(InputError, match="node = 'w': is not in the graph"):
        is_backdoor_set(dag, ["x"], "y", ["w"])
    with pytest.raises(InputError, match="cannot be a treatment at the same time"):
        is_backdoor_set(dag, ["x", "y"], "y", [])


def test_identification_loads_no_statistics_library() -> None:
    code = "import sys, col.graph, col.identify, col.specification, col.trace; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pgmpy", "sklearn", "pandas", "statsmodels", "numba"} & set(loaded)
