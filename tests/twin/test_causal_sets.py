"""Which adjustment sets are valid in the graph of the whole RAN, against an oracle of its own.

The oracle is a hand-written graph of the same RAN, one template of 50 variables and 97 arrows a cell, made before and
without the tables of this package: d-separation by networkx in its three-window unrolled form, two cells on one CU and
one host, with the CPU limits and the loads of all containers added to the causes of host contention (it lacked them; no
verdict changed). What is stated here are its verdicts, the same for all six outcomes.
"""

from functools import cache

import networkx as nx
import pytest

from col.errors import NotIdentifiableError
from col.graph import CausalGraph, NodeKind
from col.identify import is_backdoor_set, joint_backdoor
from twin.causal_graph import causal_graph
from twin.controllers import Controller, Follows, followed_metrics
from twin.scenario_tables import TABLES
from twin.topology import Gnb, Host, Pair, Topology

KINDS = ("cpu_du", "cpu_cu", "mem_du", "mem_cu", "bw", "gtx", "grx", "thr")
OUTCOMES = ("thp_ul_1", "thp_dl_1", "jit_ul_1", "dly_du_1", "dly_cu_a", "pow_h1")
NOW, BEFORE = 3, 2


@cache
def whole_ran() -> Topology:
    """Return two cells on one CU and one host, with every mechanism at work."""
    return Topology(
        hosts=(Host(name="h1", capacity_cores=16.0),),
        gnbs=tuple(Gnb(cell=cell, host="h1", cu="a", ues=3) for cell in (1, 2)),
        pairs=(Pair(name="p1", cells=(1, 2)),),
        control_kinds=KINDS,
        mechanisms=frozenset(table.key for table in TABLES) - {"mobility.a3"},
    )


@cache
def regime(name: str) -> tuple[tuple[str, str], ...]:
    """Return who sets the controls: nobody, or a controller of every CPU limit (or of the threshold)."""
    rules = {
        "nobody": [],
        "load": [
            Controller(control="cpu_du", follows=Follows.LOAD),
            Controller(control="cpu_cu", follows=Follows.LOAD),
        ],
        "use": [
            Controller(control="cpu_du", follows=Follows.CPU_USE),
            Controller(control="cpu_cu", follows=Follows.CPU_USE),
        ],
        "queue": [Controller(control="cpu_du", follows=Follows.QUEUE)],
        "steering": [Controller(control="thr", follows=Follows.LOAD)],
    }[name]
    names = whole_ran().control_names
    return tuple(
        (seen, control)
        for rule in rules
        for control in names
        if rule.sets(control)
        for seen in followed_metrics(rule, control, whole_ran())
    )


@cache
def graph(name: str) -> CausalGraph:
    return causal_graph(whole_ran(), regime=regime(name))


@cache
def unrolled(name: str) -> nx.DiGraph:
    return graph(name).unroll(NOW + 1, with_regime=True)


def at(names: str, window: int) -> list[str]:
    return [f"{name}@{window}" for name in names.split()]


OWN = "load_ul_1 load_dl_1"
BOTH = f"{OWN} load_ul_2 load_dl_2"
LAGGED = "cpuu_du_1 bler_ul_1 bsr_1 dly_du_1 jit_ul_1"


