"""What a trial costs, as a scenario says it: a rate per unit of every kind of control, above the reference."""

from __future__ import annotations

from typing import Any

from col.problem import Cost
from twin.control_kinds import KINDS, kind_of
from twin.strict import Section
from twin.topology import Topology

__all__ = ["cost_table", "read_cost"]

_CORE = "core"
_RATE_KEYS = {
    "core": "rate_per_core", "GB": "rate_per_gb", "PRB": "rate_per_prb", "dB": "rate_per_db",
    "Mbit/s": "rate_per_mbps",
}  # fmt: skip


def read_cost(section: Section, topology: Topology) -> Cost:
    """Read the table: one per core unless it says otherwise, nothing for any other unit unless it does."""
    rates = {
        unit: section.number(key, lower=0, upper=1e6, default=1.0 if unit == _CORE else 0.0)
        for unit, key in _RATE_KEYS.items()
    }
    budget = section.number("budget", lower=1) if "budget" in section else float("inf")
    section.expect(["budget"])
    section.close()
    units = {name: KINDS[kind_of(name)].unit for name in topology.control_names}
    return Cost(
        rates={name: rates[unit] for name, unit in units.items() if unit == _CORE or rates[unit] > 0}, budget=budget
    )


def cost_table(cost: Cost) -> dict[str, Any]:
    """Return the table that the cost was read from."""
    out = {_RATE_KEYS[KINDS[kind_of(name)].unit]: rate for name, rate in cost.rates.items()}
    return out | ({"budget": cost.budget} if cost.budget < float("inf") else {})
