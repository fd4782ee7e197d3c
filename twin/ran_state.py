"""What moves in a run of the RAN: the data plane, the limits in force, the load, the meters of the hosts.

Shared by a run that is planned in advance (`twin.ran`) and one that is open-ended (`twin.live`). Whoever is about to
look at the data plane or to change it first brings it up to now (`catch_up`), so frames are cut exactly where something
intervenes and their length is free. Time is counted in slots of 1 ms, as integers, on the clock of the environment.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import simpy
from numpy.typing import NDArray

from twin.autoscaler import Autoscaler
from twin.control_kinds import kind_of
from twin.dataplane import DataPlane
from twin.intervene import replaced
from twin.latent_metrics import latent_metrics, utilisation
from twin.link_noise import LinkNoise, LinkState
from twin.mechanism import RunEvent
from twin.mechanisms import mechanisms
from twin.outages import Outages
from twin.power import HostPower, Neighbour
from twin.radio_metrics import radio_metrics
from twin.scenario_model import Scenario
from twin.streams import Streams
from twin.topology import Topology
from twin.windows import window_metrics

__all__ = ["AFTER_MECHANISMS", "DATA_PLANE_STREAMS", "RanState", "make_autoscaler"]

FloatArray = NDArray[np.float64]

DATA_PLANE_STREAMS = ("slot", "slow_du", "slow_cu", "phase", "links", "air")
AFTER_WINDOWS, AFTER_MECHANISMS = 2, 3
"""Order of events at the same time; windows are closed before, at SimPy's own priority 1."""
_MOST_EVENTS = 100_000


