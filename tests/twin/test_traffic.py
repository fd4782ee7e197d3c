import numpy as np
from scipy.stats import kstest

from twin.streams import Streams
from twin.traffic import OperatingLoad, PassiveLoad, operating_path, passive_path

LAW = PassiveLoad(lower_mbps=0.0, upper_mbps=10.0, correlation_s=120.0)


def test_passive_load_is_uniform_at_any_one_time() -> None:
    steps = [passive_path(LAW, 5, 15.0, Streams(1, run), 4)[-1] for run in range(400)]
    assert kstest(np.ravel(steps) / 10.0, "uniform").pvalue > 0.01


def test_passive_load_forgets_within_the_correlation_time() -> None:
    path = passive_path(LAW, 20_000, 15.0, Streams(2, 0), 1)[:, 0, 0]
    lag = 8  # 8 windows of 15 s are the 120 s of the law
    correlation = np.atleast_2d(np.corrcoef(path[:-lag], path[lag:]))[0, 1]
    # A Gaussian correlation r becomes (6 / pi) asin(r / 2) between uniform margins.
    assert abs(correlation - 6 / np.pi * np.arcsin(np.exp(-1) / 2)) < 0.05


def test_cells_and_directions_move_independently() -> None:
    path = passive_path(LAW, 20_000, 15.0, Streams(3, 0), 2).reshape(-1, 4)
    off_diagonal = np.atleast_2d(np.corrcoef(path.T))[~np.eye(4, dtype=bool)]
    assert np.abs(off_diagonal).max() < 0.06


def test_adding_a_cell_leaves_the_loads_of_the_others_as_they_were() -> None:
    few = passive_path(LAW, 50, 15.0, Streams(4, 7), 2)
    many = passive_path(LAW, 50, 15.0, Streams(4, 7), 5)
    assert np.array_equal(few, many[:, :2])


def test_operating_load_is_constant() -> None:
    path = operating_path(OperatingLoad(dl_mbps=10.0, ul_mbps=4.0), 3, 2)
    assert path.shape == (3, 2, 2)
    assert (path[..., 0] == 10.0).all()
    assert (path[..., 1] == 4.0).all()


def test_streams_differ_by_name_run_cell_and_seed_and_repeat_otherwise() -> None:
    def draw(streams: Streams, name: str, cell: int) -> float:
        return float(streams.generator(name, cell).standard_normal())

    draws = [
        draw(Streams(1, 0), "a", 0),
        draw(Streams(1, 0), "b", 0),
        draw(Streams(1, 0), "a", 1),
        draw(Streams(1, 1), "a", 0),
        draw(Streams(2, 0), "a", 0),
    ]
    assert len(set(draws)) == len(draws)
    assert draw(Streams(1, 0), "a", 0) == draws[0]
