"""The whole way on real containers: calibrate the twin on a lab, rehearse on it, promote, come back from what breaks.

One lab of two gNBs serves all of it, one thing after the other, as on a testbed. Its engine is the test's own, so that
killing it harms nobody else's containers; it is started again as a supervisor would do it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.testbed.own_engine import OwnEngine
from col.certificate import Certificate
from col.signing import read_private_key
from tests.e2e.lab_world import LabWorld, lab_world, needs_lab
from tests.e2e.world import Line, wait_until
from tui.certificate_files import load_certificates, store_certificates
from tui.run_folder import RunFolder

pytestmark = [needs_lab, pytest.mark.slow]

STARVING_CORES = {"cpu_du": 0.056, "cpu_cu": 0.037}
"""Limits at which not nine tenths of what is offered are carried."""
LARGEST_STEP = {"cpu_du": 0.11, "cpu_cu": 0.06}
"""What the lab's agent allows in one promotion."""


@dataclass(frozen=True)
class Stage:
    """A lab with its agent, a rehearsed run, and the configurations along its path."""

    world: LabWorld
    engine: OwnEngine
    run: Path
    certificates: tuple[Certificate, ...]

    def wait_until_well(self, run: Path) -> None:
        """Wait until the gate has nothing against the next step: windows before it, a fault say, may still fail φ."""
        until = time.monotonic() + 600.0
        while True:
            code, out, err = self.world.run("promote", str(run), "--dry-run", "--json")
            if code == 0:
                return
            assert time.monotonic() < until, f"the gate never passes: {out} {err}"
            time.sleep(1.0)

    def promote(self, run: Path, *more: str) -> tuple[int, dict[str, Any], str]:
        self.wait_until_well(run)
        line = self.world.start("promote", str(run), "--yes", "--json", "--wait", "300", *more)
        out, _ = line.process.communicate(timeout=900.0)
        promotions = json.loads(out)["promotions"] if out else [{}]
        return line.process.returncode, dict(promotions[-1]), line.said

    def wait_in_force(self, command: Line, values: Mapping[str, float]) -> None:
        """Wait until these limits are in force: the gate may wait for windows for as long as the command allows it."""
        until = time.monotonic() + 600.0
        while not self.world.is_at(values):
            assert command.process.poll() is None, f"ended before it was in force: {command.said}\n{self.journal()}"
            assert time.monotonic() < until, f"never in force: {command.said}\n{self.journal()}"
            time.sleep(0.1)

    def confirmed(self) -> dict[str, float]:
        """Return what is confirmed, as the agent says."""
        code, out, err = self.world.run("status", "--json")
        assert code == 0, err
        return dict(json.loads(out)["confirmed"])

    def journal(self) -> str:
        code, out, err = self.world.run("history")
        assert code == 0, err
        return out


@pytest.fixture
def engine() -> Iterator[OwnEngine]:
    made = OwnEngine()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def stage(engine: OwnEngine, tmp_path: Path) -> Iterator[Stage]:
    with lab_world(tmp_path, docker_host=engine.address) as world:
        world.lab_up("--gnbs", "2", "--window", "2", "--exploration")
        world.serve()
        twin = calibrated(world)
        world.stop_agent()
        world.run_long("lab", "accept", str(twin), "--name", world.name)
        world.serve()
        out = world.run_long(
            "rehearse", str(twin), "--testbed", "lab", "--stack", "rantwin lab", "--largest-step", "0.04",
            "--seed", "5", "--passive-windows", "160", "--max-trials", "10", "--quiet", "--json",
        )  # fmt: skip
        run = world.folder / json.loads(out)["run"]
        certificates = tuple(signed.certificate() for signed in load_certificates(run))
        assert len(certificates) >= 3, out
        yield Stage(world, engine, run, certificates)


def calibrated(world: LabWorld) -> Path:
    """Calibrate the twin on the lab through its agent's gate, and return the scenario with the fitted costs."""
    before = world.in_force()
    result = json.loads(
        world.run_long(
            "calibrate", "--on", world.facts["address"], "--scenario", world.facts["scenario"], "--out", "mine.toml",
            "--levels", "1", "--windows", "2", "--timeout", "60", "--quiet", "--json",
        )
    )  # fmt: skip
    assert world.in_force() == before, "a calibration leaves the testbed as it was"
    assert [trial["outcome"] for trial in result["trials"]].count("held") >= 1, result["trials"]
    assert result["errors"]["after"]["du_cores"] < 0.15, result["errors"]
    return world.folder / "mine.toml"


