"""JSON messages of srsRAN Project 25.10, each told apart by its top-level key; units converted, bad values missing.

Every subsystem of the gNB sends its own messages and no message says which gNB it is from. Counts are those of one
report's period, and 0 may mean "none seen". Names mislead in places: `cpu_usage_percent` of the MAC is wall time, and a
thousandth of it (not read here); `memory_usage_mb` is a peak that never falls.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.telemetry.door import number

__all__ = ["OLD_DIALECT", "REPLY", "UNREADABLE", "Cell", "Message", "Ue", "decode"]

REPLY = "reply"
UNREADABLE = "unreadable"
OLD_DIALECT = "old dialect"
"""Kinds that are no metrics: the answer to a command, no message at all, metrics as before 25.10."""

_COUNT, _BYTES, _RATE_BPS, _TIME_US = 1e7, 1e12, 1e11, 6e8
_PLAUSIBLE_DB = 60.0
"""Test mode writes 99.9 dB for what nobody measured."""
_MOST_W = 1000.0
"""Of one package: the gNB's own reckoning is off by 2^64 uJ when the counter wraps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ue:
    """One UE in one report: rates in Mbit/s, transport blocks of the period, waiting bytes in kB, SNR in dB."""

    dl_mbps: float | None
    ul_mbps: float | None
    dl_ok: float | None
    dl_nok: float | None
    ul_ok: float | None
    ul_nok: float | None
    dl_kb: float | None
    ul_kb: float | None
    mcs_dl: float | None
    mcs_ul: float | None
    cqi: float | None
    snr_ul_db: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell in one report: slots scheduled, error indications, mean time of a scheduling decision [us], UEs."""

    pci: int | None
    slots: float | None
    errors: float | None
    decision_us: float | None
    ues: tuple[Ue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message: `kind` is its top-level key or one of the kinds above.

    `values` has what else than cells was found, by our names; `text` is the error of a reply or what is unreadable.
    """

    kind: str
    cells: tuple[Cell, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    text: str = ""


def decode(frame: str | bytes) -> Message:
    """Return what a frame says; never raises."""
    try:
        content = json.loads(frame)
    except (ValueError, RecursionError):
        return Message(kind=UNREADABLE, text="no JSON")
    return decode_object(content)


def decode_object(content: object) -> Message:
    """Return what a decoded frame says; never raises."""
    if not isinstance(content, dict):
        return Message(kind=UNREADABLE, text="no JSON object")
    if "cmd" in content or "error" in content:
        error = content.get("error")
        return Message(kind=REPLY, text="" if error is None else str(error)[:200])
    if "ue_list" in content or "cell_list" in content:
        return Message(kind=OLD_DIALECT)
    kinds = [key for key in content if key != "timestamp"]
    if len(kinds) != 1:
        return Message(kind=UNREADABLE, text="not one top-level key")
    kind, body = str(kinds[0]), content[kinds[0]]
    if kind == "cells":
        if not isinstance(body, list):
            return Message(kind=UNREADABLE, text="cells is no list")
        return Message(kind=kind, cells=tuple(_cell(one) for one in body if isinstance(one, dict)))
    reader = _READERS.get(kind)
    found = reader(_Body(body)) if reader is not None else {}
    return Message(kind=kind, values={name: value for name, value in found.items() if value is not None})


class _Body:
    """A nested JSON value, read without trust: what is not there, or of another type, is None."""

    def __init__(self, value: object) -> None:
        self._value = value

    def get(self, *path: str) -> Any:
        value: Any = self._value
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *path: str, high: float, low: float = 0.0) -> float | None:
        return number(self.get(*path), low, high)

    def each(self, *path: str) -> Iterable[_Body]:
        found = self.get(*path)
        return [_Body(one) for one in found] if isinstance(found, list) else []


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _cell(raw: dict[str, Any]) -> Cell:
    body = _Body(raw)
    bins = [number(one, 0.0, _COUNT) for one in body.get("cell_metrics", "latency_histogram") or ()]
    known = [one for one in bins if one is not None]
    pci = body.number("cell_metrics", "pci", high=1007)
    return Cell(
        pci=None if pci is None else int(pci),
        slots=sum(known) if known and len(known) == len(bins) else None,
        errors=body.number("cell_metrics", "error_indication_count", high=_COUNT),
        decision_us=body.number("cell_metrics", "average_latency", high=_TIME_US),
        ues=tuple(_ue(one) for one in body.each("ue_list")),
    )


