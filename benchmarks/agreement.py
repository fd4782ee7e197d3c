"""How near the compiled data plane comes to the exact packet-by-packet reference: same parameters, same draws.

Each case runs in both; compared are mean and 99th percentile of the delay, throughput, CPU use, stalls and late slots
after a second of warm-up. Shares of time below 1 % count with their absolute error against 1 % (a relative error of
next to nothing says nothing).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.common import Settings, Yardstick, run_benchmark
from twin.dataplane import Counters, DataPlane, PacketLog
from twin.parameters import CellParameters, GrantPolicy
from twin.reference import CellRun, draw, simulate
from twin.streams import Streams

__all__ = ["CASES", "Case", "Pair", "figures", "relative_error", "run_both", "run_reference", "run_twin", "streams"]

SHARES = frozenset({"stall_du", "stall_cu", "late"})
LOG_PACKETS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A cell, what is offered to it in Mbit/s and its quotas in cores. `overload`: its queues overflow."""

    cell: CellParameters = field(default_factory=CellParameters)
    dl_mbps: float = 10.0
    ul_mbps: float = 10.0
    du_cores: float = 16.0
    cu_cores: float = 16.0
    overload: bool = False


CASES: Mapping[str, Case] = {
    "unthrottled": Case(),
    "du-throttled-0.70": Case(du_cores=0.70),
    "du-throttled-0.65": Case(du_cores=0.65),
    "du-throttled-0.60": Case(du_cores=0.60),
    "du-throttled-0.55": Case(du_cores=0.55),
    "du-saturated-0.40": Case(du_cores=0.40, overload=True),
    "cu-throttled-0.42": Case(cu_cores=0.42),
    "cu-throttled-0.38": Case(cu_cores=0.38),
    "cu-saturated-0.34": Case(cu_cores=0.34, overload=True),
    "cu-starved-0.12": Case(cu_cores=0.12, overload=True),
    "both-throttled": Case(du_cores=0.60, cu_cores=0.40),
    "both-saturated": Case(du_cores=0.45, cu_cores=0.36, overload=True),
    "downlink-heavy": Case(du_cores=0.62, dl_mbps=14.0, ul_mbps=3.0),
    "uplink-heavy": Case(du_cores=0.65, dl_mbps=2.0, ul_mbps=14.0),
    "idle": Case(du_cores=0.45, dl_mbps=0.0, ul_mbps=0.0),
    "batch": Case(cell=CellParameters(grant_policy=GrantPolicy.BATCH), du_cores=0.60),
    "one-ue": Case(cell=CellParameters(n_ue=1), du_cores=0.60),
    "ten-ues": Case(cell=CellParameters(n_ue=10), du_cores=0.65),
    "narrow-links": Case(
        cell=CellParameters(n_ue=4, cap_prb_dl=21, cap_prb_ul=17), du_cores=0.68, dl_mbps=7.0, ul_mbps=6.0
    ),
    "full-buffers": Case(
        cell=CellParameters(full_buffer_dl=True, full_buffer_ul=True), du_cores=0.60, dl_mbps=0.0, ul_mbps=0.0
    ),
}
"""The cases that tests and benchmark share, by name."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What the two models say of one case: counters and packets of the twin, the reference's whole record.

    `calls` are the slots of the twin's successive calls; the counters are those of the last one.
    """

    calls: tuple[int, ...]
    counters: Counters
    packets: PacketLog
    reference: CellRun


def streams(seed: int) -> dict[str, np.random.Generator]:
    """Return fresh generators for every stream of the data plane."""
    return {name: Streams(seed, 0).generator(name) for name in ("slot", "slow_du", "slow_cu", "phase")}


def run_twin(case: Case, seed: int, calls: tuple[int, ...]) -> tuple[Counters, PacketLog]:
    """Run a case in the compiled data plane; the counters are those of the last call."""
    plane = DataPlane([case.cell], streams(seed), log_packets=LOG_PACKETS)
    plane.set_load(0, dl_mbps=case.dl_mbps, ul_mbps=case.ul_mbps)
    plane.set_quota(0, du_cores=case.du_cores, cu_cores=case.cu_cores)
    for n in calls[:-1]:
        plane.advance(n)
    plane.take_counters()
    plane.advance(calls[-1])
    return plane.take_counters(), plane.packet_log(0)


def run_reference(case: Case, seed: int, calls: tuple[int, ...]) -> CellRun:
    """Run a case in the reference, with the draws that the data plane takes."""
    (draws,) = draw([case.cell], streams(seed), sum(calls))
    return simulate(
        case.cell,
        draws,
        load_dl_mbps=case.dl_mbps,
        load_ul_mbps=case.ul_mbps,
        du_cores=case.du_cores,
        cu_cores=case.cu_cores,
    )


