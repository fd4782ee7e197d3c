"""Arguments of `rantwin lab up|down|status|accept` and `rantwin doctor`."""

from __future__ import annotations

import argparse

from tui.arguments import Commands, Parser, add_command, amount, whole

__all__ = ["add_lab_commands"]

DEFAULT_NAME = "rantwin-lab"


def add_lab_commands(commands: Commands[Parser]) -> None:
    """Add the commands."""
    _add_lab(commands)
    add_command(
        commands,
        "doctor",
        "tui.doctor:doctor_command",
        help="what this machine can do for a lab or a testbed, what it cannot, and what to install",
        description="Look at this machine: Python, root, Docker, Swarm, cgroups, CPU limits of the kernel, iperf3, "
        "traffic control, power counters, optional packages. Nothing is changed. Exit code 1: no lab can run here.",
        examples="  rantwin doctor\n  rantwin doctor --json",
    ).add_argument("--json", action="store_true", help="result as JSON on stdout")


def _add_lab(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "lab",
        help="four gNBs of real containers on this machine: up, down, status, accept",
        description="A lab of real containers for those who have no testbed: DUs and CUs that do the CPU work of a\n"
        "real gNB on real traffic of iperf3, so that the kernel's CPU limits set throughput, delay and jitter.\n"
        "Needs root, Docker and iperf3: rantwin doctor says what is missing.",
        epilog="examples:\n  rantwin lab up\n  rantwin lab up --gnbs 1 --window 2 --serve\n  rantwin lab status\n"
        "  rantwin lab accept mine.toml\n  rantwin lab down",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(dest="part", metavar="up|down|status|accept", required=True, parser_class=Parser)
    up = add_command(
        parts,
        "up",
        "tui.lab:lab_up_command",
        help="make the image, start the containers, write inventory and agent configuration",
        description="Make the lab's image of this machine's Python and iperf3 (nothing is downloaded), start the "
        "containers on a network of their own, wait until traffic goes through, and write scenario, inventory and the "
        "agent's configuration below the config directory. What ran under that name before is replaced.",
        examples="  rantwin lab up\n  rantwin lab up --serve         and the agent in this process, until Ctrl-C",
    )
    _add_name(up)
    up.add_argument("--gnbs", type=whole(1), default=4, metavar="N", help="how many gNBs, 1 to 4 (default: 4)")
    up.add_argument("--window", type=amount(most=3600.0), metavar="SECONDS", help="length of a window (default: 3 s)")
    up.add_argument(
        "--cores", type=whole(1), metavar="N", help="scale the work to so many cores (default: those of this machine)"
    )
    up.add_argument("--exploration", action="store_true", help="let the agent allow trials without a certificate")
    up.add_argument("--serve", action="store_true", help="run the agent beside the lab in this process")
    up.add_argument("--json", action="store_true", help="what was made as JSON on stdout")
    for name, what, describe in (
        ("down", "remove the containers and their network", "Remove the lab's containers and network. Files stay."),
        ("status", "containers, limits, and what goes through", "Say what of the lab is there and what goes through."),
    ):
        one = add_command(
            parts,
            name,
            f"tui.lab:lab_{name}_command",
            help=what,
            description=describe,
            examples=f"  rantwin lab {name}",
        )
        _add_name(one)
        one.add_argument("--json", action="store_true", help="result as JSON on stdout")

    accept = add_command(
        parts,
        "accept",
        "tui.lab_accept:lab_accept_command",
        help="let the agent take certificates of a twin that was calibrated on the lab",
        description="Add a scenario that 'rantwin calibrate --on' wrote to those whose certificates the lab's agent "
        "takes. It must ask for the same as the lab's own scenario. The agent has to be started again.",
        examples="  rantwin lab accept mine.toml",
    )
    _add_name(accept)
    accept.add_argument("scenario", metavar="SCENARIO", help="the calibrated scenario's file")
    accept.add_argument("--json", action="store_true", help="result as JSON on stdout")


def _add_name(parser: argparse.ArgumentParser) -> None:
    from tui.lab import check_name

    parser.add_argument(
        "--name", type=check_name, default=DEFAULT_NAME, help=f"the lab's name (default: {DEFAULT_NAME})"
    )
