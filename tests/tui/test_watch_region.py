"""The region's map, its cursor, and the dialogs: what keys do, and what is posted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np
import pytest
from textual.app import App, ComposeResult
from textual.message import Message
from textual.widgets import Input, OptionList

from tests.tui.watch_states import made_region, made_state
from tui.watch.dialogs import AskWord, Choose
from tui.watch.help_view import HelpPane
from tui.watch.journal_view import JournalPane
from tui.watch.marks import Frame, plain
from tui.watch.messages import AxesChosen, CursorMoved, GnbChosen
from tui.watch.pane import LinesPane
from tui.watch.plants_view import PlantsPane
from tui.watch.promotions_view import PromotionsPane
from tui.watch.region_map import BORDER, bound_at, cell_of, heat_map
from tui.watch.region_view import RegionPane, region_frame
from tui.watch.state import Connection
from tui.watch.topology_view import TopologyPane


def _cells(width: int = 80, height: int = 24, cursor: tuple[float, float] | None = None) -> list[str]:
    region = replace(made_region(), trials=(), current={}, confirmed={}, cheapest={})
    return [plain(line)[8:] for line in heat_map(region, width, height, cursor)[:-2]]


def test_the_map_is_dense_where_it_is_safe_and_the_border_goes_around_that() -> None:
    region = made_region()
    rows = _cells()
    assert (len(rows), len(rows[0])) == (22, 72)
    x = 0.5 + (np.arange(72) + 0.5) * 2 / 72
    y = 2.5 - (np.arange(22) + 0.5) * 2 / 22
    inside = bound_at(region, x, y) >= region.alpha
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            assert (cell in "▒▓" + BORDER) == inside[row, column], (row, column, cell)
    assert all(cells.count(BORDER) == 1 for cells in rows[:10])
    assert set(next(cells for cells in reversed(rows) if BORDER in cells)[40:]) == {BORDER}


def test_the_bound_between_the_points_of_a_slice_is_interpolated() -> None:
    x, y, lower = np.array([0.0, 1.0]), np.array([0.0, 2.0]), np.array([[0.0, 0.4], [0.2, 1.0]])
    region = replace(made_region(), x_values=x, y_values=y, lower=lower)
    bound = bound_at(region, np.array([0.0, 0.5]), np.array([0.0, 1.0]))
    assert bound == pytest.approx(np.array([[0.0, 0.2], [0.1, 0.4]]))


def test_cells_and_values_meet_at_the_ends_and_nothing_else_is_on_the_map() -> None:
    region = made_region()
    assert cell_of(region, 0.5, 2.5, 72, 22) == (0, 0)
    assert cell_of(region, 2.5, 0.5, 72, 22) == (71, 21)
    assert cell_of(region, 2.6, 0.5, 72, 22) is None


def test_trials_and_configurations_lie_where_their_values_are() -> None:
    region = made_region()
    lines = [plain(line)[8:] for line in heat_map(region, 80, 24)[:-2]]

    def at(values: dict[str, float]) -> str:
        cell = cell_of(region, values["cpu_du_1"], values["cpu_cu_1"], 72, 22)
        assert cell is not None
        return lines[cell[1]][cell[0]]

    assert at(dict(region.current)) == "◆"
    assert at(dict(region.confirmed)) == "◇"
    assert at(dict(region.cheapest)) == "$"
    assert at(dict(region.trials[14].values)) == "x"
    assert at(dict(region.trials[3].values)) == "+"


def test_the_cursor_says_bound_cost_and_what_limits_first() -> None:
    text = region_frame(made_state(), 80, 24, (1.4, 1.25)).text
    assert "P ≥ 0.984 PASS + inside  cost 1.000" in text
    assert text.index("dly_dl_1 <= 20: 0.991") < text.index("thp_dl_1 >= 9.5")


def test_until_the_answer_for_a_new_place_is_there_the_slice_answers_and_says_about() -> None:
    text = region_frame(made_state(), 80, 24, (0.6, 0.6)).text
    assert "P ≥ about" in text
    assert "FAIL x outside" in text
    assert "0.984" not in text
    assert "dly_dl_1 <= 20: 0.991" not in text
    moved = replace(made_region(), cursor=(0.6, 0.6), cursor_bound=math.nan, cursor_words=())  # as the app does
    assert "0.984" not in region_frame(replace(made_state(), region=moved), 80, 24, (0.6, 0.6)).text


def test_without_a_slice_the_map_is_empty_and_no_place_is_called_safe() -> None:
    region = replace(
        made_region(), lower=None, words="no region yet: it is estimated while the rehearsal runs", cursor=None
    )
    frame = region_frame(replace(made_state(), region=region), 80, 24)
    assert "no region yet" in frame.text
    assert "PASS" not in frame.text.replace("trials pass", "")
    assert "◆" in frame.text


def _piloted(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a loop of its own."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class _App(App[None]):
    """One pane, and the messages that it posts."""

    def __init__(self, pane: LinesPane) -> None:
        super().__init__()
        self.pane: Any = pane
        self.heard: list[Message] = []

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.pane.focus()
        self.pane.show(made_state())

    def _hear(self, message: Message) -> None:
        self.heard.append(message)

    on_cursor_moved = on_axes_chosen = on_gnb_chosen = _hear


@_piloted
async def test_arrows_move_the_region_s_cursor_in_steps_that_can_be_set() -> None:
    app = _App(RegionPane())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("right", "up", "shift+left")
        first, *moves = [(m.x, m.y) for m in app.heard if isinstance(m, CursorMoved)]
        assert first == (1.4, 1.25)  # what is in force, asked for before the cursor was moved
        assert app.pane.at == moves[-1]
        control = made_region().controls[0]
        assert all(x == control.snap(x) and y == control.snap(y) for x, y in moves)
        assert list(moves[0]) == pytest.approx([1.45, 1.25])
        assert moves[1][1] > 1.25
        assert moves[2][0] == pytest.approx(1.2)
        await pilot.press(*["shift+right"] * 20)
        assert app.pane.at[0] == 2.5


@_piloted
async def test_the_cursor_goes_through_the_trials_in_order() -> None:
    app = _App(RegionPane())
    async with app.run_test(size=(120, 40)) as pilot:
        trials = made_region().trials
        at = []
        for key in ("full_stop", "full_stop", "full_stop", "comma"):
            await pilot.press(key)
            at.append(app.pane.at[0])
        control = made_region().controls[0]
        assert at == [control.snap(trials[k].values["cpu_du_1"]) for k in (0, 1, 2, 1)]
        await pilot.press("home")
        assert app.pane.at == (1.4, 1.25)


@_piloted
async def test_a_control_is_chosen_from_a_list_that_typing_narrows_down() -> None:
    app = _App(RegionPane())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("X")
        assert isinstance(app.screen, Choose)
        await pilot.press(*"du_2", "enter")
        await pilot.pause()
        assert [(m.x, m.y) for m in app.heard if isinstance(m, AxesChosen)] == [("cpu_du_2", "cpu_cu_1")]
        await pilot.press("Y", "escape")
        await pilot.pause()
        assert sum(isinstance(m, AxesChosen) for m in app.heard) == 1


@_piloted
async def test_other_controls_put_the_cursor_back_to_what_is_in_force() -> None:
    app = _App(RegionPane())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("shift+right")
        app.pane.show(made_state())
        assert app.pane.at is not None
        app.pane.show(replace(made_state(), region=replace(made_region(), x="cpu_du_2")))
        assert app.pane.at is None


@_piloted
async def test_a_click_puts_the_region_s_cursor_there() -> None:
    app = _App(RegionPane())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click(RegionPane, offset=(8 + 40, 6))
        moved = [m for m in app.heard if isinstance(m, CursorMoved)]
        cell = cell_of(made_region(), moved[-1].x, moved[-1].y, 71, 13)
        assert cell is not None
        assert cell[0] in (39, 40, 41)


@pytest.mark.parametrize("pane", [PlantsPane, RegionPane, PromotionsPane, JournalPane, TopologyPane, HelpPane])
@_piloted
async def test_a_view_follows_the_size_of_the_terminal(pane: type[LinesPane]) -> None:
    app = _App(pane())
    async with app.run_test(size=(80, 24)) as pilot:
        for size in ((250, 80), (80, 24), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            shown = app.pane.shown
            widest = max(len(plain(line)) for line in (*shown.head, *shown.body, *shown.foot))
            assert size[0] / 2 < widest <= size[0], (pane, size, widest)


@_piloted
async def test_the_cursor_of_the_plants_stays_on_its_row_and_in_sight() -> None:
    app = _App(PlantsPane())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*["down"] * 30)
        key = app.pane.cursor
        assert key == made_state().rows[30].key
        app.pane.show(replace(made_state(), now_s=1001.0))
        assert app.pane.cursor == key
        assert _lines_with(app.pane, "›")
        await pilot.press("end")
        assert app.pane.cursor == made_state().rows[-1].key
        assert _lines_with(app.pane, "›")
        await pilot.press("home", "right_square_bracket")
        assert app.pane.cursor == "thp_dl_1"
        await pilot.press("right_square_bracket", "right_square_bracket", "left_square_bracket")
        assert app.pane.cursor == "thp_dl_2"


def _lines_with(pane: LinesPane, glyph: str) -> int:
    return sum(glyph in pane.render_line(y).text for y in range(pane.size.height))


@_piloted
async def test_a_view_out_of_sight_makes_no_picture_and_shows_the_last_state_when_it_is_back() -> None:
    made = []

    class Counting(PlantsPane):
        def frame(self, width: int, height: int) -> Frame:
            made.append(width)
            return super().frame(width, height)

    app = _App(Counting())
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.display = False
        await pilot.pause()
        made.clear()
        state = made_state()
        lost = replace(state.testbed, connection=Connection.LOST)
        app.pane.show(replace(state, testbed=lost))
        await pilot.pause()
        assert not made
        app.pane.display = True
        await pilot.pause()
        assert made
        assert "LOST !" in app.pane.shown.text


@_piloted
async def test_a_journal_cursor_on_the_newest_entry_follows_and_another_stays() -> None:
    state = made_state()
    more = replace(state.promotions.journal[-1], number=31)
    grown = replace(state, promotions=replace(state.promotions, journal=(*state.promotions.journal, more)))
    app = _App(JournalPane())
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.pane.cursor == "30"
        app.pane.show(grown)
        assert app.pane.cursor == "31"
        await pilot.press("down", "down")
        app.pane.show(state)
        assert app.pane.cursor == "29"
        app.pane.show(grown)
        assert app.pane.cursor == "29"


@_piloted
async def test_enter_in_the_topology_asks_for_the_gnb_under_the_cursor() -> None:
    app = _App(TopologyPane())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("right", "right", "left", "enter")
        assert [m.gnb for m in app.heard if isinstance(m, GnbChosen)] == ["2"]


@_piloted
async def test_help_begins_with_the_view_that_one_comes_from() -> None:
    class Both(_App):
        def compose(self) -> ComposeResult:
            yield self.pane
            yield HelpPane()

    app = Both(TopologyPane())
    async with app.run_test(size=(80, 48)) as pilot:
        await pilot.pause()
        pane = app.query_one(HelpPane)
        pane.focus()
        pane.show(made_state())
        assert plain(pane.shown.body[0]).startswith("── Topology")
        assert pane.shown.text.count("── Topology") == 1


@pytest.mark.parametrize(
    ("word", "keys", "answer"),
    [
        ("rollback", [*"rollback", "enter"], True),
        ("rollback", ["enter"], None),
        ("rollback", [*"yes", "enter"], None),
        ("rollback", [*"Rollback", "enter"], None),
        ("rollback", [*"yes", "enter", *"rollback", "enter"], True),
        ("rollback", [*"rollback", "escape"], False),
        ("", ["enter"], True),
        ("", ["escape"], False),
    ],
)
@_piloted
async def test_only_the_typed_word_does_it(word: str, keys: list[str], answer: bool | None) -> None:
    answers: list[bool | None] = []
    app = _App(PlantsPane())
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(AskWord("Roll back now?", ["[bold]as written[/bold]"] * 40, word), answers.append)
        await pilot.pause()
        field = app.screen.query_one(Input)
        assert field.region.bottom <= 24  # however many lines there are, the field is in sight
        await pilot.press(*keys)
        await pilot.pause()
        assert answers == ([] if answer is None else [answer])


@_piloted
async def test_a_choice_moves_with_arrows_while_the_field_keeps_the_focus() -> None:
    chosen: list[str | None] = []
    app = _App(PlantsPane())
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(Choose("control", ["a1", "b1", "b2"], "a1"), chosen.append)
        await pilot.pause()
        await pilot.press("b", "down")
        field = app.screen.query_one(Input)
        assert field.content_size.height == 1  # what is typed can be read
        assert app.screen.query_one(OptionList).option_count == 2
        await pilot.press("enter")
        await pilot.pause()
        assert chosen == ["b2"]
