"""What is shown as a file: rows and their windows as CSV, a state or the journal as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.testbed import JournalEntry
from tui.console import plain_json
from tui.plan_view import promotion_json
from tui.watch.journal_view import matching
from tui.watch.state import PlantView, Show, WatchState

__all__ = ["FORMATS", "csv_text", "file_name", "json_text", "write_new"]

FORMATS = ("csv", "json", "svg")


def csv_text(state: WatchState, view: str) -> str:
    """Return the rows shown, one line a value: of journal, promotions and region their entries and trials."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if view == "journal":
        writer.writerow(["number", "time", "promotion_id", "who", "actor", "kind", "before", "after", "details"])
        for entry in _entries(state):
            writer.writerow(
                [entry.number, _time(entry.wall_s), entry.promotion_id, entry.who, entry.actor, entry.kind,
                 entry.state_before, entry.state_after, json.dumps(plain_json(entry.details), ensure_ascii=False)]
            )  # fmt: skip
    elif view == "promotions":
        writer.writerow(["promotion_id", "time", "who", "state", "verdict", "robustness", "cause"])
        for p in state.promotions.promotions:
            writer.writerow(
                [p.promotion_id, _time(p.created_wall_s), p.who.name, str(p.state), "" if p.verdict is None else
                 str(p.verdict), "" if p.robustness is None else repr(p.robustness), p.cause_text]
            )  # fmt: skip
    elif view == "region":
        names = [control.name for control in state.region.controls]
        writer.writerow(["trial", *names, "outcome", "verdict", "robustness", "limiting"])
        for trial in state.region.trials:
            values = [trial.values.get(name) for name in names]
            writer.writerow([trial.number, *values, trial.outcome, trial.verdict, trial.robustness, trial.limiting])
    else:
        writer.writerow(["plant", "emulated", "group", "place", "row", "unit", "window", "value"])
        for plant in _plants(state):
            for row in state.shown_rows:
                for number, value in zip(plant.sequence, plant.values.get(row.key, ()), strict=False):
                    shown = "" if math.isnan(value) else repr(float(value))
                    writer.writerow(
                        [plant.name, plant.emulated, str(row.group), row.place, row.key, row.unit, int(number), shown]
                    )
    return out.getvalue()


def json_text(state: WatchState, view: str) -> str:
    """Return the view's content as one JSON document."""
    content: dict[str, Any] = {"view": view, "at": _time(state.now_wall_s), "emulated": state.testbed.emulated}
    if view == "journal":
        content["entries"] = [asdict(entry) for entry in _entries(state)]
    elif view == "promotions":
        content["steps"] = [asdict(step) for step in state.promotions.steps]
        content["promotions"] = [promotion_json(promotion) for promotion in state.promotions.promotions]
    elif view == "region":
        region = state.region
        content |= {
            "x": region.x, "y": region.y, "alpha": region.alpha, "x_values": region.x_values,
            "y_values": region.y_values, "lower_bound": region.lower, "held": region.held,
            "current": region.current, "confirmed": region.confirmed, "cheapest": region.cheapest,
            "trials": [asdict(trial) for trial in region.trials],
        }  # fmt: skip
    else:
        content["rows"] = [asdict(row) for row in state.shown_rows]
        content["plants"] = {plant.name: _plant(plant, state) for plant in _plants(state)}
        content["gap"] = {key: asdict(row) for key, row in state.gap.rows.items()}
    return json.dumps(plain_json(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _entries(state: WatchState) -> list[JournalEntry]:
    """Return what the filter leaves of the journal, oldest first."""
    return matching(state.promotions.journal, state.filter)[::-1]


def _plant(plant: PlantView, state: WatchState) -> dict[str, Any]:
    return {
        "title": plant.title,
        "emulated": plant.emulated,
        "connection": str(plant.connection),
        "windows": plant.sequence,
        "holes": plant.holes,
        "in_force": plant.in_force,
        "values": {row.key: plant.values[row.key] for row in state.shown_rows if row.key in plant.values},
    }


def _plants(state: WatchState) -> Iterator[PlantView]:
    if state.show is not Show.TESTBED:
        yield state.twin
    if state.show is not Show.TWIN:
        yield state.testbed


def file_name(view: str, kind: str, wall_s: float) -> str:
    """Return the name of an export: what it shows and when, so that none is written over."""
    return f"rantwin-{view}-{datetime.fromtimestamp(wall_s, UTC):%Y%m%dT%H%M%SZ}.{kind}"


def write_new(folder: Path, name: str, text: str) -> Path:
    """Write a file that was not there before and return its path."""
    stem, _, kind = name.rpartition(".")
    for number in range(1, 1000):
        path = folder / (name if number == 1 else f"{stem}-{number}.{kind}")
        try:
            with path.open("x", encoding="utf-8") as sink:
                sink.write(text)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(str(folder / name))


def _time(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")
