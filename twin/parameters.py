"""Parameters of the data plane: one frozen value per mechanism, times in ms, work in CPU-ms, rates in Mbit/s.

`DuCompute` is what calibration fits; `CuCompute` and the links are priors (see each field) until somebody measures
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from col.errors import InputError
from twin.air import AirInterface
from twin.cfs_burst import CfsBurst
from twin.link_noise import LinkNoise
from twin.lock_step import LockStep

__all__ = [
    "CFS_PERIOD_MS",
    "CellParameters",
    "CuCompute",
    "DuCompute",
    "GrantPolicy",
    "LinkParameters",
    "Scheduler",
]

CFS_PERIOD_MS = 100.0
"""Default period of the kernel's CFS bandwidth control (docs.kernel.org, scheduler/sched-bwc)."""


class GrantPolicy(StrEnum):
    """How the MAC meets a flow that does not fill the cell.

    SPREAD grants what is waiting in every slot (low delay, a decode in every slot); BATCH waits until a full slot is
    waiting or the oldest packet has waited `batch_ms` (fewer, fuller slots). Which of the two a real gNB comes nearer
    to was not measured: every statement about the knee of a constant-bit-rate flow is a prediction.
    """

    SPREAD = "spread"
    BATCH = "batch"


class Scheduler(StrEnum):
    """How the MAC shares the PRBs of a slot among UEs with data.

    RR: each gets what it needs up to an equal share (PRBs // UEs); what is left goes round in turn, to each what it
    still needs. PF (proportional fair): UE by UE in the order of falling r / R^`pf_fairness`, each what it needs, as
    far as PRBs go; ties in turn. r is what all PRBs of the carrier would carry with its MCS; R, at least 1 bit, is the
    average of the bits granted to it per slot, R += (bits - R) / `pf_slots` after every slot served in time.
    The turn begins with the UE after the one of the last slot served in time.
    """

    RR = "rr"
    PF = "pf"


