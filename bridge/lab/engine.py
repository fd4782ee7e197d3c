"""The lab on a Docker engine of this machine: up, down, and what is there. The engine is the only state.

The engine is the one that DOCKER_HOST names (a Unix socket of this machine), else /var/run/docker.sock.

Every container and the network carry the label `rantwin.lab` with the lab's name, and are found by it alone. The
containers share one folder of this machine (`LabPlan.folder`): what to do in it (`config.json`, `load.json`) and
`counters/`, where each process counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.lab.image import WORKER_IN_IMAGE, build_image
from bridge.lab.worker.counters import CU, DU, TRAFFIC, read_board
from col.errors import InputError, PlantError, UnreachableError

__all__ = [
    "LABEL",
    "LabPlan",
    "LabState",
    "down",
    "engine",
    "engine_address",
    "look",
    "offer",
    "up",
    "wait_for_traffic",
]

LABEL = "rantwin.lab"
_MEMORY = {"du": 128 << 20, "cu": 128 << 20, "ue": 512 << 20, "core": 512 << 20}
_SHARES = {"du": 65536, "cu": 16384, "ue": 1024, "core": 1024}
"""Who gets the CPU first within a lab: a DU that had to wait for the senders' turn would be late, with quota left."""
_NETWORKS = [f"10.{second}.{third}.0/24" for second in (213, 87, 199, 41) for third in (77, 78, 79, 80, 81, 82)]
_CGROUPS = Path("/sys/fs/cgroup")
_WEIGHTS = ((_CGROUPS / "cpu", "cpu.shares", "65536"), (_CGROUPS, "cpu.weight", "10000"))
"""Where cgroup v1 and v2 keep the share of CPU time, and the largest that each allows or nearly so."""
_CGROUPS_GO_S = 5.0
"""The engine removes the cgroups of its containers a moment after them."""
_RUN = "import sys; from worker.__main__ import main; main(sys.argv[1:])"
"""Not `-m`: that needs more of the standard library than the worker does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPlan:
    """A lab that is to be.

    `limits_cores` has the CPU limit of every DU and CU (`du_1`, `cu_1`); `load_mbps` what each gNB is offered, (down,
    up); `du_cost`, `cu_cost` and `cell` are numbers of the cost curve and the cell, see docs/lab.md.
    """

    name: str
    folder: Path
    gnbs: tuple[str, ...]
    limits_cores: Mapping[str, float]
    load_mbps: Mapping[str, tuple[float, float]]
    du_cost: Mapping[str, float]
    cu_cost: Mapping[str, float]
    cell: Mapping[str, float]
    payload_bytes: int
    seed: int = 0
    pacing_us: int = 4000
    first_port: int = 5201

    def container(self, key: str) -> str:
        """Return the container's name of `du_1`, `core`, ..."""
        return f"{self.name}-{key.replace('_', '-')}"

    @property
    def keys(self) -> tuple[str, ...]:
        """What there is a container for, in the order in which they start."""
        cells = tuple(f"{role}_{gnb}" for role in ("cu", "du") for gnb in self.gnbs)
        return ("core", *cells, "ue")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabState:
    """What is there: state of every container by its name, limit in cores, restarts, and the counters' ages [s]."""

    name: str
    containers: Mapping[str, str]
    limits_cores: Mapping[str, float] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)

    @property
    def up(self) -> bool:
        """Whether every container runs."""
        return bool(self.containers) and all(state == "running" for state in self.containers.values())


def engine_address() -> str:
    """Return where this machine's engine listens; InputError where DOCKER_HOST says that it is elsewhere."""
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not address.startswith("unix:///"):
        text = "a lab runs on the engine of this machine: unset it, or unix:///PATH"
        raise InputError(text, key="DOCKER_HOST", value=address)
    return address


def engine(timeout_s: float = 60.0) -> Any:
    """Return a client of this machine's engine.

    Raises:
        InputError: the `docker` package is missing. UnreachableError: no engine answers.
    """
    address = engine_address()
    try:
        import docker
    except ImportError:
        raise InputError("needs the docker package: pip install 'rantwin[docker]'", key="lab") from None
    try:
        client = docker.DockerClient(base_url=address, timeout=timeout_s)
        client.ping()
    except Exception as error:  # the package lets errors of its transport through
        why = " ".join(str(error).split())[:200]
        raise UnreachableError(f"no Docker engine answers on this machine ({why}); try: rantwin doctor") from error
    return client


