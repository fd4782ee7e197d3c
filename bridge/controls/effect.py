"""Whether a command had an effect, told from a gNB's reports before and after it. Pure: no clock, no connection.

srsRAN acknowledges a slice's PRB ratio also where no slice matches, where the minimum lies above the maximum, and where
the traffic is not in that slice; so an acknowledgement says nothing. A cap shows in the rate of UEs that have more to
send than it lets through; announced SSB power shows in the power headroom of UEs, which measure their path loss by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bridge.telemetry.door import number

__all__ = ["CellReport", "UeReport", "Verdict", "cell_report", "is_test_mode", "power_effect", "share_effect"]

BACKLOG_BYTES = 4_000
"""More waits than two slots carry: the UE is held back by what it is given, not by what it has to send."""
HALF = 0.5
"""Of the change that must follow: this much of it counts as seen, less as not seen."""


class Verdict(StrEnum):
    """What reports say of an effect."""

    SHOWN = "shown"
    CONTRADICTED = "contradicted"
    SILENT = "silent"
    """Nobody had enough to send, or nobody was there: the reports would be the same either way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UeReport:
    """A UE over one report: what it got [Mbit/s], what waits for it [bytes], its power headroom [dB] if known."""

    rnti: int
    dl_mbps: float
    dl_waiting_bytes: float
    phr_db: float | None = None
    pusch_snr_db: float | None = None
    pusch_rsrp_db: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellReport:
    """A gNB's report, `at_s` when it arrived (monotonic)."""

    at_s: float
    ues: Mapping[int, UeReport] = field(default_factory=dict)


def cell_report(message: Mapping[str, Any], at_s: float) -> CellReport | None:
    """Return what a message of the gNB says of its UEs; None if it is no report of cells."""
    cells = message.get("cells")
    if not isinstance(cells, list):
        return None
    ues = {}
    for cell in cells:
        listed = cell.get("ue_list") if isinstance(cell, dict) else None
        for ue in listed if isinstance(listed, list) else ():
            if not isinstance(ue, dict):
                continue
            rnti = _number(ue.get("rnti"))
            rate, waiting = _number(ue.get("dl_brate")), _number(ue.get("dl_bs"))
            if rnti is None or rate is None or rate < 0.0:
                continue
            ues[int(rnti)] = UeReport(
                rnti=int(rnti),
                dl_mbps=rate / 1e6,
                dl_waiting_bytes=max(0.0, waiting or 0.0),
                phr_db=_number(ue.get("last_phr")),
                pusch_snr_db=_number(ue.get("pusch_snr_db")),
                pusch_rsrp_db=_number(ue.get("pusch_rsrp_db")),
            )
    return CellReport(at_s=at_s, ues=ues)


def is_test_mode(reports: Sequence[CellReport]) -> bool:
    """Say whether the UEs are the gNB's own simulated ones, whose radio is forced: SNR 99.9 dB, power -99.9 dB."""
    ues = [ue for report in reports for ue in report.ues.values()]
    return bool(ues) and all(_is(ue.pusch_snr_db, 99.9) and _is(ue.pusch_rsrp_db, -99.9) for ue in ues)


def share_effect(
    before: Sequence[CellReport], after: Sequence[CellReport], *, prbs_before: int, prbs_after: int, alone: bool
) -> Verdict:
    """Judge a cap of a slice that moved from so many PRBs to so many.

    `alone`: the cell has no other slice, so that its whole rate is the slice's. Otherwise each UE is looked at by
    itself: freed PRBs go to the other slices, and the cell's rate may stay as it was.
    """
    if not before or not after or prbs_before == prbs_after:
        return Verdict.SILENT
    if alone:
        return _share(_whole(before), _whole(after), prbs_after / prbs_before)
    both = set.intersection(*(set(report.ues) for report in (*before, *after)))
    found = [_share(_of(rnti, before), _of(rnti, after), prbs_after / prbs_before) for rnti in sorted(both)]
    for verdict in (Verdict.SHOWN, Verdict.CONTRADICTED):
        if verdict in found:
            return verdict
    return Verdict.SILENT


def power_effect(before: Sequence[CellReport], after: Sequence[CellReport], *, step_db: float) -> Verdict:
    """Judge an announced SSB power that rose by `step_db`: UEs think their path longer, and headroom falls by it."""
    if step_db == 0.0:
        return Verdict.SILENT
    both = set.intersection(*(set(report.ues) for report in (*before, *after))) if before and after else set()
    moves = []
    for rnti in both:
        was, now = (_mean([r.ues[rnti].phr_db for r in part]) for part in (before, after))
        if was is not None and now is not None:
            moves.append(now - was)
    if not moves:
        return Verdict.SILENT
    share = -(sum(moves) / len(moves)) / step_db
    if share >= HALF:
        return Verdict.SHOWN
    return Verdict.CONTRADICTED


@dataclass(frozen=True, slots=True)
class _Traffic:
    mbps: float
    is_held_back: bool


def _whole(reports: Sequence[CellReport]) -> _Traffic:
    rates = [sum(ue.dl_mbps for ue in report.ues.values()) for report in reports]
    held = [any(ue.dl_waiting_bytes >= BACKLOG_BYTES for ue in report.ues.values()) for report in reports]
    return _Traffic(sum(rates) / len(rates), all(held))


def _of(rnti: int, reports: Sequence[CellReport]) -> _Traffic:
    ues = [report.ues[rnti] for report in reports]
    return _Traffic(sum(ue.dl_mbps for ue in ues) / len(ues), all(ue.dl_waiting_bytes >= BACKLOG_BYTES for ue in ues))


def _share(before: _Traffic, after: _Traffic, ratio: float) -> Verdict:
    """Judge one rate: held back, it follows the PRBs; not held back, it says nothing."""
    if before.mbps <= 0.0:
        return Verdict.SILENT
    moved = after.mbps / before.mbps - 1.0
    least = HALF * (ratio - 1.0)
    if ratio < 1.0:
        if after.is_held_back and moved <= least:
            return Verdict.SHOWN
        # Who was held back by more PRBs than there now may be cannot have kept the rate.
        return Verdict.CONTRADICTED if before.is_held_back and moved > least else Verdict.SILENT
    if before.is_held_back and (moved >= least or (moved >= 0.1 and not after.is_held_back)):
        return Verdict.SHOWN
    return Verdict.CONTRADICTED if before.is_held_back and after.is_held_back else Verdict.SILENT


def _is(value: float | None, forced: float) -> bool:
    return value is not None and abs(value - forced) < 0.01  # the gNB computes it in single precision


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _number(value: object) -> float | None:
    return number(value, -math.inf, math.inf)
