"""What a run folder promises: whole after a kill, read back without loss, never mixed up with another run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from col.errors import InputError
from tests.tui.made_run import NOW, make_run, manifest, trial, windows
from tui.run_folder import RunFolder, find_run
from tui.window_store import read_windows


def test_windows_come_back_bit_for_bit_before_and_after_the_parts_are_merged(tmp_path: Path) -> None:
    folder = make_run(tmp_path, passive=240, trials=3, finish=False)
    before = folder.load()
    folder.merge()
    after = RunFolder.open(folder.path).load()

    original = windows(120, 120, 2)
    for stored in (before, after):
        assert stored.passive is not None
        again = stored.passive.take(slice(120, 240))
        assert list(again.metrics) == list(original.metrics)
        for name, column in {**original.metrics, **original.controls}.items():
            np.testing.assert_array_equal(again.column(name), column)
        third = stored.trial_windows[2]
        assert third is not None
        np.testing.assert_array_equal(third.metrics["thp_dl_1"], trial(2, 240)[1].metrics["thp_dl_1"])
    assert not (folder.path / "windows.parts").exists()


def test_a_cut_off_last_line_is_tolerated_said_and_put_right(tmp_path: Path) -> None:
    folder = make_run(tmp_path, trials=3, finish=False)
    journal = folder.path / "interventions.jsonl"
    journal.write_bytes(journal.read_bytes()[:-25])

    stored = folder.load()
    assert len(stored.trials) == 2
    assert "line 3 was cut off" in stored.warnings[0]

    mended = folder.mend()
    assert len(mended.trials) == 2
    assert not (folder.path / "windows.parts" / "trial-00000002.parquet").exists()
    assert folder.load().warnings == ()
    folder.append_trial(*trial(2, 240))
    assert [t["index"] for t in folder.load().trials] == [0, 1, 2]


def test_a_journal_cut_at_any_byte_gives_the_trials_that_were_whole(tmp_path: Path) -> None:
    folder = make_run(tmp_path, passive=60, trials=2, finish=False)
    journal = folder.path / "interventions.jsonl"
    whole = journal.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(0, len(whole) + 1, 7):
        journal.write_bytes(whole[:cut])
        stored = folder.load()
        assert len(stored.trials) == (cut >= first) + (cut >= len(whole)), cut
        assert bool(stored.warnings) == (cut not in {0, first, len(whole)}), cut


def test_a_last_line_without_its_end_counts_as_cut_off_even_if_it_parses(tmp_path: Path) -> None:
    folder = make_run(tmp_path, trials=2, finish=False)
    journal = folder.path / "interventions.jsonl"
    journal.write_bytes(journal.read_bytes()[:-1])
    assert len(folder.load().trials) == 1


def test_a_bad_line_in_the_middle_is_refused_with_its_number(tmp_path: Path) -> None:
    folder = make_run(tmp_path, trials=3, finish=False)
    journal = folder.path / "interventions.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[0] + "{oops\n" + lines[2])
    with pytest.raises(InputError, match=r"interventions.jsonl: line 2"):
        folder.load()


def test_windows_of_a_trial_without_a_line_are_dropped_and_half_written_files_too(tmp_path: Path) -> None:
    folder = make_run(tmp_path, trials=2, finish=False)
    record, table = trial(2, 240)
    folder.append_trial(record, table)
    journal = folder.path / "interventions.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:2]))
    (folder.path / "windows.parts" / "trial-00000003.parquet.tmp").write_bytes(b"PAR1 half")

    stored = folder.mend()
    assert len(stored.trials) == 2
    assert sorted(p.name for p in (folder.path / "windows.parts").glob("trial*")) == [
        "trial-00000000.parquet",
        "trial-00000001.parquet",
    ]
    assert stored.next_run == 102


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 8}, "seed = 8"),
        ({"scenario": "other"}, "scenario = 'other'"),
        ({"scenario_digest": "ffff"}, "scenario_digest"),
        ({"settings": {**manifest()["settings"], "max_trials": 99}}, "settings.max_trials = 99"),
    ],
)
def test_another_scenario_seed_or_setting_is_refused_by_name(
    tmp_path: Path, changes: dict[str, object], key: str
) -> None:
    folder = make_run(tmp_path, finish=False)
    folder.check_same(manifest())
    with pytest.raises(InputError, match="was started with") as caught:
        folder.check_same(manifest(**changes))
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_one_process_at_a_time_may_write(tmp_path: Path) -> None:
    folder = make_run(tmp_path, finish=False)
    second = RunFolder.open(folder.path)
    with pytest.raises(InputError, match="another process"):
        second.claim()
    folder.close()
    second.claim()
    second.close()


def test_two_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path, manifest(), "", NOW)
    second = RunFolder.create(tmp_path, manifest(), "", NOW)
    assert first.path.name == "20261122-030405-made-up"
    assert second.path.name == "20261122-030405-made-up-2"


def test_the_latest_unfinished_run_is_found_and_a_missing_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no unfinished run"):
        find_run(tmp_path, None, unfinished=True)
    unfinished = make_run(tmp_path, trials=1, finish=False)
    finished = make_run(tmp_path, trials=1)
    assert find_run(tmp_path, None, unfinished=True) == unfinished.path
    assert find_run(tmp_path, None) == finished.path
    assert find_run(tmp_path, finished.path.name) == finished.path
    with pytest.raises(InputError, match="no such run"):
        find_run(tmp_path, "nowhere")


def test_a_folder_that_is_no_run_and_a_cut_off_table_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json"):
        RunFolder.open(tmp_path)
    folder = make_run(tmp_path)
    table = folder.path / "windows.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole Parquet file"):
        read_windows(table)
    (folder.path / "run.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        RunFolder.open(folder.path)


def test_numbers_that_json_does_not_know_become_null(tmp_path: Path) -> None:
    folder = make_run(tmp_path, trials=0, finish=False)
    folder.append_trial({"index": 0, "robustness": float("nan"), "outcome": "refused", "windows": 0}, windows(0, 0, 0))
    line = (folder.path / "interventions.jsonl").read_text()
    assert json.loads(line)["robustness"] is None
    assert folder.load().trial_windows == (None,)
