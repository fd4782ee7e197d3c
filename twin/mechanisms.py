"""The mechanisms of a scenario: one line each, off where the scenario has no such table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.contention import Contention, ContentionParameters
from twin.faults import Fault, Faults
from twin.mechanism import Mechanism
from twin.memory import Memory, MemoryParameters
from twin.scenario_model import Scenario
from twin.streams import Streams

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["mechanisms"]


def mechanisms(scenario: Scenario, streams: Streams, ran: RanState) -> tuple[Mechanism, ...]:
    """Return the mechanisms that the scenario switches on, in a fixed order, for a run that is being built.

    The data plane stands already (`ran.plane`); no control is in force yet. A mechanism that is added or taken away
    must leave the others' numbers as they are: each draws from streams of its own name.
    """
    found: list[Mechanism] = []
    if (memory := scenario.part(MemoryParameters)) is not None:
        found.append(Memory(memory, streams, ran))
    if (contention := scenario.part(ContentionParameters)) is not None:
        found.append(Contention(contention, streams, ran))
    if faults := scenario.parts(Fault):
        found.append(Faults(faults, streams, ran))
    return tuple(found)
