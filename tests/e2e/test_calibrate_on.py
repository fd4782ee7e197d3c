"""A twin calibrated on a testbed by real processes: every step through the agent's gate, and back at its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.world import world
from tests.tui.small_scenario import small_scenario

pytestmark = pytest.mark.slow


def test_a_sweep_goes_through_the_gate_and_leaves_the_testbed_as_it_was(tmp_path: Path) -> None:
    scenario = small_scenario(tmp_path)
    with world(tmp_path) as here:
        here.serve("--scenario", str(scenario), "--exploration", "--speed", "20")
        before = here.in_force()
        agent = f"unix:{here.config / 'agent' / 'agent.sock'}"
        code, out, said = here.run(
            *("calibrate", "--on", agent, "--scenario", str(scenario), "--out", "mine.toml"),
            *("--levels", "2", "--windows", "2", "--quiet", "--json", "--timeout", "60"),
        )
        assert code == 0, said
        result = json.loads(out)
        assert here.in_force() == before
        assert result["trials"]
        assert {trial["outcome"] for trial in result["trials"]} <= {"held", "rolled back"}
        code, out, said = here.run("history", "--json")
        assert code == 0, said
        assert out.count("calibration of the twin") >= len(result["trials"])
        assert (tmp_path / "mine.toml").is_file()
