"""The part of a report that says what was found: the verdict, the region, the windows, the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from col.plant import Windows
from tui.figures.region import TrialMark, region_figure, region_legend
from tui.figures.svg import number
from tui.figures.timeline import Panel, Timeline, timeline_figure
from tui.report_data import Group, ReportData
from tui.report_html import Cell, Section, percent, table

__all__ = ["headline", "key_figures", "region_section", "timeline_section", "trials_section"]


def headline(data: ReportData) -> str:
    """Return the verdict in one line."""
    summary = data.summary
    if summary is None:
        return f"Not finished: {_count(len(data.trials), 'trial')}, {_count(len(data.failed), 'violation')} so far"
    if summary.get("verdict") == "infeasible":
        limiting = summary.get("limiting") or "the specification"
        return f"The specification does not hold at the reference configuration: {limiting} fails"
    text = f"{percent(summary['region_volume'])} of the control box is known safe"
    cheapest = summary.get("cheapest")
    if cheapest:
        total, reference = float(cheapest["total"]), float(cheapest["reference_total"])
        saved = f", {percent(1 - total / reference, 0)} less than the reference" if total < reference else ""
        text += f"; the cheapest safe configuration found needs {number(total, 2)} {cheapest['unit']}{_s(total)}{saved}"
    trials, violations = int(summary["interventions"]), int(summary["violations"])
    return f"{text}; {_count(trials, 'trial')}, {_count(violations, 'violation')}"


def key_figures(data: ReportData) -> str:
    """Return the row of figures under the headline."""
    summary: Mapping[str, Any] = data.summary or {}
    verified = summary.get("coverage") is not None
    violations = len(data.failed)
    unsafe = summary.get("unsafe_interventions")
    entries = [
        (percent(summary.get("region_volume")), "of the control box known safe", False),
        (str(len(data.trials)), "trials", False),
        (str(violations), "violations of φ in a trial", violations > 0),
        (
            "–" if unsafe is None else str(unsafe),
            "unsafe trials" + ("" if verified else " (not verified)"),
            bool(unsafe),
        ),
        (
            percent(summary.get("coverage")),
            "coverage of the true region" + ("" if verified else " (not verified)"),
            False,
        ),
        (percent(summary.get("false_safe")), "false-safe share" + ("" if verified else " (not verified)"), False),
        (_hours(summary.get("simulated_s")), "simulated", False),
        (_seconds(summary.get("wall_s")), "on this machine", False),
    ]
    cells = "".join(
        f"<div{' class=warn' if warn else ''}><b>{escape(value)}</b><span>{escape(text)}</span></div>"
        for value, text, warn in entries
    )
    return f'<div class="facts">{cells}</div>'


def region_section(data: ReportData) -> Section | None:
    """Return the slices of the region, one for each gNB."""
    if not data.slices:
        return None
    confidence = str(data.manifest.get("confidence", "pointwise"))
    delta = float(data.manifest["delta"])
    has_truth = any(view.truth is not None for view in data.slices)
    sure = f"{percent(1 - delta, 1)} confidence, {confidence}"
    legend = region_legend(data.alpha, has_truth=has_truth, confidence=sure)
    figures = []
    parts = [f'<div class="wide">{legend}</div><div class="slices">']
    for view in data.slices:
        svg = region_figure(view, _marks(data.trials, view.x_name, view.y_name, data.reference), data.alpha)
        figures.append(svg)
        parts.append(
            f"<figure><figcaption>{escape(view.title)}<small>{escape(view.held)}</small></figcaption>{svg}</figure>"
        )
    parts.append("</div>")
    explain = (
        f"Blue is known safe: with {sure}, the specification holds there with probability at least "
        f"{number(data.alpha)}. "
        "Two controls vary in each slice, all others stay at their reference; a trial is drawn where its own "
        "two values lie, "
        "whatever its other values were."
    )
    return Section(
        key="region",
        title="The safe region",
        explain=explain,
        body="".join(parts) + _cheapest(data),
        figures=[legend, *figures],
    )


def timeline_section(data: ReportData) -> Section | None:
    """Return the metrics by window: one figure for each gNB, one for power."""
    if data.windows is None:
        return None
    time = Timeline(trial=data.trial, failed=data.failed, window_s=float(data.manifest["window_s"]))
    figures = []
    for group in data.groups:
        panels = _panels(group, data.windows)
        if panels:
            figures.append((group.title, timeline_figure(group.title, panels, time)))
    rest = _other_panels(data)
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
        "limits, then the "
        "trials in order. Trials in which φ failed are marked."
    )
    return Section(
        key="windows", title="Metrics by window", explain=explain, body=body, figures=[svg for _, svg in figures]
    )


def trials_section(data: ReportData) -> Section:
    """Return the table of interventions."""
    names = [str(c["name"]) for c in data.controls]
    units = {str(c["unit"]) for c in data.controls}
    unit = f" [{next(iter(units))}]" if len(units) == 1 else ""
    head = ["", *names, "φ", "margin", "P low", "region", "limited by"]
    rows, css = [], []
    for record in data.trials:
        values = {**data.reference, **record["controls"]}
        moved = [Cell(number(values[n], 3), "n" if values[n] == data.reference[n] else "n moved") for n in names]
        rows.append(
            [
                int(record["index"]) + 1,
                *moved,
                _verdict(record),
                _maybe(record.get("robustness"), 3),
                _maybe(record.get("lower_bound"), 3),
                percent(record.get("region_share"), 2),
                Cell(f"<code>{escape(str(record.get('limiting') or ''))}</code>", "text"),
            ]
        )
        css.append("failed" if record.get("verdict") == "fail" else "")
    explain = (
        f"Every intervention in order: the values set{escape(unit)} (bold where they differ from the "
        "reference), whether φ held, "
        "by how much (the smallest relative margin over conjuncts and windows), and the conjunct that came "
        "closest to failing."
    )
    return Section(
        key="trials",
        title="Interventions",
        explain=explain,
        body=f'<div class="trials">{table(head, rows, css_of_row=css)}</div>',
    )


def _cheapest(data: ReportData) -> str:
    cheapest = (data.summary or {}).get("cheapest")
    if not cheapest:
        return ""
    names = [str(c["name"]) for c in data.controls]
    values: Mapping[str, float] = cheapest["controls"]
    rows = [
        [
            Cell("<b>cheapest safe found</b>"),
            *(Cell(number(values[n], 3), "n moved") for n in names),
            number(cheapest["total"], 2),
        ],
        [
            "reference",
            *(Cell(number(data.reference[n], 3), "n") for n in names),
            number(cheapest["reference_total"], 2),
        ],
    ]
    text = (
        f"Lower bound of P there: {number(float(cheapest['lower_bound']), 3)}. It is the luckiest point of the "
        "region and "
        "therefore no recommendation yet: a certificate takes fresh horizons on streams that learning has not used."
    )
    head = ["", *names, f"sum [{cheapest['unit']}]"]
    return f"<h3>Cheapest safe configuration found</h3>{table(head, rows)}<p>{text}</p>"


def _marks(trials: Sequence[Mapping[str, Any]], x: str, y: str, reference: Mapping[str, float]) -> list[TrialMark]:
    marks = []
    for record in trials:
        values = {**reference, **record["controls"]}
        marks.append(
            TrialMark(
                number=int(record["index"]) + 1,
                x=float(values[x]),
                y=float(values[y]),
                violation=record.get("verdict") == "fail",
                refused=record.get("outcome") == "refused",
            )
        )
    return marks


def _panels(group: Group, windows: Windows) -> list[Panel]:
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


def _other_panels(data: ReportData) -> list[Panel]:
    """Return a panel for every metric of φ that no gNB's figure shows."""
    if data.windows is None:
        return []
    shown = {p.value_label for g in data.groups for p in _panels(g, data.windows)} | {
        p.ceiling_label for g in data.groups for p in _panels(g, data.windows)
    }
    units: Mapping[str, str] = data.manifest.get("units", {})
    limits: Mapping[str, float] = data.manifest.get("limits", {})
    return [
        Panel(
            title="Power" if name.startswith("pow_") else name,
            unit=units.get(name, ""),
            value=data.windows.metrics[name],
            value_label=name,
            limit=limits.get(name),
        )
        for name in data.manifest.get("specification_metrics", ())
        if name not in shown and name in data.windows.metrics and np.any(np.isfinite(data.windows.metrics[name]))
    ]


def _verdict(record: Mapping[str, Any]) -> Cell:
    if record.get("outcome") == "refused":
        return Cell("refused", "other")
    words = {"pass": ("✓ held", "pass"), "fail": ("✕ failed", "fail")}
    text, css = words.get(str(record.get("verdict")), ("? inconclusive", "other"))
    return Cell(f'<span class="{css}">{text}</span>')


def _maybe(value: float | None, digits: int) -> Cell:
    return Cell("–" if value is None or not math.isfinite(value) else number(value, digits), "n")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}" if n else f"no {noun}s"


def _s(value: float) -> str:
    return "" if value == 1 else "s"


def _hours(seconds: float | None) -> str:
    return "–" if seconds is None else f"{number(seconds / 3600, 1)} h"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{number(seconds, 1)} s" if seconds < 120 else f"{number(seconds / 60, 1)} min"
