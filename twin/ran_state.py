"""What moves in a run of the RAN: the data plane, the limits in force, the load, the meters of the hosts.

Shared by a run that is planned in advance (`twin.ran`) and one that is open-ended (`twin.live`). Whoever is about to
look at the data plane or to change it first brings it up to now (`catch_up`), so frames are cut exactly where something
intervenes and their length is free. Time is counted in slots of 1 ms, as integers, on the clock of the environment.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import simpy
from numpy.typing import NDArray

from twin.autoscaler import Autoscaler
from twin.dataplane import DataPlane
from twin.power import HostPower, Neighbour
from twin.scenario_model import Scenario
from twin.streams import Streams
from twin.windows import window_metrics

__all__ = ["DATA_PLANE_STREAMS", "RanState", "make_autoscaler"]

FloatArray = NDArray[np.float64]

DATA_PLANE_STREAMS = ("slot", "slow_du", "slow_cu", "phase")


class RanState:
    """A fresh process of every gNB, at the limits `base`; `held` overrides root variables of the causal graph."""

    def __init__(
        self,
        scenario: Scenario,
        streams: Streams,
        env: simpy.Environment,
        base: Mapping[str, float],
        held: Mapping[str, float],
    ) -> None:
        self.scenario, self.env = scenario, env
        self.topology = scenario.topology
        self._held = held
        self._rows = {gnb.cell: row for row, gnb in enumerate(self.topology.gnbs)}
        self._du, self._cu = _run_effects(scenario, streams, held)
        generators = {name: streams.generator(name) for name in DATA_PLANE_STREAMS}
        self._plane = DataPlane(scenario.cells(), generators, du_factor=self._du, cu_factor=self._cu)
        self.controls: dict[str, float] = {}
        self._done = 0
        self.apply(base)
        self._meters = _meters(scenario, streams)
        self._neighbours = _neighbours(scenario, streams)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self._rows)

    def catch_up(self) -> None:
        """Bring the data plane up to now."""
        now = int(self.env.now)
        if now > self._done:
            self._plane.advance(now - self._done)
            self._done = now

    def apply(self, values: Mapping[str, float]) -> None:
        """Put limits in force from now on."""
        self.catch_up()
        self.controls.update(values)
        for gnb in self.topology.gnbs:
            du, cu = f"cpu_du_{gnb.cell}", f"cpu_cu_{gnb.cu}"
            if du in values or cu in values:
                self._plane.set_quota(self._rows[gnb.cell], du_cores=self.controls[du], cu_cores=self.controls[cu])

    def offer(self, load_mbps: FloatArray) -> None:
        """Change what the senders offer, shape (cells, 2)."""
        self.catch_up()
        held = self._held
        for (cell, row), (down, up) in zip(self._rows.items(), load_mbps, strict=True):
            self._plane.set_load(
                row, dl_mbps=held.get(f"load_dl_{cell}", float(down)), ul_mbps=held.get(f"load_ul_{cell}", float(up))
            )

    def scale_demand(self, cell: int, factor: float) -> None:
        """Multiply the compute demand of a cell's DU and CU, as this run has it, by `factor` from now on."""
        self.catch_up()
        row = self._rows[cell]
        self._plane.set_demand(row, du_factor=self._du[row] * factor, cu_factor=self._cu[row] * factor)

    def read(self) -> dict[str, float]:
        """Return the metrics of cells and CUs since they were last read."""
        self.catch_up()
        return window_metrics(self._plane.take_counters().columns, self.topology, 8.0 * self.scenario.payload_bytes)

    def host_metrics(
        self, metrics: Mapping[str, float], stray_cores: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        """Return neighbour use and power of every host for the window that ends now.

        `stray_cores` is what else kept a host busy, mean over the window; no metric but power shows it.
        """
        out: dict[str, float] = {}
        for host in self.topology.hosts:
            if host.name in self._neighbours:
                limits = sum(self.controls[name] for name in self.topology.limits_of_host(host.name))
                name = f"cpuu_nn_{host.name}"
                out[name] = self._held.get(name, self._neighbours[host.name].use_cores(limits))
            use = {**metrics, **out}
            busy = sum(use[name] for name in self.topology.use_of_host(host.name))
            if stray_cores is not None:
                busy += stray_cores.get(host.name, 0.0)
            out[f"pow_{host.name}"] = self._meters[host.name].read_w(busy)
        return out


def make_autoscaler(scenario: Scenario, streams: Streams) -> Autoscaler:
    """Return the autoscaler of a run."""
    controls = {control.name: control for control in scenario.controls}
    return Autoscaler(
        {name: scenario.rules[name[:6]] for name in controls},
        scenario.topology.followed_loads(),
        controls,
        {name: streams.generator("autoscaler", row) for row, name in enumerate(controls)},
    )


def _run_effects(scenario: Scenario, streams: Streams, held: Mapping[str, float]) -> tuple[FloatArray, FloatArray]:
    """Return the random effect of this run on the demand of every DU and CU."""
    cells = scenario.cells()
    du = _run_factors("run_du", [cell.du.run_sd for cell in cells], streams)
    cu = _run_factors("run_cu", [cell.cu.run_sd for cell in cells], streams)
    for row, gnb in enumerate(scenario.topology.gnbs):
        du[row] = held.get(f"run_du_{gnb.cell}", du[row])
        cu[row] = held.get(f"run_cu_{gnb.cu}", cu[row])
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
