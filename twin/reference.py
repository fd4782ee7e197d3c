"""An exact, slow model of gNBs on SimPy: every packet, link, slot and refill of a CFS quota is an event of its own.

It states the semantics of `twin.kernel` a second time, in the textbook style and without the kernel's short cuts, so
that the two can be held against each other: same parameters and same `Draws`, hence the same packets at the same times.
Nothing but tests and benchmarks uses it; a simulated second of one cell takes some tenths of a CPU second.

All times in ms, all work in CPU-ms, rates in Mbit/s; direction 0 is down, 1 is up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import simpy

from twin.link_noise import LinkState
from twin.parameters import CFS_PERIOD_MS, CellParameters
from twin.reference_cu import Cu
from twin.reference_gnb import Gnb
from twin.reference_moves import Moves
from twin.reference_parts import CellRun, CuJob, Draws, Process, draw

__all__ = ["CellRun", "Draws", "QuotaChange", "Ran", "Step", "draw", "simulate", "simulate_ran"]

SETTLE_MS = 500.0
"""Time that the model runs on after its last slot, so that what was sent before has arrived or is lost."""


class QuotaChange(NamedTuple):
    """At `time_ms` the quotas become these, in cores; they count from the next refill on."""

    time_ms: float
    du_cores: float
    cu_cores: float


@dataclass(frozen=True, slots=True)
class Step:
    """At `time_ms` a method of the data plane, or of the reference's `Ran`, is called."""

    time_ms: int
    method: str
    values: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)

    def act(self, on: object) -> None:
        """Do it."""
        getattr(on, self.method)(*self.values, **self.named)


class Ran(Moves):
    """Cells and their CUs, with the methods of `DataPlane` by the same names; `cu_of` names the CU of each cell."""

    def __init__(
        self, env: simpy.Environment, cells: Sequence[CellParameters], draws: Sequence[Draws], cu_of: Sequence[int]
    ) -> None:
        self.cu_of = tuple(cu_of)
        gnbs = [
            Gnb(env, cell, chance, number, frail=cell.lock_step is not None or self.cu_of.count(cu_of[number]) > 1)
            for number, (cell, chance) in enumerate(zip(cells, draws, strict=True))
        ]
        self.cus: list[Cu] = []
        for name in range(max(cu_of) + 1):
            first, jobs = self.cu_of.index(name), list[CuJob]()
            cu = Cu(
                env,
                cells[first],
                draws[first],
                to_du=lambda packet: gnbs[packet.cell].midhaul_down.send(packet),
                to_core=lambda packet: gnbs[packet.cell].deliver(packet),
                lost=lambda packet, where: packet.user.gnb.lose(packet, where),
                log=jobs,
            )
            self.cus.append(cu)
            for gnb, of in zip(gnbs, self.cu_of, strict=True):
                if of == name:
                    gnb.cu, gnb.log.cu_jobs = cu, jobs
        super().__init__(env, gnbs)

    # What may be set between two slots; semantics as of `DataPlane`.

    def set_quota(self, cell: int, *, du_cores: float | None = None, cu_cores: float | None = None) -> None:
        """Set the quota of a cell's DU or of its CU in cores; it counts from the next refill on."""
        gnb = self.gnbs[cell]
        for cpu, cores in ((gnb.du.cpu, du_cores), (gnb.cu.cpu, cu_cores)):
            if cores is not None:
                cpu.quota_ms = cores * CFS_PERIOD_MS

    def set_burst(self, cell: int, *, du_ms: float | None = None, cu_ms: float | None = None) -> None:
        """Set how much quota is carried over."""
        gnb = self.gnbs[cell]
        for cpu, burst_ms in ((gnb.du.cpu, du_ms), (gnb.cu.cpu, cu_ms)):
            if burst_ms is not None:
                cpu.burst_ms = burst_ms

    def set_demand(self, cell: int, *, du_factor: float, cu_factor: float) -> None:
        """Set what multiplies the demand."""
        gnb = self.gnbs[cell]
        gnb.du.factor, gnb.cu.factor = du_factor, cu_factor

    def set_parallelism(self, cell: int, *, du: float | None = None, cu: float | None = None) -> None:
        """Set the pace of work."""
        gnb = self.gnbs[cell]
        gnb.du.parallelism = gnb.du.parallelism if du is None else du
        gnb.cu.parallelism = gnb.cu.parallelism if cu is None else cu

    def contention(self, cell: int, *, du_factor: float, cu_factor: float) -> None:
        """Set by what other work multiplies the demand on top."""
        gnb = self.gnbs[cell]
        gnb.du.contention, gnb.cu.contention = du_factor, cu_factor

    def hold_stall(self, cell: int, share: float | None) -> None:
        """Hold the share of time throttled."""
        self.gnbs[cell].du.cpu.hold_stall(share)

    def hold_demand(self, cell: int, ms_per_slot: float | None) -> None:
        """Hold the demand of every slot."""
        self.gnbs[cell].du.held_work_ms = ms_per_slot

    def set_link(self, cell: int, leg: str, state: LinkState) -> None:
        """Set a leg of a cell, or of its CU."""
        gnb = self.gnbs[cell]
        if leg == "fronthaul":
            gnb.du.fronthaul_ms, gnb.du.fronthaul_noise = state.delay_ms, state.noise
        elif leg == "midhaul":
            gnb.set_midhaul(state)
        else:
            gnb.cu.set_backhaul(state)

    def set_snr(self, way: int, values: Sequence[Sequence[float]]) -> None:
        """Set the SNR of every UE slot."""
        for gnb, of_cell in zip(self.gnbs, values, strict=True):
            gnb.du.mac.snr_db[way] = [float(snr_db) for snr_db in of_cell]

    def set_bandwidth(self, cell: int, n_prb: int) -> None:
        """Set the carrier's width."""
        self.gnbs[cell].du.mac.set_bandwidth(n_prb)

    def hold(self, cell: int, variable: str, value: float | None) -> None:
        """Hold a variable of the radio."""
        held = self.gnbs[cell].du.mac.held
        held.pop(variable, None)
        if value is not None:
            held[variable] = value

    def down_du(self, cell: int, until_ms: float) -> None:
        """Let a DU fail."""
        self.gnbs[cell].du.fail(until_ms)

    def down_cu(self, cu: int, until_ms: float) -> None:
        """Let a CU fail."""
        self.cus[cu].fail(until_ms)

    def set_load(self, cell: int, *, dl_mbps: float, ul_mbps: float) -> None:
        """Share what is offered among the UEs."""
        users = self.gnbs[cell].users.values()
        for user in users:
            user.set_load(dl_mbps / len(users), ul_mbps / len(users))

    def set_ue_load(self, cell: int, slot: int, *, dl_mbps: float, ul_mbps: float) -> None:
        """Set what one UE is offered and offers."""
        self.gnbs[cell].users[slot].set_load(dl_mbps, ul_mbps)


