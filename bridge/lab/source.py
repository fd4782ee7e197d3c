"""The lab's own telemetry: the counters of its processes, read from the folder that they share with this machine.

Table in the inventory: `source = "lab"`, `counters` (the folder), `gnbs` (their numbers, each with one CU of the same
number). What a DU or CU counts itself is missing for a window in which it started anew or stood still; what the two
ends count goes on.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from bridge.lab.worker.counters import CU, DU, NOW, TRAFFIC, read_board
from bridge.telemetry.source import KEPT_S, Now, Sample, SourceMetric, sample_of
from col.errors import InputError
from col.plant import Metric, MetricKind

__all__ = ["LabSource", "make_source"]

_EVERY_S = 0.1
_SILENT_S = 1.5
"""A process that wrote nothing for so long stands still: a period of the kernel's CPU limits is a fifteenth of it."""
_O, _T = MetricKind.OBSERVABLE, MetricKind.TARGET
_METRICS = (
    ("load_dl", "Mbit/s", _O, "offered at the sender, downlink"),
    ("load_ul", "Mbit/s", _O, "offered at the sender, uplink"),
    ("prb_dl", "%", _O, "PRBs used, of those of slots served in time, downlink"),
    ("prb_ul", "%", _O, "PRBs used, of those of slots served in time, uplink"),
    ("late_du", "1", _O, "share of slots lost because the DU was late"),
    ("nok_dl", "1", _O, "share of transport blocks not acknowledged, downlink"),
    ("nok_ul", "1", _O, "share of transport blocks not acknowledged, uplink"),
    ("bs_dl", "kB", _O, "backlog at the end of the window, downlink"),
    ("bsr", "kB", _O, "backlog at the end of the window, uplink"),
    ("cap_du_dl", "Mbit/s", _O, "what the DU stage could carry at this load, downlink"),
    ("cap_du_ul", "Mbit/s", _O, "what the DU stage could carry at this load, uplink"),
    ("cap_cu", "Mbit/s", _O, "what the CU could carry at this load, both directions together"),
    ("thp_dl", "Mbit/s", _T, "delivered, downlink"),
    ("thp_ul", "Mbit/s", _T, "delivered, uplink"),
    ("dly_dl", "ms", _T, "mean one-way delay, downlink"),
    ("dly_ul", "ms", _T, "mean one-way delay, uplink"),
    ("jit_ul", "ms", _T, "interarrival jitter at the end of the window (RFC 3550), uplink"),
)
_BOARDS = (("du", DU), ("cu", CU), ("ue", TRAFFIC), ("core", TRAFFIC))

_MOST_SAID = 100
"""Windows whose answer is kept, so that it stays the same."""

Key = tuple[str, str]
Board = Mapping[str, float]
Seen = tuple[tuple[float, Board], ...]
"""What was seen of one process: when, on the clock of the windows, and its counters."""


def make_source(table: Mapping[str, object], now: Now) -> LabSource:
    """Return the source that the table describes; InputError says what is wrong with it."""
    for key in table:
        if key not in ("counters", "gnbs"):
            raise InputError("no such key; the lab's source has `counters` and `gnbs`", key=f"telemetry.lab.{key}")
    counters, gnbs = table.get("counters"), table.get("gnbs")
    if not isinstance(counters, str) or not counters:
        raise InputError("must be the folder of the lab's counters", key="telemetry.lab.counters", value=counters)
    if not isinstance(gnbs, list | tuple) or not gnbs or not all(isinstance(gnb, str) for gnb in gnbs):
        raise InputError('must be a list of numbers of gNBs, such as ["1"]', key="telemetry.lab.gnbs", value=gnbs)
    return LabSource(Path(counters), tuple(gnbs), now)


