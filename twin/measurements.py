"""Metrics that a scenario's mechanisms add, and what 3GPP calls each metric (TS 28.552 performance measurements).

One table, `ROWS`: stem, scope, unit, kind, description; which optional tables of the scenario make it a metric of its
plant; and, where TS 28.552 measures the same thing, the measurement's name, its clause and how ours becomes that.
What no gNB reports (`cap_*`, `late_du`, the load at the senders) has no name there. Clauses as in Release 16 and later.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from col.plant import MetricKind

__all__ = ["ROWS", "Measurement", "Scope", "Standard", "added_rows", "standard_measurements"]

_TARGET, _OBSERVABLE = MetricKind.TARGET, MetricKind.OBSERVABLE


class Scope(StrEnum):
    """What a metric is one of."""

    CELL = "cell"
    CU = "cu"
    PAIR = "pair"
    HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """A measurement of TS 28.552: name, clause, unit; value there = ours x `factor`.

    `per_window`: a volume or a count over the window, so that a rate is multiplied by its length [s] too. `share_of`: a
    percentage of the limit that the control or fixed value of that kind sets, whose unit is `limit` of ours. `says`:
    where the two are not the very same.
    """

    name: str
    clause: str
    unit: str
    factor: float = 1.0
    per_window: bool = False
    share_of: str = ""
    limit: float = 1.0
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One metric by its stem; `when` are the optional tables of which any makes it a metric, "*" any at all.

    An empty `when` is a metric of every scenario (`twin.topology`); unit, kind and description stand there.
    """

    stem: str
    scope: Scope
    unit: str = ""
    kind: MetricKind = _OBSERVABLE
    says: str = ""
    when: tuple[str, ...] = ()
    standard: Standard | None = None


_RADIO = ("channel", "link_adaptation", "harq")
_MOBILITY = ("mobility.load", "mobility.a3")
_OUTAGES = ("memory", "faults")
_DELAY_DL = "sum of DRB.PdcpSduDelayDl, DRB.PdcpF1DelayDl, DRB.RlcSduDelayDl and DRB.AirIfDelayDl, and the backhaul"


def _standard(name: str, clause: str, unit: str, factor: float = 1.0, **more: float | str | bool) -> Standard:
    return Standard(name=name, clause=clause, unit=unit, factor=factor, **more)  # type: ignore[arg-type]


def _cell(stem: str, standard: Standard) -> Measurement:
    return Measurement(stem=stem, scope=Scope.CELL, standard=standard)


