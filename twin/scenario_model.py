"""A scenario as a frozen value: what a rehearsal needs to know, and what follows from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from col.expression import Expression
from col.graph import CausalGraph
from col.plant import Control, PlantDescription
from col.problem import Cost, Problem
from col.specification import Specification
from twin.air import AirInterface
from twin.autoscaler import ScalingRule
from twin.calibrated import Calibrated, calibrated
from twin.causal_choice import GraphChoice
from twin.causal_graph import derivations
from twin.cfs_burst import CfsBurst
from twin.control_kinds import KINDS, ControlRange, kind_of
from twin.controllers import Controller, followed_metrics
from twin.harq import Harq
from twin.link_adaptation import LinkAdaptation
from twin.link_noise import LinkNoise
from twin.lock_step import LockStep
from twin.parameters import CellParameters, CuCompute, DuCompute, LinkParameters, Scheduler
from twin.population import Population
from twin.power import NeighbourParameters, PowerParameters
from twin.radio import bits_per_prb
from twin.scenario_cost import cost_table
from twin.scenario_parts import Mac, PassivePhase, Radio, WindowPlan, table
from twin.scenario_tables import insert_tables
from twin.strict import write_toml
from twin.topology import Topology
from twin.traffic import OperatingLoad, PassiveLoad

__all__ = ["SCALED_KINDS", "Scenario"]

Part = TypeVar("Part")

SCALED_KINDS = ("cpu_du", "cpu_cu")
"""The kinds of controls that the autoscaler may set."""
_MEASURED_SNR_DB = 65.0
"""The recordings carry no radio errors: the highest MCS throughout."""
_RE_PER_PRB_DL, _RE_PER_PRB_UL = 116, 132


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario; `source` (the file it came from) is not part of its identity.

    `ranges` has the bounds of every kind of control and `fixed` the value of kinds that are none; `rules` are those of
    the load-following autoscaler, none where a scenario has no [autoscaler]. `tables` are the records of the optional
    tables by dotted key (`part`): what is absent there is a mechanism that is off.
    """

    name: str
    title: str
    calibration: str
    window: WindowPlan
    passive: PassivePhase
    specification: Specification
    alpha: float
    delta: float
    cost: Cost
    topology: Topology
    ranges: Mapping[str, ControlRange]
    passive_load: PassiveLoad
    operating_load: OperatingLoad
    rules: Mapping[str, ScalingRule]
    violating_share_target: tuple[float, float] | None
    payload_bytes: int
    radio: Radio
    mac: Mac
    links: LinkParameters
    cu: CuCompute
    du_overrides: Mapping[str, float]
    power: PowerParameters
    neighbour: NeighbourParameters | None
    graph_choice: GraphChoice = field(default_factory=GraphChoice)
    fixed: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def part(self, kind: type[Part], key: str = "") -> Part | None:
        """Return the record of that type from the optional tables, None where there is none: its mechanism is off.

        `key` is the dotted key of the table, needed only where several tables have the same type.
        """
        found = (record for name, record in self.tables.items() if key in ("", name) and isinstance(record, kind))
        return next(found, None)

    def parts(self, kind: type[Part]) -> tuple[Part, ...]:
        """Return the records of that type from the arrays of tables, in order."""
        arrays = (records for records in self.tables.values() if isinstance(records, tuple))
        return tuple(record for records in arrays for record in records if isinstance(record, kind))

    @property
    def calibration_id(self) -> str:
        """The id of the calibration behind the DU's cost."""
        return calibrated(self.calibration).calibration_id

    @property
    def radio_mode(self) -> str:
        """What becomes of slots that the DU is too slow for: lost in real time (rt), stretched in lock-step (zmq)."""
        return calibrated(self.calibration).radio_mode

    @property
    def du(self) -> DuCompute:
        """The DU's compute cost: the calibration's values, and what the scenario sets otherwise."""
        overrides: dict[str, Any] = dict(self.du_overrides)
        return replace(calibrated(self.calibration).du, **overrides)

    @property
    def controls(self) -> tuple[Control, ...]:
        """Every control, in the order of the topology's names."""
        return tuple(
            self.ranges[kind].control(owner)
            for kind in self.topology.control_kinds
            for owner in self.topology.owners(KINDS[kind])
        )

    @property
    def fixed_values(self) -> dict[str, float]:
        """The value of every variable whose kind is fixed, by name: {"cpu_du_1": 1.2, ...}."""
        return {name: value for kind, value in self.fixed.items() for name in self.topology.names_of_kind(kind)}

    def value_of_kind(self, kind: str) -> float | None:
        """Return the reference of a kind of control, or its fixed value; None where the scenario has neither."""
        return self.ranges[kind].reference if kind in self.ranges else self.fixed.get(kind)

    @property
    def window_slots(self) -> int:
        """Slots of 1 ms in a window."""
        return round(self.window.length_s * 1000)

    def cells(self) -> tuple[CellParameters, ...]:
        """Return the data plane's parameters of every cell, in the order of the topology."""
        known = calibrated(self.calibration)
        ues, air = self.part(Population), self._air(known)
        return tuple(
            CellParameters(
                n_ue=gnb.ues if ues is None else min(gnb.ues, ues.upper_ues),
                ue_slots=0 if ues is None else ues.upper_ues,
                bits_per_prb_dl=_at_snr(known.bits_per_prb_dl, self.radio.snr_dl_db, known, _RE_PER_PRB_DL),
                bits_per_prb_ul=_at_snr(known.bits_per_prb_ul, self.radio.snr_ul_db, known, _RE_PER_PRB_UL),
                pucch_prb=known.pucch_prb,
                packet_bits=8 * self.payload_bytes,
                grant_policy=self.mac.grant_policy,
                batch_ms=self.mac.batch_ms,
                ul_grant_ms=self.mac.ul_grant_ms,
                dl_pipeline_ms=self.mac.dl_pipeline_ms,
                buffer_packets=self.mac.buffer_packets,
                scheduler=self.mac.scheduler or Scheduler.RR,
                air=air,
                du=self.du,
                cu=self.cu,
                links=self.links,
                lock_step=self.part(LockStep),
                burst=self.part(CfsBurst),
                fronthaul_noise=self.part(LinkNoise, "links.fronthaul"),
                midhaul_noise=self.part(LinkNoise, "links.midhaul"),
                backhaul_noise=self.part(LinkNoise, "links.backhaul"),
            )
            for gnb in self.topology.gnbs
        )

    def _air(self, known: Calibrated) -> AirInterface | None:
        """Return the air interface, None where every block is decoded: neither channel, link adaptation nor HARQ."""
        adaptation, harq = self.part(LinkAdaptation), self.part(Harq)
        if "channel" not in self.tables and adaptation is None and harq is None:
            return None
        return AirInterface(
            mcs_table=self.radio.mcs_table,
            adaptation=adaptation or LinkAdaptation(),
            harq=harq or Harq(),
            snr_dl_db=self.radio.snr_dl_db,
            snr_ul_db=self.radio.snr_ul_db,
            top_bits_dl=known.bits_per_prb_dl,
            top_bits_ul=known.bits_per_prb_ul,
            re_per_prb_dl=_RE_PER_PRB_DL,
            re_per_prb_ul=_RE_PER_PRB_UL,
        )

    def graph(self) -> CausalGraph:
        """Return the causal graph; its regime arrows are those of whoever sets the controls in passive windows."""
        rules = {
            control: loads
            for control, loads in self.topology.followed_loads().items()
            if kind_of(control) in self.rules
        }
        for rule in self.parts(Controller):
            names = [name for name in self.topology.control_names if rule.sets(name)]
            rules |= {name: followed_metrics(rule, name, self.topology) for name in names}
        return self.graph_choice.graph(self.topology, [(seen, name) for name, read in rules.items() for seen in read])

    def problem(self) -> Problem:
        """Return what the learner has to learn."""
        operating = {"dl": self.operating_load.dl_mbps, "ul": self.operating_load.ul_mbps}
        expressions: dict[str, Expression] = derivations(self.topology)
        return Problem(
            specification=self.specification,
            graph=self.graph(),
            derivations=expressions,
            operating={f"load_{way}_{g.cell}": mbps for g in self.topology.gnbs for way, mbps in operating.items()}
            if self.part(Population) is None
            else {},
            alpha=self.alpha,
            delta=self.delta,
            cost=self.cost,
            notes=self.notes,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is measured and what is assumed, for people."""
        policy = self.mac.grant_policy.value
        known = calibrated(self.calibration)
        notes = [
            known.note + (f"; set otherwise here: {', '.join(self.du_overrides)}" if self.du_overrides else ""),
            f"prediction, not measured: how constant-bit-rate flows meet the DU's knee (grant policy {policy})",
            "uncalibrated: CU cost, links and host power are priors",
        ]
        if self.neighbour is not None:
            notes.append("assumption: a batch neighbour keeps the unreserved part of a CPU pool busy")
        return tuple(notes)

    def description(self) -> PlantDescription:
        """Return the description of the twin of this scenario."""
        return PlantDescription(
            plant_id=f"twin:{self.name}:{self.digest[:12]}",
            controls=self.controls,
            metrics=self.topology.metrics(),
            window_s=self.window.length_s,
            emulated=True,
            notes=self.notes,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the scenario as the document that it would be read from, every default filled in."""
        document: dict[str, Any] = {
            "scenario": {
                "name": self.name,
                "title": self.title,
                "calibration": self.calibration,
                "radio_mode": self.radio_mode,
            },
            "window": table(self.window),
            "specification": {"text": self.specification.text, "alpha": self.alpha, "delta": self.delta},
            "cost": cost_table(self.cost),
            "hosts": {host.name: {"capacity_cores": host.capacity_cores} for host in self.topology.hosts},
            "gnbs": {str(g.cell): {"host": g.host, "cu": g.cu, "ues": g.ues} for g in self.topology.gnbs},
            "controls": {kind: limits.table() for kind, limits in self.ranges.items()},
            **self._load_table(),
            "passive": table(self.passive),
            "autoscaler": {kind: table(rule) for kind, rule in self.rules.items()},
            "traffic": {"payload_bytes": self.payload_bytes},
            "radio": table(self.radio),
            "mac": table(self.mac),
            "links": asdict(self.links),
            "compute": {"cu": asdict(self.cu), "du": dict(self.du_overrides)},
            "power": table(self.power),
        }
        if not self.rules:
            del document["autoscaler"]
        elif self.violating_share_target is not None:
            target = list(self.violating_share_target)
            document["autoscaler"] = {"violating_share_target": target, **document["autoscaler"]}
        if self.fixed:
            document["fixed"] = {KINDS[kind].fixed_key: value for kind, value in self.fixed.items()}
        if self.topology.pairs:
            document["pairs"] = {pair.name: {"cells": list(pair.cells)} for pair in self.topology.pairs}
        if self.neighbour is not None:
            document["neighbour"] = table(self.neighbour)
        if self.graph_choice != GraphChoice():
            document["graph"] = self.graph_choice.to_dict()
        insert_tables(document, self.tables)
        return document

    def _load_table(self) -> dict[str, Any]:
        """Return the load laws as they were read; UEs that come and go have no such table."""
        if self.part(Population) is not None:
            return {}
        return {"load": {"passive": table(self.passive_load), "operating": table(self.operating_load)}}

    def to_toml(self) -> str:
        """Return the scenario as TOML that reads back as the same scenario."""
        return write_toml(self.to_dict())

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical content."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def _at_snr(measured_bits: int, snr_db: float, known: Calibrated, re_per_prb: int) -> int:
    """Return the bits per PRB at an SNR: as measured, scaled by block size where the SNR supports a lower MCS."""
    n_prb = CellParameters().n_prb
    here, top = (
        bits_per_prb(snr, known.mcs_table, n_prb=n_prb, re_per_prb=re_per_prb) for snr in (snr_db, _MEASURED_SNR_DB)
    )
    return max(1, round(measured_bits * here / top))
