"""How far the safe border moves when what is assumed is varied, one assumption at a time.

The border is told by what one gNB needs: the least CPU limits of DU and CU, each with the other at its upper bound,
that deliver 95 % of the operating load in both directions, in a run without random effect. Every variant is a few cells
of one data plane, which differ in the phase of their CPU periods; all are bisected side by side, and medians are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.dataplane import DataPlane
from twin.parameters import CellParameters, GrantPolicy
from twin.ran import DATA_PLANE_STREAMS
from twin.scenario import Scenario

__all__ = ["sensitivity_of_border"]

FloatArray = NDArray[np.float64]

_HALVINGS = 9
_SETTLE_SLOTS, _SLOTS = 3_000, 8_000
_REPEATS = 5
_DELIVERED = 0.95
_STREAM = 79


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    """One assumption varied: what it does to a cell, a factor on all of the DU's demand, and whose need it moves."""

    change: Callable[[CellParameters], CellParameters] = lambda cell: cell
    du_factor: float = 1.0
    moves: str = "du cu"


def _cu_packet(factor: float) -> _Variant:
    return _Variant(change=lambda c: replace(c, cu=replace(c.cu, packet_ms=c.cu.packet_ms * factor)), moves="cu")


def _cu_base(factor: float) -> _Variant:
    return _Variant(change=lambda c: replace(c, cu=replace(c.cu, base_share=c.cu.base_share * factor)), moves="cu")


def _cu_threads(threads: float) -> _Variant:
    return _Variant(change=lambda c: replace(c, cu=replace(c.cu, parallelism=threads)), moves="cu")


def _buffer(factor: float) -> _Variant:
    return _Variant(change=lambda c: replace(c, buffer_packets=max(1, round(c.buffer_packets * factor))))


def _other_policy(cell: CellParameters) -> CellParameters:
    other = GrantPolicy.BATCH if cell.grant_policy is GrantPolicy.SPREAD else GrantPolicy.SPREAD
    return replace(cell, grant_policy=other)


_ASSUMPTIONS: tuple[tuple[str, tuple[str, _Variant], tuple[str, _Variant]], ...] = (
    ("CU: cost of a packet", ("x 0.75", _cu_packet(0.75)), ("x 1.25", _cu_packet(1.25))),
    ("CU: cost without traffic", ("x 0.75", _cu_base(0.75)), ("x 1.25", _cu_base(1.25))),
    ("CU: threads that run at once", ("1", _cu_threads(1.0)), ("2", _cu_threads(2.0))),
    (
        "DU: all cost, another machine",
        ("x 0.9", _Variant(du_factor=0.9, moves="du")),
        ("x 1.1", _Variant(du_factor=1.1, moves="du")),
    ),
    ("MAC: grant policy", ("as stated", _Variant(moves="")), ("the other", _Variant(change=_other_policy, moves="du"))),
    ("MAC: buffer", ("x 0.5", _buffer(0.5)), ("x 2", _buffer(2.0))),
)


def sensitivity_of_border(scenario: Scenario) -> dict[str, Any]:
    """Return the data of the sensitivity figure (see `figures/sensitivity.py`)."""
    variants = [_Variant(), *(v for _, low, high in _ASSUMPTIONS for _, v in (low, high))]
    needs = _needs(scenario, variants)
    bars: list[dict[str, Any]] = [
        {"label": label, "low": needs[1 + 2 * k], "high": needs[2 + 2 * k], "low_label": low[0], "high_label": high[0]}
        for k, (label, low, high) in enumerate(_ASSUMPTIONS)
    ]
    return {
        "quantity": "least DU limit + least CU limit of one gNB, other one at its upper bound",
        "unit": "core",
        "base": needs[0],
        "bars": [bar for bar in bars if math.isfinite(bar["low"] + bar["high"])],
    }


def _needs(scenario: Scenario, variants: list[_Variant]) -> list[float]:
    """Return for each variant the sum of the least limits of DU and CU, infinite where the upper bound is too little.

    The first variant is the scenario as it is; a part that a variant does not move keeps the first one's need.
    """
    du, cu = scenario.ranges["cpu_du"], scenario.ranges["cpu_cu"]
    base = _without_noise(scenario.cells()[0])
    jobs = [(v, part) for v in variants for part in ("du", "cu") if part in v.moves.split() for _ in range(_REPEATS)]
    of_du = np.array([part == "du" for _, part in jobs])
    plane = DataPlane(
        [variant.change(base) for variant, _ in jobs],
        {name: np.random.default_rng(seed) for name, seed in zip(DATA_PLANE_STREAMS, _seeds(), strict=True)},
        du_factor=np.array([variant.du_factor for variant, _ in jobs]),
    )
    for number in range(len(jobs)):
        plane.set_load(number, dl_mbps=scenario.operating_load.dl_mbps, ul_mbps=scenario.operating_load.ul_mbps)
    low = np.where(of_du, du.lower, cu.lower)
    high = np.where(of_du, du.upper, cu.upper)
    enough = _delivers(plane, np.full(len(jobs), du.upper), np.full(len(jobs), cu.upper))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        held = _delivers(plane, np.where(of_du, middle, du.upper), np.where(of_du, cu.upper, middle))
        low, high = np.where(held, low, middle), np.where(held, middle, high)
    least = iter(np.median(np.where(enough, (low + high) / 2, np.inf).reshape(-1, _REPEATS), axis=1))
    found: list[dict[str, float]] = []
    for variant in variants:
        found.append({part: float(next(least)) for part in ("du", "cu") if part in variant.moves.split()})
    return [sum({**found[0], **parts}.values()) for parts in found]


def _without_noise(cell: CellParameters) -> CellParameters:
    """Return the cell without the demand's slow wandering: what is compared are means, not luck."""
    return replace(cell, du=replace(cell.du, slow_sd=0.0), cu=replace(cell.cu, slow_sd=0.0))


def _seeds() -> list[np.random.SeedSequence]:
    return np.random.SeedSequence(0, spawn_key=(_STREAM,)).spawn(len(DATA_PLANE_STREAMS))


def _delivers(plane: DataPlane, du_cores: FloatArray, cu_cores: FloatArray) -> NDArray[np.bool_]:
    """Return which cells deliver enough in both directions at limits `du_cores`, `cu_cores` (n,)."""
    for number, (du, cu) in enumerate(zip(du_cores, cu_cores, strict=True)):
        plane.set_quota(number, du_cores=float(du), cu_cores=float(cu))
    plane.advance(_SETTLE_SLOTS)
    plane.take_counters()
    plane.advance(_SLOTS)
    k = plane.take_counters()
    shares = [k[f"delivered_bits_{way}"] / np.maximum(k[f"offered_bits_{way}"], 1.0) for way in ("dl", "ul")]
    result: NDArray[np.bool_] = np.minimum(shares[0], shares[1]) >= _DELIVERED
    return result
