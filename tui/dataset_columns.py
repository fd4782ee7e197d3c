"""Columns of the public 5G data set of Hammar et al. and the variables of the twin that correspond to them.

The data set (huggingface.co, kimhammar/5G_measurements, columns as its card lists them, November 2026; the card breaks
off after `DU1_mac_layer_cpu`, the memory, power and signal columns of a DU are named here as those of a CU are) has one
row a window of 15 s, and for each DU and CU its limits, its use and, for a DU, its cell. What a column's name says of
its unit is not always what is in it:

* `*_scheduling_processing_latency_ms`: 3.75 to 31.8. The gNB reports `average_decision_latency` in microseconds,
  and a decision of 3.75 ms would not leave the slot of 1 ms alive: taken as microseconds, and written as such.
* `*_power_consumption_watts`: up to 4.6e12. The gNB divides the difference of an energy counter by the time, and takes
  the counter for one of 64 bits when it wraps: 2^64 uJ in 4 s is 4.6e12 W. Values above `MOST_WATTS` are not measured.
  It is the package power of the host, the same for every container on it.
* `*_memory_limit`: GB. `*_cpu_limit`: cores. `*_load_*`: Mbit/s. `*_bandwidth`: MHz, 25 PRBs (15 kHz) being 5 MHz.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twin.topology import Topology

__all__ = ["MOST_WATTS", "PERCENT_COLUMNS", "Column", "columns_of"]

MOST_WATTS = 1000.0
"""Package power above this is a wrapped counter."""

_MHZ_PER_PRB = 0.2
_DU = (
    ("cpu_du", "cpu_limit", 1.0),
    ("cpuu_du", "cpu_usage_percent", 100.0),
    ("mem_du", "memory_limit", 1.0),
    ("memu_du", "memory_usage_mb", 1.0),
    ("bw", "bandwidth", _MHZ_PER_PRB),
    ("gtx", "signal_strength", 1.0),
    ("load_dl", "load_downlink", 1.0),
    ("load_ul", "load_uplink", 1.0),
    ("bler_dl", "cell_block_error_rate_percent_downlink", 100.0),
    ("bler_ul", "cell_block_error_rate_percent_uplink", 100.0),
    ("mcs_dl", "cell_modulation_and_coding_scheme_downlink", 1.0),
    ("mcs_ul", "cell_modulation_and_coding_scheme_uplink", 1.0),
    ("gul", "cell_uplink_bitrate_bps", 1e6),
    ("dly_du", "cell_scheduling_processing_latency_ms", 1.0),
    ("jit_dl", "e2e_downlink_jitter_ms", 1.0),
    ("jit_ul", "e2e_uplink_jitter_ms", 1.0),
    ("thp_dl", "e2e_downlink_throughput_bps", 1e6),
    ("thp_ul", "e2e_uplink_throughput_bps", 1e6),
)
"""Variable, column after `DU1_`, column value per unit of the variable."""
_CU = (
    ("cpu_cu", "cpu_limit", 1.0),
    ("cpuu_cu", "cpu_usage_percent", 100.0),
    ("mem_cu", "memory_limit", 1.0),
    ("memu_cu", "memory_usage_mb", 1.0),
)
_POWER = "power_consumption_watts"
PERCENT_COLUMNS = {"dl": "e2e_downlink_lost_percent", "ul": "e2e_uplink_lost_percent"}
"""Share of what was offered in the window that did not arrive in it; follows from load and throughput."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the data set: the variable in it, and its value per unit of the variable."""

    name: str
    variable: str
    factor: float


def columns_of(topology: Topology) -> Mapping[str, tuple[Column, ...]]:
    """Return the columns in which each variable of such a network stands; CUs are numbered in their order."""
    found: dict[str, list[Column]] = {}

    def add(column: str, variable: str, factor: float) -> None:
        found.setdefault(variable, []).append(Column(column, variable, factor))

    for gnb in topology.gnbs:
        for stem, column, factor in _DU:
            add(f"DU{gnb.cell}_{column}", f"{stem}_{gnb.cell}", factor)
        add(f"DU{gnb.cell}_{_POWER}", f"pow_{gnb.host}", 1.0)
    host_of = {gnb.cu: gnb.host for gnb in topology.gnbs}
    for number, cu in enumerate(topology.cus, start=1):
        for stem, column, factor in _CU:
            add(f"CU{number}_{column}", f"{stem}_{cu}", factor)
        add(f"CU{number}_{_POWER}", f"pow_{host_of[cu]}", 1.0)
    return {variable: tuple(columns) for variable, columns in found.items()}
