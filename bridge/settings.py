"""What the operator allows at the agent, as values; `agent_config` reads them from the agent's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["BlastRadius", "EngineSettings", "Exploration", "Requirements", "WatchLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What the testbed has to satisfy, and the evidence that counts for it.

    `specification` is φ's text; `calibration_ids` are those of twins that may speak for this testbed; `trusted_keys`
    maps key ids to raw Ed25519 public keys (32 bytes).
    """

    specification: str
    alpha: float
    delta: float
    scenario_digests: frozenset[str]
    calibration_ids: frozenset[str]
    trusted_keys: Mapping[str, bytes]
    accept_estimated: frozenset[str] = frozenset()
    drift_limit: float = 2.0
    drift_windows: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """How much may change at once. `largest_step` is per control, or per kind (the longest prefix that matches)."""

    largest_step: Mapping[str, float] = field(default_factory=dict)
    most_gnbs: int = 2
    min_spacing_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """The operator's mode for trials without certificate: off, or inside a box with steps of its own."""

    enabled: bool = False
    lower: Mapping[str, float] = field(default_factory=dict)
    upper: Mapping[str, float] = field(default_factory=dict)
    largest_step: Mapping[str, float] = field(default_factory=dict)
    most_gnbs: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLimits:
    """When the watchdog gives up: horizons of φ that failed, windows in a row without a verdict, windows it waits."""

    failure_limit: int = 1
    inconclusive_limit: int = 2
    initial_delay_windows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """All that the engine needs to know. Times in seconds of the agent's monotonic clock; settling in testbed time."""

    requirements: Requirements
    blast: BlastRadius = field(default_factory=BlastRadius)
    exploration: Exploration = field(default_factory=Exploration)
    watch: WatchLimits = field(default_factory=WatchLimits)
    settle_s: float = 5.0
    call_timeout_s: float = 2.0
    plan_ttl_s: float = 300.0
    lease_ttl_min_s: float = 1.0
    lease_ttl_max_s: float = 120.0
    trial_timeout_max_s: float = 3600.0
    windows_kept: int = 20_000
    promotions_kept: int = 1_000
    rollback_enabled: bool = True
    """False only in the control case of the tests that show that rollback is what brings the testbed back."""
