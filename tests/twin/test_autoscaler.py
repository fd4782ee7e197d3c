import math

import numpy as np
import pytest

from col.plant import Control
from twin.autoscaler import Autoscaler, ScalingRule

CONTROL = Control(name="cpu_du_1", unit="core", lower=0.1, upper=1.5, resolution=0.01, reference=1.2)


def autoscaler(*, base: float = 0.4, gain: float = 0.02, dither: float = 0.0, seed: int = 0) -> Autoscaler:
    rule = ScalingRule(base_cores=base, gain_cores_per_mbps=gain, dither_cores=dither)
    return Autoscaler(
        {"cpu_du_1": rule},
        {"cpu_du_1": ("load_dl_1", "load_ul_1")},
        {"cpu_du_1": CONTROL},
        {"cpu_du_1": np.random.default_rng(seed)},
    )


def test_limit_follows_the_sum_of_the_loads_seen() -> None:
    assert autoscaler().decide({"load_dl_1": 7.0, "load_ul_1": 3.0})["cpu_du_1"] == pytest.approx(0.6)


def test_limit_stays_within_the_bounds_of_its_control() -> None:
    assert autoscaler(gain=1.0).decide({"load_dl_1": 10.0, "load_ul_1": 10.0})["cpu_du_1"] == 1.5
    assert autoscaler(base=0.0).decide({"load_dl_1": 0.0, "load_ul_1": 0.0})["cpu_du_1"] == 0.1


def test_dither_spreads_the_limit_at_equal_load() -> None:
    scaler = autoscaler(dither=0.05)
    limits = [scaler.decide({"load_dl_1": 5.0, "load_ul_1": 5.0})["cpu_du_1"] for _ in range(2000)]
    assert np.mean(limits) == pytest.approx(0.6, abs=0.005)
    assert np.std(limits) == pytest.approx(0.05, rel=0.1)


def test_a_missing_load_leaves_the_limit_alone_and_the_dither_in_step() -> None:
    blind, seeing = autoscaler(dither=0.05, seed=3), autoscaler(dither=0.05, seed=3)
    load = {"load_dl_1": 5.0, "load_ul_1": 5.0}
    assert blind.decide({"load_dl_1": math.nan, "load_ul_1": 5.0}) == {}
    seeing.decide(load)
    assert blind.decide(load) == seeing.decide(load)
