"""The causal graph of the twin, generated from its topology.

One template per cell, CU and host; the DU-to-CU map and the hosts decide how the templates join.  Every arrow states a
mechanism of the twin, and what is absent is a claim that tests check by intervening: a DU's limit moves no other cell,
a CU's limit does not move what the DU stage could carry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from col.expression import Expression
from col.graph import CausalGraph, NodeKind
from col.plant import MetricKind
from twin.topology import Gnb, Topology

__all__ = ["causal_graph", "derivations"]

Edge = tuple[str, str]


def causal_graph(topology: Topology, assumed: Sequence[Edge] = ()) -> CausalGraph:
    """Return the graph: edges within a window, lagged edges, and the autoscaler's lagged edges into the controls.

    `assumed` are arrows within a window that somebody wants to allow for besides those of the mechanisms.

    Latent: `run_*` the random effect of a process run, `wd_*` CPU demand, `ps_*` throttle state, `drift_*` of the
    power. Loads are exogenous and measured.
    """
    kinds: dict[str, NodeKind] = {name: NodeKind.CONTROL for name in topology.control_names}
    for metric in topology.metrics():
        if metric.name.startswith("load_"):
            kinds[metric.name] = NodeKind.EXOGENOUS
        else:
            kinds[metric.name] = NodeKind.TARGET if metric.kind is MetricKind.TARGET else NodeKind.OBSERVABLE
    edges = [*_cell_edges(topology), *_cu_edges(topology), *_host_edges(topology)]
    lagged = [*_lagged(topology)]
    for edge in (*edges, *lagged):
        for name in edge:
            kinds.setdefault(name, NodeKind.LATENT)
    edges += assumed
    regime = [(load, control) for control, loads in topology.followed_loads().items() for load in loads]
    return CausalGraph(nodes=kinds, edges=tuple(edges), lagged=tuple(lagged), regime=tuple(regime))


def derivations(topology: Topology) -> dict[str, Expression]:
    """Return how delivered throughput follows from unsaturated quantities.

    Throughput saturates at what is offered, so it carries no distance to the cliff; what each stage could carry does.
    The CU is shared by both directions of all its cells in proportion to what they offer.
    """
    out: dict[str, Expression] = {}
    for gnb in topology.gnbs:
        total = " + ".join(topology.loads_of_cu(gnb.cu))
        for way in ("dl", "ul"):
            load = f"load_{way}_{gnb.cell}"
            share = f"cap_cu_{gnb.cu} * {load} / ({total})"
            out[f"thp_{way}_{gnb.cell}"] = Expression.parse(f"min({load}, cap_du_{way}_{gnb.cell}, {share})")
    return out


def _into(child: str, *parents: str) -> Iterator[Edge]:
    return ((parent, child) for parent in parents)


def _cell_edges(topology: Topology) -> Iterator[Edge]:
    for gnb in topology.gnbs:
        yield from _du_edges(gnb)
        yield from _delivery_edges(gnb, topology)


def _du_edges(gnb: Gnb) -> Iterator[Edge]:
    """DU: demand from load, throttle state from demand and limit, everything that is lost from the throttle state."""
    i = gnb.cell
    loads = (f"load_dl_{i}", f"load_ul_{i}")
    du, cu = f"ps_du_{i}", f"ps_cu_{gnb.cu}"
    yield from _into(f"wd_du_{i}", *loads, f"run_du_{i}")
    yield from _into(du, f"wd_du_{i}", f"cpu_du_{i}")
    # A starved CU sends the DU less to do, hence the CU's state among the parents of use and occupancy.
    yield from _into(f"cpuu_du_{i}", f"wd_du_{i}", f"cpu_du_{i}", cu)
    yield from _into(f"prb_dl_{i}", loads[0], du, cu)
    yield from _into(f"prb_ul_{i}", loads[1], du)
    for stem in ("stall_du", "late_du", "nok_dl", "nok_ul"):
        yield from _into(f"{stem}_{i}", du)
    for way in ("dl", "ul"):
        yield from _into(f"cap_du_{way}_{i}", *loads, du)


def _delivery_edges(gnb: Gnb, topology: Topology) -> Iterator[Edge]:
    """Packets end to end: what arrives is the least of what is offered and what each stage could carry."""
    i, cu = gnb.cell, gnb.cu
    stages = (f"ps_du_{i}", f"ps_cu_{cu}")
    yield from _into(f"bs_dl_{i}", f"load_dl_{i}", *stages)
    yield from _into(f"bsr_{i}", f"load_ul_{i}", *stages)
    for way in ("dl", "ul"):
        yield from _into(f"thp_{way}_{i}", f"cap_du_{way}_{i}", f"cap_cu_{cu}", *topology.loads_of_cu(cu))
        yield from _into(f"dly_{way}_{i}", f"load_{way}_{i}", *stages)
    yield from _into(f"jit_ul_{i}", f"load_ul_{i}", *stages)


def _cu_edges(topology: Topology) -> Iterator[Edge]:
    for cu in topology.cus:
        loads = topology.loads_of_cu(cu)
        dus = (f"ps_du_{cell}" for cell in topology.cells_of_cu(cu))
        # Uplink reaches the CU only as far as the DUs let it through.
        yield from _into(f"wd_cu_{cu}", *loads, *dus, f"run_cu_{cu}")
        yield from _into(f"ps_cu_{cu}", f"wd_cu_{cu}", f"cpu_cu_{cu}")
        yield from _into(f"cpuu_cu_{cu}", f"wd_cu_{cu}", f"cpu_cu_{cu}")
        yield from _into(f"stall_cu_{cu}", f"ps_cu_{cu}")
        # A rate per busy share: how much actually arrived cancels, the limit and the cost of a packet remain.
        yield from _into(f"cap_cu_{cu}", *loads, f"cpu_cu_{cu}", f"run_cu_{cu}")


def _host_edges(topology: Topology) -> Iterator[Edge]:
    for host in topology.hosts:
        yield from _into(f"pow_{host.name}", *topology.use_of_host(host.name), f"drift_{host.name}")
        if topology.neighbour:
            yield from _into(f"cpuu_nn_{host.name}", *topology.limits_of_host(host.name))


def _lagged(topology: Topology) -> Iterator[Edge]:
    for gnb in topology.gnbs:
        i = gnb.cell
        for stem in ("load_dl", "load_ul", "run_du", "ps_du", "bs_dl", "bsr"):
            yield (f"{stem}_{i}", f"{stem}_{i}")
        # Backlog left over is carried, and seen, in the next window.
        for child in ("prb_dl", "thp_dl", "dly_dl"):
            yield (f"bs_dl_{i}", f"{child}_{i}")
        for child in ("prb_ul", "thp_ul", "dly_ul", "jit_ul"):
            yield (f"bsr_{i}", f"{child}_{i}")
    for cu in topology.cus:
        yield (f"run_cu_{cu}", f"run_cu_{cu}")
        yield (f"ps_cu_{cu}", f"ps_cu_{cu}")
    for host in topology.hosts:
        yield (f"drift_{host.name}", f"drift_{host.name}")
