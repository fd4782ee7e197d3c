"""`rantwin doctor`: what this machine can do for a lab or a testbed, what it cannot, and what to install."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tui.console import EXIT_DONE, EXIT_FAILED, print_json

__all__ = ["Check", "Machine", "doctor_command", "examine"]

_PACKAGES = {
    "docker": ("docker", "labs and testbeds of containers"),
    "websockets": ("srsran", "metrics and remote control of srsRAN"),
    "pyroute2": ("links", "rate, delay and loss of links"),
    "aiokafka": ("kafka", "windows from Kafka"),
    "prometheus_client": ("metrics", "metrics of the agent for Prometheus"),
    "grpc_reflection": ("reflection", "reflection of the agent's service"),
    "textual_serve": ("web", "the screen in a browser"),
}
_LEAST_CORES = 2
_LEAST_FREE_BYTES = 1_500_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: whether it is well, what was found, what it is for, what to do where it is not.

    `lab` says whether a lab needs it.
    """

    name: str
    ok: bool
    found: str
    purpose: str = ""
    advice: str = ""
    lab: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is looked at, so that a test can put another machine in its place."""

    root: Path = Path("/")
    is_root: bool = False
    cores: int = 1
    which: Callable[[str], str | None] = shutil.which
    has_package: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None
    engine_info: Callable[[], Mapping[str, Any]] = dict
    """What the engine says of itself; raises what `bridge.lab.engine.engine` raises."""

    @classmethod
    def here(cls) -> Machine:
        """Return this machine."""
        from bridge.lab.engine import engine
        from tui.lab_scenario import cores_here

        return cls(is_root=os.geteuid() == 0, cores=cores_here(), engine_info=lambda: dict(engine(10.0).info()))

    def read(self, path: str) -> str:
        """Return a file's text without blanks around it; empty where it cannot be read."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return (self.root / path.lstrip("/")).read_text().strip()
        return ""

    def has(self, path: str) -> bool:
        """Return whether there is such a file or folder."""
        with contextlib.suppress(OSError):
            return (self.root / path.lstrip("/")).exists()
        return False


def doctor_command(args: argparse.Namespace) -> int:
    """Look at this machine and say what was found."""
    checks = examine(Machine.here())
    ready = all(check.ok for check in checks if check.lab)
    if args.json:
        print_json({"lab": ready, "checks": [asdict(check) for check in checks]})
        return EXIT_DONE if ready else EXIT_FAILED
    for check in checks:
        mark = "ok     " if check.ok else ("MISSING" if check.lab else "absent ")
        print(f"{mark} {check.name:<22} {check.found}")
        if not check.ok:
            if check.purpose:
                print(f"{'':31}needed for: {check.purpose}")
            if check.advice:
                print(f"{'':31}do: {check.advice}")
    print("a lab can run here: rantwin lab up" if ready else "no lab can run here before what is MISSING is there")
    return EXIT_DONE if ready else EXIT_FAILED


def examine(machine: Machine) -> list[Check]:
    """Return what was found, in the order in which one would put it right."""
    return [
        Check(name="Python", ok=sys.version_info >= (3, 11), found=platform.python_version(), lab=True),
        _root(machine),
        _cores(machine),
        _iperf3(machine),
        *(_package(machine, name) for name in ("docker",)),
        *_engine(machine),
        _cfs(machine),
        _disk(machine),
        *_links(machine),
        _sctp(machine),
        _power(machine),
        *(_package(machine, name) for name in _PACKAGES if name != "docker"),
    ]


def _root(machine: Machine) -> Check:
    return Check(
        name="root", ok=machine.is_root, found="yes" if machine.is_root else "no", lab=True,
        purpose="the engine's socket, cgroups, traffic control", advice="sudo -E rantwin ...",
    )  # fmt: skip


def _cores(machine: Machine) -> Check:
    enough = machine.cores >= _LEAST_CORES
    found = f"{machine.cores}; the lab's work is scaled to them"
    return Check(name="cores", ok=enough, found=found, lab=True, purpose="four gNBs and their traffic",
                 advice=f"a machine of {_LEAST_CORES} cores or more")  # fmt: skip


def _iperf3(machine: Machine) -> Check:
    found = machine.which("iperf3")
    if found is None:
        return Check(name="iperf3", ok=False, found="not installed", lab=True, purpose="the lab's traffic",
                     advice="apt install iperf3")  # fmt: skip
    from bridge.lab.image import iperf3_version

    version = ""
    with contextlib.suppress(Exception):
        version = iperf3_version(Path(found))
    return Check(name="iperf3", ok=True, found=f"{version or 'version unknown'} ({found})", lab=True)


def _package(machine: Machine, name: str) -> Check:
    extra, purpose = _PACKAGES[name]
    there = machine.has_package(name)
    return Check(
        name=f"package {name}", ok=there, found="installed" if there else "not installed", lab=name == "docker",
        purpose=purpose, advice=f"pip install 'rantwin[{extra}]'",
    )  # fmt: skip


