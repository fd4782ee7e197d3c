"""The example of docs/testbed.md: installed as a package of its own, found by its entry point, through the battery."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.backends.base import Backend

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


def units(folder: Path, quota: str, used_us: int) -> None:
    for unit in ("du_1", "cu_1"):
        (folder / unit).mkdir(exist_ok=True)
        (folder / unit / "cpu.max").write_text(f"{quota}\n")
        (folder / unit / "cpu.stat").write_text(f"usage_usec {used_us}\n")


def test_the_example_reads_limits_as_the_kernel_has_them_and_a_window_over_a_change_has_none(tmp_path: Path) -> None:
    units(tmp_path, "100000 50000", 0)
    module = runpy.run_path(str(EXAMPLE / "rantwin_cgroup.py"))
    backend: Backend = module["CgroupBackend"](tmp_path, 3600.0)
    try:
        assert backend.read().controls["cpu_du_1"] == 2.0, "a quota is one of a period"
        before = backend._look()  # type: ignore[attr-defined]
        units(tmp_path, "50000 100000", 5_000_000)
        after = backend._look()  # type: ignore[attr-defined]
        row = backend._row(before, after, 0.0, 10.0)  # type: ignore[attr-defined]
        assert row.controls == {}
        assert row.metrics["cpuu_du_1"] == 0.5
        assert backend._row(after, before, 0.0, 10.0).metrics == {}  # type: ignore[attr-defined]
        assert backend._row(after, after, 0.0, 10.0).controls["cpu_cu_1"] == 0.5  # type: ignore[attr-defined]
    finally:
        backend.close()
