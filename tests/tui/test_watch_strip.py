"""The line above every view, at every width."""

from dataclasses import replace

import pytest

from tests.tui.watch_states import made_state
from tests.tui.watch_world import promotion
from tui.watch.state import Connection, PromotionView, Rehearsal, WatchState
from tui.watch.strip import strip_text

STATE = replace(made_state(), filter="thp", gnb="2", frozen=True)
STATES = {
    "all at once": STATE,
    "operating": replace(STATE, operate=True, frozen=False, filter="", gnb=""),
    "lost": replace(STATE, testbed=replace(STATE.testbed, connection=Connection.LOST)),
    "nothing": WatchState(),
    "quiet": replace(STATE, promotions=PromotionView(), filter="", gnb="", frozen=False),
}


@pytest.mark.parametrize("state", STATES.values(), ids=list(STATES))
@pytest.mark.parametrize("rehearsal", list(Rehearsal))
def test_it_fits_and_ends_in_no_bare_bar_at_any_width(state: WatchState, rehearsal: Rehearsal) -> None:
    state = replace(state, rehearsal=replace(state.rehearsal, state=rehearsal))
    for width in range(12, 220):
        text = strip_text(state, width).plain
        assert len(text) <= width
        assert not text.rstrip().endswith("│")
        assert "││" not in text.replace(" ", "")


def test_what_is_in_flight_comes_before_all_that_has_no_room() -> None:
    state = replace(STATE, promotions=replace(STATE.promotions, active=promotion(), received_s=STATE.now_s))
    narrow, wide = strip_text(state, 60).plain, strip_text(state, 200).plain
    assert narrow.lstrip().startswith("EMULATED")
    assert "WATCHING" in narrow
    assert "/thp" not in narrow
    assert all(part in wide for part in ("FROZEN", "gNB 2", "/thp", "read-only", "rehearsal"))


def test_a_part_has_all_its_words_or_none_of_them() -> None:
    whole = strip_text(STATES["quiet"], 220).plain.split(" │ ")
    for width in range(len(whole[0]), 220):
        assert set(strip_text(STATES["quiet"], width).plain.split(" │ ")) <= set(whole)
