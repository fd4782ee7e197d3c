"""The part of a report that says what was found: the verdict, the region, the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from tui.figures.region import SliceView, TrialMark, region_figure, region_legend
from tui.figures.svg import number
from tui.report_data import Group, ReportData
from tui.report_html import Cell, Section, percent, table

__all__ = ["headline", "key_figures", "region_section", "trials_section"]


def headline(data: ReportData) -> str:
    """Return the verdict in one line."""
    summary = data.summary
    if summary is None:
        return f"Not finished: {_count(len(data.trials), 'trial')}, {_count(len(data.failed), 'violation')} so far"
    if summary.get("verdict") == "infeasible":
        limiting = summary.get("limiting") or "the specification"
        return f"The specification does not hold at the reference configuration: {limiting} fails"
    text = f"{percent(summary['region_volume'])} of the control box is known safe"
    cheapest, recommended = summary.get("cheapest"), summary.get("recommended")
    if recommended and recommended.get("steps_certified"):
        # What was certified, not the luckiest point of the region, is what anybody should take away.
        total, reference = float(recommended["cost"]), float(recommended["reference_cost"])
        saved = f" ({percent(1 - total / reference, 0)} less)" if total < reference else ""
        text += (
            f"; certified down to {number(total, 2)} of {number(reference, 2)} {cheapest['unit'] if cheapest else ''}"
        )
        text = f"{text.rstrip()}{_s(reference) if cheapest else ''}{saved}"
    elif cheapest:
        total, reference = float(cheapest["total"]), float(cheapest["reference_total"])
        saved = f", {percent(1 - total / reference, 0)} less than the reference" if total < reference else ""
        unit = f"core{_s(total)}" if cheapest["unit"] == "core" else cheapest["unit"]
        text += f"; the cheapest safe configuration found needs {number(total, 2)} {unit}{saved}"
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
    groups = {group.title: group for group in data.groups}
    marks = [_marks(data, view, groups.get(view.title)) for view in data.slices]
    elsewhere = any(mark.elsewhere for here in marks for mark in here)
    legend = region_legend(data.alpha, has_truth=has_truth, has_elsewhere=elsewhere, confidence=sure)
    figures = []
    parts = [f'<div class="wide">{legend}</div><div class="slices">']
    nearer = {view.title: view for view in data.slices if view.zoom}
    for view, here in zip(data.slices, marks, strict=True):
        outline = None if view.zoom else nearer.get(view.title)
        svg = region_figure(view, here, data.alpha, outline)
        figures.append(svg)
        about = "the outlined part" if view.zoom else view.held
        parts.append(
            f"<figure><figcaption>{escape(view.title)}<small>{escape(about)}</small></figcaption>{svg}</figure>"
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


def trials_section(data: ReportData) -> Section:
    """Return the table of interventions."""
    names = [str(c["name"]) for c in data.controls]
    units = {str(c["unit"]) for c in data.controls}
    unit = f" [{next(iter(units))}]" if len(units) == 1 else ""
    head = ["", *names, "φ", "margin", "P low", "region", "limited by"]
    grown = {int(step["index"]): float(step["volume"]) for step in data.details.get("history", ())}
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
                percent(grown.get(int(record["index"])), 2),
                Cell(f"<code>{escape(_short(record.get('limiting')))}</code>", "text"),
            ]
        )
        css.append("failed" if record.get("verdict") == "fail" else "")
    explain = (
        f"Every intervention in order: the values set{escape(unit)} (bold where they differ from the "
        "reference), whether φ held, "
        "by how much (the smallest relative margin over conjuncts and windows), and the conjunct that came "
        "closest to failing. P low is the bound on P(φ) that was known before the trial, region the share of the "
        "control box known safe after it."
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
        "therefore no recommendation: that keeps a margin, and is tried on streams that learning has not used."
    )
    head = ["", *names, f"sum [{cheapest['unit']}]"]
    return f"<h3>Cheapest safe configuration found</h3>{table(head, rows)}<p>{text}</p>"


def _marks(data: ReportData, view: SliceView, group: Group | None) -> list[TrialMark]:
    marks = []
    for record in data.trials:
        values = {**data.reference, **record["controls"]}
        violation = record.get("verdict") == "fail"
        failed = {name.rsplit("_", 1)[-1] for name in record.get("failed_metrics", ())}
        marks.append(
            TrialMark(
                number=int(record["index"]) + 1,
                x=float(values[view.x_name]),
                y=float(values[view.y_name]),
                violation=violation,
                elsewhere=violation and group is not None and bool(failed) and not failed & set(group.suffixes),
                refused=record.get("outcome") == "refused",
            )
        )
    return marks


def _verdict(record: Mapping[str, Any]) -> Cell:
    if record.get("outcome") == "refused":
        return Cell("refused", "other")
    words = {"pass": ("✓ held", "pass"), "fail": ("✕ failed", "fail")}
    text, css = words.get(str(record.get("verdict")), ("? inconclusive", "other"))
    return Cell(f'<span class="{css}">{text}</span>')


def _maybe(value: float | None, digits: int) -> Cell:
    return Cell("–" if value is None or not math.isfinite(value) else number(value, digits), "n")


def _short(text: object) -> str:
    """Return a comparison with the signs that people write."""
    plain = "" if text is None else str(text)
    return plain.replace(">=", "≥").replace("<=", "≤").replace(" * ", "·").replace("*", "·")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}" if n else f"no {noun}s"


def _s(value: float) -> str:
    return "" if value == 1 else "s"


def _hours(seconds: float | None) -> str:
    return "–" if seconds is None else f"{number(seconds / 3600, 1)} h"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{number(seconds, 1)} s" if seconds < 120 else f"{number(seconds / 60, 1)} min"
