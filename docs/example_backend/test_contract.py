"""The battery that every backend passes, on this one; from a checkout of rantwin: `python -m pytest test_contract.py`.

Here the folder is an imitation of the kernel's: point `folder` at a real one, such as /sys/fs/cgroup/ran.slice.
"""

from pathlib import Path

import pytest

from bridge.backends.base import Backend
from bridge.backends.registry import load_backend
from tests.bridge.backend_contract import BackendContract


class TestCgroup(BackendContract):
    """Every case of the battery; the cases are inherited."""

    @pytest.fixture(autouse=True)
    def _testbed(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        for unit in ("du_1", "cu_1"):
            (tmp_path / unit).mkdir()
            (tmp_path / unit / "cpu.max").write_text("max 100000\n")
            (tmp_path / unit / "cpu.stat").write_text("usage_usec 0\nuser_usec 0\n")

    def make_backend(self) -> Backend:
        """Return a backend on the testbed, found by its entry point as an agent finds it."""
        return load_backend("cgroup", {"folder": str(self.folder), "window_s": 2.0}, 60.0)

    def make_reader(self, backend: Backend) -> Backend:
        """Return the backend itself: it is the one that records the windows."""
        return backend
