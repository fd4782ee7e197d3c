"""A region as a file of plain arrays, so that it answers anywhere and opening it runs no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from col.errors import InputError
from col.gaussian_process import Hyperparameters, PosteriorState
from col.region import Region
from col.region_leaf import RegionLeaf
from col.requirement import LeafScale, Reduction, Requirement

__all__ = ["load_region", "save_region"]

_TABLES = ("low", "span", "extras", "hull", "grid", "grid_mean", "grid_sd", "noise_grid")


def save_region(region: Region, path: Path | str, *, compressed: bool = True) -> None:
    """Write all that the region needs to answer, as plain arrays."""
    arrays: dict[str, Any] = {
        "format": np.array("rantwin region 1"),
        "controls": np.array(region.controls),
        "lower": region.lower,
        "upper": region.upper,
        "resolution": region.resolution,
        "levels": np.array([region.alpha, region.delta, region.beta, region.beta_uniform]),
        "specification": np.array(region.specification),
        "operating_names": np.array(list(region.operating), dtype=str),
        "operating_values": np.array(list(region.operating.values()), dtype=float),
        "derivation_names": np.array(list(region.derivations), dtype=str),
        "derivation_texts": np.array(list(region.derivations.values()), dtype=str),
        "empty_because": np.array(region.empty_because),
        "notes": np.array(region.notes, dtype=str),
        "leaf_names": np.array([leaf.scale.name for leaf in region.leaves], dtype=str),
        "leaf_logarithmic": np.array([leaf.scale.logarithmic for leaf in region.leaves], dtype=bool),
        "leaf_scales": np.array([(leaf.scale.centre, leaf.scale.scale) for leaf in region.leaves]).reshape(-1, 2),
        "requirements": np.array(
            [(r.leaf, r.sign, r.threshold, r.conjunct) for r in region.reduction.requirements]
        ).reshape(-1, 4),
        "whole": np.array(region.reduction.whole, dtype=np.int64),
        "impossible": np.array(region.reduction.impossible, dtype=np.int64),
        "worst": region.worst,
        "residuals": region.residuals if region.reduction.whole else np.empty((0, 0, 0)),
    }
    for i, requirement in enumerate(region.reduction.requirements):
        arrays[f"windows_{i}"] = np.array(requirement.windows, dtype=np.int64)
    for number, signs in region.reduction.signs.items():
        arrays[f"signs_{number}"] = signs
    for i, leaf in enumerate(region.leaves):
        for name in _TABLES:
            arrays[f"leaf_{i}_{name}"] = getattr(leaf, name)
        arrays[f"leaf_{i}_columns"] = np.array(leaf.columns, dtype=np.int64)
        if leaf.state is not None and not len(leaf.grid):
            theta = leaf.state.theta
            arrays[f"leaf_{i}_theta"] = np.concatenate(
                [
                    [theta.amplitude, theta.linear, theta.constant, leaf.state.mean, theta.joint, theta.additive],
                    theta.lengthscales,
                ]
            )
            for name in ("z", "factor", "white"):
                arrays[f"leaf_{i}_{name}"] = getattr(leaf.state, name)
    with Path(path).open("wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)


def load_region(path: Path | str) -> Region:
    """Read a region that `save` wrote; InputError if the file is anything else."""
    try:
        with np.load(path, allow_pickle=False) as data:
            if str(data["format"]) != "rantwin region 1":
                raise InputError(f"unknown format {str(data['format'])!r}", source=str(path))
            return _from_arrays({name: data[name] for name in data.files})
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise InputError(f"not a region written by rantwin ({error})", source=str(path)) from None


def _from_arrays(a: Mapping[str, Any]) -> Region:
    leaves = []
    for i, name in enumerate(a["leaf_names"]):
        state = None
        if f"leaf_{i}_theta" in a:
            head, lengthscales = a[f"leaf_{i}_theta"][:6], a[f"leaf_{i}_theta"][6:]
            theta = Hyperparameters(
                amplitude=float(head[0]),
                linear=float(head[1]),
                constant=float(head[2]),
                joint=float(head[4]),
                additive=int(head[5]),
                lengthscales=lengthscales,
                run=0.0,
                window=0.0,
                trial=0.0,
                passive=0.0,
            )
            state = PosteriorState(
                theta=theta,
                z=a[f"leaf_{i}_z"],
                factor=a[f"leaf_{i}_factor"],
                white=a[f"leaf_{i}_white"],
                mean=float(head[3]),
            )
        scale = LeafScale(
            name=str(name),
            logarithmic=bool(a["leaf_logarithmic"][i]),
            centre=float(a["leaf_scales"][i, 0]),
            scale=float(a["leaf_scales"][i, 1]),
        )
        tables = {k: a[f"leaf_{i}_{k}"] for k in _TABLES}
        columns = tuple(int(c) for c in a[f"leaf_{i}_columns"])
        leaves.append(RegionLeaf(scale=scale, columns=columns, state=state, **tables))
    requirements = tuple(
        Requirement(
            leaf=int(row[0]),
            sign=int(row[1]),
            threshold=float(row[2]),
            conjunct=int(row[3]),
            windows=tuple(int(w) for w in a[f"windows_{i}"]),
        )
        for i, row in enumerate(a["requirements"])
    )
    whole = tuple(int(w) for w in a["whole"])
    alpha, delta, beta, beta_uniform = (float(v) for v in a["levels"])
    return Region(
        controls=tuple(str(c) for c in a["controls"]),
        lower=a["lower"],
        upper=a["upper"],
        resolution=a["resolution"],
        alpha=alpha,
        delta=delta,
        beta=beta,
        beta_uniform=beta_uniform,
        specification=str(a["specification"]),
        operating={str(k): float(v) for k, v in zip(a["operating_names"], a["operating_values"], strict=True)},
        derivations={str(k): str(v) for k, v in zip(a["derivation_names"], a["derivation_texts"], strict=True)},
        leaves=tuple(leaves),
        reduction=Reduction(
            requirements=requirements,
            whole=whole,
            signs={number: a[f"signs_{number}"] for number in whole},
            impossible=tuple(int(w) for w in a["impossible"]),
        ),
        worst=a["worst"],
        residuals=a["residuals"],
        empty_because=str(a["empty_because"]),
        notes=tuple(str(note) for note in a["notes"]),
    )
