"""Arguments of `rantwin watch`; plain `rantwin` on a terminal is the same without arguments."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec

from tui.arguments import Commands, Parser, add_address, add_command, add_runs_dir

__all__ = ["add_watch_command", "opens_screen"]


def opens_screen() -> bool:
    """Whether plain `rantwin` opens the screen: on a terminal, where Textual is installed."""
    return sys.stdin.isatty() and sys.stdout.isatty() and find_spec("textual") is not None


def port_number(text: str) -> int:
    """Read a TCP port; 0 is any that is free."""
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} must be a port: a whole number from 0 to 65535")
    return int(text)


def add_watch_command(commands: Commands[Parser]) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = add_command(
        commands,
        "watch",
        "tui.watch.command:watch_command",
        help="the screen: twin and testbed side by side, the region, promotions",
        description="Watch a run and a testbed on one screen, from 80x24 up: the same rows of twin and testbed and "
        "the gap between them, the safe region, promotions and the journal. It changes no testbed "
        "unless --operate is given. A run that is being rehearsed is followed live; a testbed that "
        "is lost is looked for until it is found again.",
        examples="  rantwin watch                              the latest run, the agent of this machine\n"
        "  rantwin watch runs/<run> --operate         and approve, confirm, roll back from the screen\n"
        "  rantwin watch --testbed lab.example:50051\n"
        "  rantwin watch --web                        the same in a browser, read-only\n"
        "  NO_COLOR=1 rantwin watch                   without colours; RANTWIN_THEME=rantwin-light chooses a theme",
    )
    parser.add_argument(
        "run_folder",
        nargs="?",
        metavar="RUN",
        help="a run folder, or a name under --runs-dir (default: the latest, as soon as there is one)",
    )
    add_address(parser, "--testbed")
    parser.add_argument(
        "--operate", action="store_true", help="allow approve, confirm, roll back and the kill switch (default: no)"
    )
    parser.add_argument(
        "--scenario",
        default="",
        metavar="SCENARIO",
        help="what a rehearsal that is started on the screen rehearses (default: cpu-allocation)",
    )
    parser.add_argument(
        "--web",
        action="store_true",
        help="serve the screen to browsers of this machine instead, always read-only; prints the address",
    )
    parser.add_argument(
        "--port", type=port_number, metavar="N", help="port of --web on loopback (default: 8010; 0: a free one)"
    )
    add_runs_dir(parser)