def _engine(machine: Machine) -> list[Check]:
    what = "labs and testbeds of containers"
    try:
        info = machine.engine_info()
    except Exception as error:
        advice = "apt install docker.io, then: systemctl start docker (or: dockerd &)"
        if machine.which("dockerd") is not None:
            advice = "start it: systemctl start docker (or: dockerd &); see docker info"
        return [Check(name="Docker engine", ok=False, found=str(error)[:150], lab=True, purpose=what, advice=advice)]
    driver = str(info.get("CgroupDriver", "?"))
    version, storage, cgroup = (info.get(key, "?") for key in ("ServerVersion", "Driver", "CgroupVersion"))
    found = f"{version}, storage {storage}, cgroup v{cgroup}"
    checks = [Check(name="Docker engine", ok=True, found=f"{found} ({driver})", lab=True)]
    checks.append(
        Check(
            name="lab before others", ok=driver == "cgroupfs",
            found="the lab gets the CPU first" if driver == "cgroupfs" else f"cgroups are {driver}'s",
            purpose="a lab that other programs on this machine do not disturb",
            advice="keep the machine quiet while a lab is measured",
        )
    )  # fmt: skip
    quota = bool(info.get("CPUCfsQuota", info.get("CpuCfsQuota", True)))
    checks.append(
        Check(
            name="CPU limits", ok=quota, found="the engine can set them" if quota else "the engine cannot set them",
            lab=True, purpose="the controls of a lab", advice="a kernel with CONFIG_CFS_BANDWIDTH",
        )
    )  # fmt: skip
    swarm = str((info.get("Swarm") or {}).get("LocalNodeState", "inactive"))
    checks.append(
        Check(
            name="Swarm", ok=swarm == "active", found=swarm, purpose="testbeds of Swarm services",
            advice="docker swarm init",
        )
    )  # fmt: skip
    return checks


def _cfs(machine: Machine) -> Check:
    v2 = machine.has("/sys/fs/cgroup/cgroup.controllers")
    there = v2 and "cpu" in machine.read("/sys/fs/cgroup/cgroup.controllers").split()
    there = there or any(machine.has(f"/sys/fs/cgroup/{name}/cpu.stat") for name in ("cpu", "cpu,cpuacct"))
    slice_us = machine.read("/proc/sys/kernel/sched_cfs_bandwidth_slice_us")
    return Check(
        name="cgroup CPU controller", ok=there, lab=True,
        found=(f"v{2 if v2 else 1}" + (f", slices of {int(slice_us) / 1000:g} ms" if slice_us.isdigit() else ""))
        if there else "not mounted",
        purpose="throttling, and what is measured of it", advice="mount the cgroup file system",
    )  # fmt: skip


def _disk(machine: Machine) -> Check:
    free = 0
    for place in ("var/lib/docker", "var/lib", ""):
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(machine.root / place).free
            break
    return Check(name="disk", ok=free >= _LEAST_FREE_BYTES, found=f"{free / 1e9:.1f} GB free", lab=True,
                 purpose="the image, copied for each container by some storage drivers",
                 advice=f"at least {_LEAST_FREE_BYTES / 1e9:g} GB")  # fmt: skip


def _links(machine: Machine) -> list[Check]:
    checks = []
    for module, what in (("sch_tbf", "rate of links"), ("sch_netem", "delay, jitter and loss of links")):
        known = _has_module(machine, module)
        checks.append(
            Check(
                name=f"kernel {module}", ok=known, found="there" if known else "not in this kernel", purpose=what,
                advice=f"a kernel with {module} (modprobe {module})",
            )
        )  # fmt: skip
    return checks


def _has_module(machine: Machine, module: str) -> bool:
    """Return whether the kernel has a scheduler of packets: built in, loaded, or there to be loaded."""
    release = machine.read("/proc/sys/kernel/osrelease") or platform.release()
    if machine.has(f"/sys/module/{module}"):
        return True
    for table in ("modules.builtin", "modules.dep"):
        if f"/{module}.ko" in machine.read(f"/lib/modules/{release}/{table}"):
            return True
    import gzip

    with contextlib.suppress(OSError, EOFError):
        text = gzip.decompress((machine.root / "proc/config.gz").read_bytes()).decode("ascii", "replace")
        return f"CONFIG_NET_{module.upper()}=y" in text
    return False


def _sctp(machine: Machine) -> Check:
    there = machine.has("/proc/net/sctp") or _has_module(machine, "sctp")
    return Check(name="kernel SCTP", ok=there, found="there" if there else "not in this kernel",
                 purpose="F1 and NG between DU, CU and core of srsRAN (a lab does without)",
                 advice="modprobe sctp")  # fmt: skip


def _power(machine: Machine) -> Check:
    base = "/sys/class/powercap/intel-rapl:0/energy_uj"
    readable = machine.read(base) != ""
    return Check(name="power counters", ok=readable, found=base if readable else "not readable",
                 purpose="power that is measured (otherwise it is estimated, or no part of φ)",
                 advice="a machine with RAPL, not a virtual one; root")  # fmt: skip
