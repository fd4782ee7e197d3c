"""`python -m worker ROLE [NUMBER]`: one process of the lab, as told by `config.json` in the folder LAB_FOLDER."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from .cu import Cu
from .du import Du
from .ends import CoreEnd, UeEnd, flows_of, relay
from .packets import PORT_DOWN, PORT_UP
from .traffic import keep_clients, keep_servers

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Run until SIGTERM; the first process of a container has no handler of its own for that."""
    signal.signal(signal.SIGTERM, _leave)
    role, number = arguments[0], (arguments[1] if len(arguments) > 1 else "")
    folder = Path(os.environ.get("LAB_FOLDER", "/lab"))
    config = json.loads((folder / "config.json").read_text())
    counters, gnbs = folder / "counters", config["gnbs"]
    if role == "du":
        gnb = gnbs[number]
        seed = config["seed"] * 1000 + int(number)
        ue, cu = (config["ue"], PORT_DOWN), (gnb["cu"], PORT_UP)
        Du(config["du_cost"], config["cell"], ue, cu, counters / f"du-{number}", seed).run()
    elif role == "cu":
        gnb = gnbs[number]
        Cu(config["cu_cost"], (gnb["du"], PORT_DOWN), (config["core"], PORT_UP), counters / f"cu-{number}").run()
    elif role == "core":
        flows = flows_of(list(gnbs), config["first_port"])
        core = CoreEnd(flows, counters, {name: (gnb["cu"], PORT_DOWN) for name, gnb in gnbs.items()})
        keep_servers(flows)
        core.run()
    elif role == "ue":
        flows = flows_of(list(gnbs), config["first_port"])
        end = UeEnd(flows, counters, {name: (gnb["du"], PORT_UP) for name, gnb in gnbs.items()})
        for flow in flows:
            relay(flow.port, (config["core"], flow.port))
        keep_clients(flows, folder / "load.json", config["payload_bytes"], config["pacing_us"], end.started)
        end.run()
    else:
        raise SystemExit(f"no such role: {role}")


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
