"""The radio side of the data plane: SNR of the UEs, bandwidth, and variables that are held against their causes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["HELD_IN_RADIO", "RADIO_COUNTERS", "PlaneRadio"]

HELD_IN_RADIO = ("snr", "sdl", "mcs_ul", "mcs_dl", "bler_ul", "bler_dl", "prb_ul", "prb_dl")
"""What `hold` takes: SNR up and down [dB], MCS index, block error rate [1], PRBs granted [% of the cell's largest]."""

RADIO_COUNTERS = ("snr_sum_dl", "snr_sum_ul", "cqi_sum", "ue_ms")
"""Counters of cells with an air interface besides the kernel's own (`COUNTERS`): sums over ms and attached UEs of the
SNR [dB] and the CQI, and the number of summands. Divided by the last: `sdl`, `snr` and `cqi` of a window.
The kernel's are: `tb_ue_*` transmissions to or from a UE, `tb_ko_*` those of them that failed (their ratio: `bler_*`),
`tb_new_*` first transmissions and `mcs_sum_*` the sum of their MCS (the ratio: `mcs_*`), `harq_lost_*` blocks that HARQ
gave up on, `rlf` link failures."""


class PlaneRadio:
    """What `DataPlane` can do with the radio of its cells."""

    def set_snr(self, way: int, values: NDArray[np.float64]) -> None:
        """Set the SNR [dB] of every UE slot from now on, down (0) or up (1), shape (g, slots) or broadcast to it.

        It takes effect with the next slot. With a channel in place this is an error: the channel sets it.

        Raises:
            InputError: a cell has no air interface, or a value is not finite.
        """
        raise NotImplementedError

    def set_gains(self, cell: int, *, tx_db: float | None = None, rx_db: float | None = None) -> None:
        """Set the gNB's gains from now on; without a channel they do nothing.

        Raises:
            InputError: a gain is not finite.
        """
        raise NotImplementedError

    def set_bandwidth(self, cell: int, n_prb: int) -> None:
        """Set the carrier's width from the next slot on; at most 275 PRBs.

        Largest grants become `n_prb`, uplink less control (`pucch_prb`), but never more than `cap_prb_*` where those
        were set below the cell's own width. A PRB carries what it did. Demand: a granted PRB costs what it did, the
        share `base_prb_share` of a slot's base demand (sampling, FFT) is in proportion to the width.
        Blocks to be repeated that are wider now take the whole carrier.

        Raises:
            InputError: not a width that there is.
        """
        raise NotImplementedError

    def hold(self, cell: int, variable: str, value: float | None) -> None:
        """Hold a variable of a cell at a value against its causes from the next slot on; None lets it go.

        `snr`, `sdl`: the SNR of every UE, up or down; the CQI follows. `mcs_*`: the MCS of every block of new data.
        `bler_*`: the probability that a transmission fails, repetitions included. `prb_*`: PRBs granted in every slot,
        as a share of the largest grant: floor((n + 1) x) - floor(n x) PRBs in slot n where x is their mean number; what
        the UEs do not need is padding, which costs what data cost at the table's highest MCS, and what they need beyond
        waits. Repetitions after a stall take that many PRBs too.

        Raises:
            InputError: no such variable, out of bounds, or (all but `prb_*`) the cell has no air interface.
        """
        raise NotImplementedError
