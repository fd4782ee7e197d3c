"""What each command does once its arguments are known. Heavy imports stay inside the command that needs them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from col.errors import InputError, PlantError
from tui.console import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, print_json
from tui.progress import choose_progress
from tui.stopping import StoppableProgress, stoppable

__all__ = ["calibrate_command", "certify_command", "rehearse_command", "report_command", "scenarios_command"]


def rehearse_command(args: argparse.Namespace) -> int:
    """Rehearse a scenario, or go on with a stopped rehearsal."""
    from tui.agent_link import connect
    from tui.rehearse import RehearsalRequest, rehearse

    if args.seeds is not None:
        return _rehearse_seeds(args)
    if args.dask is not None:
        raise InputError("distributes the rehearsals of --seeds: say which", key="--dask", value=args.dask)
    request = RehearsalRequest(
        scenario=args.scenario,
        seed=args.seed,
        passive_windows=args.passive_windows,
        max_trials=args.max_trials,
        effect=args.effect,
        prior=args.prior,
        confidence=args.confidence,
        runs_dir=args.runs_dir,
        workers=args.workers,
        resume=args.resume,
        verify=args.verify,
        certificates={**_certificate_options(args), "enabled": False if args.no_certificates else None},
        on=args.on,
        connect=lambda address: connect(args, to=address),
    )
    folder: list[Path] = []
    try:
        with stoppable() as stopping:
            progress = StoppableProgress(choose_progress(quiet=args.quiet), stopping)
            code, summary = rehearse(request, progress, started=folder.append)
    except KeyboardInterrupt:
        where = f" {folder[0]}" if folder else ""
        print(f"rantwin: stopped; go on with: rantwin rehearse --resume{where}", file=sys.stderr)
        return EXIT_INTERRUPTED
    if args.json:
        print_json({"run": str(folder[0]), **summary})
    else:
        for line in _verdict(folder[0], summary):
            print(line)
    return code


def _rehearse_seeds(args: argparse.Namespace) -> int:
    from tui.study import StudyRequest, rehearse_study, table_lines

    for option, value in (("--seed", args.seed), ("--on", args.on)):
        if value is not None:
            raise InputError("cannot be combined with --seeds", key=option, value=value)
    asked = {name: getattr(args, name) for name in ("passive_windows", "max_trials", "effect", "prior", "confidence")}
    certificates = {**_certificate_options(args), "enabled": False if args.no_certificates else None}
    request = StudyRequest(
        seeds=args.seeds,
        scenario=args.scenario,
        options={**asked, "verify": args.verify, "certificates": certificates},
        runs_dir=args.runs_dir,
        workers=args.workers,
        dask=args.dask,
        resume=args.resume,
    )
    folder: list[Path] = []
    again = f"rantwin rehearse --seeds {','.join(map(str, args.seeds))} --resume"
    try:
        with stoppable() as stopping:
            progress = StoppableProgress(choose_progress(quiet=args.quiet), stopping)
            code, study = rehearse_study(request, progress, started=folder.append)
    except KeyboardInterrupt:
        where = f"; go on with: {again} {folder[0]}" if folder else ""
        print(f"rantwin: stopped{where}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except PlantError:
        if folder:
            print(f"rantwin: what has ended is kept; go on with: {again} {folder[0]}", file=sys.stderr)
        raise
    if args.json:
        print_json({"study": str(folder[0]), **study})
    else:
        print("\n".join([*table_lines(study), f"study: {folder[0]}"]))
    return code


def certify_command(args: argparse.Namespace) -> int:
    """Recommend and certify again from the region of a finished run."""
    from tui.certify_again import certify_again
    from tui.run_folder import find_run

    path = find_run(args.runs_dir, args.run_folder)
    result = certify_again(
        path, _certificate_options(args), choose_progress(quiet=args.quiet), workers=args.workers, now=datetime.now()
    )
    if args.json:
        print_json({"run": str(path), **result})
    else:
        print("\n".join([*_recommendation(result), *(str(path / name) for name in result["certificates"])]))
    return EXIT_DONE if result["certificates"] else EXIT_FAILED


def report_command(args: argparse.Namespace) -> int:
    """Write the report of a run again."""
    from tui.report import render_figures, render_report
    from tui.report_data import load_report_data
    from tui.run_folder import RunFolder, find_run

    folder = RunFolder.open(find_run(args.runs_dir, args.run_folder))
    data = load_report_data(folder)
    page = render_report(data)
    written: list[Path] = [args.out or folder.path / "report.html"]
    if args.out is None:
        folder.write_text("report.html", page)
    else:
        args.out.write_text(page, encoding="utf-8")
    if args.figures is not None:
        args.figures.mkdir(parents=True, exist_ok=True)
        for name, svg in render_figures(data):
            (args.figures / name).write_text(svg, encoding="utf-8")
            written.append(args.figures / name)
    if args.json:
        print_json({"run": str(folder.path), "written": [str(path) for path in written]})
    else:
        print("\n".join(str(path) for path in written))
    return EXIT_DONE


def scenarios_command(args: argparse.Namespace) -> int:
    """List the scenarios that come with rantwin, or print one as TOML."""
    from twin.scenario import load_scenario, scenario_names

    if args.name:
        print(load_scenario(args.name).to_toml(), end="")
        return EXIT_DONE
    entries = [(name, load_scenario(name).title) for name in scenario_names()]
    if args.json:
        print_json([{"name": name, "title": title} for name, title in entries])
    else:
        width = max(len(name) for name, _ in entries)
        for name, title in entries:
            print(f"{name:<{width}}  {title}")
    return EXIT_DONE


def calibrate_command(args: argparse.Namespace) -> int:
    """Fit the twin's compute model to recordings, or to a testbed."""
    if args.on is not None:
        return _calibrate_on(args)
    if args.data is None:
        raise InputError("say which recordings, or --on which testbed", key="DATA")
    from tui.calibrate import CalibrationRequest, calibrate

    request = CalibrationRequest(
        data=args.data,
        out=args.out or Path("calibration.json"),
        figures=args.figures,
        leave_out=args.leave_out,
        evaluations=args.evaluations,
        workers=args.workers,
    )
    result = calibrate(request, choose_progress(quiet=args.quiet))
    if args.json:
        print_json(result)
        return EXIT_DONE
    print(f"calibration {result['calibration_id']} on {result['settings']} settings, loss {result['loss']:.4f}")
    for group, values in result["errors"].items():
        shown = [
            f"{key.removesuffix('_nrmse').replace('_', ' ')} {100 * v:.1f} %"
            for key, v in values.items()
            if "nrmse" in key
        ]
        print(f"  NRMSE, {group}: {', '.join(shown)}")
    print("\n".join(result["written"]))
    return EXIT_DONE