@contextlib.contextmanager
def _said(what: str) -> Iterator[None]:
    """Turn what the engine complains about into one line of ours."""
    try:
        yield
    except (InputError, PlantError, UnreachableError):
        raise
    except Exception as error:
        raise PlantError(f"{what}: {' '.join(str(error).split())[:300]}") from error


def up(client: Any, plan: LabPlan, say: Callable[[str], None]) -> None:
    """Bring the lab up; what ran under its name before is replaced.

    Raises:
        InputError: iperf3 is missing. PlantError: the engine does not do it; what was made is removed again.
    """
    with _said("the engine cannot take the lab's image"):
        image, made = build_image(client)
    say(f"image {image}" + (" (made of this machine's Python and iperf3)" if made else ""))
    if look(client, plan.name).containers:
        down(client, plan.name)
    try:
        with _said("the engine cannot bring the lab up"):
            _start_all(client, plan, image)
    except BaseException:
        with contextlib.suppress(PlantError):
            down(client, plan.name)
        raise
    say(f"{len(plan.keys)} containers run: {len(plan.gnbs)} DU, {len(plan.gnbs)} CU, UEs and core")


def _start_all(client: Any, plan: LabPlan, image: str) -> None:
    network, addresses = _network(client, plan)
    _write_folder(plan, addresses)
    parent = _first_in_line(client, plan.name)
    for key in plan.keys:
        role, _, number = key.partition("_")
        limit = plan.limits_cores.get(key)
        container = client.containers.create(
            image,
            [sys_python(), "-S", "-B", "-c", _RUN, role, *([number] if number else [])],
            name=plan.container(key),
            hostname=key.replace("_", "-"),
            labels={LABEL: plan.name, f"{LABEL}.role": key},
            environment={"LAB_FOLDER": "/lab", "PYTHONPATH": WORKER_IN_IMAGE},
            volumes={str(plan.folder.absolute()): {"bind": "/lab", "mode": "rw"}},
            tmpfs={"/tmp": "size=16m"},
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            restart_policy={"Name": "always"},
            mem_limit=_MEMORY[role],
            cpu_shares=_SHARES[role],
            pids_limit=256,
            cgroup_parent=parent,
            log_config={"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
            detach=True,
            network=network.name,
            networking_config={network.name: client.api.create_endpoint_config(ipv4_address=addresses[key])},
            **({"nano_cpus": round(limit * 1e9)} if limit is not None else {}),
        )
        container.start()


def _first_in_line(client: Any, name: str) -> str | None:
    """Return a cgroup of the lab's own that gets the CPU before other programs, so that only its limits limit it.

    None where that cannot be had (the engine's cgroups are systemd's): then whatever else runs here is felt.
    """
    if client.info().get("CgroupDriver") != "cgroupfs":
        return None
    for folder, file, weight in _WEIGHTS:
        if (folder / file).is_file() or file == "cpu.weight":
            with contextlib.suppress(OSError):
                (folder / _cgroup(name)).mkdir(exist_ok=True)
                (folder / _cgroup(name) / file).write_text(weight)
                return f"/{_cgroup(name)}"
    return None


def _cgroup(name: str) -> str:
    """Return the name of a lab's own cgroup: never that of somebody else's (a lab may be called `docker`)."""
    return f"rantwin-lab-{name}"


def _remove_cgroups(name: str) -> None:
    """Remove the lab's own cgroup, of every controller where each has a tree; one that stays in use stays."""
    until = time.monotonic() + _CGROUPS_GO_S
    own = _cgroup(name)
    for folder in (_CGROUPS / own, *(controller / own for controller in _CGROUPS.glob("*/"))):
        while folder.is_dir():
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            if time.monotonic() > until:
                return
            time.sleep(0.1)


def sys_python() -> str:
    """Return the path of Python, here and in the image."""
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def _network(client: Any, plan: LabPlan) -> tuple[Any, dict[str, str]]:
    """Return a network of the lab's own and the address of each container in it."""
    from docker.errors import APIError
    from docker.types import IPAMConfig, IPAMPool

    refused = ""
    for subnet in _NETWORKS:
        if _is_routed(subnet):
            refused = f"{subnet} is in use here"
            continue
        pool = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)])
        try:
            network = client.networks.create(
                plan.name,
                driver="bridge",
                ipam=pool,
                labels={LABEL: plan.name},
                options={"com.docker.network.bridge.name": _bridge(plan.name)},
            )
        except APIError as error:
            refused = str(error.explanation or error)
            if "overlap" in refused.lower():
                continue
            raise
        hosts = [str(host) for host in ipaddress.ip_network(subnet).hosts()]
        return network, {key: hosts[9 + place] for place, key in enumerate(plan.keys)}
    raise PlantError(f"no free network for the lab among {_NETWORKS[0]} ... {_NETWORKS[-1]}: {refused}")


