"""How a part of the RAN stands where the testbed lies outside of what the twin predicts."""

from dataclasses import replace

import pytest

from tests.tui.watch_pilot import drive
from tests.tui.watch_states import made_state
from tests.tui.watch_world import WatchWorld
from tui.watch.marks import plain
from tui.watch.state import GapRow, GapView, PromotionView, RowGroup, WatchState
from tui.watch.topology_state import Part, cell_parts, part_of
from tui.watch.topology_view import topology_frame


def parted(part: Part, *, target: bool, inside: bool) -> WatchState:
    """Return a state in which one row of gNB 2's part alone has a prediction."""
    state = replace(made_state(), promotions=PromotionView())
    row = next(r for r in state.rows if r.group is RowGroup.GNB and r.place == "2" and part_of(r) is part)
    rows = tuple(replace(r, target=target) if r.key == row.key else r for r in state.twin.rows)
    gap = GapView(rows={row.key: GapRow(key=row.key, twin=1.0, testbed=2.0, gap=-1.0, low=0.5, high=1.5, mean=2.0,
                                        inside=inside)})  # fmt: skip
    return replace(state, twin=replace(state.twin, rows=rows), testbed=replace(state.testbed, rows=rows), gap=gap)


def mark_of(state: WatchState, part: Part) -> str:
    place = next(p for p in state.topology if p.cell == "2")
    return next(p.mark.text for p in cell_parts(state, place, state.rows) if p.part == part)


@pytest.mark.parametrize(
    ("target", "inside", "mark"),
    [(True, True, "PASS +"), (True, False, "FAIL x"), (False, True, "PASS +"), (False, False, "DRIFT ~")],
)
@pytest.mark.parametrize("part", [Part.CU, Part.DU])
def test_only_a_target_outside_its_interval_is_a_failure(part: Part, target: bool, inside: bool, mark: str) -> None:
    state = parted(part, target=target, inside=inside)
    assert mark_of(state, part) == mark
    foot = "\n".join(plain(line) for line in topology_frame(state, 120, 40, "2").foot)
    assert ("DRIFT ~" in foot, "FAIL x" in foot) == (mark == "DRIFT ~", mark == "FAIL x")


def test_a_target_that_fails_is_not_hidden_by_what_drifts() -> None:
    state = parted(Part.CELL, target=False, inside=False)
    other = next(r for r in state.rows if r.group is RowGroup.GNB and r.place == "2" and part_of(r) is Part.CELL
                 and r.key not in state.gap.rows)  # fmt: skip
    failing = GapRow(key=other.key, twin=1.0, testbed=2.0, gap=-1.0, inside=False)
    rows = tuple(replace(r, target=True) if r.key == other.key else r for r in state.twin.rows)
    state = replace(
        state, twin=replace(state.twin, rows=rows), gap=GapView(rows={**state.gap.rows, other.key: failing})
    )
    assert mark_of(state, Part.CELL) == "FAIL x"


def test_a_jump_label_stands_at_each_gnb_and_goes_there(tmp_path) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("y", "ctrl+o")
        await pilot.pause()
        places = app.view.jump_places()
        assert [place.key for place in places] == ["1", "2", "3", "4"]
        assert len({(place.x, place.y) for place in places}) == 4
        await pilot.press("d")
        await pilot.pause()
        assert app.view.cell == "3"
        assert app.focused is app.view

    drive(WatchWorld(tmp_path), steps, size=(120, 40))
