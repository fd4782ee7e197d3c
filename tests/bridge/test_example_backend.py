"""The example of docs/testbed.md: installed as a package of its own, found by its entry point, through the battery."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "example_backend"


@pytest.mark.slow
def test_the_example_package_passes_the_battery_that_every_backend_passes(tmp_path: Path) -> None:
    # Built from a copy: a build leaves folders beside what it builds.
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "rantwin_cgroup.py"):
        (source / name).write_text((EXAMPLE / name).read_text(encoding="utf-8"), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "--target", tmp_path / "site", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    battery = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*battery, "--basetemp", tmp_path / "battery", EXAMPLE / "test_contract.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "19 passed, 1 skipped" in done.stdout, done.stdout
