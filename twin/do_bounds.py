"""What values a variable of the causal graph can have at all: do() holds it at no other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from twin.causal_graph import split_name

if TYPE_CHECKING:
    from twin.scenario_model import Scenario

__all__ = ["do_bounds"]

_SHARE = (0.0, 1.0, "")
_FACTOR = (0.01, 100.0, "")
_DECIBEL = (-100.0, 200.0, " dB")
_BOUNDS: Mapping[str, tuple[float, float, str]] = {
    **dict.fromkeys(("late_du", "nok_dl", "nok_ul", "bler_dl", "bler_ul", "nn"), _SHARE),
    **dict.fromkeys(("run_du", "run_cu"), _FACTOR),
    **dict.fromkeys(("snr", "sdl"), _DECIBEL),
    **dict.fromkeys(("ps_du", "ps_cu"), (0.0, 95.0, " ms of each period of 100 ms")),
    **dict.fromkeys(("prb_dl", "prb_ul"), (0.0, 100.0, " %")),
    **dict.fromkeys(("mcs_dl", "mcs_ul"), (0.0, 28.0, "")),
    **dict.fromkeys(("lam_dl", "lam_ul"), (0.0, 10_000.0, " Mbit/s")),
    **dict.fromkeys(("oom_du", "oom_cu", "ho"), (0.0, 1000.0, " in a window")),
    "wd_du": (0.001, 1000.0, " CPU-ms per slot"),
    "wd_cu": (0.001, 1000.0, " cores"),
    "drift": (-100.0, 100.0, " standard deviations"),
    "hst": (0.0, 10.0, ""),
    "cqi": (0.0, 15.0, ""),
    "att": (-1.0, 1.0, ""),
    "nue": (0.0, 64.0, " UEs"),
}
"""By stem: least, most, unit. Loads hang on the links; whatever is not here is a quantity of zero or more."""


def do_bounds(scenario: Scenario, variable: str) -> tuple[float, float, str]:
    """Return the least and the largest value of a variable that is no control, and its unit for a message.

    A load cannot be above what the slower of midhaul and backhaul carries: the twin would report the link, and not what
    is studied.
    """
    stem, _ = split_name(variable)
    if stem in ("load_dl", "load_ul"):
        links = scenario.links
        return 0.0, min(links.midhaul_mbps, links.backhaul_mbps) / links.overhead, " Mbit/s"
    return _BOUNDS.get(stem, (0.0, math.inf, ""))
