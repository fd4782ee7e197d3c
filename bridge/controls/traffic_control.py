"""Shaping of an interface inside a process's network namespace, by the kernel's traffic control (tbf, netem).

Only what leaves through the interface is shaped. The queueing disciplines carry handles of their own, so that what
somebody else put there is seen and left alone. Needs root (CAP_SYS_ADMIN to enter the namespace, CAP_NET_ADMIN).
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from col.errors import InputError, OutcomeUnknownError, PlantError, RefusedError, UnreachableError

__all__ = ["MODULES", "NetlinkTrafficControl", "Shaping", "TrafficControl", "kernel_lacks"]

T = TypeVar("T")

MODULES = {"netem": ("sch_netem", "CONFIG_NET_SCH_NETEM"), "tbf": ("sch_tbf", "CONFIG_NET_SCH_TBF")}
"""For each discipline the kernel's module and the option that builds it."""

_NETEM, _TBF, _ROOT = 0x7A010000, 0x7A020000, 0xFFFFFFFF
_CLONE_NEWNET = 0x40000000
_FULL_U32 = 2**32 - 1
_LIMIT_PACKETS = 10_000
"""Of netem: more than 100 ms of 1 Gbit/s in packets of 1500 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """What is done to packets that leave: rate [Mbit/s] (None: none), delay and its jitter [ms], loss [%]."""

    rate_mbps: float | None = None
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_percent: float = 0.0

    @property
    def needs_netem(self) -> bool:
        """Whether anything but a rate is asked for."""
        return self.delay_ms > 0.0 or self.jitter_ms > 0.0 or self.loss_percent > 0.0


class TrafficControl(Protocol):
    """Reads and sets the shaping of an interface of the process `pid`.

    UnreachableError: no such process now. RefusedError (`write` only): nothing was done. PlantError: anything else.
    """

    def read(self, pid: int, interface: str) -> Shaping:
        """Return what is in force."""
        ...

    def write(self, pid: int, interface: str, shaping: Shaping) -> None:
        """Put it in force; the rest of the namespace stays as it is."""
        ...

    def lacks(self, discipline: str) -> str:
        """Return why this kernel cannot do `netem` or `tbf`, naming the module; empty if it can."""
        ...


class NetlinkTrafficControl:
    """The kernel of this machine, by netlink."""

    def __init__(self, *, queue_ms: float = 50.0, burst_ms: float = 10.0) -> None:
        """Take how long a packet may wait in the queue of a limited rate, and how long a burst may be [ms]."""
        self._queue_ms, self._burst_ms = queue_ms, burst_ms

    def read(self, pid: int, interface: str) -> Shaping:
        """Return what is in force; disciplines of others count as none."""
        tree = _inside(pid, lambda netlink: _tree(netlink, _index(netlink, interface)))
        netem = tree.get(_NETEM, {})
        rate = tree.get(_TBF, {}).get("rate")
        return Shaping(
            rate_mbps=None if rate is None else rate * 8 / 1e6,
            delay_ms=_ticks_to_ms(netem.get("delay", 0)),
            jitter_ms=_ticks_to_ms(netem.get("jitter", 0)),
            loss_percent=netem.get("loss", 0) / _FULL_U32 * 100.0,
        )

    def write(self, pid: int, interface: str, shaping: Shaping) -> None:
        """Put it in force: what is there is changed in place, so that no packet is dropped for it."""
        _inside(pid, lambda netlink: self._write(netlink, interface, shaping))

    def lacks(self, discipline: str) -> str:
        """Try it on the loopback of a network namespace of its own, which ends with the attempt."""
        return kernel_lacks(discipline)

    def _write(self, netlink: Any, interface: str, shaping: Shaping) -> bool:
        index = _index(netlink, interface)
        tree = _tree(netlink, index)
        if foreign := [handle for handle in tree if handle not in (0, _NETEM, _TBF)]:
            text = f"{interface} is shaped by somebody else (qdisc {foreign[0] >> 16:x}:): left alone"
            raise RefusedError((text,))
        acted = False
        try:
            for step in self._steps(tree, shaping):
                netlink.tc(step.pop("do"), step.pop("kind"), index, **step)
                acted = True
        except _netlink_error() as error:
            text = f"traffic control of {interface}: {error.args[-1]} (errno {error.code})"
            if acted:
                raise OutcomeUnknownError(f"{text}, after a part of it was done") from error
            raise RefusedError((text,)) from error
        return acted

    def _steps(self, tree: Mapping[int, Mapping[str, int]], shaping: Shaping) -> Iterator[dict[str, Any]]:
        has_netem, has_tbf, wants_tbf = _NETEM in tree, _TBF in tree, shaping.rate_mbps is not None
        if not shaping.needs_netem and not wants_tbf:
            if has_netem or has_tbf:
                root = _NETEM if has_netem else _TBF
                yield {"do": "del", "kind": None, "handle": root, "parent": _ROOT}
            return
        if shaping.needs_netem:
            yield {"do": "change" if has_netem else "replace", "kind": "netem", "handle": _NETEM, **_netem(shaping)}
            if has_tbf and not wants_tbf and has_netem:
                yield {"do": "del", "kind": None, "handle": _TBF, "parent": _NETEM | 1}
        if shaping.rate_mbps is not None:
            place = {"parent": _NETEM | 1} if shaping.needs_netem else {}
            stays = has_tbf and has_netem == shaping.needs_netem
            tbf = {"kind": "tbf", "handle": _TBF, **place, **self._tbf(shaping)}
            yield {"do": "change" if stays else "replace", **tbf}
            if has_netem and has_tbf and not shaping.needs_netem:
                yield {"do": "change", **tbf}  # the kernel moved the one that was there, with its old rate

    def _tbf(self, shaping: Shaping) -> dict[str, int]:
        rate = round((shaping.rate_mbps or 0.0) * 1e6 / 8)
        burst = max(16_384, math.ceil(rate * self._burst_ms / 1e3))
        return {"rate": rate, "burst": burst, "limit": burst + math.ceil(rate * self._queue_ms / 1e3)}


def kernel_lacks(discipline: str) -> str:
    """Return why this kernel (or this user) cannot use a discipline, naming its module; empty if it can."""
    said: list[str] = []

    def attempt() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
                said.append(f"no network namespace to try {discipline} in: {os.strerror(ctypes.get_errno())}")
                return
            from pyroute2 import IPRoute

            with IPRoute() as netlink:
                index = _index(netlink, "lo")
                options = {"netem": {"delay": 1000}, "tbf": {"rate": 125_000, "burst": 16_384, "limit": 65_536}}
                netlink.tc("add", discipline, index, handle=_TBF, **options[discipline])
        except ImportError:
            said.append(_MISSING)
        except Exception as error:
            module, option = MODULES[discipline]
            code = getattr(error, "code", 0)
            said.append(f"this kernel has no {discipline}: module {module} ({option}) is missing (errno {code})")

    thread = threading.Thread(target=attempt, name=f"try {discipline}", daemon=True)
    thread.start()  # a namespace of its own is a thread's affair, and goes with it
    thread.join()
    return said[0] if said else ""


_MISSING = "links need the package pyroute2: pip install 'rantwin[links]'"


def _inside(pid: int, work: Callable[[Any], T]) -> T:
    """Return what `work` makes of a netlink socket in the process's network namespace.

    A thread enters the namespace and ends in it: that is a thread's own affair, and the rest of us stay where we are.
    """
    path = f"/proc/{pid}/ns/net"
    result: list[T] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            from pyroute2 import IPRoute

            with open(path, "rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            with IPRoute() as netlink:
                result.append(work(netlink))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter, name=f"network namespace of {pid}", daemon=True)
    thread.start()
    thread.join()
    if result:
        return result[0]
    error = errors[0]
    match error:
        case ImportError():
            raise InputError(_MISSING) from error
        case FileNotFoundError() | ProcessLookupError():
            raise UnreachableError(f"process {pid} is gone, and its network namespace with it") from error
        case OSError():
            text = f"the network namespace of process {pid} cannot be entered ({error.strerror or error})"
            raise PlantError(f"{text}: needs root, CAP_SYS_ADMIN and CAP_NET_ADMIN") from error
        case _:
            raise error


def _netlink_error() -> type[Any]:
    from pyroute2.netlink.exceptions import NetlinkError

    error: type[Any] = NetlinkError
    return error


def _index(netlink: Any, interface: str) -> int:
    found = netlink.link_lookup(ifname=interface)
    if not found:
        raise PlantError(f"there is no interface {interface} in the network namespace")
    return int(found[0])


def _tree(netlink: Any, index: int) -> dict[int, dict[str, int]]:
    """Return the disciplines of an interface by handle, with the parameters of ours."""
    tree: dict[int, dict[str, int]] = {}
    for qdisc in netlink.get_qdiscs(index=index):
        options = qdisc.get_attr("TCA_OPTIONS")
        parameters: dict[str, int] = {}
        match qdisc.get_attr("TCA_KIND"):
            case "tbf":
                parms = options.get_attr("TCA_TBF_PARMS")
                parameters = {"rate": int(parms["rate"])}
            case "netem":
                parameters = {key: int(options[key]) for key in ("delay", "jitter", "loss")}
        tree[int(qdisc["handle"])] = parameters
    return tree


def _netem(shaping: Shaping) -> dict[str, float]:
    return {
        "delay": round(shaping.delay_ms * 1e3),
        "jitter": round(shaping.jitter_ms * 1e3),
        "loss": shaping.loss_percent,
        "limit": _LIMIT_PACKETS,
    }


def _ticks_to_ms(ticks: int) -> float:
    from pyroute2.netlink.rtnl.tcmsg.common import tick_in_usec

    return float(ticks) / float(tick_in_usec) / 1e3
