import networkx as nx
import pytest

from col.errors import NotIdentifiableError
from col.graph import CausalGraph, NodeKind
from col.identify import is_backdoor_set, joint_backdoor
from twin.causal_graph import causal_graph, derivations
from twin.topology import Gnb, Host, Topology

HOSTS = (Host(name="h1", capacity_cores=16.0), Host(name="h2", capacity_cores=16.0))


def topology(cus: dict[int, str], *, neighbour: bool = False) -> Topology:
    gnbs = tuple(Gnb(cell=i, host="h1" if i < 3 else "h2", cu=cu, ues=3) for i, cu in cus.items())
    return Topology(hosts=HOSTS, gnbs=gnbs, neighbour=neighbour)


ONE_TO_ONE = topology({1: "1", 2: "2", 3: "3", 4: "4"})
SHARED = topology({1: "a", 2: "a", 3: "b", 4: "b"})


def unrolled(graph: CausalGraph) -> nx.DiGraph:
    return graph.unroll(3, with_regime=True)


def test_every_control_and_metric_is_a_node_of_its_kind() -> None:
    graph = causal_graph(ONE_TO_ONE)
    assert graph.controls == ONE_TO_ONE.control_names
    for metric in ONE_TO_ONE.metrics():
        kind = NodeKind.EXOGENOUS if metric.name.startswith("load_") else NodeKind(metric.kind.value)
        assert graph.nodes[metric.name] is kind
    latent = {name.rsplit("_", 1)[0] for name in graph.of_kind(NodeKind.LATENT)}
    assert latent == {"wd_du", "wd_cu", "ps_du", "ps_cu", "run_du", "run_cu", "drift"}


def test_throughput_hangs_on_the_limits_of_its_own_gnb_alone() -> None:
    graph = causal_graph(ONE_TO_ONE)
    assert set(graph.ancestral_controls("thp_ul_2")) == {"cpu_du_2", "cpu_cu_2"}
    assert set(graph.ancestral_controls("cap_du_dl_2")) == {"cpu_du_2"}
    assert set(graph.ancestral_controls("cap_cu_2")) == {"cpu_cu_2"}
    assert set(graph.ancestral_controls("pow_h2")) == {"cpu_du_3", "cpu_du_4", "cpu_cu_3", "cpu_cu_4"}


def test_a_shared_cu_joins_its_cells() -> None:
    graph = causal_graph(SHARED)
    assert set(graph.ancestral_controls("dly_dl_1")) == {"cpu_du_1", "cpu_du_2", "cpu_cu_a"}
    followed = {tail for tail, head in graph.regime if head == "cpu_cu_a"}
    assert followed == {"load_dl_1", "load_ul_1", "load_dl_2", "load_ul_2"}


def test_loads_of_the_window_before_identify_the_effect_and_loads_of_the_same_window_do_not() -> None:
    graph = causal_graph(ONE_TO_ONE)
    estimand = joint_backdoor(graph, ("cpu_du_1", "cpu_cu_1"), "thp_dl_1", graph.measured)
    assert set(estimand.adjustment) == {("load_dl_1", 1), ("load_ul_1", 1)}
    dag = unrolled(graph)
    before, same = (["load_dl_1@1", "load_ul_1@1"], ["load_dl_1@2", "load_ul_1@2"])
    for control in ("cpu_du_1@2", "cpu_cu_1@2"):
        assert is_backdoor_set(dag, [control], "dly_ul_1@2", before)
        assert not is_backdoor_set(dag, [control], "dly_ul_1@2", same)
        assert not is_backdoor_set(dag, [control], "dly_ul_1@2", [])


def test_a_shared_cu_needs_the_loads_of_both_cells() -> None:
    graph = causal_graph(SHARED)
    dag = unrolled(graph)
    own = ["load_dl_1@1", "load_ul_1@1"]
    both = [*own, "load_dl_2@1", "load_ul_2@1"]
    assert not is_backdoor_set(dag, ["cpu_cu_a@2"], "dly_dl_1@2", own)
    assert is_backdoor_set(dag, ["cpu_cu_a@2"], "dly_dl_1@2", both)


def test_effect_is_not_identifiable_when_the_loads_are_not_measured() -> None:
    graph = causal_graph(ONE_TO_ONE)
    blind = [name for name in graph.measured if not name.startswith("load_")]
    with pytest.raises(NotIdentifiableError):
        joint_backdoor(graph, ("cpu_du_1",), "dly_dl_1", blind)


def test_released_quota_reaches_power_only_where_there_is_a_neighbour() -> None:
    with_neighbour = causal_graph(topology({1: "1", 2: "2", 3: "3", 4: "4"}, neighbour=True))
    assert ("cpu_du_1", "cpuu_nn_h1") in with_neighbour.edges
    assert ("cpuu_nn_h1", "pow_h1") in with_neighbour.edges
    assert not any("nn" in name for name in causal_graph(ONE_TO_ONE).nodes)


def test_derived_throughput_is_the_least_of_what_is_offered_and_what_each_stage_could_carry() -> None:
    formulas = derivations(SHARED)
    columns = {"load_dl_1": 8.0, "load_ul_1": 2.0, "load_dl_2": 5.0, "load_ul_2": 5.0, "cap_du_dl_1": 9.0}
    assert formulas["thp_dl_1"].evaluate(columns | {"cap_cu_a": 30.0}) == 8.0
    assert formulas["thp_dl_1"].evaluate(columns | {"cap_cu_a": 10.0}) == pytest.approx(4.0)
    assert formulas["thp_dl_1"].evaluate(columns | {"cap_cu_a": 30.0, "cap_du_dl_1": 3.0}) == 3.0
