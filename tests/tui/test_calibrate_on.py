"""`rantwin calibrate --on`: what a safe sweep dares, what the fit makes of it, and what is said of twin and testbed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from col.errors import InputError, RefusedError
from col.plant import Intervention, PlantDescription, Trial, TrialOutcome, Windows
from tests.tui.small_scenario import small_scenario
from tui.calibrate_on import CalibrateOnRequest, calibrate_on, report_lines, sweep
from tui.cli import main
from tui.on_testbed import Testbed
from tui.progress import QuietProgress, Status
from twin.fit_windows import Factors, Sample, fit_windows, fitted_scenario, samples_of
from twin.ran import RunPlan, RunRecord, simulate
from twin.scenario import Scenario, load_scenario, parse_scenario
from twin.traffic import OperatingLoad
from twin.twin import Twin

TRUE = Factors(du_base=1.15, du_load=1.15, cu_base=0.9, cu_load=0.9)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_scenario(tmp_path_factory.mktemp("scenario"))


@pytest.fixture(scope="module")
def scenario(path: Path) -> Scenario:
    return load_scenario(path)


class Watched:
    """A plant that notes what is tried on it, and may end a trial otherwise."""

    def __init__(self, plant: Twin, ends: Sequence[TrialOutcome] = ()) -> None:
        self.plant, self.ends = plant, list(ends)
        self.tried: list[dict[str, float]] = []

    def describe(self) -> PlantDescription:
        return self.plant.describe()

    def history(self, since: int) -> Windows:
        return self.plant.history(since)

    def observe(self, n: int) -> Windows:
        return self.plant.trial(Intervention(self.plant.describe().reference.values), n).windows

    def trial(self, x: Intervention, n: int, *, keep: bool = False) -> Trial:
        assert not keep
        self.tried.append(dict(x.values))
        trial = self.plant.trial(x, n)
        if self.ends and (outcome := self.ends.pop(0)) is not TrialOutcome.HELD:
            nothing = trial.windows.take(slice(0, 0)) if outcome is TrialOutcome.REFUSED else trial.windows
            return replace(trial, outcome=outcome, windows=nothing, reasons=("the gate's reason",))
        return trial


def windows_of(record: RunRecord) -> Windows:
    n = len(record.start_s)
    sequence, run = np.arange(n), np.zeros(n, dtype=np.int64)
    columns: dict[str, Any] = {name: getattr(record, name) for name in ("start_s", "end_s", "controls", "metrics")}
    return Windows(sequence=sequence, run=run, **columns)


def request(path: Path, out: Path, **changes: Any) -> CalibrateOnRequest:
    return CalibrateOnRequest(on="unix:/x", scenario=path, out=out, **changes)


def dearer(scenario: Scenario) -> Twin:
    return Twin(fitted_scenario(scenario, TRUE, name="testbed"), 3, workers=1)


def test_a_sweep_goes_down_in_steps_and_never_below_the_headroom_over_what_was_used(
    scenario: Scenario, path: Path
) -> None:
    plant = Watched(dearer(scenario))
    done = sweep(plant, scenario, request(path, path), Status(title="t"), QuietProgress())
    du = [t["cpu_du_1"] for t in plant.tried if "cpu_du_1" in t]
    assert len(plant.tried) == 6
    assert du == sorted(du, reverse=True)
    assert all(set(t) in ({"cpu_du_1"}, {"cpu_cu_1"}) for t in plant.tried)
    for kind in ("du", "cu"):
        used = max(getattr(s, f"{kind}_cores") for s in done.samples)
        lowest = min(t[f"cpu_{kind}_1"] for t in plant.tried if f"cpu_{kind}_1" in t)
        assert lowest >= 1.2 * used  # 1.3 times what had been seen by then
    assert {s.setting for s in done.samples} == set(range(7))


def test_a_twin_fitted_on_itself_at_small_loads_keeps_its_costs() -> None:
    lab = load_scenario("lab")
    samples = []
    for setting, mbps in enumerate((1.5, 0.75, 0.33)):
        load = OperatingLoad(dl_mbps=mbps, ul_mbps=mbps)
        there = replace(lab, operating_load=load, du_overrides={**lab.du_overrides, "run_sd": 0.0, "slow_sd": 0.0})
        there = replace(there, cu=replace(lab.cu, run_sd=0.0, slow_sd=0.0))
        base = {control.name: control.reference for control in lab.controls}
        record = simulate(there, RunPlan(base=base, first_window=1000, windows=2), seed=1, run=0)
        samples += samples_of(windows_of(record), lab, setting)
    fit = fit_windows(lab, samples)
    assert not fit.is_common
    for part in ("du_base", "du_load", "cu_base", "cu_load"):
        assert getattr(fit.factors, part) == pytest.approx(1.0, abs=0.03), fit.factors


def test_after_a_trial_that_did_not_hold_it_goes_no_further_down(scenario: Scenario, path: Path) -> None:
    ends = [TrialOutcome.HELD, TrialOutcome.ROLLED_BACK, TrialOutcome.REFUSED]
    plant = Watched(dearer(scenario), ends)
    done = sweep(plant, scenario, request(path, path), Status(title="t"), QuietProgress())
    assert [step.outcome for step in done.steps] == ["held", "rolled back", "refused"]
    assert [set(t) for t in plant.tried] == [{"cpu_du_1"}, {"cpu_du_1"}, {"cpu_cu_1"}]


def test_a_container_whose_use_nobody_saw_keeps_its_limit(scenario: Scenario, path: Path) -> None:
    class Blind(Watched):
        def observe(self, n: int) -> Windows:
            windows = super().observe(n)
            return replace(windows, metrics={**windows.metrics, "cpuu_du_1": np.full(len(windows), np.nan)})

    plant = Blind(dearer(scenario))
    sweep(plant, scenario, request(path, path), Status(title="t"), QuietProgress())
    assert plant.tried
    assert all(set(t) == {"cpu_cu_1"} for t in plant.tried)


def test_a_limit_that_moved_while_it_was_watched_is_not_taken_down(scenario: Scenario, path: Path) -> None:
    class Moving(Watched):
        def observe(self, n: int) -> Windows:
            windows = super().observe(n)
            column = np.array(windows.controls["cpu_cu_1"])
            column[-1] = np.nan  # as a backend says it of a window over a change
            return replace(windows, controls={**windows.controls, "cpu_cu_1": column})

    plant = Moving(dearer(scenario))
    sweep(plant, scenario, request(path, path), Status(title="t"), QuietProgress())
    assert plant.tried
    assert all(set(t) == {"cpu_du_1"} for t in plant.tried)


def test_a_trial_whose_end_nobody_knows_ends_the_sweep(scenario: Scenario, path: Path) -> None:
    plant = Watched(dearer(scenario), [TrialOutcome.UNKNOWN])
    done = sweep(plant, scenario, request(path, path), Status(title="t"), QuietProgress())
    assert [step.outcome for step in done.steps] == ["unknown"]
    assert {s.setting for s in done.samples} == {0}


def test_the_fit_finds_how_much_dearer_the_testbed_is_and_predicts_what_it_did_not_see(
    scenario: Scenario, path: Path
) -> None:
    done = sweep(Watched(dearer(scenario)), scenario, request(path, path), Status(title="t"), QuietProgress())
    fit = fit_windows(scenario, done.samples)
    assert fit.is_common
    # A run's random effect is a few per cent of its own.
    assert fit.factors.du_base == pytest.approx(TRUE.du_base, rel=0.06)
    assert fit.factors.cu_base == pytest.approx(TRUE.cu_base, rel=0.06)
    assert fit.errors_before["du_cores"] > 0.08
    assert fit.errors_after["du_cores"] < 0.05
    assert fit.left_out["cu_cores"] < 0.05
    assert fit.errors_after["thp_dl_mbps"] < 0.01


def test_at_several_loads_the_steady_part_is_told_from_the_one_that_follows_the_load(scenario: Scenario) -> None:
    true = Factors(du_base=1.2, du_load=0.8, cu_base=0.8, cu_load=1.3)
    testbed, samples = fitted_scenario(scenario, true, name="testbed"), []
    for setting, (dl, ul) in enumerate([(1.0, 1.0), (10.0, 1.0), (1.0, 10.0), (6.0, 6.0), (10.0, 10.0)]):
        loaded = replace(testbed, operating_load=OperatingLoad(dl_mbps=dl, ul_mbps=ul))
        trial = Twin(loaded, 3, workers=1).trial(Intervention(loaded.description().reference.values), 3)
        samples += samples_of(trial.windows, scenario, setting)
    fit = fit_windows(scenario, samples)
    assert not fit.is_common
    assert fit.factors.du_base == pytest.approx(1.2, rel=0.08)
    assert fit.factors.du_load < 1.0
    assert fit.factors.cu_base < 1.0 < fit.factors.cu_load


def test_a_container_that_is_short_of_cpu_tells_nothing_of_its_demand(scenario: Scenario) -> None:
    sample = Sample(
        setting=0, cell=1, du_quota=0.4, cu_quota=1.0, load_dl_mbps=10.0, load_ul_mbps=10.0, du_cores=0.4,
        cu_cores=0.3, thp_dl_mbps=5.0, thp_ul_mbps=5.0, windows=1,
    )  # fmt: skip
    with pytest.raises(InputError, match="DU that was not short of CPU"):
        fit_windows(scenario, [sample])


def test_windows_with_a_missing_value_are_left_out_and_a_missing_metric_is_named(scenario: Scenario) -> None:
    windows = dearer(scenario).observe(4)
    metrics = {name: np.array(values) for name, values in windows.metrics.items()}
    metrics["cpuu_du_1"][:3] = np.nan
    assert [s.windows for s in samples_of(replace(windows, metrics=metrics), scenario, 0)] == [1]
    metrics["cpuu_du_1"][3] = np.nan
    assert samples_of(replace(windows, metrics=metrics), scenario, 0) == []
    del metrics["cpuu_du_1"]
    with pytest.raises(InputError, match="cpuu_du_1"):
        samples_of(replace(windows, metrics=metrics), scenario, 0)


class Client:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def on_testbed(monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> tuple[Watched, Client]:
    plant, client = Watched(dearer(scenario)), Client()
    facts = {"plant_id": "lab", "stack": "s", "radio_mode": "rt"}
    found: Any = client
    monkeypatch.setattr("tui.calibrate_on.open_testbed", lambda *_, **__: Testbed(plant, found, facts))
    return plant, client


def test_what_is_written_is_the_scenario_with_the_fitted_costs(
    on_testbed: tuple[Watched, Client], path: Path, scenario: Scenario, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "mine.toml"
    code = main(["calibrate", "--on", "unix:/x", "--scenario", str(path), "--out", str(out), "--quiet", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert code == 0
    written = parse_scenario(out.read_bytes(), out.name)
    assert written.name == "mine"
    assert written.du.base_ms == pytest.approx(scenario.du.base_ms * result["factors"]["du_base"], rel=1e-4)
    assert written.cu.packet_ms == pytest.approx(scenario.cu.packet_ms * result["factors"]["cu_load"], rel=1e-4)
    assert written.du.deadline_ms == scenario.du.deadline_ms
    assert written.specification.text == scenario.specification.text
    said = "\n".join(report_lines(result))
    assert "6 of 6 trials held on lab" in said
    assert "left out" in said
    assert "not fitted" in said
    assert on_testbed[1].closed == 1


def test_where_every_step_is_refused_nothing_is_written_and_the_reasons_are_said(
    on_testbed: tuple[Watched, Client], path: Path, tmp_path: Path
) -> None:
    on_testbed[0].ends = [TrialOutcome.REFUSED] * 9
    out = tmp_path / "mine.toml"
    with pytest.raises(RefusedError, match="the gate's reason"):
        calibrate_on(request(path, out), QuietProgress())
    assert not out.exists()
    assert on_testbed[1].closed == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["calibrate"], "DATA"),
        (["calibrate", "data", "--on", "unix:/x"], "cannot be fitted together"),
        (["calibrate", "--on", "unix:/x", "--out", "a.json"], "must end in .toml"),
        (["calibrate", "--on", "unix:/x", "--headroom", "1.05"], "--headroom"),
    ],
)
def test_what_does_not_go_together_is_bad_input(
    on_testbed: tuple[Watched, Client], arguments: list[str], said: str, capsys: Any
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
