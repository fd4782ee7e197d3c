"""iperf3 as a source: what a gNB's UEs were sent (sender) or what arrived (receiver), in one direction of the plane.

Each flow is a file that an iperf3 writes its JSON to, or a command whose output is read and that is begun again when it
ends, such as `docker exec ue_1 iperf3 -c 10.45.0.1 -u -b 10M -t 3600 --json-stream`. Before 3.17 iperf3 reports only at
the end of a run: then runs are best a fifth of a window, for what is heard after its end does not count.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bridge.telemetry.door import Table
from bridge.telemetry.iperf3_output import Documents, Failed, Interval, read_document
from bridge.telemetry.listening import Heard, ListeningSource, TroubleError
from bridge.telemetry.source import Now, SourceMetric
from col.plant import Metric, MetricKind

__all__ = ["Iperf3Source", "make_source"]

_POLL_S = 0.1
_COVERED = 0.5
"""Share of a window that a flow's intervals must cover: the last of runs that report at their end is not heard yet."""
_BEFORE_S = 1.5
"""An interval that began longer than this before the window says more of what was before; iperf3's own are of 1 s."""
_PIECE = 65_536
_END_S = 5.0
_WAY = {"dl": "downlink", "ul": "uplink"}


def make_source(config: Mapping[str, object], now: Now) -> Iperf3Source:
    """Return the source of the flows of a gNB: `gnb`, `direction`, `role`, and `files` or `commands`."""
    table = Table(config, "iperf3")
    direction, role = table.one_of("direction", ("dl", "ul")), table.one_of("role", ("receiver", "sender"), "receiver")
    files = tuple(Path(one) for one in table.texts("files"))
    commands = table.lists("commands")
    if not files and not commands:
        raise table.wrong("files", "missing: files or commands must say where iperf3's JSON comes from")
    for name, flows in (("files", files), ("commands", commands)):
        if len(set(flows)) < len(flows):
            raise table.wrong(name, "names one flow twice")
    gnb = table.text("gnb")
    table.done()
    return Iperf3Source(gnb, now, direction=direction, sender=role == "sender", files=files, commands=commands)


