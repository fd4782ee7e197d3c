"""The views of the screen as pure functions: what they say, at every size, without a colour."""

from __future__ import annotations

import csv
import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len

from tests.tui.watch_states import made_state
from tui.watch.export import csv_text, json_text
from tui.watch.help_view import KeyHelp, help_frame
from tui.watch.journal_view import journal_frame, matching
from tui.watch.marks import FAIL, HOLD, PASS, ROLES, Frame, age, fit, number, plain, wrap
from tui.watch.plants_view import plants_frame
from tui.watch.promotions_view import promotions_frame
from tui.watch.region_view import region_frame
from tui.watch.sparkline import MISSING, bars, chart, last_windows, scales
from tui.watch.state import Connection, GapView, GnbPlace, PromotionView, RegionView, Row, RowGroup, Show, WatchState
from tui.watch.topology_state import Part, cell_parts, host_state
from tui.watch.topology_view import topology_frame

SIZES = [(80, 20), (80, 24), (99, 30), (100, 36), (120, 40), (159, 45), (200, 50), (250, 80)]


def _frames(state: WatchState, width: int, height: int) -> dict[str, Frame]:
    keys = (KeyHelp("^k", "bring the testbed back at once: not asked"),) * 20
    return {
        "plants": plants_frame(state, width, height, "dly_dl_2"),
        "region": region_frame(state, width, height, (1.4, 1.25)),
        "promotions": promotions_frame(state, width, height),
        "journal": journal_frame(state, width, height, "30"),
        "topology": topology_frame(state, width, height, "2"),
        "help": help_frame(keys, width),
    }


def _line(frame: Frame, key: str) -> str:
    return plain(frame.body[frame.keys.index(key)])


STATES = {
    "all": made_state(),
    "one gNB": made_state(1),
    "forty gNBs": made_state(40),
    "no testbed": made_state(testbed=False),
    "nothing": WatchState(),
    "testbed only": replace(made_state(), show=Show.TESTBED),
    "twin only": replace(made_state(), show=Show.TWIN),
}


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("name", STATES)
def test_no_line_is_wider_than_the_screen_and_every_role_has_a_style(name: str, width: int, height: int) -> None:
    for view, frame in _frames(STATES[name], width, height).items():
        for line in (*frame.head, *frame.body, *frame.foot):
            assert cell_len(plain(line)) <= width, (view, plain(line))
            assert {role for _, role in line} <= set(ROLES), (view, line)
        assert len(frame.head) + len(frame.foot) < height + (not len(frame.body)), view


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_map_and_what_is_said_of_it_fit_into_the_height(width: int, height: int) -> None:
    frame = region_frame(made_state(), width, height, (1.4, 1.25))
    assert len(frame.head) <= height
    assert not frame.body


def test_rows_are_those_that_the_plants_describe_and_no_others() -> None:
    state = made_state()
    new = Row(key="flux_h1", label="flux", unit="Wb", group=RowGroup.HOST, place="h1", description="of neither kind")
    values = {**state.testbed.values, "flux_h1": np.full(240, 7.25)}
    bed = replace(state.testbed, rows=(*state.testbed.rows, new), values=values)
    frame = plants_frame(replace(state, testbed=bed), 120, 40)
    assert [key for key in frame.keys if key] == [row.key for row in replace(state, testbed=bed).rows]
    assert "flux" in _line(frame, "flux_h1")
    assert "7.250" in _line(frame, "flux_h1")
    assert "flux" not in plants_frame(state, 120, 40).text


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_row_says_in_words_whether_the_testbed_lies_in_the_prediction(width: int) -> None:
    frame = plants_frame(made_state(), width, 40)
    assert "FAIL x" in _line(frame, "dly_dl_2")
    assert "PASS +" in _line(frame, "dly_dl_1")
    unpredicted = _line(frame, "load_dl_1")
    assert not any(mark.text in unpredicted for mark in (PASS, FAIL, HOLD))


def test_old_numbers_are_called_stale_and_prove_nothing() -> None:
    state = made_state()
    late = replace(state, now_s=state.now_s + 500)
    frame = plants_frame(late, 80, 24)
    line = _line(frame, "dly_dl_1")
    assert "stale" in line
    assert "HOLD ?" in line
    assert "PASS" not in frame.text
    assert "FAIL" not in frame.text
    roles = {text.strip(): role for text, role in frame.body[frame.keys.index("dly_dl_1")]}
    assert roles[number(state.testbed.latest("dly_dl_1"))] == "stale"
    assert roles[number(state.twin.latest("dly_dl_1"))] == "twin"  # a recorded run does not grow old


