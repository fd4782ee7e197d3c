"""The mechanisms of a scenario: one line each, off where the scenario has no such table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.attachment import Ues
from twin.channel import ChannelParameters
from twin.contention import Contention, ContentionParameters
from twin.controllers import Controller, Controllers
from twin.faults import Fault, Faults
from twin.handover import Handovers
from twin.mechanism import Mechanism
from twin.memory import Memory, MemoryParameters
from twin.mobility import A3Rule, Interruption, LoadRule
from twin.population import Population
from twin.radio_controls import RADIO_KINDS, RadioControls
from twin.scenario_model import Scenario
from twin.sources import OnOff, Profile
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
    channel = scenario.part(ChannelParameters)
    if channel is not None or any(scenario.value_of_kind(kind) is not None for kind in RADIO_KINDS):
        found.append(RadioControls(channel, streams, ran))
    if (memory := scenario.part(MemoryParameters)) is not None:
        found.append(Memory(memory, streams, ran))
    if (contention := scenario.part(ContentionParameters)) is not None:
        found.append(Contention(contention, streams, ran))
    if faults := scenario.parts(Fault):
        found.append(Faults(faults, streams, ran))
    if rules := scenario.parts(Controller):
        found.append(Controllers(rules, streams, ran))
    if (population := scenario.part(Population)) is not None:
        ues = Ues(population, scenario.part(OnOff) or scenario.part(Profile), streams, ran)
        found.append(ues)
        load, a3 = scenario.part(LoadRule), scenario.part(A3Rule)
        if load is not None or a3 is not None:
            found.append(Handovers(load, a3, scenario.part(Interruption) or Interruption(), ues, streams, ran))
    return tuple(found)
