"""Packets of a simulation as Parquet: one row each, with the times at which it was sent and delivered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twin.dataplane import PacketLog

__all__ = ["write_packets"]


def write_packets(path: Path, packets: Sequence[tuple[int, float, int, PacketLog]]) -> None:
    """Write (run, start of the run [s], cell, packets) in the columns run, cell, way, sent_s, delivered_s.

    Times are on the clock of the table of windows; packets that never arrived are not among them.
    """
    schema = pa.schema(
        [
            ("run", pa.int64()), ("cell", pa.int64()), ("way", pa.string()), ("sent_s", pa.float64()),
            ("delivered_s", pa.float64()),
        ]
    )  # fmt: skip
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for run, start_s, cell, log in packets:
            for way, times_ms in (("dl", log.downlink), ("ul", log.uplink)):
                n = len(times_ms)
                columns = [
                    pa.array(np.full(n, run)),
                    pa.array(np.full(n, cell)),
                    pa.array([way] * n),
                    *(pa.array(start_s + times_ms[:, k] / 1000.0) for k in (0, 1)),
                ]
                writer.write_table(pa.table(columns, schema=schema))
