"""Rehearsals under many seeds side by side: each as if it were alone, and none lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from col.errors import InputError
from tests.tui.small_scenario import small_scenario
from tui.cli import main
from tui.progress import QuietProgress
from tui.rehearse import RehearsalRequest, rehearse
from tui.study import STUDY, StudyRequest, rehearse_study

OPTIONS: dict[str, Any] = {"passive_windows": 40, "max_trials": 2, "certificates": {"enabled": False}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    small_scenario(folder)
    return folder


@pytest.fixture(scope="module")
def study(home: Path) -> Path:
    """A study of two seeds."""
    folder: list[Path] = []
    request = StudyRequest(seeds=(3, 5), scenario=str(home / "small.toml"), options=OPTIONS, runs_dir=home / "runs")
    _, document = rehearse_study(request, QuietProgress(), started=folder.append)
    assert [row["seed"] for row in document["runs"]] == [3, 5]
    return folder[0]


def rows(study: Path) -> dict[int, dict[str, Any]]:
    return {row["seed"]: row for row in json.loads((study / STUDY).read_text())["runs"]}


def test_a_rehearsal_of_a_study_is_the_one_that_its_seed_gives_alone(home: Path, study: Path) -> None:
    request = RehearsalRequest(scenario=str(home / "small.toml"), seed=5, runs_dir=home / "alone", **OPTIONS)
    folder: list[Path] = []
    rehearse(request, QuietProgress(), started=folder.append)
    together = study / rows(study)[5]["run"]
    for name in ("scenario.toml", "interventions.jsonl"):
        assert _without_times(together / name) == _without_times(folder[0] / name)


def _without_times(path: Path) -> list[Any]:
    if path.suffix == ".toml":
        return path.read_text().splitlines()
    told = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.endswith("_s")} for line in told]


def test_a_study_that_was_stopped_goes_on_and_keeps_what_has_ended(home: Path, study: Path, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    shutil.copytree(study, stopped)
    before = rows(study)
    shutil.rmtree(stopped / before[5]["run"])
    ended = (stopped / before[3]["run"] / "summary.json").stat().st_mtime_ns
    request = StudyRequest(seeds=(3, 5), options=OPTIONS, runs_dir=tmp_path, resume="stopped")
    _, document = rehearse_study(request, QuietProgress())
    assert (stopped / before[3]["run"] / "summary.json").stat().st_mtime_ns == ended
    timed = {"wall_s", "run"}
    for row in document["runs"]:
        old = before[row["seed"]]
        assert {k: v for k, v in row.items() if k not in timed} == {k: v for k, v in old.items() if k not in timed}
    with pytest.raises(InputError, match="is not the scenario of this study"):
        rehearse_study(
            StudyRequest(seeds=(3,), scenario="cpu-allocation", runs_dir=tmp_path, resume="stopped"), QuietProgress()
        )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--seeds", "1-"], "--seeds: '1-' must be such as 1-20 or 1,4,9"),
        (["--seeds", "4,1-5"], "must name at least one seed, and none twice"),
        (["--seeds", "1-99999999999"], "must be at most 10000 seeds"),
        (["--seeds", "-1"], "--seeds"),
        (["--seeds", "1-2", "--seed", "3"], "--seed = 3: cannot be combined with --seeds"),
        (["--dask", "tcp://127.0.0.1:9"], "distributes the rehearsals of --seeds"),
        (["--seeds", "1-2", "--resume", "nowhere"], "no study there"),
    ],
)
def test_wrong_seeds_get_one_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rehearse", "--runs-dir", str(tmp_path), *arguments]) == 2
    assert line in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