class RanState:
    """A fresh process of every gNB, at the limits `base`; `held` is what do() holds, see `twin.intervene`."""

    def __init__(
        self,
        scenario: Scenario,
        streams: Streams,
        env: simpy.Environment,
        base: Mapping[str, float],
        held: Mapping[str, float],
        *,
        automation: bool = False,
        log_packets: int = 0,
    ) -> None:
        self.scenario, self.env = scenario, env
        self.topology = scenario.topology
        self.held = dict(held)
        self.ues = {gnb.cell: gnb.ues for gnb in self.topology.gnbs}
        """UEs attached to each cell now; whoever lets them come and go keeps it."""
        self.automation = automation
        """Whether anything but the operator may move controls now; mechanisms that set controls ask first."""
        self._rows = {gnb.cell: row for row, gnb in enumerate(self.topology.gnbs)}
        self._du, self._cu = _run_effects(scenario, streams, held)
        generators = {name: streams.generator(name) for name in DATA_PLANE_STREAMS}
        self.plane = DataPlane(
            scenario.cells(),
            generators,
            du_factor=self._du,
            cu_factor=self._cu,
            log_packets=log_packets,
            cu_of=[self.topology.cus.index(gnb.cu) for gnb in self.topology.gnbs],
        )
        self.controls: dict[str, float] = {}
        self._offered: FloatArray | None = None
        self._done = self._read_at = 0
        self._elapsed_ms = 0.0
        self._cpu_ms = {part: np.zeros(len(self._rows)) for part in ("du", "cu")}
        self._events: deque[RunEvent] = deque(maxlen=_MOST_EVENTS)
        self._slowed: dict[int, dict[str, tuple[float, float]]] = {cell: {} for cell in self._rows}
        self._meters = _meters(scenario, streams)
        self._neighbours = _neighbours(scenario, streams)
        self.outages = Outages(_processes(self.topology), self._stop)
        self.mechanisms = mechanisms(scenario, streams, self)
        self._offered_by_others = any(mechanism.drives_load for mechanism in self.mechanisms)
        self.apply({**scenario.fixed_values, **base})
        for mechanism in self.mechanisms:
            for process in mechanism.processes(self):
                env.process(process)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self._rows)

    @property
    def now_ms(self) -> int:
        """Time since the run's start in ms."""
        return int(self.env.now)

    @property
    def events(self) -> Sequence[RunEvent]:
        """What was noted so far, in order; of a run without end only the latest."""
        return tuple(self._events)

    def row(self, cell: int) -> int:
        """Return the data plane's number of a cell."""
        return self._rows[cell]

    def wait(self, delay_ms: float, *, priority: int = AFTER_WINDOWS) -> simpy.Event:
        """Return an event `delay_ms` from now (rounded up to whole ms), which at that time comes after closed windows.

        SimPy's own timeouts would come before or after them by the accident of when they were made.
        """
        event = simpy.Event(self.env)
        event._ok, event._value = True, None
        self.env.schedule(event, priority=priority, delay=max(0, math.ceil(delay_ms)))  # type: ignore[arg-type]
        return event

    def note(self, kind: str, subject: str, **values: float | str) -> None:
        """Note something that happens now; see `RunEvent`."""
        self._events.append(RunEvent(at_ms=self.now_ms, kind=kind, subject=subject, values=values))

    def catch_up(self) -> None:
        """Bring the data plane up to now."""
        now = int(self.env.now)
        if now > self._done:
            self.plane.advance(now - self._done)
            self._done = now

    def apply(self, values: Mapping[str, float]) -> None:
        """Put limits in force from now on; a control that do() holds stays where it is held."""
        self.catch_up()
        values = {name: self.held.get(name, value) for name, value in values.items()}
        self.controls.update(values)
        for gnb in self.topology.gnbs:
            du, cu = f"cpu_du_{gnb.cell}", f"cpu_cu_{gnb.cu}"
            if du in values or cu in values:
                self.plane.set_quota(self._rows[gnb.cell], du_cores=self.controls[du], cu_cores=self.controls[cu])
        for mechanism in self.mechanisms:
            mechanism.apply(values)

    def offer(self, load_mbps: FloatArray) -> None:
        """Change what the senders offer, shape (cells, 2); nothing where a mechanism drives the load."""
        self.catch_up()
        self._offered = load_mbps
        if self._offered_by_others:
            return
        held = self.held
        for (cell, row), (down, up) in zip(self._rows.items(), load_mbps, strict=True):
            self.plane.set_load(
                row, dl_mbps=held.get(f"load_dl_{cell}", float(down)), ul_mbps=held.get(f"load_ul_{cell}", float(up))
            )

    def offer_again(self) -> None:
        """Offer what was offered last, as far as it is not held otherwise by now."""
        if self._offered is not None:
            self.offer(self._offered)

    def scale_demand(self, cell: int, factor: float) -> None:
        """Multiply the compute demand of a cell's DU and CU, as this run has it, by `factor` from now on."""
        self.catch_up()
        row = self._rows[cell]
        self.plane.set_demand(row, du_factor=self._du[row] * factor, cu_factor=self._cu[row] * factor)

    def take_down(self, process: str, until_ms: int) -> None:
        """Kill a process, `du_1` or `cu_a`, now; it serves again from `until_ms` on, or when its last cause allows."""
        self.catch_up()
        self.outages.take_down(process, self.now_ms, until_ms)

    def _stop(self, process: str, until_ms: int) -> None:
        part, _, owner = process.partition("_")
        if part == "du":
            self.plane.down_du(self._rows[int(owner)], until_ms)
        else:
            self.plane.down_cu(self.topology.cus.index(owner), until_ms)

    def link(self, leg: str) -> LinkState:
        """Return what a leg (fronthaul, midhaul, backhaul) is in this scenario while nothing is wrong with it."""
        links = self.scenario.links
        return LinkState(
            delay_ms=getattr(links, f"{leg}_ms"),
            rate_mbps=getattr(links, f"{leg}_mbps", 1000.0),
            noise=self.scenario.part(LinkNoise, f"links.{leg}"),
        )

    def slow_down(self, source: str, cell: int, *, du_factor: float = 1.0, cu_factor: float = 1.0) -> None:
        """Multiply the compute demand of a cell's DU and CU on behalf of `source` from now on.

        The factors of different sources multiply each other and `scale_demand`; 1 takes a source's effect away.
        """
        self.catch_up()
        factors = self._slowed[cell]
        factors[source] = (du_factor, cu_factor)
        du, cu = (math.prod(pair[part] for pair in factors.values()) for part in (0, 1))
        self.plane.contention(self._rows[cell], du_factor=du, cu_factor=cu)

    def cpu_ms(self) -> tuple[FloatArray, FloatArray]:
        """Return the CPU-ms that DUs and CUs have used since the run's start, each a value a cell.

        A CU's are in the rows of the cells that it serves.
        """
        self.catch_up()
        du, cu = (total + self.plane.peek(f"cpu_ms_{part}") for part, total in self._cpu_ms.items())
        return du, cu

    def read(self) -> dict[str, float]:
        """Return the metrics of cells, CUs and mechanisms since they were last read."""
        self.catch_up()
        # Of no time at all, between two interventions at once, every mean is missing.
        self._elapsed_ms, self._read_at = float(self.now_ms - self._read_at) or math.nan, self.now_ms
        counters = self.plane.take_counters().columns
        for part, total in self._cpu_ms.items():
            total += counters[f"cpu_ms_{part}"]
        up = self.outages.take_up_shares(self.now_ms)
        metrics = window_metrics(counters, self.topology, 8.0 * self.scenario.payload_bytes, up=up)
        metrics |= latent_metrics(counters, self.topology, self.ues)
        metrics |= radio_metrics(counters, self.topology, self.scenario.radio, air=self.plane.cells[0].air is not None)
        width = {cell: self.controls[name] for cell in self._rows if (name := f"bw_{cell}") in self.controls}
        metrics |= utilisation(counters, self.topology, self.plane.cells, width)
        metrics.update(up)
        for mechanism in self.mechanisms:
            metrics.update(mechanism.metrics(self, self._elapsed_ms))
        metrics.update(replaced(metrics, self.held, self.topology))
        return metrics

    def seen(self, metrics: Mapping[str, float]) -> None:
        """Tell the mechanisms the metrics of the time that was just read."""
        for mechanism in self.mechanisms:
            mechanism.seen(metrics)

    def host_metrics(
        self, metrics: Mapping[str, float], stray_cores: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        """Return neighbour use and power of every host for the window that ends now.

        `stray_cores` is what else kept a host busy, mean over the window; no metric but power shows it.
        """
        out: dict[str, float] = {}
        others = [mechanism.busy_cores(self._elapsed_ms) for mechanism in self.mechanisms]
        others += [] if stray_cores is None else [stray_cores]
        up = [mechanism.host_up(self._elapsed_ms) for mechanism in self.mechanisms]
        for host in self.topology.hosts:
            if host.name in self._neighbours:
                limits = sum(self.controls[name] for name in self.topology.limits_of_host(host.name))
                name = f"cpuu_nn_{host.name}"
                out[name] = self.held.get(name, self._neighbours[host.name].use_cores(limits))
            use = {**metrics, **out}
            busy = sum(use[name] for name in self.topology.use_of_host(host.name))
            busy += sum(cores.get(host.name, 0.0) for cores in others)
            powered = math.prod(share.get(host.name, 1.0) for share in up)
            drift = self.held.get(f"drift_{host.name}")
            out[f"pow_{host.name}"] = self._meters[host.name].read_w(busy, powered, drift=drift)
        return {**out, **replaced(out, self.held, self.topology)}


def make_autoscaler(scenario: Scenario, streams: Streams) -> Autoscaler:
    """Return the autoscaler of a run."""
    controls = {control.name: control for control in scenario.controls if kind_of(control.name) in scenario.rules}
    return Autoscaler(
        {name: scenario.rules[kind_of(name)] for name in controls},
        scenario.topology.followed_loads(),
        controls,
        {name: streams.generator("autoscaler", row) for row, name in enumerate(controls)},
    )


def _processes(topology: Topology) -> tuple[str, ...]:
    return (*(f"du_{gnb.cell}" for gnb in topology.gnbs), *(f"cu_{cu}" for cu in topology.cus))


def _run_effects(scenario: Scenario, streams: Streams, held: Mapping[str, float]) -> tuple[FloatArray, FloatArray]:
    """Return the random effect of this run on the demand of every DU and CU."""
    cells = scenario.cells()
    du = _run_factors("run_du", [cell.du.run_sd for cell in cells], streams)
    cu = _run_factors("run_cu", [cell.cu.run_sd for cell in cells], streams)
    home: dict[str, int] = {}
    for row, gnb in enumerate(scenario.topology.gnbs):
        home.setdefault(gnb.cu, row)  # a CU that serves several cells has one effect
        du[row] = held.get(f"run_du_{gnb.cell}", du[row])
        cu[row] = held.get(f"run_cu_{gnb.cu}", cu[home[gnb.cu]])
    return du, cu


def _run_factors(name: str, log_sds: list[float], streams: Streams) -> FloatArray:
    """Return the random effect of this process run on the compute demand of each cell: lognormal with mean one."""
    draws = [streams.generator(name, row).standard_normal() for row in range(len(log_sds))]
    return np.array([np.exp(sd * z - 0.5 * sd * sd) for sd, z in zip(log_sds, draws, strict=True)])


def _meters(scenario: Scenario, streams: Streams) -> dict[str, HostPower]:
    return {
        host.name: HostPower(
            scenario.power,
            host.capacity_cores,
            scenario.window.length_s,
            noise=streams.generator("power_noise", row),
            drift=streams.generator("power_drift", row),
        )
        for row, host in enumerate(scenario.topology.hosts)
    }


def _neighbours(scenario: Scenario, streams: Streams) -> dict[str, Neighbour]:
    if scenario.neighbour is None:
        return {}
    return {
        host.name: Neighbour(scenario.neighbour, streams.generator("neighbour", row))
        for row, host in enumerate(scenario.topology.hosts)
    }
