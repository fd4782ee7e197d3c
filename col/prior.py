"""The causal phase: which quantities are modelled, on which inputs, and what the passive windows say of them.

A *leaf* is a quantity that is modelled from data: a metric of the specification, or, where a derivation says how that
metric saturates, the metrics from which it is derived. Its inputs are its ancestral controls, the exogenous metrics
that it depends on, and a back-door set, so that watched windows and interventions tell of one and the same mechanism.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from col.errors import InputError, NotIdentifiableError
from col.graph import NodeKind
from col.identify import Estimand, joint_backdoor
from col.plant import PlantDescription, Windows
from col.problem import Problem

__all__ = ["LeafDesign", "PassiveRows", "design_leaves", "lagged_column", "passive_rows", "saturating", "select_rows"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_NEAR = 0.15
"""A window supports the operating point if each input but the controls is within this share of its spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafDesign:
    """A modelled quantity, its inputs, and the estimand that makes passive windows count.

    `extras` are (metric, lag in windows) pairs; `obstacle` says why passive windows tell nothing, empty if they do.
    """

    name: str
    controls: tuple[str, ...]
    extras: tuple[tuple[str, int], ...]
    derived: bool
    estimand: Estimand | None = None
    obstacle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassiveRows:
    """Passive windows as observations of one leaf.

    `controls` (n, c) and `extras` (n, e) in their units, `y` (n,) the leaf, `run` (n,); `operating` (e,) is where the
    extras are wanted, `spread` (e,) their scale, `support` the number of windows near the operating point.
    """

    controls: FloatArray
    extras: FloatArray
    y: FloatArray
    run: IntArray
    operating: FloatArray
    spread: FloatArray
    support: int

    def without_responses(self) -> PassiveRows:
        """Return the same law of the extras, with no observation of the leaf."""
        none = slice(0, 0)
        return replace(
            self, controls=self.controls[none], extras=self.extras[none], y=self.y[none], run=self.run[none], support=0
        )

    def distance(self) -> FloatArray:
        """Return each window's distance from the operating point in units of the spread, shape (n,)."""
        scaled = (self.extras - self.operating) / self.spread
        distance: FloatArray = np.sqrt((scaled * scaled).sum(1))
        return distance


def leaf_names(problem: Problem, dropped: frozenset[str] = frozenset()) -> dict[str, bool]:
    """Return the leaves of the specification and whether each stands in a derivation; `dropped` ones do not hold."""
    kinds = problem.graph.nodes
    leaves: dict[str, bool] = {}
    for metric in sorted(problem.specification.metrics):
        expression = None if metric in dropped else problem.derivations.get(metric)
        for name in sorted(expression.names) if expression else [metric]:
            if kinds.get(name) == NodeKind.EXOGENOUS:
                if name not in problem.operating:
                    raise InputError("exogenous metric needs an operating value", key=name)
                continue
            if kinds.get(name) == NodeKind.CONTROL:
                raise InputError("a derivation or specification cannot use a control itself", key=name)
            leaves[name] = leaves.get(name, False) or expression is not None
    return leaves


def design_leaves(
    problem: Problem, plant: PlantDescription, *, adjusted: bool = True, dropped: frozenset[str] = frozenset()
) -> tuple[LeafDesign, ...]:
    """Return what is to be modelled on which inputs; `adjusted` False is the naive design on the controls alone."""
    graph = problem.graph
    measured = frozenset(metric.name for metric in plant.metrics)
    order = [control.name for control in plant.controls]
    mechanism = graph.unroll(2, with_regime=False)
    designs = []
    for name, derived in leaf_names(problem, dropped).items():
        ancestral = set(graph.ancestral_controls(name))
        controls = tuple(c for c in order if c in ancestral)
        if not adjusted:
            designs.append(LeafDesign(name=name, controls=controls, extras=(), derived=derived))
            continue
        ancestors = nx.ancestors(mechanism, f"{name}@1")
        extras = {
            (node, 0)
            for node, kind in graph.nodes.items()
            if kind == NodeKind.EXOGENOUS and node in measured and f"{node}@1" in ancestors
        }
        estimand, obstacle = None, ""
        if controls:
            try:
                estimand = joint_backdoor(graph, controls, name, measured, include=sorted(extras))
                extras |= {(variable, lag) for variable, lag in estimand.adjustment}
            except NotIdentifiableError as error:
                obstacle = str(error)
        designs.append(
            LeafDesign(
                name=name,
                controls=controls,
                extras=tuple(sorted(extras, key=lambda e: (e[1], e[0]))),
                derived=derived,
                estimand=estimand,
                obstacle=obstacle,
            )
        )
    return tuple(designs)


