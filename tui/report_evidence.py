"""The part of a report that says why to believe it: what limits, what is calibrated, the graph, how to repeat it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from tui.figures.calibration import calibration_panels
from tui.figures.graph import GraphView, graph_figure
from tui.figures.sensitivity import sensitivity_figure
from tui.figures.svg import number
from tui.report_data import Group, ReportData
from tui.report_html import Cell, Section, note, percent, table

__all__ = ["calibration_section", "graph_section", "reproduce_section", "sensitivity_section", "trust_section"]


def trust_section(data: ReportData) -> Section:
    """Return what limits the region, how it compares with the truth, and what is assumed."""
    parts = [
        f'<pre class="formula">{escape(str(data.manifest["specification"]))}</pre>',
        _conjuncts(data),
        _truth(data),
    ]
    notes = [str(n) for n in data.manifest.get("notes", ())]
    if notes:
        parts.append("<h3>Measured and assumed</h3>" + note(*(escape(n) for n in notes)))
    explain = (
        f"The specification φ must hold with probability at least {number(data.alpha)}. Which part limits, what "
        "the truth "
        "is where it was computed, and what the twin takes from measurements and what it assumes."
    )
    return Section(key="trust", title="What limits it, and how far to trust it", explain=explain, body="".join(parts))


def calibration_section(data: ReportData) -> Section | None:
    """Return measured points over the twin's curves, the errors on settings left out, the parameters."""
    calibration = data.calibration
    if not calibration:
        return None
    figures = calibration_panels(calibration)
    body = f'<div class="fits">{"".join(f"<figure>{svg}</figure>" for svg in figures)}</div>' if figures else ""
    if figures:
        held_out = any(point.get("held_out") for panel in calibration["panels"] for point in panel["measured"])
        points = "Filled points: used for the fit. Open points: left out of it." if held_out else "Points: measured."
        body += f"<p>{points} Lines: the twin. {escape(str(calibration.get('caption', '')))}</p>"
    errors: Sequence[Mapping[str, Any]] = calibration.get("errors", ())
    if errors:
        head = ["metric", "setting", "left out", "NRMSE", "trivial predictor", "one repetition of the next"]
        rows = [
            [
                e.get("metric"),
                e.get("setting"),
                e.get("kind", ""),
                *(_share(e.get(k)) for k in ("nrmse", "trivial", "repetition")),
            ]
            for e in errors
        ]
        body += "<h3>Error on settings left out</h3>" + table(head, rows)
    parameters: Sequence[Mapping[str, Any]] = calibration.get("parameters", ())
    if parameters:
        rows = [[p.get("name"), _value(p.get("value")), p.get("unit", ""), p.get("source", "")] for p in parameters]
        body += f"<details><summary>{len(parameters)} parameters</summary>"
        body += table(["parameter", "value", "unit", "from"], rows) + "</details>"
    source = escape(str(calibration.get("source", "measurements")))
    identity = escape(str(calibration.get("id", "")))
    return Section(
        key="calibration",
        title="Calibration",
        explain=f"The compute model of the twin's DU against {source} (calibration <code>{identity}</code>).",
        body=body,
        figures=figures,
    )


def sensitivity_section(data: ReportData) -> Section | None:
    """Return how far the border moves when what is assumed is varied."""
    if not data.sensitivity.get("bars"):
        return None
    svg = sensitivity_figure(data.sensitivity)
    return Section(
        key="sensitivity",
        title="Sensitivity to what is assumed",
        explain="How far the safe border moves when one assumption is varied and everything else stays: what one gNB "
        "needs in a run without random effect.",
        body=f'<div class="wide">{svg}</div>',
        figures=[svg],
    )


def graph_section(data: ReportData) -> Section | None:
    """Return the causal graph of the first gNB and the estimands."""
    graph: Mapping[str, Any] = data.manifest.get("graph", {})
    if not graph or not data.groups:
        return None
    group = data.groups[0]
    estimands: Sequence[Mapping[str, Any]] = data.details.get("estimands", ())
    figure = graph_figure(_graph_view(graph, group, estimands))
    body = f'<div class="wide">{figure}</div>'
    if estimands:
        rows = [
            [
                Cell(f"<code>{escape(str(e['outcome']))}</code>"),
                Cell(f"<code>{escape(', '.join(e['treatments']))}</code>"),
                Cell(
                    f"<code>{escape(', '.join(_lagged(n, int(lag)) for n, lag in e['adjustment']) or 'nothing')}</code>"
                ),
                Cell(f"<code>{escape(str(e.get('formula', '')))}</code>", "text"),
            ]
            for e in estimands
        ]
        body += f"<details><summary>{len(rows)} estimands: what is adjusted for, metric by metric</summary>"
        body += table(["effect on", "of", "adjusted for", "estimand"], rows) + "</details>"
    refusals: Sequence[str] = data.details.get("not_identifiable", ())
    if refusals:
        body += note("<b>Not identifiable from passive data:</b>", *(escape(r) for r in refusals))
    explain = (
        f"What causes what within a window, for {escape(group.title)} (the others are alike). In the passive "
        "data the autoscaler "
        "sets the limits after the load of the window before: this path from load to limit confounds what one "
        "merely sees. The "
        "marked set closes it."
    )
    return Section(key="graph", title="Causal graph and adjustment", explain=explain, body=body, figures=[figure])


