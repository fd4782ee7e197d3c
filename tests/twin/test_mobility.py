import math

import numpy as np
import pytest
from scipy.stats import norm

from tests.twin.steering_ground import Ground
from twin.attachment import Ues
from twin.handover import Handovers
from twin.mobility import A3Rule, A3State, Interruption, LoadRule, direction, ping_pongs
from twin.population import Population, Start
from twin.streams import Streams

RATE = 1.3  # Mbit/s of one UE, uplink


def steered(
    threshold: float, windows: int, *, seed: int = 0, rule: LoadRule | None = None, p: float = 0.0,
    held: dict[str, float] | None = None, a3: A3Rule | None = None, listed: bool = True,
) -> Ground:  # fmt: skip
    """Let a pair of cells with 4 and 3 UEs be steered; UEs come and go with probability `p`."""
    ground = Ground(controls={"thr_p1": threshold}, held=held)
    population = Population(
        lower_ues=0, upper_ues=12, gain_probability=p, lose_probability=p, dl_mbps=1.0, ul_mbps=RATE,
        start=Start.ATTACHED if listed else Start.STATIONARY,
    )  # fmt: skip
    ues = Ues(population, None, Streams(seed, 0), ground.ran)
    ground.start(
        ues, Handovers(None if a3 else rule or LoadRule(), a3, Interruption(), ues, Streams(seed, 0), ground.ran)
    )
    ground.env.run(until=15_000)  # a warm-up, so that the first tick has a whole period to look back on
    ground.run_windows(windows)
    return ground


def moves_of(ground: Ground) -> list[tuple[float, str, int, int]]:
    return [
        (event.at_ms / 1000.0, event.subject, int(event.values["source"]), int(event.values["target"]))
        for event in ground.of_kind("handover")
    ]


@pytest.mark.parametrize("share", [0.2, 0.7, 0.999])
def test_below_the_rate_of_a_ue_the_threshold_makes_a_pair_ping_pong_without_any_arrival(share: float) -> None:
    moves = moves_of(steered(share * RATE, 12))
    assert len(moves) == 12
    assert {(source, target) for _, _, source, target in moves[::2]} == {(1, 2)}
    assert {(source, target) for _, _, source, target in moves[1::2]} == {(2, 1)}


@pytest.mark.parametrize("share", [1.0, 1.001, 2.5])
def test_from_the_rate_of_a_ue_on_the_threshold_lets_a_settled_pair_rest(share: float) -> None:
    assert moves_of(steered(share * RATE, 12)) == []


def test_a_move_changes_the_difference_by_twice_the_rate() -> None:
    events = steered(0.5 * RATE, 3).of_kind("handover")
    of_cell_1 = [
        (1 if event.values["source"] == 1.0 else -1)
        * (float(event.values["load_from"]) - float(event.values["load_to"]))
        for event in events
    ]
    assert of_cell_1 == pytest.approx([RATE, -RATE, RATE])


def test_with_noise_in_the_measured_loads_ping_pong_is_as_rare_as_the_bound_says() -> None:
    z, sd, ticks = 1.0, 0.2, 1200
    noisy = steered(RATE + z * math.sqrt(2.0) * sd, ticks, rule=LoadRule(noise_mbps=sd))
    expected = 1.0 - norm.cdf(z)
    assert len(moves_of(noisy)) / ticks == pytest.approx(expected, abs=4.0 * math.sqrt(expected / ticks))


def test_ticks_within_a_window_move_more_ues_than_one_a_window() -> None:
    assert len(moves_of(steered(0.0, 4, rule=LoadRule(tick_s=1.0)))) == 4 * 15


def test_a_higher_threshold_moves_fewer_ues_and_leaves_a_larger_imbalance() -> None:
    counts, imbalance = [], []
    for share in (0.5, 1.0, 2.0, 4.0):
        grounds = [steered(share * RATE, 60, p=0.4, seed=seed, listed=False) for seed in range(4)]
        counts.append(sum(len(moves_of(ground)) for ground in grounds))
        imbalance.append(np.mean([abs(w["nue_1"] - w["nue_2"]) for ground in grounds for w in ground.windows]))
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 4
    assert imbalance[1:] == sorted(imbalance[1:])


def test_handovers_keep_to_the_bounds_on_the_number_of_ues() -> None:
    ground = Ground(controls={"thr_p1": 0.0})
    population = Population(lower_ues=1, upper_ues=4, gain_probability=0.1, lose_probability=0.6, dl_mbps=1.0,
                            ul_mbps=RATE)  # fmt: skip
    ues = Ues(population, None, Streams(2, 0), ground.ran)
    ground.start(ues, Handovers(LoadRule(), None, Interruption(), ues, Streams(2, 0), ground.ran))
    for _ in range(200):
        ground.run_windows(1)
        assert all(1 <= len(ues.members(cell)) <= 4 for cell in (1, 2))
    assert len(moves_of(ground)) > 10


