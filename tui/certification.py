"""From a region to signed certificates: recommend, try each step on fresh horizons, sign with the operator's key."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from time import perf_counter
from typing import Any

import numpy as np

from col.certificate import SignedCertificate
from col.certify import Certification, Certified, Issue, certify
from col.certify import Progress as Horizons
from col.errors import InputError
from col.recommend import BlastLimits, Recommendation, recommend
from col.region import Region
from tui.certificate_files import changes_of, store_certificates
from tui.config_dir import operator_config_dir
from tui.keys import ensure_signing_key
from tui.progress import Progress, Status
from tui.run_folder import RunFolder
from twin.calibrated import calibrated
from twin.emulated.settings import STACK
from twin.scenario import Scenario
from twin.twin import Twin

__all__ = ["RECOMMENDATION", "CertificateOptions", "certify_run", "gnb_controls", "options_of"]

RECOMMENDATION = "recommendation.json"
_STREAM = 80
"""Spawn key of the seed of the fresh horizons: apart from every stream that learning uses."""
_DAY_S = 86_400.0
_RESERVE = 0.10
"""Where a calibration says nothing of its own error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateOptions:
    """For which testbed, how long, and how much a step may change: `largest_step` in the control's own unit.

    `stack` is what the testbed's agent says it runs; empty means the one of the embedded testbed. `reserve` is by which
    share a core may be worth less on the testbed than on the twin (`col.recommend`); None takes the calibration's own
    error on settings that it was not fitted to.
    """

    testbed: str = "embedded"
    stack: str = ""
    valid_days: float = 30.0
    largest_step: float = 0.4
    most_gnbs: int = 2
    reserve: float | None = None
    enabled: bool = True

    def with_asked(self, asked: Mapping[str, Any]) -> CertificateOptions:
        """Return the options with what the user asked for; None stands for nothing asked."""
        return replace(self, **{name: value for name, value in asked.items() if value is not None})


def options_of(stored: object, source: str) -> CertificateOptions:
    """Return the options that a run was started with; the defaults where it says nothing."""
    if stored is None:
        return CertificateOptions()
    known = {field.name for field in fields(CertificateOptions)}
    if not isinstance(stored, dict) or not stored.keys() <= known:
        raise InputError("not options of certificates", source=source, key="certificates")
    return CertificateOptions(**stored)