def test_a_lost_testbed_is_said_to_be_lost_and_its_numbers_are_stale() -> None:
    state = made_state()
    bed = replace(state.testbed, connection=Connection.LOST, words="agent unreachable, tries again")
    frame = plants_frame(replace(state, testbed=bed), 120, 40)
    assert "LOST !" in frame.text
    assert "agent unreachable, tries again" in frame.text
    assert "stale" in _line(frame, "thp_dl_1")


def test_a_metric_that_is_missing_shows_its_last_value_and_how_many_windows_ago_that_was() -> None:
    state = made_state()
    frame = plants_frame(state, 120, 40)
    line = _line(frame, "bsr_2")
    assert number(float(state.testbed.values["bsr_2"][-4])) in line
    assert "-3 win" in line
    assert MISSING * 3 in line


def test_a_metric_that_the_twin_misses_is_said_of_the_row_under_the_cursor() -> None:
    state = made_state()
    values = {**state.twin.values, "ues_1": np.concatenate([np.full(238, 3.0), [np.nan, np.nan]])}
    frame = plants_frame(replace(state, twin=replace(state.twin, values=values)), 80, 24, "ues_1")
    assert "the twin's is 2 windows old" in frame.text
    roles = dict(frame.body[frame.keys.index("ues_1")])
    assert roles["    3.000 ".rjust(10)] == "stale"


def test_a_twin_that_runs_has_an_age_too() -> None:
    state = made_state()
    live = replace(state, twin=replace(state.twin, received_s=state.now_s - 7))
    assert "7 s" in _line(plants_frame(live, 120, 40), "ues_1")
    assert "7 s" not in _line(plants_frame(state, 120, 40), "ues_1")


def test_a_metric_that_one_plant_never_had_has_no_value_there() -> None:
    state = made_state()
    values = {**state.testbed.values, "ues_1": np.full(240, np.nan)}
    frame = plants_frame(replace(state, testbed=replace(state.testbed, values=values)), 120, 40)
    assert "– " in _line(frame, "ues_1")
    assert "none" in _line(frame, "ues_1")


def test_what_a_narrow_screen_leaves_out_is_said_for_the_row_under_the_cursor() -> None:
    state = made_state()
    gap = state.gap.rows["dly_dl_2"]
    interval = f"[{number(gap.low)}, {number(gap.high)}]"
    frame = plants_frame(state, 80, 20, "dly_dl_2")
    assert interval not in _line(frame, "dly_dl_2")
    foot = "\n".join(plain(line) for line in frame.foot)
    assert interval in foot
    assert "axis of the bars" in foot
    assert interval in _line(plants_frame(state, 120, 40, "dly_dl_2"), "dly_dl_2")


def test_without_a_testbed_the_view_says_how_to_get_one() -> None:
    assert "rantwin serve" in plants_frame(made_state(testbed=False), 80, 24).text


def test_a_plant_that_never_was_there_takes_no_columns() -> None:
    alone = plants_frame(made_state(testbed=False), 80, 24)
    head = plain(alone.head[-1])
    assert "twin" in head
    assert "testbed" not in head
    assert _line(alone, "thp_dl_1").count("▅") + _line(alone, "thp_dl_1").count("▆") > 10
    assert "testbed" in plain(plants_frame(made_state(), 80, 24).head[-1])


def test_a_step_of_the_queue_has_units_also_where_only_the_rows_know_them() -> None:
    view = made_state().promotions
    bare = replace(view.steps[0], changes=(("cpu_du_1", 2.0, 1.6, ""),))
    state = replace(made_state(), promotions=replace(view, steps=(bare,)))
    assert "cpu_du_1 2 -> 1.6 core" in promotions_frame(state, 80, 24).text


def test_a_filter_that_finds_nothing_says_so() -> None:
    assert "no row for 'zzz'" in plants_frame(replace(made_state(), filter="zzz"), 80, 24).text


def test_an_emulated_testbed_is_marked_in_every_view_of_it() -> None:
    state = made_state()
    assert all("EMULATED" in f(state, 80, 24).text for f in (plants_frame, promotions_frame, topology_frame))


def test_a_hole_in_the_windows_is_counted_and_stays_open_in_the_bars() -> None:
    state = made_state()
    sequence = np.concatenate([state.testbed.sequence[:-5] - 3, state.testbed.sequence[-5:]])
    bed = replace(state.testbed, sequence=sequence, holes=((1232, 1234),))
    frame = plants_frame(replace(state, testbed=bed), 120, 40)
    assert "hole of 3 windows" in frame.text
    table = last_windows(sequence, bed.values, ["thp_dl_1"], 10)
    assert np.isnan(table[0]).tolist() == [False] * 2 + [True] * 3 + [False] * 5


