"""The gate: each thing that can be wrong is refused with its own reason, and no reason hides another."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.backends.base import Reading
from bridge.identity import Identity, Role
from bridge.plan import Mode, Plan
from bridge.promotion import Promotion, State
from bridge.reasons import Reason, ReasonCode
from bridge.settings import Exploration
from col.errors import InputError
from col.plant import Provenance, concatenate_windows
from tests.bridge.gate_world import (
    BASE,
    KEY,
    NOW_S,
    STRANGER,
    TARGET,
    GateWorld,
    make_certificate,
    make_description,
    make_windows,
    signature_of,
)


def promotion(state: State) -> Promotion:
    world = GateWorld()
    plan = Plan(request=world.request, before=BASE, after=BASE, changes=(), digest="")
    who = Identity(name="olga", role=Role.OPERATOR, proof="test")
    return Promotion(promotion_id="p0", plan=plan, state=state, who=who, version=1, created_wall_s=0.0)


def reading(**changes: float) -> Reading:
    return Reading(controls={**BASE, **changes}, at_s=0.0, next_sequence=109)


def test_a_good_plan_passes_and_says_what_it_changes() -> None:
    found = GateWorld().check()

    assert found.reasons == ()
    assert found.before == BASE
    assert found.after == {**BASE, **TARGET}
    assert [(c.control, c.before, c.after, c.unit) for c in found.changes] == [("cpu_du_1", 1.2, 0.9, "core")]
    assert found.drift is not None
    assert found.drift < 1.0


C, W = ReasonCode, GateWorld
ONE_THING_WRONG: list[tuple[ReasonCode, Callable[[GateWorld], GateWorld]]] = [
    (C.CERTIFICATE_MISSING, lambda w: w.ask(certificate=None)),
    (C.CERTIFICATE_FORGED, lambda w: w.ask(certificate=signature_of(w.request.certificate.payload))),  # type: ignore[union-attr]
    (C.CERTIFICATE_FORGED, lambda w: w.ask(certificate=signature_of(b"{}"))),
    (C.CERTIFICATE_FORGED, lambda w: w.ask(certificate=signature_of(b"[" * 9999))),
    (C.CERTIFICATE_UNTRUSTED_KEY, lambda w: w.certified(STRANGER)),
    (C.CERTIFICATE_UNTRUSTED_KEY, lambda w: w.need(trusted_keys={})),
    (C.CERTIFICATE_FORGED, lambda w: w.need(trusted_keys={KEY.key_id: STRANGER.public.raw})),
    (C.CERTIFICATE_EXPIRED, lambda w: w.certified(expires_at_s=NOW_S)),
    (C.CERTIFICATE_EXPIRED, lambda w: w.see(now_wall_s=NOW_S + 3600)),
    (C.CERTIFICATE_NOT_YET_VALID, lambda w: w.certified(issued_at_s=NOW_S + 61)),
    (C.OTHER_SPECIFICATION, lambda w: w.certified(specification="always[0,4](thp_1 >= 9.5)")),
    (C.OTHER_SPECIFICATION, lambda w: w.certified(specification="not a specification\n")),
    (C.OTHER_SCENARIO, lambda w: w.certified(scenario_digest="d2\x1b[31m\n")),
    (C.OTHER_SCENARIO, lambda w: w.need(scenario_digests=frozenset())),
    (C.OTHER_TESTBED, lambda w: w.certified(testbed_id="field")),
    (C.OTHER_STACK, lambda w: w.certified(stack="oai")),
    (C.OTHER_RADIO_MODE, lambda w: w.certified(radio_mode="zmq")),
    (C.OTHER_CALIBRATION, lambda w: w.certified(calibration_id="c3")),
    (C.OTHER_WINDOW, lambda w: w.certified(window_s=1.0)),
    (C.BOUND_BELOW_ALPHA, lambda w: w.certified(bound=0.899)),
    (C.BOUND_BELOW_ALPHA, lambda w: w.certified(delta=0.1)),
    (C.UNCERTIFIED_TARGET, lambda w: w.certified(target={**BASE, **TARGET, "cpu_du_2": 1.1})),
    (C.UNCERTIFIED_TARGET, lambda w: w.ask(target={"cpu_du_1": 0.91})),
    (C.UNKNOWN_CONTROL, lambda w: w.ask(target={**TARGET, "gpu\n": 1.0})),
    (C.OUT_OF_BOUNDS, lambda w: w.explore({"cpu_du_1": 1.51}, upper={"": 9.0}, largest_step={})),
    (C.OFF_RESOLUTION, lambda w: w.explore({"cpu_du_1": 1.105})),
    (C.NOT_LIVE, lambda w: w.explore({"pool": 5.0}, lower={"": 0.0}, largest_step={})),
    (C.NO_CHANGE, lambda w: w.ask(target={}).certified(target=BASE)),
    (C.NO_CHANGE, lambda w: w.ask(target={"cpu_du_1": 1.2}).certified(target=BASE)),
    (C.STEP_TOO_LARGE, lambda w: w.ask(target={"cpu_du_1": 0.79}).certified(target={**BASE, "cpu_du_1": 0.79})),
    (C.STEP_TOO_LARGE, lambda w: w.explore({"cpu_du_1": 0.99})),
    (C.TOO_MANY_GNBS, lambda w: w.ask(target={"cpu_cu": 0.9}).certified(target={**BASE, "cpu_cu": 0.9})),
    (C.TOO_SOON, lambda w: w.see(last_change_s_ago=59.9)),
    (C.DRIFT, lambda w: w.see(windows=make_windows(pow=93.0))),
    (C.DRIFT_UNKNOWN, lambda w: w.certified(predictions={})),
    (C.METRIC_ESTIMATED, lambda w: w.see(description=make_description(estimated=frozenset({"pow"})))),
    (C.METRIC_ESTIMATED, lambda w: w.see(windows=replace(make_windows(), provenance={"pow": Provenance.ESTIMATED}))),
    (C.SPECIFICATION_FAILS_NOW, lambda w: w.explore({"cpu_du_1": 1.1}).see(windows=make_windows(thp_1=9.0))),
    (C.SPECIFICATION_INCONCLUSIVE_NOW, lambda w: w.explore({"cpu_du_1": 1.1}).see(windows=make_windows(4, first=104))),
    (C.SPECIFICATION_INCONCLUSIVE_NOW, lambda w: w.see(windows=make_windows(thp_2=[10.0] * 6 + [math.nan, 10.0]))),
    (C.SPECIFICATION_INCONCLUSIVE_NOW, lambda w: w.see(windows=make_windows(thp_2=[10.0] * 6 + [math.inf, 10.0]))),
    (C.SPECIFICATION_INCONCLUSIVE_NOW, lambda w: w.see(windows=make_windows(first=50))),
    (C.TRIAL_IN_FLIGHT, lambda w: w.see(active=promotion(State.WATCHING))),
    (C.TRIAL_IN_FLIGHT, lambda w: w.see(active=promotion(State.UNKNOWN))),
    (C.BACKEND_UNREACHABLE, lambda w: w.see(reading=None)),
    (C.BACKEND_UNREACHABLE, lambda w: w.see(reading=reading(cpu_cu=math.nan))),
    (C.JOURNAL_FULL, lambda w: w.see(problems=(Reason(code=C.JOURNAL_FULL, text="full"),))),
    (C.REPAIR_NEEDS_REASON, lambda w: w.ask(mode=Mode.REPAIR, why="  ")),
    (C.EXPLORATION_OFF, lambda w: w.explore({"cpu_du_1": 1.1}, enabled=False)),
    (C.OUTSIDE_EXPLORATION_BOX, lambda w: w.explore({"cpu_du_1": 0.49}, largest_step={})),
    (C.OUTSIDE_EXPLORATION_BOX, lambda w: w.explore({"cpu_du_1": 1.1}, lower={}, upper={})),
    (C.OUTSIDE_EXPLORATION_BOX, lambda w: w.explore({"cpu_du_1": 1.1}, lower={"cpu_du_2": 0.1}, upper={})),
]  # fmt: skip


def test_a_control_away_from_its_certified_base_is_named_and_no_window_is_of_that_base() -> None:
    found = GateWorld().certified(base={**BASE, "cpu_du_2": 1.1}).check()

    assert [r.code for r in found.reasons] == [C.UNCERTIFIED_CONTROL, C.DRIFT_UNKNOWN]
    assert found.reasons[0].text == "cpu_du_2 is 1.2 core, certified is 1.1 core"


@pytest.mark.parametrize(("code", "spoil"), ONE_THING_WRONG)
def test_one_thing_that_is_wrong_is_the_one_reason(code: ReasonCode, spoil: Callable[[GateWorld], GateWorld]) -> None:
    assert spoil(GateWorld()).codes() == {code}


def test_every_reason_of_the_gate_is_tried_here() -> None:
    elsewhere = {C.PLAN_STALE, C.PLAN_EXPIRED, C.JOURNAL_DAMAGED, C.TESTBED_REFUSED}  # the engine's own
    below = {C.UNCERTIFIED_CONTROL, C.CONFLICT, C.LAST_HEALTHY_CELL, C.METRIC_MISSING}

    assert {code for code, _ in ONE_THING_WRONG} | elsewhere | below == set(ReasonCode)


def test_no_reason_hides_another() -> None:
    world = GateWorld().certified(
        STRANGER,
        expires_at_s=NOW_S - 1,
        specification="always[0,4](thp_1 >= 9.5)",
        scenario_digest="d2",
        testbed_id="field",
        stack="oai",
        radio_mode="zmq",
        calibration_id="c3",
        window_s=1.0,
        bound=0.5,
        delta=0.2,
        base={**BASE, "cpu_du_2": 0.7},
        target={**BASE, "cpu_du_2": 0.7, "cpu_du_1": 0.7},
    )
    world.ask(target={"cpu_du_1": 0.333, "cpu_cu": 3.0, "pool": 5.0, "gpu": 1.0})
    world.see(
        windows=make_windows(3, first=106, thp_1=0.0, thp_2=5.0),
        last_change_s_ago=1.0,
        active=promotion(State.APPLYING),
    )

    assert world.codes() == {
        C.CERTIFICATE_UNTRUSTED_KEY,
        C.CERTIFICATE_EXPIRED,
        C.OTHER_SPECIFICATION,
        C.OTHER_SCENARIO,
        C.OTHER_TESTBED,
        C.OTHER_STACK,
        C.OTHER_RADIO_MODE,
        C.OTHER_CALIBRATION,
        C.OTHER_WINDOW,
        C.BOUND_BELOW_ALPHA,
        C.UNCERTIFIED_CONTROL,
        C.UNCERTIFIED_TARGET,
        C.UNKNOWN_CONTROL,
        C.NOT_LIVE,
        C.OUT_OF_BOUNDS,
        C.OFF_RESOLUTION,
        C.STEP_TOO_LARGE,
        C.TOO_MANY_GNBS,
        C.LAST_HEALTHY_CELL,
        C.TOO_SOON,
        C.DRIFT_UNKNOWN,
        C.SPECIFICATION_FAILS_NOW,
        C.TRIAL_IN_FLIGHT,
    }


def test_a_certificate_changed_by_any_one_byte_is_refused() -> None:
    payload = KEY.sign(make_certificate()).payload

    for i in range(0, len(payload), 3):
        spoiled = payload[:i] + bytes([payload[i] ^ 1]) + payload[i + 1 :]
        codes = GateWorld().forged(spoiled).codes()
        assert codes & {C.CERTIFICATE_FORGED, C.CERTIFICATE_UNTRUSTED_KEY}


def test_the_clock_of_the_operator_may_be_a_minute_ahead() -> None:
    assert GateWorld().certified(issued_at_s=NOW_S + 59).codes() == set()


def test_values_less_than_half_a_resolution_apart_are_the_same() -> None:
    world = GateWorld().see(reading=reading(cpu_du_2=1.2049))

    assert world.codes() == set()
    assert [c.control for c in world.check().changes] == ["cpu_du_1"]


# --- conflicts --------------------------------------------------------------------------------------------------------


def test_what_somebody_else_changed_is_a_conflict_and_never_certified() -> None:
    world = GateWorld().see(reading=reading(cpu_du_2=0.8), windows=make_windows(controls={**BASE, "cpu_du_2": 0.8}))

    assert C.CONFLICT in world.codes()
    assert C.UNCERTIFIED_CONTROL in world.codes()
    found = world.check()
    assert found.before["cpu_du_2"] == 0.8
    assert found.after["cpu_du_2"] == 1.2  # what is not named takes its confirmed value


def test_values_that_the_automation_moved_are_no_conflict_for_exploration() -> None:
    moved = {**BASE, "cpu_du_2": 1.1}
    world = GateWorld().explore({"cpu_du_1": 1.1})
    world.see(reading=replace(reading(cpu_du_2=1.1), automation=True), windows=make_windows(controls=moved))

    assert world.codes() == set()
    assert {c.control for c in world.check().changes} == {"cpu_du_1", "cpu_du_2"}
    assert any("automation" in note for note in world.check().notes)


def test_the_values_of_a_trial_in_flight_are_no_conflict() -> None:
    world = GateWorld().see(reading=reading(cpu_du_1=0.9), active=promotion(State.WATCHING))

    assert C.CONFLICT not in world.codes()


def test_a_promotion_that_is_over_or_not_begun_is_not_in_flight() -> None:
    for state in (State.GATED, State.CONFIRMED, State.ROLLED_BACK):
        assert GateWorld().see(active=promotion(state)).codes() == set()


# --- the testbed now --------------------------------------------------------------------------------------------------


def test_a_metric_that_the_testbed_lacks_is_named() -> None:
    description = make_description()
    plant = replace(description.plant, metrics=description.plant.metrics[:2])
    world = GateWorld().see(description=replace(description, plant=plant), windows=_without(make_windows(), "pow"))

    assert world.codes() == {C.METRIC_MISSING, C.SPECIFICATION_INCONCLUSIVE_NOW, C.DRIFT_UNKNOWN}


def _without(windows: Any, metric: str) -> Any:
    return replace(windows, metrics={k: v for k, v in windows.metrics.items() if k != metric})


def test_an_estimated_metric_is_accepted_where_the_operator_says_so() -> None:
    world = GateWorld().see(description=make_description(estimated=frozenset({"pow"})))

    assert world.need(accept_estimated=frozenset({"pow"})).codes() == set()


def test_windows_of_another_configuration_say_nothing_of_now() -> None:
    other = make_windows(controls={**BASE, "cpu_du_1": 0.9})

    assert GateWorld().see(windows=other).codes() == {C.SPECIFICATION_INCONCLUSIVE_NOW, C.DRIFT_UNKNOWN}


def test_a_lost_window_among_the_latest_is_a_gap() -> None:
    windows = make_windows(9)
    gap = windows.take(windows.sequence != 105)

    assert GateWorld().see(windows=gap).codes() == {C.SPECIFICATION_INCONCLUSIVE_NOW}


def test_a_window_elsewhere_begins_the_count_of_windows_in_a_row_anew() -> None:
    # A trial that was just taken back: seven windows of the configuration in force, then one of the trial's.
    elsewhere = {**BASE, "cpu_du_1": 1.0}
    windows = concatenate_windows([make_windows(7), make_windows(1, first=107, controls=elsewhere)])
    assert GateWorld().see(windows=windows).codes() == {C.SPECIFICATION_INCONCLUSIVE_NOW}
    after = concatenate_windows([make_windows(2, controls=elsewhere), make_windows(6, first=102)])
    assert GateWorld().see(windows=after).codes() == set()


def test_a_repair_waives_that_the_specification_fails_now_and_nothing_else() -> None:
    world = GateWorld().ask(mode=Mode.REPAIR, why="cell 1 starves").see(windows=make_windows(thp_1=9.0))

    # That thp_1 is not what the twin predicts is the violation itself: without that no repair would ever pass.
    assert world.codes() == set()
    assert [note.split(":")[0] for note in world.check().notes].count("waived for a repair") == 2
    assert (world.check().drift or 0.0) > 2.0
    assert world.see(last_change_s_ago=1.0).codes() == {C.TOO_SOON}
    assert world.ask(why="").codes() == {C.TOO_SOON, C.REPAIR_NEEDS_REASON}
    assert world.ask(mode=Mode.PROMOTION).codes() == {C.TOO_SOON, C.SPECIFICATION_FAILS_NOW, C.DRIFT}


def test_a_repair_is_held_to_the_drift_of_whatever_holds_now() -> None:
    world = GateWorld().ask(mode=Mode.REPAIR, why="cell 1 starves")

    assert world.see(windows=make_windows(thp_1=9.0, pow=70.0)).codes() == {C.DRIFT}
    assert world.see(windows=make_windows(pow=70.0)).codes() == {C.DRIFT}, "nothing is to be repaired there"
    lost = make_windows(9, pow=70.0)
    lost = lost.take(lost.sequence != 105)
    assert world.see(windows=lost).codes() == {C.DRIFT}, "nor does a lost window say that something is"


def test_a_repair_of_what_cannot_be_measured_any_more_needs_no_drift_of_that_alone() -> None:
    world = GateWorld().ask(mode=Mode.REPAIR, why="cell 1 is dead")

    assert world.see(windows=make_windows(thp_1=np.nan)).codes() == set()
    assert world.see(windows=make_windows(thp_1=np.nan, pow=np.nan)).codes() == set()
    assert world.ask(mode=Mode.PROMOTION).codes() == {C.SPECIFICATION_INCONCLUSIVE_NOW, C.DRIFT_UNKNOWN}


def test_a_repair_waits_until_enough_was_seen_of_what_is_in_force() -> None:
    world = GateWorld().ask(mode=Mode.REPAIR, why="cell 1 starves").see(windows=make_windows(2, first=107, thp_1=9.0))

    assert world.codes() == {C.DRIFT_UNKNOWN}


def test_exploration_may_try_the_confirmed_configuration_and_knows_no_drift() -> None:
    world = GateWorld().explore({}).see(windows=make_windows(pow=94.0))

    assert world.codes() == set()
    assert world.check().drift is None
    assert world.check().changes == ()


def test_exploration_has_limits_of_its_own() -> None:
    world = GateWorld().explore({"cpu_cu": 1.1})
    assert world.codes() == set()  # two gNBs: more than a promotion may touch

    world.settings = replace(world.settings, exploration=Exploration(enabled=True, lower={"": 0.0}, most_gnbs=1))
    assert world.codes() == {C.TOO_MANY_GNBS}


# --- hostile numbers --------------------------------------------------------------------------------------------------

ANY_NUMBER = st.floats() | st.integers(-(10**400), 10**400) | st.sampled_from([5e-324, 1.7e308, -0.0, math.nan])


@settings(max_examples=100, deadline=None)
@given(
    target=st.dictionaries(st.sampled_from([*BASE, "x", "", "\ud800\n"]), ANY_NUMBER, max_size=4),
    explores=st.booleans(),
    there=st.dictionaries(st.sampled_from(sorted(BASE)), st.floats(), max_size=4),
    column=st.lists(st.floats(), min_size=8, max_size=8),
    ago=st.none() | st.floats(),
    now=st.floats(),
)
def test_no_number_whatever_raises_anything_but_an_input_error(
    target: dict, explores: bool, there: dict, column: list[float], ago: float | None, now: float
) -> None:
    world = GateWorld().ask(target=target, mode=Mode.EXPLORATION if explores else Mode.PROMOTION)
    world.see(
        reading=Reading(controls={**BASE, **there}, at_s=0.0, next_sequence=109),
        windows=make_windows(thp_1=column, pow=np.array(column)[::-1]),
        last_change_s_ago=ago,
        now_wall_s=now,
    )
    if all(-1e308 < v < 1e308 for v in target.values()):
        world.codes()
    else:
        with contextlib.suppress(InputError):
            world.codes()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, True, "1.0", None])
def test_a_target_that_is_no_finite_number_is_bad_input(value: Any) -> None:
    with pytest.raises(InputError, match="cpu_du_1"):
        GateWorld().ask(target={"cpu_du_1": value}).check()