def lagged_column(windows: Windows, name: str, lag: int) -> FloatArray:
    """Return a column as it was `lag` windows before, NaN where the run had not begun, shape (n,)."""
    column = windows.column(name)
    if lag == 0:
        return column
    result = np.full(len(windows), np.nan)
    if len(windows) > lag:
        unbroken = (windows.run[lag:] == windows.run[:-lag]) & (windows.sequence[lag:] - windows.sequence[:-lag] == lag)
        result[lag:] = np.where(unbroken, column[:-lag], np.nan)
    return result


def passive_rows(design: LeafDesign, windows: Windows, operating: Mapping[str, float]) -> PassiveRows:
    """Return the complete windows (no NaN in what the leaf needs) as observations of the leaf."""
    n = len(windows)
    if not n:
        return PassiveRows(
            controls=np.empty((0, len(design.controls))),
            extras=np.empty((0, len(design.extras))),
            y=np.empty(0),
            run=np.empty(0, dtype=np.int64),
            operating=np.array([operating.get(name, 0.0) for name, _ in design.extras]),
            spread=np.array([max(abs(operating.get(name, 0.0)), 1.0) for name, _ in design.extras]),
            support=0,
        )
    controls = np.column_stack([windows.controls[c] for c in design.controls]) if design.controls else np.empty((n, 0))
    columns = [lagged_column(windows, name, lag) for name, lag in design.extras]
    extras = np.column_stack(columns) if columns else np.empty((n, 0))
    y = windows.column(design.name)
    complete = np.isfinite(y) & np.isfinite(controls).all(1) & np.isfinite(extras).all(1)
    controls, extras, y = controls[complete], extras[complete], y[complete]
    wanted = np.array([operating.get(name, np.nan) for name, _ in design.extras])
    if len(y):
        low, high = np.quantile(extras, [0.01, 0.99], axis=0)
        # An adjustment variable without an operating value is taken at its passive mean: the law it had when watched.
        wanted = np.where(np.isfinite(wanted), wanted, extras.mean(0) if len(design.extras) else wanted)
        spread = np.maximum(high, wanted) - np.minimum(low, wanted)
    else:
        wanted = np.nan_to_num(wanted)
        spread = np.maximum(np.abs(wanted), 1.0)
    spread = np.where(spread > 1e-9 * (1.0 + np.abs(wanted)), spread, 1.0)
    near = np.all(np.abs((extras - wanted) / spread) <= _NEAR, axis=1) if len(y) else np.zeros(0, dtype=bool)
    return PassiveRows(
        controls=controls,
        extras=extras,
        y=y,
        run=windows.run[complete],
        operating=wanted,
        spread=spread,
        support=int(near.sum()),
    )


def saturating(rows: PassiveRows, extras: tuple[tuple[str, int], ...]) -> int | None:
    """Return the number of the input that caps the leaf, None if none does.

    Delivered throughput follows what is offered until the cliff: its windows on the safe side tell nothing of the
    distance to it.
    """
    for i, (_, lag) in enumerate(extras):
        bound = rows.extras[:, i]
        if lag or len(rows.y) < 20 or np.any(bound <= 0):
            continue
        ratio = rows.y / bound
        if np.mean(ratio <= 1.02) > 0.98 and np.mean(np.abs(ratio - 1.0) < 0.02) > 0.2:
            return i
    return None


def select_rows(rows: PassiveRows, count: int, near_share: float = 0.6) -> IntArray:
    """Return the windows to learn from: those nearest to the operating point, the rest spread over all distances.

    The cost of a Gaussian process grows with the cube of its observations, and windows at loads far from the operating
    point say little of it; a few of them still anchor the dependence on the load.
    """
    n = len(rows.y)
    if n <= count:
        return np.arange(n)
    order = np.argsort(rows.distance(), kind="stable")
    nearest = order[: int(near_share * count)]
    rest = order[len(nearest) :]
    spread = rest[np.linspace(0, len(rest) - 1, count - len(nearest)).round().astype(int)]
    chosen: IntArray = np.sort(np.unique(np.concatenate([nearest, spread])))
    return chosen
