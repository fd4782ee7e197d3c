"""The command line `rantwin`. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from tui.arguments import Parser
from tui.cli_lab import add_lab_commands
from tui.cli_runs import add_run_commands
from tui.cli_simulate import add_simulate_command
from tui.cli_testbed import add_testbed_commands
from tui.cli_watch import add_watch_command, opens_screen
from tui.console import EXIT_DONE, guarded

__all__ = ["build_parser", "main"]

_EPILOG = """\
exit codes: 0 done; 1 refused, unsafe, rolled back or failed; 2 bad input; 3 unreachable; 130 stopped with Ctrl-C

examples:
  rantwin                                   on a terminal: the screen (rantwin watch)
  rantwin rehearse                          learn the safe CPU limits of four gNBs; see runs/<time>-cpu-allocation/
  rantwin simulate cpu-allocation           run a scenario as it is and look at its windows
  rantwin rehearse my.toml --seed 3 --json  a scenario of your own; the summary as JSON on stdout
  rantwin rehearse --resume                 go on with the rehearsal that was stopped last
  rantwin serve                             start the embedded (EMULATED) testbed and the agent beside it
  rantwin promote runs/<run>                carry out the next certified step of that run on the testbed
  rantwin history --verify                  what happened on the testbed, and whether its journal is whole
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="rantwin",
        description="Rehearse interventions on a cloud RAN in a discrete-event twin, learn which controls are\n"
        "safe, then promote them to a testbed with an automatic way back.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print versions and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    add_run_commands(commands)
    add_simulate_command(commands)
    add_testbed_commands(commands)
    add_watch_command(commands)
    add_lab_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""

    def run() -> int:
        parser = build_parser()
        words = sys.argv[1:] if argv is None else list(argv)
        args = parser.parse_args(["watch"] if not words and opens_screen() else words)
        if args.version:
            return _print_versions()
        if args.command is None:
            parser.print_help()
            return EXIT_DONE
        command: Callable[[argparse.Namespace], int] = args.run
        return command(args)

    return guarded(run)


def _print_versions() -> int:
    from tui.manifest import versions

    for name, version in versions().items():
        print(f"{name} {version}")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
