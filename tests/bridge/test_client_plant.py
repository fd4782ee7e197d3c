"""A testbed behind an agent passes the battery of every plant."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.agent import Agent
from bridge.agent_config import agent_config_text
from bridge.client import TestbedClient
from bridge.remote_plant import RemotePlant
from bridge.settings import Exploration
from col.errors import UnreachableError
from col.plant import Intervention, Plant, TrialOutcome
from tests.bridge.scripted_backend import Fault, ScriptedBackend
from tests.bridge.wire_world import BOX, ENGINE, AgentProcess, config_in, scripted
from tests.contract.plant_contract import PlantContract, held


class TestRemotePlant(PlantContract):
    deterministic = False

    @pytest.fixture(autouse=True)
    def _tidy(self) -> Iterator[None]:
        with ExitStack() as self.stack:
            yield

    def make(
        self, testbed: ScriptedBackend | None = None, **exploration: object
    ) -> tuple[RemotePlant, ScriptedBackend]:
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="rw")))
        box = replace(ENGINE.exploration, **exploration)  # type: ignore[arg-type]
        testbed = testbed or scripted()
        agent = Agent(config_in(folder, engine=replace(ENGINE, exploration=box)), backend=testbed)
        client = self.stack.enter_context(TestbedClient(agent.start()))
        self.stack.callback(agent.stop)
        return RemotePlant(client, patience_s=20.0, lease_ttl_s=5.0), testbed

    def make_plant(self) -> Plant:
        return self.make()[0]

    def make_plant_that_misses(self) -> tuple[Plant, str] | None:
        testbed = scripted()
        testbed.without_numbers = set(range(10_000))
        return self.make(testbed)[0], "late_a"

    def make_plant_that_refuses(self) -> tuple[Plant, Intervention] | None:
        upper = Exploration(upper={"cpu_a": 2.5, "cpu_b": 4.0, "bias": 6.0}, lower=BOX).upper
        return self.make(upper=upper)[0], Intervention({"cpu_a": 3.0})

    def test_a_trial_that_violates_the_specification_is_rolled_back_early_and_its_windows_count(self) -> None:
        plant, testbed = self.make()
        trial = plant.trial(Intervention({"cpu_a": 0.5}), 5)
        assert trial.outcome is TrialOutcome.ROLLED_BACK
        assert 1 <= len(trial.windows) <= 5
        assert set(trial.windows.controls["cpu_a"].tolist()) == {0.5}
        assert trial.reasons
        assert testbed.values["cpu_a"] == 2.0

    def test_a_trial_whose_answer_was_lost_on_the_way_to_the_testbed_is_found_by_reading_back(self) -> None:
        plant, testbed = self.make()
        testbed.faults["apply"].append(Fault.LOST_AFTER)
        trial = held(plant.trial(Intervention({"cpu_a": 1.5}), 2))
        assert trial.read_back is not None
        assert trial.read_back["cpu_a"] == 1.5
        assert testbed.values["cpu_a"] == 2.0

    def test_a_trial_that_the_testbed_refuses_is_refused_with_its_reason(self) -> None:
        plant, testbed = self.make()
        testbed.faults["apply"].append(Fault.REFUSE)
        trial = plant.trial(Intervention({"cpu_a": 1.5}), 2)
        assert trial.outcome is TrialOutcome.REFUSED
        assert "out of service" in trial.reasons[0]

    def test_a_testbed_whose_clock_stands_still_is_an_error_and_not_a_wait_without_end(self) -> None:
        plant, testbed = self.make()
        plant.describe()
        testbed.freeze()
        impatient = RemotePlant(plant._client, patience_s=0.3)
        with pytest.raises(UnreachableError):
            impatient.observe(1)


@pytest.mark.slow
class TestRemotePlantOfAnotherProcess(PlantContract):
    """The same battery with agent and testbed in a process of their own, one a case."""

    deterministic = False

    @pytest.fixture(autouse=True)
    def _tidy(self) -> Iterator[None]:
        with ExitStack() as self.stack:
            yield

    def start(self, **exploration: object) -> RemotePlant:
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="rw")))
        box = replace(ENGINE.exploration, **exploration)  # type: ignore[arg-type]
        file = folder / "agent.toml"
        file.write_text(agent_config_text(config_in(folder, engine=replace(ENGINE, exploration=box))))
        process = self.stack.enter_context(AgentProcess(file))
        client = TestbedClient(process.start())
        self.stack.enter_context(client)
        return RemotePlant(client, patience_s=20.0, lease_ttl_s=5.0)

    def make_plant(self) -> Plant:
        return self.start()

    def make_plant_that_refuses(self) -> tuple[Plant, Intervention] | None:
        return self.start(upper={"cpu_a": 2.5, "cpu_b": 4.0, "bias": 6.0}), Intervention({"cpu_a": 3.0})
