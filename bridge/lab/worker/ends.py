"""The two ends of the way: beside the UEs and beside the core, between iperf3 and the RAN.

iperf3's UDP goes through DU and CU; its TCP connection (who wants what) goes from end to end directly, since it is no
user traffic. Each end counts what is offered and what is delivered, and measures delay (the ends share a clock) and
interarrival jitter (RFC 3550 section 6.4.1). There are two flows a gNB: iperf3 sends one way in each.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns

from .counters import TRAFFIC, Board
from .packets import HEADER, PORT_DOWN, PORT_UP, Address, drain, drain_stamped, open_socket, send

__all__ = ["CoreEnd", "Flow", "UeEnd", "flows_of", "relay"]

_LEAST_BYTES = 64
"""Shorter datagrams are iperf3's greetings, not traffic."""


_BREATH_S = 0.001
"""Between two looks: a packet a look would cost more than all that is done with it."""


@dataclass(slots=True)
class Flow:
    """One direction of one gNB. `way` is the direction of its traffic, `port` iperf3's."""

    number: int
    gnb: str
    way: str
    port: int
    sender: int = 0
    client: Address | None = None
    local: socket.socket | None = None
    jitter_ms: float = 0.0
    transit_ms: float | None = None
    last_ns: int = field(default_factory=monotonic_ns)


def flows_of(gnbs: list[str], first_port: int) -> list[Flow]:
    """Return the flows of these gNBs; both ends number them alike."""
    return [
        Flow(number=2 * row + turn, gnb=gnb, way=way, port=first_port + 2 * row + turn)
        for row, gnb in enumerate(gnbs)
        for turn, way in enumerate(("ul", "dl"))
    ]


class _End:
    """What both ends do: count."""

    def __init__(self, flows: list[Flow], counters: Path) -> None:
        self.flows = flows
        self._boards = {flow.gnb: Board(counters / f"{self.name}-{flow.gnb}", TRAFFIC) for flow in flows}
        self._place = {name: place for place, name in enumerate(TRAFFIC)}
        for board in self._boards.values():
            board.values[0] = time.monotonic()
        self._poll = select.poll()

    name = ""

    def started(self, flow: Flow) -> None:
        """Count a start of a sender."""
        self._boards[flow.gnb].values[self._place["starts"]] += 1

    def _offered(self, flow: Flow, size: int) -> None:
        if size >= _LEAST_BYTES:
            flow.last_ns = monotonic_ns()
            self._boards[flow.gnb].values[self._place[f"offered_bits_{flow.way}"]] += 8 * size

    def _delivered(self, flow: Flow, entered_ns: int, arrived_ns: int, size: int) -> None:
        if size < _LEAST_BYTES:
            return
        values, place, way = self._boards[flow.gnb].values, self._place, flow.way
        flow.last_ns = monotonic_ns()
        transit = (arrived_ns - entered_ns) * 1e-6
        if flow.transit_ms is not None:
            flow.jitter_ms += (abs(transit - flow.transit_ms) - flow.jitter_ms) / 16.0
        flow.transit_ms = transit
        values[place[f"delivered_bits_{way}"]] += 8 * size
        values[place[f"packets_{way}"]] += 1
        values[place[f"delay_sum_ms_{way}"]] += transit
        values[place[f"jitter_ms_{way}"]] = flow.jitter_ms

    def _show(self) -> None:
        now = time.monotonic()
        for board in self._boards.values():
            board.values[1] = now
            board.show()


