"""From our metrics and units to names and base units as Prometheus wants them (prometheus.io/docs/practices/naming)."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Series", "series_of"]

_UNITS = {
    "Mbit/s": ("bytes_per_second", 125_000.0),
    "kbit/s": ("bytes_per_second", 125.0),
    "bit/s": ("bytes_per_second", 0.125),
    "us": ("seconds", 1e-6),
    "µs": ("seconds", 1e-6),
    "ms": ("seconds", 1e-3),
    "s": ("seconds", 1.0),
    "%": ("ratio", 0.01),
    "share": ("ratio", 1.0),
    "ratio": ("ratio", 1.0),
    "W": ("watts", 1.0),
    "core": ("cores", 1.0),
    "cores": ("cores", 1.0),
    "dB": ("decibels", 1.0),
    "dBm": ("decibel_milliwatts", 1.0),
    "B": ("bytes", 1.0),
    "kB": ("bytes", 1e3),
    "1": ("", 1.0),
    "": ("", 1.0),
}


@dataclass(frozen=True, slots=True)
class Series:
    """A series: its metric's name, its labels, and the factor from our unit to the base unit."""

    name: str
    labels: tuple[tuple[str, str], ...]
    factor: float


def series_of(prefix: str, name: str, unit: str) -> Series:
    """Return the series of a metric or a control; `_3` and `_h3` at its end become labels `gnb` and `host`."""
    labels: tuple[tuple[str, str], ...] = ()
    found = re.fullmatch(r"(.+)_(h?)(\d+)", name)
    if found:
        name = found[1]
        labels = (("host" if found[2] else "gnb", found[3]),)
    suffix, factor = _UNITS.get(unit, (unit, 1.0))
    words = [prefix, name, suffix] if not name.endswith(f"_{suffix}") else [prefix, name]
    clean = re.sub(r"[^a-z0-9]+", "_", "_".join(word for word in words if word).lower()).strip("_")
    return Series(clean, labels, factor)
