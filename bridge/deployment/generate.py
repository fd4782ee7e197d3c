"""All files of a testbed from its inventory: configuration, compose files for containers, a stack file for services."""

from __future__ import annotations

from bridge.deployment.core import core_configs, core_services, traffic_port
from bridge.deployment.plan import Cell, Plan, make_plan
from bridge.deployment.radio import cu_config, du_config, ue_config, ue_name
from bridge.deployment.yaml_text import yaml_text
from bridge.inventory import Inventory, Role, Target, Workload
from col.errors import InputError

__all__ = ["NOT_RUN", "generate", "traffic_commands"]

NOT_RUN = "Generated from {source} by `python -m bridge.deployment`. Not run by us: we have no such testbed."

_BIN = "/opt/srsRAN_Project/target/bin"
_START = """\
#!/bin/sh
# {note}
# start.sh TEMPLATE FILE COMMAND...: fills in the addresses that are known only now, then becomes the command.
set -eu
address() {{ getent ahostsv4 "$1" | awk 'NR == 1 {{ print $1 }}'; }}
template=$1 file=$2
shift 2
sed "s/@self@/$(address "$(hostname)")/g" "$template" > "$file"
for name in ${{PEERS:-}}; do
    until [ -n "$(address "$name")" ]; do sleep 1; done
    sed -i "s/@$name@/$(address "$name")/g" "$file"
done
exec "$@"
"""
_README = """\
# Testbed {testbed}

{note}

Four things must be there on every host before: Docker, the kernel's SCTP (`modprobe sctp`; N2 and F1 need it), this
folder's `config` at `{config_dir}`, and `/dev/net/tun`. For links with delay or loss also `modprobe sch_netem`.

```
{network}
{commands}
```

UE N has an address in 10.45.0.0/16 as soon as it is attached: `docker exec {first_ue} ip address show tun_srsue`. One
UE per gNB, since srsUE on ZeroMQ serves a single cell. Traffic is begun by the agent's telemetry (`iperf3`, by
`docker exec`, see the inventory) or by hand, servers first:

```
{traffic}
```

Then the agent, on the testbed's own network, since a DU's remote control asks nobody who he is: put rantwin's wheel,
the inventory and an `agent.toml` (docs/promotion.md) into the folder of `config`, and

```
docker compose -f agent.yml -p {testbed}-agent up -d
```
"""


def generate(inventory: Inventory) -> dict[str, str]:
    """Return the files by their path in the output folder; InputError before anything if something does not fit."""
    plan = make_plan(inventory)
    name = inventory.source.rpartition("/")[2] or "an inventory"
    note = NOT_RUN.format(source=name)
    files = {"config/start.sh": _START.format(note=note)}
    for cell in plan.cells:
        files[f"config/{plan.name(cell.gnb.du)}.yml"] = yaml_text(du_config(plan, cell), note)
        files[f"config/{ue_name(cell)}.conf"] = f"# {note}\n{ue_config(plan, cell)}"
    for cu in dict.fromkeys(cell.gnb.cu for cell in plan.cells):
        files[f"config/{plan.name(cu)}.yml"] = yaml_text(cu_config(plan, cu), note)
    for function, config in core_configs(plan).items():
        files[f"config/{function}.yaml"] = yaml_text(config, note)
    files["core.yml"] = yaml_text(_compose(plan, core_services(plan)), note)
    for host, cells in _by_host(plan).items():
        files[f"ue-{host}.yml"] = yaml_text(_compose(plan, _ue_services(plan, cells)), note)
    files["agent.yml"] = yaml_text(_compose(plan, {"agent": _agent_service(plan)}), note)
    commands = _ran_files(plan, note, files)
    commands = [f"docker compose -f core.yml -p {inventory.testbed}-core up -d", *commands]
    for host in _by_host(plan):
        commands.append(f"docker compose -f ue-{host}.yml -p {inventory.testbed}-ue up -d      # on {host}")
    driver = "overlay" if len(_used_hosts(plan)) > 1 or _is_swarm(plan) else "bridge"
    swarm = "docker swarm init      # once, and `docker swarm join` on the other hosts\n" if driver == "overlay" else ""
    files["README.md"] = _README.format(
        testbed=inventory.testbed,
        note=note,
        config_dir=plan.config_dir,
        network=f"{swarm}docker network create --driver {driver} --attachable {plan.network}",
        commands="\n".join(commands),
        first_ue=ue_name(plan.cells[0]),
        traffic="\n".join(" ".join(command) for command in traffic_commands(plan, plan.cells[0]).values()),
    )
    return files


def traffic_commands(plan: Plan, cell: Cell) -> dict[str, list[str]]:
    """Return the commands that offer the plan's load to a cell's UE: for each direction its server, then its client."""
    found = {}
    for way, rate in (("dl", plan.dl_mbps), ("ul", plan.ul_mbps)):
        port = str(traffic_port(cell.gnb.number, way))
        target = ["iperf3", "--client", "10.45.0.1", "--port", port, "--udp", "--bitrate", f"{rate:g}M"]
        reverse = ["--reverse"] if way == "dl" else []
        server = ["iperf3", "--server", "--port", port, "--one-off", "--json"]
        found[f"{way} core"] = ["docker", "exec", "traffic-core", *server]
        found[f"{way} ue"] = [
            *("docker", "exec", f"traffic-{cell.gnb.number}"),
            *(*target, *reverse, "--time", "5", "--json"),
        ]
    return found


