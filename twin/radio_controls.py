"""What a scenario's radio tables and radio controls do to the data plane: channel, bandwidth, gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from twin.channel import ChannelParameters
from twin.channel_state import Channel
from twin.mechanism import Mechanism
from twin.streams import Streams

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["RADIO_KINDS", "RadioControls"]

RADIO_KINDS = ("bw", "gtx", "grx")


class RadioControls(Mechanism):
    """Puts the channel in place and the controls of the radio in force.

    A virtual radio applies no gain (`twin.lock_step`): there gains count only in a channel, which a channel emulator
    between gNB and UE stands for.
    """

    def __init__(self, channel: ChannelParameters | None, streams: Streams, ran: RanState) -> None:
        self._ran = ran
        if channel is None:
            return
        rows = {gnb.cell: row for row, gnb in enumerate(ran.topology.gnbs)}
        ran.plane.set_channel(
            Channel(
                channel,
                streams,
                cells=len(rows),
                slots=max(cell.ue_slots or cell.n_ue for cell in ran.plane.cells),
                pairs=[(rows[a], rows[b]) for a, b in (pair.cells for pair in ran.topology.pairs)],
            )
        )

    def apply(self, values: Mapping[str, float]) -> None:
        """Set bandwidth [PRB] and gains [dB] of the cells that are named."""
        plane = self._ran.plane
        for gnb in self._ran.topology.gnbs:
            row = self._ran.row(gnb.cell)
            if (width := values.get(f"bw_{gnb.cell}")) is not None:
                plane.set_bandwidth(row, round(width))
            tx_db, rx_db = values.get(f"gtx_{gnb.cell}"), values.get(f"grx_{gnb.cell}")
            if tx_db is not None or rx_db is not None:
                plane.set_gains(row, tx_db=tx_db, rx_db=rx_db)