@pytest.mark.parametrize(
    ("who", "control", "before", "now", "valid"),
    [
        ("nobody", "cpu_du_1", "", "", True),
        ("nobody", "thr_p1", "", "", True),
        ("nobody", "bw_1", "", "", True),
        ("nobody", "gtx_1", "", "", True),
        ("nobody", "grx_1", "", "", True),
        ("nobody", "mem_du_1", "", "", True),
        ("load", "cpu_du_1", "", "", False),
        ("load", "cpu_du_1", "", OWN, False),
        ("load", "cpu_du_1", OWN, "", True),
        ("load", "cpu_du_1", OWN, OWN, True),
        ("load", "cpu_du_1", BOTH, "", True),
        ("load", "cpu_cu_a", "", "", False),
        ("load", "cpu_cu_a", OWN, "", False),
        ("load", "cpu_cu_a", BOTH, "", True),
        ("use", "cpu_du_1", OWN, "", False),
        ("use", "cpu_du_1", "cpuu_du_1", "", True),
        ("use", "cpu_cu_a", BOTH, "", False),
        ("use", "cpu_cu_a", "cpuu_cu_a", "", True),
        ("steering", "thr_p1", "", "", False),
        ("steering", "thr_p1", "load_ul_1", "", False),
        ("steering", "thr_p1", "load_ul_1 load_ul_2", "", True),
        ("queue", "cpu_du_1", "", "", False),
        ("queue", "cpu_du_1", OWN, OWN, False),
        ("queue", "cpu_du_1", f"{OWN} {LAGGED}", "", False),
    ],
)
def test_an_adjustment_set_is_valid_where_the_oracle_says_so(
    who: str, control: str, before: str, now: str, valid: bool
) -> None:
    z = [*at(before, BEFORE), *at(now, NOW)]
    dag = unrolled(who)
    verdicts = {y: is_backdoor_set(dag, [f"{control}@{NOW}"], f"{y}@{NOW}", z) for y in OUTCOMES}
    assert verdicts == dict.fromkeys(OUTCOMES, valid)


@pytest.mark.parametrize("bad", ["cpuu_du_1", "prb_ul_1", "bsr_1", "late_du_1", "pow_h1"])
def test_what_a_limit_acts_on_in_the_same_window_is_a_bad_control(bad: str) -> None:
    dag = unrolled("load")
    assert not is_backdoor_set(dag, [f"cpu_du_1@{NOW}"], f"jit_ul_1@{NOW}", [*at(OWN, BEFORE), f"{bad}@{NOW}"])


def test_loads_and_ues_are_effects_of_steering_and_causes_of_nothing_before_it() -> None:
    dag = unrolled("steering")
    for effect in ("load_ul_1", "load_ul_2", "nue_1", "ho_p1"):
        assert f"{effect}@{NOW}" in nx.descendants(dag, f"thr_p1@{NOW}")
    assert not graph("steering").of_kind(NodeKind.EXOGENOUS)


@pytest.mark.parametrize(
    ("who", "control", "outcome", "expected"),
    [
        ("load", "cpu_du_1", "thp_ul_1", {("load_ul_1", 1), ("load_dl_1", 1)}),
        ("use", "cpu_du_1", "pow_h1", {("cpuu_du_1", 1)}),
        ("steering", "thr_p1", "jit_ul_1", {("load_ul_1", 1), ("load_ul_2", 1)}),
        ("nobody", "grx_1", "jit_ul_1", set()),
    ],
)
def test_the_set_that_is_found_is_what_the_control_was_set_by(
    who: str, control: str, outcome: str, expected: set[tuple[str, int]]
) -> None:
    estimand = joint_backdoor(graph(who), (control,), outcome, graph(who).measured)
    assert set(estimand.adjustment) == expected


def test_no_measured_variables_identify_a_limit_that_follows_the_hidden_queue() -> None:
    hidden = graph("queue")
    assert hidden.nodes["ps_du_1"] is NodeKind.LATENT
    with pytest.raises(NotIdentifiableError, match="ps_du_1"):
        joint_backdoor(hidden, ("cpu_du_1",), "thp_ul_1", hidden.measured)


def test_contention_joins_every_container_of_a_host() -> None:
    """Quotas and demands of all containers: what one may use, the others cannot."""
    alone = causal_graph(
        Topology(
            hosts=whole_ran().hosts,
            gnbs=tuple(Gnb(cell=cell, host="h1", cu=str(cell), ues=3) for cell in (1, 2)),
            mechanisms=frozenset({"contention"}),
        )
    )
    assert {"cpu_du_1", "cpu_cu_1", "cpu_du_2", "cpu_cu_2"} == set(alone.ancestral_controls("thp_ul_1"))
    parents = {tail for tail, head in alone.edges if head == "hst_h1"}
    assert {"nn_h1", "wd_du_1", "wd_du_2", "cpu_du_1", "cpu_du_2", "cpu_cu_1", "cpu_cu_2"} <= parents
