"""The page of a simulation: plots of its windows, what happened, every metric in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tui.figures.svg import number
from tui.progress import duration
from tui.report_html import note, table
from tui.simulate import Simulation
from tui.simulate_panels import Plots, plots_of
from tui.simulate_recorded import errors_of
from tui.simulate_summary import effects_of, headline_of, statistics_of
from twin.scenario import Scenario

__all__ = ["simulation_page"]

FloatArray = NDArray[np.float64]
_MOST_EVENTS = 200
_MOST_ROWS = 400


def simulation_page(simulation: Simulation, summary: Mapping[str, Any]) -> tuple[str, Sequence[tuple[str, str]]]:
    """Return the page (no script, nothing from elsewhere) and every plot in it by name."""
    plots = plots_of(simulation)
    scenario = simulation.scenario
    sections = [
        ("errors", "Beside the recording", _errors(simulation)),
        ("effects", "What do() changes", _effects(simulation)),
        ("windows", "Windows", _windows(plots)),
        ("events", "What happened", _events(simulation)),
        ("metrics", "Every metric", _metrics(simulation)),
        ("again", "What this is", _again(simulation, summary)),
    ]
    shown = [(key, title, body) for key, title, body in sections if body]
    style = files("tui").joinpath("assets/report.css").read_text(encoding="utf-8")
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in shown)
    body = "".join(f'<section id="{key}"><h2>{escape(title)}</h2>{part}</section>' for key, title, part in shown)
    words = simulation.do.words()
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Simulation of {escape(scenario.name)}</title><style>{style}</style></head><body>"
        f'<header><p class="kicker">Simulation of <b>{escape(scenario.name)}</b> · seed {simulation.seed}'
        f"{f' · do({escape(words)})' if words else ''}</p><h1>{escape(headline_of(simulation))}</h1>"
        f"{_facts(simulation)}<nav>{links}</nav></header><main>{body}</main>"
        f"<footer>rantwin {escape(str(summary['versions'].get('rantwin', '')))}</footer></body></html>\n"
    )
    return page, plots.figures


def _facts(simulation: Simulation) -> str:
    gnbs = simulation.scenario.topology.gnbs
    window_s = simulation.scenario.window.length_s
    facts = [
        (str(len(simulation.windows)), f"windows of {number(window_s)} s, {duration(simulation.simulated_s)} in all"),
        (str(len(gnbs)), f"gNBs on {len(simulation.scenario.topology.hosts)} hosts"),
        ("passive" if simulation.passive else "recorded" if simulation.recorded else "trial", simulation.regime),
        (str(len(simulation.events)), "events besides"),
    ]
    return (
        '<div class="facts">'
        + "".join(f"<div><b>{escape(value)}</b><span>{escape(label)}</span></div>" for value, label in facts)
        + "</div>"
    )


def _windows(plots: Plots) -> str:
    legend = (
        "Grey: what was offered or allowed. Line: what came of it. Red ticks: windows in which φ's part on it breaks."
    )
    legend += " Dashed: what happened in fact, or was recorded." if plots.compared else ""
    legend += " Dots above: events; point at one to read it." if plots.marked else ""
    body = "".join(
        f"<details{' open' if is_open else ''}><summary>{escape(title)}</summary>"
        f'<div class="wide">{svg}</div></details>'
        for title, svg, is_open in plots.sections
    )
    return f'<p class="explain">{escape(legend)}</p>{body}'


def _errors(simulation: Simulation) -> str:
    if not simulation.recorded:
        return ""
    rows = [
        (name, error["windows"], *(_number(error[key]) for key in ("bias", "rmse", "nrmse")))
        for name, error in errors_of(simulation).items()
    ]
    explain = (
        f"The twin under the loads and limits of {simulation.factual_of}, window by window. NRMSE: RMSE over the range "
        "of what was recorded (5 to 95 %)."
    )
    head = ("metric", "windows", "bias", "RMSE", "NRMSE")
    return f'<p class="explain">{escape(explain)}</p>' + table(head, rows[:_MOST_ROWS])


def _effects(simulation: Simulation) -> str:
    if simulation.factual is None or simulation.recorded:
        return ""
    effects = effects_of(simulation)
    about = _about(simulation.scenario)
    rows = [
        (name, about.get(name, ("", ""))[0], *(_number(effect[key]) for key in ("mean", "min", "max")))
        for name, effect in effects.items()
    ]
    explain = (
        f"The runs of {simulation.factual_of} on the same noise, with do() from the first window on: what differs "
        "from what happened, over the windows. What is not here did not move at all."
    )
    return f'<p class="explain">{escape(explain)}</p>' + table(
        ("variable", "unit", "mean effect", "least", "greatest"), rows[:_MOST_ROWS]
    )


def _events(simulation: Simulation) -> str:
    if not simulation.events:
        return ""
    rows = [
        (
            f"{at_s:.3f}",
            run,
            event.kind,
            event.subject,
            ", ".join(f"{name} {number(v) if isinstance(v, int | float) else v}" for name, v in event.values.items()),
        )
        for run, at_s, event in simulation.events[:_MOST_EVENTS]
    ]
    left = len(simulation.events) - len(rows)
    more = f"<p>... and {left} more in events.jsonl</p>" if left > 0 else ""
    return table(("at [s]", "run", "what", "about", "values"), rows) + more


def _about(scenario: Scenario) -> dict[str, tuple[str, str]]:
    """Return unit and description of every control and metric."""
    about = {control.name: (control.unit, control.description) for control in scenario.controls}
    return about | {metric.name: (metric.unit, metric.description) for metric in scenario.topology.metrics()}


def _metrics(simulation: Simulation) -> str:
    scenario, windows = simulation.scenario, simulation.windows
    about = _about(scenario)
    columns = [*windows.controls.items(), *windows.metrics.items()]
    rows = []
    for name, values in columns[:_MOST_ROWS]:
        found = statistics_of(values)
        unit, words = about[name]
        numbers = (_number(found.get(key)) for key in ("mean", "sd", "min", "max"))
        rows.append((name, unit, *numbers, found["missing"], words))
    left = len(columns) - len(rows)
    more = f"<p>... and {left} more in windows.csv</p>" if left else ""
    head = ("metric", "unit", "mean", "sd", "least", "greatest", "missing", "what it is")
    return f"<details><summary>{len(columns)} metrics and controls</summary>{table(head, rows)}{more}</details>"


def _number(value: float | int | None) -> str:
    return "–" if value is None else number(float(value), 3)


def _again(simulation: Simulation, summary: Mapping[str, Any]) -> str:
    command = f"<pre>{escape(str(summary['command']))}</pre>" if summary["command"] else ""
    formula = escape(simulation.scenario.specification.text)
    text = formula if len(formula) < 4000 else formula[:4000] + " ..."
    return (
        note(*(escape(line) for line in simulation.notes))
        + f'<p class="explain">φ:</p><pre class="formula">{text}</pre>{command}'
    )
