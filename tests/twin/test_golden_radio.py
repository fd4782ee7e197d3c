"""Golden values of the radio: transport blocks by exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest

from twin.radio import McsTable, modulation, tbs_bits

# TS 38.214 table 5.1.3.2-1, as its runs of equal steps: first, last, step.
_RUNS = (
    *((24, 192, 8), (208, 384, 16), (408, 576, 24), (608, 768, 32), (808, 848, 40), (888, 928, 40), (984, 1032, 48)),
    *((1064, 1128, 64), (1160, 1320, 32), (1352, 1672, 64), (1736, 1864, 64), (1928, 2024, 96), (2088, 2280, 64)),
    *((2408, 2792, 64), (2856, 2976, 120), (3104, 3240, 136), (3368, 3752, 128), (3824, 3824, 8)),
)
_SIZES = tuple(size for first, last, step in _RUNS for size in range(first, last + 1, step))


def exact_block_bits(re_per_prb: int, n_prb: int, order: int, rate: Fraction) -> int:
    """Return the block size of TS 38.214 5.1.3.2 for one layer, in whole numbers and fractions throughout.

    This very procedure gives all 256 sizes of srsRAN Project's test vectors (tbs_calculator_test_data.h, 2024-01-21,
    computed by MATLAB's 5G toolbox), four layers and scaled blocks included.
    """
    information = min(156, re_per_prb) * n_prb * rate * order
    if information <= 3824:
        step = 2 ** max(3, (information.numerator // information.denominator).bit_length() - 7)
        quantised = max(24, step * (information // step))
        return next(size for size in _SIZES if size >= quantised)
    rest = information - 24
    step = 2 ** ((rest.numerator // rest.denominator).bit_length() - 6)
    quantised = max(3840, step * ((rest + Fraction(step, 2)) // step))  # ties go up
    blocks = 1
    if rate <= Fraction(1, 4):
        blocks = -(-(quantised + 24) // 3816)
    elif quantised > 8424:
        blocks = -(-(quantised + 24) // 8424)
    return int(8 * blocks * -(-(quantised + 24) // (8 * blocks)) - 24)


@pytest.mark.parametrize(("table", "highest"), [(McsTable.QAM64, 28), (McsTable.QAM256, 27)])
def test_no_transport_block_is_off_by_rounding(table: McsTable, highest: int) -> None:
    assert len(_SIZES) == 93
    for mcs in range(highest + 1):
        order, rate = modulation(mcs, table)
        for re_per_prb in (108, 116, 120, 132, 168):
            for n_prb in (*range(1, 26), 52, 106, 273):
                exact = exact_block_bits(re_per_prb, n_prb, order, Fraction(round(rate * 2048), 2048))
                assert tbs_bits(re_per_prb, n_prb, mcs, table) == exact, (re_per_prb, n_prb, mcs)
