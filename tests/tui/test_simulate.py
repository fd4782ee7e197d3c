"""`rantwin simulate`: windows as they come, under do(), once more in a counterfactual, and beside a recording."""

import csv
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.tui.small_scenario import small_scenario
from tui.cli import main
from tui.window_store import read_windows
from twin.ran import passive_plan, simulate, trial_plan
from twin.scenario import Scenario, load_scenario
from twin.twin import Twin

FILES = {"scenario.toml", "windows.parquet", "windows.csv", "events.jsonl", "simulation.json", "report.html"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_scenario(tmp_path_factory.mktemp("scenario")))


@pytest.fixture(scope="module")
def plain(small: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulation of six windows with one limit lowered."""
    folder = tmp_path_factory.mktemp("plain") / "sim"
    assert main(["simulate", small, "--windows", "6", "--do", "cpu_du_1=0.5", "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def passive(small: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("passive") / "sim"
    assert main(["simulate", small, "--passive", "--windows", "7", "--quiet", "--out", str(folder)]) == 0
    return folder


@cache
def scenario_of(name: str) -> Scenario:
    return load_scenario(name)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line that bad input gets."""
    code = main(["simulate", *words])
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_a_simulation_is_the_trial_that_the_twin_would_make(plain: Path, small: str) -> None:
    windows, trial = read_windows(plain / "windows.parquet")
    scenario = scenario_of(small)
    base = scenario.description().reference.values
    plan = trial_plan(scenario, dict(base), {**base, "cpu_du_1": 0.5}, 6)
    record = simulate(scenario, plan, seed=0, run=0)
    assert set(trial) == {0}
    assert set(windows.controls["cpu_du_1"]) == {0.5}
    for name, column in record.metrics.items():
        np.testing.assert_array_equal(windows.metrics[name], column)


def test_a_passive_simulation_is_what_the_twin_would_observe(passive: Path, small: str) -> None:
    windows, _ = read_windows(passive / "windows.parquet")
    observed = Twin(scenario_of(small), 0).observe(7)
    np.testing.assert_array_equal(windows.run, observed.run)
    for name, column in observed.metrics.items():
        np.testing.assert_array_equal(windows.metrics[name], column)


def test_the_folder_has_every_file_and_says_how_to_make_it_again(plain: Path, small: str) -> None:
    assert {path.name for path in plain.iterdir()} >= FILES
    summary = json.loads((plain / "simulation.json").read_text())
    assert summary["controls"] == {"cpu_du_1": 0.5}
    assert summary["seed"] == 0
    assert "--do cpu_du_1=0.5" in summary["command"]
    assert load_scenario(plain / "scenario.toml").digest == scenario_of(small).digest
    page = (plain / "report.html").read_text()
    assert page.count("<svg") >= 2
    assert "<script" not in page


def test_csv_has_the_columns_of_the_data_set_in_its_units(plain: Path, small: str) -> None:
    windows, _ = read_windows(plain / "windows.parquet")
    with (plain / "windows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    first = {name: float(value) if value else math.nan for name, value in rows[0].items()}
    assert first["DU1_cpu_limit"] == 0.5
    assert first["DU1_cpu_usage_percent"] == pytest.approx(100 * windows.metrics["cpuu_du_1"][0])
    assert first["DU1_e2e_uplink_throughput_bps"] == pytest.approx(1e6 * windows.metrics["thp_ul_1"][0])
    assert first["DU1_power_consumption_watts"] == first["CU1_power_consumption_watts"]
    lost = 1 - windows.metrics["thp_dl_1"][0] / windows.metrics["load_dl_1"][0]
    assert first["DU1_e2e_downlink_lost_percent"] == pytest.approx(100 * max(0, lost))
    assert first["prb_ul_1"] == windows.metrics["prb_ul_1"][0]  # nothing corresponds: by its own name


def test_a_trace_has_every_packet_of_the_windows(small: str, tmp_path: Path) -> None:
    out = tmp_path / "trace"
    assert main(["simulate", small, "--windows", "2", "--trace", "--quiet", "--out", str(out)]) == 0
    windows, _ = read_windows(out / "windows.parquet")
    table = pq.read_table(out / "packets.parquet").to_pydict()
    delivered = np.array([t for t, way in zip(table["delivered_s"], table["way"], strict=True) if way == "ul"])
    for k in range(2):
        inside = np.sum((delivered > windows.start_s[k]) & (delivered <= windows.end_s[k]))
        mbps = inside * 8 * scenario_of(small).payload_bytes / 3.0 / 1e6
        assert mbps == pytest.approx(windows.metrics["thp_ul_1"][k], rel=0.01)
    sent = np.array(table["sent_s"])
    assert np.all(np.array(table["delivered_s"]) > sent)


def test_json_goes_to_stdout_alone(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["simulate", small, "--windows", "2", "--json", "--runs-dir", str(tmp_path)])
    out, _ = capsys.readouterr()
    answer = json.loads(out)
    assert code == 0
    assert answer["windows"] == 2
    assert Path(answer["folder"]).parent == tmp_path / "simulations"
    assert answer["metrics"]["thp_dl_1"]["mean"] > 0


def test_a_counterfactual_without_a_change_is_the_run_itself(
    passive: Path, tmp_path: Path, small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    windows, _ = read_windows(passive / "windows.parquet")
    fixed = float(windows.controls["cpu_du_1"][0])  # held as it was in the first window: nothing before it differs
    words = ["--counterfactual", str(passive), "--do", f"cpu_du_1={fixed}", "--quiet", "--out", str(tmp_path / "cf")]
    assert main(["simulate", *words]) == 0
    capsys.readouterr()
    after, _ = read_windows(tmp_path / "cf" / "windows.parquet")
    before, _ = read_windows(tmp_path / "cf" / "factual.parquet")
    for name, column in windows.metrics.items():
        np.testing.assert_array_equal(before.metrics[name], column)
        assert after.metrics[name][0] == pytest.approx(column[0], nan_ok=True)
    assert set(after.controls["cpu_du_1"]) == {fixed}
    other = "cpu_cu_1"
    np.testing.assert_array_equal(after.controls[other], before.controls[other])


def test_a_counterfactual_of_a_folder_that_was_changed_is_refused(
    passive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = tmp_path / "forged"
    forged.mkdir()
    for path in passive.iterdir():
        if path.is_file():
            (forged / path.name).write_bytes(path.read_bytes())
    content = json.loads((forged / "simulation.json").read_text())
    (forged / "simulation.json").write_text(json.dumps({**content, "seed": 9}))
    line = said(capsys, "--counterfactual", str(forged), "--do", "cpu_du_1=0.9", "--quiet")
    assert "does not happen again" in line


def test_a_counterfactual_does_not_take_the_place_of_its_run(passive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (passive / "simulation.json").read_bytes()
    words = ("--counterfactual", str(passive), "--do", "cpu_du_1=0.9", "--quiet")
    assert "is the run that it is a counterfactual of" in said(capsys, *words, "--out", str(passive / "."))
    assert (passive / "simulation.json").read_bytes() == before


def recording(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(k: int, **changes: Any) -> dict[str, Any]:
    """Return a row as the data set has them."""
    return {
        "routing_config": 1,
        "CU1_cpu_limit": 0.9,
        "CU1_power_consumption_watts": 81.0 + k,
        "DU1_cell_scheduling_processing_latency_ms": 4.5,
        "DU1_cpu_limit": 0.8 + 0.1 * (k % 3),
        "DU1_cpu_usage_percent": 62.0,
        "DU1_e2e_uplink_throughput_bps": 2e6,
        "DU1_load_downlink": 3.0,
        "DU1_load_uplink": 2.0 + (k % 2),
        "DU1_mac_layer_cpu": 3,
        **changes,
    }


def test_the_twin_runs_beside_a_recording_with_its_known_faults(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(k) for k in range(5)]
    rows[1]["CU1_power_consumption_watts"] = 2**64 / 4e6  # a wrapped energy counter
    rows[2]["DU1_load_downlink"] = ""
    path = recording(tmp_path / "data.csv", rows)
    out = tmp_path / "beside"
    assert main(["simulate", small, "--trace-in", str(path), "--json", "--quiet", "--out", str(out)]) == 0
    answer = json.loads(capsys.readouterr().out)
    notes = " | ".join(answer["notes"])
    for words in ("wrapped counters", "microseconds", "load_dl_1: 1 missing", "routing_config, DU1_mac_layer_cpu"):
        assert words in notes
    windows, _ = read_windows(out / "windows.parquet")
    np.testing.assert_allclose(windows.metrics["load_ul_1"], [2, 3, 2, 3, 2], rtol=0.02)
    np.testing.assert_allclose(windows.controls["cpu_du_1"], [0.8, 0.9, 1.0, 0.8, 0.9])
    there, _ = read_windows(out / "factual.parquet")
    power = next(name for name in there.metrics if name.startswith("pow_"))
    np.testing.assert_allclose(there.metrics[power], [81, math.nan, 83, 84, 85])
    assert answer["errors"]["thp_ul_1"]["windows"] == 5


def test_what_simulate_writes_reads_back_as_the_same_windows(plain: Path, small: str) -> None:
    from tui.dataset_read import read_dataset, recorded_trace

    scenario = scenario_of(small)
    read = read_dataset(plain / "windows.csv", scenario)
    windows, _ = read_windows(plain / "windows.parquet")
    for name, column in {**windows.controls, **windows.metrics}.items():
        np.testing.assert_allclose(read.windows.column(name), column, rtol=1e-12)
    np.testing.assert_array_equal(read.windows.sequence, windows.sequence)
    moved = [row(k) for k in range(4)]
    path = recording(plain.parent / "moved.csv", moved)
    trace = recorded_trace(read_dataset(path, scenario), scenario)
    assert [control.name for control in trace.describe().controls] == ["cpu_du_1"]
    assert trace.passive_left == 4
    np.testing.assert_allclose(trace.observe(4).metrics["thp_ul_1"], 2.0)


@pytest.mark.parametrize(
    ("words", "place", "advice"),
    [
        ((), "SCENARIO", "rantwin scenarios"),
        (("moon",), "moon", "no such scenario"),
        (("S", "--do", "cpu_du_1"), "--do", "NAME=VALUE"),
        (("S", "--do", "cpu_du_1=lots"), "--do", "NAME=VALUE"),
        (("S", "--do", "cpu_du_1=nan"), "--do", "NAME=VALUE"),
        (("S", "--do", "cpu_du_1=99"), "--do cpu_du_1 = 99", "0.1 to 1.5 core"),
        (("S", "--do", "cpu_dx_1=1"), "cpu_dx_1", "cpu_du_1"),
        (("S", "--windows", "0"), "--windows", "at least 1"),
        (("S", "--counterfactual", "x", "--do", "cpu_du_1=1"), "SCENARIO", "leave it out"),
        (("--counterfactual", "x", "--seed", "3", "--do", "cpu_du_1=1"), "--seed", "leave it out"),
        (("--counterfactual", "x", "--trace", "--do", "cpu_du_1=1"), "--trace", "leave it out"),
        (("S", "--keep-controls"), "--keep-controls", "belongs to --counterfactual"),
        (("--counterfactual", "/nowhere", "--do", "cpu_du_1=1"), "/nowhere", "not the folder of a simulation"),
        (("S", "--trace-in", "/nowhere.csv"), "/nowhere.csv", "cannot be read"),
        (("S", "--out", "/etc"), "--out", "new folder"),
    ],
)
def test_bad_input_is_one_line(
    small: str, words: tuple[str, ...], place: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = said(capsys, *(small if word == "S" else word for word in words))
    assert place in line
    assert advice in line


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "DU1_cpu_limit"),
        ("DU1_cpu_limit,DU1_load_uplink\n", "no rows"),
        ("DU1_cpu_limit,DU1_load_uplink\n1.0\n", "line 2"),
        ("DU1_cpu_limit,DU1_cpu_limit\n1.0,1.0\n", "twice"),
        ("DU77_cpu_limit\n1.0\n", "no gNB"),
        ("DU1_cpu_limit\nx\n", "every limit"),
        ('DU1_cpu_limit\n"1\n', "CSV"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_in_one_line(
    small: str, text: str, advice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    line = said(capsys, small, "--trace-in", str(path), "--quiet")
    assert "data.csv" in line
    assert advice in line


def test_passive_runs_are_as_long_as_the_scenario_says(small: str, passive: Path) -> None:
    windows, _ = read_windows(passive / "windows.parquet")
    each = passive_plan(scenario_of(small), {}).windows
    assert np.bincount(windows.run).max() <= each


def test_runs_shared_among_processes_are_the_same_runs(small: str, tmp_path: Path) -> None:
    words = ["simulate", small, "--windows", "2", "--runs", "3", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "alone")]) == 0
    assert main([*words, "--workers", "2", "--out", str(tmp_path / "shared")]) == 0
    (alone, _), (shared, _) = (read_windows(tmp_path / name / "windows.parquet") for name in ("alone", "shared"))
    np.testing.assert_array_equal(alone.run, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(alone.run, shared.run)
    for name, column in alone.metrics.items():
        np.testing.assert_array_equal(column, shared.metrics[name])
