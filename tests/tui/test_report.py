"""The report: one file, nothing from outside, every figure there, readable whether the run ended or not."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.tui.made_run import CONTROLS, make_run, manifest, slices
from tui.calibration_view import calibration_view
from tui.figures.calibration import calibration_panels
from tui.figures.layers import layers_of, order_layers, spread
from tui.figures.region import SliceView, TrialMark, region_figure
from tui.figures.svg import number, ticks
from tui.report import render_figures, render_report
from tui.report_data import load_report_data, load_slices, save_slices
from tui.report_findings import headline
from tui.report_html import percent
from tui.run_folder import RunFolder

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that tags are closed in order and collects what matters."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        self.links += [str(v) for k, v in attrs if k in {"src", "href", "data", "srcset", "xlink:href"} and v]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parse(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert not page.open
    return page


def report_of(folder: RunFolder) -> str:
    return render_report(load_report_data(RunFolder.open(folder.path)))


def test_the_report_is_one_well_formed_file_with_no_external_resource(tmp_path: Path) -> None:
    html = report_of(make_run(tmp_path))
    page = parse(html)
    assert html.startswith("<!doctype html>")
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"https?:|@import|url\((?!#)|<script", html)
    assert 'name="viewport"' in html
    assert "prefers-color-scheme: dark" in html
    assert len(page.ids) == len(set(page.ids)) or {"arrow", "arrow-regime"} >= {
        i for i in page.ids if page.ids.count(i) > 1
    }
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_every_figure_is_there_and_stands_alone_as_svg(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    html = report_of(folder)
    # Legend and four slices, four gNBs and power by window, the graph.
    assert html.count('<svg class="figure') == 1 + 4 + 5 + 1
    figures = dict(render_figures(load_report_data(folder)))
    assert len(figures) == 11
    for name, svg in figures.items():
        root = ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg", name
        assert "nan" not in re.sub(r">[^<]*<", "><", svg.split("</style>", 1)[1]).lower(), name


def test_the_headline_says_how_much_how_cheap_and_how_safe(tmp_path: Path) -> None:
    page = parse(report_of(make_run(tmp_path, trials=6)))
    assert (
        "3.1 % of the control box is known safe; the cheapest safe configuration found needs 6.8 cores, 29 % less "
        "than the reference; 6 trials, 1 violation" in page.text
    )
    assert "not verified" in page.text
    assert "does not cut the region" in page.text
    assert "rantwin rehearse made-up --seed 7" in page.text


def test_an_unfinished_run_has_a_report_that_says_so(tmp_path: Path) -> None:
    page = parse(report_of(make_run(tmp_path, trials=2, finish=False)))
    assert "Not finished: 2 trials, no violations so far" in page.text


def test_a_run_that_has_not_seen_a_window_has_a_report(tmp_path: Path) -> None:
    page = parse(report_of(make_run(tmp_path, passive=0, trials=0, finish=False)))
    assert "Not finished: no trials" in page.text


def test_what_the_user_wrote_is_text_and_never_markup(tmp_path: Path) -> None:
    folder = make_run(tmp_path, finish=False)
    folder.write_json("run.json", manifest(notes=["<script>alert(1)</script>"], scenario="<b>x</b>"))
    html = report_of(folder)
    assert "<script" not in html
    assert "<b>x</b>" not in html
    parse(html)


def test_slices_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "slices.npz"
    save_slices(path, [*slices(truth=True)[:1], *slices(truth=False)[1:2]])
    first, second = load_slices(path)
    np.testing.assert_array_equal(first.lower, slices()[0].lower)
    assert first.truth is not None
    assert second.truth is None
    assert (second.title, second.x_name, second.best_x) == ("gNB 2", "cpu_du_2", 1.15)


def view(lower: np.ndarray) -> SliceView:
    axis = np.linspace(0.0, 1.0, lower.shape[0])
    return SliceView(
        title="t", x_name="x", y_name="y", x_unit="core", y_unit="core", x_values=axis, y_values=axis,
        lower=lower, x_reference=0.5, y_reference=0.5,
    )  # fmt: skip


def test_the_border_is_drawn_where_the_bound_crosses_alpha_and_nowhere_else() -> None:
    ramp = np.tile(np.linspace(0.0, 1.0, 11), (11, 1))
    svg = region_figure(view(ramp), [], 0.9)
    border = re.search(r'<path d="M([\d.]+) [^"]*" class="border-estimated"', svg)
    assert border is not None
    left, right = 58.0, 526.0
    assert float(border.group(1)) == pytest.approx(left + 0.9 * (right - left), abs=0.2)
    assert "border-true" not in svg
    for flat in (0.0, 1.0):
        assert "border-estimated" not in region_figure(view(np.full((5, 5), flat)), [], 0.9)


def test_trials_at_one_place_are_one_mark_and_a_failed_one_is_never_hidden() -> None:
    marks = [
        TrialMark(number=1, x=0.5, y=0.5, violation=False),
        TrialMark(number=2, x=0.5, y=0.5, violation=True),
        TrialMark(number=3, x=0.2, y=0.5, violation=True, elsewhere=True),
    ]
    svg = region_figure(view(np.ones((5, 5))), marks, 0.9)
    assert svg.count("mark-violation") == 1
    assert svg.count("mark-elsewhere") == 1
    assert "trial 1, 2: 0.5, 0.5 (φ failed)" in svg
    assert "+1" in svg


def test_layers_put_causes_before_effects_and_places_keep_their_distance() -> None:
    nodes = ["a", "b", "c", "d", "e"]
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("d", "c"), ("e", "b")]
    layer = layers_of(nodes, edges)
    assert all(layer[tail] < layer[head] for tail, head in edges)
    columns = order_layers(layer, edges)
    assert sorted(n for column in columns for n in column) == nodes
    places = spread(columns, edges, height=100.0, gap=20.0)
    for column in columns:
        ordered = [places[n] for n in column]
        assert all(b - a >= 20.0 - 1e-9 for a, b in pairwise(ordered))


@pytest.mark.parametrize(
    ("value", "text"),
    [(60.0, "60"), (0.05, "0.05"), (1.50, "1.5"), (-0.00001, "-1e-05"), (0, "0"), (float("nan"), "-")],
)
def test_numbers_are_written_as_people_write_them(value: float, text: str) -> None:
    assert number(value, 2) == text


def test_a_share_of_sixty_per_cent_does_not_lose_its_zero() -> None:
    assert percent(0.603, 0) == "60 %"
    assert percent(0.0004) == "0.04 %"
    assert percent(None) == "–"


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.1, 1.5, 7) == [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4]
    assert ticks(0.0, 0.0) == [0.0]


def test_a_calibration_document_becomes_panels_with_points_over_curves() -> None:
    metrics = {"dl_mbps": 10.0, "ul_mbps": 5.0, "cpu_cores": 0.6, "throttled_share": 0.2, "nok_ratio_dl": 0.01}
    setting = {"n_ue": 1, "cap_prb_dl": 25, "cap_prb_ul": 25, "measured": metrics, "fitted": metrics}
    document = {
        "calibration_id": "c-1",
        "stack": "srsRAN 25.10",
        "settings": [
            {**setting, "name": "0.60 core", "quota_cores": 0.6},
            {**setting, "name": "0.60 core again", "quota_cores": 0.6},
            {**setting, "name": "1.90 core", "quota_cores": 1.9},
            {**setting, "name": "half", "quota_cores": 0.5, "cap_prb_dl": 12, "cap_prb_ul": 12},
        ],
        "errors": {"full load": {"settings": 9.0, "throughput_nrmse": 0.04, "trivial_throughput_nrmse": 0.3}},
        "du": {"slot_ms": 0.4},
    }
    result = calibration_view(document)
    full = result["panels"][0]
    assert len(full["measured"]) == 3
    assert full["curves"][0]["x"] == [0.6, 1.9]
    assert result["errors"][0]["nrmse"] == 0.04
    figures = calibration_panels(result)
    assert len(figures) == len(result["panels"]) >= 5
    assert figures[0].count('class="point"') == 3


def test_the_made_up_run_covers_all_controls(tmp_path: Path) -> None:
    page = parse(report_of(make_run(tmp_path)))
    assert all(name in page.text for name in CONTROLS)


def test_the_headline_speaks_of_what_was_certified_rather_than_of_the_luckiest_point(tmp_path: Path) -> None:
    data = load_report_data(make_run(tmp_path))
    assert data.summary is not None
    recommended = {"cost": 4.19, "reference_cost": 9.6, "steps_certified": 4}
    said = headline(replace(data, summary={**data.summary, "recommended": recommended}))

    assert "certified down to 4.19 of 9.6 cores (56 % less)" in said
    assert "cheapest" not in said
