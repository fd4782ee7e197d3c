"""What follows from a window's counters besides its metrics: demand, throttle state, delays in DU and CU, use of links.

Nobody who looks at a gNB from outside sees most of it; a record has it among its hidden columns unless the scenario's
plant shows it. Figures that no mechanism of the data plane has are stated here, with where they come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from twin.parameters import CFS_PERIOD_MS, CellParameters
from twin.strict import limits
from twin.topology import Topology

__all__ = ["FronthaulRate", "SchedulerDelay", "latent_metrics", "utilisation"]

FloatArray = NDArray[np.float64]
_OF_CUS = ("cpu_ms_cu", "stall_ms_cu", "cu_sojourn_ms", "cu_packets")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerDelay:
    """Wall time of one scheduler decision (`average_decision_latency` of srsRAN's scheduler metrics) [us].

    base + per_ue x UEs, which is CPU time, and the stalls of throttling that fall into it: a decision is the share
    (CPU time of a decision / CPU time of a slot) of what a DU does, so that share of its stalls hits one. Assumption: 4
    us with few UEs, the lower end of the 3.75 to 31.8 us in the public 5G data set of Hammar et al.
    """

    base_us: float = field(default=3.5, metadata=limits(above=0))
    per_ue_us: float = field(default=0.25, metadata=limits(lower=0))

    def mean_us(self, ues: FloatArray, demand_ms: FloatArray, stall_ms: FloatArray, slots: FloatArray) -> FloatArray:
        """Return the mean over a window of `slots` served, whose stalls sum to `stall_ms`; shapes (g,)."""
        own_us = self.base_us + self.per_ue_us * ues
        share = np.minimum(1.0, _ratio(own_us / 1000.0, demand_ms))
        return own_us + 1000.0 * share * _ratio(stall_ms, slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class FronthaulRate:
    """What samples a fronthaul carries per direction, whatever the load (functional split 8), and over what.

    25 PRBs of 15 kHz are 5.76 MSps; 16 bit for I and Q each make 184.3 Mbit/s, the virtual radio's 32-bit floats twice
    that. The rate is in proportion to the carrier. The line is 10 GbE [assumption].
    """

    sample_bits: float = 32.0
    line_mbps: float = 10_000.0

    def used_percent(self, prb: FloatArray) -> FloatArray:
        """Return the use of the line [%] by a carrier of `prb` PRBs."""
        return 100.0 * 5.76 * self.sample_bits * prb / 25.0 / self.line_mbps


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    quotient = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient


def latent_metrics(counters: Mapping[str, FloatArray], topology: Topology, ues: Mapping[int, int]) -> dict[str, float]:
    """Return what a window's counters say of DUs and CUs, by name.

    `nue_*` UEs attached at the end. `wd_du_*` CPU demand of the DU [CPU-ms per slot that it handled], `wd_cu_*` that
    of the CU [core]; `ps_*` mean time throttled in a CFS period [ms]; `dly_du_*` wall time of a scheduler decision,
    `dly_cu_*` mean time of a packet in the CU [us].
    """
    elapsed = counters["slots"]
    handled = counters["slots"] - counters["slots_skipped"]
    attached = np.array([float(ues[gnb.cell]) for gnb in topology.gnbs])
    demand = _ratio(counters["cpu_ms_du"], handled)
    cells: dict[str, FloatArray] = {
        "nue": attached,
        "wd_du": demand,
        "ps_du": CFS_PERIOD_MS * counters["stall_ms_du"] / elapsed,
        "dly_du": SchedulerDelay().mean_us(attached, demand, counters["stall_ms_du"], handled),
    }
    out = {
        f"{stem}_{gnb.cell}": float(values[row])
        for stem, values in cells.items()
        for row, gnb in enumerate(topology.gnbs)
    }
    row_of = {gnb.cell: row for row, gnb in enumerate(topology.gnbs)}
    for cu in topology.cus:
        rows = [row_of[cell] for cell in topology.cells_of_cu(cu)]
        sums = {name: float(counters[name][rows].sum()) for name in _OF_CUS}
        span = float(elapsed[rows[0]]) or math.nan
        out[f"wd_cu_{cu}"] = sums["cpu_ms_cu"] / span
        out[f"ps_cu_{cu}"] = CFS_PERIOD_MS * sums["stall_ms_cu"] / span
        packets = sums["cu_packets"]
        out[f"dly_cu_{cu}"] = 1000.0 * sums["cu_sojourn_ms"] / packets if packets else math.nan
    return out


def utilisation(
    counters: Mapping[str, FloatArray],
    topology: Topology,
    cells: Sequence[CellParameters],
    bandwidth_prb: Mapping[int, float],
    *,
    sample_bits: float = 32.0,
) -> dict[str, float]:
    """Return how much of each leg is used [%], the busier direction, as `util_fh_*`, `util_mh_*`, `util_bh_*`.

    A backhaul is that of the CU, shared by its cells, and each of them shows the same. The legs' own rates count, even
    while a fault makes one thinner.
    """
    mbps = {way: counters[f"offered_bits_{way}"] / counters["slots"] / 1000.0 for way in ("dl", "ul")}
    mbps["ul"] = counters["delivered_bits_ul"] / counters["slots"] / 1000.0
    busier = np.maximum(mbps["dl"], mbps["ul"])
    row_of = {gnb.cell: row for row, gnb in enumerate(topology.gnbs)}
    out: dict[str, float] = {}
    for gnb in topology.gnbs:
        row, links = row_of[gnb.cell], cells[row_of[gnb.cell]].links
        shared = [row_of[cell] for cell in topology.cells_of_cu(gnb.cu)]
        together = max(float(mbps[way][shared].sum()) for way in mbps)
        prb = np.array(bandwidth_prb.get(gnb.cell, cells[row].n_prb))
        out[f"util_fh_{gnb.cell}"] = float(FronthaulRate(sample_bits=sample_bits).used_percent(prb))
        out[f"util_mh_{gnb.cell}"] = 100.0 * float(busier[row]) * links.overhead / links.midhaul_mbps
        out[f"util_bh_{gnb.cell}"] = 100.0 * together * links.overhead / links.backhaul_mbps
    return out
