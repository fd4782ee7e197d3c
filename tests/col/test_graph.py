"""The causal graph as data."""

from __future__ import annotations

import json
import pickle
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from col.errors import InputError
from col.graph import CausalGraph, NodeKind

GOOD: dict[str, Any] = {
    "nodes": {
        "load": "exogenous",
        "cpu": "control",
        "gain": "control",
        "state": "latent",
        "queue": "observable",
        "out": "target",
        "heat": "target",
    },
    "edges": [["load", "state"], ["cpu", "state"], ["state", "out"], ["state", "queue"], ["load", "out"]],
    "lagged": [["load", "load"], ["state", "state"], ["gain", "heat"]],
    "regime": [["load", "cpu"]],
}


def changed(**sections: Any) -> dict[str, Any]:
    return {**GOOD, **sections}


def test_a_graph_survives_json_and_pickle() -> None:
    graph = CausalGraph.from_dict(GOOD)
    assert CausalGraph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph
    assert pickle.loads(pickle.dumps(graph)) == graph
    assert hash(CausalGraph.from_dict(GOOD)) == hash(graph)
    assert graph.to_dict() == GOOD


def test_a_graph_cannot_be_changed() -> None:
    graph = CausalGraph.from_dict(GOOD)
    with pytest.raises(TypeError):
        graph.nodes["load"] = NodeKind.LATENT  # type: ignore[index]
    given = dict(GOOD["nodes"])
    graph = CausalGraph(given)
    given.clear()
    assert graph.controls == ("cpu", "gain")


def test_unrolling_repeats_the_window_and_links_it_to_the_next_one() -> None:
    graph = CausalGraph.from_dict(GOOD)
    dag = graph.unroll(3, with_regime=True)
    assert dag.number_of_nodes() == 3 * 7
    assert dag.number_of_edges() == 3 * 5 + 2 * (3 + 1)
    assert dag.has_edge("load@1", "cpu@2")
    assert dag.has_edge("state@0", "state@1")
    assert nx.is_directed_acyclic_graph(dag)
    under_do = graph.unroll(3, with_regime=False)
    assert set(dag.edges) - set(under_do.edges) == {("load@0", "cpu@1"), ("load@1", "cpu@2")}
    assert all(under_do.in_degree(f"cpu@{t}") == 0 for t in range(3))


def test_ancestral_controls_act_within_the_window_or_through_earlier_ones() -> None:
    graph = CausalGraph.from_dict(GOOD)
    assert graph.ancestral_controls("out") == ("cpu",)
    assert graph.ancestral_controls("heat") == ("gain",)
    assert graph.ancestral_controls("load") == ()
    follows = CausalGraph.from_dict(changed(regime=[["heat", "cpu"]]))
    assert follows.ancestral_controls("out") == ("cpu",)  # gain moves heat moves cpu: not under do()
    assert follows.ancestors(["out"], with_regime=True) >= {"gain", "heat"}


def test_measured_are_all_but_controls_and_latent_variables() -> None:
    assert CausalGraph.from_dict(GOOD).measured == {"load", "queue", "out", "heat"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            changed(edges=[*GOOD["edges"], ["out", "state"]]),
            "edges: cycle .*-> .*: what acts on the next window is 'lag",
        ),
        (changed(edges=[["load", "nothing"]]), r"edges = \['load', 'nothing'\]: 'nothing' is not among the nodes"),
        (changed(edges=[["load"]]), r"an arrow is a pair \[from, to\]"),
        (changed(edges=["ab"]), r"an arrow is a pair \[from, to\]"),
        (changed(edges=[["load", ["out"]]]), r"\['out'\] is not among the nodes"),
        (changed(edges=[["state", "state"]]), "does not cause itself within a window"),
        (changed(edges=[["load", "out"], ["load", "out"]]), "is listed twice"),
        (changed(edges=[["state", "load"]]), "load is exogenous"),
        (changed(lagged=[["state", "load"]]), "load is exogenous"),
        (changed(edges=[["load", "cpu"]]), "cpu is a control: what sets it in passive data belongs to 'regime'"),
        (changed(lagged=[["load", "cpu"]]), "belongs to 'regime'"),
        (changed(regime=[["load", "out"]]), "regime arrows lead into controls, out is target"),
        (changed(edges="load->out"), "must be a list of pairs"),
        (changed(nodes={**GOOD["nodes"], "new": "hidden"}), "nodes.new = 'hidden': must be one of control, exogenous"),
        (changed(nodes={**GOOD["nodes"], "a@1": "latent"}), "names are letters, digits and _"),
        (changed(nodes={**GOOD["nodes"], "new": 3}), "must be one of control"),
        (changed(nodes=["load"]), "nodes: must be a table of names and kinds"),
        (changed(arrows=[]), "arrows: unknown key, known are nodes, edges, lagged, regime"),
        ({}, "nodes: must be a table"),
        ([], "must be a table with nodes"),
    ],
)
def test_a_wrong_graph_is_refused_in_one_line(data: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        CausalGraph.from_dict(data, source="s.toml: graph")
    assert str(caught.value).startswith("s.toml: graph: ")
    assert "\n" not in str(caught.value)


names = st.sampled_from([*GOOD["nodes"], "nobody", "", "a b"])
pairs = st.lists(st.lists(names, min_size=1, max_size=3), max_size=4)
kinds = st.sampled_from([*NodeKind, "other"])


@given(
    st.fixed_dictionaries({"nodes": st.dictionaries(names, kinds), "edges": pairs, "lagged": pairs, "regime": pairs})
)
def test_any_data_is_a_graph_without_cycles_or_an_input_error(data: dict[str, Any]) -> None:
    try:
        graph = CausalGraph.from_dict(data)
    except InputError:
        return
    assert nx.is_directed_acyclic_graph(graph.unroll(3, with_regime=True))


def test_a_graph_is_checked_against_the_plant() -> None:
    graph = CausalGraph.from_dict(GOOD)
    graph.check(["cpu", "gain"], ["queue", "out", "heat", "more"])
    with pytest.raises(InputError, match=r"nodes\.bw: the plant's control is not in the graph"):
        graph.check(["cpu", "gain", "bw"], ["queue", "out", "heat"])
    with pytest.raises(InputError, match=r"nodes\.gain: the plant has no such control"):
        graph.check(["cpu"], ["queue", "out", "heat"])
    with pytest.raises(InputError, match=r"nodes\.queue: the plant has no such metric: make it latent"):
        graph.check(["cpu", "gain"], ["out", "heat"])
