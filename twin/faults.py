"""Faults of a scenario: a host that fails, a process that crashes, a link that degrades; planned, or by chance.

A fault comes once, `at_s` after the warm-up of a run, which is when a trial puts its intervention in force, and lasts
`lasts_s`; or it comes again and again: exponential times between faults (`every_s`, mean) and exponential lengths
(`lasts_s`, mean). A scenario lists them as [[faults]], each with its `kind`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from col.errors import InputError
from twin.link_noise import LinkNoise, LinkState
from twin.mechanism import Mechanism, Process
from twin.outages import Restart
from twin.scenario_model import Scenario
from twin.streams import Streams
from twin.strict import limits
from twin.topology import Topology

if TYPE_CHECKING:
    from twin.ran_state import RanState

__all__ = ["FAULT_KINDS", "Fault", "Faults", "HostFailure", "LinkFault", "ProcessCrash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """When a fault comes and how long it lasts; see the module."""

    lasts_s: float = field(metadata=limits(above=0, upper=1e7))
    at_s: float | None = field(default=None, metadata=limits(lower=0, upper=1e7))
    every_s: float | None = field(default=None, metadata=limits(lower=0.1, upper=1e9))

    def __post_init__(self) -> None:
        if (self.at_s is None) == (self.every_s is None):
            raise InputError("give either at_s (once) or every_s (again and again, mean)", key="at_s", value=self.at_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFailure(Fault):
    """A host without power for `lasts_s`: every process on it dies, and restarts once the host is back."""

    host: str
    restart: Restart = field(default_factory=Restart)

    def check_scenario(self, scenario: Scenario) -> None:
        """Refuse a host that the scenario does not have."""
        _known("host", self.host, [host.name for host in scenario.topology.hosts])


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCrash(Fault):
    """One process, `du_1` or `cu_a`, that dies and is not restarted for `lasts_s`; then it restarts."""

    process: str
    restart: Restart = field(default_factory=Restart)

    def check_scenario(self, scenario: Scenario) -> None:
        """Refuse a process that the scenario does not have."""
        _known("process", self.process, processes(scenario.topology))


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFault(Fault):
    """A leg of some cells (all, if none are named) that gets slower, thinner, noisier or lossy for a while."""

    leg: Literal["fronthaul", "midhaul", "backhaul"]
    cells: tuple[int, ...] = field(default=(), metadata=limits(lower=1, upper=1e9))
    added_ms: float = field(default=0.0, metadata=limits(lower=0, upper=1e4))
    """One-way delay on top of the leg's own."""
    rate_mbps: float | None = field(default=None, metadata=limits(above=0, upper=1e7))
    """Rate instead of the leg's own; the fronthaul has none."""
    noise: LinkNoise | None = None
    """Jitter and loss instead of the leg's own."""

    def check_scenario(self, scenario: Scenario) -> None:
        """Refuse cells that the scenario does not have, and a fault that changes nothing."""
        known = [gnb.cell for gnb in scenario.topology.gnbs]
        for cell in self.cells:
            _known("cells", cell, known)
        if self.leg == "fronthaul" and self.rate_mbps is not None:
            raise InputError("a fronthaul has no rate; leave it out", key="rate_mbps", value=self.rate_mbps)
        if self.added_ms == 0.0 and self.rate_mbps is None and self.noise is None:
            raise InputError("a link fault needs added_ms, rate_mbps or noise", key="added_ms", value=0.0)

    def state(self, own: LinkState) -> LinkState:
        """Return the leg as it is during the fault, from what it is otherwise."""
        return LinkState(
            delay_ms=own.delay_ms + self.added_ms,
            rate_mbps=own.rate_mbps if self.rate_mbps is None else self.rate_mbps,
            noise=self.noise or own.noise,
        )


FAULT_KINDS: Mapping[str, type[Fault]] = {"host": HostFailure, "process": ProcessCrash, "link": LinkFault}
"""The kinds of [[faults]] by their `kind`."""


