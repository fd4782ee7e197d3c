"""A calibration: what was fitted, to which recordings, how well it predicts what it did not see, and what it binds.

A calibration records radio mode, MCS table and split, and binds only where they match. Kept as JSON, its id is the
digest of its content.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from col.errors import InputError
from twin.calibrate import Fit, Predicted, fit_compute, simulate_settings
from twin.parameters import DuCompute
from twin.recording_rows import Setting
from twin.recordings import Recordings

__all__ = ["METRICS", "Calibration", "SettingFit", "calibrate_recordings", "load_calibration", "setting_name"]

METRICS = ("dl_mbps", "ul_mbps", "cpu_cores", "throttled_share", "throttled_periods", "nok_ratio_dl")
"""What is compared between recordings and twin: Mbit/s, Mbit/s, core, s/s summed over CPUs, share, ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingFit:
    """One recorded setting: what was measured and what the fitted twin says; keys are METRICS."""

    name: str
    quota_cores: float
    n_ue: int
    cap_prb_dl: int
    cap_prb_ul: int
    measured: Mapping[str, float]
    fitted: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A fit with its provenance. `errors` holds NRMSE by group and metric on settings left out, where that was run."""

    name: str
    stack: str
    radio_mode: str
    mcs_table: str
    split: str
    recording_id: str
    fit: Fit
    settings: tuple[SettingFit, ...]
    errors: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...]

    @property
    def calibration_id(self) -> str:
        """Return the name and the digest of what binds: fit, radio mode, MCS table, split, recordings."""
        content = [self.stack, self.radio_mode, self.mcs_table, self.split, self.recording_id, asdict(self.fit)]
        return f"{self.name}-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]}"

    def to_json(self) -> str:
        """Return the calibration as JSON; `du` and `cell` are what the twin reads."""
        document = {
            "calibration_id": self.calibration_id,
            "name": self.name,
            "stack": self.stack,
            "radio_mode": self.radio_mode,
            "mcs_table": self.mcs_table,
            "split": self.split,
            "recording_id": self.recording_id,
            "du": asdict(self.fit.du),
            "cell": {
                "bits_per_prb_dl": self.fit.bits_per_prb_dl,
                "bits_per_prb_ul": self.fit.bits_per_prb_ul,
                "pucch_prb": self.fit.pucch_prb,
            },
            "loss": self.fit.loss,
            "evaluations": self.fit.evaluations,
            "errors": {group: dict(values) for group, values in self.errors.items()},
            "notes": list(self.notes),
            "settings": [asdict(s) for s in self.settings],
        }
        return json.dumps(document, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str = "calibration") -> Calibration:
        """Read a calibration back.

        Raises:
            InputError: not JSON, a key is missing or of the wrong kind, or the id does not fit the content.
        """
        try:
            d: dict[str, Any] = json.loads(text)
            known = {f.name for f in fields(DuCompute)}
            unknown = set(d["du"]) - known
            if unknown:
                raise InputError(
                    f"unknown parameter; known are {', '.join(sorted(known))}", source=source, key=f"du.{min(unknown)}"
                )
            fit = Fit(
                du=DuCompute(**d["du"]), bits_per_prb_dl=int(d["cell"]["bits_per_prb_dl"]),
                bits_per_prb_ul=int(d["cell"]["bits_per_prb_ul"]), pucch_prb=float(d["cell"]["pucch_prb"]),
                loss=float(d["loss"]), evaluations=int(d["evaluations"]),
            )  # fmt: skip
            calibration = cls(
                name=str(d["name"]), stack=str(d["stack"]), radio_mode=str(d["radio_mode"]),
                mcs_table=str(d["mcs_table"]), split=str(d["split"]), recording_id=str(d["recording_id"]), fit=fit,
                settings=tuple(SettingFit(**s) for s in d["settings"]), errors=d["errors"], notes=tuple(d["notes"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a calibration ({error})", source=source) from error
        if d["calibration_id"] != calibration.calibration_id:
            raise InputError(
                f"does not fit the content, which has {calibration.calibration_id}: it was changed by hand",
                source=source, key="calibration_id", value=d["calibration_id"],
            )  # fmt: skip
        return calibration


def load_calibration(path: Path) -> Calibration:
    """Read a calibration file; an InputError names what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", source=str(path)) from error
    return Calibration.from_json(text, source=str(path))


def calibrate_recordings(
    recordings: Recordings,
    *,
    name: str,
    max_evaluations: int = 600,
    errors: Mapping[str, Mapping[str, float]] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Calibration:
    """Fit the DU's compute model to recordings and say what it makes of each of their settings.

    Raises:
        InputError: too few settings, or a radio mode other than `rt` (late slots lost), which is what the model
        describes.
    """
    about = recordings.about
    if about.radio_mode != "rt":
        raise InputError(
            "only `rt` recordings can be fitted: in `zmq` mode starvation stretches slots instead of losing them",
            source=name, key="radio_mode", value=about.radio_mode,
        )  # fmt: skip
    fit = fit_compute(recordings.settings, max_evaluations=max_evaluations, progress=progress)
    predicted = simulate_settings(fit, recordings.settings, seconds=40.0, seed=7)
    return Calibration(
        name=name,
        stack=about.stack,
        radio_mode=about.radio_mode,
        mcs_table=about.mcs_table,
        split=about.split,
        recording_id=recordings.recording_id,
        fit=fit,
        settings=setting_fits(recordings.settings, predicted),
        errors=errors or {},
        notes=recordings.notes,
    )


def setting_name(s: Setting) -> str:
    """Return a name for people: `0.60 core, 25/25 PRB, 1 UE`."""
    return f"{s.quota_cores:.2f} core, {s.cap_prb_dl}/{s.cap_prb_ul} PRB, {s.n_ue} UE"


def setting_fits(settings: Sequence[Setting], predicted: Predicted) -> tuple[SettingFit, ...]:
    """Pair measured settings with what the twin says of them."""
    return tuple(
        SettingFit(
            name=setting_name(s),
            quota_cores=s.quota_cores,
            n_ue=s.n_ue,
            cap_prb_dl=s.cap_prb_dl,
            cap_prb_ul=s.cap_prb_ul,
            measured={m: _finite(getattr(s, m)) for m in METRICS},
            fitted={m: _finite(float(getattr(predicted, m)[i])) for m in METRICS},
        )
        for i, s in enumerate(settings)
    )


def _finite(value: float) -> float:
    return float(f"{value:.6g}") if math.isfinite(value) else 0.0
