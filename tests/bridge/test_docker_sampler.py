from __future__ import annotations

import math
from pathlib import Path

import pytest

from bridge.backends.docker_fleet import Fleet
from bridge.backends.docker_sampler import Sampler, Snapshot
from bridge.inventory_reader import parse_inventory
from bridge.telemetry.source import Sample
from tests.bridge.test_docker_limits import INVENTORY


class Source:
    """A plug-in that fails when it is told to."""

    def __init__(self) -> None:
        self.fails = True

    def sample(self, start_s: float, end_s: float) -> Sample:
        if self.fails:
            raise ZeroDivisionError("a fault of the plug-in")
        return Sample(values={"thp_dl_1": 3.0})


def test_a_source_that_fails_is_said_once_and_what_it_measures_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("docker")
    fleet, source = Fleet(parse_inventory(INVENTORY, source="i.toml", folder=Path("/")), 1.0), Source()
    sampler = Sampler(fleet, [source], lambda: 0.0, dict)  # type: ignore[list-item]
    before, after = (Snapshot(at_s=at_s, states={}) for at_s in (0.0, 15.0))

    def row() -> tuple[float, float]:
        found = sampler.row(before, after, 0.0, 15.0)
        return found.metrics.get("thp_dl_1", math.nan), found.metrics["cpuu_du_1"]

    for _ in range(3):
        assert all(math.isnan(value) for value in row())
    assert [record.exc_text is not None for record in caplog.records] == [True]
    assert "a fault of the plug-in" in caplog.text
    source.fails = False
    assert row()[0] == 3.0
    source.fails = True
    row()
    assert len(caplog.records) == 2, "it is news again"
    sampler.close()
    fleet.close()
