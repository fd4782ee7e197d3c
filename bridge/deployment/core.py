"""Configuration of the core: Open5GS 2.7, its subscribers, and the far ends of the traffic."""

from __future__ import annotations

from bridge.deployment.plan import Plan

__all__ = ["core_configs", "core_services", "traffic_port"]

_SUBNET, _GATEWAY = "10.45.0.0/16", "10.45.0.1"
_SBI = {"server": [{"dev": "eth0", "port": 7777}], "client": {"scp": [{"uri": "http://scp:7777"}]}}
_METRICS = {"server": [{"dev": "eth0", "port": 9090}]}
_PLAIN = ("ausf", "bsf", "nssf", "pcf", "scp", "udm", "udr")
"""Functions that run with the image's own configuration, which finds the others by their names."""
_FOLDER = "/opt/open5gs/etc/open5gs"


def traffic_port(gnb: str, way: str) -> int:
    """Return the port of the iperf3 server beside the core for a gNB's UE and direction (`dl`, `ul`)."""
    return 5200 + 10 * int(gnb) + (way == "ul")


def core_configs(plan: Plan) -> dict[str, dict[str, object]]:
    """Return the files that differ from the image's own, by name."""
    plmn = {"mcc": plan.plmn[:3], "mnc": plan.plmn[3:]}
    slices: list[dict[str, object]] = [{"sst": 1}]
    for part in plan.inventory.slices.values():
        entry: dict[str, object] = {"sst": part.sst}
        if part.sd is not None:
            entry["sd"] = f"{part.sd:06x}"
        if entry not in slices:
            slices.append(entry)
    return {
        "nrf": {"nrf": {"serving": [{"plmn_id": plmn}], "sbi": {"server": _SBI["server"]}}},
        "amf": {
            "amf": {
                "sbi": _SBI,
                "ngap": {"server": [{"dev": "eth0"}]},
                "metrics": _METRICS,
                "guami": [{"plmn_id": plmn, "amf_id": {"region": 2, "set": 1}}],
                "tai": [{"plmn_id": plmn, "tac": plan.tac}],
                "plmn_support": [{"plmn_id": plmn, "s_nssai": slices}],
                "security": {
                    "integrity_order": ["NIA2", "NIA1", "NIA0"],
                    "ciphering_order": ["NEA0", "NEA1", "NEA2"],
                },
                "network_name": {"full": "rantwin"},
                "amf_name": "amf",
                "time": {"t3512": {"value": 540}},
            }
        },
        "smf": {
            "smf": {
                "sbi": _SBI,
                "pfcp": {"server": [{"dev": "eth0"}], "client": {"upf": [{"address": "upf"}]}},
                "gtpc": {"server": [{"dev": "eth0"}]},
                "gtpu": {"server": [{"dev": "eth0"}]},
                "metrics": _METRICS,
                "session": [{"subnet": _SUBNET, "gateway": _GATEWAY, "dnn": "internet"}],
                "dns": ["9.9.9.9"],
                "mtu": 1400,
                "ctf": {"enabled": "no"},
            }
        },
        "upf": {
            "upf": {
                "pfcp": {"server": [{"dev": "eth0"}]},
                "gtpu": {"server": [{"dev": "eth0"}]},
                "session": [{"subnet": _SUBNET, "gateway": _GATEWAY, "dnn": "internet"}],
                "metrics": _METRICS,
            }
        },
    }


def core_services(plan: Plan) -> dict[str, dict[str, object]]:
    """Return the core's services for compose, by name."""
    images, networks = plan.images, [plan.network]
    database = {"DB_URI": "mongodb://mongo/open5gs"}
    common: dict[str, object] = {"image": images.core, "networks": networks, "restart": "unless-stopped"}
    services: dict[str, dict[str, object]] = {
        "mongo": {"image": images.database, "networks": networks, "restart": "unless-stopped"},
    }
    for name in (*core_configs(plan), *_PLAIN):
        service = {**common, "command": [f"open5gs-{name}d"]}
        if name in core_configs(plan):
            service["volumes"] = [f"{plan.config_dir}/{name}.yaml:{_FOLDER}/{name}.yaml:ro"]
        if name in ("pcf", "udr"):
            service |= {"environment": database, "depends_on": ["mongo"]}
        services[name] = service
    # Its entrypoint makes the tunnel device that users' packets leave by, and sets sysctls and NAT.
    services["upf"] |= {"user": "root", "privileged": True}
    subscribers = [f"open5gs-dbctl add {plan.imsi(cell)} {plan.ue_key} {plan.ue_opc} || true" for cell in plan.cells]
    services["subscribers"] = {
        "image": images.subscribers,
        "networks": networks,
        "environment": database,
        "depends_on": ["mongo"],
        "entrypoint": ["/bin/sh", "-c"],
        "command": ["; ".join(["sleep 5", *subscribers])],
    }
    # Its iperf3 servers are begun by the agent's telemetry, which reads what they say.
    services["traffic-core"] = {
        "image": images.core,
        "container_name": "traffic-core",
        "network_mode": "service:upf",
        "restart": "unless-stopped",
        "depends_on": ["upf"],
        "entrypoint": ["sleep", "infinity"],
    }
    return services
