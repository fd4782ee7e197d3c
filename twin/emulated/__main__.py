"""Start an emulated testbed by hand: `python -m twin.emulated --socket PATH --state FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from col.errors import RantwinError
from twin.emulated import EmulatedSettings, LoadLaw, read_misbehaviour, serve
from twin.scenario import load_scenario


def main() -> int:
    """Read the arguments and serve; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m twin.emulated", description="an EMULATED testbed on a Unix socket")
    parser.add_argument("scenario", nargs="?", default="cpu-allocation", help="name or file (default: %(default)s)")
    parser.add_argument("--socket", type=Path, required=True, help="path of the Unix socket, made with mode 0600")
    parser.add_argument("--state", type=Path, required=True, help="folder for what outlives a crash")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated s per s; 0: moved by requests alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gap", type=float, default=1.0, help="how much it differs from the twin; 0: not at all")
    parser.add_argument("--load", choices=list(LoadLaw), default=LoadLaw.OPERATING, type=LoadLaw)
    parser.add_argument("--history", type=int, default=0, help="passive windows simulated before the start")
    parser.add_argument("--id", default="embedded", help="id of the testbed")
    parser.add_argument("--misbehave", nargs="+", default=[], metavar="FILE.toml|FAULT=N|FAULT.KEY=VALUE")
    arguments = parser.parse_args()
    try:
        settings = EmulatedSettings(
            scenario=load_scenario(arguments.scenario),
            seed=arguments.seed,
            speed=arguments.speed,
            gap=arguments.gap,
            law=arguments.load,
            plant_id=arguments.id,
        )
        return serve(
            settings,
            socket=arguments.socket,
            state=arguments.state,
            history=arguments.history,
            misbehaviour=read_misbehaviour(arguments.misbehave),
        )
    except RantwinError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
