"""Plants whose truth is known, drawn at random from a seed: the learner is judged on those that it has never seen.

A plant has 2, 4 or 8 controls and some leaves; a leaf is `f(x, load) + h(x) (run + window noise)`, on a linear or a
logarithmic scale, with a threshold. Three kinds:

* `station`: stages that each need enough of two controls for their load; what is delivered saturates at the offer;
* `service`: a knee with interaction, an optimum in the middle (not monotone), a bill that is linear in all controls;
* `rough`: random smooth functions of one or two controls and a load, of no form that the learner knows.

Passive windows come from an autoscaler that follows the load of the window before, with dither: control and load are
confounded. Noise may vary with x, is autocorrelated, and has a part that all leaves of a run share. The probability
that the specification holds is exact up to a 9-point quadrature and 20 000 draws a leaf.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.col.synthetic_kinds import rough, service, station
from tests.col.synthetic_plant import SyntheticLeaf, SyntheticPlant, Truth

__all__ = ["KINDS", "SyntheticLeaf", "SyntheticPlant", "Truth", "make_plant"]

FloatArray = NDArray[np.float64]
KINDS = ("station", "service", "rough")


def make_plant(seed: int, controls: int, kind: str) -> SyntheticPlant:
    """Return the plant of that seed: drawn again until reference and region are as a plant needs them."""
    builders = {"station": station, "service": service, "rough": rough}
    for attempt in range(200):
        rng = np.random.default_rng([seed, controls, KINDS.index(kind), attempt])
        plant = builders[kind](rng, controls)
        plant.seed = int(rng.integers(2**31))
        if float(plant.probability(plant.reference[None])[0]) < 0.99:
            continue
        x = np.random.default_rng(1).uniform(plant.low, plant.high, size=(4000, controls))
        inside = x[plant.probability(x) >= 0.9]
        share = len(inside) / len(x)
        if (0.1, 0.04, 0.008)[(controls > 2) + (controls > 4)] <= share <= 0.7 and _visible(plant, inside) >= 0.8:
            return plant
    raise AssertionError("no such plant")


def _visible(plant: SyntheticPlant, inside: FloatArray) -> float:
    """Share of the region that a straight line within it joins to the reference: no learner leaps a gap."""
    steps = np.linspace(0.1, 0.9, 9)[:, None, None]
    lines = plant.reference + steps * (inside - plant.reference)
    held = plant.probability(lines.reshape(-1, lines.shape[-1])).reshape(len(steps), -1) >= 0.9
    return float(held.all(axis=0).mean())
