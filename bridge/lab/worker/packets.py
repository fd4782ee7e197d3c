"""Datagrams between the processes of the lab: what iperf3 sent, behind a header of ours.

The header says which flow and sender it is of, when it entered at the sender's side and when the process before passed
it on, both on the clock of the machine (CLOCK_MONOTONIC, the same in every container).
"""

from __future__ import annotations

import contextlib
import socket
import struct
from time import monotonic_ns, time_ns

__all__ = [
    "ENTERED",
    "HEADER",
    "MOST_BYTES",
    "PASSED",
    "PORT_DOWN",
    "PORT_UP",
    "drain",
    "drain_stamped",
    "open_socket",
    "send",
    "stamp",
]

HEADER = struct.Struct("!HHQQ")
"""Flow, which sender of that flow it was, entered [ns], passed on [ns]."""
ENTERED, PASSED = 2, 3
MOST_BYTES = 9000
PORT_UP, PORT_DOWN = 7001, 7002
"""Where a DU or CU takes what goes up (towards the core) and what goes down."""
_BUFFER_BYTES = 4 << 20
_TIMESTAMP = 35
"""SO_TIMESTAMPNS of Linux: the kernel says when a datagram arrived, as a timespec of the wall clock."""
_TIMESPEC = struct.Struct("@ll")

Address = tuple[str, int]


def open_socket(port: int, *, stamps: bool = False) -> socket.socket:
    """Return a socket that never blocks and has room for what arrives while its process is throttled.

    With `stamps` the kernel says when each datagram arrived, for `drain_stamped`.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    if stamps:
        made.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
    made.bind(("0.0.0.0", port))
    return made


def drain(source: socket.socket, most: int = 4096) -> list[bytes]:
    """Return what has arrived, in order."""
    got: list[bytes] = []
    recv = source.recv
    try:
        while len(got) < most:
            got.append(recv(MOST_BYTES))
    except OSError:  # nothing there, or the next process is away and said so
        pass
    return got


def drain_stamped(source: socket.socket, most: int = 4096) -> list[tuple[bytes, int]]:
    """Return what has arrived, in order, and when it did [ns on the monotonic clock]; `stamps` has been asked for."""
    got: list[tuple[bytes, int]] = []
    recv, room = source.recvmsg, socket.CMSG_SPACE(_TIMESPEC.size)
    try:
        while len(got) < most:
            data, said, _, _ = recv(MOST_BYTES, room)
            at = now = monotonic_ns()
            for level, kind, value in said:
                if level == socket.SOL_SOCKET and kind == _TIMESTAMP and len(value) == _TIMESPEC.size:
                    seconds, nanoseconds = _TIMESPEC.unpack(value)
                    at = min(now, now - time_ns() + seconds * 1_000_000_000 + nanoseconds)
            got.append((data, at))
    except OSError:
        pass
    return got


def send(by: socket.socket, data: bytes, to: Address) -> None:
    """Send; what cannot be sent is lost, as on any network."""
    with contextlib.suppress(OSError):
        by.sendto(data, to)


def stamp(data: bytes) -> bytes:
    """Return the datagram with the time of now as that of passing it on."""
    flow, sender, entered, _ = HEADER.unpack_from(data)
    return HEADER.pack(flow, sender, entered, monotonic_ns()) + data[HEADER.size :]