class Faults(Mechanism):
    """The faults of one run, each on a stream of its own."""

    def __init__(self, faults: Sequence[Fault], streams: Streams, ran: RanState) -> None:
        self._faults, self._streams, self._ran = faults, streams, ran
        self._legs: dict[tuple[int, str], list[LinkFault]] = {}  # what is wrong with a line now
        topology = ran.topology
        self._first_of_cu = {
            cell: cells[0] for cu in topology.cus for cells in [topology.cells_of_cu(cu)] for cell in cells
        }
        self._dark_until = {host.name: 0 for host in ran.topology.hosts}
        self._dark_ms = {host.name: 0.0 for host in ran.topology.hosts}
        self._dark = dict.fromkeys(self._dark_ms, 0.0)

    def processes(self, ran: RanState) -> Iterable[Process]:
        """Return a process a fault."""
        return [self._fault(fault, row) for row, fault in enumerate(self._faults)]

    def _fault(self, fault: Fault, row: int) -> Process:
        ran, rng = self._ran, self._streams.generator("fault", row)
        yield ran.wait(1000.0 * ran.scenario.window.warmup_s)
        while True:
            again = fault.every_s is not None
            gap_s = float(rng.exponential(fault.every_s)) if fault.every_s is not None else fault.at_s or 0.0
            lasts_s = float(rng.exponential(fault.lasts_s)) if again else fault.lasts_s
            yield ran.wait(1000.0 * gap_s)
            lasts_ms = max(1, round(1000.0 * lasts_s))
            if isinstance(fault, LinkFault):
                yield from self._degrade(fault, lasts_ms)
            elif isinstance(fault, HostFailure | ProcessCrash):
                self._kill(fault, lasts_ms, rng)
                yield ran.wait(lasts_ms)
            if not again:
                return

    def _degrade(self, fault: LinkFault, lasts_ms: int) -> Process:
        ran = self._ran
        cells = fault.cells or tuple(gnb.cell for gnb in ran.topology.gnbs)
        lines = dict.fromkeys(self._line(cell, fault.leg) for cell in cells)
        ran.note("fault", f"{fault.leg} of {', '.join(map(str, cells))}", lasts_s=lasts_ms / 1000.0)
        for begins in (True, False):
            ran.catch_up()
            for cell in lines:
                wrong = self._legs.setdefault((cell, fault.leg), [])
                if begins:
                    wrong.append(fault)
                else:
                    wrong.remove(fault)
                state = ran.link(fault.leg)
                for other in wrong:
                    state = other.state(state)
                ran.plane.set_link(ran.row(cell), fault.leg, state)
            if begins:
                yield ran.wait(lasts_ms)

    def _line(self, cell: int, leg: str) -> int:
        """Return the cell that stands for the line: cells of one CU share its backhaul."""
        return self._first_of_cu[cell] if leg == "backhaul" else cell

    def _kill(self, fault: HostFailure | ProcessCrash, lasts_ms: int, rng: np.random.Generator) -> None:
        ran = self._ran
        back = ran.now_ms + lasts_ms
        if isinstance(fault, HostFailure):
            dead, subject = _of_host(ran.topology, fault.host), f"host {fault.host}"
            self._go_dark(fault.host, back)
        else:
            dead, subject = (fault.process,), fault.process
        ran.note("fault", subject, lasts_s=lasts_ms / 1000.0)
        ran.catch_up()
        for process in dead:
            ran.take_down(process, back + fault.restart.draw_ms(rng, ran.controls[f"cpu_{process}"]))

    def _go_dark(self, host: str, until: int) -> None:
        now = self._ran.now_ms
        self._dark_ms[host] += max(0, until - max(now, self._dark_until[host]))
        self._dark_until[host] = max(until, self._dark_until[host])

    def host_up(self, elapsed_ms: float) -> Mapping[str, float]:
        """Return the share of the window that failed hosts had power."""
        return {host: 1.0 - ms / elapsed_ms for host, ms in self._dark.items() if ms > 0.0}

    def metrics(self, ran: RanState, elapsed_ms: float) -> Mapping[str, float]:
        """Return the share of the time that each host had power, `up_<host>`."""
        now, out = ran.now_ms, {}
        for host, until in self._dark_until.items():
            ahead = max(0, until - now)  # darkness still to come belongs to later windows
            self._dark[host], self._dark_ms[host] = self._dark_ms[host] - ahead, float(ahead)
            out[f"up_{host}"] = 1.0 - self._dark[host] / elapsed_ms if elapsed_ms else 1.0
        return out


def _of_host(topology: Topology, host: str) -> tuple[str, ...]:
    return (
        *(f"du_{gnb.cell}" for gnb in topology.gnbs_of_host(host)),
        *(f"cu_{cu}" for cu in topology.cus_of_host(host)),
    )


def processes(topology: Topology) -> tuple[str, ...]:
    """Return the names of all processes of the RAN: du_1, ..., cu_1, ..."""
    return (*(f"du_{gnb.cell}" for gnb in topology.gnbs), *(f"cu_{cu}" for cu in topology.cus))


def _known(key: str, value: object, known: Sequence[object]) -> None:
    if value not in known:
        raise InputError(f"there is none of that name; there are {', '.join(map(str, known))}", key=key, value=value)
