"""Learning on a testbed: its agent's client as the plant, its recorded windows first, and what a report says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from col.errors import InputError
from col.plant import Plant
from col.problem import Problem
from tui.run_folder import RunFolder

if TYPE_CHECKING:
    from bridge.client import TestbedClient

__all__ = ["Testbed", "open_testbed"]


@dataclass(frozen=True, slots=True)
class Testbed:
    """A testbed to learn on: the plant, the client to be closed, and what `run.json` says of it."""

    __test__ = False

    plant: Plant
    client: TestbedClient
    facts: Mapping[str, Any]

    def take_history(self, folder: RunFolder, most: int) -> None:
        """Store the windows that the agent has recorded already, the latest `most` of them, as passive ones."""
        windows = self.plant.history(0)
        if most and len(windows):
            folder.append_passive(windows.take(slice(-most, None)))

    def check_same(self, stored: Mapping[str, Any], *, source: str) -> None:
        """Raise InputError unless this is the testbed on which a run was started."""
        for key in ("plant_id", "stack", "radio_mode"):
            if self.facts[key] != stored[key]:
                text = f"the run in this folder was started on {stored[key]!r}"
                raise InputError(text, source=source, key=key, value=self.facts[key])

    def close(self) -> None:
        """Close the connection; a trial in flight goes back with its lease."""
        self.client.close()


def open_testbed(
    address: str,
    connect: Callable[[str], Any] | None,
    problem: Problem,
    *,
    why: str = "trial of a rehearsal on the testbed",
) -> Testbed:
    """Connect to a testbed's agent and check that what is to be learned can be learned there.

    `why` stands in the agent's journal with every trial.

    Raises:
        InputError: the testbed lacks a control or metric of the problem, or its agent does not allow exploration.
        UnreachableError: the agent does not answer.
    """
    if connect is None:
        raise InputError("needs a connection", key="--on", value=address)
    from bridge.remote_plant import RemotePlant

    client = connect(address)
    try:
        status = client.status()
        problem.check(status.backend.plant)
        if not status.exploration_enabled:
            raise InputError(
                "its agent does not allow exploration: its operator turns that on in agent.toml, [exploration]",
                key="--on",
                value=address,
            )
        facts = {
            "address": address,
            "plant_id": status.backend.plant.plant_id,
            "stack": status.backend.stack,
            "radio_mode": status.backend.radio_mode,
            "emulated": status.backend.plant.emulated,
            "notes": list(status.backend.plant.notes),
        }
        return Testbed(RemotePlant(client, why=why), client, facts)
    except BaseException:
        client.close()
        raise
