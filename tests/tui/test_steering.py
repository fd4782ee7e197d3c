"""A rehearsal that is paused, stepped and given another budget computes what one computes that nobody touched."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from col.errors import InputError
from col.region import Region
from tests.tui.small_scenario import small_scenario
from tests.tui.watch_pilot import wait_until
from tui.progress import Progress, Status
from tui.rehearse import RehearsalRequest, rehearse
from tui.run_folder import PROGRESS, RunFolder
from tui.steering import STEERING, Hold, Steering, read_steering, write_steering

SEED, CHUNK, PASSIVE = 5, 120, 160


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steered")
    small_scenario(folder)
    return folder


def request(home: Path, runs: str, trials: int, **changes: Any) -> RehearsalRequest:
    asked: dict[str, Any] = {
        "scenario": str(home / "small.toml"), "seed": SEED, "max_trials": trials, "passive_windows": PASSIVE,
        "workers": 1, "runs_dir": home / runs, "certificates": {"enabled": False}, **changes,
    }  # fmt: skip
    return RehearsalRequest(**asked)


@pytest.fixture(scope="module")
def whole(home: Path) -> Path:
    """Return the folder of a rehearsal of four trials that nobody touched."""
    rehearse(request(home, "whole", 4), Progress())
    (path,) = (home / "whole").iterdir()
    return path


class Script(Progress):
    """Does something whenever the rehearsal waits; `seen` is where it waited, with what the folder said there."""

    def __init__(self, folder: list[Path], act: Callable[[Path, int, Status], None]) -> None:
        self._folder, self._act = folder, act
        self.seen: list[tuple[int, int]] = []
        self._was_paused = False

    def update(self, status: Status, line: str = "") -> None:
        if status.paused and not self._was_paused:
            self.seen.append((status.passive_done, status.trials_done))
            self._act(self._folder[0], len(self.seen), status)
        self._was_paused = status.paused


def steered(
    request: RehearsalRequest, first: Steering, act: Callable[[Path, int, Status], None]
) -> tuple[Path, Script]:
    """Rehearse with `first` wanted from the start; `act` hears each time that it begins to wait."""
    folder: list[Path] = []

    def started(path: Path) -> None:
        folder.append(path)
        write_steering(path, first)

    script = Script(folder, act)
    rehearse(request, script, started=started, wait=lambda _: None)
    return folder[0], script


def step(path: Path, status: Status, times: int = 1) -> None:
    wanted = read_steering(path)
    for _ in range(times):
        wanted = wanted.stepped(
            windows=status.passive_done, windows_total=PASSIVE, chunk=CHUNK, trials=status.trials_done
        )
    write_steering(path, wanted)


def assert_same(ours: Path, theirs: Path) -> None:
    a, b = RunFolder.open(ours).load(), RunFolder.open(theirs).load()
    assert a.passive is not None
    assert b.passive is not None
    for name, column in {**b.passive.metrics, **b.passive.controls}.items():
        np.testing.assert_array_equal(a.passive.column(name), column)
    timed = {"elapsed_s"}
    assert [{k: v for k, v in t.items() if k not in timed} for t in a.trials] == [
        {k: v for k, v in t.items() if k not in timed} for t in b.trials
    ]
    for one, other in zip(a.trial_windows, b.trial_windows, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.metrics["thp_dl_1"], other.metrics["thp_dl_1"])
    x = np.random.default_rng(0).uniform(0.1, 1.5, size=(200, 2))
    np.testing.assert_array_equal(bound(ours, x), bound(theirs, x))


def bound(run: Path, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return Region.load(run / "region.npz").lower_bound(x)


def test_stepped_through_from_the_first_window_to_the_last_trial_it_ends_like_the_run_nobody_touched(
    home: Path, whole: Path
) -> None:
    path, script = steered(request(home, "stepped", 4), Steering().paused(), lambda path, _, s: step(path, s))
    assert script.seen == [(0, 0), (CHUNK, 0), *((PASSIVE, trials) for trials in range(4))]
    assert_same(path, whole)
    assert not (path / PROGRESS).exists()


def test_while_it_waits_the_folder_has_the_region_so_far_and_says_what_comes_next(home: Path, whole: Path) -> None:
    shares, following = [], []

    def act(path: Path, _: int, status: Status) -> None:
        said = json.loads((path / PROGRESS).read_text()) if (path / PROGRESS).exists() else {}
        if status.passive_done == PASSIVE:
            assert said["paused"]
            following.append(said["following"])
            x = np.random.default_rng(1).uniform(0.1, 1.5, size=(400, 2))
            shares.append(float((bound(path, x) >= 0.9).mean()))
        step(path, status)

    steered(request(home, "looked", 4), Steering().paused(), act)
    trials = [json.loads(line)["controls"] for line in (whole / "interventions.jsonl").read_text().splitlines()]
    assert following == trials
    assert shares[-1] > shares[0]


def test_the_budget_is_the_one_that_was_asked_for_last(home: Path, whole: Path) -> None:
    def act(path: Path, count: int, _: Status) -> None:
        wanted = Hold(trials=3) if count == 1 else None
        write_steering(path, Steering(hold=wanted, max_trials=[9, 4][count - 1]))

    path, script = steered(request(home, "budget", 2), Steering(hold=Hold(windows=PASSIVE, trials=1)), act)
    assert script.seen == [(PASSIVE, 1), (PASSIVE, 3)]
    assert_same(path, whole)
    summary = json.loads((path / "summary.json").read_text())
    assert (summary["max_trials"], summary["interventions"]) == (4, 4)
    assert f"--seed {SEED} --max-trials 2 --passive-windows {PASSIVE} --max-trials 4" in " ".join(
        (path / "report.html").read_text().replace(f"--passive-windows {PASSIVE} --max-trials 2",
                                                    f"--max-trials 2 --passive-windows {PASSIVE}").split()
    )  # fmt: skip


def test_a_budget_that_is_used_up_ends_it_where_it_waits(home: Path) -> None:
    def act(path: Path, _: int, status: Status) -> None:
        write_steering(path, Steering(max_trials=status.trials_done))

    path, script = steered(request(home, "ended", 9), Steering(hold=Hold(windows=PASSIVE, trials=3)), act)
    assert script.seen == [(PASSIVE, 3)]
    summary = json.loads((path / "summary.json").read_text())
    assert (summary["interventions"], summary["max_trials"], summary["reason"]) == (3, 3, "all trials made")


def test_a_run_killed_where_it_waits_still_waits_when_it_goes_on_and_ends_like_the_others(
    home: Path, whole: Path
) -> None:
    folder: list[Path] = []

    def started(path: Path) -> None:
        folder.append(path)
        write_steering(path, Steering().paused())

    def stopped(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rehearse(request(home, "killed", 7), Progress(), started=started, wait=stopped)
    (path,) = folder
    assert not (path / PROGRESS).exists()
    write_steering(path, Steering(hold=Hold(windows=PASSIVE, trials=2), max_trials=4))
    argv = [sys.executable, "-m", "tui.cli", "rehearse", "--resume", str(path), "--no-certificates", "--quiet"]
    for way_on in (None, read_steering(path).going_on()):
        process = subprocess.Popen([*argv, "--workers", "1"])
        try:
            wait_until(lambda: said(path).get("paused"), 300.0)
            assert (said(path)["trials_done"], said(path)["trials_total"]) == (2, 4)
            if way_on is not None:
                write_steering(path, way_on)
                assert process.wait(300.0) == 0
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if way_on is None:
            assert said(path)["paused"]  # what it said last is left behind, and read by nobody
            (path / PROGRESS).unlink()
    assert_same(path, whole)


def said(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((path / PROGRESS).read_text())
    except FileNotFoundError:
        return {}
    return found


def test_a_finished_run_is_not_changed_by_what_is_asked_of_it_afterwards(
    whole: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (whole / "interventions.jsonl").read_bytes()
    write_steering(whole, Steering(hold=Hold(), max_trials=40))

    def learned(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt  # before the truth is computed, which takes longer than all that comes before it

    monkeypatch.setattr("tui.rehearse.verify", learned)
    with pytest.raises(KeyboardInterrupt):
        rehearse(request(home, "whole", 4, scenario=None, resume=str(whole), verify=True), Progress())
    (whole / STEERING).unlink()
    assert (whole / "interventions.jsonl").read_bytes() == before


def test_a_file_that_is_wrong_is_said_and_what_it_said_before_holds(home: Path) -> None:
    notes: list[str] = []

    class Looks(Script):
        def update(self, status: Status, line: str = "") -> None:
            super().update(status, line)
            if status.paused and self.seen:
                text = ["{", '{"hold": {"windows": -1}}', None][min(len(notes), 2)]
                notes.extend(note for note in status.notes if STEERING in note and note not in notes)
                (self._folder[0] / STEERING).write_text("{}" if text is None else text)

    folder: list[Path] = []

    def started(path: Path) -> None:
        folder.append(path)
        write_steering(path, Steering(hold=Hold(windows=PASSIVE, trials=1)))

    code, summary = rehearse(request(home, "wrong", 2), Looks(folder, lambda *_: None), started=started,
                             wait=lambda _: None)  # fmt: skip
    assert code in (0, 1)
    assert summary["interventions"] == 2
    assert len(notes) == 2
    assert "not JSON" in notes[0]
    assert "hold.windows = -1: must be a whole number, at least 0" in notes[1]


def test_steps_that_are_asked_for_at_once_are_all_made() -> None:
    wanted = Steering().paused()
    for _ in range(3):
        wanted = wanted.stepped(windows=160, windows_total=160, chunk=120, trials=4)
    assert wanted.hold == Hold(windows=160, trials=7)
    wanted = wanted.paused()
    for hold in (Hold(windows=840), Hold(windows=960), Hold(windows=960, trials=1)):
        wanted = wanted.stepped(windows=720, windows_total=960, chunk=120, trials=0)
        assert wanted.hold == hold
    assert wanted.going_on() == Steering()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "must be a table"),
        ('{"max_trails": 3}', "max_trails: no such key; known are hold, max_trials"),
        ('{"max_trials": 2.5}', "max_trials = 2.5: must be a whole number, at least 0"),
        ('{"max_trials": true}', "max_trials = True"),
        ('{"hold": 3}', "hold = 3: must be a table"),
        ('{"hold": {"trial": 3}}', "hold.trial: no such key; known are windows, trials"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / STEERING).write_text(text)
    with pytest.raises(InputError, match=STEERING) as caught:
        read_steering(tmp_path)
    assert words in str(caught.value)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    assert read_steering(tmp_path) == Steering()
    for wanted in (Steering(), Steering(hold=Hold(windows=3, trials=4)), Steering(max_trials=0)):
        write_steering(tmp_path, wanted)
        assert read_steering(tmp_path) == wanted
    assert [p.name for p in tmp_path.iterdir()] == [STEERING]