def _is_routed(subnet: str) -> bool:
    """Return whether this machine has a route into a network already, be it another engine's."""
    wanted = ipaddress.ip_network(subnet)
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/route").read_text().splitlines()[1:]:
            words = line.split()
            if len(words) > 7 and words[7] != "00000000":
                there, mask = (ipaddress.ip_address(int(words[n], 16).to_bytes(4, "little")) for n in (1, 7))
                if ipaddress.ip_network(f"{there}/{mask}", strict=False).overlaps(wanted):
                    return True
    return False


def _bridge(name: str) -> str:
    """Return the bridge's name: the same for the same lab, and short enough for the kernel."""
    return f"rl-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _write_folder(plan: LabPlan, addresses: Mapping[str, str]) -> None:
    (plan.folder / "counters").mkdir(parents=True, exist_ok=True)
    for old in (plan.folder / "counters").iterdir():
        old.unlink()
    config = {
        "gnbs": {gnb: {"du": addresses[f"du_{gnb}"], "cu": addresses[f"cu_{gnb}"]} for gnb in plan.gnbs},
        "ue": addresses["ue"],
        "core": addresses["core"],
        "du_cost": dict(plan.du_cost),
        "cu_cost": dict(plan.cu_cost),
        "cell": dict(plan.cell),
        "payload_bytes": plan.payload_bytes,
        "pacing_us": plan.pacing_us,
        "first_port": plan.first_port,
        "seed": plan.seed,
    }
    _write(plan.folder / "config.json", config)
    offer(plan.folder, plan.load_mbps)


def offer(folder: Path, load_mbps: Mapping[str, tuple[float, float]]) -> None:
    """Change what the senders offer, (down, up) in Mbit/s for each gNB; in force within a second."""
    _write(folder / "load.json", {gnb: {"dl": down, "ul": up} for gnb, (down, up) in load_mbps.items()})


def _write(path: Path, document: object) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


def down(client: Any, name: str) -> int:
    """Remove every container of the lab and its network; return how many containers there were."""
    with _said("the engine cannot take the lab down"):
        containers = client.containers.list(all=True, filters={"label": f"{LABEL}={name}"})
        for container in containers:
            container.remove(force=True)
        for network in client.networks.list(filters={"label": f"{LABEL}={name}"}):
            network.remove()
    _remove_cgroups(name)
    return len(containers)


def look(client: Any, name: str) -> LabState:
    """Return what is there of the lab."""
    with _said("the engine does not say what is there"):
        containers = client.containers.list(all=True, filters={"label": f"{LABEL}={name}"})
        rows = {c.name: c for c in sorted(containers, key=lambda c: str(c.name))}
        return LabState(
            name=name,
            containers={name: str(c.status) for name, c in rows.items()},
            limits_cores={
                str(c.labels.get(f"{LABEL}.role", name)): c.attrs["HostConfig"]["NanoCpus"] / 1e9
                for name, c in rows.items()
                if c.attrs["HostConfig"].get("NanoCpus")
            },
            restarts={name: int(c.attrs.get("RestartCount", 0)) for name, c in rows.items()},
        )


def wait_for_traffic(plan: LabPlan, within_s: float) -> None:
    """Return when every gNB delivers in both directions.

    Raises:
        PlantError: one does not, in that time; the message says which and what was counted.
    """
    until, silent = time.monotonic() + within_s, list(plan.gnbs)
    while time.monotonic() < until:
        silent = [gnb for gnb in plan.gnbs if not _delivers(plan.folder / "counters", gnb)]
        if not silent:
            return
        time.sleep(0.1)
    raise PlantError(f"no traffic goes through gNB {', '.join(silent)} after {within_s:g} s; see: rantwin lab status")


def _delivers(counters: Path, gnb: str) -> bool:
    du, cu = read_board(counters / f"du-{gnb}", DU), read_board(counters / f"cu-{gnb}", CU)
    ue, core = (read_board(counters / f"{end}-{gnb}", TRAFFIC) for end in ("ue", "core"))
    if du is None or cu is None or ue is None or core is None:
        return False
    return min(du["tb_dl"], du["tb_ul"], ue["delivered_bits_dl"], core["delivered_bits_ul"]) > 0
