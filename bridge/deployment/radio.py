"""Configuration of DUs and CUs (srsRAN Project 25.10) and of UEs (srsUE 23.11) on a virtual radio.

`@NAME@` stands for an address that is known when the container starts: `@self@` its own, `@cu-1@` that of cu-1.
"""

from __future__ import annotations

from bridge.deployment.plan import Cell, Plan
from bridge.deployment.yaml_text import Marked
from bridge.inventory import Inventory
from col.errors import InputError

__all__ = ["cu_config", "du_config", "ue_config", "ue_name"]

_MARKED = {"bandwidth": "channel_bandwidth_MHz", "tx_gain": "tx_gain", "rx_gain": "rx_gain"}


def ue_name(cell: Cell) -> str:
    """Return the name of the cell's UE on the network."""
    return f"ue-{cell.gnb.number}"


def du_config(plan: Plan, cell: Cell) -> dict[str, object]:
    """Return the configuration of a cell's DU."""
    marks = _marks(plan.inventory, cell.gnb.du)
    tables = _slices(plan.inventory, cell)
    slicing = {"slicing": tables} if tables else {}
    return {
        "gnb_id": cell.gnb_id,
        "gnb_du_id": cell.du_id,
        "f1ap": {"cu_cp_addr": f"@{plan.name(cell.gnb.cu)}@", "bind_addr": "@self@"},
        "f1u": {"socket": [{"bind_addr": "@self@"}]},
        "ru_sdr": {
            "device_driver": "zmq",
            "device_args": (
                f"tx_port=tcp://@self@:2000,rx_port=tcp://@{ue_name(cell)}@:2001,base_srate={plan.srate_msps:g}e6"
            ),
            "srate": plan.srate_msps,
            "tx_gain": _number(marks, "tx_gain", plan.tx_gain_db),
            "rx_gain": _number(marks, "rx_gain", plan.rx_gain_db),
        },
        "cell_cfg": {
            "dl_arfcn": plan.dl_arfcn,
            "band": plan.band,
            "channel_bandwidth_MHz": _number(marks, "bandwidth", plan.bandwidth_mhz),
            "common_scs": 15,
            "nof_antennas_dl": 1,
            "nof_antennas_ul": 1,
            "plmn": plan.plmn,
            "tac": plan.tac,
            "pci": cell.pci,
            "sector_id": cell.sector,
            # What srsUE can do: a common search space, no newer DCI formats, 64QAM.
            "pdcch": {
                "dedicated": {"ss2_type": "common", "dci_format_0_1_and_1_1": False},
                "common": {"ss0_index": 0},
            },
            "prach": {"prach_config_index": 1},
            "pdsch": {"mcs_table": "qam64"},
            "pusch": {"mcs_table": "qam64"},
            **slicing,
        },
        "metrics": {
            "enable_json": True,
            "layers": {"enable_sched": True, "enable_mac": True, "enable_rlc": True, "enable_app_usage": True},
            "periodicity": {"du_report_period": plan.report_ms, "app_usage_report_period": plan.report_ms},
        },
        # Whoever reaches it commands the DU: it asks nobody who he is. The testbed's own network only.
        "remote_control": {"enabled": True, "bind_addr": "@self@", "port": 8001},
        "log": {"filename": "stdout", "all_level": "warning"},
    }


