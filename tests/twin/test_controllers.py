import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from col.errors import InputError
from col.plant import Control
from tests.twin.steering_ground import PAIRED, Ground
from twin.controllers import Controller, Controllers, Follows, followed_metrics
from twin.streams import Streams

LIMIT = Control(name="cpu_du_1", unit="core", lower=0.1, upper=1.5, resolution=0.01, reference=1.2)
THRESHOLD = Control(name="thr_p1", unit="Mbit/s", lower=0.0, upper=10.0, resolution=0.1, reference=3.0)
SEEN = {"load_dl_1": 6.0, "load_ul_1": 4.0, "load_ul_2": 1.0, "cpuu_du_1": 0.5, "ps_du_1": 0.2}


def run_of(*rules: Controller, seed: int = 0, run: int = 0) -> tuple[Ground, Controllers]:
    ground = Ground()
    ground.scenario = SimpleNamespace(
        controls=(LIMIT, THRESHOLD), topology=PAIRED, window=SimpleNamespace(length_s=15.0),
        passive=SimpleNamespace(run_windows=4),
    )  # fmt: skip
    controllers = Controllers(rules, Streams(seed, run), ground.ran)
    ground.start(controllers)
    return ground, controllers


def rule(follows: Follows, *, control: str = "cpu_du", base: float = 0.3, gain: float = 0.02, dither: float = 0.0,
         **more: Any) -> Controller:  # fmt: skip
    plain = follows in (Follows.CHANCE, Follows.CLOCK)
    return Controller(control=control, follows=follows, base=base, gain=0.0 if plain else gain, dither=dither, **more)


@pytest.mark.parametrize(
    ("follows", "inputs", "value"),
    [
        (Follows.LOAD, ("load_dl_1", "load_ul_1"), 0.3 + 0.02 * 10.0),
        (Follows.CPU_USE, ("cpuu_du_1",), 0.31),
        (Follows.QUEUE, ("ps_du_1",), 0.30),
        (Follows.CHANCE, (), 0.3),
    ],
)
def test_a_controller_follows_what_it_says_and_notes_what_it_saw(
    follows: Follows, inputs: tuple[str, ...], value: float
) -> None:
    ground, controllers = run_of(rule(follows))
    controllers.seen(SEEN)
    assert ground.controls == pytest.approx({"cpu_du_1": value})
    (event,) = ground.of_kind("decision")
    assert event.subject == "cpu_du_1"
    assert event.values["by"] == follows.value
    assert event.values["value"] == ground.controls["cpu_du_1"]
    assert {name: event.values[name] for name in inputs} == {name: SEEN[name] for name in inputs}
    assert followed_metrics(rule(follows), "cpu_du_1", PAIRED) == inputs


def test_a_son_function_sets_the_threshold_of_a_pair_from_the_uplink_of_both_cells() -> None:
    ground, controllers = run_of(rule(Follows.LOAD, control="thr", base=6.0, gain=-0.5))
    controllers.seen(SEEN)
    assert ground.controls == {"thr_p1": 3.5}


def test_who_sees_nothing_or_is_suspended_changes_nothing_and_chance_goes_on_in_step() -> None:
    seeing, blind, suspended = (run_of(rule(Follows.LOAD, dither=0.1), seed=4) for _ in range(3))
    suspended[0].automation = False
    seeing[1].seen(SEEN)
    blind[1].seen({**SEEN, "load_ul_1": math.nan})
    suspended[1].seen(SEEN)
    assert blind[0].controls == suspended[0].controls == {}
    assert list(blind[0].of_kind("decision")) == []
    suspended[0].automation = True
    for _, controllers in (seeing, blind, suspended):
        controllers.seen(SEEN)
    assert blind[0].controls == suspended[0].controls == seeing[0].controls


def test_dither_spreads_the_control_and_one_controllers_chance_leaves_the_others_alone() -> None:
    both = (rule(Follows.CHANCE, base=0.6, dither=0.05), rule(Follows.CHANCE, control="thr", base=5.0, dither=1.0))
    ground, controllers = run_of(*both)
    alone, single = run_of(both[1])
    drawn: list[tuple[float, float]] = []
    for _ in range(1500):
        controllers.seen(SEEN)
        single.seen(SEEN)
        assert alone.controls["thr_p1"] == ground.controls["thr_p1"]
        drawn.append((ground.controls["cpu_du_1"], ground.controls["thr_p1"]))
    assert np.std([cpu for cpu, _ in drawn]) == pytest.approx(0.05, rel=0.1)
    assert abs(np.atleast_2d(np.corrcoef(np.array(drawn).T))[0, 1]) < 0.1


def test_it_decides_only_as_often_as_it_should() -> None:
    ground, controllers = run_of(rule(Follows.CHANCE, dither=0.1, every_windows=3))
    for _ in range(7):
        controllers.seen(SEEN)
    assert len(list(ground.of_kind("decision"))) == 3


def test_a_timetable_goes_on_from_run_to_run() -> None:
    timetable = rule(Follows.CLOCK, times_s=(0.0, 30.0, 60.0), values=(1.0, 0.7, 0.4), period_s=80.0)
    in_force = []
    for run in range(2):
        ground, controllers = run_of(timetable, run=run)
        for _ in range(4):
            controllers.seen(SEEN)
            in_force.append(ground.controls["cpu_du_1"])
            ground.env.run(until=ground.now_ms + 15_000)
    # Windows of 15 s: 0 15 30 45 | 60 75 90 105, and 80 is the beginning again.
    assert in_force == [1.0, 1.0, 0.7, 0.7, 0.4, 0.4, 1.0, 1.0]


def test_two_controllers_of_one_control_and_a_kind_that_cannot_follow_are_refused() -> None:
    first, second = rule(Follows.LOAD), rule(Follows.CHANCE, control="cpu_du_1")
    scenario: Any = SimpleNamespace(topology=PAIRED, rules={}, parts=lambda _: (first, second))
    with pytest.raises(InputError, match="cpu_du_1 is set by something else too"):
        second.check_scenario(scenario)
    with pytest.raises(InputError, match="only a CPU limit can follow that"):
        rule(Follows.QUEUE, control="thr").check_scenario(scenario)
    with pytest.raises(InputError, match="must be a control or a kind of control: cpu_du, cpu_cu, thr"):
        rule(Follows.LOAD, control="cpu").check_scenario(scenario)
    with pytest.raises(InputError, match="needs one for each of the 2 times_s"):
        rule(Follows.CLOCK, times_s=(0.0, 5.0), values=(1.0,))
