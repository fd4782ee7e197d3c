"""The text format of Prometheus (prometheus.io/docs/instrumenting/exposition_formats): counters and gauges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Sampled", "parse_text", "total"]

_LINE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sample: its labels and its value."""

    labels: Mapping[str, str]
    value: float


def parse_text(text: str) -> dict[str, list[Sampled]]:
    """Return the samples by name; comments and lines that are none are skipped."""
    found: dict[str, list[Sampled]] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        labels = {one[1]: re.sub(r"\\(.)", r"\1", one[2]) for one in _LABEL.finditer(match[2] or "")}
        found.setdefault(match[1], []).append(Sampled(labels, value))
    return found


def total(samples: Mapping[str, list[Sampled]], name: str) -> float | None:
    """Return the sum over all labels, None where there is no such name or a value that is no count."""
    values = [one.value for one in samples.get(name, ())]
    return sum(values) if values and all(0.0 <= value < 1e18 for value in values) else None