def _calibrate_on(args: argparse.Namespace) -> int:
    from tui.agent_link import connect
    from tui.calibrate_on import CalibrateOnRequest, calibrate_on, report_lines
    from tui.session import DEFAULT_SCENARIO

    if args.data is not None:
        raise InputError("recordings and a testbed cannot be fitted together", key="--on", value=args.on)
    request = CalibrateOnRequest(
        on=args.on,
        scenario=args.scenario or DEFAULT_SCENARIO,
        out=args.out or Path("calibrated.toml"),
        levels=args.levels,
        windows=args.windows,
        headroom=args.headroom,
        at_once=args.gnbs_at_once,
        connect=lambda address: connect(args, to=address),
    )
    result = calibrate_on(request, choose_progress(quiet=args.quiet))
    if args.json:
        print_json(result)
    else:
        print("\n".join(report_lines(result)))
    return EXIT_DONE


def _verdict(folder: Path, summary: dict[str, Any]) -> list[str]:
    from tui.report_data import load_report_data
    from tui.report_findings import headline
    from tui.run_folder import RunFolder

    data = replace(load_report_data(RunFolder.open(folder)), summary=summary)
    lines = [headline(data)]
    cheapest = summary.get("cheapest")
    if cheapest:
        lines.append("cheapest safe: " + ", ".join(f"{k} {v:g}" for k, v in cheapest["controls"].items()))
    if (folder / "recommendation.json").is_file():
        lines += _recommendation(RunFolder.open(folder).read_json("recommendation.json"))
    if summary.get("coverage") is not None:
        unsafe = summary["unsafe_interventions"]
        coverage, false_safe = 100 * summary["coverage"], 100 * summary["false_safe"]
        lines.append(f"truth: coverage {coverage:.1f} %, false-safe {false_safe:.1f} %, unsafe trials {unsafe}")
    return [*lines, f"report: {folder / 'report.html'}"]


_CERTIFICATE_OPTIONS = ("testbed", "stack", "valid_days", "largest_step", "most_gnbs", "reserve")


def _certificate_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return what was said of certificates, by the names of `certification.CertificateOptions`."""
    return {name: getattr(args, name) for name in _CERTIFICATE_OPTIONS}


def _recommendation(found: dict[str, Any]) -> list[str]:
    recommended, unit = found["recommended"], found["unit"]
    if not recommended["steps_certified"]:
        return [f"nothing certified: {found['why']}"]
    lines = [
        f"recommended: {recommended['reference_cost']:g} -> {recommended['cost']:g} {unit} in "
        f"{recommended['steps_certified']} certified steps, P(φ) ≥ {recommended['bound']:.3f}"
    ]
    return lines + ([f"  {found['why']}"] if found["why"] else [])
