from dataclasses import replace
from importlib.util import find_spec
from itertools import combinations

import pytest

from col.errors import InputError
from col.graph import NodeKind
from tests.twin.test_causal_sets import whole_ran
from twin.causal_choice import GraphChoice
from twin.causal_graph import causal_graph, causal_variables, moved_by
from twin.causal_table import CausalTable, Hold, causal_table
from twin.scenario import load_scenario, parse_scenario, scenario_names
from twin.scenario_tables import TABLES

CORE = b"""
[core.variables]
a = { scope = "cell", kind = "control", at = "ran_state", held = "control" }
b = { scope = "host", at = "windows", held = "window" }
[core.arrows]
b = ["a"]
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (CORE.replace(b'["a"]', b'["c"]'), "declares"),
        (CORE + b'[x.variables]\na = { scope = "cell", at = "windows", held = "window" }', "twice"),
        (CORE.replace(b'"cell"', b'"planet"'), "must be one of cell, cu, pair, host"),
        (CORE.replace(b'"window"', b'"glue"'), "must be one of control"),
        (CORE.replace(b'["a"]', b'["a@planet"]'), "after @"),
        (CORE.replace(b'"host",', b'"host", kind = "latent",'), "description"),
        (CORE.replace(b"core", b"other"), "missing table"),
        (CORE + b"[x.arrow]\nb = []", "unknown key"),
        (b"core = [", "not valid TOML"),
    ],
)
def test_a_wrong_table_is_told_in_one_line(text: bytes, fault: str) -> None:
    with pytest.raises(InputError, match=fault) as told:
        CausalTable.read(text, "t.toml")
    assert "t.toml" in str(told.value)
    assert "\n" not in str(told.value)


def test_every_metric_of_every_mechanism_has_a_row_and_every_row_a_place_in_the_code() -> None:
    everything = replace(whole_ran(), mechanisms=frozenset(table.key for table in TABLES), neighbour=True)
    rows = causal_variables(everything)
    assert [metric.name for metric in everything.metrics() if metric.name not in rows] == []
    assert [name for name in everything.control_names if name not in rows] == []
    assert [row.stem for row in rows.values() if find_spec(f"twin.{row.at}") is None] == []
    known = {table.key for table in TABLES} | {"core", "neighbour"}
    assert {when for row in causal_table().mechanisms for when in row.when} <= known


def test_any_mechanisms_together_make_a_graph_without_a_circle() -> None:
    keys = [table.key for table in TABLES]
    choices = [frozenset(c) for n in (0, 1, len(keys) - 1, len(keys)) for c in combinations(keys, n)]
    for mechanisms in choices:
        topology = replace(whole_ran(), mechanisms=mechanisms)
        graph = causal_graph(topology)
        graph.check(topology.control_names, [metric.name for metric in topology.metrics()])
        joined = {name for edge in (*graph.edges, *graph.lagged) for name in edge}
        assert set(graph.of_kind(NodeKind.LATENT)) <= joined


def test_an_arrow_of_a_variable_that_a_scenario_lacks_is_left_out() -> None:
    topology = replace(whole_ran(), mechanisms=frozenset({"memory"}), control_kinds=("cpu_du", "mem_du"))
    graph = causal_graph(topology)
    assert ("memu_du_1", "oom_du_1") in graph.edges
    assert not any(name.startswith(("nue", "bw", "cpu_cu")) for name in graph.nodes)
    assert graph.ancestral_controls("thp_ul_1") == ("cpu_du_1", "cpu_du_2", "mem_du_1", "mem_du_2")
    assert "mem_du_1" not in causal_graph(replace(topology, mechanisms=frozenset())).ancestors(["thp_ul_1"])


def test_gains_are_inert_without_a_channel() -> None:
    virtual = replace(whole_ran(), mechanisms=frozenset({"link_adaptation"}))
    assert "grx_1" not in causal_graph(virtual).ancestors(["thp_ul_1"])
    assert "grx_1" in causal_graph(replace(virtual, mechanisms=frozenset({"channel"}))).ancestors(["thp_ul_1"])


def test_do_moves_along_loops_that_the_graph_cuts() -> None:
    topology = whole_ran()
    assert ("prb_ul_1", "wd_du_1") not in causal_graph(topology).edges
    assert "ps_du_1" in moved_by(topology, ["prb_ul_1"])
    assert "load_ul_2" not in moved_by(replace(topology, mechanisms=frozenset()), ["prb_ul_1"])


@pytest.mark.parametrize("name", scenario_names())
def test_every_packaged_scenario_has_a_graph_of_its_controls_and_metrics(name: str) -> None:
    scenario = load_scenario(name)
    if len(scenario.topology.gnbs) > 40:
        pytest.skip("a template of a smaller one")
    plant = scenario.description()
    scenario.graph().check([c.name for c in plant.controls], [m.name for m in plant.metrics])


def test_a_scenario_adds_arrows_and_denies_them() -> None:
    usual = load_scenario("cpu-allocation")
    text = (
        usual.to_toml()
        + '\n[graph]\nassumed_arrows = [["load_ul_1", "pow_h1"]]\nremoved_arrows = [["drift_h1", "pow_h1"]]\n'
    )
    chosen = parse_scenario(text.encode(), "mine.toml")
    assert ("load_ul_1", "pow_h1") in chosen.graph().edges
    assert "drift_h1" not in {tail for tail, _ in chosen.graph().edges}
    assert parse_scenario(chosen.to_toml().encode(), "again.toml").graph_choice == chosen.graph_choice
    assert chosen.digest != usual.digest
    assert usual.graph_choice == GraphChoice()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('removed_arrows = [["load_ul_1", "pow_h2"]]', "graph.removed_arrows"),
        ('table = "moon"', "graph.table"),
        ('assumed_arrows = [["thp_ul_1", "ps_du_1"]]', "graph.assumed_arrows"),
    ],
)
def test_a_graph_that_cannot_be_is_told_by_its_key(line: str, fault: str) -> None:
    text = load_scenario("cpu-allocation").to_toml() + f"\n[graph]\n{line}\n"
    with pytest.raises(InputError, match=fault):
        parse_scenario(text.encode(), "mine.toml")


def test_what_cannot_be_held_says_so_in_the_table_and_nothing_latent_is_forgotten() -> None:
    rows = causal_table().variables
    assert {stem for stem, row in rows.items() if row.held is Hold.NONE} <= {
        "bs_dl",
        "bsr",
        "gul",
        "ch",
        "rsd",
        "lnk",
        "up",
        "up_du",
        "up_cu",
    }
