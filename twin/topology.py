"""Who stands where: hosts, gNBs, the DU-to-CU map, and the names of controls and metrics that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from col.plant import Metric, MetricKind
from twin import measurements
from twin.control_kinds import KINDS, ControlKind, Scope

__all__ = ["Gnb", "Host", "Pair", "Topology"]

_TARGET = MetricKind.TARGET
_OBSERVABLE = MetricKind.OBSERVABLE

# name stem, unit, kind, description
_PER_CELL = (
    ("load_dl", "Mbit/s", _OBSERVABLE, "offered at the sender, downlink"),
    ("load_ul", "Mbit/s", _OBSERVABLE, "offered at the sender, uplink"),
    ("prb_dl", "%", _OBSERVABLE, "PRBs used, of those of slots served in time, downlink"),
    ("prb_ul", "%", _OBSERVABLE, "PRBs used, of those of slots served in time, uplink"),
    ("cpuu_du", "core", _OBSERVABLE, "CPU time used by the DU"),
    ("stall_du", "1", _OBSERVABLE, "share of time that the DU stood throttled"),
    ("late_du", "1", _OBSERVABLE, "share of slots lost because the DU was late"),
    ("nok_dl", "1", _OBSERVABLE, "share of transport blocks not acknowledged, downlink"),
    ("nok_ul", "1", _OBSERVABLE, "share of transport blocks not acknowledged, uplink"),
    ("bs_dl", "kB", _OBSERVABLE, "backlog at the end of the window, downlink"),
    ("bsr", "kB", _OBSERVABLE, "backlog at the end of the window, uplink"),
    ("cap_du_dl", "Mbit/s", _OBSERVABLE, "what the DU stage could carry at this load, downlink"),
    ("cap_du_ul", "Mbit/s", _OBSERVABLE, "what the DU stage could carry at this load, uplink"),
    ("thp_dl", "Mbit/s", _TARGET, "delivered, downlink"),
    ("thp_ul", "Mbit/s", _TARGET, "delivered, uplink"),
    ("dly_dl", "ms", _TARGET, "mean one-way delay, downlink"),
    ("dly_ul", "ms", _TARGET, "mean one-way delay, uplink"),
    ("jit_ul", "ms", _TARGET, "interarrival jitter at the end of the window (RFC 3550), uplink, mean over UEs"),
)
_PER_CU = (
    ("cpuu_cu", "core", _OBSERVABLE, "CPU time used by the CU"),
    ("stall_cu", "1", _OBSERVABLE, "share of time that the CU stood throttled"),
    ("cap_cu", "Mbit/s", _OBSERVABLE, "what the CU could carry at this load, both directions together"),
)
_PER_HOST = (("pow", "W", _TARGET, "package power of the host, idle power included (uncalibrated prior)"),)
_NEIGHBOUR = (("cpuu_nn", "core", _OBSERVABLE, "CPU time used by the batch neighbour of the host"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine: name and number of cores."""

    name: str
    capacity_cores: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gnb:
    """One gNB: RU, DU and the CU that serves it (`cu` is the CU's id), all on one host, with `ues` attached."""

    cell: int
    host: str
    cu: str
    ues: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two cells between which UEs can be handed over."""

    name: str
    cells: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Hosts and gNBs of a scenario, the pairs of cells between which UEs move, and what can be set.

    `neighbour` says whether a batch workload shares the hosts, `control_kinds` which kinds of controls there are, and
    `mechanisms` which optional tables the scenario has (`twin.scenario_tables`).
    """

    hosts: tuple[Host, ...]
    gnbs: tuple[Gnb, ...]
    neighbour: bool = False
    pairs: tuple[Pair, ...] = ()
    control_kinds: tuple[str, ...] = ("cpu_du", "cpu_cu")
    mechanisms: frozenset[str] = frozenset()

    @property
    def cus(self) -> tuple[str, ...]:
        """The CU ids in the order in which gNBs name them."""
        return tuple(dict.fromkeys(gnb.cu for gnb in self.gnbs))

    def cells_of_cu(self, cu: str) -> tuple[int, ...]:
        """Return the cells whose DU hangs on this CU."""
        return tuple(gnb.cell for gnb in self.gnbs if gnb.cu == cu)

    def gnbs_of_host(self, host: str) -> tuple[Gnb, ...]:
        """Return the gNBs on a host."""
        return tuple(gnb for gnb in self.gnbs if gnb.host == host)

    def cus_of_host(self, host: str) -> tuple[str, ...]:
        """Return the CUs on a host: a CU runs where its DUs run."""
        return tuple(dict.fromkeys(gnb.cu for gnb in self.gnbs_of_host(host)))

    def loads_of_cu(self, cu: str) -> tuple[str, ...]:
        """Return the load metrics of all cells of a CU."""
        return tuple(f"load_{way}_{cell}" for cell in self.cells_of_cu(cu) for way in ("dl", "ul"))

    def limits_of_host(self, host: str) -> tuple[str, ...]:
        """Return the controls that limit the containers of a host."""
        du = [f"cpu_du_{gnb.cell}" for gnb in self.gnbs_of_host(host)]
        return (*du, *(f"cpu_cu_{cu}" for cu in self.cus_of_host(host)))

    def use_of_host(self, host: str) -> tuple[str, ...]:
        """Return the CPU use metrics of everything that runs on a host."""
        du = [f"cpuu_du_{gnb.cell}" for gnb in self.gnbs_of_host(host)]
        neighbour = [f"cpuu_nn_{host}"] if self.neighbour else []
        return (*du, *(f"cpuu_cu_{cu}" for cu in self.cus_of_host(host)), *neighbour)

    def owners(self, kind: ControlKind) -> tuple[str, ...]:
        """Return what the controls of a kind belong to: cells, CUs or pairs, in order."""
        if kind.scope is Scope.CELL:
            return tuple(str(gnb.cell) for gnb in self.gnbs)
        return self.cus if kind.scope is Scope.CU else tuple(pair.name for pair in self.pairs)

    def names_of_kind(self, kind: str) -> tuple[str, ...]:
        """Return the names of all variables of a kind, whether they are controls here or not: ("bw_1", "bw_2", ...)."""
        return tuple(f"{kind}_{owner}" for owner in self.owners(KINDS[kind]))

    @property
    def control_names(self) -> tuple[str, ...]:
        """Every control, kind by kind: the CPU limit of every DU, of every CU, and so on."""
        return tuple(name for kind in self.control_kinds for name in self.names_of_kind(kind))

    def controls_of(self, gnb: Gnb) -> tuple[str, ...]:
        """Return the controls that touch a gNB: of its DU, its CU and its pair."""
        pairs = tuple(pair.name for pair in self.pairs if gnb.cell in pair.cells)
        owner = {Scope.CELL: (str(gnb.cell),), Scope.CU: (gnb.cu,), Scope.PAIR: pairs}
        return tuple(f"{kind}_{name}" for kind in self.control_kinds for name in owner[KINDS[kind].scope])

    def followed_loads(self) -> dict[str, tuple[str, ...]]:
        """Return, for every CPU limit that is a control, the load metrics of the cells that its container serves."""
        follow: dict[str, tuple[str, ...]] = {
            f"cpu_du_{gnb.cell}": (f"load_dl_{gnb.cell}", f"load_ul_{gnb.cell}") for gnb in self.gnbs
        }
        follow |= {f"cpu_cu_{cu}": self.loads_of_cu(cu) for cu in self.cus}
        return {name: loads for name, loads in follow.items() if name.rpartition("_")[0] in self.control_kinds}

    def metrics(self) -> tuple[Metric, ...]:
        """Return every metric of a window, in a fixed order."""
        return tuple(self._metrics())

    def _metrics(self) -> Iterator[Metric]:
        scopes: list[tuple[str, tuple[tuple[str, str, MetricKind, str], ...]]] = []
        scopes += [(str(gnb.cell), _PER_CELL) for gnb in self.gnbs]
        scopes += [(cu, _PER_CU) for cu in self.cus]
        scopes += [(host.name, _PER_HOST) for host in self.hosts]
        if self.neighbour:
            scopes += [(host.name, _NEIGHBOUR) for host in self.hosts]
        elements = {
            measurements.Scope.CELL: [str(gnb.cell) for gnb in self.gnbs],
            measurements.Scope.CU: self.cus,
            measurements.Scope.PAIR: [pair.name for pair in self.pairs],
        }
        for scope, names in elements.items():
            rows_added = measurements.added_rows(scope, self.mechanisms)
            added = tuple((row.stem, row.unit, row.kind, row.says) for row in rows_added)
            scopes += [(name, added) for name in names]
        for suffix, rows in scopes:
            for stem, unit, kind, description in rows:
                yield Metric(name=f"{stem}_{suffix}", unit=unit, kind=kind, description=description)