def _ran_files(plan: Plan, note: str, files: dict[str, str]) -> list[str]:
    """Add the files of DUs and CUs, and return the commands that start them."""
    inventory = plan.inventory
    ran = [w for w in inventory.workloads.values() if w.role is not Role.CORE]
    targets = {w.target for w in ran}
    if len(targets) > 1:
        raise InputError("DUs and CUs must be all containers or all services", source=inventory.source, key="du")
    if _is_swarm(plan):
        services = {plan.name(w.key): _ran_service(plan, w) for w in ran}
        files["stack.yml"] = yaml_text(_compose(plan, services), note)
        return [f"docker stack deploy -c stack.yml {inventory.testbed}"]
    commands = []
    for host in dict.fromkeys(w.host for w in ran):
        services = {plan.name(w.key): _ran_service(plan, w) for w in ran if w.host == host}
        files[f"ran-{host}.yml"] = yaml_text(_compose(plan, services), note)
        commands.append(f"docker compose -f ran-{host}.yml -p {inventory.testbed}-ran up -d     # on {host}")
    return commands


def _ran_service(plan: Plan, workload: Workload) -> dict[str, object]:
    inventory, name = plan.inventory, plan.name(workload.key)
    cells = [cell for cell in plan.cells if workload.key in (cell.gnb.du, cell.gnb.cu)]
    is_du = workload.role is Role.DU
    peers = [plan.name(cells[0].gnb.cu), ue_name(cells[0])] if is_du else ["amf"]
    program = "srsdu" if is_du else "srscu"
    service: dict[str, object] = {
        "image": plan.images.ran,
        # The image's own entrypoint writes a configuration of its own.
        "entrypoint": ["/bin/sh", "/etc/ran/start.sh", f"/etc/ran/{name}.yml", "/tmp/ran.yml"],
        "command": [f"{_BIN}/{program}", "-c", "/tmp/ran.yml"],
        "environment": {"PEERS": " ".join(peers)},
        "volumes": [f"{plan.config_dir}:/etc/ran:ro"],
        "networks": [plan.network],
    }
    limits = {c.kind: c.control.reference for c in inventory.controls if c.of == workload.key}
    if workload.target is Target.CONTAINER:
        service |= {"container_name": name, "restart": "unless-stopped"}
        if "cpu" in limits:
            service["cpus"] = limits["cpu"]
        if "memory" in limits:
            service["mem_limit"] = f"{limits['memory']:g}m"
        return service
    allowed = {}
    if "cpu" in limits:
        allowed["cpus"] = f"{limits['cpu']:g}"
    if "memory" in limits:
        allowed["memory"] = f"{limits['memory']:g}M"
    deploy: dict[str, object] = {"replicas": 1, "endpoint_mode": "dnsrr"}
    if allowed:
        deploy["resources"] = {"limits": allowed}
    if node := inventory.hosts[plan.host_of(workload.key)].node:
        deploy["placement"] = {"constraints": [f"node.hostname == {node}"]}
    return {**service, "deploy": deploy}


def _agent_service(plan: Plan) -> dict[str, object]:
    """Return the agent beside the testbed: on its network, with the engine's socket and the host's processes."""
    folder = plan.config_dir.rpartition("/")[0]
    wheel = f'pip install --quiet "$$(ls {folder}/rantwin-*.whl)[docker,links,srsran]"'
    return {
        "image": plan.images.agent,
        "container_name": "rantwin-agent",
        "networks": [plan.network],
        "pid": "host",
        "cgroup": "host",
        "cap_add": ["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"],
        "volumes": [
            "/var/run/docker.sock:/var/run/docker.sock",
            "/usr/bin/docker:/usr/local/bin/docker:ro",
            "/sys/fs/cgroup:/sys/fs/cgroup:ro",
            f"{folder}:{folder}",
        ],
        "entrypoint": ["/bin/sh", "-c"],
        "command": [f"{wheel} && exec rantwin serve {folder}/agent.toml"],
        "restart": "always",
        "stop_grace_period": "30s",
    }


def _ue_services(plan: Plan, cells: list[Cell]) -> dict[str, dict[str, object]]:
    services: dict[str, dict[str, object]] = {}
    for cell in cells:
        ue, number = ue_name(cell), cell.gnb.number
        services[ue] = {
            "image": plan.images.ue,
            "container_name": ue,
            "entrypoint": ["/bin/sh", "/etc/ran/start.sh", f"/etc/ran/{ue}.conf", "/tmp/ue.conf"],
            "command": ["/usr/bin/srsue", "/tmp/ue.conf"],
            "environment": {"PEERS": plan.name(cell.gnb.du)},
            "volumes": [f"{plan.config_dir}:/etc/ran:ro"],
            "networks": [plan.network],
            "cap_add": ["NET_ADMIN"],
            "devices": ["/dev/net/tun"],
            "restart": "unless-stopped",
        }
        services[f"traffic-{number}"] = {
            "image": plan.images.core,
            "container_name": f"traffic-{number}",
            "network_mode": f"service:{ue}",
            "depends_on": [ue],
            "entrypoint": ["sleep", "infinity"],
            "restart": "unless-stopped",
        }
    return services


def _compose(plan: Plan, services: dict[str, dict[str, object]]) -> dict[str, object]:
    return {"services": services, "networks": {plan.network: {"external": True}}}


def _by_host(plan: Plan) -> dict[str, list[Cell]]:
    """Return cells by the host of their DU: samples between a DU and its UE stay on one machine."""
    hosts: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        hosts.setdefault(plan.host_of(cell.gnb.du), []).append(cell)
    return hosts


def _used_hosts(plan: Plan) -> set[str]:
    return {plan.host_of(key) for key in plan.inventory.workloads}


def _is_swarm(plan: Plan) -> bool:
    return any(w.target is Target.SERVICE for w in plan.inventory.workloads.values() if w.role is not Role.CORE)