ROWS: tuple[Measurement, ...] = (
    # Metrics of every scenario, for their names.
    _cell("prb_dl", _standard("RRU.PrbTotDl", "5.1.1.2", "%")),
    _cell("prb_ul", _standard("RRU.PrbTotUl", "5.1.1.2", "%")),
    _cell("thp_dl", _standard("DRB.PdcpSduVolumeDL", "5.1.2.1", "Mbit", per_window=True, says="delivered to the UE")),
    _cell("thp_ul", _standard("DRB.PdcpSduVolumeUL", "5.1.2.1", "Mbit", per_window=True, says="behind the CU")),
    _cell("dly_dl", _standard("DRB.AirIfDelayDl", "5.1.1.1", "0.1 ms", 10.0, says=_DELAY_DL)),
    _cell("nok_dl", _standard("TB.ErrTotalNbrDl", "5.1.1.7", "1", says="divided by TB.TotNbrDl")),
    _cell("nok_ul", _standard("TB.ErrTotalNbrUl", "5.1.1.7", "1", says="divided by TB.TotNbrUl")),
    _cell("cpuu_du", _standard("VR.VCpuUsageMean", "5.7.1", "%", 100.0, share_of="cpu_du")),
    Measurement(
        stem="cpuu_cu",
        scope=Scope.CU,
        standard=_standard("VR.VCpuUsageMean", "5.7.1", "%", 100.0, share_of="cpu_cu"),
    ),
    Measurement(
        stem="pow",
        scope=Scope.HOST,
        standard=_standard("PEE.AvgPower", "5.1.1.19", "W", says="of the package, not of the whole machine"),
    ),
    # Metrics that mechanisms add.
    Measurement(
        stem="dly_du", scope=Scope.CELL, unit="us", kind=_TARGET, when=("*",),
        says="mean wall time of a scheduler decision",
    ),
    Measurement(stem="util_fh", scope=Scope.CELL, unit="%", when=("*",), says="use of the fronthaul"),
    Measurement(stem="util_mh", scope=Scope.CELL, unit="%", when=("*",), says="use of the midhaul, busier direction"),
    Measurement(
        stem="util_bh", scope=Scope.CELL, unit="%", when=("*",),
        says="use of the backhaul that the CU's cells share, busier direction",
    ),
    Measurement(stem="snr", scope=Scope.CELL, unit="dB", when=_RADIO, says="SNR of the uplink, mean over UEs"),
    Measurement(
        stem="cqi", scope=Scope.CELL, unit="1", when=_RADIO, says="CQI, mean over UEs",
        standard=_standard("CARR.WBCQIDist", "5.1.1.11", "1", says="mean of the distribution"),
    ),
    Measurement(
        stem="mcs_dl", scope=Scope.CELL, unit="1", when=_RADIO, says="MCS of new blocks, downlink",
        standard=_standard("CARR.PDSCHMCSDist", "5.1.1.12", "1", says="mean of the distribution"),
    ),
    Measurement(
        stem="mcs_ul", scope=Scope.CELL, unit="1", when=_RADIO, says="MCS of new blocks, uplink",
        standard=_standard("CARR.PUSCHMCSDist", "5.1.1.12", "1", says="mean of the distribution"),
    ),
    Measurement(
        stem="bler_dl", scope=Scope.CELL, unit="1", when=_RADIO, says="share of transmissions that failed, downlink",
        standard=_standard("TB.ErrTotalNbrDl", "5.1.1.7", "1", says="divided by TB.TotNbrDl; radio errors alone"),
    ),
    Measurement(
        stem="bler_ul", scope=Scope.CELL, unit="1", when=_RADIO, says="share of transmissions that failed, uplink",
        standard=_standard("TB.ErrTotalNbrUl", "5.1.1.7", "1", says="divided by TB.TotNbrUl; radio errors alone"),
    ),
    Measurement(
        stem="nue", scope=Scope.CELL, unit="1", when=("ues",), says="UEs attached, mean",
        standard=_standard("RRC.ConnMean", "5.1.1.4", "1"),
    ),
    Measurement(
        stem="memu_du", scope=Scope.CELL, unit="MB", when=("memory",),
        says="peak memory of the DU since its process started",
        standard=_standard("VR.VMemoryUsageMean", "5.7.1", "%", 100.0, share_of="mem_du", limit=1000.0,
                           says="a peak, not a mean"),
    ),
    Measurement(
        stem="up_du", scope=Scope.CELL, unit="1", kind=_TARGET, when=_OUTAGES, says="share of time that the DU was up"
    ),
    Measurement(
        stem="dly_cu", scope=Scope.CU, unit="us", kind=_TARGET, when=("*",), says="mean time of a packet in the CU",
        standard=_standard("DRB.PdcpSduDelayDl", "5.1.3.3", "0.1 ms", 0.01, says="of both directions"),
    ),
    Measurement(
        stem="memu_cu", scope=Scope.CU, unit="MB", when=("memory",),
        says="peak memory of the CU since its process started",
        standard=_standard("VR.VMemoryUsageMean", "5.7.1", "%", 100.0, share_of="mem_cu", limit=1000.0,
                           says="a peak, not a mean"),
    ),
    Measurement(
        stem="up_cu", scope=Scope.CU, unit="1", kind=_TARGET, when=_OUTAGES, says="share of time that the CU was up"
    ),
    Measurement(
        stem="ho", scope=Scope.PAIR, unit="1", when=_MOBILITY, says="handovers between the cells of the pair",
        standard=_standard("MM.HoExeInterReq", "5.1.1.6", "1"),
    ),
)  # fmt: skip
"""Every metric that has a name in TS 28.552 or comes with a mechanism."""


def added_rows(scope: Scope, mechanisms: Collection[str]) -> tuple[Measurement, ...]:
    """Return the metrics that a scenario with these optional tables has besides those of every scenario."""
    return tuple(
        row
        for row in ROWS
        if row.scope is scope and any(table in mechanisms or (table == "*" and mechanisms) for table in row.when)
    )


def standard_measurements(
    metrics: Mapping[str, float], limits: Mapping[str, float], window_s: float
) -> Iterator[tuple[Standard, str, float]]:
    """Yield what a window is in terms of TS 28.552: measurement, object (cell, CU, pair, host), value in its unit.

    `limits` has the controls and fixed values in force by name; a percentage of a limit that nobody sets is left out,
    and so is what is missing.
    """
    rows = {row.stem: row.standard for row in ROWS if row.standard is not None}
    for name, value in metrics.items():
        stem, _, element = name.rpartition("_")
        standard = rows.get(stem)
        if standard is None or not math.isfinite(value):
            continue
        value *= standard.factor * (window_s if standard.per_window else 1.0)
        if standard.share_of:
            limit = limits.get(f"{standard.share_of}_{element}", 0.0) * standard.limit
            if limit <= 0.0:
                continue
            value /= limit
        yield standard, element, value
