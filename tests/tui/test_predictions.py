"""Figures that ask the twin without learning: the knee by both grant policies, the sensitivity of the border."""

from __future__ import annotations

from tui.figures.calibration import calibration_panels
from tui.figures.sensitivity import sensitivity_figure
from tui.knee import knee_panels
from tui.sensitivity import sensitivity_of_border
from twin.parameters import GrantPolicy
from twin.scenario import load_scenario


def test_the_prediction_shows_both_grant_policies_and_saturates_at_the_offered_load() -> None:
    panels = knee_panels(load_scenario("cpu-allocation"))
    downlink = panels[0]
    assert [curve["label"] for curve in downlink["curves"]] == [f"grant policy {policy}" for policy in GrantPolicy]
    for curve in downlink["curves"]:
        assert curve["y"][0] < 1.0
        assert abs(curve["y"][-1] - 10.0) < 0.2
    assert "grant policy spread" in calibration_panels({"panels": panels})[0]


def test_more_cost_moves_the_border_up_and_less_cost_down() -> None:
    found = sensitivity_of_border(load_scenario("cpu-allocation"))
    bars = {bar["label"]: bar for bar in found["bars"]}
    for label in ("CU: cost of a packet", "CU: cost without traffic", "DU: all cost, another machine"):
        assert bars[label]["low"] < found["base"] < bars[label]["high"]
    # The CU's cost without traffic is a demand of so many cores: the border moves by as much.
    steady = bars["CU: cost without traffic"]
    assert 0.06 < steady["high"] - steady["low"] < 0.11
    assert sensitivity_figure(found).count("bar-") >= 6
