"""The state's own answers: which rows, in which order, what is stale."""

from dataclasses import replace

import numpy as np

from tests.tui.watch_world import description
from tui.watch.feeds_rows import columns_of, holes_in, layout_of, places_of
from tui.watch.state import PHI, Connection, GnbPlace, PlantView, Row, RowGroup, RowKind, WatchState

PLACES = (GnbPlace(cell="1", cu="1", host="h1"), GnbPlace(cell="2", cu="2", host="h2"))


def row(key: str, group: RowGroup = RowGroup.GNB, place: str = "1") -> Row:
    return Row(key=key, label=key, unit="1", group=group, place=place)


def test_rows_of_both_plants_are_in_one_order_and_none_stands_twice():
    twin = PlantView(name="twin", rows=(row("a"), row("p", RowGroup.HOST, "h1")))
    bed = PlantView(name="testbed", rows=(row("a"), row("only_here"), row("all", RowGroup.RAN, "")))
    assert [r.key for r in WatchState(twin=twin, testbed=bed).rows] == ["all", "a", "only_here", "p"]


def test_a_chosen_gnb_leaves_its_rows_and_its_host():
    rows = (row("r", RowGroup.RAN, ""), row("a1"), row("a2", place="2"), row("h", RowGroup.HOST, "h1"),
            row("other", RowGroup.HOST, "h2"))  # fmt: skip
    state = WatchState(twin=PlantView(name="twin", rows=rows), topology=PLACES, gnb="1")
    assert [r.key for r in state.shown_rows] == ["a1", "h"]


def test_the_filter_looks_at_labels_units_and_places_whatever_the_case():
    rows = (row("thp_dl_1"), row("pow_h1", RowGroup.HOST, "h1"))
    state = WatchState(twin=PlantView(name="twin", rows=rows), filter="THP")
    assert [r.key for r in state.shown_rows] == ["thp_dl_1"]
    assert [r.key for r in replace(state, filter="host").shown_rows] == ["pow_h1"]


def test_a_plant_is_stale_when_it_is_lost_or_silent_but_never_when_it_was_recorded():
    plant = PlantView(name="testbed", connection=Connection.CONNECTED, received_s=100.0, stale_after_s=30.0)
    assert not plant.is_stale(130.0)
    assert plant.is_stale(131.0)
    assert replace(plant, connection=Connection.LOST).is_stale(101.0)
    assert not replace(plant, received_s=None).is_stale(1e9)


def test_rows_come_from_the_description_and_targets_first():
    plant = description()
    places = places_of(gnbs={"bed-a": ("cpu_du_1", "cpu_cu_1"), "bed-b": ("cpu_du_2", "cpu_cu_2")},
                       controls={c.name for c in plant.controls})  # fmt: skip
    assert [place.cell for place in places] == ["1", "2"]
    layout = layout_of(plant.controls, plant.metrics, places)
    described = {c.name for c in plant.controls} | {m.name for m in plant.metrics}
    assert {r.key for r in layout.rows if r.kind is not RowKind.TOTAL} == described
    assert next(r for r in layout.rows if r.key == "pow_h1").group is RowGroup.HOST
    assert next(r for r in layout.rows if r.key == "cpu_du_2").place == "2"


def test_totals_are_sums_of_what_adds_up_and_means_of_what_does_not():
    from col.plant import Metric, Windows

    metrics = [Metric(name=f"{stem}_{i}", unit=unit) for stem, unit in (("thp", "Mbit/s"), ("dly", "ms")) for i in "12"]
    layout = layout_of((), metrics, PLACES)
    table = Windows(
        sequence=np.array([4]), start_s=np.zeros(1), end_s=np.ones(1), run=np.array([0]), controls={},
        metrics={"thp_1": np.array([3.0]), "thp_2": np.array([4.0]), "dly_1": np.array([3.0]),
                 "dly_2": np.array([np.nan])},
    )  # fmt: skip
    columns = columns_of(layout, table)
    assert columns["RAN:thp"][0] == 7.0
    assert columns["RAN:dly"][0] == 3.0


def test_robustness_is_not_said_over_a_hole():
    from tests.tui.made_run import windows
    from tests.tui.watch_world import AT_REFERENCE
    from tests.tui.watch_world import PHI as PHI_TEXT

    plant = description()
    layout = layout_of(plant.controls, plant.metrics, PLACES, specification=PHI_TEXT)
    table = windows(0, 20, 0, AT_REFERENCE)
    whole = columns_of(layout, table)[PHI]
    assert np.isnan(whole[:4]).all()
    assert np.isfinite(whole[4:]).all()
    torn = table.take(np.array([k for k in range(20) if k != 10]))
    assert np.isnan(columns_of(layout, torn)[PHI][10:14]).all()
    assert holes_in(torn.sequence) == ((10, 10),)


def test_a_specification_that_the_plant_cannot_tell_has_no_row():
    plant = description()
    layout = layout_of(plant.controls, plant.metrics, PLACES, specification="always[0,4](unheard_of >= 1)")
    assert PHI not in {r.key for r in layout.rows}
