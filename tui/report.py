"""`report.html`: one self-contained file that says what a rehearsal found, how, and how far to trust it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from importlib.resources import files

from tui.console import one_line
from tui.figures.svg import standalone
from tui.manifest import place_of
from tui.report_certificates import certificates_section
from tui.report_data import ReportData
from tui.report_evidence import (
    calibration_section,
    graph_section,
    reproduce_section,
    sensitivity_section,
    trust_section,
)
from tui.report_findings import headline, key_figures, region_section, trials_section
from tui.report_html import Section
from tui.report_windows import timeline_section

__all__ = ["render_figures", "render_report"]

_SECTIONS: tuple[Callable[[ReportData], Section | None], ...] = (
    region_section,
    certificates_section,
    timeline_section,
    trials_section,
    trust_section,
    calibration_section,
    sensitivity_section,
    graph_section,
    reproduce_section,
)


def render_report(data: ReportData) -> str:
    """Return the page: no script, no external resource, light or dark as the reader's screen is."""
    style = files("tui").joinpath("assets/report.css").read_text(encoding="utf-8")
    sections = [section for build in _SECTIONS if (section := build(data)) is not None]
    scenario = str(data.manifest["scenario"])
    links = "".join(f'<a href="#{s.key}">{escape(s.title)}</a>' for s in sections)
    body = "".join(
        f'<section id="{s.key}"><h2>{escape(s.title)}</h2><p class="explain">{s.explain}</p>{s.body}</section>'
        for s in sections
    )
    verdict = headline(data)
    warnings = "".join(f'<div class="note-box"><p>{escape(one_line(w))}</p></div>' for w in data.warnings)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Rehearsal of {escape(scenario)}: {escape(verdict)}</title><style>{style}</style></head><body>"
        f'<header><p class="kicker">Rehearsal of <b>{escape(scenario)}</b>{_place(data)} · {escape(data.name)} · '
        "seed "
        f"{escape(str(data.manifest['seed']))}</p><h1>{escape(verdict)}</h1>{key_figures(data)}<nav>{links}</nav></hea"
        "de"
        "r>"
        f"{warnings}<main>{body}</main>"
        f"<footer>rantwin {escape(str(data.manifest.get('versions', {}).get('rantwin', '')))} · "
        f"{_status(data)}</footer>"
        "</body></html>\n"
    )


def render_figures(data: ReportData) -> Iterator[tuple[str, str]]:
    """Yield (file name, SVG file) for every figure of the report, each able to stand alone."""
    for build in _SECTIONS:
        section = build(data)
        if section is not None:
            for k, figure in enumerate(section.figures, start=1):
                name = section.key if len(section.figures) == 1 else f"{section.key}-{k}"
                yield f"{name}.svg", standalone(figure)


def _place(data: ReportData) -> str:
    on = data.manifest.get("on")
    return f" on <b>{escape(place_of(on))}</b>" if on else ""


def _status(data: ReportData) -> str:
    if data.summary is None:
        return "this run is not finished: what is shown is what there was when the report was made"
    return "finished"
