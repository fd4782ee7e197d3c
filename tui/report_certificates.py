"""The part of a report that says where to go on a testbed, in which steps, and on what evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from tui.figures.svg import number
from tui.report_data import ReportData
from tui.report_html import Cell, Section, note, percent, table

__all__ = ["certificates_section"]


def certificates_section(data: ReportData) -> Section | None:
    """Return the recommendation and the certificates of the path to it; None where the run has none."""
    found = data.recommendation
    if not found:
        return None
    recommended: Mapping[str, Any] = found["recommended"]
    unit = str(found.get("unit", ""))
    steps: Sequence[Mapping[str, Any]] = found["steps"]
    body = _summary(found, recommended, unit)
    if found.get("why"):
        body += note(escape(str(found["why"])))
    if steps:
        body += _steps(steps, unit) + _evidence(steps)
    options: Mapping[str, Any] = found["options"]
    explain = (
        "The cheapest configuration of the region that keeps a margin, and the steps to it, each small enough for a "
        f"testbed: no control moves by more than {number(float(options['largest_step']))} {escape(unit)} and at most "
        f"{int(options['most_gnbs'])} gNBs change at once. Each step was tried on fresh horizons with random streams "
        "that learning did not use; only these count, and the confidence is shared over the steps. A certificate is "
        "evidence from the twin: the testbed's agent still checks drift, watches φ and rolls back by itself."
    )
    return Section(key="certificates", title="Recommendation and certificates", explain=explain, body=body)


def _summary(found: Mapping[str, Any], recommended: Mapping[str, Any], unit: str) -> str:
    saved = float(recommended["reference_cost"]) - float(recommended["cost"])
    bound = recommended.get("bound")
    rows: list[Sequence[object]] = [
        ["steps certified", f"{recommended['steps_certified']} of {recommended['steps']}"],
        ["sum of the limits", f"{number(recommended['reference_cost'], 2)} → {number(recommended['cost'], 2)} {unit}"],
        ["saved", f"{number(saved, 2)} {unit}" + _share(saved, float(recommended["reference_cost"]))],
        ["least bound on P(φ | do(x)) on the way", "–" if bound is None else number(float(bound), 4)],
        ["kept in reserve: a core may be worth less on the testbed by", percent(float(found.get("reserve") or 0.0), 1)],
        ["for the testbed", _testbed(found["options"])],
        ["signed with key", str(found.get("key_id") or "–")],
        ["valid until", _date(found.get("expires_at_s"))],
    ]
    return table(["", ""], rows)


def _share(saved: float, reference: float) -> str:
    return f" ({percent(saved / reference, 0)})" if reference > 0 else ""


def _testbed(options: Mapping[str, Any]) -> str:
    stack = str(options.get("stack") or "")
    return str(options["testbed"]) + (f", {stack}" if stack else "")


def _steps(steps: Sequence[Mapping[str, Any]], unit: str) -> str:
    names = list(dict.fromkeys(name for step in steps for name in step["changes"]))
    rows = []
    for step in steps:
        cells = [
            Cell(f"{number(pair[0], 3)} → {number(pair[1], 3)}", "moved") if pair else Cell("", "")
            for pair in (step["changes"].get(name) for name in names)
        ]
        rows.append([Cell(str(int(step["number"])), "n"), *cells])
    return f"<h3>Steps, base → target [{escape(unit)}]</h3>" + table(["", *names], rows)


def _evidence(steps: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            Cell(str(int(step["number"])), "n"),
            Cell('<span class="pass">✓ certified</span>' if step["certified"] else '<span class="fail">✕ not</span>'),
            Cell(number(float(step["region_bound"]), 3), "n"),
            Cell(f"{int(step['horizons']) - int(step['failures'])} of {int(step['horizons'])}", "n"),
            Cell(number(float(step["bound"]), 4), "n"),
            Cell(f"<code>{escape(str(step.get('certificate') or '–'))}</code>", "text"),
        ]
        for step in steps
    ]
    head = ["", "", "bound of the region", "φ held in fresh horizons", "certified bound", "file"]
    return "<h3>Evidence</h3>" + table(head, rows)


def _date(value: object) -> str:
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M} UTC" if isinstance(value, int | float) else "–"