def reproduce_section(data: ReportData) -> Section:
    """Return settings, seed, versions and the command that makes this run again."""
    manifest = data.manifest
    rows: list[Sequence[object]] = [
        ["scenario", Cell(f"<code>{escape(str(manifest['scenario']))}</code>")],
        ["scenario digest", Cell(f"<code>{escape(str(manifest['scenario_digest']))}</code>")],
        ["seed", str(manifest["seed"])],
    ]
    rows += [[key.replace("_", " "), _text(value)] for key, value in dict(manifest["settings"]).items()]
    rows.append(["calibration", str((data.summary or manifest).get("calibration_id"))])
    versions = [[name, str(version)] for name, version in dict(manifest.get("versions", {})).items()]
    versions += [[f"machine: {name}", str(value)] for name, value in dict(manifest.get("machine", {})).items()]
    body = f"<pre>{escape(data.command)}</pre>"
    body += f'<div class="columns">{table(["setting", ""], rows)}{table(["version", ""], versions)}</div>'
    explain = "The same command with the same versions on the same machine gives the same windows, bit for bit."
    return Section(key="reproduce", title="Settings and how to repeat it", explain=explain, body=body)


def _conjuncts(data: ReportData) -> str:
    conjuncts: Sequence[Mapping[str, Any]] = data.details.get("conjuncts", ())
    if not conjuncts:
        return ""
    rows = [
        [
            Cell(f"<code>{escape(str(c['text']))}</code>"),
            Cell(percent(c.get("border_share")), "n"),
            int(c.get("limited_trials", 0)),
            Cell(_value(c.get("smallest_margin")), "n"),
            _cut(c),
        ]
        for c in conjuncts
    ]
    head = ["conjunct of φ", "limits, of the border", "limited trials", "smallest margin in a trial", ""]
    text = "<p>What limits the border counts for every conjunct that depends on it: the shares may exceed 100 %.</p>"
    return "<h3>Which conjunct limits</h3>" + table(head, rows) + text


def _cut(conjunct: Mapping[str, Any]) -> str:
    cuts = conjunct.get("cuts_region")
    return "" if cuts is None else "cuts the region" if cuts else "does not cut the region"


def _truth(data: ReportData) -> str:
    truth = data.verification
    if not truth:
        return "<h3>Against the truth</h3><p>Not computed in this run: <code>--verify</code> does it.</p>"
    rows = [
        [
            "coverage: share of the true region that was found",
            percent(truth.get("coverage")),
            _interval(truth.get("coverage_ci")),
        ],
        [
            "false-safe share: of what was found, not safe",
            percent(truth.get("false_safe")),
            _interval(truth.get("false_safe_ci")),
        ],
    ]
    if truth.get("near_border") is not None:
        rows.append(["points within 0.02 of α, counted apart", percent(truth.get("near_border")), ""])
    if truth.get("true_volume") is not None:
        rows.append(["true region, share of the control box", percent(truth["true_volume"]), ""])
    if truth.get("power_binds") is not None:
        rows.append(["power cuts the true region", "yes" if truth["power_binds"] else "no", ""])
    points = truth.get("points")
    text = (
        f"<p>From {number(float(points), 0)} points on the twin, random streams that learning did not use.</p>"
        if points
        else ""
    )
    return "<h3>Against the truth</h3>" + table(["", "", "95 % interval"], rows) + text


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if not bounds else f"{percent(bounds[0])} to {percent(bounds[1])}"


def _share(value: object) -> Cell:
    return Cell(percent(float(value)) if isinstance(value, int | float) else "–", "n")


def _value(value: object) -> str:
    return number(float(value)) if isinstance(value, int | float) else escape(str(value if value is not None else "–"))


def _text(value: object) -> str:
    return number(float(value)) if isinstance(value, float) else str(value)


def _lagged(name: str, lag: int) -> str:
    return f"{name}(t−{lag})" if lag else f"{name}(t)"


def _graph_view(graph: Mapping[str, Any], group: Group, estimands: Sequence[Mapping[str, Any]]) -> GraphView:
    """Return the part of the graph that belongs to the group: its own nodes, and the arrows between them."""
    mine = {n: str(k) for n, k in graph["nodes"].items() if _suffix(n) in group.suffixes or n in {group.x, group.y}}
    edges = list(_between(graph["edges"], mine))
    linked = {n for edge in edges for n in edge} | {group.x, group.y}
    kinds = {n: k for n, k in mine.items() if n in linked}
    about_us = [e for e in estimands if {group.x, group.y} & set(e["treatments"])]
    adjustment = {(str(n), int(lag)) for e in about_us for n, lag in e["adjustment"] if n in kinds}
    return GraphView(
        title=group.title,
        kinds=kinds,
        edges=edges,
        regime=list(_between(graph.get("regime", ()), kinds)),
        adjustment=adjustment,
        persistent={a for a, b in graph.get("lagged", ()) if a == b and a in kinds},
    )


def _between(edges: Sequence[Sequence[str]], nodes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((str(a), str(b)) for a, b in edges if a in nodes and b in nodes)


def _suffix(name: str) -> str:
    return name.rsplit("_", 1)[-1]
