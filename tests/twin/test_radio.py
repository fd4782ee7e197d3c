from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.radio import McsTable, bits_per_prb, cqi_efficiency, mcs_at_snr, modulation, snr_threshold_db, tbs_bits

QAM64, QAM256 = McsTable.QAM64, McsTable.QAM256


@pytest.mark.parametrize(
    ("re_per_prb", "n_prb", "mcs", "table", "bits"),
    [
        *((108, 25, mcs, QAM64, b) for mcs, b in {0: 640, 5: 2024, 9: 3624, 10: 3624, 14: 5760, 28: 14856}.items()),
        *((120, 25, mcs, QAM64, b) for mcs, b in {0: 704, 16: 7680, 17: 7680, 20: 9992, 24: 13576, 28: 16896}.items()),
        *((132, 25, mcs, QAM64, b) for mcs, b in {0: 768, 9: 4352, 16: 8456, 20: 11016, 24: 14856, 28: 18432}.items()),
        *((132, 21, mcs, QAM64, b) for mcs, b in {0: 672, 5: 2088, 9: 3752, 14: 6016, 17: 7040, 28: 15368}.items()),
        *((108, 25, mcs, QAM256, b) for mcs, b in {20: 14344, 27: 19968}.items()),
        *((120, 25, mcs, QAM256, b) for mcs, b in {20: 15880, 27: 22032}.items()),
        *((132, 25, mcs, QAM256, b) for mcs, b in {20: 17424, 27: 24576}.items()),
    ],
)
def test_transport_block_sizes_are_those_of_the_standard(
    re_per_prb: int, n_prb: int, mcs: int, table: McsTable, bits: int
) -> None:
    assert tbs_bits(re_per_prb, n_prb, mcs, table) == bits


@pytest.mark.parametrize(("table", "highest"), [(QAM64, 28), (QAM256, 27)])
def test_an_snr_at_a_threshold_supports_its_mcs_and_a_little_less_does_not(table: McsTable, highest: int) -> None:
    for mcs in range(1, highest + 1):
        threshold = snr_threshold_db(mcs, table)
        assert mcs_at_snr(threshold, table) == mcs
        assert mcs_at_snr(threshold - 0.01, table) == mcs - 1
    assert mcs_at_snr(65.0, table) == highest
    assert mcs_at_snr(-30.0, table) == 0


def test_a_cap_on_the_mcs_holds() -> None:
    assert mcs_at_snr(65.0, QAM64, cap=17) == 17
    assert mcs_at_snr(3.0, QAM64, cap=17) == 5


@given(st.integers(1, 100), st.integers(1, 100), st.integers(0, 27), st.sampled_from(McsTable))
def test_more_prbs_never_make_a_smaller_block(few: int, more: int, mcs: int, table: McsTable) -> None:
    low, high = sorted((few, more))
    assert tbs_bits(120, low, mcs, table) <= tbs_bits(120, high, mcs, table)


def test_efficiency_rises_with_the_index_but_for_the_known_dips() -> None:
    for table, last in ((QAM64, 28), (QAM256, 27)):
        rates = [order * rate for order, rate in (modulation(mcs, table) for mcs in range(last + 1))]
        # The standard's tables repeat or dip by a hair where the modulation order changes.
        assert all(later > earlier - 0.01 for earlier, later in pairwise(rates))
    assert cqi_efficiency(15, QAM64) == pytest.approx(5.5547, abs=1e-4)
    assert cqi_efficiency(15, QAM256) == pytest.approx(7.4063, abs=1e-4)


def test_bits_per_prb_are_the_share_of_the_whole_block() -> None:
    assert bits_per_prb(65.0, QAM256, n_prb=25, re_per_prb=120) == pytest.approx(22032 / 25)