def gnb_controls(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Return for each gNB the controls that touch it."""
    return {str(gnb.cell): scenario.topology.controls_of(gnb) for gnb in scenario.topology.gnbs}


def largest_steps(scenario: Scenario, cores: float) -> dict[str, float]:
    """Return how far a promotion may move a control: `cores` for CPU limits, else a fifth of its range, by kind."""
    ranges = {kind: limits for kind, limits in scenario.ranges.items() if not kind.startswith("cpu_")}
    return {"": cores} | {kind: (limits.upper - limits.lower) / 5.0 for kind, limits in ranges.items()}


def certify_run(
    folder: RunFolder,
    scenario: Scenario,
    region: Region,
    options: CertificateOptions,
    *,
    seed: int,
    workers: int,
    now_s: float,
    progress: Progress,
    status: Status,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, Any]:
    """Recommend, certify, sign; write `certificates/` and `recommendation.json`; return what the latter holds.

    Where the operator's key cannot be made or read, nothing is signed and `why` says so: the run stands without it.
    """
    began = clock()
    description = scenario.description()
    status.doing = "looks for the cheapest configuration with a margin"
    progress.update(status)
    reserve = _reserve(options, scenario)
    found = recommend(
        region,
        description.controls,
        description.reference.values,
        rates=scenario.cost.rates,
        limits=BlastLimits(
            largest_step=largest_steps(scenario, options.largest_step),
            groups=gnb_controls(scenario),
            most_groups=options.most_gnbs,
        ),
        reserve=reserve,
    )
    certification = Certification(steps=())
    if found.steps:
        issue = _issue(scenario, options, now_s)
        certification = _certify(found, scenario, issue, seed, workers, progress, status)
    signed, unsigned_because = _sign(certification, progress, status)
    units = {control.name: control.unit for control in description.controls}
    names = store_certificates(folder, signed, units)
    unit = next(iter(set(units.values()))) if len(set(units.values())) == 1 else ""
    document = {
        "options": asdict(options),
        "reserve": reserve,
        "unit": unit,
        "base": found.base,
        "base_cost": found.base_cost,
        "target": found.target,
        "target_cost": found.target_cost,
        "region_bound": found.bound,
        "steps_planned": len(found.steps),
        "steps": [_step(number, done, signed, names, unit) for number, done in enumerate(certification.steps, start=1)],
        "recommended": _recommended(found, certification, len(signed), scenario),
        "why": "; ".join(text for text in (found.why, certification.why, unsigned_because) if text),
        "key_id": signed[0].certificate().key_id if signed else None,
        "issued_at_s": now_s if signed else None,
        "expires_at_s": now_s + options.valid_days * _DAY_S if signed else None,
        "certification_s": round(clock() - began, 3),
    }
    folder.write_json(RECOMMENDATION, document)
    progress.update(status, _line(document))
    return document


def _reserve(options: CertificateOptions, scenario: Scenario) -> float:
    """Return by how much the twin may be too hopeful, as a share of what is bought."""
    if options.reserve is not None:
        return options.reserve
    error = calibrated(scenario.calibration).throughput_error
    return _RESERVE if error is None else error


def _certify(
    found: Recommendation,
    scenario: Scenario,
    issue: Issue,
    seed: int,
    workers: int,
    progress: Progress,
    status: Status,
) -> Certification:
    problem = scenario.problem()
    # Another seed, so that no stream of these horizons is one that learning used, and the same one each time: who
    # certifies again does not get another draw of the same step.
    fresh_seed = int(np.random.SeedSequence(seed, spawn_key=(_STREAM,)).generate_state(1, np.uint32)[0])
    metrics = {metric.name for metric in scenario.description().metrics}
    also = sorted({name for e in problem.derivations.values() for name in e.names} & metrics)
    said = 0

    def show(horizons: Horizons) -> None:
        nonlocal said
        of = "where it starts" if horizons.step == 0 else f"step {horizons.step} of {horizons.steps}"
        failures = f", {horizons.failures} failed" if horizons.failures else ""
        status.doing = f"certifies {of}: fresh horizons on streams that learning did not use{failures}"
        status.steps_name = f"horizons, {of}"
        status.steps_done, status.steps_total = horizons.horizons, horizons.horizons_needed
        line = f"certifies {of}" if horizons.step != said or (said == 0 and horizons.horizons == 1) else ""
        said = horizons.step
        progress.update(status, line)

    try:
        return certify(
            found.steps,
            lambda run: Twin(scenario, fresh_seed, first_run=run),
            problem.specification,
            issue,
            alpha=scenario.alpha,
            delta=scenario.delta,
            also=also,
            workers=workers,
            progress=show,
        )
    finally:
        status.steps_name = ""


def _issue(scenario: Scenario, options: CertificateOptions, now_s: float) -> Issue:
    return Issue(
        testbed_id=options.testbed,
        stack=options.stack or STACK,
        radio_mode=calibrated(scenario.calibration).radio_mode,
        scenario=scenario.name,
        scenario_digest=scenario.digest,
        calibration_id=scenario.calibration_id,
        issued_at_s=now_s,
        expires_at_s=now_s + options.valid_days * _DAY_S,
    )


def _sign(certification: Certification, progress: Progress, status: Status) -> tuple[list[SignedCertificate], str]:
    if not certification.certificates:
        return [], ""
    config = operator_config_dir()
    try:
        key, made = ensure_signing_key(config)
    except (InputError, OSError) as error:
        return [], f"not signed: {error}; mend it, then 'rantwin certify RUN'"
    if made:
        text = f"made your signing key {key.key_id}: {config.signing_key}"
        progress.update(status, text)
        status.notes.append(text)
        if not progress.says_lines:
            print(f"rantwin: {text}", file=sys.stderr)
    return [key.sign(certificate) for certificate in certification.certificates], ""


def _step(number: int, done: Certified, signed: list[SignedCertificate], names: list[str], unit: str) -> dict[str, Any]:
    has = number <= len(signed)
    return {
        "number": number,
        "base": done.step.base,
        "target": done.step.target,
        "changes": {name: list(pair) for name, pair in changes_of(done.step.base, done.step.target).items()},
        "unit": unit,
        "region_bound": done.step.bound,
        "horizons": done.horizons,
        "failures": done.failures,
        "bound": done.bound,
        "certified": done.certificate is not None,
        "certificate": names[number - 1] if has else None,
        "digest": signed[number - 1].digest if has else None,
    }


def _recommended(
    found: Recommendation, certification: Certification, signed: int, scenario: Scenario
) -> dict[str, Any]:
    """Return what `summary.json` says: how far certificates lead, and what that costs."""
    certified = [done for done in certification.steps if done.certificate is not None]
    controls = dict(certified[-1].step.target if certified else found.base)
    return {
        "controls": controls,
        "cost": round(sum(scenario.cost.rates.get(name, 0.0) * value for name, value in controls.items()), 9),
        "reference_cost": round(found.base_cost, 9),
        "steps": len(found.steps),
        "steps_certified": len(certified),
        "steps_signed": signed,
        "bound": min((done.bound for done in certified), default=None),
    }


def _line(document: Mapping[str, Any]) -> str:
    """Return what a log says of it."""
    recommended = document["recommended"]
    if not recommended["steps_certified"]:
        return f"nothing certified: {document['why']}"
    unit = document["unit"]
    return (
        f"certified {recommended['steps_certified']} of {recommended['steps']} steps, "
        f"{recommended['reference_cost']:g} -> {recommended['cost']:g} {unit}, "
        f"P(φ) ≥ {recommended['bound']:.3f}" + (f"; {document['why']}" if document["why"] else "")
    )
