"""srsRAN Project 25.10 as a source: the JSON metrics of one gNB or DU, heard over its WebSocket.

The gNB sends them only to who has subscribed, and only with `metrics.enable_json` and `remote_control.enabled`. Its
reports come once a second of its own slot clock, also when it is starved of CPU: a report that does not come is a sign.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from bridge.telemetry.door import Table
from bridge.telemetry.listening import Heard, ListeningSource, TroubleError, enough
from bridge.telemetry.source import Now, SourceMetric
from bridge.telemetry.srsran_messages import OLD_DIALECT, REPLY, Cell, Message, decode
from col.errors import InputError
from col.plant import Metric, MetricKind

__all__ = ["CONNECTION", "LAYERS", "SrsranSource", "make_source"]

CONNECTION: Mapping[str, Any] = {
    "open_timeout": 5.0,
    "close_timeout": 1.0,
    "max_size": 2**24,
    "compression": None,
    "proxy": None,
}
"""How a gNB's WebSocket server is spoken to, for its reports and for its remote control."""
_POLL_S = 0.25
_SUBSCRIBE = '{"cmd":"metrics_subscribe"}'
_TARGET, _SEEN = MetricKind.TARGET, MetricKind.OBSERVABLE

# layer of srsRAN's configuration -> name stem, unit, kind, description
LAYERS: Mapping[str, tuple[tuple[str, str, MetricKind, str], ...]] = {
    "sched": (
        ("thp_dl", "Mbit/s", _TARGET, "acknowledged by the UEs at the MAC, downlink"),
        ("thp_ul", "Mbit/s", _TARGET, "decoded at the MAC, uplink"),
        ("nok_dl", "1", _SEEN, "share of transport blocks not acknowledged, downlink"),
        ("nok_ul", "1", _SEEN, "share of transport blocks not acknowledged, uplink"),
        ("bs_dl", "kB", _SEEN, "backlog at the end of the window, downlink"),
        ("bsr", "kB", _SEEN, "backlog at the end of the window, uplink"),
        ("mcs_dl", "1", _SEEN, "modulation and coding index, mean over UEs that were sent something"),
        ("mcs_ul", "1", _SEEN, "modulation and coding index, mean over UEs that sent something"),
        ("cqi", "1", _SEEN, "channel quality that the UEs reported"),
        ("snr_ul", "dB", _SEEN, "signal to noise of the uplink channel"),
        ("nue", "1", _SEEN, "UEs in the cells"),
        ("skip_du", "1", _SEEN, "share of slots that were not scheduled"),
        ("err_du", "1/s", _SEEN, "error indications: slots that were late (falls again under deep starvation)"),
        ("lat_sched", "us", _SEEN, "time of a scheduling decision"),
        ("heard_du", "1", _SEEN, "share of the reports due that came"),
    ),
    "app_usage": (
        ("cpuu_gnb", "core", _SEEN, "CPU time used by the gNB's process"),
        ("peak_gnb", "MB", _SEEN, "highest memory of the gNB's process so far"),
        ("pow_pkg", "W", _SEEN, "package power of the gNB's whole host, as the gNB reads it"),
    ),
    "mac": (
        ("lat_mac", "us", _SEEN, "wall time of a slot in the MAC"),
        ("lat_mac_max", "us", _SEEN, "longest wall time of a slot in the MAC"),
    ),
    "du_low": (
        ("lat_phy_dl", "us", _SEEN, "processing time of the physical layer, downlink"),
        ("lat_phy_ul", "us", _SEEN, "processing time of the physical layer, uplink"),
    ),
    "rlc": (("dly_rlc", "ms", _SEEN, "time that downlink packets waited in the RLC"),),
    "pdcp": (
        ("lat_pdcp_dl", "us", _SEEN, "processing time of the PDCP, downlink"),
        ("lat_pdcp_ul", "us", _SEEN, "processing time of the PDCP, uplink"),
    ),
    "rrc": (
        ("conn", "1", _SEEN, "RRC connections"),
        ("ho", "1", _SEEN, "handovers done in the window"),
    ),
}


