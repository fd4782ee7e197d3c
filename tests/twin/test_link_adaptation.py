"""From SNR to MCS, block errors and demand: values of the standard and of srsRAN, and the loop's balance."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from col.errors import InputError
from twin.air import AirInterface
from twin.link_adaptation import (
    LinkAdaptation,
    block_error_rate,
    decoder_iterations,
    outer_loop_step,
    prb_bits,
    work_per_prb,
)
from twin.radio import McsTable, cqi_at_snr, cqi_thresholds_db, mcs_at_snr, mcs_of_cqi, snr_threshold_db

QAM64, QAM256 = McsTable.QAM64, McsTable.QAM256


def test_a_cqi_means_the_mcs_that_srsran_takes() -> None:
    """srsRAN Project, lib/scheduler/support/mcs_calculator.cpp."""
    assert [mcs_of_cqi(cqi, QAM64) for cqi in range(1, 16)] == [0, 0, 2, 4, 6, 8, 11, 13, 15, 18, 20, 22, 24, 26, 28]
    assert [mcs_of_cqi(cqi, QAM256) for cqi in range(1, 16)] == [0, *range(1, 28, 2)]


@pytest.mark.parametrize("table", list(McsTable))
def test_what_the_gnb_knows_of_a_cqi_supports_just_its_mcs(table: McsTable) -> None:
    thresholds = cqi_thresholds_db(table)
    assert all(low < high for low, high in pairwise(thresholds))
    assert cqi_at_snr(-30.0, table) == 0
    assert cqi_at_snr(65.0, table) == 15
    for cqi, threshold in enumerate(thresholds, 1):
        assert cqi_at_snr(threshold, table) == cqi
        assert cqi_at_snr(threshold - 0.01, table) == cqi - 1
        assert mcs_at_snr(threshold, table) == mcs_of_cqi(cqi, table)


@pytest.mark.parametrize(("table", "mcs"), [(QAM64, 0), (QAM64, 17), (QAM64, 28), (QAM256, 27)])
def test_block_errors_are_a_tenth_at_the_threshold_and_follow_a_normal_law(table: McsTable, mcs: int) -> None:
    threshold = snr_threshold_db(mcs, table)
    for slope in (0.2, 1.0):
        at = {
            z: block_error_rate(threshold + (z - 1.2815515655) * slope, mcs, table, slope_db=slope)
            for z in (-3.0, 0.0, 1.2815515655, 2.3263478740)
        }
        assert at[1.2815515655] == pytest.approx(0.1, rel=1e-6)
        assert at[0.0] == pytest.approx(0.5, rel=1e-6)
        assert at[2.3263478740] == pytest.approx(0.01, rel=1e-6)
        assert at[-3.0] == pytest.approx(0.99865, rel=1e-4)


def test_the_outer_loop_gives_a_little_and_takes_ninety_nine_times_that() -> None:
    settings = LinkAdaptation()
    assert outer_loop_step(0.0, False, settings) == pytest.approx(0.001)
    assert outer_loop_step(0.0, True, settings) == pytest.approx(-0.099)
    assert outer_loop_step(4.9999, False, settings) == 5.0
    assert outer_loop_step(-4.95, True, settings) == -5.0


def test_at_its_balance_the_outer_loop_fails_as_often_as_its_target_says() -> None:
    settings = LinkAdaptation(olla_step_db=0.01, olla_target=0.05)
    rng, offset, failed = np.random.default_rng(1), 0.0, []
    for _ in range(40_000):
        mcs = mcs_at_snr(15.3 + offset, QAM64)
        fails = rng.random() < block_error_rate(15.3, mcs, QAM64, slope_db=1.0)
        offset = outer_loop_step(offset, bool(fails), settings)
        failed.append(fails)
    assert np.mean(failed[5000:]) == pytest.approx(0.05, abs=0.005)


def test_decoding_takes_more_iterations_the_nearer_the_threshold_is() -> None:
    assert decoder_iterations(-3.0) == decoder_iterations(0.0) == 6.0
    assert decoder_iterations(0.7) == pytest.approx(1.5 + 4.5 / np.e)
    assert decoder_iterations(20.0) == pytest.approx(1.5, abs=1e-9)


def test_demand_per_prb_is_that_of_the_recordings_at_the_highest_mcs_and_less_below() -> None:
    assert work_per_prb(27, QAM256, share=0.5) == pytest.approx(1.0)
    assert work_per_prb(0, QAM256, share=1.0) == pytest.approx(120 * 2 / (948 * 8))
    assert work_per_prb(27, QAM256, share=0.5, iterations=6.0) == pytest.approx(2.5)
    assert work_per_prb(0, QAM256, share=0.0) == 1.0


def test_bits_per_prb_go_with_the_block_sizes_of_the_standard() -> None:
    bits = prb_bits(14856 / 25, QAM64, n_prb=25, re_per_prb=108)
    assert bits[28] == round(14856 / 25)
    assert bits[14] == round(5760 / 25)
    assert bits[0] == round(640 / 25)
    table = AirInterface(mcs_table=QAM64).kernel_table(1)
    assert table[2, 28] == 966
    assert np.isinf(table[0, 29:]).all()


def test_settings_out_of_bounds_are_refused() -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"olla_target": 0.0},
        {"slope_db": 0.0},
        {"mcs_cap_ul": 29},
        {"mcs_work_share": 1.1},
    )
    for change in changes:
        with pytest.raises(InputError, match=next(iter(change))):
            LinkAdaptation(**change)
    assert LinkAdaptation(mcs_cap_ul=17).caps(QAM64) == (28, 17)
    assert LinkAdaptation().caps(QAM256) == (27, 27)
