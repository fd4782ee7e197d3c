"""The tables of a scenario file as frozen values: each knows its limits, its reading and its writing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from col.errors import InputError
from twin.parameters import CuCompute, DuCompute, GrantPolicy, LinkParameters, Scheduler
from twin.radio import McsTable
from twin.strict import Section, limits, read_numbers
from twin.topology import Gnb, Host, Pair, Topology

__all__ = [
    "Mac",
    "PassivePhase",
    "Radio",
    "WindowPlan",
    "read_cu",
    "read_du_overrides",
    "read_links",
    "read_topology",
]

MOST_GNBS = 10_000
MOST_UES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPlan:
    """How long a window is, how long a configuration settles, and how long a fresh process warms up [s]."""

    length_s: float = field(metadata=limits(lower=0.1, upper=3600))
    settle_s: float = field(metadata=limits(lower=0, upper=3600))
    warmup_s: float = field(metadata=limits(lower=0.1, upper=3600))


@dataclass(frozen=True, slots=True, kw_only=True)
class PassivePhase:
    """How long the plant is watched before the first trial, and how many windows one process run lasts."""

    windows: int
    run_windows: int

    @classmethod
    def read(cls, section: Section) -> PassivePhase:
        """Read the table."""
        phase = cls(
            windows=section.integer("windows", lower=0, upper=1_000_000),
            run_windows=section.integer("run_windows", lower=2, upper=100_000),
        )
        section.close()
        return phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Radio:
    """SNR of the UEs [dB] and the MCS table; they choose how many bits a PRB carries."""

    mcs_table: McsTable
    snr_dl_db: float
    snr_ul_db: float

    @classmethod
    def read(cls, section: Section, calibrated: McsTable) -> Radio:
        """Read the table; the MCS table must be the one that the calibration was made with."""
        radio = cls(
            mcs_table=McsTable(section.choice("mcs_table", [calibrated.value])),
            snr_dl_db=section.number("snr_dl_db", lower=-20, upper=100),
            snr_ul_db=section.number("snr_ul_db", lower=-20, upper=100),
        )
        section.close()
        return radio


@dataclass(frozen=True, slots=True, kw_only=True)
class Mac:
    """How the MAC grants PRBs, and what a UE's queue holds. Units as in the field names; see `CellParameters`.

    Without a `scheduler` UEs are served round robin.
    """

    grant_policy: GrantPolicy
    batch_ms: float
    ul_grant_ms: float
    dl_pipeline_ms: float
    buffer_packets: int
    scheduler: Scheduler | None = None

    @classmethod
    def read(cls, section: Section) -> Mac:
        """Read the table."""
        mac = cls(
            grant_policy=GrantPolicy(section.choice("grant_policy", [policy.value for policy in GrantPolicy])),
            batch_ms=section.number("batch_ms", lower=0, upper=1000),
            ul_grant_ms=section.number("ul_grant_ms", lower=0, upper=1000),
            dl_pipeline_ms=section.number("dl_pipeline_ms", lower=0, upper=1000),
            buffer_packets=section.integer("buffer_packets", lower=1, upper=4000),
            scheduler=Scheduler(section.choice("scheduler", [known.value for known in Scheduler]))
            if "scheduler" in section
            else None,
        )
        section.expect(["scheduler"])
        section.close()
        return mac


def read_links(section: Section) -> LinkParameters:
    """Read the links; what is not given keeps its documented assumption."""
    return read_numbers(LinkParameters, section)


def read_cu(section: Section) -> CuCompute:
    """Read the CU's compute prior; what is not given keeps its documented value."""
    return read_numbers(CuCompute, section)


def read_du_overrides(section: Section, calibrated: DuCompute) -> dict[str, float]:
    """Return the fields of the calibrated DU that the scenario sets otherwise."""
    given = {f.name: getattr(calibrated, f.name) for f in fields(DuCompute) if f.name not in section}
    chosen = asdict(read_numbers(DuCompute, section, **given))
    return {name: value for name, value in chosen.items() if name not in given}


def read_topology(
    hosts: Mapping[str, Section], gnbs: Mapping[str, Section], pairs: Mapping[str, Section], *, neighbour: bool
) -> Topology:
    """Read hosts, gNBs and pairs of cells and check the DU-to-CU map."""
    known_hosts: dict[str, Host] = {}
    for name, section in hosts.items():
        capacity = section.number("capacity_cores", above=0, upper=4096)
        section.close()
        known_hosts[name] = Host(name=name, capacity_cores=capacity)
    if len(gnbs) > MOST_GNBS:
        raise InputError(f"must be at most {MOST_GNBS} gNBs", key="gnbs", value=len(gnbs))
    cu_host: dict[str, str] = {}
    rows: list[Gnb] = []
    for name, section in gnbs.items():
        if not name.isascii() or not name.isdigit() or name != str(int(name[:9])) or int(name) < 1:
            raise section.fail("", "a gNB is named by its cell number, 1, 2, ...", name)
        cell = int(name)
        host = section.choice("host", list(known_hosts))
        cu = section.text("cu")
        if not (cu.isascii() and cu.isalnum()):
            raise section.fail("cu", "a CU id must be letters and digits", cu)
        if cu_host.setdefault(cu, host) != host:
            raise section.fail("cu", f"this CU runs on host {cu_host[cu]}; the DUs of a CU must share its host", cu)
        rows.append(Gnb(cell=cell, host=host, cu=cu, ues=section.integer("ues", lower=1, upper=MOST_UES)))
        section.close()
    rows.sort(key=lambda gnb: gnb.cell)
    topology = Topology(hosts=tuple(known_hosts.values()), gnbs=tuple(rows), neighbour=neighbour)
    return replace(topology, pairs=_read_pairs(pairs, {gnb.cell for gnb in rows}))


def _read_pairs(pairs: Mapping[str, Section], cells: Collection[int]) -> tuple[Pair, ...]:
    """Read the pairs of cells between which UEs move; a cell is in one pair at most."""
    taken: dict[int, str] = {}
    found: list[Pair] = []
    for name, section in pairs.items():
        given = section.numbers("cells", lower=1, upper=1e9)
        if len(given) != 2 or any(cell != round(cell) for cell in given) or given[0] == given[1]:
            raise section.fail("cells", "must be two different cell numbers, [1, 2]", list(given))
        first, second = int(given[0]), int(given[1])
        for cell in (first, second):
            if cell not in cells:
                known = ", ".join(map(str, sorted(cells)[:8]))
                raise section.fail("cells", f"no such cell; there are {known}", cell)
            if cell in taken:
                raise section.fail("cells", f"cell is in pair {taken[cell]} already", cell)
            taken[cell] = name
        section.close()
        found.append(Pair(name=name, cells=(first, second)))
    return tuple(found)


def table(record: Any) -> dict[str, Any]:
    """Return a part as the table that it was read from; what was not given (None) is left out."""
    return {
        key: (str(value) if isinstance(value, str) else value)
        for key, value in asdict(record).items()
        if value is not None
    }
