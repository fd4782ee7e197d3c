from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from col.errors import UnreachableError
from tui.cli import main
from tui.doctor import Check, Machine, examine

ENGINE = {"ServerVersion": "28.1", "Driver": "overlay2", "CgroupVersion": "2", "CgroupDriver": "cgroupfs",
          "CpuCfsQuota": True, "Swarm": {"LocalNodeState": "inactive"}}  # fmt: skip


def files(root: Path, **content: str) -> Path:
    """Make files of a machine; '__' in a name stands for '/'."""
    for name, text in content.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def whole(root: Path) -> Path:
    path = root / "sys/fs/cgroup/cgroup.controllers"
    path.parent.mkdir(parents=True)
    path.write_text("cpuset cpu io memory pids\n")
    return files(root, proc__sys__kernel__sched_cfs_bandwidth_slice_us="5000\n")


def machine(root: Path, **changes: Any) -> Machine:
    given: dict[str, Any] = {
        "root": root, "is_root": True, "cores": 4, "which": lambda name: f"/nowhere/{name}",
        "has_package": lambda _: True, "engine_info": lambda: ENGINE,
    }  # fmt: skip
    return Machine(**(given | changes))


def by_name(checks: list[Check]) -> Mapping[str, Check]:
    return {check.name: check for check in checks}


def needed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if check.lab and not check.ok}


def test_a_machine_with_all_that_it_takes_can_run_a_lab(tmp_path: Path) -> None:
    checks = examine(machine(whole(tmp_path)))
    assert needed(checks) == set()
    assert by_name(checks)["cgroup CPU controller"].found == "v2, slices of 5 ms"


def _no_engine() -> Mapping[str, Any]:
    raise UnreachableError("no Docker engine answers on this machine (no such file)")


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"is_root": False}, "root"),
        ({"cores": 1}, "cores"),
        ({"which": lambda _: None}, "iperf3"),
        ({"engine_info": _no_engine}, "Docker engine"),
        ({"has_package": lambda name: name != "docker"}, "package docker"),
        ({"engine_info": lambda: ENGINE | {"CpuCfsQuota": False}}, "CPU limits"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(changes: dict[str, Any], missing: str, tmp_path: Path) -> None:
    checks = examine(machine(whole(tmp_path), **changes))
    assert needed(checks) == {missing}
    assert by_name(checks)[missing].advice
    assert by_name(checks)[missing].purpose


def test_a_machine_without_cgroups_can_run_no_lab(tmp_path: Path) -> None:
    assert "cgroup CPU controller" in needed(examine(machine(tmp_path)))
    (tmp_path / "sys/fs/cgroup/cpu").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu/cpu.stat").write_text("nr_periods 0\n")
    checks = examine(machine(tmp_path))
    assert by_name(checks)["cgroup CPU controller"].found == "v1"
    assert "cgroup CPU controller" not in needed(checks)


def test_what_only_a_testbed_needs_does_not_keep_a_lab_from_running(tmp_path: Path) -> None:
    checks = by_name(examine(machine(whole(tmp_path))))
    for name in ("Swarm", "kernel sch_netem", "kernel SCTP", "power counters"):
        assert not checks[name].ok
        assert not checks[name].lab
        assert checks[name].advice


def test_modules_are_found_built_in_loaded_or_to_be_loaded(tmp_path: Path) -> None:
    whole(tmp_path)
    files(tmp_path, proc__sys__kernel__osrelease="6.1.0\n")
    (tmp_path / "lib/modules/6.1.0").mkdir(parents=True)
    (tmp_path / "lib/modules/6.1.0/modules.dep").write_text("kernel/net/sched/sch_netem.ko.xz:\n")
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(b"CONFIG_NET_SCH_TBF=y\n# CONFIG_IP_SCTP is not set\n"))
    (tmp_path / "sys/module/sctp").mkdir(parents=True)
    checks = by_name(examine(machine(tmp_path)))
    assert all(checks[name].ok for name in ("kernel sch_netem", "kernel sch_tbf", "kernel SCTP"))


def test_the_command_answers_machines_and_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: machine(whole(tmp_path), is_root=False)))
    assert main(["doctor", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["lab"] is False
    assert {check["name"] for check in answer["checks"] if check["lab"] and not check["ok"]} == {"root"}
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").unlink()
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: machine(tmp_path)))
    assert main(["doctor"]) == 1
    assert "MISSING cgroup CPU controller" in capsys.readouterr().out
