"""The state machine of a promotion as one table: (state, event), who may make it happen, the next state.

Nothing else moves a promotion. A pair that is not in the table, or an actor that is not named there, is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bridge.promotion import Actor, Event, State
from col.errors import PlantError

__all__ = ["TRANSITIONS", "Transition", "TransitionError", "next_state"]


class TransitionError(PlantError):
    """The table has no such transition: a fault of the agent, not of whoever asked."""


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an event leads, and who may make it happen."""

    actors: frozenset[Actor]
    to: State


def _by(*actors: Actor) -> frozenset[Actor]:
    return frozenset(actors)


_AGENT = _by(Actor.AGENT)
_TESTBED = _by(Actor.TESTBED)
_ANYBODY = frozenset(Actor)

TRANSITIONS: Mapping[tuple[State, Event], Transition] = MappingProxyType(
    {
        (State.PLANNED, Event.GATE_PASSED): Transition(_AGENT, State.GATED),
        (State.PLANNED, Event.GATE_REFUSED): Transition(_AGENT, State.REFUSED),
        # The gate is asked again when the plan is applied: the testbed may have moved on.
        (State.GATED, Event.GATE_REFUSED): Transition(_AGENT, State.REFUSED),
        # By the operator: a plan that was cancelled before it was applied.
        (State.GATED, Event.PLAN_EXPIRED): Transition(_by(Actor.DEADLINE, Actor.OPERATOR), State.REFUSED),
        (State.GATED, Event.APPLY): Transition(_by(Actor.OPERATOR), State.APPLYING),
        (State.APPLYING, Event.APPLIED): Transition(_TESTBED, State.WATCHING),
        (State.APPLYING, Event.APPLY_REFUSED): Transition(_TESTBED, State.REFUSED),
        (State.APPLYING, Event.REPLY_LOST): Transition(_TESTBED, State.UNKNOWN),
        (State.APPLYING, Event.ROLL_BACK): Transition(_ANYBODY, State.ROLLING_BACK),
        (State.UNKNOWN, Event.READ_BACK_TARGET): Transition(_TESTBED, State.WATCHING),
        (State.UNKNOWN, Event.READ_BACK_BASE): Transition(_TESTBED, State.ROLLING_BACK),
        # Part of it is ours and has to go first; what somebody else set makes it a conflict at the end.
        (State.UNKNOWN, Event.READ_BACK_OTHER): Transition(_TESTBED, State.ROLLING_BACK),
        (State.UNKNOWN, Event.ROLL_BACK): Transition(_ANYBODY, State.ROLLING_BACK),
        (State.WATCHING, Event.CONFIRM): Transition(_by(Actor.OPERATOR, Actor.AGENT), State.CONFIRMED),
        (State.WATCHING, Event.ROLL_BACK): Transition(_ANYBODY, State.ROLLING_BACK),
        (State.ROLLING_BACK, Event.REVERTED): Transition(_TESTBED, State.ROLLED_BACK),
        (State.ROLLING_BACK, Event.REVERT_CONFLICT): Transition(_TESTBED, State.CONFLICT),
    }
)
"""The whole state machine."""


def next_state(state: State, event: Event, actor: Actor) -> State:
    """Return where the event leads; TransitionError if the table does not have it for this actor."""
    transition = TRANSITIONS.get((state, event))
    if transition is None:
        raise TransitionError(f"a promotion that is {state} cannot have the event {event!s}")
    if actor not in transition.actors:
        raise TransitionError(f"{actor!s} may not make the event {event!s} happen to a promotion that is {state}")
    return transition.to
