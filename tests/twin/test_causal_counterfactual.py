from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from col.errors import InputError
from tests.twin.test_causal_do import SEED, WINDOWS, plan_of, short
from twin.counterfactual import (
    RecordedRun,
    counterfactual,
    factual_controls,
    load_run,
    record_run,
    save_run,
    values,
)
from twin.intervene import Do
from twin.ran import trial_plan


@cache
def watched() -> RecordedRun:
    """Return a passive run: the autoscaler sets the limits by the loads that it saw."""
    scenario = short()
    return record_run(scenario, replace(plan_of(scenario), autoscaled=True, windows=5), seed=SEED, run=7)


@cache
def tried() -> RecordedRun:
    scenario = short("cpu-allocation")
    base = {control.name: control.reference for control in scenario.controls}
    return record_run(scenario, trial_plan(scenario, base, base | {"cpu_du_1": 0.5}, WINDOWS), seed=SEED, run=3)


@pytest.mark.parametrize("recorded", [watched(), tried()], ids=["watched", "tried"])
def test_the_factual_controls_give_the_factual_run_to_the_last_bit(recorded: RecordedRun) -> None:
    again = counterfactual(recorded, factual_controls(recorded.record))
    assert again.moved() == frozenset()
    nothing = counterfactual(recorded, {})
    assert nothing.moved() == frozenset()


def test_another_run_is_another_unit_with_another_effect() -> None:
    """The effect is that on this very run: runs with other noise have others, and no average is taken."""
    scenario = short()
    effects = []
    for run in (1, 2):
        recorded = record_run(scenario, plan_of(scenario), seed=SEED, run=run)
        effects.append(counterfactual(recorded, {"cpu_du_1": 0.4}).effect("thp_ul_1"))
    assert all(effect.mean() < 0.0 for effect in effects)
    assert not np.array_equal(effects[0], effects[1])


def test_before_an_intervention_nothing_has_changed() -> None:
    result = counterfactual(watched(), {"cpu_du_1": 0.3}, since=3)
    for name in result.moved():
        before, after = values(result.factual, name)[:3], values(result.record, name)[:3]
        assert np.array_equal(before, after, equal_nan=True), name
    assert {name for name in result.moved() if not name.startswith("cap_")} <= result.may_move()
    assert result.effect("cpuu_du_1")[3:].max() < 0.0


def test_who_sets_the_controls_answers_unless_they_are_held() -> None:
    total = counterfactual(watched(), {"load_ul_1": 1.0}, since=1)
    assert "cpu_du_1" in total.moved()
    kept = factual_controls(watched().record)
    direct = counterfactual(
        watched(), {**kept, "load_ul_1": (*values(watched().record, "load_ul_1")[:1], 1.0)}, since=0
    )
    assert not {"cpu_du_1", "cpu_cu_1"} & direct.moved()
    assert not np.allclose(total.effect("cpuu_nn_h1"), direct.effect("cpuu_nn_h1"))


def test_a_held_variable_has_the_effect_zero_on_what_it_does_not_act_on() -> None:
    result = counterfactual(tried(), {"cpu_cu_3": 0.3})
    assert result.effect("cpu_cu_3") == pytest.approx(0.3 - 1.2)
    for name in ("thp_ul_1", "pow_h1", "dly_ul_4", "cap_du_ul_3"):
        assert result.effect(name) == pytest.approx(0.0, abs=0.0), name


def test_two_interventions_at_once_are_one_counterfactual() -> None:
    apart = [counterfactual(tried(), {name: 0.45}).effect("pow_h1") for name in ("cpu_du_1", "cpu_du_2")]
    both = counterfactual(tried(), {"cpu_du_1": 0.45, "cpu_du_2": 0.45}).effect("pow_h1")
    assert both.max() < 0.0
    assert both == pytest.approx(sum(apart), abs=0.2)  # but for the bend of the power curve


def test_a_recorded_run_is_read_back_and_happens_again(tmp_path: Path) -> None:
    held = record_run(short(), replace(watched().plan, held={"run_du_2": 1.1}), seed=SEED, run=4)
    save_run(held, tmp_path / "run.json")
    again = load_run(tmp_path / "run.json")
    assert again.plan == held.plan
    assert counterfactual(again, {"cpu_du_1": 0.4}).effect("thp_ul_1") == pytest.approx(
        counterfactual(held, {"cpu_du_1": 0.4}).effect("thp_ul_1"), abs=0.0
    )


@pytest.mark.parametrize("spoil", ["seed", "text", "missing"])
def test_a_file_that_is_not_the_run_it_says_is_refused(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "run.json"
    if spoil != "missing":
        save_run(tried(), path)
        text = path.read_text()
        path.write_text(text.replace(f'"seed": {SEED}', '"seed": 99') if spoil == "seed" else text[:-40])
    with pytest.raises(InputError, match=r"run\.json"):
        load_run(path)


def test_an_effect_on_a_variable_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="no such variable"):
        counterfactual(tried(), {}).effect("thp_ul_9")


def test_what_the_run_held_already_stays_held_until_the_counterfactual_intervenes() -> None:
    """A run under do() is a fact like any other: the same do() again changes nothing, a later one no window before."""
    for held in ({"held": {"load_ul_1": 4.0, "cpu_du_2": 0.6}}, {"do": (Do(variable="load_ul_1", values=(3.0, 4.0)),)}):
        recorded = record_run(short(), replace(watched().plan, **held), seed=SEED, run=2)
        if "held" in held:
            assert counterfactual(recorded, {"load_ul_1": 4.0, "cpu_du_2": 0.6}).moved() == frozenset()
        later = counterfactual(recorded, {"load_ul_1": 1.0}, since=2)
        assert "load_ul_1" in later.moved()
        for name in later.moved():
            before, after = values(later.factual, name)[:2], values(later.record, name)[:2]
            assert np.array_equal(before, after, equal_nan=True), name
        assert values(later.record, "load_ul_1")[2:] == pytest.approx(1.0, abs=0.03)


def test_who_is_attached_moves_the_mean_channel_of_a_cell_and_the_graph_says_so() -> None:
    scenario = short("traffic-steering", "\n[channel]\n")
    recorded = record_run(scenario, replace(plan_of(scenario), windows=2), seed=SEED)
    for do in ({"nue_1": 5.0}, {"ho_p2": 2.0}):
        result = counterfactual(recorded, do)
        assert any(name.startswith("snr_") for name in result.moved())
        assert result.moved() <= result.may_move(), do