def cu_config(plan: Plan, cu: str) -> dict[str, object]:
    """Return the configuration of a CU (control and user plane in one process)."""
    cells = [cell for cell in plan.cells if cell.gnb.cu == cu]
    offered: list[dict[str, object]] = [{"sst": 1}]
    for cell in cells:
        for part in _slices(plan.inventory, cell):
            plain: dict[str, object] = {key: part[key] for key in ("sst", "sd") if key in part}
            if plain not in offered:
                offered.append(plain)
    return {
        "gnb_id": cells[0].gnb_id,
        "cu_cp": {
            "amf": {
                "addr": "@amf@",
                "port": 38412,
                "bind_addr": "@self@",
                "supported_tracking_areas": [
                    {"tac": plan.tac, "plmn_list": [{"plmn": plan.plmn, "tai_slice_support_list": offered}]}
                ],
            },
            "f1ap": {"bind_addr": "@self@"},
        },
        "cu_up": {"f1u": {"socket": [{"bind_addr": "@self@"}]}, "ngu": {"socket": [{"bind_addr": "@self@"}]}},
        "metrics": {
            "enable_json": True,
            "layers": {"enable_pdcp": True, "enable_rrc": True, "enable_ngap": True},
            "periodicity": {"cu_cp_report_period": plan.report_ms, "cu_up_report_period": plan.report_ms},
        },
        "remote_control": {"enabled": True, "bind_addr": "@self@", "port": 8001},
        "log": {"filename": "stdout", "all_level": "warning"},
    }


def ue_config(plan: Plan, cell: Cell) -> str:
    """Return the configuration of a cell's one UE: srsUE on ZeroMQ serves a single cell."""
    samples = f"tx_port=tcp://@self@:2001,rx_port=tcp://@{plan.name(cell.gnb.du)}@:2000"
    sections: dict[str, dict[str, object]] = {
        "rf": {
            "freq_offset": 0,
            "tx_gain": f"{plan.tx_gain_db:g}",
            "rx_gain": f"{plan.rx_gain_db:g}",
            "nof_antennas": 1,
            "device_name": "zmq",
            "device_args": f"{samples},base_srate={plan.srate_msps:g}e6",
            "srate": f"{plan.srate_msps:g}e6",
        },
        "rat.eutra": {"dl_earfcn": 2850, "nof_carriers": 0},
        "rat.nr": {"bands": plan.band, "nof_carriers": 1, "max_nof_prb": plan.prbs, "nof_prb": plan.prbs},
        "pcap": {"enable": "none"},
        "log": {"all_level": "warning", "filename": "stdout"},
        "usim": {
            "mode": "soft",
            "algo": "milenage",
            "opc": plan.ue_opc,
            "k": plan.ue_key,
            "imsi": plan.imsi(cell),
            "imei": 353490069873319 + int(cell.gnb.number),
        },
        "rrc": {"release": 15, "ue_category": 4},
        "nas": {"apn": "internet", "apn_protocol": "ipv4"},
        "gw": {"ip_devname": "tun_srsue", "ip_netmask": "255.255.0.0"},
        "gui": {"enable": "false"},
    }
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    return "\n".join(lines)


def _slices(inventory: Inventory, cell: Cell) -> list[dict[str, object]]:
    tables = []
    for part in inventory.slices.values():
        if part.gnb != cell.gnb.number:
            continue
        table: dict[str, object] = {"sst": part.sst}
        if part.sd is not None:
            table["sd"] = part.sd
        limit = next((c for c in inventory.controls if c.kind == "slice_prb_max" and c.of == part.name), None)
        if limit is not None:
            least = limit.options.get("min_percent", 0)
            most = int(limit.control.reference)
            table["sched_cfg"] = {"min_prb_policy_ratio": least, "max_prb_policy_ratio": most}
        tables.append(table)
    return tables


def _marks(inventory: Inventory, workload: str) -> dict[str, str]:
    """Return for each number in the workload's file the control that sets it."""
    marks = {}
    for entry in inventory.controls:
        if entry.kind != "config" or entry.of != workload:
            continue
        key = next((key for key in _MARKED if entry.control.name.startswith(key)), None)
        if key is None:
            text = f"a generated file has no number for it; controls there begin with {', '.join(_MARKED)}"
            raise InputError(text, source=inventory.source, key=f"controls.{entry.control.name}")
        marks[key] = entry.control.name
    return marks


def _number(marks: dict[str, str], key: str, value: float) -> object:
    return Marked(value, marks[key]) if key in marks else value
