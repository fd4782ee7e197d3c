"""What a trial is said to be limited by, also when it was ended early; the region that is stored on the way."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from col.events import PriorFitted, RegionUpdated, TrialDone
from col.plant import Control, Intervention, PlantDescription, Trial, TrialOutcome, Windows
from col.specification import Specification, Verdict
from tests.tui.made_run import make_run
from tui.figures.timeline import Timeline, timeline_figure
from tui.progress import Progress, Status
from tui.recorder import Recorder, limiting_conjunct
from tui.run_folder import RunFolder

SPECIFICATION = Specification.parse("always[0,4](a >= 1 and b <= 2)")


def windows(a: list[float], b: list[float]) -> Windows:
    n = len(a)
    return Windows(
        sequence=np.arange(n),
        start_s=np.arange(n, dtype=np.float64) * 15.0,
        end_s=np.arange(1, n + 1, dtype=np.float64) * 15.0,
        run=np.zeros(n, dtype=np.int64),
        controls={},
        metrics={"a": np.array(a), "b": np.array(b)},
    )


def test_a_trial_that_was_ended_by_its_failure_names_what_failed_and_by_how_much() -> None:
    margin, text, failed = limiting_conjunct(SPECIFICATION, windows([1.5, 0.4], [1.0, 1.0]))
    assert math.isclose(margin, limiting_conjunct(SPECIFICATION, windows([1.5, 0.4, 9, 9, 9], [1.0] * 5))[0])
    assert (text, failed) == ("a >= 1", ["a"])


def test_a_trial_that_was_cut_off_before_anything_failed_is_inconclusive() -> None:
    margin, text, failed = limiting_conjunct(SPECIFICATION, windows([1.5, 1.4], [1.0, 1.0]))
    assert math.isnan(margin)
    assert (text, failed) == ("", [])


def test_a_run_whose_trials_left_no_windows_can_be_drawn() -> None:
    time = Timeline(trial=np.full(3, -1), failed=frozenset(), window_s=15.0)
    assert "passive" in timeline_figure("gNB 1", [], time)


class MadeRegion:
    """Stands in for a region: storing it takes `costs_s` of the clock and leaves its name in the file."""

    empty_because = ""

    def __init__(self, name: str, clock: list[float], costs_s: float = 0.01) -> None:
        self._name, self._clock, self._costs_s = name, clock, costs_s

    def save(self, path: Path, *, compressed: bool) -> None:
        self._clock[0] += self._costs_s
        path.write_text(self._name)


def stored(folder: RunFolder) -> str:
    path = folder.path / "region.npz"
    return path.read_text() if path.exists() else ""


def made_recorder(folder: RunFolder, clock: list[float]) -> Recorder:
    controls = (Control(name="c", unit="core", lower=0.0, upper=2.0, resolution=0.1, reference=1.0),)
    description = PlantDescription(plant_id="made", controls=controls, metrics=(), window_s=15.0)
    return Recorder(folder, SPECIFICATION, description, Progress(), Status(title="made"), lambda: clock[0])


def updated(trials: int, region: Any) -> RegionUpdated:
    return RegionUpdated(step=trials, region=region, volume=0.1, volume_uniform=0.0, trials=trials, violations=0)


def tried(step: int, *, recorded: bool) -> TrialDone:
    trial = Trial(intervention=Intervention({"c": 1.0}), outcome=TrialOutcome.HELD, windows=windows([2.0], [1.0]))
    return TrialDone(step=step, trial=trial, verdict=Verdict.PASS, robustness=0.1, violation=False, recorded=recorded)


def test_the_region_is_stored_as_it_grows_and_as_often_as_costs_little(tmp_path: Path) -> None:
    folder, clock = make_run(tmp_path, trials=0, finish=False), [0.0]
    recorder = made_recorder(folder, clock)
    recorder.take(PriorFitted(leaves=(), region=MadeRegion("prior", clock), notes=()))  # type: ignore[arg-type]
    seen = [stored(folder)]
    for k in range(1, 23):
        clock[0] += 0.1
        recorder.take(updated(k, MadeRegion(f"after {k}", clock)))
        seen.append(stored(folder))
    assert seen[0] == "prior"
    assert len(set(seen)) == 5  # each stored region is followed by half a second without
    assert seen[-1] != "after 22"
    recorder.write_region()
    assert stored(folder) == "after 22"
    folder.close()


def test_while_recorded_trials_are_made_again_the_stored_region_stays_ahead(tmp_path: Path) -> None:
    folder, clock = make_run(tmp_path, trials=0, finish=False), [0.0]
    (folder.path / "region.npz").write_text("after 2")
    recorder = made_recorder(folder, clock)
    recorder.take(PriorFitted(leaves=(), region=MadeRegion("prior", clock), notes=()))  # type: ignore[arg-type]
    for k in (1, 2):
        recorder.take(tried(k - 1, recorded=True))
        recorder.take(updated(k, MadeRegion(f"again {k}", clock)))
        assert stored(folder) == "after 2"
    recorder.take(tried(2, recorded=False))
    recorder.take(updated(3, MadeRegion("after 3", clock)))
    assert stored(folder) == "after 3"
    folder.close()
