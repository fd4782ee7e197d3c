"""Arguments of the commands that work on runs: rehearse, certify, report, scenarios, calibrate."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui.arguments import (
    Commands,
    Parser,
    add_address,
    add_command,
    add_output,
    add_runs_dir,
    amount,
    seeds,
    share,
    whole,
)

__all__ = ["add_run_commands"]


def add_run_commands(commands: Commands[Parser]) -> None:
    """Add the commands."""
    _add_rehearse(commands)
    _add_certify(commands)
    _add_calibrate(commands)
    _add_report(commands)
    _add_scenarios(commands)


def _add_rehearse(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "rehearse",
        "tui.commands:rehearse_command",
        help="learn the safe region of a scenario on the twin (the main job)",
        description="Watch the twin, then try interventions that are known safe, and learn where the "
        "specification holds; then certify the cheapest configuration and the steps to it with fresh "
        "horizons. Writes a run folder with report.html, summary.json and certificates/.",
        examples="  rantwin rehearse                       the default scenario, seed 0\n"
        "  rantwin rehearse my.toml --seed 3      a scenario of your own\n"
        "  rantwin rehearse --seeds 1-20          twenty rehearsals, two at a time\n"
        "  rantwin rehearse --resume              go on with the one that was stopped last (Ctrl-C stops cleanly):\n"
        "                                         it ends as if it had never been stopped\n"
        "  rantwin rehearse --on unix:agent.sock  learn on a testbed, every trial through its agent's exploration mode",
    )
    parser.add_argument(
        "scenario",
        nargs="?",
        metavar="SCENARIO",
        help="name of a scenario ('rantwin scenarios' lists them) or path of a .toml file (default: cpu-allocation)",
    )
    parser.add_argument("--seed", type=whole(0), help="seed of everything random, a whole number (default: 0)")
    parser.add_argument(
        "--seeds",
        type=seeds,
        metavar="A-B",
        help="rehearse every one of these seeds (1-20, or 1,4,9), --workers processes at a time, into one folder with "
        "a table over all; --resume goes on with the last such folder that was stopped",
    )
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="with --seeds: rehearse on the workers of this Dask scheduler (tcp://HOST:8786), without certificates: "
        "the signing key stays here",
    )
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
    _add_certificates(parser)
    add_address(
        parser,
        "--on",
        "learn on a testbed instead of the twin: its agent, unix:PATH or HOST:PORT; every trial goes through the "
        "agent's exploration mode, which its operator has to allow",
    )
    parser.add_argument("--no-certificates", action="store_true", help="neither recommend nor certify anything")
    add_runs_dir(parser)
    _add_workers(parser)
    add_output(parser)


def _add_certify(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "certify",
        "tui.commands:certify_command",
        help="certify the recommendation of a finished run again",
        description="Recommend from the region of a finished run, certify each step with fresh horizons on the "
        "twin and sign the certificates: after they expired, for another testbed, or with other "
        "limits of a step.",
        examples="  rantwin certify                                    the latest run\n"
        "  rantwin certify runs/<run> --testbed lab --stack 'srsRAN Project 25.10' --valid-days 7",
    )
    parser.add_argument(
        "run_folder", nargs="?", metavar="RUN", help="a run folder, or a name under --runs-dir (default: the latest)"
    )
    _add_certificates(parser)
    add_runs_dir(parser)
    _add_workers(parser)
    add_output(parser)


def _add_certificates(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("certificates")
    group.add_argument("--testbed", metavar="ID", help="the testbed that they are for (default: embedded)")
    group.add_argument(
        "--stack",
        metavar="TEXT",
        help="stack of that testbed, as its agent states it (default: that of the embedded testbed)",
    )
    group.add_argument(
        "--valid-days", type=amount(most=3650.0), metavar="DAYS", help="how long they are valid (default: 30)"
    )
    group.add_argument(
        "--largest-step",
        type=amount(),
        metavar="CORES",
        help="most that a control may change in one step, in its own unit (default: 0.4 core)",
    )
    group.add_argument(
        "--reserve",
        type=share,
        metavar="SHARE",
        help="keep φ also where a core on the testbed is worth that share less than on the twin, from 0 to below 1 "
        "(default: the calibration's own error on settings left out of its fit)",
    )
    group.add_argument("--most-gnbs", type=whole(1), metavar="N", help="most gNBs that one step may touch (default: 2)")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=whole(1),
        default=2,
        metavar="N",
        help="simulating threads, or rehearsals at a time with --seeds; no result depends on it (default: 2)",
    )


def _add_calibrate(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "calibrate",
        "tui.commands:calibrate_command",
        help="fit the twin's compute model to recordings of a real gNB, or to a testbed in a safe sweep",
        description="Read recordings of a gNB under CPU quotas, fit the DU's compute model, and say how far off "
        "it is on settings that were left out of the fit. With --on: take the CPU limits of a testbed down in a "
        "few steps, each through its agent's gate and back at its end, fit the costs of DUs and CUs, and write the "
        "scenario with them.",
        examples="  rantwin calibrate recordings/ --out my-gnb.json --leave-out 4\n"
        "  rantwin calibrate --on lab.example:50051 --scenario zmq --out my-testbed.toml",
    )
    parser.add_argument(
        "data",
        nargs="?",
        type=Path,
        metavar="DATA",
        help="folder of recordings: runs/ and load/ with *.jsonl.gz, or a measured.json",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where the calibration goes; its stem is its name (default: calibration.json; with --on the scenario: "
        "calibrated.toml)",
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
    _add_sweep(parser)
    add_output(parser)


def _add_sweep(parser: Parser) -> None:
    add_address(
        parser,
        "--on",
        "sweep this testbed instead: its agent, unix:PATH or HOST:PORT, whose operator has to allow exploration",
    )
    group = parser.add_argument_group("sweep")
    group.add_argument(
        "--scenario", metavar="S", help="the testbed's twin: name or .toml file (default: cpu-allocation)"
    )
    group.add_argument("--levels", type=whole(1), default=3, metavar="N", help="steps down (default: 3)")
    group.add_argument("--windows", type=whole(1), default=3, metavar="N", help="windows of each (default: 3)")
    group.add_argument(
        "--headroom",
        type=amount(most=100.0),
        default=1.3,
        metavar="X",
        help="no limit below X times what the container was seen to use (default: 1.3)",
    )
    group.add_argument("--gnbs-at-once", type=whole(1), default=2, metavar="N", help="gNBs a trial (default: 2)")


def _add_report(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "report",
        "tui.commands:report_command",
        help="write the report of a run again",
        description="Read a run folder, finished or not, and write its report.html again.",
        examples="  rantwin report                         the latest run\n"
        "  rantwin report runs/<run> --figures figures",
    )
    parser.add_argument(
        "run_folder", nargs="?", metavar="RUN", help="a run folder, or a name under --runs-dir (default: the latest)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of RUN/report.html")
    parser.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="also write every figure there as an SVG of its own"
    )
    add_runs_dir(parser)
    parser.add_argument("--json", action="store_true", help="print what was written as JSON on stdout")


def _add_scenarios(commands: Commands[Parser]) -> None:
    parser = add_command(
        commands,
        "scenarios",
        "tui.commands:scenarios_command",
        help="list the scenarios that come with rantwin, or print one",
        description="List the scenarios that come with rantwin, or print one.",
        examples="  rantwin scenarios cpu-allocation > mine.toml",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this one as TOML, every default filled in")
    parser.add_argument("--json", action="store_true", help="the list as JSON on stdout")