def test_would_be_arrivals_and_departures_do_not_depend_on_the_threshold() -> None:
    draws = [[w["att_1"] for w in steered(share * RATE, 40, p=0.4).windows] for share in (0.0, 5.0)]
    assert draws[0] == draws[1]


def test_do_on_the_handovers_of_a_pair_holds_their_number() -> None:
    assert [w["ho_p1"] for w in steered(0.0, 4, held={"ho_p1": 0.0}).windows] == [0.0] * 4
    assert [w["ho_p1"] for w in steered(99.0, 4, held={"ho_p1": 2.0}).windows] == [2.0] * 4


def test_a_ue_on_its_way_is_not_moved_again_and_the_interruption_reaches_the_data_plane() -> None:
    ground = steered(0.0, 3, rule=LoadRule(tick_s=0.1))
    busy: dict[str, float] = {}
    for event, move in zip(ground.of_kind("handover"), ground.plane.moves, strict=True):
        assert event.at_ms >= busy.get(event.subject, 0.0)
        busy[event.subject] = move["resume_ms"]
        assert move["resume_ms"] == event.at_ms + math.ceil(float(event.values["interruption_ms"]))
        assert move["forward"] is not move["lose_in_flight"]


def test_an_interruption_is_lognormal_and_cut_off() -> None:
    law = Interruption(median_s=0.5, log_sd=0.6, lower_s=0.05, upper_s=3.0)
    lengths = [law.length_ms(float(z)) for z in norm.ppf(np.linspace(0.0005, 0.9995, 1000))]
    assert np.median(lengths) == pytest.approx(500.0, rel=1e-3)
    assert np.std(np.log(lengths)) == pytest.approx(0.6, rel=0.02)
    assert (law.length_ms(-9.0), law.length_ms(9.0)) == (50.0, 3000.0)


def test_loads_that_differ_by_rounding_alone_do_not_move_a_ue() -> None:
    assert direction(0.3, 0.1 + 0.2, 0.0) == 0
    assert direction(0.1 + 0.2, 0.0, 0.3) == 0
    assert (direction(3.0, 1.0, 1.9), direction(1.0, 3.0, 1.9), direction(3.0, 1.0, 2.0)) == (1, -1, 0)


def test_event_a3_waits_for_its_time_to_trigger_and_takes_the_better_cell() -> None:
    rule = A3Rule(offset_db=3.0, hysteresis_db=1.0, time_to_trigger_ms=400.0, sample_ms=200.0, correlation_s=1e-3)
    state = A3State(rule, 0.0)
    better, equal = 5.0 / rule.sd_db, 0.0
    assert [state.sample(200.0 * k, False, z) for k, z in enumerate([better, better, better, equal])] == [
        False, False, True, False,
    ]  # fmt: skip
    interrupted = [better, better, equal, better, better]
    assert not any(state.sample(1000.0 + 200.0 * k, False, z) for k, z in enumerate(interrupted))
    assert not any(state.sample(3000.0 + 200.0 * k, True, better) for k in range(5))  # it is in the better cell


def test_a_higher_a3_offset_moves_fewer_ues_and_the_same_noise_moves_them() -> None:
    counts = [len(moves_of(steered(0.0, 20, a3=A3Rule(offset_db=db, correlation_s=20.0)))) for db in (0.0, 4.0, 9.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2]


def test_a_ping_pong_is_a_return_within_the_time_given() -> None:
    moves = [(0.0, "a", 1, 2), (10.0, "a", 2, 1), (11.0, "b", 1, 2), (60.0, "a", 1, 2), (61.0, "b", 2, 1)]
    assert ping_pongs(moves, 15.0) == 1
    assert ping_pongs(moves, 50.0) == 3


def test_steering_beats_the_same_whether_a_window_that_is_discarded_was_begun_or_not() -> None:
    histories = []
    for looked_at in ((), (30_000,)):
        ground = Ground(controls={"thr_p1": 0.0})
        population = Population(lower_ues=0, upper_ues=12, gain_probability=0.4, lose_probability=0.4, dl_mbps=1.0,
                                ul_mbps=RATE)  # fmt: skip
        ues = Ues(population, None, Streams(1, 0), ground.ran)
        ground.start(ues, Handovers(LoadRule(), None, Interruption(), ues, Streams(1, 0), ground.ran))
        for at in looked_at:
            ground.env.run(until=at)
            for mechanism in ground.mechanisms:
                mechanism.seen({})
        ground.env.run(until=80_000)
        ground.run_windows(3)
        histories.append(moves_of(ground))
    assert histories[0] == histories[1]
    assert len(histories[0]) >= 3
