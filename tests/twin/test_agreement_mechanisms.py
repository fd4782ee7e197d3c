"""Data plane against reference where something is switched on or happens: the same packets at the same times again."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.agreement import Pair, figures, relative_error, run_cells
from benchmarks.packets.agreement_cases import MECHANISMS, RADIO

ALL = {**MECHANISMS, **RADIO}
CALLS = (150, 450)
SAME_MS = 1e-6
# What is set at T holds in a real-time cell with a CU of its own for what its CU takes from the last slot before T on.
UP_TO_A_SLOT_EARLIER = {
    "contention", "slower-host", "new-links", "short-queue-of-a-line", "held-mcs", "held-snr", "held-prbs",
}  # fmt: skip


def packets_apart(pair: Pair) -> float:
    """Return by how many ms any packet delivered well before the end differs; infinite if one of the two lacks it."""
    worst, end = 0.0, sum(pair.calls) - 100.0
    for twin, way in ((pair.packets.downlink, 0), (pair.packets.uplink, 1)):
        both = [np.round(times[times[:, 1] < end], 9) for times in (twin, pair.reference.times(way))]
        both = [times[np.lexsort((times[:, 1], times[:, 0]))] for times in both]
        if both[0].shape != both[1].shape:
            return np.inf
        worst = max(worst, float(np.abs(both[0] - both[1]).max(initial=0.0)))
    return worst


@pytest.mark.parametrize("name", ALL)
def test_with_a_mechanism_at_work_every_packet_is_delivered_at_the_same_time(name: str) -> None:
    for pair in run_cells(ALL[name].earlier(1000), 1, CALLS):
        errors = {figure: relative_error(figure, *both) for figure, both in figures(pair).items()}

        assert len(pair.packets.downlink) > 100
        if name in UP_TO_A_SLOT_EARLIER:
            assert max(errors.values()) < 0.02, errors
        else:
            # Of slots that straddle a call's end the two book PRBs and CPU time on different sides: one slot in 450.
            assert max(errors.values()) < 0.008, errors
            assert packets_apart(pair) < SAME_MS
