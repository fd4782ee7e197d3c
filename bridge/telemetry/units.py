"""From the unit that a foreign column has to the one that our metric has."""

from __future__ import annotations

from collections.abc import Mapping

from col.errors import InputError

__all__ = ["UNIT_OF", "stem_of", "unit_factor"]

_KINDS: tuple[Mapping[str, float], ...] = (
    {"bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9, "B/s": 8.0},
    {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    {"1": 1.0, "%": 0.01},
    {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "MiB": 2.0**20},
    {"W": 1.0, "mW": 1e-3, "kW": 1e3},
    {"core": 1.0, "% of a core": 0.01},
    {"dB": 1.0},
    {"1/s": 1.0},
)

UNIT_OF: Mapping[str, str] = {
    "bs_dl": "kB",
    "bsr": "kB",
    "cpuu_cu": "core",
    "cpuu_du": "core",
    "cqi": "1",
    "dly_cu": "ms",
    "dly_dl": "ms",
    "dly_du": "ms",
    "dly_ul": "ms",
    "jit_dl": "ms",
    "jit_ul": "ms",
    "late_du": "1",
    "load_dl": "Mbit/s",
    "load_ul": "Mbit/s",
    "loss_dl": "1",
    "loss_ul": "1",
    "mcs_dl": "1",
    "mcs_ul": "1",
    "memu_cu": "MiB",
    "memu_du": "MiB",
    "nok_dl": "1",
    "nok_ul": "1",
    "nue": "1",
    "pow": "W",
    "prb_dl": "%",
    "prb_ul": "%",
    "snr_ul": "dB",
    "stall_cu": "1",
    "stall_du": "1",
    "thp_dl": "Mbit/s",
    "thp_ul": "Mbit/s",
}
"""The unit of a metric by its name without the number of its gNB, CU or host."""


def stem_of(metric: str) -> str:
    """Return a metric's name without the number at its end: `thp_dl` of `thp_dl_3`."""
    return metric.rpartition("_")[0]


def unit_factor(unit: str, ours: str) -> float:
    """Return what a value in `unit` is to be multiplied by to be in `ours`.

    Raises:
        InputError: one does not convert into the other.
    """
    for kind in _KINDS:
        if unit in kind and ours in kind:
            return kind[unit] / kind[ours]
    fitting = next((kind for kind in _KINDS if ours in kind), {ours: 1.0})
    raise InputError(f"does not convert into {ours}: must be one of {', '.join(fitting)}", key="unit", value=unit)
