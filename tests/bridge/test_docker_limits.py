from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.backends.docker_fleet import Fleet
from bridge.backends.docker_limits import DockerLimits
from bridge.inventory_reader import parse_inventory
from col.errors import PlantError, UnreachableError

INVENTORY = """
[testbed]
id = "t"
stack = "s"
radio_mode = "zmq"
[hosts.far]
docker = "ssh://ops@far"
[du.1]
host = "far"
container = "du"
[cu.1]
host = "far"
container = "cu"
[gnbs.1]
[controls.mem]
kind = "memory"
of = "du_1"
lower = 64
upper = 1024
resolution = 64
reference = 512
"""


class Engine:
    """An engine of another machine: a container that uses 300 MiB, 20 of them cache that can go."""

    def __init__(self) -> None:
        self.state = "running"
        self.memory: object = {"usage": 300 << 20, "stats": {"inactive_file": 20 << 20}}

    def get(self, path: str, params: object = None) -> Any:
        if path == "/containers/json":
            return [{"Id": "abc", "Names": ["/du"], "State": self.state}]
        assert path == "/containers/abc/stats"
        cpu = {"cpu_usage": {"total_usage": 1}}
        return {"read": "2026-01-01T00:00:00.5Z", "cpu_stats": cpu, "memory_stats": self.memory}


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def limits(engine: Engine) -> DockerLimits:
    pytest.importorskip("docker")
    fleet = Fleet(parse_inventory(INVENTORY, source="inventory.toml", folder=Path("/")), 1.0)
    fleet.engines["far"] = engine  # type: ignore[assignment]
    return DockerLimits(fleet)


def test_a_memory_limit_below_what_is_in_use_is_refused_also_where_only_the_engine_can_be_asked(
    engine: Engine, limits: DockerLimits
) -> None:
    assert limits.refusals({"mem": 256.0, "other": 1.0}) == ("mem = 256 MiB: 280 MiB are in use",)
    assert limits.refusals({"mem": 320.0}) == ()
    engine.state = "exited"
    assert limits.refusals({"mem": 256.0}) == ()


def test_where_nobody_says_how_much_memory_is_in_use_nothing_is_set(engine: Engine, limits: DockerLimits) -> None:
    engine.memory = {"usage": "much"}
    with pytest.raises(PlantError, match="how much memory du_1"):
        limits.refusals({"mem": 256.0})
    fails = UnreachableError("gone")

    def get(path: str, params: object = None) -> Any:
        raise fails

    engine.get = get  # type: ignore[method-assign]
    with pytest.raises(UnreachableError, match="gone"):
        limits.refusals({"mem": 256.0})
