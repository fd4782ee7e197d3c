"""`rantwin calibrate DATA`: recordings of a real gNB in, a calibration of the twin and how far to trust it out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from col.errors import InputError
from tui.calibration_view import REPETITION, calibration_view
from tui.console import plain_json
from tui.figures.calibration import calibration_panels
from tui.figures.svg import standalone
from tui.progress import Progress, Status
from twin.calibration import calibrate_recordings
from twin.leave_out import leave_settings_out, repetition_floor, summarise
from twin.recordings import load_recordings

__all__ = ["CalibrationRequest", "calibrate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRequest:
    """What the user asked for.

    `leave_out` 1 leaves every setting out in turn, n every n-th, 0 none; `evaluations` bounds each fit.
    """

    data: Path
    out: Path
    figures: Path | None = None
    leave_out: int = 0
    evaluations: int = 600
    workers: int = 2


def calibrate(request: CalibrationRequest, progress: Progress) -> dict[str, Any]:
    """Fit, say how far off, write the calibration; return the result for machines.

    Raises:
        InputError: the recordings cannot be used; nothing is written then.
    """
    if request.out.suffix != ".json":
        raise InputError("must end in .json", key="--out", value=str(request.out))
    recordings = load_recordings(request.data)
    status = Status(title=f"calibrate {request.data}", steps_name="evaluations", steps_total=request.evaluations)
    with progress:
        progress.update(status, f"read {len(recordings.settings)} settings: {recordings.about.stack}")
        for note in recordings.notes:
            status.notes.append(note)
            progress.update(status, f"note: {note}")
        errors: dict[str, Mapping[str, float]] = {REPETITION: repetition_floor(recordings.settings)}
        if request.leave_out:
            status.doing = "leaves settings out in turn, fits the rest, predicts them"

            def left_out(done: int, total: int) -> None:
                status.steps_name, status.steps_done, status.steps_total = "settings left out", done, total
                progress.update(status, f"left out: {done} of {total}")

            rows = leave_settings_out(
                recordings.settings,
                evaluations=request.evaluations,
                workers=request.workers,
                every=request.leave_out,
                progress=left_out,
            )
            errors |= summarise(rows)
        status.doing = "fits the cost of a slot, then what becomes of late ones"

        def fitting(evaluations: int, loss: float) -> None:
            status.steps_name, status.steps_done, status.steps_total = "evaluations", evaluations, request.evaluations
            progress.update(
                status, f"fit: {evaluations} evaluations, loss {loss:.4f}" if evaluations % 100 == 0 else ""
            )

        calibration = calibrate_recordings(
            recordings,
            name=request.out.stem,
            max_evaluations=request.evaluations,
            errors=plain_json(errors),
            progress=fitting,
        )
        status.doing = "done"
        progress.update(status)
    document = json.loads(calibration.to_json())
    request.out.parent.mkdir(parents=True, exist_ok=True)
    request.out.write_text(calibration.to_json(), encoding="utf-8")
    view = calibration_view(document)
    written = [str(request.out)]
    if request.figures is not None:
        request.figures.mkdir(parents=True, exist_ok=True)
        for number, svg in enumerate(calibration_panels(view), start=1):
            path = request.figures / f"calibration-{number}.svg"
            path.write_text(standalone(svg), encoding="utf-8")
            written.append(str(path))
    return {
        "calibration_id": calibration.calibration_id,
        "written": written,
        "settings": len(recordings.settings),
        "loss": calibration.fit.loss,
        "errors": errors,
        "notes": list(recordings.notes),
    }
