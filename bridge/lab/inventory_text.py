"""The inventory of a lab, as the docker backend reads it (docs/testbed.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bridge.lab.engine import LabPlan, engine_address
from col.plant import Control

__all__ = ["STACK", "TESTBED", "inventory_text"]

STACK = "rantwin lab"
TESTBED = "lab"


def inventory_text(plan: LabPlan, *, window_s: float, ranges: Mapping[str, Control], docker: str | None = None) -> str:
    """Return the TOML text; `ranges` has a control for `cpu_du` and one for `cpu_cu`, whose bounds count for all.

    `docker` is where the engine listens, this machine's if nothing is said.
    """
    lines = [
        "# Written by 'rantwin lab up'.",
        "[testbed]",
        f"id = {json.dumps(TESTBED)}",
        f"stack = {json.dumps(STACK)}",
        'radio_mode = "rt"',
        f"window_s = {window_s!r}",
        'alive = ["thp_dl"]',
        "notes = ["
        '"a lab: containers of this machine do the CPU work of a gNB on traffic of iperf3; there is no radio", '
        '"power is not measured"]',
        "",
        "[hosts.h1]",
        f"docker = {json.dumps(docker or engine_address())}",
        "",
    ]
    for role in ("du", "cu"):
        for gnb in plan.gnbs:
            name = json.dumps(plan.container(f"{role}_{gnb}"))
            lines += [f"[{role}.{gnb}]", 'host = "h1"', f"container = {name}", ""]
    for gnb in plan.gnbs:
        lines += [f"[gnbs.{gnb}]", f"du = {json.dumps(gnb)}", f"cu = {json.dumps(gnb)}", ""]
    for name, control in ranges.items():
        lines += [
            f"[controls.{name}]",
            'kind = "cpu"',
            f"of = {json.dumps(name.removeprefix('cpu_'))}",
            f"lower = {control.lower!r}",
            f"upper = {control.upper!r}",
            f"resolution = {control.resolution!r}",
            f"reference = {control.reference!r}",
            "",
        ]
    lines += [
        "[telemetry.lab]",
        'source = "lab"',
        f"counters = {json.dumps(str((plan.folder / 'counters').absolute()))}",
        f"gnbs = {json.dumps(list(plan.gnbs))}",
        "",
    ]
    return "\n".join(lines)
