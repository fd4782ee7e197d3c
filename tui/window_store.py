"""Windows as Parquet: a part file for each chunk of a run, one table when the run is done.

A table has the columns `sequence`, `start_s`, `end_s`, `run`, `trial` (-1 in the passive phase), then one column for
each control and metric; which is which, and how each metric came about, is in the schema's metadata (key `rantwin`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from col.errors import InputError
from col.plant import Provenance, Windows, concatenate_windows

__all__ = ["PASSIVE", "fsync_folder", "merge_parts", "read_windows", "write_windows"]

PASSIVE = -1
"""The `trial` of a window in which nothing was changed."""

_METADATA_KEY = b"rantwin"
_FIXED = ("sequence", "start_s", "end_s", "run", "trial")


def write_windows(path: Path, windows: Windows, trial: int | NDArray[np.int64]) -> None:
    """Write windows so that after a crash the file is either whole or absent; `trial` is one number or one a window."""
    clash = sorted((set(windows.controls) | set(windows.metrics)) & set(_FIXED))
    if clash:
        raise InputError(
            f"this name is taken by the table itself ({', '.join(_FIXED)})", source="windows", key=clash[0]
        )
    columns: dict[str, NDArray[np.generic]] = {
        "sequence": np.asarray(windows.sequence, dtype=np.int64),
        "start_s": windows.start_s,
        "end_s": windows.end_s,
        "run": np.asarray(windows.run, dtype=np.int64),
        "trial": np.broadcast_to(np.asarray(trial, dtype=np.int64), (len(windows),)),
        **windows.controls,
        **windows.metrics,
    }
    facts = {
        "controls": list(windows.controls),
        "metrics": list(windows.metrics),
        "provenance": {name: str(source) for name, source in windows.provenance.items()},
    }
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(facts).encode()})
    partial = path.with_name(path.name + ".tmp")
    with partial.open("wb") as sink:
        pq.write_table(table, sink, compression="zstd")
        sink.flush()
        os.fsync(sink.fileno())
    partial.replace(path)
    fsync_folder(path.parent)


def read_windows(path: Path) -> tuple[Windows, NDArray[np.int64]]:
    """Return the windows of a file and the trial of each, shape (n,); InputError if not one of ours or cut off."""
    try:
        with pq.ParquetFile(path) as source:  # costs a third less than read_table, which asks a whole data set
            table = source.read(use_threads=False)
        facts = json.loads((table.schema.metadata or {})[_METADATA_KEY])
        columns = {name: table[name].to_numpy() for name in (*_FIXED, *facts["controls"], *facts["metrics"])}
    except KeyError as error:
        raise InputError(f"not a table of windows: {error} is missing", source=str(path)) from error
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"not a whole Parquet file ({error})", source=str(path)) from error
    windows = Windows(
        sequence=columns["sequence"],
        start_s=columns["start_s"],
        end_s=columns["end_s"],
        run=columns["run"],
        controls={name: columns[name] for name in facts["controls"]},
        metrics={name: columns[name] for name in facts["metrics"]},
        provenance={name: Provenance(source) for name, source in facts["provenance"].items()},
    )
    return windows, columns["trial"]


def merge_parts(paths: Sequence[Path]) -> tuple[Windows, NDArray[np.int64]] | None:
    """Return the windows of all part files as one table in order of sequence number, None if there are none."""
    parts = [read_windows(path) for path in paths]
    if not parts:
        return None
    parts.sort(key=lambda part: int(part[0].sequence[0]) if len(part[0]) else -1)
    return concatenate_windows([w for w, _ in parts]), np.concatenate([t for _, t in parts])


def fsync_folder(folder: Path) -> None:
    """Make a rename in this folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
