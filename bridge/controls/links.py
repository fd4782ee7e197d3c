"""Links as controls: the rate, delay, jitter and loss of what leaves through an interface of a workload."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum

from bridge.controls.driver import Evidence, Proof
from bridge.controls.machine import Machines
from bridge.controls.traffic_control import Shaping, TrafficControl
from col.errors import InputError, RefusedError

__all__ = ["LinkDriver", "LinkQuantity"]


class LinkQuantity(StrEnum):
    """What of a link a control sets; the value is the control's kind in the inventory."""

    RATE = "link_rate"
    """Mbit/s; the link's own rate means that it is not limited."""
    DELAY = "link_delay"
    """ms, added to every packet."""
    JITTER = "link_jitter"
    """ms, around the delay."""
    LOSS = "link_loss"
    """Per cent of the packets."""


_UNITS = {
    LinkQuantity.RATE: "Mbit/s",
    LinkQuantity.DELAY: "ms",
    LinkQuantity.JITTER: "ms",
    LinkQuantity.LOSS: "%",
}
_CLOSE = 1e-3
"""Relative: traffic control counts in bytes per second and in ticks."""


class LinkDriver:
    """The controls of one link. What is in force is read from the kernel each time, so that a restart shows."""

    def __init__(
        self,
        link: str,
        controls: Mapping[LinkQuantity, str],
        machines: Machines,
        traffic: TrafficControl,
        *,
        workload: str,
        interface: str,
        own_rate_mbps: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the controls by what they set, and the rate of the link as it is without a limit [Mbit/s]."""
        if not controls:
            raise InputError("a link without controls needs no driver", key=link)
        self._link, self._controls = link, dict(controls)
        self._machines, self._traffic = machines, traffic
        self._workload, self._interface, self._own_rate_mbps = workload, interface, own_rate_mbps
        self._now_s = now_s
        self._seen: Mapping[str, float] = {}
        self._lacks: dict[str, str] = {}

    def names(self) -> tuple[str, ...]:
        """Return the controls of the link."""
        return tuple(self._controls.values())

    def refusals(self, values: Mapping[str, float]) -> tuple[str, ...]:
        """Return what this kernel, and this link, cannot do."""
        reasons = []
        for quantity, name in self._controls.items():
            value = values.get(name)
            if value is None:
                continue
            if value < 0.0 or (quantity is LinkQuantity.RATE and value <= 0.0):
                reasons.append(f"{name} = {value:g} {_UNITS[quantity]}: no link has that")
            elif quantity is LinkQuantity.RATE:
                if value < self._own_rate_mbps and (lacks := self._kernel_lacks("tbf")):
                    reasons.append(f"{name} = {value:g} Mbit/s: {lacks}")
            elif value > 0.0 and (lacks := self._kernel_lacks("netem")):
                reasons.append(f"{name} = {value:g} {_UNITS[quantity]}: {lacks}")
        return tuple(reasons)

    def read(self, within_s: float) -> Mapping[str, float]:
        """Return what the kernel says of the interface now."""
        pid = self._machines.pid(self._workload, within_s)
        self._seen = self._values(self._traffic.read(pid, self._interface))
        return self._seen

    def apply(self, values: Mapping[str, float], within_s: float) -> None:
        """Shape the link so; what is not named stays."""
        if reasons := self.refusals(values):
            raise RefusedError(reasons)
        until_s = self._now_s() + within_s
        pid = self._machines.pid(self._workload, max(0.001, until_s - self._now_s()))
        shaping = self._traffic.read(pid, self._interface)
        for quantity, name in self._controls.items():
            if name in values:
                shaping = self._with(shaping, quantity, float(values[name]))
        self._traffic.write(pid, self._interface, shaping)

    def evidence(self) -> tuple[Evidence, ...]:
        """Return what the last reading said."""
        text = f"traffic control of {self._interface} in {self._workload}"
        return tuple(
            Evidence(control=name, value=value, proof=Proof.READ_BACK, text=text) for name, value in self._seen.items()
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _kernel_lacks(self, discipline: str) -> str:
        if discipline not in self._lacks or self._lacks[discipline]:  # a module can be loaded any time
            self._lacks[discipline] = self._traffic.lacks(discipline)
        return self._lacks[discipline]

    def _with(self, shaping: Shaping, quantity: LinkQuantity, value: float) -> Shaping:
        match quantity:
            case LinkQuantity.RATE:
                is_limited = value < self._own_rate_mbps * (1.0 - _CLOSE)
                return replace(shaping, rate_mbps=value if is_limited else None)
            case LinkQuantity.DELAY:
                return replace(shaping, delay_ms=value)
            case LinkQuantity.JITTER:
                return replace(shaping, jitter_ms=value)
            case LinkQuantity.LOSS:
                return replace(shaping, loss_percent=value)

    def _values(self, shaping: Shaping) -> dict[str, float]:
        known = {
            LinkQuantity.RATE: self._own_rate_mbps if shaping.rate_mbps is None else shaping.rate_mbps,
            LinkQuantity.DELAY: shaping.delay_ms,
            LinkQuantity.JITTER: shaping.jitter_ms,
            LinkQuantity.LOSS: shaping.loss_percent,
        }
        return {name: known[quantity] for quantity, name in self._controls.items()}
