from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.promotion import Actor, Event, State
from bridge.transitions import TRANSITIONS, TransitionError, next_state


def _reachable_from(start: State) -> set[State]:
    found, open_states = {start}, [start]
    while open_states:
        state = open_states.pop()
        for (origin, _), transition in TRANSITIONS.items():
            if origin is state and transition.to not in found:
                found.add(transition.to)
                open_states.append(transition.to)
    return found


def test_every_state_is_reachable_from_planned() -> None:
    assert _reachable_from(State.PLANNED) == set(State)


@pytest.mark.parametrize("state", [s for s in State if s.is_in_flight])
def test_every_state_in_flight_has_a_way_to_rolled_back(state: State) -> None:
    assert State.ROLLED_BACK in _reachable_from(state)


@pytest.mark.parametrize("state", [s for s in State if s.is_final])
def test_a_final_state_has_no_way_out(state: State) -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is state]


@pytest.mark.parametrize("state", [s for s in State if not s.is_final])
def test_a_state_that_is_not_final_has_a_way_out_and_names_who_may_take_it(state: State) -> None:
    ways = [t for (origin, _), t in TRANSITIONS.items() if origin is state]
    assert ways
    assert all(t.actors for t in ways)


@pytest.mark.parametrize("state", [State.APPLYING, State.UNKNOWN, State.WATCHING])
@pytest.mark.parametrize("actor", [Actor.LEASE, Actor.DEADLINE, Actor.OPERATOR, Actor.RECOVERY])
def test_either_timer_the_operator_and_recovery_can_roll_back_whatever_may_be_in_force(
    state: State, actor: Actor
) -> None:
    assert next_state(state, Event.ROLL_BACK, actor) is State.ROLLING_BACK


def test_only_the_operator_applies_and_the_watchdog_never_confirms() -> None:
    assert TRANSITIONS[State.GATED, Event.APPLY].actors == {Actor.OPERATOR}
    with pytest.raises(TransitionError, match="watchdog may not"):
        next_state(State.WATCHING, Event.CONFIRM, Actor.WATCHDOG)


def test_nothing_is_confirmed_but_what_is_watched() -> None:
    assert [origin for (origin, _), t in TRANSITIONS.items() if t.to is State.CONFIRMED] == [State.WATCHING]


@given(st.lists(st.tuples(st.sampled_from(Event), st.sampled_from(Actor)), max_size=40))
def test_whatever_happens_in_whatever_order_only_the_table_moves_a_promotion(
    happenings: list[tuple[Event, Actor]],
) -> None:
    state = State.PLANNED
    was_gated = was_watched = False
    for event, actor in happenings:
        before = state
        try:
            state = next_state(state, event, actor)
        except TransitionError:
            allowed = TRANSITIONS.get((before, event))
            assert allowed is None or actor not in allowed.actors
            continue
        assert not before.is_final
        was_gated |= state is State.GATED
        was_watched |= state is State.WATCHING
        assert was_gated or not state.is_in_flight
        assert was_watched or state is not State.CONFIRMED
        # What may be in force leaves flight only through a read-back, a confirm or a refusal of the testbed.
        if before.is_in_flight and state.is_final:
            assert event in {Event.REVERTED, Event.REVERT_CONFLICT, Event.CONFIRM, Event.APPLY_REFUSED}