def _check_numbers(value: Any) -> None:
    for f in fields(value):
        number = getattr(value, f.name)
        if (
            isinstance(number, float | int)
            and not isinstance(number, bool)
            and not (math.isfinite(number) and number >= 0)
        ):
            raise InputError("must be a finite number, zero or above", key=f.name, value=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class DuCompute:
    """CPU demand of a DU per slot of 1 ms, and what becomes of slots that are late (`rt` radio mode).

    The demand of a slot is base + [DL grant](dl_fixed + dl_full x share of PRBs) + [UL grant](ul_fixed + ul_full x
    share), times a lognormal noise per slot (`slot_cv`) and a slow one (`slow_sd`, AR(1) with `slow_tau_ms`).
    """

    base_ms: float = 0.49
    """CPU-ms of a slot without any grant."""
    dl_fixed_ms: float = 0.03
    """CPU-ms added by a downlink grant whatever its size."""
    dl_full_ms: float = 0.035
    """CPU-ms added by a downlink grant of all PRBs, on top of the fixed part."""
    ul_fixed_ms: float = 0.2
    ul_full_ms: float = 0.08
    slot_cv: float = 0.15
    """Coefficient of variation of the demand from slot to slot."""
    slow_sd: float = 0.03
    """Standard deviation of the logarithm of the slow noise (host speed, caches)."""
    slow_tau_ms: float = 1000.0
    parallelism: float = 1.3
    """CPU-ms done per ms while the DU catches up."""
    skip_after_ms: float = 45.0
    """If a slot could not be started within this time the slot clock jumps: slots are skipped at no cost ..."""
    resync_ms: float = 17.0
    """... up to the first one that is late by no more than this."""
    deadline_ms: float = 4.25
    """A slot that is not finished by then is lost: no downlink data, uplink counted as not decoded."""
    late_cost: float = 0.3
    """Share of its demand that a slot still costs which is late before it starts."""
    inflight_slots: int = 4
    """Served slots before a stall whose HARQ feedback is lost: as many grants after it are retransmissions."""
    nok_share: float = 0.8
    """Share of those that the gNB counts as NOK (the rest it counts as late)."""
    resume_ms: float = 1.0
    """CPU-ms that each throttling costs on top when work goes on (cold caches, threads that wait for each other)."""
    second_cpu_ms: float = 26.0
    """A stall longer than this throttles a second CPU's run queue too: cgroup `throttled_time` counts both."""
    run_sd: float = 0.025
    """Standard deviation of the logarithm of the demand from one process run to the next."""

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.parallelism <= 0 or self.base_ms <= 0:
            raise InputError("parallelism and base_ms must be above zero", key="du", value=self.parallelism)


@dataclass(frozen=True, slots=True, kw_only=True)
class CuCompute:
    """CPU demand of a CU: a steady part and a part per packet, work done in order, no deadline.

    Uncalibrated: from the ranges of the public 5G data set of Hammar et al. (0.17 to 0.38 core over 0 to 20 Mbit/s).
    """

    base_share: float = 0.17
    """Cores used whatever the traffic."""
    packet_ms: float = 0.1216
    """CPU-ms per packet of either direction (0.0105 core per Mbit/s at 11584 bit a packet)."""
    slow_sd: float = 0.02
    parallelism: float = 1.0
    buffer_ms: float = 200.0
    """A packet that would have to wait longer than this is dropped."""
    run_sd: float = 0.02

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.parallelism <= 0 or self.packet_ms <= 0:
            raise InputError("parallelism and packet_ms must be above zero", key="cu", value=self.parallelism)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkParameters:
    """Fronthaul (RU-DU), midhaul (F1, DU-CU) and backhaul (N3, CU-core): one-way delay and rate. Assumptions."""

    fronthaul_ms: float = 0.1
    midhaul_ms: float = 0.75
    backhaul_ms: float = 3.0
    midhaul_mbps: float = 1000.0
    backhaul_mbps: float = 1000.0
    overhead: float = 1.04
    """Bits on the wire per bit of payload (GTP-U, UDP, IP)."""

    def __post_init__(self) -> None:
        _check_numbers(self)
        if min(self.midhaul_mbps, self.backhaul_mbps) <= 0:
            raise InputError("link rates must be above zero", key="midhaul_mbps", value=self.midhaul_mbps)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellParameters:
    """One gNB as the data plane sees it. Bits per PRB and slot follow from the MCS at the cell's SNR."""

    n_ue: int = 3
    n_prb: int = 25
    bits_per_prb_dl: int = 848
    bits_per_prb_ul: int = 966
    pucch_prb: float = 2.6
    """PRBs of the uplink that control signalling takes while the downlink is active."""
    packet_bits: int = 11584
    """Payload of one datagram (1448 B, iperf3's default)."""
    grant_policy: GrantPolicy = GrantPolicy.SPREAD
    batch_ms: float = 5.0
    full_buffer_dl: bool = False
    full_buffer_ul: bool = False
    cap_prb_dl: int = 25
    """Largest grant of a slot in PRBs; 0 switches the direction off."""
    cap_prb_ul: int = 25
    ul_grant_ms: float = 4.0
    """Age that uplink data must have before a grant carries it (k2 and the buffer report)."""
    dl_pipeline_ms: float = 5.0
    """Slots between the scheduling of a downlink slot and its transmission (`max_processing_delay_slots` of srsRAN)."""
    buffer_packets: int = 128
    """Packets that a UE's queue holds in each direction; more are dropped."""
    scheduler: Scheduler = Scheduler.RR
    pf_fairness: float = 2.0
    """Exponent of the average in the proportional fair metric (srsRAN's default)."""
    pf_slots: float = 100.0
    """Memory of that average."""
    ue_slots: int = 0
    """Most UEs that can be attached at a time (at least `n_ue`, which are from the start); 0: the `n_ue`, for good."""
    base_prb_share: float = 0.5
    """Share of the base demand of a slot that is in proportion to the carrier's width, where that is changed [A]."""
    air: AirInterface | None = None
    """Blocks that fail and MCS that follow the SNR; None: every block is decoded, and `bits_per_prb_*` hold."""
    du: DuCompute = field(default_factory=DuCompute)
    cu: CuCompute = field(default_factory=CuCompute)
    links: LinkParameters = field(default_factory=LinkParameters)
    lock_step: LockStep | None = None
    """Slots that wait for each other, as the virtual radio's do; None: slot n is due at n ms."""
    burst: CfsBurst | None = None
    fronthaul_noise: LinkNoise | None = None
    midhaul_noise: LinkNoise | None = None
    backhaul_noise: LinkNoise | None = None
    """That of the first cell of a CU counts."""

    def __post_init__(self) -> None:
        _check_numbers(self)
        if not 1 <= self.n_ue <= 64:
            raise InputError("must lie in 1 to 64", key="n_ue", value=self.n_ue)
        if not 1 <= self.buffer_packets <= 4000:
            raise InputError("must lie in 1 to 4000", key="buffer_packets", value=self.buffer_packets)
        if self.ue_slots and not self.n_ue <= self.ue_slots <= 64:
            raise InputError(f"must be 0 or lie in {self.n_ue} (n_ue) to 64", key="ue_slots", value=self.ue_slots)
        if self.pf_slots < 1:
            raise InputError("must be at least 1", key="pf_slots", value=self.pf_slots)
        if self.air is not None and (self.full_buffer_dl or self.full_buffer_ul):
            raise InputError("full buffers have no UEs, so they have no air interface", key="full_buffer")
        if max(self.cap_prb_dl, self.cap_prb_ul) > self.n_prb:
            raise InputError(f"must be at most n_prb ({self.n_prb})", key="cap_prb", value=self.cap_prb_dl)
