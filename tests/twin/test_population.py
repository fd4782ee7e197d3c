import numpy as np
import pytest
from scipy.stats import chisquare

from col.errors import InputError
from tests.twin.steering_ground import Ground
from twin.attachment import Ues
from twin.population import CellWalk, Crowd, Population, Start
from twin.sources import OnOff, Profile, on_off_path
from twin.streams import Streams


def law(**changes: object) -> Population:
    values = {
        "lower_ues": 0, "upper_ues": 8, "gain_probability": 0.3, "lose_probability": 0.3, "dl_mbps": 2.0,
        "ul_mbps": 1.0, **changes,
    }  # fmt: skip
    return Population(**values)  # type: ignore[arg-type]  # a test's own numbers


def walked(of: Population, steps: int, seed: int) -> list[int]:
    walk = CellWalk(of, Streams(seed, 0), 0, 1)
    ues, path = of.stationary_ues(walk.first), []
    for _ in range(steps):
        leaves, comes = walk.step().change(ues, of)
        ues += int(comes) - int(leaves)
        path.append(ues)
    return path


def test_a_symmetric_walk_keeps_to_its_bounds_and_spends_equal_time_at_each_number() -> None:
    ends = [walked(law(lower_ues=2, upper_ues=6), 12, seed)[-1] for seed in range(600)]
    assert set(ends) == {2, 3, 4, 5, 6}
    assert chisquare(np.bincount(ends, minlength=7)[2:]).pvalue > 0.01


def test_the_start_of_a_walk_that_tends_to_shrink_is_drawn_from_the_law_that_it_settles_to() -> None:
    shrinking = law(upper_ues=4, gain_probability=0.2, lose_probability=0.4)
    starts = [walked(shrinking, 1, seed)[0] for seed in range(1500)]
    settled = walked(shrinking, 6000, 1)[::20]
    for ues in range(5):
        assert np.mean(np.array(starts) == ues) == pytest.approx(np.mean(np.array(settled) == ues), abs=0.07)
    ratio = 0.2 * 0.6 / (0.4 * 0.8)
    assert np.mean(np.array(starts) == 0) == pytest.approx((1 - ratio) / (1 - ratio**5), abs=0.05)


def test_a_busier_cell_has_a_walk_of_its_own_and_leaves_the_others_as_they_were() -> None:
    alike, uneven = law(), law(gain_probability_of={"1": 0.9})
    ends = []
    for of in (alike, uneven):
        ground = Ground()
        ground.start(Ues(of, None, Streams(2, 0), ground.ran))
        ends.append(ground.run_windows(40))
    assert [w["nue_2"] for w in ends[0]] == [w["nue_2"] for w in ends[1]]
    assert np.mean([w["nue_1"] for w in ends[1]]) > np.mean([w["nue_1"] for w in ends[0]]) + 1.0
    assert uneven.of_cell(1).mean_ues > 6.0


def test_arrivals_and_departures_are_drawn_whatever_the_number_of_ues() -> None:
    wide, narrow = (CellWalk(law(upper_ues=n), Streams(3, 1), 0, 1) for n in (8, 1))
    assert [wide.step() for _ in range(20)] == [narrow.step() for _ in range(20)]


def test_a_ue_is_attached_and_offers_load_only_some_time_after_it_came() -> None:
    ground = Ground()
    ues = Ues(law(start=Start.ATTACHED, gain_probability=1.0, lose_probability=0.0, attach_lower_s=0.5), None,
              Streams(1, 0), ground.ran)  # fmt: skip
    ground.start(ues)
    assert ground.plane.offered(0) == (8.0, 4.0)
    first = ground.run_windows(1)[0]
    assert ground.plane.offered(0) == (10.0, 5.0)
    assert 5.0 - 2.0 / 15.0 <= first["nue_1"] <= 5.0 - 0.5 / 15.0
    assert first["att_1"] == 1.0
    assert first["lam_ul_1"] == pytest.approx(1.0)
    assert first["lam_dl_1"] == pytest.approx(2.0)


def test_a_crowd_comes_stays_and_goes_again() -> None:
    crowd = Crowd(probability=1.0, ues=3, hold_s=1e-6, ramp_s=5.0, cells=(1,))
    ground = Ground()
    ues = Ues(law(start=Start.ATTACHED, gain_probability=0.0, lose_probability=0.0, crowd=crowd), None, Streams(1, 0),
              ground.ran)  # fmt: skip
    ground.start(ues)
    window = ground.run_windows(1)[0]
    assert window["nue_2"] == 3.0
    assert window["nue_1"] == pytest.approx(4.0 + 3 * 5.0 / 15.0, abs=0.8)
    assert len(ues.members(1)) == 4
    assert [event.values["ues"] for event in ground.of_kind("crowd")] == [3]


def test_do_on_the_number_of_ues_and_on_a_cells_load_holds_them_and_nothing_else() -> None:
    free, held = Ground(), Ground(held={"nue_1": 2.0, "load_ul_2": 9.0})
    for ground in (free, held):
        ground.start(Ues(law(), None, Streams(5, 0), ground.ran))
        ground.run_windows(10)
    assert [window["nue_1"] for window in held.windows] == [2.0] * 10
    assert [window["nue_2"] for window in held.windows] == [window["nue_2"] for window in free.windows]
    assert held.plane.offered(1)[1] == pytest.approx(9.0)
    assert held.plane.offered(1)[0] == free.plane.offered(1)[0]


def test_an_on_off_source_keeps_the_mean_rate_and_switches_on_its_grid() -> None:
    switching = OnOff(mean_on_s=0.4, mean_off_s=1.2, grid_ms=100.0)
    path = on_off_path(switching, np.random.default_rng(1))
    parts = [next(path) for _ in range(8000)]
    carried = sum(factor * ms for factor, ms in parts) / sum(ms for _, ms in parts)
    assert carried == pytest.approx(1.0, abs=0.05)
    assert all(ms % 100 == 0 for _, ms in parts)
    ground = Ground()
    ground.start(Ues(law(start=Start.ATTACHED, gain_probability=0.0, lose_probability=0.0), switching, Streams(1, 0),
                     ground.ran))  # fmt: skip
    loads = [window["lam_ul_1"] for window in ground.run_windows(60)]
    assert np.mean(loads) == pytest.approx(1.0, abs=0.15)
    assert np.std(loads) > 0.05


def test_a_profile_multiplies_the_rates_of_all_ues_and_starts_over() -> None:
    day = Profile(times_s=(0.0, 15.0), dl=(1.0, 3.0), ul=(1.0, 0.5), period_s=30.0, random_phase=False)
    ground = Ground()
    ground.start(
        Ues(law(start=Start.ATTACHED, gain_probability=0.0, lose_probability=0.0), day, Streams(1, 0), ground.ran)
    )
    windows = ground.run_windows(4)
    assert [round(w["lam_dl_1"], 9) for w in windows] == [2.0, 6.0, 2.0, 6.0]
    assert [round(w["lam_ul_2"], 9) for w in windows] == [1.0, 0.5, 1.0, 0.5]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"lower_ues": 9}, "lower_ues"),
        ({"attach_lower_s": 3.0}, "attach_lower_s"),
        ({"dl_mbps": 0.0, "ul_mbps": 0.0}, "ul_mbps"),
        ({"lose_probability": 0.0}, "start"),
    ],
)
def test_a_population_that_cannot_be_is_refused_with_the_key(changes: dict[str, float], key: str) -> None:
    with pytest.raises(InputError) as refusal:
        law(**changes)
    assert refusal.value.key == key
