"""Every benchmark says the same things in the same way. Their quick forms run in CI, not here."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import common
from benchmarks.common import BARS, FIGURES, NotHereError, Settings, Yardstick, run_benchmark

MODULES = sorted(p.stem for p in Path(common.__file__).parent.glob("*.py") if p.stem not in {"__init__", "common"})


@pytest.fixture(autouse=True)
def _short_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "timeouts_per_cpu_s", lambda *, timeouts: 2e6)


def measure_speed(settings: Settings, yardstick: Yardstick) -> Mapping[str, Any]:
    return {"norm": yardstick.norm(simulated_s=100.0, cpu_s=0.1), "quick_form": settings.quick}


@pytest.mark.parametrize("name", MODULES)
def test_benchmark_is_one_that_the_design_names_and_explains_its_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"benchmarks.{name}")

    assert name in FIGURES
    with pytest.raises(SystemExit) as stopped:
        module.main(["--help"])
    assert stopped.value.code == 0
    options = capsys.readouterr().out
    assert [option for option in ("--json", "--quick", "--seed") if option not in options] == []


def test_json_has_figures_yardstick_machine_and_versions_and_nothing_else_on_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = run_benchmark("speed", measure_speed, ["--json", "--quick", "--seed", "7"])

    result = json.loads(capsys.readouterr().out)
    assert status == 0
    assert result["norm"] == pytest.approx(500.0)
    assert result["seed"] == 7
    assert result["quick"] is True
    assert result["yardstick"]["timeouts_per_cpu_s"] == 2_000_000
    assert {"processor", "cores"} <= result["machine"].keys()
    assert {"python", "numpy", "simpy"} <= result["versions"].keys()
    assert "commit" in result


def test_norm_halves_on_a_core_that_is_twice_as_fast() -> None:
    assert Yardstick([1e6]).norm(50.0, 1.0) == pytest.approx(50.0 / 1.5)  # median of 1 M and the fresh 2 M
    assert Yardstick([2e6]).norm(50.0, 1.0) == pytest.approx(25.0)


def test_a_figure_that_was_promised_and_is_absent_is_an_error() -> None:
    with pytest.raises(KeyError, match="norm"):
        run_benchmark("speed", lambda *_: {"speed": 1.0}, ["--json"])


def test_a_figure_that_is_not_a_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON"):
        run_benchmark("speed", lambda *_: {"norm": float("nan")}, ["--json"])


@pytest.mark.parametrize(("norm", "status"), [(499.0, 1), (500.0, 0)])
def test_a_missed_bar_fails_only_when_that_was_asked_for(norm: float, status: int) -> None:
    assert run_benchmark("speed", lambda *_: {"norm": norm}, []) == 0
    assert run_benchmark("speed", lambda *_: {"norm": norm}, ["--strict"]) == status


def test_a_machine_that_cannot_run_a_benchmark_is_told_why_and_fails_it_only_where_it_must(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(*_: object) -> Mapping[str, Any]:
        raise NotHereError("it takes root")

    monkeypatch.delenv("CI", raising=False)
    assert run_benchmark("lab", measure, ["--quick"]) == 0
    assert run_benchmark("lab", measure, []) == 3
    monkeypatch.setenv("CI", "true")
    assert run_benchmark("lab", measure, ["--quick"]) == 3
    assert capsys.readouterr().err.count("lab: skipped, it takes root") == 3


def test_every_bar_belongs_to_a_figure_and_its_goal_is_no_easier_than_what_it_must_reach() -> None:
    known = {key for keys in FIGURES.values() for key in keys}
    assert set(BARS) <= known
    for key, bar in BARS.items():
        assert bar.goal is None or bar.met(bar.goal), key


def test_a_figure_that_some_seeds_lack_is_summarised_over_the_others() -> None:
    from benchmarks.rehearsal import PRIORS, summarise

    whole = {"coverage_50": 0.9, "unsafe": 1.0, "worst_p": 0.8}
    short = {"unsafe": 0.0, "worst_p": float("nan")}
    figures = summarise([dict.fromkeys(PRIORS, whole), dict.fromkeys(PRIORS, short)])

    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["coverage_50"] == 0.9
    assert figures["coverage_50_seeds"] == figures["naive.worst_p_seeds"] == 1
    assert figures["unsafe_range"] == [0.0, 1.0]
