from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.agent_config import load_agent_config
from col.errors import InputError
from tui.cli import main
from tui.config_dir import ConfigDir, operator_config_dir
from tui.lab import LabFiles, _write, _write_agent, check_name
from tui.lab_scenario import MOST_GNBS, lab_scenario, plan_of
from twin.fit_windows import Factors, fitted_scenario
from twin.scenario import load_scenario


def test_on_two_cores_the_scenario_is_the_one_that_comes_with_rantwin() -> None:
    assert lab_scenario(cores=2).digest == load_scenario("lab").digest


def test_more_cores_scale_costs_and_limits_alike_up_to_the_real_gnb() -> None:
    two, four, many = (lab_scenario(cores=cores) for cores in (2, 4, 64))
    assert four.du.base_ms == pytest.approx(2 * two.du.base_ms)
    assert four.cu.packet_ms == pytest.approx(2 * two.cu.packet_ms)
    assert four.ranges["cpu_du"].upper == pytest.approx(2 * two.ranges["cpu_du"].upper)
    assert four.topology.hosts[0].capacity_cores == 4.0
    assert many.du.base_ms == pytest.approx(load_scenario("cpu-allocation").du.base_ms, rel=0.01)


def test_no_limit_falls_below_what_the_kernel_takes() -> None:
    for cores in (1, 2, 3, 8, 64):
        scenario = lab_scenario(cores=cores)
        assert min(limit.lower for limit in scenario.ranges.values()) >= 0.01


@pytest.mark.parametrize("gnbs", range(1, MOST_GNBS + 1))
def test_fewer_gnbs_are_required_less_of(gnbs: int) -> None:
    scenario = lab_scenario(cores=2, gnbs=gnbs, window_s=2.0)
    assert len(scenario.topology.gnbs) == gnbs
    assert len(scenario.specification.metrics) == 4 * gnbs
    assert scenario.window.length_s == 2.0
    plan = plan_of(scenario, name="x", folder=Path("nowhere"))
    assert plan.keys[0] == "core"
    assert len(plan.keys) == 2 * gnbs + 2
    assert plan.limits_cores["du_1"] == scenario.ranges["cpu_du"].reference


@pytest.mark.parametrize(("gnbs", "window_s"), [(0, None), (5, None), (1, 0.2), (1, 1e9)])
def test_what_a_lab_cannot_be_is_bad_input(gnbs: int, window_s: float | None) -> None:
    with pytest.raises(InputError):
        lab_scenario(cores=2, gnbs=gnbs, window_s=window_s)


def test_nothing_in_the_lab_is_required_that_nothing_there_measures() -> None:
    assert not [name for name in load_scenario("lab").specification.metrics if name.startswith("pow")]


def test_the_labs_agent_is_the_default_one_unless_there_is_another(tmp_path: Path) -> None:
    config = ConfigDir(tmp_path)
    files, other = LabFiles(config, "a"), LabFiles(config, "b")
    assert files.is_default
    files.write_agent_config("[agent]\n")
    assert config.agent_config.read_text().endswith("[agent]\n")
    assert files.is_default, "its own configuration is written again"
    assert not other.is_default
    other.folder.mkdir(parents=True)
    assert other.write_agent_config("[agent]\n") == other.folder / "agent.toml"
    assert other.agent_socket != files.agent_socket


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "x" * 40, "ä"])
def test_a_lab_has_a_name_that_containers_can_have(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabFiles:
    """Return the files of a lab of one gNB, as 'lab up' writes them."""
    monkeypatch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path / "c"))
    made = LabFiles(operator_config_dir(), "x")
    made.config.folder(made.folder)
    scenario = lab_scenario(cores=2, gnbs=1)
    _write(made, scenario)
    _write_agent(made, scenario, exploration=True)
    return made


def test_an_agent_takes_certificates_of_a_calibrated_twin_once_it_is_accepted(files: LabFiles, tmp_path: Path) -> None:
    own = load_scenario(files.scenario)
    mine = fitted_scenario(own, Factors(du_base=1.1), name="mine")
    (tmp_path / "mine.toml").write_text(mine.to_toml())
    before = load_agent_config(files.agent_config)
    for _ in range(2):
        assert main(["lab", "accept", str(tmp_path / "mine.toml"), "--name", "x"]) == 0
    after = load_agent_config(files.agent_config)
    needs = after.engine.requirements
    assert needs.scenario_digests == {own.digest, load_scenario(tmp_path / "mine.toml").digest}
    assert replace(needs, scenario_digests=frozenset({own.digest})) == before.engine.requirements
    assert replace(after, engine=before.engine) == before


def test_a_twin_of_another_requirement_is_not_accepted(files: LabFiles, tmp_path: Path) -> None:
    other = lab_scenario(cores=2, gnbs=1, window_s=5.0)
    (tmp_path / "other.toml").write_text(other.to_toml())
    before = files.agent_config.read_text()
    assert main(["lab", "accept", str(tmp_path / "other.toml"), "--name", "x"]) == 2
    assert main(["lab", "accept", str(tmp_path / "other.toml"), "--name", "y"]) == 2
    assert files.agent_config.read_text() == before
