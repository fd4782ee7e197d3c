"""Plots of a simulation's windows: a figure a gNB and one of the hosts; of many gNBs, how they spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tui.figures.timeline import Mark, Panel, Timeline, timeline_figure
from tui.simulate import Simulation
from twin.topology import Gnb

__all__ = ["Plots", "plots_of"]

FloatArray = NDArray[np.float64]

_MOST_GNBS = 8
"""So many gNBs have a figure each; of more only the first, after one of all together."""
_SHOWN_OF_MANY = 2
_FIRST = ("thp_dl", "thp_ul", "dly_dl", "dly_ul", "jit_ul")
_OVERVIEW = ("thp_dl", "thp_ul", "dly_ul", "jit_ul", "cpuu_du", "late_du", "bsr")
_NEVER = ("load_", "cap_")
"""Metrics that are drawn with another one, or that only the learner reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plots:
    """`sections` are (title, SVG, open at first), `figures` (file name, SVG); `marked`: events are shown."""

    sections: Sequence[tuple[str, str, bool]]
    figures: Sequence[tuple[str, str]]
    marked: bool
    compared: bool = False


class _Shown:
    """What the panels of one simulation look up."""

    def __init__(self, simulation: Simulation) -> None:
        scenario, self.windows, self.factual = simulation.scenario, simulation.windows, simulation.factual
        self.topology, self.fixed = scenario.topology, scenario.fixed_values
        self.units = {control.name: control.unit for control in scenario.controls}
        self.units |= {metric.name: metric.unit for metric in scenario.topology.metrics()}
        predicates = scenario.specification.predicates
        self.limits = {min(p.metrics): p.threshold for p in predicates if len(p.metrics) == 1}
        self.broken: dict[str, NDArray[np.bool_]] = {}
        for predicate in predicates:
            fails = predicate.margin({name: self.windows.metrics[name] for name in predicate.metrics}) < 0
            for name in predicate.metrics:
                self.broken[name] = self.broken.get(name, np.zeros(len(fails), dtype=bool)) | fails

    def panel(self, name: str, ceiling: str = "") -> Panel:
        """Return the panel of a metric or control, `ceiling` (metric, control or fixed value) in grey."""
        windows, above = self.windows, None
        if ceiling in windows.metrics or ceiling in windows.controls:
            above = windows.column(ceiling)
        elif ceiling in self.fixed:
            above = np.full(len(windows), self.fixed[ceiling])
        return Panel(
            title=_TITLES.get(name.rpartition("_")[0], name),
            unit=self.units[name],
            value=windows.column(name),
            value_label=name,
            ceiling=above,
            ceiling_label=ceiling,
            limit=self.limits.get(name),
            broken=self.broken.get(name),
            before=None if self.factual is None else self.factual.column(name),
        )


def plots_of(simulation: Simulation) -> Plots:
    """Return every plot of the page."""
    shown = _Shown(simulation)
    time = _timeline(simulation)
    made: list[tuple[str, str, str, bool]] = []  # name, title, figure, open
    gnbs = simulation.scenario.topology.gnbs
    many = len(gnbs) > _MOST_GNBS
    if many:
        title = f"All {len(gnbs)} gNBs: median, and from the least to the greatest"
        made.append(("all", title, timeline_figure(title, list(_spread(shown)), time), True))
    for k, gnb in enumerate(gnbs[: _SHOWN_OF_MANY if many else _MOST_GNBS]):
        panels = list(_main_panels(shown, gnb))
        made.append((f"gnb-{gnb.cell}", f"gNB {gnb.cell}", timeline_figure(f"gNB {gnb.cell}", panels, time), k == 0))
        rest = list(_other_panels(shown, gnb, {panel.value_label for panel in panels}))
        if rest:
            title = f"gNB {gnb.cell}: everything else that moved"
            made.append((f"gnb-{gnb.cell}-more", title, timeline_figure(title, rest, time), False))
    hosts = list(_host_panels(shown))
    if hosts:
        made.append(("hosts", "Hosts", timeline_figure("Hosts", hosts, time), True))
    return Plots(
        sections=[(title, svg, is_open) for _, title, svg, is_open in made],
        figures=[(name, svg) for name, _, svg, _ in made],
        marked=bool(time.marks),
        compared=simulation.factual is not None,
    )


