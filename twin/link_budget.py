"""From loss and fading to SNR: powers, gains, noise, compression, clipping and power control (see `twin.channel`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.channel import ChannelParameters

__all__ = ["downlink_snr_db", "uplink_power_dbm", "uplink_snr_db"]

FloatArray = NDArray[np.float64]

_THERMAL_DBM_PER_HZ = -174.0
_PRB_HZ = 180e3


def _linear(db: ArrayLike) -> FloatArray:
    linear: FloatArray = np.exp(np.asarray(db, dtype=np.float64) * (np.log(10.0) / 10.0))
    return linear


def _db(linear: ArrayLike) -> FloatArray:
    return 10.0 * np.log10(linear)


def _thermal_dbm(parameters: ChannelParameters) -> float:
    return _THERMAL_DBM_PER_HZ + float(_db(_PRB_HZ * parameters.n_prb))


def downlink_snr_db(
    parameters: ChannelParameters, loss_db: ArrayLike, fading_db: ArrayLike, tx_gain_db: ArrayLike
) -> FloatArray:
    """Return the SNR [dB] at UEs behind a loss, path loss and shadowing, at a transmit gain."""
    p = parameters
    wanted = p.gnb_power_dbm + (np.asarray(tx_gain_db) - p.tx_reference_db)
    sent = -_db(_linear(-wanted) + _linear(-p.tx_saturation_dbm))
    snr = sent - np.asarray(loss_db) + np.asarray(fading_db) - (_thermal_dbm(p) + p.ue_noise_db)
    return -_db(_linear(-snr) + _linear(-p.evm_cap_db))


def uplink_power_dbm(parameters: ChannelParameters, loss_db: ArrayLike) -> FloatArray:
    """Return the power [dBm] that a UE sends with over the carrier (TS 38.213, 7.1.1: open loop)."""
    p = parameters
    return np.minimum(p.ue_power_dbm, p.p0_dbm + float(_db(p.n_prb)) + p.alpha * np.asarray(loss_db))


def uplink_snr_db(
    parameters: ChannelParameters, loss_db: ArrayLike, fading_db: ArrayLike, rx_gain_db: ArrayLike
) -> FloatArray:
    """Return the SNR [dB] of UEs at the gNB behind a loss, at a receive gain."""
    p = parameters
    received = uplink_power_dbm(p, loss_db) - np.asarray(loss_db) + np.asarray(fading_db)
    behind_amplifier = _db(1.0 + _linear(p.rx_knee_db - np.asarray(rx_gain_db)))
    snr = received - (_thermal_dbm(p) + p.gnb_noise_db + behind_amplifier)
    clipped = np.maximum(_linear(received + np.asarray(rx_gain_db) - p.rx_clip_dbm) - 1.0, 0.0)
    return -_db(_linear(-snr) + _linear(-p.evm_cap_db) + clipped)
