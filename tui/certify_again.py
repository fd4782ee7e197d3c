"""`rantwin certify RUN`: certificates of a finished run, made again from the region that it learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from col.errors import InputError
from col.region import Region
from tui.certification import certify_run, options_of
from tui.progress import Progress, Status
from tui.report import render_report
from tui.report_data import load_report_data
from tui.run_folder import RunFolder
from twin.scenario import load_scenario

__all__ = ["certify_again"]


def certify_again(
    path: Path, asked: Mapping[str, Any], progress: Progress, *, workers: int, now: datetime
) -> dict[str, Any]:
    """Certify a finished run again with its own options where nothing else is asked; return what was written.

    Raises:
        InputError: not a run, not finished, or its scenario was changed since.
    """
    folder = RunFolder.open(path)
    summary = folder.read_json("summary.json")
    if summary is None:
        raise InputError("the run is not finished: go on with 'rantwin rehearse --resume'", source=str(path))
    scenario = load_scenario(path / "scenario.toml")
    if scenario.digest[: len(folder.manifest["scenario_digest"])] != folder.manifest["scenario_digest"]:
        raise InputError("was changed since the run", source=str(path / "scenario.toml"))
    options = options_of(folder.manifest.get("certificates"), str(path / "run.json"))
    options = replace(options.with_asked(asked), enabled=True)
    region = Region.load(path / "region.npz")
    folder.claim()
    try:
        status = Status(title=f"certify {scenario.name}, seed {folder.manifest['seed']}", folder=str(path))
        with progress:
            document = certify_run(
                folder,
                scenario,
                region,
                options,
                seed=int(folder.manifest["seed"]),
                workers=workers,
                now_s=now.timestamp(),
                progress=progress,
                status=status,
            )
            status.doing = "done"
            progress.update(status)
        changed = {"recommended": document["recommended"], "certification_s": document["certification_s"]}
        summary = {**summary, **changed}
        folder.write_text("report.html", render_report(replace(load_report_data(folder), summary=summary)))
        folder.write_json("summary.json", summary)
    finally:
        folder.close()
    return {**document, "certificates": [s["certificate"] for s in document["steps"] if s["certificate"]]}