def make_source(config: Mapping[str, object], now: Now) -> SrsranSource:
    """Return the source of a gNB: `url` (ws://HOST:8001), `gnb`, and optionally `layers`, `pci`, `period_s`.

    `layers` are those that the gNB's `metrics.layers` enable; a gNB that is silent for `patience_s` is asked anew.
    """
    table = Table(config, "srsran")
    url = table.text("url")
    if not url.startswith(("ws://", "wss://")):
        raise table.wrong("url", "must be ws://HOST:PORT, the gNB's remote_control.bind_addr and port")
    layers = table.texts("layers", ("sched", "app_usage"))
    for layer in layers:
        if layer not in LAYERS:
            raise table.wrong("layers", f"must be of {', '.join(LAYERS)}")
    pci = table.number("pci", -1, low=-1, high=1007)
    period_s = table.number("period_s", 1.0, low=0.1, high=60)
    source = SrsranSource(
        url,
        table.text("gnb"),
        now,
        layers=layers,
        pci=None if pci < 0 else int(pci),
        period_s=period_s,
        slots_per_s=1000.0 * table.number("scs_khz", 15, low=15, high=240) / 15.0,
        patience_s=table.number("patience_s", max(3.0, 3.0 * period_s), low=1, high=3600),
    )
    table.done()
    return source


class SrsranSource(ListeningSource):
    """One gNB or DU; `pci` picks one of its cells, otherwise all of them together are the gNB."""

    def __init__(
        self,
        url: str,
        gnb: str,
        now: Now,
        *,
        layers: Sequence[str] = ("sched", "app_usage"),
        pci: int | None = None,
        period_s: float = 1.0,
        slots_per_s: float = 1000.0,
        patience_s: float = 3.0,
    ) -> None:
        offered = [
            SourceMetric(metric=Metric(name=f"{stem}_{gnb}", unit=unit, kind=kind, description=text))
            for layer in layers
            for stem, unit, kind, text in LAYERS[layer]
        ]
        super().__init__(f"srsRAN at {url}", offered, now, stale_after_s=3.0 * period_s)
        self._url, self._gnb, self._pci = url, gnb, pci
        self._period_s, self._slots_per_s, self._patience_s = period_s, slots_per_s, patience_s
        self._scheduled = "sched" in layers
        self._reports: Heard[tuple[Cell, ...]] = Heard()
        self._others: Heard[Message] = Heard()

    def _check(self) -> None:
        _client()

    def _parts(self) -> dict[str, Callable[[], None]]:
        return {"metrics": self._listen}

    def _silence(self) -> str:
        return ": is the gNB alive?"

    def _listen(self) -> None:
        with self._connected() as connection:
            connection.send(_SUBSCRIBE)
            self._hear(connection)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        client = _client()
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(client.connect(self._url, **CONNECTION))
            except TimeoutError as error:
                raise TroubleError("takes no connection: the gNB hangs, or its host is away") from error
            except Exception as error:
                text = f"cannot connect ({error}): does the gNB run, with remote_control.enabled: true?"
                raise TroubleError(text) from error
            yield connection

    def _hear(self, connection: Any) -> None:
        last = time.monotonic()
        while not self._stop.is_set():
            try:
                message = decode(connection.recv(timeout=_POLL_S))
            except TimeoutError:
                message = None
            except Exception as error:  # the library's: closed, refused, not what it should be
                raise TroubleError(f"the gNB ended the connection ({error})") from error
            if message is not None and message.kind == REPLY and message.text:
                raise TroubleError(f"sends no metrics ({message.text}): set metrics.enable_json: true")
            if message is not None and message.kind == OLD_DIALECT:
                raise TroubleError("speaks the metrics of a release before 25.10: at least 25.10 is needed")
            if message is not None and self._keep(message):
                last = time.monotonic()
            elif time.monotonic() - last > self._patience_s:
                text = f"subscribed, but no report for {self._patience_s:.0f} s"
                raise TroubleError(f"{text}: the gNB hangs, or metrics.layers.enable_sched is false")

    def _keep(self, message: Message) -> bool:
        """Keep a report and say whether the gNB is known by it to live: the scheduler's where there are any."""
        heard_s = self._now()
        if message.kind == "cells":
            cells = tuple(cell for cell in message.cells if self._pci in (None, cell.pci))
            if not cells:
                return False
            self._reports.add(heard_s, cells)
        elif message.values:
            self._others.add(heard_s, message)
            if self._scheduled:
                return False
        else:
            return False
        self._note("metrics", heard_s)
        return True

    def _values(self, start_s: float, end_s: float) -> dict[str, float]:
        reports = self._reports.between(start_s, end_s)
        expected = (end_s - start_s) / self._period_s
        values = {"heard_du": min(1.0, len(reports) / expected)} if self._last_heard_s is not None else {}
        if enough(len(reports), expected):
            values |= _scheduler(reports, self._period_s, self._slots_per_s)
        values |= _others(self._others.timed(start_s, end_s), expected, self._period_s)
        return {f"{stem}_{self._gnb}": value for stem, value in values.items()}