def _ue(body: _Body) -> Ue:
    return Ue(
        dl_mbps=_scaled(body.number("dl_brate", high=_RATE_BPS), 1e-6),
        ul_mbps=_scaled(body.number("ul_brate", high=_RATE_BPS), 1e-6),
        dl_ok=body.number("dl_nof_ok", high=_COUNT),
        dl_nok=body.number("dl_nof_nok", high=_COUNT),
        ul_ok=body.number("ul_nof_ok", high=_COUNT),
        ul_nok=body.number("ul_nof_nok", high=_COUNT),
        dl_kb=_scaled(body.number("dl_bs", high=_BYTES), 1e-3),
        ul_kb=_scaled(body.number("bsr", high=_BYTES), 1e-3),
        mcs_dl=body.number("dl_mcs", high=31),
        mcs_ul=body.number("ul_mcs", high=31),
        cqi=body.number("cqi", high=15),
        snr_ul_db=body.number("pusch_snr_db", low=-_PLAUSIBLE_DB, high=_PLAUSIBLE_DB),
    )


def _du(body: _Body) -> dict[str, float | None]:
    """Return time of a slot in the MAC [us]: the mean over cells, and the worst."""
    cells = list(body.each("du_high", "mac", "dl"))
    means = [one.number("average_latency_us", high=_TIME_US) for one in cells]
    worst = [one.number("max_latency_us", high=_TIME_US) for one in cells]
    known, known_worst = [x for x in means if x is not None], [x for x in worst if x is not None]
    return {
        "slot_us": sum(known) / len(known) if known else None,
        "slot_max_us": max(known_worst, default=None),
    }


def _du_low(body: _Body) -> dict[str, float | None]:
    """Return processing times of the upper physical layer [us]."""
    return {
        "phy_dl_us": body.number("dl", "average_latency_us", high=_TIME_US),
        "phy_ul_us": body.number("ul", "average_latency_us", high=_TIME_US),
    }


def _app(body: _Body) -> dict[str, float | None]:
    """Return process CPU time [core], peak memory [MB], and package power [W], 0 where the machine does not tell."""
    watts = body.number("power_consumption_watts", high=_MOST_W)
    return {
        "cpu_cores": _scaled(body.number("cpu_usage_percent", high=1e6), 0.01),
        "memory_peak_mb": body.number("memory_usage_mb", high=1e8) or None,
        "power_w": watts or None,
    }


def _rlc(body: _Body) -> dict[str, float | None]:
    """Return one bearer: downlink SDUs, the time that they waited [ms in sum], and those dropped."""
    return {
        "rlc_sdus": body.number("tx", "num_sdus", high=1e9),
        "rlc_wait_ms": _scaled(body.number("tx", "sum_sdu_latency_us", high=1e15), 1e-3),
        "rlc_dropped": body.number("tx", "num_dropped_sdus", high=1e9),
    }


def _cu_up(body: _Body) -> dict[str, float | None]:
    """Return processing times of PDCP [us]."""
    return {
        "pdcp_dl_us": body.number("pdcp", "dl", "average_latency_us", high=_TIME_US),
        "pdcp_ul_us": body.number("pdcp", "ul", "average_latency_us", high=_TIME_US),
    }


def _cu_cp(body: _Body) -> dict[str, float | None]:
    """Return RRC connections (mean over the report, all DUs), handovers done, and cores that the CU is connected to."""
    means = [
        one.number("rrc_connection_number", "mean_nof_rrc_connections", high=1e5) for one in body.each("rrcs", "du")
    ]
    known = [one for one in means if one is not None]
    amfs = [one.get("connected") for one in body.each("ngaps", "ngap")]
    return {
        "rrc_connections": sum(known) if known and len(known) == len(means) else None,
        "handovers": body.number("rrcs", "nof_successful_handover_executions", high=_COUNT),
        "cores_connected": float(sum(one is True for one in amfs)) if amfs else None,
    }


def _executor(body: _Body) -> dict[str, float | None]:
    """Return load of one executor [core]: the gNB writes per cent of a core."""
    return {"executor_cores": _scaled(body.number("cpu_load", high=1e4), 0.01)}


def _buffers(body: _Body) -> dict[str, float | None]:
    """Return buffers left in the pool that all layers share."""
    return {"buffers_left": body.number("central_cache_size", high=1e12)}


def _ru(body: _Body) -> dict[str, float | None]:
    """Return late downlink slots of an open fronthaul, in sum over its sectors."""
    late = [one.number("transmitter_stats", "late_dl_slots", high=_COUNT) for one in body.each("ofh")]
    known = [one for one in late if one is not None]
    return {"ru_late_slots": sum(known) if known and len(known) == len(late) else None}


_READERS = {
    "app_resource_usage": _app,
    "buffer_pool": _buffers,
    "cu-cp": _cu_cp,
    "cu-up": _cu_up,
    "du": _du,
    "du_low": _du_low,
    "executor_metrics": _executor,
    "rlc_metrics": _rlc,
    "ru": _ru,
}
