"""What the lab is swept over: CPU limits of DUs and CUs at loads, four gNBs at a time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BATCHES", "QUICK_BATCHES", "Batch", "Setting"]

_DU, _CU = 0.2, 0.12
"""Limits [core] that leave CPU to spare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """CPU limits of one gNB [core]; `swept` names the stage whose knee it is a point of."""

    du_cores: float = _DU
    cu_cores: float = _CU
    swept: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Settings that four gNBs have at the same time, at one load [Mbit/s]; `fitted`: the twin is fitted on them."""

    dl_mbps: float
    ul_mbps: float
    settings: tuple[Setting, ...]
    fitted: bool = False


def _du(*cores: float, dl: float = 1.5, ul: float = 1.5) -> Batch:
    swept = "du" if dl == ul == 1.5 else ""
    return Batch(dl_mbps=dl, ul_mbps=ul, settings=tuple(Setting(du_cores=c, swept=swept) for c in cores))


def _cu(*cores: float) -> Batch:
    return Batch(dl_mbps=1.5, ul_mbps=1.5, settings=tuple(Setting(cu_cores=c, swept="cu") for c in cores))


def _spare(mbps: float) -> Batch:
    settings = (Setting(), Setting(du_cores=0.17), Setting(cu_cores=0.1), Setting(du_cores=0.16, cu_cores=0.09))
    return Batch(dl_mbps=mbps, ul_mbps=mbps, settings=settings, fitted=True)


BATCHES = (
    _spare(1.5),
    _spare(0.75),
    _du(0.04, 0.05, 0.056, 0.06),
    _du(0.062, 0.064, 0.066, 0.068),
    _du(0.07, 0.072, 0.076, 0.08),
    _du(0.09, 0.1, 0.12, 0.14),
    _cu(0.03, 0.036, 0.04, 0.044),
    _cu(0.046, 0.048, 0.05, 0.052),
    _cu(0.054, 0.056, 0.06, 0.066),
    _du(0.05, 0.066, 0.08, 0.18, dl=1.0, ul=1.0),
    _du(0.05, 0.066, 0.08, 0.18, dl=0.5, ul=1.5),
    _du(0.05, 0.066, 0.08, 0.18, dl=1.5, ul=0.5),
)
"""Limits are whole steps of the lab's resolution: others would be rounded there, and not in the twin."""
QUICK_BATCHES = (
    _spare(1.5),
    _spare(0.75),
    _du(0.05, 0.056, 0.062, 0.068),
    _cu(0.036, 0.044, 0.05, 0.056),
    _du(0.066, 0.08, 0.1, 0.18, dl=1.0, ul=1.0),
)