class LabSource:
    """Looks at the counters ten times a second; a window is what they grew by between its two ends."""

    def __init__(self, counters: Path, gnbs: tuple[str, ...], now: Now) -> None:
        self._counters, self._gnbs, self._now = counters, gnbs, now
        self._seen: dict[Key, deque[tuple[float, Board]]] = {
            (name, gnb): deque(maxlen=int(KEPT_S / _EVERY_S) + 20) for gnb in gnbs for name, _ in _BOARDS
        }
        self._said: dict[tuple[float, float], Sample] = {}
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._started_s: float | None = None
        self._offered = tuple(
            SourceMetric(metric=Metric(name=f"{stem}_{gnb}", unit=unit, kind=kind, description=text))
            for gnb in gnbs
            for stem, unit, kind, text in _METRICS
        )

    def metrics(self) -> tuple[SourceMetric, ...]:
        """Return what each gNB is measured by."""
        return self._offered

    def start(self) -> None:
        """Begin to look."""
        if self._thread is None and not self._stop.is_set():
            self._started_s = self._now()
            self._thread = threading.Thread(target=self._run, name="telemetry lab", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self.look()

    def look(self) -> None:
        """Take the counters as they are now; those that nobody wrote since, or that cannot be, are not heard."""
        with self._lock:
            at_s = self._now()
            for name, names in _BOARDS:
                for gnb in self._gnbs:
                    board = read_board(self._counters / f"{name}-{gnb}", names)
                    if board is None or not all(0.0 <= value < math.inf for value in board.values()):
                        continue
                    seen = self._seen[name, gnb]
                    if not seen or seen[-1][1]["at_s"] != board["at_s"]:
                        seen.append((at_s, board))

    @property
    def last_heard_s(self) -> float | None:
        """When any process of the lab was last seen to count."""
        with self._lock:
            return max((seen[-1][0] for seen in self._seen.values() if seen), default=None)

    @property
    def problem(self) -> str:
        """Which processes stand still."""
        if self._started_s is None:
            return ""
        oldest = self._now() - _SILENT_S
        with self._lock:
            heard = {key: seen[-1][0] if seen else self._started_s for key, seen in self._seen.items()}
        silent = [f"{name}-{gnb}" for (name, gnb), at_s in heard.items() if at_s < oldest]
        if not silent:
            return ""
        return f"{', '.join(silent[:4])}{' ...' if len(silent) > 4 else ''} count nothing; see: rantwin lab status"

    def sample(self, start_s: float, end_s: float) -> Sample:
        """Return the window's metrics; missing where the counters were not seen at both of its ends."""
        if not end_s > start_s:
            return sample_of(self._offered, {})
        with self._lock:
            if (said := self._said.get((start_s, end_s))) is not None:
                return said
            is_over = end_s <= self._now()
            if is_over and self._thread is not None:
                self.look()  # one look after its end
            values: dict[str, float] = {}
            for gnb in self._gnbs:
                grown = {name: _grown(tuple(self._seen[name, gnb]), start_s, end_s) for name, _ in _BOARDS}
                values |= {f"{stem}_{gnb}": value for stem, value in _values(grown, end_s - start_s).items()}
            sample = sample_of(self._offered, values)
            if is_over:
                self._said[start_s, end_s] = sample
                while len(self._said) > _MOST_SAID:
                    del self._said[next(iter(self._said))]
            return sample


def _grown(seen: Seen, start_s: float, end_s: float) -> Board | None:
    """Return by how much the counters of a process grew, those of `NOW` as they are at the end.

    None where they were not seen at both ends, or the process is not the same one.
    """
    first, last = _at(seen, start_s), _at(seen, end_s)
    if first is None or last is None or first["started_s"] != last["started_s"]:
        return None
    return {name: value if name in NOW else value - first[name] for name, value in last.items()}


def _at(seen: Seen, at_s: float) -> Board | None:
    """Return the counters at a moment, on the straight line between what was seen before and after it."""
    before = after = None
    for one in reversed(seen):
        if one[0] >= at_s:
            after = one
        else:
            before = one
            break
    if after is None:  # what comes next is still to come
        return before[1] if before is not None and at_s - before[0] <= _SILENT_S else None
    if before is None or after[0] == at_s:
        return after[1] if after[0] - at_s <= _EVERY_S else None
    (one_s, one_board), (other_s, other) = before, after
    if one_board["started_s"] != other["started_s"] or other_s - one_s > _SILENT_S:
        return None
    share = (at_s - one_s) / (other_s - one_s)
    return {
        name: value if name == "started_s" else one_board[name] + share * (value - one_board[name])
        for name, value in other.items()
    }


def _values(grown: Mapping[str, Board | None], span_s: float) -> dict[str, float]:
    du, cu, ue, core = (grown[name] for name, _ in _BOARDS)
    values: dict[str, float] = {}

    def mbps(board: Board | None, name: str) -> float:
        return board[name] / span_s / 1e6 if board is not None else math.nan

    for way, sender, receiver in (("dl", core, ue), ("ul", ue, core)):
        values[f"load_{way}"] = mbps(sender, f"offered_bits_{way}")
        values[f"thp_{way}"] = mbps(receiver, f"delivered_bits_{way}")
        if receiver is not None:
            values[f"dly_{way}"] = _ratio(receiver[f"delay_sum_ms_{way}"], receiver[f"packets_{way}"])
    if core is not None and core["packets_ul"] > 0:
        values["jit_ul"] = core["jitter_ms_ul"]
    lost = _lost_in_cu(cu, core)
    if du is not None:
        values["late_du"] = _ratio(du["late"] + du["skipped"], du["slots"])
        values["bs_dl"], values["bsr"] = du["backlog_bits_dl"] / 8000.0, du["backlog_bits_ul"] / 8000.0
        for way in ("dl", "ul"):
            busy = _ratio(du[f"prb_used_{way}"], du[f"prb_available_{way}"])
            values[f"prb_{way}"] = 100.0 * busy
            values[f"nok_{way}"] = _ratio(du[f"retx_{way}"], du[f"tb_{way}"] + du[f"retx_{way}"])
            carried = values[f"thp_{way}"] + (lost["ul"] / span_s / 1e6 if way == "ul" else 0.0)
            values[f"cap_du_{way}"] = _ratio(carried, busy) if carried > 0 else math.nan
    if cu is not None:
        busy = _ratio(cu["packet_ms"], max(cu["quota_ms"] - cu["base_ms"], 0.0))
        rate = values["load_dl"] - lost["dl"] / span_s / 1e6 + values["thp_ul"]
        values["cap_cu"] = _ratio(rate, busy) if rate > 0 else math.nan
    return values


def _lost_in_cu(cu: Board | None, core: Board | None) -> dict[str, float]:
    """Return the bits that the CU dropped; only one without CPU time to spare drops any."""
    if cu is None or core is None or core["packets_ul"] <= 0:
        return {"dl": 0.0, "ul": 0.0}
    packet_bits = core["delivered_bits_ul"] / core["packets_ul"]
    return {way: packet_bits * cu[f"dropped_{way}"] for way in ("dl", "ul")}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
