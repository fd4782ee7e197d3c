"""Certificates in a run folder: `certificates/NN-<digest12>.json`, in the order of the path.

A file holds the payload byte for byte as it was signed, the signature in hex, and under `about` the same for people,
which nobody verifies and no program reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from col.certificate import SignedCertificate
from col.errors import InputError
from tui.run_folder import RunFolder

__all__ = ["FOLDER", "changes_of", "load_certificates", "store_certificates"]

FOLDER = "certificates"


def store_certificates(folder: RunFolder, signed: Sequence[SignedCertificate], units: Mapping[str, str]) -> list[str]:
    """Write the certificates of a run, in place of those that it had; return their names in the folder."""
    target = folder.path / FOLDER
    target.mkdir(exist_ok=True)
    names = [f"{FOLDER}/{number:02d}-{one.digest[:12]}.json" for number, one in enumerate(signed, start=1)]
    for name, one in zip(names, signed, strict=True):
        folder.write_json(name, {**json.loads(one.to_text()), "about": _about(one, units)})
    for path in target.glob("*.json"):
        if f"{FOLDER}/{path.name}" not in names:
            path.unlink()
    return names


def load_certificates(run: Path) -> list[SignedCertificate]:
    """Return the certificates of a run in the order of its path; InputError names a file that is none."""
    found = []
    for path in sorted((run / FOLDER).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"not JSON ({error})", source=str(path)) from error
        if isinstance(content, dict):
            content.pop("about", None)
        found.append(SignedCertificate.from_text(json.dumps(content), source=str(path)))
    return found


def changes_of(base: Mapping[str, float], target: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return what differs: control -> (before, after)."""
    return {name: (base[name], value) for name, value in target.items() if value != base[name]}


def _about(signed: SignedCertificate, units: Mapping[str, str]) -> dict[str, Any]:
    certificate = signed.certificate()
    return {
        "note": "for people; what counts is the payload above",
        "digest": signed.digest,
        "testbed": f"{certificate.testbed_id}, {certificate.stack}, radio mode {certificate.radio_mode}",
        "changes": [
            f"{name}: {before:g} -> {after:g} {units.get(name, '')}".rstrip()
            for name, (before, after) in changes_of(certificate.base, certificate.target).items()
        ],
        "evidence": f"P(φ | do(x)) ≥ {certificate.bound:.4f} with confidence {1 - certificate.delta:g} shared over the "
        f"path: φ held in {certificate.passes} of {certificate.horizons} fresh horizons on the twin",
        "issued": _date(certificate.issued_at_s),
        "expires": _date(certificate.expires_at_s),
        "key": certificate.key_id,
    }


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
