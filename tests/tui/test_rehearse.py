"""A rehearsal stopped in every way ends as if it had never been stopped."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from col.region import Region
from col.signing import read_public_key, verify
from tests.tui.small_scenario import small_scenario
from tui.certificate_files import load_certificates
from tui.cli import main
from tui.config_dir import operator_config_dir
from tui.run_folder import RunFolder

TRIALS = 4
OPTIONS = ("--seed", "5", "--max-trials", str(TRIALS), "--passive-windows", "160", "--workers", "1")
TIMED = {"wall_s", "elapsed_s", "certification_s", "run"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rehearsals")
    small_scenario(folder)
    return folder


@pytest.fixture(scope="module")
def whole(home: Path) -> Path:
    """Return the folder of a rehearsal that nobody stopped."""
    runs = home / "whole"
    assert main(["rehearse", str(home / "small.toml"), *OPTIONS, "--runs-dir", str(runs), "--quiet"]) == 0
    (path,) = runs.iterdir()
    return path


def stop_at(home: Path, runs: Path, argv: list[str], words: str, how: signal.Signals) -> tuple[int, str]:
    """Run the command line in a process of its own and stop it as soon as it says `words`; return code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "rehearse", *argv, "--runs-dir", str(runs)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith(words):
            process.send_signal(how)
            break
    said += process.stderr.read()
    process.stderr.close()
    return process.wait(), said


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in TIMED}
    return value


def records(folder: Path) -> list[Any]:
    return [plain(json.loads(line)) for line in (folder / "interventions.jsonl").read_text().splitlines()]


def test_a_rehearsal_leaves_everything_that_a_run_folder_has(whole: Path) -> None:
    assert {p.name for p in whole.iterdir()} >= {
        "run.json", "scenario.toml", "windows.parquet", "interventions.jsonl", "region.npz", "slices.npz",
        "details.json", "summary.json", "report.html",
    }  # fmt: skip
    assert not (whole / "windows.parts").exists()
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["windows_passive"] == 160
    assert summary["interventions"] == TRIALS == len(records(whole))
    assert 0.0 < summary["region_volume"] < 1.0
    assert summary["coverage"] is None
    assert summary["unsafe_interventions"] is None
    assert set(summary["cheapest"]["controls"]) == {"cpu_du_1", "cpu_cu_1"}
    region = Region.load(whole / "region.npz")
    assert region.contains(np.array([[summary["cheapest"]["controls"][name] for name in region.controls]]))[0]


def test_a_run_killed_twice_and_interrupted_once_ends_like_the_uninterrupted_one(home: Path, whole: Path) -> None:
    runs = home / "stopped"
    code, _ = stop_at(home, runs, [str(home / "small.toml"), *OPTIONS], "passive windows: 120 of 160", signal.SIGKILL)
    assert code == -signal.SIGKILL
    (folder,) = runs.iterdir()
    assert not RunFolder.open(folder).is_finished

    code, said = stop_at(home, runs, ["--resume"], "trial 1:", signal.SIGINT)
    assert code == 130
    assert f"go on with: rantwin rehearse --resume {folder}" in said
    assert "Traceback" not in said

    code, said = stop_at(home, runs, ["--resume", str(folder)], "trial 3:", signal.SIGKILL)
    assert "trial 1 (recorded)" in said
    with (folder / "interventions.jsonl").open("a") as journal:
        journal.write('{"index": 3, "contr')

    assert main(["rehearse", "--resume", folder.name, "--runs-dir", str(runs), "--quiet"]) == 0

    assert records(folder) == records(whole)
    assert plain(json.loads((folder / "summary.json").read_text())) == plain(
        json.loads((whole / "summary.json").read_text())
    )
    ours, theirs = RunFolder.open(folder).load(), RunFolder.open(whole).load()
    assert ours.passive is not None
    assert theirs.passive is not None
    for name, column in {**theirs.passive.metrics, **theirs.passive.controls}.items():
        np.testing.assert_array_equal(ours.passive.column(name), column)
    np.testing.assert_array_equal(ours.passive.sequence, theirs.passive.sequence)
    for a, b in zip(ours.trial_windows, theirs.trial_windows, strict=True):
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a.metrics["thp_dl_1"], b.metrics["thp_dl_1"])
        np.testing.assert_array_equal(a.start_s, b.start_s)
    points = np.random.default_rng(0).uniform(0.1, 1.5, size=(200, 2))
    np.testing.assert_array_equal(
        Region.load(folder / "region.npz").lower_bound(points), Region.load(whole / "region.npz").lower_bound(points)
    )


