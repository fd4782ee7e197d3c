"""The blast radius: how far and how many gNBs at once, and the last healthy one is left alone."""

from __future__ import annotations

import math
from dataclasses import replace

from bridge.reasons import ReasonCode as C
from bridge.settings import BlastRadius
from tests.bridge.gate_world import BASE, GateWorld, make_description, make_windows


def both_gnbs(world: GateWorld, most: int = 2) -> GateWorld:
    world.settings = replace(world.settings, blast=BlastRadius(most_gnbs=most))
    return world.ask(target={"cpu_cu": 0.9}).certified(target={**BASE, "cpu_cu": 0.9})


def test_the_last_healthy_gnb_is_left_alone() -> None:
    dead = GateWorld().see(windows=make_windows(thp_2=0.0))
    unknown = GateWorld().see(windows=make_windows(thp_2=math.nan))
    unseen = GateWorld().see(windows=make_windows(0))

    assert C.LAST_HEALTHY_CELL in dead.codes()
    assert C.LAST_HEALTHY_CELL in unknown.codes()
    assert C.LAST_HEALTHY_CELL not in unseen.codes()  # none is known to be healthy: nothing to protect


def test_the_dead_gnb_may_be_touched_and_so_may_all_while_all_are_healthy() -> None:
    mend = GateWorld().see(windows=make_windows(thp_1=0.0))

    assert C.LAST_HEALTHY_CELL not in mend.codes()
    assert both_gnbs(GateWorld()).codes() == set()
    assert both_gnbs(GateWorld(), most=1).codes() == {C.TOO_MANY_GNBS}
    assert C.LAST_HEALTHY_CELL in both_gnbs(GateWorld().see(windows=make_windows(thp_2=0.0))).codes()


def test_a_gnb_of_which_nothing_tells_whether_it_lives_counts_as_healthy() -> None:
    description = make_description(gnb_metrics={"gnb1": ("thp_1",)})

    assert GateWorld().see(description=description).codes() == set()


def test_a_control_of_no_gnb_is_taken_to_touch_them_all() -> None:
    description = make_description(gnbs={"gnb1": ("cpu_cu",), "gnb2": ("cpu_du_2", "cpu_cu")})

    assert GateWorld().see(description=description).codes() == {C.TOO_MANY_GNBS}


def test_the_longest_name_that_fits_limits_a_step() -> None:
    world = GateWorld()
    world.settings = replace(world.settings, blast=BlastRadius(largest_step={"cpu": 0.1, "cpu_du_1": 0.3}, most_gnbs=1))
    assert world.codes() == set()

    world.settings = replace(world.settings, blast=BlastRadius(largest_step={"cpu": 0.9, "cpu_du_1": 0.29}))
    assert world.codes() == {C.STEP_TOO_LARGE}
