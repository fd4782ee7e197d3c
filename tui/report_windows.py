"""The part of a report that shows what was measured, window by window."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray

from col.plant import Windows
from col.specification import Specification
from tui.figures.timeline import Panel, Timeline, timeline_figure
from tui.report_data import Group, ReportData
from tui.report_html import Section

__all__ = ["timeline_section"]


def timeline_section(data: ReportData) -> Section | None:
    """Return the metrics by window: one figure for each gNB, one for power."""
    if data.windows is None:
        return None
    time = Timeline(trial=data.trial, failed=data.failed, window_s=float(data.manifest["window_s"]))
    figures = []
    broken = _broken(data)
    for group in data.groups:
        panels = _panels(group, data.windows, broken)
        if panels:
            figures.append((group.title, timeline_figure(group.title, panels, time)))
    rest = _other_panels(data, broken)
    if rest:
        figures.append(("Power and other targets", timeline_figure("Targets of the hosts", rest, time)))
    if not figures:
        return None
    body = "".join(
        f"<details{' open' if k in {0, len(figures) - 1} else ''}><summary>{escape(title)}</summary>"
        f'<div class="wide">{svg}</div></details>'
        for k, (title, svg) in enumerate(figures)
    )
    explain = (
        "What was measured in each window: first the passive phase, in which the autoscaler alone moved the "
        "limits, then the trials in order. Red ticks: windows in which a part of φ on that metric is broken. Red "
        "bands: trials in which φ failed."
    )
    return Section(
        key="windows", title="Metrics by window", explain=explain, body=body, figures=[svg for _, svg in figures]
    )


def _broken(data: ReportData) -> dict[str, NDArray[np.bool_]]:
    """Return, for every metric of φ, the windows (n,) in which a comparison of φ on it does not hold."""
    out: dict[str, NDArray[np.bool_]] = {}
    if data.windows is None:
        return out
    for predicate in Specification.parse(str(data.manifest["specification"])).predicates:
        if predicate.metrics <= data.windows.metrics.keys():
            fails = predicate.margin({name: data.windows.metrics[name] for name in predicate.metrics}) < 0
            for name in predicate.metrics:
                out[name] = out.get(name, np.zeros(len(fails), dtype=bool)) | fails
    return out


def _panels(group: Group, windows: Windows, broken: Mapping[str, NDArray[np.bool_]]) -> list[Panel]:
    """Return the panels of a gNB: throughput against what was offered, CPU use against the limit."""
    panels = []
    for suffix in group.suffixes:
        for way, name in (("dl", "Downlink"), ("ul", "Uplink")):
            value, ceiling = f"thp_{way}_{suffix}", f"load_{way}_{suffix}"
            if value in windows.metrics and ceiling in windows.metrics:
                panels.append(
                    Panel(
                        title=f"{name} throughput",
                        unit="Mbit/s",
                        value=windows.metrics[value],
                        value_label=value,
                        ceiling=windows.metrics[ceiling],
                        ceiling_label=ceiling,
                        broken=broken.get(value),
                    )
                )
    for control in (group.x, group.y):
        used = control.replace("cpu_", "cpuu_", 1)
        if control in windows.controls and used in windows.metrics:
            panels.append(
                Panel(
                    title=f"CPU of the {control.split('_')[1].upper()}",
                    unit="core",
                    value=windows.metrics[used],
                    value_label=used,
                    ceiling=windows.controls[control],
                    ceiling_label=control,
                )
            )
    return panels


def _other_panels(data: ReportData, broken: Mapping[str, NDArray[np.bool_]]) -> list[Panel]:
    """Return a panel for every metric of φ that no gNB's figure shows."""
    if data.windows is None:
        return []
    panels = [panel for group in data.groups for panel in _panels(group, data.windows, broken)]
    shown = {panel.value_label for panel in panels} | {panel.ceiling_label for panel in panels}
    units: Mapping[str, str] = data.manifest.get("units", {})
    limits: Mapping[str, float] = data.manifest.get("limits", {})
    return [
        Panel(
            title=f"Power of {name.removeprefix('pow_')}" if name.startswith("pow_") else name,
            unit=units.get(name, ""),
            value=data.windows.metrics[name],
            value_label=name,
            limit=limits.get(name),
            broken=broken.get(name),
        )
        for name in data.manifest.get("specification_metrics", ())
        if name not in shown and name in data.windows.metrics and np.any(np.isfinite(data.windows.metrics[name]))
    ]
