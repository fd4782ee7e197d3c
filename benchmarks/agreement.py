"""How near the compiled data plane comes to the exact packet-by-packet reference: same parameters, same draws.

Each case, one cell or some that share a CU, runs in both with the same calls at the same times. Compared are mean and
99th percentile of the delay, throughput, CPU use, stalls and late slots after a second of warm-up. Shares of time below
1 % count with their absolute error against 1 % (a relative error of next to nothing says nothing).
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from benchmarks.common import Settings, Yardstick, run_benchmark
from benchmarks.packets.agreement_cases import CASES, MECHANISMS, RADIO, Case
from twin.dataplane import Counters, DataPlane, PacketLog
from twin.reference import CellRun, draw, simulate_ran
from twin.streams import Streams

__all__ = [
    "CASES",
    "Case",
    "Pair",
    "figures",
    "relative_error",
    "run_both",
    "run_cells",
    "run_reference",
    "run_twin",
    "streams",
]

SHARES = frozenset({"stall_du", "stall_cu", "late"})
LOG_PACKETS = 100_000
ALL = {**CASES, **MECHANISMS, **RADIO}


@dataclass(frozen=True, slots=True)
class Pair:
    """What the two models say of one cell of a case: counters and packets of the twin, the reference's whole record.

    `calls` are the slots of the twin's successive calls; the counters are those of the last one.
    """

    calls: tuple[int, ...]
    counters: Counters
    packets: PacketLog
    reference: CellRun
    cell: int = 0
    by_event: bool = False
    """Whether the data plane moves this cell event by event: in lock-step, or with a CU that it shares."""
    has_cu: bool = True
    """Whether the CU is booked with this cell."""


STREAMS = ("slot", "slow_du", "slow_cu", "phase", "links", "air")


def streams(seed: int) -> dict[str, np.random.Generator]:
    """Return fresh generators for every stream of the data plane."""
    return {name: Streams(seed, 0).generator(name) for name in STREAMS}


def run_twin(case: Case, seed: int, calls: tuple[int, ...]) -> tuple[Counters, list[PacketLog]]:
    """Run a case in the compiled data plane; the counters are those of the last call, the packets those of each cell.

    Where a step falls into a call, that is made in two.
    """
    plane = DataPlane(case.cells, streams(seed), log_packets=LOG_PACKETS // len(case.cells), cu_of=case.cu_of)
    steps = deque(case.all_steps)
    counters = plane.take_counters()
    for end in accumulate(calls):
        plane.take_counters()
        while steps and steps[0].time_ms < end:
            plane.advance(steps[0].time_ms - plane.now_ms)
            steps.popleft().act(plane)
        plane.advance(end - plane.now_ms)
        counters = plane.take_counters()
    return counters, [plane.packet_log(cell) for cell in range(len(case.cells))]


def run_reference(case: Case, seed: int, calls: tuple[int, ...]) -> list[CellRun]:
    """Run a case in the reference, with the draws that the data plane takes."""
    draws = draw(case.cells, streams(seed), sum(calls))
    return simulate_ran(case.cells, draws, cu_of=case.cu_of, steps=case.all_steps)


def run_cells(case: Case, seed: int, calls: tuple[int, ...]) -> list[Pair]:
    """Run a case in both models and return each cell's outcome."""
    counters, packets = run_twin(case, seed, calls)
    runs = run_reference(case, seed, calls)
    shared = [case.cu_of.count(cu) > 1 for cu in case.cu_of]
    return [
        Pair(
            calls,
            counters,
            log,
            run,
            cell,
            by_event=shared[cell] or case.cells[cell].lock_step is not None,
            has_cu=case.cu_of.index(case.cu_of[cell]) == cell,
        )
        for cell, (log, run) in enumerate(zip(packets, runs, strict=True))
    ]


def run_both(case: Case, seed: int, calls: tuple[int, ...]) -> Pair:
    """Run a case of one cell in both models."""
    (pair,) = run_cells(case, seed, calls)
    return pair


def figures(pair: Pair) -> dict[str, tuple[float, float]]:
    """Return (twin, reference) by figure, over the last call; delays in ms, rates in packets, else shares of the time.

    A slot's CPU time and stall count where the slot is due, a CU job's where it has arrived before a slot starts: that
    is how the data plane, which works whole slots, books them. Cells that it moves event by event are booked when
    things begin. Full buffers pass the DU only.
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
    if pair.by_event:
        slots = [slot for slot in run.slots if first <= slot.start_ms < end]
        jobs = [job for job in run.cu_jobs if first <= job.arrived_ms < end]
    else:
        slots = [slot for slot in run.slots if slot.number >= first]
        seen = [slot.number if slot.outcome in {"skipped", "down"} else slot.start_ms for slot in run.slots]
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
    full = any(slot.full_buffer_bits[0] for slot in slots)
    if full or not pair.has_cu:
        del pairs["cpu_cu"], pairs["stall_cu"]
    if full:
        pairs["bits_dl"] = "delivered_bits_dl", sum(slot.full_buffer_bits[0] for slot in slots)
        pairs["bits_ul"] = "delivered_bits_ul", sum(slot.full_buffer_bits[1] for slot in slots)
    out |= {name: (float(counters[column][pair.cell]) / span, value / span) for name, (column, value) in pairs.items()}
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
    for name, case in (ALL).items():
        pairs = [figures(pair) for seed in seeds for pair in run_cells(case, seed, calls)]
        worst[name] = max(
            (float(relative_error(figure, *both)), figure) for pair in pairs for figure, both in pair.items()
        )
    error, figure, name = max((*worst[name], name) for name in worst)
    return {
        "worst_relative_error": error,
        "worst_in": f"{figure} of {name}",
        "worst_without_overload": max(worst[name][0] for name, case in (ALL).items() if not case.overload),
        "simulated_s_per_case": len(seeds) * calls[-1] / 1000.0,
        **{f"error_{name}": error for name, (error, _) in worst.items()},
    }


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    return run_benchmark("agreement", measure, argv, description=(__doc__ or "").partition("\n")[0])


if __name__ == "__main__":
    sys.exit(main())
