"""From a rehearsal to a testbed and back, with real processes; and the same with the way back switched off.

The configuration in force is read from the testbed's own socket.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.story import Run, came_back, rehearsed, tell, without_the_way_back
from tests.e2e.world import World, world

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with world(tmp_path_factory.mktemp("r")) as here:
        yield rehearsed(here, print)


@pytest.fixture
def here(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    # Short names: the path of a Unix socket has at most 107 bytes.
    folder = tmp_path_factory.mktemp("w")
    shutil.copytree(run.path.parent.parent, folder, dirs_exist_ok=True)
    with world(folder) as made:
        yield made


def test_two_steps_hold_a_wrong_one_and_one_without_its_controller_come_back(here: World, run: Run) -> None:
    journal = tell(here, run.moved(here.folder), print)
    ends = [line.split("  ")[-1] for line in journal.splitlines() if "confirm: " in line or "reverted: " in line]
    assert len(ends) == 4
    assert "specification failed" in ends[2]
    assert "lease expired" in ends[3]
    assert "journal is whole" in journal


def test_with_the_way_back_switched_off_the_testbed_does_not_come_back(here: World, run: Run) -> None:
    moved: Run = run.moved(here.folder)
    without_the_way_back(here, moved, print)
    assert not came_back(here, moved)
    assert here.in_force()["cpu_du_1"] < 0.5
