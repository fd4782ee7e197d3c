"""The radio channel: values of the standard, statistics of what is drawn, and what gains do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import j0

from col.errors import InputError
from twin.channel import ChannelParameters
from twin.channel_state import Channel
from twin.link_budget import downlink_snr_db, uplink_power_dbm, uplink_snr_db
from twin.path_loss import Site, line_of_sight_probability, path_loss_db
from twin.streams import Streams

HEIGHTS = {Site.UMA: 25.0, Site.UMI: 10.0}


@pytest.mark.parametrize(
    ("site", "los", "expected"),
    [
        (Site.UMA, True, (71.4, 77.4, 83.8, 96.8)),
        (Site.UMA, False, (86.7, 97.3, 108.7, 124.1)),
        (Site.UMI, True, (73.3, 79.5, 90.9, 106.8)),
        (Site.UMI, False, (88.0, 98.5, 109.1, 123.1)),
    ],
)
def test_path_loss_is_that_of_the_formulas_of_tr_38_901_worked_out_by_hand(
    site: Site, los: bool, expected: tuple[float, ...]
) -> None:
    """1.8 GHz, UE 1.5 m high, at 50, 100, 200 and 500 m; calculated apart from this code."""
    loss = path_loss_db(
        site, (50.0, 100.0, 200.0, 500.0), carrier_ghz=1.8, bs_height_m=HEIGHTS[site], ue_height_m=1.5, los=los
    )
    assert loss == pytest.approx(expected, abs=0.06)


def test_line_of_sight_is_certain_near_by_and_falls_with_the_distance() -> None:
    for site, scale in ((Site.UMA, 63.0), (Site.UMI, 36.0)):
        near, at_100, far = line_of_sight_probability(site, (15.0, 100.0, 5000.0))
        assert near == pytest.approx(1.0)
        assert at_100 == pytest.approx(0.18 + np.exp(-100.0 / scale) * 0.82)
        assert far == pytest.approx(18.0 / 5000.0, abs=1e-6)


def channel(*, seed: int = 3, cells: int = 2, slots: int = 4, pair: bool = True, **changes: Any) -> Channel:
    parameters = replace(ChannelParameters(), **changes)
    return Channel(parameters, Streams(seed, 0), cells=cells, slots=slots, pairs=[(0, 1)] if pair else [])


def test_the_values_do_not_depend_on_how_the_blocks_are_asked_for() -> None:
    whole = channel().blocks(0, 99)
    parts = channel()
    joined = np.concatenate([parts.blocks(first, last) for first, last in ((0, 6), (7, 7), (8, 53), (54, 99))], axis=3)
    again = channel()
    overlapping = np.concatenate([again.blocks(0, 40), again.blocks(40, 99)[..., 1:]], axis=3)
    np.testing.assert_array_equal(joined, whole)
    np.testing.assert_array_equal(overlapping, whole)
    assert np.isfinite(whole).all()


def test_other_cells_and_other_gains_change_nothing_in_a_cells_draws() -> None:
    alone = channel(cells=1, pair=False).blocks(0, 50)
    among = channel(cells=3, pair=False)
    among.set_gains(2, tx_db=20.0, rx_db=0.0)
    np.testing.assert_array_equal(among.blocks(0, 50)[:, :1], alone)


def test_fading_has_unit_power_and_the_correlation_of_its_doppler() -> None:
    """Rayleigh, blocks of one look: successive powers correlate by the square of the taps' correlation."""
    moving = channel(
        cells=1, slots=64, pair=False, speed_kmh=1.0, rician_k_db=-20.0, evm_cap_db=80.0,
        distance_lower_m=3000.0, distance_upper_m=3001.0, p0_dbm=-200.0, seed=5,
    )  # fmt: skip
    snr = moving.blocks(0, 999)[1, 0]
    power = 10.0 ** (snr / 10.0)
    power /= 10.0 ** (channel(
        cells=1, slots=64, pair=False, speed_kmh=1.0, fading=0, evm_cap_db=80.0,
        distance_lower_m=3000.0, distance_upper_m=3001.0, p0_dbm=-200.0, seed=5,
    ).blocks(0, 999)[1, 0] / 10.0)  # fmt: skip
    assert power.mean() == pytest.approx(1.0, abs=0.03)
    assert power.var() == pytest.approx(1.0, abs=0.08)
    doppler_hz = 1.0 / 3.6 * 1.8e9 / 3.0e8
    expected = float(j0(2.0 * np.pi * doppler_hz * 0.1)) ** 2
    lag_one = np.mean([np.corrcoef(row[:-1], row[1:])[0, 1] for row in power])
    assert lag_one == pytest.approx(expected, abs=0.04)


def test_faster_ues_fade_less_over_a_block_and_a_line_of_sight_least() -> None:
    def spread(**changes: float) -> float:
        base: dict[str, Any] = {
            "p0_dbm": -200.0,
            "evm_cap_db": 80.0,
            "distance_lower_m": 10.0,
            "distance_upper_m": 10.5,
        }
        snr = channel(cells=1, slots=32, pair=False, **(base | changes)).blocks(0, 9)  # one second: a place
        return float(snr[1].std(axis=-1).mean())

    assert spread(speed_kmh=3.0) < 0.6 * spread(speed_kmh=3.0, rician_k_db=-20.0)
    assert spread(speed_kmh=30.0, rician_k_db=-20.0) < 0.7 * spread(speed_kmh=3.0, rician_k_db=-20.0)


