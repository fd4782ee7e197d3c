from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bridge.controls.config_file import number_of
from bridge.controls.factory import make_drivers
from bridge.deployment.__main__ import main
from bridge.deployment.generate import generate
from bridge.deployment.plan import make_plan
from bridge.deployment.yaml_text import Marked, yaml_text
from bridge.inventory import Inventory
from bridge.inventory_reader import load_inventory, parse_inventory
from col.errors import InputError

FOLDER = Path(__file__).parents[2] / "deploy" / "zmq"
KINDS = ("one-host", "swarm")


def inventory(kind: str) -> Inventory:
    return load_inventory(FOLDER / f"{kind}.toml")


def services(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, dict[str, Any]] = {}
    for name, text in files.items():
        if "/" not in name and name.endswith(".yml"):
            found |= yaml.safe_load(text)["services"]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_in_the_repository_is_what_is_generated(kind: str) -> None:
    files = generate(inventory(kind))
    here = {str(p.relative_to(FOLDER / kind)): p.read_text() for p in (FOLDER / kind).rglob("*") if p.is_file()}
    assert {name: files.get(name) for name in here} == here
    assert set(files) - set(here) <= ({f for f in files if f.startswith("config/")} if kind == "swarm" else set())


def test_both_kinds_of_testbed_have_the_same_configuration_of_radio_and_core() -> None:
    one, swarm = (generate(inventory(kind)) for kind in KINDS)
    for name in (n for n in swarm if n.startswith("config/")):
        unmarked = re.sub(r"  # rantwin: \S+", "", one[name])
        assert swarm[name] == unmarked.replace("from one-host.toml", "from swarm.toml")


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_yaml_and_says_that_nobody_ran_it(kind: str) -> None:
    yaml = pytest.importorskip("yaml")
    for name, text in generate(inventory(kind)).items():
        assert "Not run by us" in text, name
        if name.endswith((".yml", ".yaml")):
            yaml.safe_load(text)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_mounted_is_generated_and_who_is_looked_for_is_there(kind: str) -> None:
    files = generate(inventory(kind))
    there = services(files)
    for name, service in there.items():
        for word in [*service.get("entrypoint", []), *(v.partition(":")[0] for v in service.get("volumes", []))]:
            for folder in ("/etc/ran/", "/opt/rantwin/config/"):
                if word.startswith(folder):
                    assert f"config/{word.removeprefix(folder)}" in files, name
        assert set(service.get("environment", {}).get("PEERS", "").split()) <= set(there), name
        assert service["image"].rpartition(":")[2] not in ("", "latest")
        if "network_mode" in service:
            assert service["network_mode"].removeprefix("service:") in there
    for name, text in files.items():
        if name.startswith("config/") and name.endswith((".yml", ".conf")):
            asked = set(re.findall(r"@([a-z0-9-]+)@", text)) - {"self"}
            owner = name.removeprefix("config/").rpartition(".")[0]
            assert asked <= set(there[owner]["environment"]["PEERS"].split()), name


def test_limits_of_the_inventory_are_those_that_containers_start_with() -> None:
    one, swarm = (services(generate(inventory(kind))) for kind in KINDS)
    assert (one["du-3"]["cpus"], one["cu-3"]["cpus"]) == (3, 1.2)
    deploy = swarm["du-3"]["deploy"]
    assert deploy["resources"]["limits"] == {"cpus": "3"}
    assert deploy["placement"]["constraints"] == ["node.hostname == server-2"]
    assert deploy["endpoint_mode"] == "dnsrr"


def test_dus_at_one_cu_are_sectors_of_one_gnb() -> None:
    text = (FOLDER / "one-host.toml").read_text().replace("[gnbs.2]", '[gnbs.2]\ncu = "1"').replace("nci = 6750208", "")
    plan = make_plan(parse_inventory(text.replace("nci = 6766592", "").replace("nci = 6782976", ""), **WHERE))
    assert [(c.gnb_id, c.du_id, c.sector) for c in plan.cells[:2]] == [(411, 1, 0), (411, 2, 1)]
    assert len({c.nci for c in plan.cells}) == 4
    assert len({c.pci for c in plan.cells}) == 4


class Machines:
    def pid(self, workload: str, within_s: float) -> int:
        return 1

    def started_at(self, workload: str, within_s: float) -> str:
        return "once"

    def restart(self, workload: str, within_s: float) -> None:
        raise AssertionError


