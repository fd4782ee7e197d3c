"""A region that is made up: φ holds where every control is above one value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from col.region import Region
from col.region_leaf import RegionLeaf
from col.requirement import LeafScale, Reduction, Requirement

LOWER, UPPER = 0.1, 1.5


def box_region(controls: Sequence[str], reach: float) -> Region:
    """Return the region in which each control is above `reach`, to a few hundredths."""
    n, grid = len(controls), np.linspace(0.0, 1.0, 29)
    leaves = tuple(
        RegionLeaf(
            scale=LeafScale(name=f"above_{name}", logarithmic=False, centre=reach, scale=1.0),
            columns=(k,),
            low=np.array([LOWER]),
            span=np.array([UPPER - LOWER]),
            extras=np.empty(0),
            hull=np.array([[0.0], [1.0]]),
            grid=grid,
            grid_mean=LOWER + grid * (UPPER - LOWER) - reach,
            grid_sd=np.full(len(grid), 0.001),
            noise_grid=np.full(len(grid), 0.01),
            state=None,
        )
        for k, name in enumerate(controls)
    )
    requirements = tuple(Requirement(leaf=k, sign=1, threshold=0.0, windows=(0,), conjunct=k) for k in range(n))
    return Region(
        controls=tuple(controls),
        lower=np.full(n, LOWER),
        upper=np.full(n, UPPER),
        resolution=np.full(n, 0.05),
        alpha=0.9,
        delta=0.05,
        beta=2.0,
        beta_uniform=3.0,
        specification=" and ".join(f"above_{name} >= 0" for name in controls),
        operating={},
        derivations={},
        leaves=leaves,
        reduction=Reduction(requirements=requirements, whole=(), signs={}),
        worst=np.random.default_rng(0).normal(size=(n, 256)),
        residuals=np.empty((0, 0, 0)),
    )
