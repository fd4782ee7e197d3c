"""iperf3, kept running: a server a flow beside the core, a client a flow beside the UEs at the rate asked for."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .ends import Flow

__all__ = ["keep_clients", "keep_servers", "read_load"]

_LOOK_EVERY_S = 0.25
_SILENT_S, _SILENT_SERVER_S = 6.0, 20.0
"""A sender that is silent for so long is started again, and its server with it if that did not help."""
_FOREVER_S = 86_400


def read_load(path: Path) -> dict[str, dict[str, float]]:
    """Return what each gNB is offered in Mbit/s, by direction; empty where that cannot be read just now."""
    try:
        document = json.loads(path.read_text())
        return {str(gnb): {way: float(ways[way]) for way in ("dl", "ul")} for gnb, ways in document.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


class _Kept:
    """One iperf3 that is started again whenever it ends."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.since = 0.0
        self.arguments: Sequence[str] = ()

    def be(self, arguments: Sequence[str], flow: Flow, silent_s: float) -> bool:
        """Make it run with these arguments (empty: not at all); return whether it was started."""
        now = time.monotonic()
        silent = now - max(self.since, flow.last_ns * 1e-9) > silent_s
        if self.process is not None and (arguments != self.arguments or silent or self.process.poll() is not None):
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.process is None and arguments and now - self.since > 0.5:
            self.process = subprocess.Popen(
                ["iperf3", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            self.since, self.arguments = now, tuple(arguments)
            return True
        return False


def keep_servers(flows: Sequence[Flow]) -> None:
    """Keep a server a flow running, in a thread; returns at once."""
    _keep(flows, lambda flow: ("-s", "-p", str(flow.port), "-i", "0"), _SILENT_SERVER_S, lambda _: None)


def keep_clients(
    flows: Sequence[Flow], load: Path, payload_bytes: int, pacing_us: int, started: Callable[[Flow], None]
) -> None:
    """Keep a client a flow running at the rate that `load` says now, in a thread; returns at once."""
    known: dict[str, dict[str, float]] = {}

    def arguments(flow: Flow) -> tuple[str, ...]:
        known.update(read_load(load))
        mbps = known.get(flow.gnb, {}).get(flow.way, 0.0)
        if mbps <= 0.0:
            return ()
        common = ("-c", "127.0.0.1", "-p", str(flow.port), "-u", "-b", str(round(mbps * 1e6)), "-l", str(payload_bytes))
        more = ("-t", str(_FOREVER_S), "-i", "0", "--pacing-timer", str(pacing_us))
        return (*common, *more, *(("-R",) if flow.way == "dl" else ()))

    _keep(flows, arguments, _SILENT_S, started)


def _keep(
    flows: Sequence[Flow], arguments: Callable[[Flow], Sequence[str]], silent_s: float, started: Callable[[Flow], None]
) -> None:
    kept = [(flow, _Kept()) for flow in flows]

    def run() -> None:
        while True:
            for flow, process in kept:
                if process.be(tuple(arguments(flow)), flow, silent_s):
                    started(flow)
            time.sleep(_LOOK_EVERY_S)

    threading.Thread(target=run, daemon=True).start()
