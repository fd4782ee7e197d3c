"""What an agent that serves one scenario demands of a promotion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.settings import Requirements
    from twin.scenario import Scenario

__all__ = ["requirements_of"]


def requirements_of(scenario: Scenario, trusted_keys: Mapping[str, bytes]) -> Requirements:
    """Return them: its φ, α and δ, itself and its calibration, and the raw public keys by key id.

    Drift is judged over as many windows as φ looks at.
    """
    from bridge.settings import Requirements

    return Requirements(
        specification=scenario.specification.text,
        alpha=scenario.alpha,
        delta=scenario.delta,
        scenario_digests=frozenset({scenario.digest}),
        calibration_ids=frozenset({scenario.calibration_id}),
        trusted_keys=trusted_keys,
        drift_windows=scenario.specification.horizon,
    )
