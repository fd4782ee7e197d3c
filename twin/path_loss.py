"""Path loss, line of sight and shadowing of 3GPP TR 38.901, urban macro (UMa) and micro (UMi, street canyon)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SHADOWING", "Shadowing", "Site", "line_of_sight_probability", "path_loss_db"]

FloatArray = NDArray[np.float64]

_LIGHT_M_PER_S = 3.0e8


class Site(StrEnum):
    """Deployments: urban macro and urban micro (street canyon)."""

    UMA = "uma"
    UMI = "umi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowing:
    """Standard deviation [dB] and correlation distance [m], without and with line of sight (index 0 and 1)."""

    sd_db: tuple[float, float]
    distance_m: tuple[float, float]


SHADOWING = {
    Site.UMA: Shadowing(sd_db=(6.0, 4.0), distance_m=(50.0, 37.0)),
    Site.UMI: Shadowing(sd_db=(7.82, 4.0), distance_m=(13.0, 10.0)),
}
"""Tables 7.4.1-1 and 7.5-6."""


def path_loss_db(
    site: Site, distance_m: ArrayLike, *, carrier_ghz: float, bs_height_m: float, ue_height_m: float, los: ArrayLike
) -> FloatArray:
    """Return the path loss [dB] at horizontal distances (at least 10 m), with or without line of sight (7.4.1-1)."""
    flat = np.maximum(np.asarray(distance_m, dtype=np.float64), 10.0)
    straight = np.hypot(flat, bs_height_m - ue_height_m)
    turn = 4.0 * (bs_height_m - 1.0) * (ue_height_m - 1.0) * carrier_ghz * 1e9 / _LIGHT_M_PER_S
    tone = 20.0 * np.log10(carrier_ghz)
    fall = turn**2 + (bs_height_m - ue_height_m) ** 2
    if site is Site.UMA:
        near = 28.0 + 22.0 * np.log10(straight) + tone
        far = 28.0 + 40.0 * np.log10(straight) + tone - 9.0 * np.log10(fall)
        hidden = 13.54 + 39.08 * np.log10(straight) + tone - 0.6 * (ue_height_m - 1.5)
    else:
        near = 32.4 + 21.0 * np.log10(straight) + tone
        far = 32.4 + 40.0 * np.log10(straight) + tone - 9.5 * np.log10(fall)
        hidden = 22.4 + 35.3 * np.log10(straight) + 21.3 * np.log10(carrier_ghz) - 0.3 * (ue_height_m - 1.5)
    seen = np.where(flat <= turn, near, far)
    loss: FloatArray = np.where(los, seen, np.maximum(seen, hidden))
    return loss


def line_of_sight_probability(site: Site, distance_m: ArrayLike) -> FloatArray:
    """Return the probability of line of sight outdoors at horizontal distances, UEs up to 13 m high (7.4.2-1)."""
    flat = np.maximum(np.asarray(distance_m, dtype=np.float64), 18.0)
    scale = 63.0 if site is Site.UMA else 36.0
    near = 18.0 / flat
    probability: FloatArray = near + np.exp(-flat / scale) * (1.0 - near)
    return probability
