"""Who sets the controls decides what passive data say: confounding can be switched on and off, and measured.

The effect asked for is that of a DU's CPU limit on the CPU that it uses, with limits above what it needs: none. So any
slope of use over limit is bias, and what takes it away is what the graph says.
"""

import re
from functools import cache
from importlib import resources

import numpy as np
import pytest
from numpy.typing import NDArray

from twin.ran import RunRecord, passive_plan, simulate
from twin.scenario import Scenario, parse_scenario

RUNS, SEED = 2, 3
REGIMES = {
    "chance": "base = 0.95\ndither = 0.12",
    "load": "base = 0.65\ngain = 0.03\ndither = 0.06",
    "cpu_use": "base = 0.35\ngain = 1.2\ndither = 0.06",
}


def scenario_under(follows: str) -> Scenario:
    """Return cpu-allocation with short windows and DU limits that follow something else than its autoscaler."""
    text = resources.files("twin").joinpath("scenarios/cpu-allocation.toml").read_text()
    text = re.sub(r"\[autoscaler\].*?(?=\n\[traffic\])", "", text, flags=re.DOTALL)
    text = text.replace("length_s = 15.0", "length_s = 2.0").replace("correlation_s = 120.0", "correlation_s = 16.0")
    text += f'\n[[controllers]]\ncontrol = "cpu_du"\nfollows = "{follows}"\n{REGIMES[follows]}\n'
    return parse_scenario(text.encode(), f"{follows}.toml")


@cache
def records(follows: str) -> tuple[RunRecord, ...]:
    scenario = scenario_under(follows)
    plan = passive_plan(scenario, {control.name: control.reference for control in scenario.controls})
    return tuple(simulate(scenario, plan, seed=SEED, run=run) for run in range(RUNS))


def slope(follows: str, *adjusted: str) -> float:
    """Return the slope of CPU use over the CPU limit in passive data, with lagged or present variables held."""
    limit, use, others = [], [], []
    for record in records(follows):
        for cell in (1, 2, 3, 4):
            columns = {
                "load": record.metrics[f"load_dl_{cell}"] + record.metrics[f"load_ul_{cell}"],
                "use": record.metrics[f"cpuu_du_{cell}"],
            }
            limit.append(record.controls[f"cpu_du_{cell}"][1:])
            use.append(columns["use"][1:])
            lagged = [columns[name.removesuffix("-1")][:-1] if name.endswith("-1") else columns[name][1:]
                      for name in adjusted]  # fmt: skip
            others.append(np.array(lagged).reshape(len(adjusted), len(use[-1])))
    x: NDArray[np.float64] = np.vstack([np.ones(sum(map(len, use))), np.concatenate(limit), np.hstack(others)])
    return float(np.linalg.lstsq(x.T, np.concatenate(use), rcond=None)[0][1])


def test_limits_set_by_chance_are_not_confounded() -> None:
    assert abs(slope("chance")) < 0.06


def test_an_autoscaler_on_load_makes_the_naive_reading_wrong_and_the_lagged_load_mends_it() -> None:
    assert slope("load") > 0.12
    assert abs(slope("load", "load-1")) < 0.05


def test_an_autoscaler_on_cpu_use_is_mended_by_the_lagged_use_and_not_by_loads() -> None:
    assert slope("cpu_use") > 0.15
    assert slope("cpu_use", "load-1", "load") > 0.1
    assert abs(slope("cpu_use", "use-1")) < 0.05


@pytest.mark.parametrize("follows", ["load", "cpu_use"])
def test_every_decision_is_noted_with_what_it_came_from(follows: str) -> None:
    scenario, record = scenario_under(follows), records(follows)[0]
    (rule,) = scenario.parts(type(scenario.tables["controllers"][0]))
    decided = [event for event in record.events if event.kind == "decision" and event.subject == "cpu_du_1"]
    for row, event in enumerate(decided[:-1]):
        assert event.values["value"] == record.controls["cpu_du_1"][row]
        inputs = ("load_dl_1", "load_ul_1") if follows == "load" else ("cpuu_du_1",)
        if row:
            assert [event.values[name] for name in inputs] == [record.metrics[name][row - 1] for name in inputs]
        wanted = rule.base + rule.gain * sum(float(event.values[name]) for name in inputs)
        assert event.values["value"] == pytest.approx(wanted + float(event.values["dither"]), abs=0.0051)