class Iperf3Source(ListeningSource):
    """The flows of one gNB in one direction; rates are those of all flows together, jitter is their mean."""

    def __init__(
        self,
        gnb: str,
        now: Now,
        *,
        direction: str,
        sender: bool = False,
        files: Sequence[Path] = (),
        commands: Sequence[Sequence[str]] = (),
    ) -> None:
        way, seen, target = _WAY[direction], MetricKind.OBSERVABLE, MetricKind.TARGET
        rows = [(f"load_{direction}_{gnb}", "Mbit/s", seen, f"offered at the sender, {way}")]
        if not sender:
            rows = [
                (f"thp_{direction}_{gnb}", "Mbit/s", target, f"delivered, {way}"),
                (f"jit_{direction}_{gnb}", "ms", target, f"interarrival jitter at the end of the window, {way}"),
                (f"loss_{direction}_{gnb}", "1", target, f"share of packets lost, {way}"),
            ]
        metrics = [
            SourceMetric(metric=Metric(name=name, unit=unit, kind=kind, description=text))
            for name, unit, kind, text in rows
        ]
        super().__init__(f"iperf3 {direction} of gNB {gnb}", metrics, now, stale_after_s=5.0)
        self.retry_s = 0.25  # client and server of a run that is begun again and again must find each other
        self._names, self._sender = [one.name for one in metrics], sender
        self._listeners: dict[str, Callable[[], None]] = {}
        self._flows: dict[str, Heard[tuple[float, Interval]]] = {}
        self._places: dict[str, tuple[int, int]] = {}
        """Of each file followed: its inode, and how far it was read."""
        for path in files:
            self._listeners[str(path)] = lambda path=path: self._follow(path)  # type: ignore[misc]
        for command in commands:
            self._listeners[" ".join(command)] = lambda command=command: self._run(command)  # type: ignore[misc]
        for name in self._listeners:
            self._flows[name] = Heard()

    def _parts(self) -> dict[str, Callable[[], None]]:
        return self._listeners

    def _silence(self) -> str:
        return ": does iperf3 run, with --json-stream, or --json in short runs?"

    def _values(self, start_s: float, end_s: float) -> dict[str, float]:
        per_flow = [_of_flow(heard.timed(start_s, end_s), start_s, end_s) for heard in self._flows.values()]
        if any(not intervals for intervals in per_flow):
            return {}  # the sum of some flows is not the sum of all
        rate_mbps = sum(
            sum(one.bits for one in intervals) / sum(one.seconds for one in intervals) for intervals in per_flow
        )
        found: list[float | None] = [rate_mbps / 1e6]
        if not self._sender:
            jitters = [intervals[-1].jitter_ms for intervals in per_flow]
            known = [one for one in jitters if one is not None]
            found.append(sum(known) / len(known) if len(known) == len(jitters) else None)
            found.append(_loss([one for intervals in per_flow for one in intervals]))
        return {name: value for name, value in zip(self._names, found, strict=True) if value is not None}

    def _take(self, flow: str, piece: bytes, documents: Documents, *, loud: bool) -> None:
        """Keep the intervals of our role, at the time when they ended on our clock."""
        for document in documents.feed(piece.decode("utf-8", "replace")):
            heard_s, wall_s = self._now(), time.time()
            for item in read_document(document):
                if isinstance(item, Failed):
                    self._say(flow, f"iperf3 says: {item.text}", loud=loud)
                if isinstance(item, Interval) and item.sender == self._sender:
                    ago_s = 0.0 if item.wall_end_s is None else max(0.0, wall_s - item.wall_end_s)
                    self._flows[flow].add(heard_s - ago_s, (heard_s, item))
                    self._note(flow, heard_s)

    def _follow(self, path: Path) -> None:
        """Read what is appended to a file, also when it is written anew or replaced; what it had before is old."""
        flow = str(path)
        first = flow not in self._places
        inode, place = self._places.setdefault(flow, (-1, 0))
        try:
            file = path.open("rb")
        except OSError as error:
            raise TroubleError(f"{path} cannot be read ({error.strerror})") from error
        documents = Documents()
        with file:
            status = os.fstat(file.fileno())
            if first:
                file.seek(0, os.SEEK_END)
            elif inode == status.st_ino and status.st_size >= place:
                file.seek(place)
            while not self._stop.is_set():
                piece = file.read(_PIECE)
                self._places[flow] = (status.st_ino, file.tell())
                if piece:
                    self._take(flow, piece, documents, loud=True)
                elif _moved(path, *self._places[flow]):
                    return
                else:
                    self._stop.wait(_POLL_S)

    def _run(self, command: Sequence[str]) -> None:
        """Read what a command writes until it ends; it does not outlive the source."""
        flow, documents = " ".join(command), Documents()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise TroubleError(f"{command[0]} cannot be run ({error.strerror})") from error
        assert process.stdout is not None
        before, last = self._times_heard.get(flow, 0), b""
        try:
            while not self._stop.is_set():
                ready, _, _ = select.select([process.stdout], [], [], _POLL_S)
                piece = os.read(process.stdout.fileno(), _PIECE) if ready else None
                if piece == b"":
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_END_S)  # its own exit status, not that of the kill
                    break
                if piece:
                    last = (last + piece)[-1000:]
                    self._take(flow, piece, documents, loud=False)
        finally:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
            process.wait()
        was_heard = self._times_heard.get(flow, 0) > before
        if not was_heard and "iperf3 says" in self._troubles.get(flow, ""):
            raise TroubleError(self._troubles[flow])
        if process.returncode > 0 and not was_heard:
            words = last.decode("utf-8", "replace").split()
            raise TroubleError(f"{command[0]} ended with {process.returncode} ({' '.join(words)[-160:]})")


def _of_flow(heard: Sequence[tuple[float, tuple[float, Interval]]], start_s: float, end_s: float) -> list[Interval]:
    """Return the intervals of a flow that lie in the window and were heard by its end, none if they are too few."""
    intervals = [
        one for at_s, (heard_s, one) in heard if heard_s <= end_s and at_s - one.seconds >= start_s - _BEFORE_S
    ]
    covered_s = sum(one.seconds for one in intervals)
    return intervals if covered_s >= _COVERED * (end_s - start_s) else []


def _loss(intervals: Sequence[Interval]) -> float | None:
    """Return the share lost; None where no packets were counted (TCP), or impossibly."""
    lost = packets = 0.0
    for one in intervals:
        if one.lost is None or one.packets is None:
            return None
        lost, packets = lost + one.lost, packets + one.packets
    return lost / packets if packets else None


def _moved(path: Path, inode: int, place: int) -> bool:
    """Say whether the path is another file now, or this one was written anew."""
    try:
        status = path.stat()
    except OSError:
        return False  # between two runs; what is open is still read
    return status.st_ino != inode or status.st_size < place