class UeEnd(_End):
    """Beside the UEs: iperf3's clients speak to it as to a server; `du` says where the DU of each gNB is."""

    name = "ue"

    def __init__(self, flows: list[Flow], counters: Path, du: Mapping[str, Address]) -> None:
        super().__init__(flows, counters)
        self._du, self._air = du, open_socket(PORT_DOWN, stamps=True)
        self._poll.register(self._air, select.POLLIN)
        self._of = {}
        for flow in flows:
            flow.local = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            flow.local.setblocking(False)
            flow.local.bind(("127.0.0.1", flow.port))
            self._of[flow.local.fileno()] = flow
            self._poll.register(flow.local, select.POLLIN)

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Pass on what comes, as long as it goes on."""
        by_number = {flow.number: flow for flow in self.flows}
        while goes_on():
            for handle, _ in self._poll.poll(100.0):
                if (flow := self._of.get(handle)) is not None:
                    self._upwards(flow)
            for data, arrived in drain_stamped(self._air):
                number, sender, entered, _ = HEADER.unpack_from(data)
                flow = by_number.get(number)
                if flow is not None and flow.client is not None and flow.local is not None and sender == flow.sender:
                    if flow.way == "dl":
                        self._delivered(flow, entered, arrived, len(data) - HEADER.size)
                    send(flow.local, data[HEADER.size :], flow.client)
            self._show()
            time.sleep(_BREATH_S)

    def _upwards(self, flow: Flow) -> None:
        assert flow.local is not None
        while True:
            try:
                data, client = flow.local.recvfrom(9000)
            except OSError:
                return
            if client != flow.client:  # another iperf3, or its next test
                flow.client, flow.transit_ms, flow.jitter_ms = client, None, 0.0
                flow.sender = (flow.sender + 1) & 0xFFFF
            if flow.way == "ul":
                self._offered(flow, len(data))
            now = monotonic_ns()
            send(self._air, HEADER.pack(flow.number, flow.sender, now, now) + data, self._du[flow.gnb])


class CoreEnd(_End):
    """Beside the core: it speaks to iperf3's servers as a client, from one address for each sender of a flow."""

    name = "core"

    def __init__(self, flows: list[Flow], counters: Path, cu: Mapping[str, Address]) -> None:
        super().__init__(flows, counters)
        self._cu, self._n3 = cu, open_socket(PORT_UP, stamps=True)
        self._poll.register(self._n3, select.POLLIN)
        self._of: dict[int, Flow] = {}

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Pass on what comes, as long as it goes on."""
        by_number = {flow.number: flow for flow in self.flows}
        while goes_on():
            ready = self._poll.poll(100.0)
            for data, arrived in drain_stamped(self._n3):
                number, sender, entered, _ = HEADER.unpack_from(data)
                if (flow := by_number.get(number)) is None:
                    continue
                if flow.local is None or flow.sender != sender:
                    self._new_sender(flow, sender)
                if flow.way == "ul":
                    self._delivered(flow, entered, arrived, len(data) - HEADER.size)
                with contextlib.suppress(OSError):
                    if flow.local is not None:
                        flow.local.send(data[HEADER.size :])
            for handle, _ in ready:
                if (flow := self._of.get(handle)) is not None:
                    self._downwards(flow)
            self._show()
            time.sleep(_BREATH_S)

    def _new_sender(self, flow: Flow, sender: int) -> None:
        if flow.local is not None:
            self._poll.unregister(flow.local)
            self._of.pop(flow.local.fileno())
            flow.local.close()
        flow.sender, flow.transit_ms, flow.jitter_ms = sender, None, 0.0
        flow.local = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        flow.local.setblocking(False)
        flow.local.connect(("127.0.0.1", flow.port))
        self._of[flow.local.fileno()] = flow
        self._poll.register(flow.local, select.POLLIN)

    def _downwards(self, flow: Flow) -> None:
        if flow.local is None:
            return
        for data in drain(flow.local):
            if flow.way == "dl":
                self._offered(flow, len(data))
            now = monotonic_ns()
            send(self._n3, HEADER.pack(flow.number, flow.sender, now, now) + data, self._cu[flow.gnb])


def relay(port: int, to: Address) -> None:
    """Pass every TCP connection to this port (loopback) on to `to`, in threads; returns at once."""
    server = socket.create_server(("127.0.0.1", port), backlog=8)

    def serve() -> None:
        while True:
            near, _ = server.accept()
            try:
                far = socket.create_connection(to, timeout=5.0)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