def test_shadowing_decorrelates_with_the_distance_walked_and_correlates_between_sites() -> None:
    """UMa without line of sight: 6 dB, 50 m; sites 10 m apart see nearly the same path loss."""
    walking = channel(
        slots=64, site=Site.UMA, fading=0, speed_kmh=36.0, heading_s=1e4, site_distance_m=10.0, distance_lower_m=4000.0,
        distance_upper_m=5000.0, bs_height_m=25.0,
    )  # fmt: skip
    losses = []
    for second in range(60):
        walking.blocks(10 * second, 10 * second)
        losses.append(walking.losses_db())
    loss = np.array(losses)
    shadow = loss - path_loss_db(
        Site.UMA, 4550.0, carrier_ghz=1.8, bs_height_m=25.0, ue_height_m=1.5, los=False
    )  # a km of distance is worth 4 dB, to be left out of what follows
    own, other = shadow[..., 0], shadow[..., 1]
    assert np.corrcoef(own.ravel(), other.ravel())[0, 1] == pytest.approx(0.5, abs=0.12)
    assert own.std() == pytest.approx(6.0, abs=0.6)
    steps = [np.mean((own[lag:] - own[:-lag]) ** 2) / (2.0 * 36.0) for lag in (1, 5)]
    assert steps[0] == pytest.approx(1.0 - np.exp(-10.0 / 50.0), rel=0.1)
    assert steps[1] == pytest.approx(1.0 - np.exp(-50.0 / 50.0), rel=0.12)


def test_a_ue_that_moves_to_the_other_cell_of_its_pair_stays_where_it_is() -> None:
    two = channel(fading=0)
    two.blocks(0, 3)
    own, other = two.losses_db()[0, 2]
    two.move(0, 2, 1, 3)
    assert tuple(two.losses_db()[1, 3]) == (other, own)
    at_new_site = two.blocks(3, 3)[0, 1, 3, 0]
    two.set_gains(1, tx_db=two.parameters.tx_reference_db - 3.0)
    assert two.blocks(3, 3)[0, 1, 3, 0] < at_new_site


def test_ues_keep_to_the_ring_around_their_site() -> None:
    walkers = channel(slots=32, speed_kmh=100.0, heading_s=5.0, fading=0, site_distance_m=1000.0)
    for second in range(200):
        walkers.blocks(10 * second, 10 * second)
        for cell, x in ((0, 0.0), (1, 1000.0)):
            distance = np.hypot(walkers._xy[cell, :, 0] - x, walkers._xy[cell, :, 1])
            assert distance.max() < 150.0 + 28.0
            assert distance.min() > 0.0


def test_transmit_gain_is_worth_a_db_a_db_until_the_amplifier_saturates() -> None:
    p = ChannelParameters(evm_cap_db=80.0, tx_reference_db=10.0, gnb_power_dbm=0.0, tx_saturation_dbm=20.0)
    snr = downlink_snr_db(p, 100.0, 0.0, np.array([0.0, 5.0, 50.0, 80.0]))
    # -10 dBm - 100 dB - (-174 + 66.53 + 9) dBm, less the little that saturation takes.
    assert snr[0] == pytest.approx(-10.0 - 100.0 + 98.47, abs=0.02)
    assert snr[1] - snr[0] == pytest.approx(5.0, abs=0.02)
    assert snr[3] - snr[2] < 0.1
    assert snr[3] == pytest.approx(20.0 - 100.0 + 98.47, abs=0.05)


def test_receive_gain_rises_to_a_plateau_and_falls_where_the_converter_clips() -> None:
    p = ChannelParameters(rx_knee_db=20.0, rx_clip_dbm=-35.0, evm_cap_db=60.0, p0_dbm=-95.0)
    gains = np.arange(0.0, 80.0, 1.0)
    snr = uplink_snr_db(p, 100.0, 0.0, gains)
    best = int(snr.argmax())
    assert np.all(np.diff(snr[: best + 1]) >= 0)
    assert np.all(np.diff(snr[best:]) <= 0)
    assert np.all(np.diff(snr[:best], 2) <= 1e-9)
    received = -95.0 + 10.0 * np.log10(25.0)
    assert snr[best] == pytest.approx(received + 102.47, abs=0.1)
    assert abs(gains[best] - (-35.0 - received)) <= 1.0
    assert snr[-1] < 0.0
    at_knee = snr[20]
    assert snr[best] - at_knee == pytest.approx(3.0, abs=0.15)


def test_power_control_holds_the_received_power_until_the_ue_has_none_left() -> None:
    p = ChannelParameters(evm_cap_db=80.0)
    near, far, farther = uplink_snr_db(p, np.array([70.0, 95.0, 130.0]), 0.0, 35.0)
    assert near == pytest.approx(far, abs=1e-9)
    assert uplink_power_dbm(p, 130.0) == 23.0
    assert farther == pytest.approx(23.0 - 130.0 + 102.47, abs=0.1)


def test_an_impossible_channel_is_refused() -> None:
    with pytest.raises(InputError, match="distance_upper_m"):
        ChannelParameters(distance_lower_m=200.0, distance_upper_m=100.0)
    with pytest.raises(InputError, match="pairs"):
        Channel(ChannelParameters(), Streams(1, 0), cells=2, slots=1, pairs=[(0, 1), (1, 0)])
