"""The command line `rantwin`. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from col.errors import InputError
from tui.console import EXIT_DONE, guarded

__all__ = ["build_parser", "main"]

_EPILOG = """\
exit codes: 0 done; 1 refused, unsafe or failed; 2 bad input; 3 unreachable; 130 stopped with Ctrl-C (resumable)

examples:
  rantwin rehearse                          learn the safe CPU limits of four gNBs; see runs/<time>-cpu-allocation/
  rantwin rehearse my.toml --seed 3 --json  a scenario of your own; the summary as JSON on stdout
  rantwin rehearse --resume                 go on with the rehearsal that was stopped last
  rantwin report runs/<run>                 write report.html again
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError instead of printing the usage."""
        raise InputError(f"{message} (see '{self.prog} --help')", source="command line")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="rantwin",
        description="Rehearse interventions on a cloud RAN in a discrete-event twin and learn which controls are safe.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print versions and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_rehearse(commands)
    _add_calibrate(commands)
    _add_report(commands)
    _add_scenarios(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""

    def run() -> int:
        parser = build_parser()
        args = parser.parse_args(argv)
        if args.version:
            return _print_versions()
        if args.command is None:
            parser.print_help()
            return EXIT_DONE
        command: Callable[[argparse.Namespace], int] = args.run
        return command(args)

    return guarded(run)


def whole(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers of at least `least`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} must be at least {least}")
        return value

    return read


Commands = argparse._SubParsersAction  # the type has no public name


def _add_rehearse(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser(
        "rehearse",
        help="learn the safe region of a scenario on the twin (the main job)",
        description="Watch the twin, then try interventions that are known safe, and learn where the specification "
        "holds. Writes a run folder with report.html and summary.json.",
        epilog="Ctrl-C stops cleanly: 'rantwin rehearse --resume' goes on and ends as if it had never been stopped.",
    )
    parser.add_argument(
        "scenario",
        nargs="?",
        metavar="SCENARIO",
        help="name of a scenario ('rantwin scenarios' lists them) or path of a .toml file (default: cpu-allocation)",
    )
    parser.add_argument("--seed", type=whole(0), help="seed of everything random, a whole number (default: 0)")
    parser.add_argument("--max-trials", type=whole(0), metavar="N", help="at most so many interventions (default: 60)")
    parser.add_argument(
        "--passive-windows",
        type=whole(0),
        metavar="N",
        help="windows watched before the first intervention; 960 of 15 s are 4 h (default: as the scenario says, 960)",
    )
    parser.add_argument("--effect", choices=["mechanism"], help="model of the effect (default: mechanism)")
    parser.add_argument(
        "--prior",
        choices=["causal", "none", "naive"],
        help="what the passive windows may say: causal (adjusted for confounding), none (their responses are ignored), "
        "naive (not adjusted: biased, for comparison) (default: causal)",
    )
    parser.add_argument(
        "--confidence",
        choices=["pointwise", "uniform"],
        help="bound that decides what is tried and called safe (default: pointwise; the report has both)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="afterwards compute the truth on the twin: coverage, false-safe share, unsafe trials, true border, and "
        "how far the border moves when what is assumed is varied; takes longer than the rehearsal",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="go on with a stopped run: a folder, a name under --runs-dir, or nothing for the latest unfinished one",
    )
    _add_runs_dir(parser)
    parser.add_argument(
        "--workers",
        type=whole(1),
        default=2,
        metavar="N",
        help="simulating threads; no result depends on it (default: 2)",
    )
    _add_output(parser)
    parser.set_defaults(run=_rehearse)


def _add_calibrate(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser(
        "calibrate",
        help="fit the twin's compute model to recordings of a real gNB",
        description="Read recordings of a gNB under CPU quotas, fit the DU's compute model, and say how far off it is "
        "on settings that were left out of the fit.",
    )
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="folder of recordings: runs/ and load/ with *.jsonl.gz, or a measured.json",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("calibration.json"),
        metavar="FILE",
        help="where the calibration goes; its stem is its name (default: calibration.json)",
    )
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="also write the fit there as SVG files")
    parser.add_argument(
        "--leave-out",
        type=whole(0),
        default=0,
        metavar="N",
        help="leave every N-th setting out in turn and say how far off its prediction is; each takes a fit of its own, "
        "minutes in all (default: 0, none; 1 leaves out every one)",
    )
    parser.add_argument(
        "--evaluations", type=whole(1), default=600, metavar="N", help="evaluations of a fit at most (default: 600)"
    )
    parser.add_argument("--workers", type=whole(1), default=2, metavar="N", help="processes that fit (default: 2)")
    _add_output(parser)
    parser.set_defaults(run=_calibrate)


def _add_report(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser(
        "report",
        help="write the report of a run again",
        description="Read a run folder, finished or not, and write its report.html again.",
    )
    parser.add_argument(
        "run_folder", nargs="?", metavar="RUN", help="a run folder, or a name under --runs-dir (default: the latest)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of RUN/report.html")
    parser.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="also write every figure there as an SVG of its own"
    )
    _add_runs_dir(parser)
    parser.add_argument("--json", action="store_true", help="print what was written as JSON on stdout")
    parser.set_defaults(run=_report)


def _add_scenarios(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser("scenarios", help="list the scenarios that come with rantwin, or print one")
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this one as TOML, every default filled in")
    parser.add_argument("--json", action="store_true", help="the list as JSON on stdout")
    parser.set_defaults(run=_scenarios)


def _add_runs_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs-dir",
        "--out-dir",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="where run folders are (default: runs)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="result as JSON on stdout; everything else goes to stderr")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _rehearse(args: argparse.Namespace) -> int:
    from tui.commands import rehearse_command

    return rehearse_command(args)


def _calibrate(args: argparse.Namespace) -> int:
    from tui.commands import calibrate_command

    return calibrate_command(args)


def _report(args: argparse.Namespace) -> int:
    from tui.commands import report_command

    return report_command(args)


def _scenarios(args: argparse.Namespace) -> int:
    from tui.commands import scenarios_command

    return scenarios_command(args)


def _print_versions() -> int:
    from tui.manifest import versions

    for name, version in versions().items():
        print(f"{name} {version}")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
