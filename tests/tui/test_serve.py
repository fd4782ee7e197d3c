"""Where agent and testbed are, what an agent's start costs, and the journal on a line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.clock import SystemClock
from bridge.journal import Journal
from bridge.testbed import JournalEntry
from col.errors import InputError, UnreachableError
from tui.agent_link import address_of, credentials_for
from tui.cli import main
from tui.config_dir import ConfigDir
from tui.embedded import EmbeddedTestbed, ask
from tui.history import entry_line


@pytest.mark.parametrize("to", ["nowhere", "host:", ":50051", "host:0", "host:65536", "host:x", "unix:"])
def test_what_is_no_address_is_said(to: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unix:PATH or HOST:PORT"):
        address_of(to, ConfigDir(tmp_path))


def test_credentials_fit_the_address(tmp_path: Path) -> None:
    config = ConfigDir(tmp_path)
    assert credentials_for("unix:/a", config).token_file is None
    assert credentials_for("127.0.0.1:5", config).token_file is None
    config.write_new(config.token, b"t")
    assert credentials_for("127.0.0.1:5", config).token_file == config.token
    with pytest.raises(InputError, match="rantwin keys make"):
        credentials_for("lab.example:5", config)


def test_without_an_agent_that_was_started_here_it_is_said_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path))
    assert main(["status"]) == 3
    assert "rantwin serve" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_agent_that_is_not_there_is_unreachable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--to", f"unix:{tmp_path}/none.sock", "--timeout", "0.5"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_a_testbed_that_is_not_there_is_unreachable_and_stopping_it_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnreachableError):
        ask(tmp_path / "none.sock", "ping")
    monkeypatch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path))
    assert main(["serve", "--stop-testbed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stopped"] is False


def test_a_process_of_the_same_number_is_not_taken_for_the_testbed(tmp_path: Path) -> None:
    testbed = EmbeddedTestbed(ConfigDir(tmp_path))
    testbed.folder.mkdir()
    (testbed.folder / "testbed.pid").write_text("1\n")
    assert testbed.process() is None


def test_a_path_of_a_socket_that_is_too_long_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path / ("x" * 100)))
    assert main(["serve"]) == 2
    assert "RANTWIN_CONFIG_DIR" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_agent_starts_without_what_simulates_and_learns() -> None:
    code = "import sys, tui.serve, tui.agent_link, bridge.agent, bridge.client, bridge.agent_config\n"
    code += "import bridge.backends.registry\nprint(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"numba", "sklearn", "scipy", "pgmpy", "textual", "simpy", "pyarrow", "matplotlib", "networkx", "twin"}
    assert not heavy & set(loaded)


def test_a_journal_entry_is_one_line_that_says_who_what_and_why() -> None:
    entry = JournalEntry(
        number=7, wall_s=1_790_000_000.0, monotonic_s=1.0, promotion_id="p1", who="olga", actor="operator",
        kind="apply", state_before="gated", state_after="applying",
        details={"why": "two\nlines", "changes": {"cpu_a": [1.2, 0.9]}, "digest": "x"},
    )  # fmt: skip
    line = entry_line(entry)
    assert "\n" not in line
    for words in ("    7  2026-09-21 14:13:20", "olga (operator)", "p1", "gated -> applying", "cpu_a 1.2 -> 0.9"):
        assert words in line


def test_the_history_of_a_promotion_that_nobody_knows_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Journal(tmp_path / "journal.db", SystemClock()).close()
    assert main(["history", "--journal", str(tmp_path / "journal.db")]) == 0
    assert main(["history", "--journal", str(tmp_path / "journal.db"), "--promotion", "p9"]) == 2
    assert "--promotion = 'p9': no such promotion" in capsys.readouterr().err