def run_both(case: Case, seed: int, calls: tuple[int, ...]) -> Pair:
    """Run a case in both models."""
    counters, packets = run_twin(case, seed, calls)
    return Pair(calls, counters, packets, run_reference(case, seed, calls))


def figures(pair: Pair) -> dict[str, tuple[float, float]]:
    """Return (twin, reference) by figure, over the last call; delays in ms, rates in packets, else shares of the time.

    A slot's CPU time and stall count where the slot is due, a CU job's where it has arrived before a slot starts: that
    is how the data plane, which works whole slots, books them. Full buffers pass the DU only.
    """
    first, end = sum(pair.calls[:-1]), sum(pair.calls)
    span = float(end - first)
    counters, run = pair.counters, pair.reference
    out: dict[str, tuple[float, float]] = {}
    for way, name in enumerate(("dl", "ul")):
        both = [
            times[(times[:, 0] >= first) & (times[:, 1] < end)]
            for times in ((pair.packets.downlink, pair.packets.uplink)[way], run.times(way))
        ]
        delays = [times[:, 1] - times[:, 0] for times in both]
        if delays[1].size:
            out[f"delay_mean_{name}"] = float(delays[0].mean()), float(delays[1].mean())
            out[f"delay_p99_{name}"] = float(np.quantile(delays[0], 0.99)), float(np.quantile(delays[1], 0.99))
            out[f"packets_{name}"] = float(delays[0].size), float(delays[1].size)
    slots = [slot for slot in run.slots if slot.number >= first]
    seen = [slot.number if slot.outcome == "skipped" else slot.start_ms for slot in run.slots]
    until = max(seen[:first], default=-1.0), max(seen)
    jobs = [job for job in run.cu_jobs if until[0] < job.arrived_ms <= until[1]]
    pairs = {
        "cpu_du": ("cpu_ms_du", sum(slot.cpu_ms for slot in slots)),
        "stall_du": ("stall_ms_du", sum(slot.stall_ms for slot in slots)),
        "late": ("slots_late", sum(slot.outcome == "late" for slot in slots)),
        "ok": ("slots_ok", sum(slot.outcome == "ok" for slot in slots)),
        "prb_dl": ("prb_used_dl", sum(slot.prb[0] for slot in slots)),
        "prb_ul": ("prb_used_ul", sum(slot.prb[1] for slot in slots)),
        "cpu_cu": ("cpu_ms_cu", sum(job.cpu_ms for job in jobs)),
        "stall_cu": ("stall_ms_cu", sum(job.stall_ms for job in jobs)),
    }
    if slots and any(slot.full_buffer_bits[0] for slot in slots):
        del pairs["cpu_cu"], pairs["stall_cu"]
        pairs["bits_dl"] = "delivered_bits_dl", sum(slot.full_buffer_bits[0] for slot in slots)
        pairs["bits_ul"] = "delivered_bits_ul", sum(slot.full_buffer_bits[1] for slot in slots)
    out |= {name: (float(counters[column][0]) / span, value / span) for name, (column, value) in pairs.items()}
    return out


def relative_error(name: str, twin: float, reference: float) -> float:
    """Return the error of the twin's figure relative to the reference's; shares of time are never held below 1 %."""
    scale = max(abs(reference), 0.01) if name in SHARES else abs(reference)
    return abs(twin - reference) / scale if scale else float(twin != reference)


def measure(settings: Settings, _: Yardstick) -> dict[str, Any]:
    """Run every case for some seeds and return the worst errors, over all and by case."""
    calls = (1000, 2000) if settings.quick else (1000, 5000)
    seeds = range(settings.seed, settings.seed + (1 if settings.quick else 2))
    worst: dict[str, tuple[float, str]] = {}
    for name, case in CASES.items():
        pairs = [figures(run_both(case, seed, calls)) for seed in seeds]
        worst[name] = max(
            (float(relative_error(figure, *both)), figure) for pair in pairs for figure, both in pair.items()
        )
    error, figure, name = max((*worst[name], name) for name in CASES)
    return {
        "worst_relative_error": error,
        "worst_in": f"{figure} of {name}",
        "worst_without_overload": max(worst[name][0] for name, case in CASES.items() if not case.overload),
        "simulated_s_per_case": len(seeds) * calls[-1] / 1000.0,
        **{f"error_{name}": error for name, (error, _) in worst.items()},
    }


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    return run_benchmark("agreement", measure, argv, description=(__doc__ or "").partition("\n")[0])


if __name__ == "__main__":
    sys.exit(main())