def _scheduler(reports: Sequence[Sequence[Cell]], period_s: float, slots_per_s: float) -> dict[str, float]:
    """Return the metrics of the scheduler; what any report lacks for any UE is missing, for half a sum misleads."""
    cells = [cell for report in reports for cell in report]
    ues = [ue for cell in cells for ue in cell.ues]
    values: dict[str, float | None] = {
        "thp_dl": _over(_sum(ue.dl_mbps for ue in ues), len(reports)),
        "thp_ul": _over(_sum(ue.ul_mbps for ue in ues), len(reports)),
        "nok_dl": _share(_sum(ue.dl_nok for ue in ues), _sum(ue.dl_ok for ue in ues)),
        "nok_ul": _share(_sum(ue.ul_nok for ue in ues), _sum(ue.ul_ok for ue in ues)),
        "bs_dl": _sum(ue.dl_kb for cell in reports[-1] for ue in cell.ues),
        "bsr": _sum(ue.ul_kb for cell in reports[-1] for ue in cell.ues),
        "mcs_dl": _mean([ue.mcs_dl for ue in ues if (ue.dl_ok or 0) + (ue.dl_nok or 0) > 0]),
        "mcs_ul": _mean([ue.mcs_ul for ue in ues if (ue.ul_ok or 0) + (ue.ul_nok or 0) > 0]),
        "cqi": _mean([ue.cqi for ue in ues]),
        "snr_ul": _mean([ue.snr_ul_db for ue in ues]),
        "nue": len(ues) / len(reports),
        "lat_sched": _mean([cell.decision_us for cell in cells]),
        "err_du": _over(_sum(cell.errors for cell in cells), len(reports) * period_s),
    }
    scheduled, due = _sum(cell.slots for cell in cells), len(cells) * period_s * slots_per_s
    values["skip_du"] = None if scheduled is None else max(0.0, 1.0 - scheduled / due)
    return {name: value for name, value in values.items() if value is not None}


# kind of the message -> its value, our stem; the mean over the window
_MEANS: Mapping[str, Sequence[tuple[str, str]]] = {
    "app_resource_usage": (("cpu_cores", "cpuu_gnb"), ("memory_peak_mb", "peak_gnb"), ("power_w", "pow_pkg")),
    "du": (("slot_us", "lat_mac"),),
    "du_low": (("phy_dl_us", "lat_phy_dl"), ("phy_ul_us", "lat_phy_ul")),
    "cu-up": (("pdcp_dl_us", "lat_pdcp_dl"), ("pdcp_ul_us", "lat_pdcp_ul")),
    "cu-cp": (("rrc_connections", "conn"),),
}


def _others(messages: Sequence[tuple[float, Message]], expected: float, period_s: float) -> dict[str, float]:
    """Return the metrics of all other layers; one that most reports of the window lack is missing."""
    by_kind: dict[str, list[Mapping[str, float]]] = {}
    for _, message in messages:
        by_kind.setdefault(message.kind, []).append(message.values)
    found: dict[str, float] = {}
    for kind, pairs in _MEANS.items():
        for key, stem in pairs:
            values = [one[key] for one in by_kind.get(kind, ()) if key in one]
            if enough(len(values), expected):
                found[stem] = sum(values) / len(values)
    worst = [one["slot_max_us"] for one in by_kind.get("du", ()) if "slot_max_us" in one]
    if enough(len(worst), expected):
        found["lat_mac_max"] = max(worst)
    handovers = [one["handovers"] for one in by_kind.get("cu-cp", ()) if "handovers" in one]
    if enough(len(handovers), expected):
        found["ho"] = sum(handovers)
    bearers = [one for one in by_kind.get("rlc_metrics", ()) if "rlc_sdus" in one and "rlc_wait_ms" in one]
    sdus = sum(one["rlc_sdus"] for one in bearers)
    # A message for each bearer: many of them are no sign that many reports came.
    reports, last_s = 0, -math.inf
    for at_s, message in messages:
        if message.kind == "rlc_metrics" and at_s - last_s > 0.5 * period_s:
            reports, last_s = reports + 1, at_s
    if enough(reports, expected) and sdus > 0:
        found["dly_rlc"] = sum(one["rlc_wait_ms"] for one in bearers) / sdus
    return found


def _sum(values: Iterable[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _over(total: float | None, whole: float) -> float | None:
    return None if total is None else total / whole


def _share(part: float | None, rest: float | None) -> float | None:
    return None if part is None or rest is None or part + rest == 0 else part / (part + rest)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return sum(known) / len(known) if known else None


def _client() -> ModuleType:
    try:
        from websockets.sync import client
    except ImportError as error:
        raise InputError("needs the package websockets: pip install rantwin[srsran]", key="source") from error
    return client