def test_both_plants_are_drawn_on_one_scale() -> None:
    low, high = np.full((1, 4), 1.0), np.full((1, 4), 9.0)
    axes = scales(low, high)
    assert (axes[0].low, axes[0].high) == (0.0, 9.0)
    assert bars(low, axes) == ["▁▁▁▁"]
    assert bars(high, axes) == ["████"]


def test_a_row_draws_both_plants_on_the_scale_that_its_axis_says() -> None:
    state = made_state()
    low, high = np.full(240, 1.0), np.full(240, 9.0)
    for a, b, bars_of_twin in ((low, high, "▁▁▁▁"), (high, low, "████")):
        twin = replace(state.twin, values={**state.twin.values, "ues_1": a})
        bed = replace(state.testbed, values={**state.testbed.values, "ues_1": b})
        line = _line(plants_frame(replace(state, twin=twin, testbed=bed), 120, 40), "ues_1")
        assert "0…9.000" in line
        assert {"▁▁▁▁", "████"} <= {line[k : k + 4] for k in range(len(line))}
        assert line.index(bars_of_twin) < line.index("█▁"[bars_of_twin[0] == "█"] * 4)


def test_bars_do_not_hide_what_varies_little_and_mark_what_is_missing() -> None:
    table = np.array([[100.0, 101.0, np.nan, 102.0], [5.0, 5.0, 5.0, 5.0], [np.nan] * 4])
    axes = scales(table)
    assert bars(table, axes) == ["▁▅·█", "▅▅▅▅", "····"]
    assert axes[2].is_empty


def test_noise_is_not_drawn_as_a_wave_and_zero_lies_at_the_bottom() -> None:
    table = np.array([[20.0, 20.004, 19.996, 20.0], [0.0] * 4])
    axes = scales(table)
    assert bars(table, axes) == ["▅▅▄▅", "▁▁▁▁"]
    assert number(axes[0].low) != number(axes[0].high)
    assert plain(chart(table[1], table[1], width=40, height=4)[-1]).startswith("     0┤▄")


def test_the_chart_keeps_both_plants_apart_without_colours_and_shows_the_interval() -> None:
    lines = chart(np.linspace(0, 8, 40), np.full(40, 2.0), width=48, height=6, band=(4.0, 6.0), unit="ms")
    text = "\n".join(plain(line) for line in lines)
    assert {"▀", "▄"} & set(text)
    assert any(0x2800 < ord(c) < 0x2900 for c in text)
    assert sum("╌" in plain(line) for line in lines) == 2
    assert plain(lines[0]).startswith(" 8.000┤")
    assert plain(lines[-1]).startswith("     0┤")


def test_both_plants_are_drawn_over_one_stretch_of_windows() -> None:
    lines = chart(np.full(8, 5.0), np.array([0.0, 0.0]), width=48, height=4)
    cells = [plain(line)[plain(line).index(axis) + 1 :] for line, axis in zip(lines, "┤││┤", strict=True)]
    width = len(cells[0])
    assert sum(c != " " for c in cells[0]) == width
    bottom = cells[-1]
    begins = math.ceil(width * 6 / 8)  # the testbed has two windows of eight
    assert set(bottom[:begins]) == {" "}
    assert set(bottom[begins:]) == {"▄"}


def test_the_journal_is_newest_first_and_the_filter_looks_into_every_field() -> None:
    entries = made_state().promotions.journal
    assert [e.number for e in matching(entries, "")] == list(range(30, 0, -1))
    assert {e.kind for e in matching(entries, "GATE passed")} == {"gate passed"}
    assert [e.number for e in matching(entries, "window 29")] == [29]
    frame = journal_frame(replace(made_state(), filter="apply"), 80, 24, "27")
    assert "contain 'apply'" in frame.text
    assert frame.keys[0] == "28"
    assert "entry 27: apply" in frame.text


def test_a_journal_without_a_match_says_so() -> None:
    assert "Escape shows all" in journal_frame(replace(made_state(), filter="zzz"), 80, 24).text


def _mark_of(state: WatchState, cell: str, part: Part) -> str:
    place = next(p for p in state.topology if p.cell == cell)
    return next(p.mark.text for p in cell_parts(state, place, state.rows) if p.part == part)


