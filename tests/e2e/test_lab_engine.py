"""The engine of containers dies in a trial: what was applied is taken back once it answers again.

The engine is the test's own, so that killing it harms nobody else's containers; it is started again as a supervisor
would do it, and its containers outlive it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.client import Credentials, TestbedClient
from bridge.remote_plant import RemotePlant
from col.plant import Intervention, Trial
from tests.e2e.lab_world import LabWorld, OwnEngine, lab_world, needs_lab
from tests.e2e.world import wait_until

pytestmark = [needs_lab, pytest.mark.slow]


@pytest.fixture
def engine() -> Iterator[OwnEngine]:
    made = OwnEngine()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def world(engine: OwnEngine, tmp_path: Path) -> Iterator[LabWorld]:
    with lab_world(tmp_path, docker_host=engine.address) as made:
        yield made


def test_an_engine_that_is_killed_in_a_trial_does_not_keep_it_from_being_taken_back(
    world: LabWorld, engine: OwnEngine
) -> None:
    world.lab_up("--gnbs", "1", "--window", "2", "--exploration")
    world.serve()
    confirmed = world.in_force()
    pids = {key: world.pid(key) for key in ("du_1", "cu_1")}
    target = {**confirmed, "cpu_du_1": 0.15}
    ended: list[Trial] = []
    with TestbedClient(world.facts["address"], Credentials(), timeout_s=60.0) as client:
        plant = RemotePlant(client, patience_s=600.0, lease_ttl_s=60.0)
        trial = threading.Thread(target=lambda: ended.append(plant.trial(Intervention({"cpu_du_1": 0.15}), 10)))
        trial.start()
        wait_until(lambda: world.is_at(target) or not trial.is_alive(), "the trial is in force")
        assert world.is_at(target), ended
        engine.kill_9()
        assert {key: world.running_pid(key, pid) for key, pid in pids.items()} == pids, (
            "containers outlive their engine"
        )
        wait_until(lambda: "rolling back" in world.run("history")[1], "the trial is over, and nobody can take it back")
        engine.start()
        wait_until(lambda: world.is_at(confirmed), "back at the confirmed limits")
        trial.join(timeout=600.0)
        assert not trial.is_alive()
    code, journal, err = world.run("history")
    assert code == 0, err
    assert "rolled back" in journal
