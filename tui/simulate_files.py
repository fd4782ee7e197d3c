"""What a simulation leaves on disk: a folder with the scenario, the windows, what happened, and a page of plots.

`scenario.toml`, `windows.parquet` (as of a rehearsal; `hidden.parquet` has variables that no plant shows),
`packets.parquet` (with --trace), `factual.parquet` (of a counterfactual: what happened in fact),
`windows.csv` (column names of the public data set), `events.jsonl` (one line an event), `simulation.json` (what makes
it again, and the summary), `report.html`, with --figures also the plots as files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from col.errors import InputError
from tui.console import plain_json
from tui.dataset_csv import dataset_csv
from tui.figures.svg import standalone
from tui.manifest import versions
from tui.packet_file import write_packets
from tui.simulate import Simulation
from tui.simulate_page import simulation_page
from tui.simulate_summary import summary_of
from tui.window_store import PASSIVE, write_windows

__all__ = ["SIMULATIONS", "check_out", "claim_folder", "write_simulation"]

SIMULATIONS = "simulations"
"""Where simulations go inside the folder of runs."""
_FORMAT = 1


def claim_folder(out: Path | None, runs_dir: Path, name: str, now: datetime) -> Path:
    """Make the folder that a simulation is written to: the one that was asked for, or a new one.

    Raises:
        InputError: see `check_out`.
    """
    if out is None:
        stem = runs_dir / SIMULATIONS / f"{now:%Y%m%d-%H%M%S}-{name}"
        for attempt in range(1, 1000):
            path = stem if attempt == 1 else stem.with_name(f"{stem.name}-{attempt}")
            if not path.exists():
                path.mkdir(parents=True)
                return path
        raise InputError("too many simulations of this second", source=str(stem.parent))
    check_out(out)
    out.mkdir(parents=True, exist_ok=True)
    return out


def check_out(out: Path | None) -> None:
    """Raise InputError if the folder holds something already that is no simulation."""
    if out is None or not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / "simulation.json").is_file()):
        raise InputError("must be a new folder, an empty one, or that of a simulation", key="--out", value=str(out))


def write_simulation(simulation: Simulation, folder: Path, *, figures: bool = False, command: str = "") -> list[Path]:
    """Write everything and return the files."""
    scenario = simulation.scenario
    summary = {"format": _FORMAT, **summary_of(simulation), "versions": versions(), "command": command}
    page, plots = simulation_page(simulation, summary)
    files: dict[str, str] = {
        "scenario.toml": scenario.to_toml(),
        "windows.csv": dataset_csv(
            simulation.windows, scenario.topology, hidden=simulation.hidden, fixed=scenario.fixed_values
        ),
        "events.jsonl": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in event_lines(simulation)),
        "simulation.json": json.dumps(plain_json(summary), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "report.html": page,
    }
    written = [folder / "windows.parquet"]
    write_windows(written[0], simulation.windows, PASSIVE if simulation.passive else 0)
    if simulation.factual is not None:
        written.append(folder / "factual.parquet")
        write_windows(written[-1], simulation.factual, PASSIVE if simulation.passive else 0)
    if simulation.packets:
        written.append(folder / "packets.parquet")
        write_packets(written[-1], simulation.packets)
    if simulation.hidden:
        written.append(folder / "hidden.parquet")
        write_windows(written[-1], replace(simulation.windows, controls={}, metrics=dict(simulation.hidden)), PASSIVE)
    if figures:
        shutil.rmtree(folder / "figures", ignore_errors=True)
        (folder / "figures").mkdir()
        files |= {f"figures/{name}.svg": standalone(svg) for name, svg in plots}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def event_lines(simulation: Simulation) -> list[Mapping[str, Any]]:
    """Return every event as it is written, times on the clock of the table of windows."""
    return [
        {"run": run, "at_s": round(at_s, 3), "kind": event.kind, "subject": event.subject, **plain_json(event.values)}
        for run, at_s, event in simulation.events
    ]