def test_controls_of_the_inventory_have_drivers_and_their_numbers_stand_in_the_files(tmp_path: Path) -> None:
    out = tmp_path / "one-host.toml"
    out.write_text((FOLDER / "one-host.toml").read_text())
    assert main([str(out), str(tmp_path)]) == 0
    drivers = make_drivers(load_inventory(out), Machines(), tmp_path / "state")
    assert {"tx_gain_1", "slice_max_embb_1", "ssb_power_1", "mid_rate_mid_4"} <= set(drivers.names())
    assert number_of((tmp_path / "config" / "du-2.yml").read_text(), "tx_gain_2") == 10.0
    assert main([str(out), str(tmp_path), "--check"]) == 0
    (tmp_path / "core.yml").write_text("")
    assert main([str(out), str(tmp_path), "--check"]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_agent_takes_the_inventory_and_what_it_measures_is_what_the_scenario_asks_of(
    tmp_path: Path, kind: str
) -> None:
    docker = pytest.importorskip("bridge.backends.docker")
    pytest.importorskip("docker")
    (tmp_path / "here.toml").write_text((FOLDER / f"{kind}.toml").read_text())
    assert main([str(tmp_path / "here.toml"), str(tmp_path)]) == 0
    backend = docker.DockerBackend(load_inventory(tmp_path / "here.toml"), 2.0, state=tmp_path / "state")
    names = {metric.metric.name for metric in backend._metrics}
    backend.close()
    for cell in range(1, 5):
        assert {f"{what}_{way}_{cell}" for what in ("thp", "load") for way in ("dl", "ul")} <= names


def test_the_start_script_fills_in_addresses_and_becomes_the_command(tmp_path: Path) -> None:
    script, template = tmp_path / "start.sh", tmp_path / "in"
    script.write_text(generate(inventory("one-host"))["config/start.sh"])
    template.write_text("me: @self@, peer: @localhost@")
    # What a container's engine does: its own name has an address.
    (tmp_path / "hostname").write_text("#!/bin/sh\necho localhost\n")
    (tmp_path / "hostname").chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(script), str(template), str(tmp_path / "out"), "cat", str(tmp_path / "out")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PEERS": "localhost"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "me: 127.0.0.1, peer: 127.0.0.1", done.stderr


WHERE: dict[str, Any] = {"source": "mine.toml", "folder": FOLDER}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("dl_arfcn = 368500", "dl_arfcn = 650000", "deploy.dl_arfcn = 650000: must lie in 361000 to 376000"),
        (
            "srate_msps = 5.76",
            "srate_msps = 3.84",
            "deploy.srate_msps = 3.84: must be a multiple of 0.015 and at least",
        ),
        ("ul_mbps = 5.0", "ul_mbps = 10.0", "deploy.ul_mbps = 10.0: must be above 0 and below the 7.1"),
        ("mongo:6.0.19", "mongo:latest", "deploy.images.database = 'mongo:latest': must be pinned"),
        ("mongo:6.0.19", "mongo", "must be pinned"),
        ('network = "rantwin-ran"', "colour = 3", "deploy.colour: no such key"),
        ('plmn = "99970"\ntac', 'plmn = "00101"\ntac', "gnbs.1.plmn = '99970': deploy.plmn is 00101"),
        ("nci = 6733824", "nci = 1", "gnbs.1.nci = 1: the generated cell has 6733824"),
        ('radio_mode = "zmq"', 'radio_mode = "rt"', "testbed.radio_mode = 'rt'"),
        ('container = "du-1"', 'container = "du_1"', "must be a host name"),
        ("bandwidth_mhz = 5", "bandwidth_mhz = 6", "must be one of 5, 10, 15, 20"),
        ("tac = 1", 'tac = "1"', "deploy.tac = '1': must be a whole number"),
        ("[controls.tx_gain]", "[controls.colour]", "controls.colour_1: a generated file has no number for it"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_is_written(old: str, new: str, said: str) -> None:
    text = (FOLDER / "one-host.toml").read_text()
    assert old in text
    with pytest.raises(InputError, match=r"mine\.toml") as error:
        generate(parse_inventory(text.replace(old, new), **WHERE))
    assert said in str(error.value)


def test_an_inventory_that_cannot_be_read_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.toml"), str(tmp_path / "out")]) == 2
    assert "none.toml: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_texts_that_yaml_would_take_for_something_else_are_quoted() -> None:
    document: dict[str, Any] = {
        "a": "yes",
        "b": "001",
        "c": "@self@",
        "d": "x: y",
        "e": [],
        "f": {},
        "g": None,
        "h": Marked(5.5, "gain"),
    }
    text = yaml_text(document, "one\ntwo")
    assert text.startswith("# one\n# two\n")
    assert "h: 5.5  # rantwin: gain" in text
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(text) == {**document, "h": 5.5}