def wrong_run(stage: Stage, number: int) -> Path:
    """Return a copy of the run whose step of that number starves a gNB: signed, from a twin that knows less."""
    signed = load_certificates(stage.run)
    step = stage.certificates[number - 1]
    kinds = {name: name.rpartition("_")[0] for name in step.base}
    reach = {name: step.base[name] - LARGEST_STEP[kind] for name, kind in kinds.items()}
    name = min(reach, key=lambda name: reach[name] / STARVING_CORES[kinds[name]])
    assert reach[name] <= STARVING_CORES[kinds[name]], step.base
    cores = max(0.6 * STARVING_CORES[kinds[name]], round(reach[name] + 0.0011, 3))
    wrong = replace(step, target={**step.base, name: round(cores / 0.002) * 0.002})
    key = read_private_key(stage.world.config / "keys" / "signing.pem")
    folder = RunFolder.create(stage.run.parent, RunFolder.open(stage.run).manifest, "", datetime.now())
    store_certificates(folder, [*signed[: number - 1], key.sign(wrong)], {})
    folder.close()
    return folder.path


def confirms_two_steps(stage: Stage) -> None:
    assert stage.world.is_at(stage.certificates[0].base)
    for number in (1, 2):
        code, promotion, said = stage.promote(stage.run)
        assert (code, promotion["state"]) == (0, "confirmed"), said
        assert stage.world.is_at(stage.certificates[number - 1].target), stage.world.in_force()


def rolls_back_what_starves_a_du(stage: Stage) -> None:
    confirmed = stage.certificates[1].target
    code, promotion, said = stage.promote(wrong_run(stage, 3))
    assert (code, promotion["state"], promotion["cause"]) == (1, "rolled back", "specification failed"), said
    assert stage.world.is_at(confirmed), stage.world.in_force()


def kills_a_du_in_a_trial(stage: Stage) -> None:
    world, confirmed = stage.world, stage.certificates[1].target
    stage.wait_until_well(stage.run)
    command = world.start("promote", str(stage.run), "--yes", "--wait", "300")
    stage.wait_in_force(command, stage.certificates[2].target)
    before = world.pid("du_1")
    world.kill_9("du_1")
    out, _ = command.process.communicate(timeout=900.0)
    assert command.process.returncode == 1, (out, command.said)
    wait_until(lambda: world.pid("du_1") not in (0, before), "the engine starts the DU again")
    wait_until(lambda: world.is_at(confirmed), f"back at the confirmed limits, not {stage.confirmed()}")
    assert "rolled back" in stage.journal()


def kills_the_engine_in_a_trial(stage: Stage) -> None:
    world, confirmed = stage.world, stage.certificates[1].target
    stage.wait_until_well(stage.run)
    command = world.start("promote", str(stage.run), "--yes", "--wait", "300")
    stage.wait_in_force(command, stage.certificates[2].target)
    pids = {key: world.pid(key) for key in ("du_1", "cu_2")}
    stage.engine.kill_9()
    assert {key: world.running_pid(key, pid) for key, pid in pids.items()} == pids, "containers outlive their engine"
    ordered = stage.journal().count("rolling back")
    command.kill()
    wait_until(
        lambda: stage.journal().count("rolling back") > ordered,
        "the lease ends, and there is no engine to go back with",
    )
    stage.engine.start()
    wait_until(lambda: world.is_at(confirmed), "back at the confirmed limits")


def kills_the_agent_in_a_trial(stage: Stage) -> None:
    world, confirmed = stage.world, stage.certificates[1].target
    stage.wait_until_well(stage.run)
    command = world.start("promote", str(stage.run), "--yes", "--wait", "300")
    stage.wait_in_force(command, stage.certificates[2].target)
    world.kill_agent()
    assert world.is_at(stage.certificates[2].target), "nobody is there to take it back yet"
    world.serve()
    wait_until(lambda: world.is_at(confirmed), "back at the confirmed limits")
    command.process.communicate(timeout=900.0)
    assert command.process.returncode != 0
    assert "agent restarted" in stage.journal()


def asks_and_takes_down(stage: Stage) -> None:
    world = stage.world
    code, _, err = world.run("history", "--verify")
    assert code == 0, err
    code, out, err = world.run("lab", "status", "--name", world.name, "--json")
    assert code == 0, err
    status = json.loads(out)
    assert status["up"]
    assert len(status["containers"]) == 6
    assert status["traffic"]["2"]["thp_dl"] > 0.0
    world.stop_agent()
    world.lab_down()
    code, out, _ = world.run("lab", "status", "--name", world.name, "--json")
    assert code == 1
    assert json.loads(out)["containers"] == {}


def test_from_a_calibration_to_real_containers_and_back_whatever_breaks(stage: Stage) -> None:
    confirms_two_steps(stage)
    rolls_back_what_starves_a_du(stage)
    kills_a_du_in_a_trial(stage)
    kills_the_engine_in_a_trial(stage)
    kills_the_agent_in_a_trial(stage)
    asks_and_takes_down(stage)