def test_a_finished_run_is_not_made_again_and_answers_with_its_summary(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (whole / "interventions.jsonl").stat().st_mtime_ns
    assert main(["rehearse", "--resume", str(whole), "--json", "--quiet"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["run"] == str(whole)
    assert summary["interventions"] == TRIALS
    assert (whole / "interventions.jsonl").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--seed", "6"], ["seed = 6", "started with 5"]),
        (["--max-trials", "9"], ["settings.max_trials = 9", "started with 4"]),
        (["cpu-allocation"], ["scenario = 'cpu-allocation'", "started with 'small'"]),
    ],
)
def test_going_on_with_other_settings_is_refused(
    whole: Path, capsys: pytest.CaptureFixture[str], argv: list[str], words: list[str]
) -> None:
    assert main(["rehearse", *argv, "--resume", str(whole), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_scenario_file_changed_inside_the_run_folder_is_refused(
    home: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = whole / "scenario.toml"
    text = path.read_text()
    path.write_text(text.replace("alpha = 0.9", "alpha = 0.8"))
    try:
        assert main(["rehearse", "--resume", str(whole), "--quiet"]) == 2
    finally:
        path.write_text(text)
    assert "scenario_digest" in capsys.readouterr().err


def test_a_specification_that_cannot_hold_is_said_with_the_limiting_conjunct(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_scenario(home, "impossible")
    path.write_text(path.read_text().replace("pow_h1 <= 95", "pow_h1 <= 20"))
    argv = ["--seed", "5", "--passive-windows", "40", "--max-trials", "4", "--workers", "1", "--quiet", "--json"]
    code = main(["rehearse", str(path), *argv, "--runs-dir", str(home / "impossible")])
    summary = json.loads(capsys.readouterr().out)
    assert code == 1
    assert summary["verdict"] == "infeasible"
    assert "pow_h1 <= 20" in summary["limiting"]
    assert summary["region_volume"] == 0.0
    report = (Path(summary["run"]) / "report.html").read_text()
    assert "does not hold at the reference configuration" in report


def test_what_is_recommended_is_certified_signed_and_shown(whole: Path) -> None:
    config = operator_config_dir()
    public = read_public_key(config.signing_public)
    certificates = load_certificates(whole)
    recommended = json.loads((whole / "summary.json").read_text())["recommended"]
    assert len(certificates) == recommended["steps_signed"] == recommended["steps_certified"] > 0
    assert all(verify(signed, public.raw) for signed in certificates)
    contents = [signed.certificate() for signed in certificates]
    assert contents[-1].target == recommended["controls"]
    assert all(a.target == b.base for a, b in itertools.pairwise(contents))
    assert min(content.bound for content in contents) == recommended["bound"] >= 0.9
    assert recommended["cost"] < recommended["reference_cost"]
    report = (whole / "report.html").read_text()
    assert "Recommendation and certificates" in report
    assert (whole / "certificates").is_dir()
    assert not [path for path in whole.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]


def test_a_configuration_is_settable_and_no_step_is_larger_than_asked(whole: Path) -> None:
    for signed in load_certificates(whole):
        content = signed.certificate()
        for name, value in content.target.items():
            assert abs(value - content.base[name]) <= 0.4 + 1e-9
            assert abs(value * 100 - round(value * 100)) < 1e-6


def test_certifying_again_gives_the_same_evidence_for_another_testbed(whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    before = [signed.certificate() for signed in load_certificates(run)]
    assert main(["certify", str(run), "--testbed", "lab", "--stack", "real", "--valid-days", "1", "--quiet"]) == 0
    after = [signed.certificate() for signed in load_certificates(run)]
    assert [(c.passes, c.horizons, c.target) for c in after] == [(c.passes, c.horizons, c.target) for c in before]
    assert {(c.testbed_id, c.stack) for c in after} == {("lab", "real")}
    assert all(abs(c.expires_at_s - c.issued_at_s - 86_400) < 1 for c in after)


def test_with_a_key_that_others_may_use_nothing_is_signed_and_the_run_stands(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path / "config"))
    key = tmp_path / "config" / "keys" / "signing.pem"
    key.parent.mkdir(parents=True)
    key.write_text("whatever")
    key.chmod(0o644)
    run = shutil.copytree(whole, tmp_path / "run")
    assert main(["certify", str(run), "--quiet", "--json"]) == 1
    assert "chmod 600" in json.loads(capsys.readouterr().out)["why"]
    assert load_certificates(run) == []
    assert key.read_text() == "whatever"


def test_without_certificates_nothing_is_recommended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["rehearse", str(home / "small.toml"), "--seed", "5", "--passive-windows", "40", "--max-trials", "1"]
    assert main([*argv, "--no-certificates", "--runs-dir", str(home / "bare"), "--quiet", "--json"]) in (0, 1)
    summary = json.loads(capsys.readouterr().out)
    assert summary["recommended"] is None
    assert not (Path(summary["run"]) / "certificates").exists()
