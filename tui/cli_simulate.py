"""Arguments of `rantwin simulate` and what the command does with them."""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from col.errors import InputError
from tui.arguments import Commands, Parser, add_command, add_output, add_runs_dir, whole
from tui.console import EXIT_DONE, EXIT_INTERRUPTED, print_json

if TYPE_CHECKING:
    from tui.progress import Progress
    from tui.simulate import Simulation

__all__ = ["add_simulate_command", "simulate_command"]


def add_simulate_command(commands: Commands[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "simulate",
        "tui.cli_simulate:simulate_command",
        help="run a scenario on the twin, as it is or under do(), and look at its windows",
        description="Simulate a scenario: one run at the operating load with all controls at their reference. "
        "Writes a folder with windows.parquet, windows.csv (column names of the public 5G data set), events.jsonl, "
        "simulation.json and report.html with plots of the windows.",
        examples="  rantwin simulate cpu-allocation\n"
        "  rantwin simulate cpu-allocation --do cpu_du_1=0.5 --do cpu_cu=0.4     one DU; every CU\n"
        "  rantwin simulate traffic-steering --passive --windows 240             an hour as it comes\n"
        "  rantwin simulate --counterfactual runs/simulations/<run> --do cpu_du_1=0.5\n"
        "  rantwin simulate zmq --trace-in measurements.csv\n"
        "  rantwin simulate my.toml --seed 3 --json --out my-run",
    )
    parser.add_argument(
        "scenario",
        nargs="?",
        metavar="SCENARIO",
        help="name of a scenario ('rantwin scenarios' lists them) or path of a .toml file",
    )
    parser.add_argument(
        "--do",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a variable: a control (cpu_du_1=0.5), every control of a kind (cpu_du=0.5), or any other variable "
        "of the causal graph that can be held (load_ul_1=4); may be given several times",
    )
    parser.add_argument(
        "--passive",
        action="store_true",
        help="let the load come as it does while nobody intervenes, and autoscalers and controllers at the controls",
    )
    parser.add_argument(
        "--windows", type=whole(1), metavar="N", help="windows to simulate (default: 20; with --passive 240)"
    )
    parser.add_argument(
        "--runs", type=whole(1), default=1, metavar="N", help="repeat with fresh processes (default: 1)"
    )
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of everything random (default: 0)")
    parser.add_argument(
        "--workers",
        type=whole(1),
        default=1,
        metavar="N",
        help="processes that share runs, and independent hosts of a large RAN; no result depends on it (default: 1)",
    )
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="share them among the workers of this Dask scheduler (tcp://HOST:8786)"
    )
    parser.add_argument(
        "--trace",
        action="store_true",
        help="also write packets.parquet: when each packet was sent and delivered (the first 4 million of a run)",
    )
    parser.add_argument(
        "--counterfactual",
        type=Path,
        metavar="RUN",
        help="take the folder of a simulation and let its very runs happen again, same noise, under --do",
    )
    parser.add_argument(
        "--keep-controls",
        action="store_true",
        help="with --counterfactual: keep every other control where it was in each window, whoever set it",
    )
    parser.add_argument(
        "--trace-in",
        type=Path,
        metavar="CSV",
        help="recorded windows in the columns of the public 5G data set: simulate SCENARIO under the loads and limits "
        "that were recorded, and show both side by side",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write there (default: a new folder in runs/simulations)"
    )
    parser.add_argument("--figures", action="store_true", help="also write every plot as an SVG file of its own")
    add_runs_dir(parser)
    add_output(parser)


def simulate_command(args: argparse.Namespace) -> int:
    """Simulate and write what came out."""
    from tui.progress import choose_progress
    from tui.simulate_files import check_out, claim_folder, write_simulation
    from tui.simulate_summary import summary_lines, summary_of
    from tui.stopping import StoppableProgress, stoppable

    check_out(args.out)  # before it begins, not when it is done
    if args.counterfactual is not None and args.out is not None and args.out.resolve() == args.counterfactual.resolve():
        raise InputError("is the run that it is a counterfactual of", key="--out", value=str(args.out))
    try:
        with stoppable() as stopping:
            simulation = _simulated(args, StoppableProgress(choose_progress(quiet=args.quiet), stopping))
    except KeyboardInterrupt:
        print("rantwin: stopped; nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED
    folder = claim_folder(args.out, args.runs_dir, simulation.scenario.name, datetime.now())
    written = write_simulation(simulation, folder, figures=args.figures, command=_command(args))
    if args.json:
        print_json({"folder": str(folder), "written": [str(path) for path in written], **summary_of(simulation)})
    else:
        print("\n".join([*summary_lines(simulation), f"report: {folder / 'report.html'}"]))
    return EXIT_DONE


def _simulated(args: argparse.Namespace, progress: Progress) -> Simulation:
    from tui.simulate import SimulationRequest, run_simulation
    from tui.simulate_again import CounterfactualRequest, run_counterfactual
    from tui.simulate_recorded import run_beside_recording
    from twin.job_pool import ProcessJobs

    if args.counterfactual is not None:
        recorded = {
            "SCENARIO": args.scenario,
            "--passive": args.passive,
            "--windows": args.windows,
            "--seed": args.seed,
        }
        for option, given in {**recorded, "--runs": args.runs if args.runs != 1 else None}.items():
            if given:
                raise InputError("is that of the simulation: leave it out", key=option, value=given)
        if args.trace:
            raise InputError("is not kept of a counterfactual: leave it out", key="--trace")
        return run_counterfactual(
            CounterfactualRequest(args.counterfactual, args.do, keep_controls=args.keep_controls), progress
        )
    if args.keep_controls:
        raise InputError("belongs to --counterfactual: leave it out", key="--keep-controls")
    if args.scenario is None:
        raise InputError("say which: a name ('rantwin scenarios' lists them) or a .toml file", key="SCENARIO")
    if args.trace_in is not None:
        for option, wanted in {"--passive": args.passive, "--do": args.do, "--runs": args.runs != 1}.items():
            if wanted:
                raise InputError("a recording says what comes when: leave it out", key=option)
        return run_beside_recording(
            args.scenario, args.trace_in, seed=args.seed, windows=args.windows, progress=progress
        )
    request = SimulationRequest(
        scenario=args.scenario,
        seed=args.seed,
        windows=args.windows,
        passive=args.passive,
        do=args.do,
        runs=args.runs,
        trace=args.trace,
    )
    if args.dask is not None:
        from twin.job_pool_dask import DaskJobs

        with DaskJobs(args.dask) as jobs:
            return run_simulation(request, progress, jobs)
    return run_simulation(request, progress, ProcessJobs(args.workers) if args.workers > 1 else None)


def _command(args: argparse.Namespace) -> str:
    if args.counterfactual is not None:
        what = ["--counterfactual", str(args.counterfactual)]
        what += ["--keep-controls"] if args.keep_controls else []
        return shlex.join(["rantwin", "simulate", *what, *(word for do in args.do for word in ("--do", do))])
    words = ["rantwin", "simulate", str(args.scenario), *(word for do in args.do for word in ("--do", do))]
    words += ["--passive"] if args.passive else []
    words += ["--trace"] if args.trace else []
    words += ["--trace-in", str(args.trace_in)] if args.trace_in is not None else []
    words += ["--windows", str(args.windows)] if args.windows is not None else []
    words += ["--runs", str(args.runs)] if args.runs != 1 else []
    return shlex.join([*words, "--seed", str(args.seed)])