def test_a_part_lights_up_by_what_its_rows_say() -> None:
    state = made_state()
    assert _mark_of(state, "1", Part.DU) == "TRIAL *"
    assert _mark_of(state, "2", Part.CELL) == "FAIL x"
    assert _mark_of(state, "3", Part.CELL) == "PASS +"
    assert _mark_of(state, "3", Part.DU) == "SEEN o"
    assert _mark_of(state, "3", Part.MIDHAUL) == "none -"
    assert host_state(state, "h1", state.rows).mark is PASS


def test_a_part_of_a_testbed_that_is_gone_or_silent_never_passes() -> None:
    state = replace(made_state(), promotions=PromotionView())
    lost = replace(state, testbed=replace(state.testbed, connection=Connection.LOST))
    assert _mark_of(lost, "3", Part.CELL) == "LOST !"
    assert _mark_of(replace(state, now_s=5000.0), "3", Part.CELL) == "STALE ?"
    assert _mark_of(replace(state, gap=GapView()), "3", Part.CELL) == "HOLD ?"


def test_a_shared_cu_stands_with_each_of_its_gnbs() -> None:
    state = made_state(2)
    rows = tuple(r for r in state.twin.rows if r.key != "cpu_cu_2")
    places = tuple(GnbPlace(cell=c, cu="1", host="h1") for c in ("1", "2"))
    state = replace(
        state, topology=places, promotions=PromotionView(),
        twin=replace(state.twin, rows=rows), testbed=replace(state.testbed, rows=rows),
    )  # fmt: skip
    assert _mark_of(state, "1", Part.CU) == _mark_of(state, "2", Part.CU) == "SEEN o"


def test_forty_gnbs_become_a_table_of_one_line_each() -> None:
    frame = topology_frame(made_state(40), 80, 24, "17")
    assert [key for key in frame.keys if key] == [str(k) for k in range(1, 41)]
    assert "›" in _line(frame, "17")


def test_help_has_the_words_and_the_live_keys() -> None:
    text = help_frame([KeyHelp("f7", "keep what was promoted")], 80, operate=False).text
    assert "f7" in text
    assert all(mark.text in text for mark in (PASS, FAIL, HOLD))
    assert "read-only" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(float("nan"), "–"), (0.0, "0"), (12.3456, "12.35"), (1234.5, "1234"), (-0.00012, "-1.2e-04"), (0.5, "0.500"),
     (float("inf"), "∞")],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.4, "0 s"), (99, "99 s"), (100, "2min"), (7200, "2 h"), (864000, "10 d")]
)
def test_ages_are_short(value: float, text: str) -> None:
    assert age(value) == text
    assert len(text) <= 5


def test_text_is_cut_with_an_ellipsis_and_wrapped_at_blanks() -> None:
    assert fit("φ robustness", 6) == "φ rob…"
    assert fit("ab", 4, right=True) == "  ab"
    assert wrap("one two three", 8, "  ") == ["one two", "  three"]
    assert all(len(line) <= 5 for line in wrap("abcdefghijklm no", 5))


def test_an_empty_region_says_why() -> None:
    state = replace(made_state(), region=RegionView(words="nothing can be certified: φ failed in the passive phase"))
    assert "nothing can be certified" in region_frame(state, 80, 24).text


def test_numbers_beyond_all_reason_are_drawn_and_never_cut_to_smaller_ones():
    table = np.array([[1.7e308, -1.7e308, 2.0, math.nan]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = bars(table, scales(table))
        lines = chart(table[0], table[0], width=40, height=6)
    assert text[0][-1] == MISSING
    assert len(text[0]) == 4
    assert len(lines) == 6
    for value in (123456789.0, -123456789.0, 9999999.9, 1.7e308, -1.7e308):
        shown = number(value, sign=True)
        assert len(shown) <= 9
        assert float(shown) == pytest.approx(value, rel=0.5)
    assert fit(number(-123456789.0), 8) == "-1.2e+08"


def test_an_export_of_the_journal_has_the_entries_that_the_filter_leaves():
    state = replace(made_state(), filter="gate passed")
    left = matching(state.promotions.journal, state.filter)
    assert 0 < len(left) < len(state.promotions.journal)
    wanted = sorted(entry.number for entry in left)
    assert [int(row["number"]) for row in csv.DictReader(csv_text(state, "journal").splitlines())] == wanted
    assert [entry["number"] for entry in json.loads(json_text(state, "journal"))["entries"]] == wanted


def test_an_export_of_the_promotions_has_the_promotions() -> None:
    state = made_state()
    rows = list(csv.DictReader(csv_text(state, "promotions").splitlines()))
    shown = state.promotions.promotions
    assert shown
    assert [(row["promotion_id"], row["state"]) for row in rows] == [(p.promotion_id, str(p.state)) for p in shown]
