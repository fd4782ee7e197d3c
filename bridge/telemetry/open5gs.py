"""Open5GS as a source: Prometheus metrics and the JSON information of its functions, both on the metrics port.

AMF: gNBs and UEs, registrations, UEs of each gNB (`/gnb-info`). SMF: sessions (`/pdu-info`). UPF: sessions and traffic
on N3. The counters of N3 are compiled out of many builds, because they cost throughput: a counter that never moved is
missing, not zero. The JSON information came after release 2.7: without it what only it knows is missing.
"""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from bridge.telemetry.door import Table, number
from bridge.telemetry.exposition import parse_text, total
from bridge.telemetry.listening import Heard, ListeningSource, TroubleError, enough
from bridge.telemetry.source import Now, SourceMetric
from col.plant import Metric

__all__ = ["Open5gsSource", "make_source"]

_MOST_BYTES = 2**24
_MOST = 1e6

# function -> name stem, unit, description
_OFFERED: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "amf": (
        ("gnbs_core", "1", "gNBs connected to the core"),
        ("ues_core", "1", "UEs connected through a gNB"),
        ("reg_core", "1", "initial registrations that succeeded in the window"),
        ("reg_fail_core", "1", "initial registrations asked for in the window that did not succeed"),
    ),
    "smf": (
        ("sess_core", "1", "PDU sessions"),
        ("flows_core", "1", "QoS flows"),
        ("sess_fail_core", "1", "PDU sessions that could not be created in the window"),
        ("idle_core", "1", "share of the PDU sessions that are inactive"),
    ),
    "upf": (
        ("sess_upf_core", "1", "sessions of the user plane"),
        ("n3_ul_core", "Mbit/s", "data of N3 from all gNBs, headers of GTP left out"),
        ("n3_dl_core", "Mbit/s", "data of N3 to all gNBs, headers of GTP left out"),
        ("n3_pkt_ul_core", "1/s", "packets of N3 from all gNBs"),
        ("n3_pkt_dl_core", "1/s", "packets of N3 to all gNBs"),
    ),
}
_GAUGES: Mapping[str, Mapping[str, str]] = {
    "amf": {"gnbs_core": "gnb", "ues_core": "ran_ue"},
    "smf": {"sess_core": "fivegs_smffunction_sm_sessionnbr", "flows_core": "fivegs_smffunction_sm_qos_flow_nbr"},
    "upf": {"sess_upf_core": "fivegs_upffunction_upf_sessionnbr"},
}
_COUNTERS: Mapping[str, tuple[str, ...]] = {
    "amf": ("fivegs_amffunction_rm_reginitreq", "fivegs_amffunction_rm_reginitsucc"),
    "smf": ("fivegs_smffunction_sm_pdusessioncreationreq", "fivegs_smffunction_sm_pdusessioncreationsucc"),
    "upf": (
        "fivegs_ep_n3_gtp_indatavolumeqosleveln3upf",
        "fivegs_ep_n3_gtp_outdatavolumeqosleveln3upf",
        "fivegs_ep_n3_gtp_indatapktn3upf",
        "fivegs_ep_n3_gtp_outdatapktn3upf",
    ),
}
_N3 = dict(zip(_COUNTERS["upf"], ("n3_ul_core", "n3_dl_core", "n3_pkt_ul_core", "n3_pkt_dl_core"), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one function said at one time: gauges by our names, counters by theirs."""

    gauges: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)


def make_source(config: Mapping[str, object], now: Now) -> Open5gsSource:
    """Return the source of a core: `amf`, `smf`, `upf` (http://HOST:9090, at least one), `gnbs`, `poll_s`.

    `gnbs` has the gNBs' ids in the core by their numbers in the inventory: {1 = 411, 2 = 412}.
    """
    table = Table(config, "open5gs")
    urls = {name: table.text(name, "-").rstrip("/") for name in _OFFERED}
    for name, url in urls.items():
        if url != "-" and not _is_http(url):
            raise table.wrong(name, "must be http://HOST:PORT, the function's metrics.server")
    urls = {name: url for name, url in urls.items() if url != "-"}
    if not urls:
        raise table.wrong("amf", "missing: at least one of amf, smf and upf must say where its metrics are")
    gnbs: dict[str, int] = {}
    for number_, id_ in table.mapping("gnbs").items():
        known = number(id_, 0, 2**32 - 1)
        if known is None or not known.is_integer():
            raise table.wrong("gnbs", "must have the gNBs' ids by their numbers, such as {1 = 411}")
        gnbs[number_] = int(known)
    if gnbs and "amf" not in urls:
        raise table.wrong("gnbs", "needs the address of the amf")
    source = Open5gsSource(
        urls,
        now,
        gnbs=gnbs,
        poll_s=table.number("poll_s", 2.0, low=0.1, high=60),
        timeout_s=table.number("timeout_s", 3.0, low=0.1, high=60),
    )
    table.done()
    return source


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


class Open5gsSource(ListeningSource):
    """The functions of one core, each asked by its own thread, so that one that hangs does not hide the others."""

    def __init__(
        self,
        urls: Mapping[str, str],
        now: Now,
        *,
        gnbs: Mapping[str, int] | None = None,
        poll_s: float = 2.0,
        timeout_s: float = 3.0,
    ) -> None:
        self._gnbs = dict(gnbs or {})
        rows = [row for name in urls for row in _OFFERED[name]]
        rows += [(f"ues_core_{one}", "1", "UEs that the core has connected through this gNB") for one in self._gnbs]
        offered = [SourceMetric(metric=Metric(name=name, unit=unit, description=text)) for name, unit, text in rows]
        super().__init__("Open5GS", offered, now, stale_after_s=max(5.0, 3.0 * poll_s))
        self._urls, self._poll_s, self._timeout_s = dict(urls), poll_s, timeout_s
        self._open: dict[str, HTTPConnection] = {}
        self._looks: dict[str, Heard[_Look]] = {name: Heard() for name in urls}

    def _parts(self) -> dict[str, Callable[[], None]]:
        return {name: lambda name=name: self._poll(name) for name in self._urls}  # type: ignore[misc]

    def _poll(self, name: str) -> None:
        while not self._stop.is_set():
            look = self._look(name)
            heard_s = self._now()
            self._looks[name].add(heard_s, look)
            self._note(name, heard_s)
            self._stop.wait(self._poll_s)

    def _look(self, name: str) -> _Look:
        samples = parse_text(self._get(name, "/metrics"))
        if not any(metric in samples for metric in (*_GAUGES[name].values(), *_COUNTERS[name])):
            raise TroubleError(f"{self._urls[name]}/metrics is not that of an {name}")
        gauges = {ours: total(samples, theirs) for ours, theirs in _GAUGES[name].items()}
        if name == "amf" and self._gnbs:
            gauges |= _ues_of_gnbs(self._items(name, "/gnb-info"), self._gnbs)
        if name == "smf":
            gauges |= _idle(self._items(name, "/pdu-info"))
        counters = {metric: total(samples, metric) for metric in _COUNTERS[name]}
        return _Look(
            gauges={key: value for key, value in gauges.items() if value is not None and value <= _MOST},
            counters={key: value for key, value in counters.items() if value is not None},
        )

    def _items(self, name: str, path: str) -> list[Any] | None:
        """Return the items of a JSON page, all at once; None where there is none, or not all of them fit."""
        try:
            content = json.loads(self._get(name, f"{path}?page=-1"))
        except (TroubleError, ValueError, RecursionError):
            return None
        items, pager = (content.get("items"), content.get("pager")) if isinstance(content, dict) else (None, None)
        cut = isinstance(pager, dict) and (pager.get("truncated") or pager.get("next"))
        return items if isinstance(items, list) and not cut else None

    def _get(self, name: str, path: str) -> str:
        url = urlsplit(self._urls[name] + path)
        connection = HTTPConnection(url.hostname or "", url.port, timeout=self._timeout_s)
        try:
            connection.connect()
            self._open[name] = connection
            if self._stop.is_set():  # `close` has looked for what is open already
                raise TroubleError("closed")
            connection.request("GET", f"{url.path}?{url.query}" if url.query else url.path)
            answer = connection.getresponse()
            body = answer.read(_MOST_BYTES + 1)
        except (OSError, HTTPException) as error:
            text = f"{url.geturl()} does not answer ({error}): is `metrics` set in {name}.yaml?"
            raise TroubleError(text) from error
        finally:
            self._open.pop(name, None)
            connection.close()
        if answer.status != 200 or len(body) > _MOST_BYTES:
            raise TroubleError(f"{url.geturl()} answers with status {answer.status} and {len(body)} bytes")
        return body.decode("utf-8", "replace")

    def _interrupt(self) -> None:
        for connection in list(self._open.values()):
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _values(self, start_s: float, end_s: float) -> dict[str, float]:
        values: dict[str, float] = {}
        for looks in self._looks.values():
            heard = looks.timed(start_s, end_s)
            if not enough(len(heard), (end_s - start_s) / self._poll_s):
                continue
            for name in {key for _, look in heard for key in look.gauges}:
                seen = [look.gauges[name] for _, look in heard if name in look.gauges]
                if enough(len(seen), len(heard)):
                    values[name] = sum(seen) / len(seen)
            before = looks.timed(start_s - 2.0 * self._poll_s - self._timeout_s, start_s)[-1:]
            values |= _changes([*before, *heard])
        return values


def _ues_of_gnbs(items: list[Any] | None, gnbs: Mapping[str, int]) -> dict[str, float | None]:
    """Return the UEs of each gNB; one that the core does not list has none."""
    if items is None:
        return {}
    known = {
        one.get("gnb_id"): number(one.get("num_connected_ues"), 0, _MOST) for one in items if isinstance(one, dict)
    }
    return {f"ues_core_{name}": known.get(id_, 0.0) for name, id_ in gnbs.items()}


def _idle(items: list[Any] | None) -> dict[str, float | None]:
    states = [
        session.get("pdu_state")
        for one in items or ()
        if isinstance(one, dict) and isinstance(one.get("pdu"), list)
        for session in one["pdu"]
        if isinstance(session, dict)
    ]
    return {"idle_core": sum(state == "inactive" for state in states) / len(states)} if states else {}


def _changes(looks: list[tuple[float, _Look]]) -> dict[str, float]:
    """Return what counters say of the time between the first look and the last; one that fell back is missing."""
    grown: dict[str, float] = {}
    for name in set().union(*(look.counters for _, look in looks)):
        series = [look.counters.get(name) for _, look in looks]
        known = [one for one in series if one is not None]
        if len(known) == len(series) > 1 and all(b >= a for a, b in itertools.pairwise(known)):
            if name in _N3 and known[-1] == 0:
                continue  # compiled out
            grown[name] = known[-1] - known[0]
    found: dict[str, float] = {}
    for counters, ours, failed in (
        (_COUNTERS["amf"], "reg_core", "reg_fail_core"),
        (_COUNTERS["smf"], "", "sess_fail_core"),
    ):
        asked, done = (grown.get(name) for name in counters)
        if ours and done is not None:
            found[ours] = done
        if asked is not None and done is not None:
            found[failed] = max(0.0, asked - done)
    seconds = looks[-1][0] - looks[0][0]
    for name, ours in _N3.items():
        if name in grown and seconds > 0:
            found[ours] = grown[name] / seconds * (8e-6 if "volume" in name else 1.0)
    return found