def simulate_ran(
    cells: Sequence[CellParameters], draws: Sequence[Draws], *, cu_of: Sequence[int], steps: Sequence[Step]
) -> list[CellRun]:
    """Run cells over all slots for which there is noise, then a little on, and return what happened in each.

    Steps are in the order of time; those at time 0 come before anything else.
    """
    env = simpy.Environment()
    ran = Ran(env, cells, draws, cu_of)
    for step in steps:
        if step.time_ms <= 0:
            step.act(ran)

    def happen() -> Process:
        for step in steps:
            if step.time_ms > 0:
                yield env.timeout(step.time_ms - env.now)
                step.act(ran)

    env.process(happen())
    env.run(env.all_of([gnb.du.slots for gnb in ran.gnbs]))
    env.run(env.now + SETTLE_MS)
    return [gnb.log for gnb in ran.gnbs]


def simulate(
    cell: CellParameters,
    draws: Draws,
    *,
    load_dl_mbps: float,
    load_ul_mbps: float,
    du_cores: float = 16.0,
    cu_cores: float = 16.0,
    changes: Sequence[QuotaChange] = (),
) -> CellRun:
    """Run one cell with a CU of its own over all slots for which there is noise, then a little on."""
    steps = [Step(0, "set_load", (0,), {"dl_mbps": load_dl_mbps, "ul_mbps": load_ul_mbps})]
    for time_ms, du, cu in (QuotaChange(0, du_cores, cu_cores), *changes):
        steps.append(Step(int(time_ms), "set_quota", (0,), {"du_cores": du, "cu_cores": cu}))
    return simulate_ran([cell], [draws], cu_of=[0], steps=steps)[0]
