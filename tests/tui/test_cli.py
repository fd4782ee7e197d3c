"""The command line: one line for bad input, the right exit code, nothing written, stdout for results alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tui.made_run import make_run
from tests.tui.small_scenario import TEXT, small_scenario
from tui.cli import main


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


def assert_bad_input(folder: Path, result: tuple[int, str, str], *words: str) -> None:
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.startswith("rantwin: ")
    assert err.count("\n") == 1, err
    for word in words:
        assert word in err
    assert not (folder / "runs").exists()


def test_without_a_command_it_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 0
    assert "rehearse" in out
    assert "exit codes" in out


@pytest.mark.parametrize(
    "command",
    [
        "rehearse",
        "simulate",
        "certify",
        "calibrate",
        "report",
        "scenarios",
        "serve",
        "promote",
        "status",
        "history",
        "rollback",
        "emulate",
        "keys",
    ],
)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    options = [line for line in text.splitlines() if line.startswith("  -")]
    assert len(options) >= 2
    assert "default" in text or command == "scenarios"
    assert "examples:" in text
    assert f"rantwin {command}" in text


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, tui.cli\ntry: tui.cli.main(['--help'])\nexcept SystemExit: pass\nprint(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "scipy", "sklearn", "numba", "pgmpy", "textual", "rich", "matplotlib", "pyarrow"} & set(loaded)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["rehearse", "--seed", "-1"], ["--seed", "at least 0"]),
        (["rehearse", "--seed", "x"], ["--seed", "'x' must be a whole number"]),
        (["rehearse", "--max-trials", "2.5"], ["--max-trials", "whole number"]),
        (["rehearse", "--workers", "0"], ["--workers", "at least 1"]),
        (["rehearse", "--prior", "wild"], ["--prior", "wild", "causal"]),
        (["rehearse", "--frobnicate"], ["--frobnicate"]),
        (["rehears"], ["rehears", "rehearse"]),
        (["rehearse", "cpu-alocation"], ["cpu-alocation", "did you mean cpu-allocation?"]),
        (["rehearse", "nowhere.toml"], ["nowhere.toml", "cannot be read"]),
        (["rehearse", "--resume", "nowhere"], ["nowhere", "no such run folder"]),
        (["rehearse", "--resume"], ["no unfinished run"]),
        (["report"], ["no run in this folder"]),
        (["scenarios", "nothing"], ["nothing", "cpu-allocation"]),
        (["calibrate", "nowhere"], ["nowhere", "no such file"]),
    ],
)
def test_a_wrong_word_on_the_command_line_is_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_bad_input(tmp_path, run(capsys, *argv), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[window]", "[window]\nlenght_s = 4", ["window.lenght_s", "length_s"]),
        ("upper_cores = 1.5", "upper_cores = 0.05", ["controls.cpu_du", "0.05"]),
        ("length_s = 3.0", 'length_s = "3 s"', ["window.length_s", "3 s"]),
        ("alpha = 0.9", "alpha = nan", ["specification.alpha", "nan"]),
        ("thp_dl_1 >=", "thp_dl_7 >=", ["thp_dl_7"]),
        ("always[0,1]", "always[1,0]", ["always"]),
        ('title = "one gNB"', "title = ", ["small.toml", "TOML"]),
    ],
)
def test_a_wrong_scenario_is_one_line_that_names_file_and_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = small_scenario(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert_bad_input(tmp_path, run(capsys, "rehearse", str(path)), "small.toml", *words)


def test_report_of_a_folder_that_is_no_run_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_bad_input(tmp_path, run(capsys, "report", str(tmp_path)), "not a run folder", "run.json")
    assert list(tmp_path.iterdir()) == []


def test_report_writes_the_page_and_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(tmp_path / "runs")
    figures = tmp_path / "figures"
    code, out, err = run(capsys, "report", str(folder.path), "--figures", str(figures), "--json")
    assert (code, err) == (0, "")
    written = json.loads(out)["written"]
    assert str(folder.path / "report.html") in written
    assert all(Path(path).stat().st_size > 500 for path in written)
    assert (figures / "region-2.svg").exists()


def test_scenarios_are_listed_and_printed_so_that_they_can_be_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "scenarios", "--json")
    assert code == 0
    assert "cpu-allocation" in [entry["name"] for entry in json.loads(out)]
    path = small_scenario(tmp_path)
    code, printed, _ = run(capsys, "scenarios", str(path))
    assert code == 0
    again = tmp_path / "again.toml"
    again.write_text(printed)
    assert run(capsys, "scenarios", str(again))[1] == printed
    assert " ".join(TEXT.split()) in printed


@pytest.mark.parametrize("command", ["status", "history", "rollback"])
def test_an_agent_that_was_never_started_cannot_be_reached(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path))

    assert main([command]) == 3
    assert "rantwin serve" in capsys.readouterr().err
