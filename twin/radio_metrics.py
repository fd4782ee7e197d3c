"""SNR, CQI, MCS and block error rate of a window's cells.

Of cells with an air interface they are means over what happened; without one nothing happens to them: the SNR is what
the scenario states, MCS and CQI are what it supports, and no block fails by radio.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from twin.radio import cqi_at_snr, mcs_at_snr
from twin.scenario_parts import Radio
from twin.topology import Topology

__all__ = ["radio_metrics"]

FloatArray = NDArray[np.float64]

# metric: sum over count, both counters of the data plane
_MEANS = {
    "snr": ("snr_sum_ul", "ue_ms"),
    "sdl": ("snr_sum_dl", "ue_ms"),
    "cqi": ("cqi_sum", "ue_ms"),
    "mcs_dl": ("mcs_sum_dl", "tb_new_dl"),
    "mcs_ul": ("mcs_sum_ul", "tb_new_ul"),
    "bler_dl": ("tb_ko_dl", "tb_ue_dl"),
    "bler_ul": ("tb_ko_ul", "tb_ue_ul"),
}


def radio_metrics(
    counters: Mapping[str, FloatArray], topology: Topology, radio: Radio, *, air: bool
) -> dict[str, float]:
    """Return `snr_*` and `sdl_*` [dB] up and down, `cqi_*`, `mcs_*`, `bler_*` (share of transmissions that failed).

    `air`: the cells have air interfaces; what did not happen in one (no block sent) is missing (NaN) then.
    """
    if not air:
        dl, ul, table = radio.snr_dl_db, radio.snr_ul_db, radio.mcs_table
        constant = {
            "snr": ul,
            "sdl": dl,
            "cqi": float(cqi_at_snr(dl, table)),
            "mcs_dl": float(mcs_at_snr(dl, table)),
            "mcs_ul": float(mcs_at_snr(ul, table)),
            "bler_dl": 0.0,
            "bler_ul": 0.0,
        }
        return {f"{stem}_{gnb.cell}": value for stem, value in constant.items() for gnb in topology.gnbs}
    out: dict[str, float] = {}
    for stem, (total, count) in _MEANS.items():
        for row, gnb in enumerate(topology.gnbs):
            n = float(counters[count][row])
            out[f"{stem}_{gnb.cell}"] = float(counters[total][row]) / n if n > 0 else float("nan")
    return out
