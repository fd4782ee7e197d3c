"""HARQ in closed form; what the data plane makes of it is held against that in the tests of the MAC."""

from __future__ import annotations

from typing import Any

import pytest

from col.errors import InputError
from twin.harq import Harq, combined_snr_db, mean_transmissions, residual_error
from twin.link_adaptation import block_error_rate
from twin.radio import McsTable, snr_threshold_db

QAM64 = McsTable.QAM64


def test_repetitions_at_the_same_snr_are_worth_three_five_and_six_db() -> None:
    gains = [combined_snr_db([7.0] * sent) - 7.0 for sent in (1, 2, 3, 4)]
    assert gains == pytest.approx([0.0, 3.0103, 4.7712, 6.0206], abs=1e-4)
    assert combined_snr_db([0.0, 10.0]) == pytest.approx(10.4139, abs=1e-4)


def test_in_noise_alone_one_repetition_nearly_always_mends_a_block() -> None:
    """0.2 dB of slope: 3 dB more are 15 standard deviations."""
    at = snr_threshold_db(20, QAM64)
    assert mean_transmissions(at, 20, QAM64, Harq(), slope_db=0.2) == pytest.approx(1.1, abs=1e-9)
    assert residual_error(at, 20, QAM64, Harq(), slope_db=0.2) < 1e-12


def test_far_below_the_threshold_every_block_is_sent_as_often_as_may_be_and_lost() -> None:
    assert mean_transmissions(-20.0, 10, QAM64, Harq(), slope_db=1.0) == pytest.approx(5.0)
    assert residual_error(-20.0, 10, QAM64, Harq(), slope_db=1.0) == pytest.approx(1.0)


def test_residual_error_is_the_product_of_the_errors_of_all_transmissions() -> None:
    harq, snr_db, slope = Harq(max_retx=2), 7.0, 2.0
    product = 1.0
    for sent in (1, 2, 3):
        product *= block_error_rate(combined_snr_db([snr_db] * sent), 16, QAM64, slope_db=slope)
    assert residual_error(snr_db, 16, QAM64, harq, slope_db=slope) == pytest.approx(product)
    assert 0.001 < product < 0.9


def test_settings_out_of_bounds_are_refused() -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"processes": 17},
        {"rtt_slots": 0},
        {"max_retx": -1},
        {"rlf_ms": float("nan")},
    )
    for change in changes:
        with pytest.raises(InputError, match=next(iter(change))):
            Harq(**change)