def _timeline(simulation: Simulation) -> Timeline:
    windows = simulation.windows
    n = len(windows)
    starts, length = windows.start_s, simulation.scenario.window.length_s
    marks = []
    for run, at_s, event in simulation.events:
        rows = np.flatnonzero(windows.run == run)
        if event.kind == "decision" or not len(rows):
            continue  # decisions come in every window: they are in the table
        at = rows[0] + (at_s - starts[rows[0]]) / length
        values = ", ".join(f"{name} {value}" for name, value in event.values.items())
        marks.append(
            Mark(at=float(np.clip(at, rows[0], rows[-1] + 1)), text=f"{event.kind} {event.subject} {values}".strip())
        )
    words = simulation.do.words()
    return Timeline(
        trial=np.full(n, -1, dtype=np.int64),
        failed=frozenset(),
        window_s=length,
        caption=f"{simulation.regime}{f', do({words})' if words else ''}",
        marks=marks,
        splits=[int(row) + 1 for row in np.flatnonzero(np.diff(windows.run))],
    )


def _main_panels(shown: _Shown, gnb: Gnb) -> Iterator[Panel]:
    """Yield throughput against what was offered, delay and jitter, CPU use against the limits."""
    cell = gnb.cell
    ceilings = {f"thp_dl_{cell}": f"load_dl_{cell}", f"thp_ul_{cell}": f"load_ul_{cell}"}
    ceilings |= {f"cpuu_du_{cell}": f"cpu_du_{cell}", f"cpuu_cu_{gnb.cu}": f"cpu_cu_{gnb.cu}"}
    for name in (*(f"{stem}_{cell}" for stem in _FIRST), f"cpuu_du_{cell}", f"cpuu_cu_{gnb.cu}"):
        if name in shown.windows.metrics:
            yield shown.panel(name, ceilings.get(name, ""))


def _other_panels(shown: _Shown, gnb: Gnb, drawn: set[str]) -> Iterator[Panel]:
    """Yield every other metric of the gNB and its CU that has more than one value, controls that move among them."""
    windows = shown.windows
    owners = (f"_{gnb.cell}", f"_cu_{gnb.cu}")
    for name in (*windows.controls, *windows.metrics):
        stem = name.rpartition("_")[0]
        mine = name.endswith(owners[1]) if stem.endswith("_cu") else name.endswith(owners[0])
        if not mine or name in drawn or name.startswith(_NEVER) or name.startswith("cpu_"):
            continue
        values = windows.column(name)
        there = values[np.isfinite(values)]
        if len(there) and np.ptp(there) > 0:
            yield shown.panel(name)


def _host_panels(shown: _Shown) -> Iterator[Panel]:
    """Yield power of the first hosts, thresholds of pairs and what was handed over between them."""
    topology, windows = shown.topology, shown.windows
    for host in topology.hosts[:_MOST_GNBS]:
        for name in windows.metrics:
            if name == f"pow_{host.name}" or (name.endswith(f"_{host.name}") and np.any(windows.metrics[name] > 0)):
                yield shown.panel(name)
    for pair in topology.pairs[:_MOST_GNBS]:
        for name in (*windows.controls, *windows.metrics):
            if name.endswith(f"_{pair.name}"):
                yield shown.panel(name)


_TITLES = {
    "thp_dl": "Downlink throughput", "thp_ul": "Uplink throughput", "dly_dl": "Downlink delay",
    "dly_ul": "Uplink delay", "jit_ul": "Uplink jitter", "cpuu_du": "CPU of the DU", "cpuu_cu": "CPU of the CU",
    "pow": "Host power", "bsr": "Uplink backlog", "bs_dl": "Downlink backlog", "prb_dl": "PRBs, downlink",
    "prb_ul": "PRBs, uplink", "late_du": "Slots lost", "stall_du": "DU throttled", "stall_cu": "CU throttled",
    "nue": "UEs", "snr": "Uplink SNR", "mcs_ul": "Uplink MCS", "mcs_dl": "Downlink MCS", "memu_du": "DU memory",
    "memu_cu": "CU memory", "thr": "Threshold", "ho": "Handovers", "bler_ul": "Uplink BLER", "bler_dl": "Downlink BLER",
}  # fmt: skip


def _spread(shown: _Shown) -> Iterator[Panel]:
    """Yield median, least and greatest over all gNBs of the main metrics."""
    windows, gnbs = shown.windows, shown.topology.gnbs
    for stem in _OVERVIEW:
        names = [f"{stem}_{gnb.cell}" for gnb in gnbs]
        if names[0] not in windows.metrics:
            continue
        values = np.array([windows.metrics[name] for name in names])
        good = np.isfinite(values).any(axis=0)
        median, least, greatest = (np.full(len(windows), np.nan) for _ in range(3))
        if good.any():
            median[good] = np.nanmedian(values[:, good], axis=0)
            least[good], greatest[good] = np.nanmin(values[:, good], axis=0), np.nanmax(values[:, good], axis=0)
        yield Panel(
            title=_TITLES.get(stem, stem), unit=shown.units[names[0]], value=median, value_label=f"{stem}, median",
            spread=(least, greatest),
        )  # fmt: skip
