"""From the data plane's counters to the metrics of one window: the one place where each of them is computed.

What cannot be measured is missing (NaN): a cell that carried nothing has no delay, and no capacity can be read off it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from twin.topology import Topology

__all__ = ["window_metrics"]

FloatArray = NDArray[np.float64]
_BITS_PER_KB = 8000.0
_STOPS_CUS = frozenset({"memory", "faults"})
_SATURATED = 0.97
"""Busy share of the CU's budget above which what is lost is taken as lost there."""


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    quotient = np.full(part.shape, np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient


def window_metrics(
    counters: Mapping[str, FloatArray],
    topology: Topology,
    packet_bits: float,
    *,
    slot_ms: float = 1.0,
    up: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return the metrics of cells and CUs by name, for the time since the counters were last read.

    What a stage could carry (`cap_*`) is what it carried itself over the share in which it was busy: packets that the
    other stage loses still count, or a starved CU would look like a starved DU and the other way round. A stage that
    was down for a while (`up` has the share of time that each process was up, `up_du_1`, 1 where it is missing) could
    carry what it did carry, and no more.
    Host metrics are not among them: power needs a meter that remembers its drift.
    """
    elapsed_ms = counters["slots"] * slot_ms
    # bits / ms = kbit/s
    thp_dl = counters["delivered_bits_dl"] / elapsed_ms / 1000.0
    thp_ul = counters["delivered_bits_ul"] / elapsed_ms / 1000.0
    counted = not topology.mechanisms.isdisjoint(_STOPS_CUS) or len(topology.cus) < len(topology.gnbs)
    cu_drops = _dropped_by_cu(counters, counted=counted)
    du_ul = thp_ul + packet_bits * cu_drops["ul"] / elapsed_ms / 1000.0
    busy_dl = _ratio(counters["prb_used_dl"], counters["prb_available_dl"])
    busy_ul = _ratio(counters["prb_used_ul"], counters["prb_available_ul"])
    up = up or {}
    whole = np.array([up.get(f"up_du_{gnb.cell}", 1.0) == 1.0 for gnb in topology.gnbs])
    cells: dict[str, FloatArray] = {
        "load_dl": counters["offered_bits_dl"] / elapsed_ms / 1000.0,
        "load_ul": counters["offered_bits_ul"] / elapsed_ms / 1000.0,
        "prb_dl": 100.0 * busy_dl,
        "prb_ul": 100.0 * busy_ul,
        "cpuu_du": counters["cpu_ms_du"] / elapsed_ms,
        "stall_du": counters["stall_ms_du"] / elapsed_ms,
        "late_du": (counters["slots_late"] + counters["slots_skipped"]) / counters["slots"],
        "nok_dl": _ratio(counters["tb_nok_dl"], counters["tb_ok_dl"] + counters["tb_nok_dl"]),
        "nok_ul": _ratio(counters["tb_nok_ul"], counters["tb_ok_ul"] + counters["tb_nok_ul"]),
        "bs_dl": counters["backlog_bits_dl"] / _BITS_PER_KB,
        "bsr": counters["backlog_bits_ul"] / _BITS_PER_KB,
        "cap_du_dl": np.where(whole, _carried(thp_dl, busy_dl), thp_dl),
        "cap_du_ul": np.where(whole, _carried(du_ul, busy_ul), du_ul),
        "gul": du_ul,
        "thp_dl": thp_dl,
        "thp_ul": thp_ul,
        "dly_dl": _ratio(counters["delay_sum_ms_dl"], counters["packets_dl"]),
        "dly_ul": _ratio(counters["delay_sum_ms_ul"], counters["packets_ul"]),
        "jit_ul": _jitter_ul(counters, mean="ues" in topology.mechanisms),
    }
    metrics = {
        f"{stem}_{gnb.cell}": float(values[row])
        for stem, values in cells.items()
        for row, gnb in enumerate(topology.gnbs)
    }
    into_cu_dl = (counters["offered_bits_dl"] - packet_bits * cu_drops["dl"]) / elapsed_ms / 1000.0
    return metrics | _cu_metrics(counters, topology, elapsed_ms, into_cu_dl + thp_ul, up)


def _jitter_ul(counters: Mapping[str, FloatArray], *, mean: bool) -> FloatArray:
    """Return the uplink's interarrival jitter [ms], missing where no packet came.

    It forgets within some 50 packets, a fraction of a second: where UEs hand over, what it is when the window ends
    tells nothing of a handover in it, so that there it is its mean over the window's packets.
    """
    if mean:
        return _ratio(counters["jitter_sum_ms_ul"], counters["packets_ul"])
    return np.where(counters["packets_ul"] > 0, counters["jitter_ms_ul"], np.nan)


def _dropped_by_cu(counters: Mapping[str, FloatArray], *, counted: bool) -> dict[str, FloatArray]:
    """Return the packets that the CU dropped, by direction, shapes (g,).

    The CU drops only what would wait longer than its buffer allows, so only while it has no CPU time to spare: what is
    lost then is taken as lost there, the rest at the queues of the DU. Where a CU can be down or serves several cells,
    what it dropped is `counted`.
    """
    if counted:
        return {way: counters[f"dropped_cu_{way}"] for way in ("dl", "ul")}
    saturated = counters["cu_packet_ms"] > _SATURATED * counters["cu_budget_ms"]
    return {way: np.where(saturated, counters[f"dropped_packets_{way}"], 0.0) for way in ("dl", "ul")}


def _carried(rate_mbps: FloatArray, share: FloatArray) -> FloatArray:
    """Return the rate that a stage would reach if it were wholly busy; missing where nothing was carried."""
    return np.where(rate_mbps > 0, _ratio(rate_mbps, share), np.nan)


def _cu_metrics(
    counters: Mapping[str, FloatArray],
    topology: Topology,
    elapsed_ms: FloatArray,
    rate_mbps: FloatArray,
    up: Mapping[str, float],
) -> dict[str, float]:
    """Return the metrics of every CU; a CU's counters are kept in the rows of the cells that it serves."""
    row_of = {gnb.cell: row for row, gnb in enumerate(topology.gnbs)}
    metrics: dict[str, float] = {}
    for cu in topology.cus:
        rows = [row_of[cell] for cell in topology.cells_of_cu(cu)]
        busy = _ratio(
            counters["cu_packet_ms"][rows].sum(keepdims=True), counters["cu_budget_ms"][rows].sum(keepdims=True)
        )
        metrics[f"cpuu_cu_{cu}"] = float(counters["cpu_ms_cu"][rows].sum() / elapsed_ms[rows[0]])
        metrics[f"stall_cu_{cu}"] = float(counters["stall_ms_cu"][rows].sum() / elapsed_ms[rows[0]])
        # A CU that is down drops what was offered before the window too.
        rate = np.maximum(rate_mbps[rows], 0.0).sum(keepdims=True)
        metrics[f"cap_cu_{cu}"] = float((_carried(rate, busy) if up.get(f"up_cu_{cu}", 1.0) == 1.0 else rate)[0])
    return metrics
