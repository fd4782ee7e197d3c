"""A certificate: the signed evidence that one intervention lies in the estimated safe region.

It holds all that the evidence rests on, so that whoever checks it needs nothing but a public key: the full control
vector before and after, the specification and its levels, what the twin predicts for each metric, and which twin that
was. The canonical encoding is JSON with sorted keys, no spaces, finite numbers as their shortest decimal (RFC 8785 in
spirit); its SHA-256 is what is signed and what identifies the certificate.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from col.errors import InputError

__all__ = ["Certificate", "Prediction", "SignedCertificate"]

FORMAT = "rantwin certificate 1"
MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the twin predicts for the mean of a metric over the horizon, in the metric's unit: intervals of 90 %."""

    base_low: float
    base_high: float
    target_low: float
    target_high: float

    def as_list(self) -> list[float]:
        """Return the four ends as a certificate holds them."""
        return [float(v) for v in (self.base_low, self.base_high, self.target_low, self.target_high)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Evidence for do(target), starting from `base`; both are full control vectors in the controls' units.

    `bound` is the lower bound of P(φ | do(target)) with confidence 1 - `delta` (shared over the certificates of one
    rehearsal), from `passes` of `horizons` fresh horizons on the twin. Times are seconds since 1970-01-01 UTC.
    """

    testbed_id: str
    stack: str
    radio_mode: str
    scenario: str
    scenario_digest: str
    calibration_id: str
    window_s: float
    specification: str
    alpha: float
    delta: float
    bound: float
    horizons: int
    passes: int
    base: Mapping[str, float]
    target: Mapping[str, float]
    predictions: Mapping[str, Prediction]
    issued_at_s: float
    expires_at_s: float
    key_id: str = ""
    """Set by whoever signs."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "float":
                object.__setattr__(self, field.name, _number(field.name, value, "certificate"))
            elif field.type == "Mapping[str, float]":
                numbers = {key: _number(f"{field.name}.{key}", v, "certificate") for key, v in value.items()}
                object.__setattr__(self, field.name, numbers)
        self._check()

    def _check(self) -> None:
        """Raise InputError where the content contradicts itself, whoever signed it."""
        for name in ("alpha", "delta"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise InputError("must lie between 0 and 1", source="certificate", key=name, value=getattr(self, name))
        if not 0 <= self.passes <= self.horizons or self.horizons == 0:
            raise InputError(f"must be at most the {self.horizons} horizons", source="certificate", key="passes")
        if not 0.0 <= self.bound <= self.passes / self.horizons:
            raise InputError("must lie between 0 and the share that passed", source="certificate", key="bound")
        if not self.window_s > 0.0:
            raise InputError("must be positive", source="certificate", key="window_s", value=self.window_s)
        if not self.issued_at_s < self.expires_at_s:
            raise InputError("must be after it was issued", source="certificate", key="expires_at_s")
        if not self.base or self.base.keys() != self.target.keys():
            raise InputError("must name the same controls as base", source="certificate", key="target")

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as plain data."""
        out: dict[str, Any] = {"format": FORMAT}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "predictions":
                value = {metric: prediction.as_list() for metric, prediction in value.items()}
            out[field.name] = dict(value) if isinstance(value, Mapping) else value
        return out

    def canonical(self) -> bytes:
        """Return the canonical encoding, which is what a signature covers."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical encoding: the certificate's name."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @classmethod
    def from_dict(cls, data: object, *, source: str = "certificate") -> Certificate:
        """Read plain data strictly: every key there, none besides, numbers finite; InputError otherwise."""
        names = {field.name for field in fields(cls)}
        if not isinstance(data, dict):
            raise InputError("must be an object", source=source)
        odd = sorted(str(key) for key in data.keys() ^ (names | {"format"}))
        if odd or data["format"] != FORMAT:
            raise InputError(f"not a certificate of format {FORMAT!r}" + (f": {odd[0]}" if odd else ""), source=source)
        values: dict[str, Any] = {}
        for field in fields(cls):
            values[field.name] = _read(field.name, str(field.type), data[field.name], source)
        return cls(**values)


def _read(name: str, kind: str, value: object, source: str) -> object:
    if kind == "str" and isinstance(value, str) and len(value) <= 20_000:
        return value
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
        return value
    if kind == "float":
        return _number(name, value, source)
    if isinstance(value, Mapping) and len(value) <= 10_000 and all(isinstance(key, str) for key in value):
        if kind == "Mapping[str, float]":
            return {key: _number(f"{name}.{key}", v, source) for key, v in value.items()}
        if kind == "Mapping[str, Prediction]":
            return {key: _prediction(f"{name}.{key}", v, source) for key, v in value.items()}
    raise InputError(f"must be {kind}", source=source, key=name)


def _number(name: str, value: object, source: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):  # an integer of hundreds of digits
            if math.isfinite(number := float(value)):
                return number
    raise InputError("must be a finite number", source=source, key=name)


def _prediction(name: str, value: object, source: str) -> Prediction:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise InputError("must be four numbers", source=source, key=name)
    low, high, target_low, target_high = (_number(name, v, source) for v in value)
    if low > high or target_low > target_high:
        raise InputError("an interval must not end before it begins", source=source, key=name)
    return Prediction(base_low=low, base_high=high, target_low=target_low, target_high=target_high)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCertificate:
    """A certificate as it travels: its canonical encoding, and the Ed25519 signature (64 bytes) over it."""

    payload: bytes
    signature: bytes

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the payload: the certificate's name."""
        return hashlib.sha256(self.payload).hexdigest()

    def certificate(self, *, source: str = "certificate") -> Certificate:
        """Return the content, which nobody has verified yet; InputError if it is not a canonical certificate."""
        if len(self.payload) > MOST_BYTES:
            raise InputError(f"longer than {MOST_BYTES} bytes", source=source)
        try:
            data = json.loads(self.payload, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise InputError("not JSON", source=source) from error
        certificate = Certificate.from_dict(data, source=source)
        if certificate.canonical() != self.payload:
            raise InputError("not in canonical form", source=source)
        return certificate

    def to_text(self) -> str:
        """Return the text of a certificate file; the payload in it is byte for byte what was signed."""
        content = {"certificate": self.payload.decode(), "signature": self.signature.hex()}
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def from_text(cls, text: str, *, source: str = "certificate") -> SignedCertificate:
        """Read what `to_text` wrote; InputError if it is anything else. Nothing is verified."""
        if len(text) > 4 * MOST_BYTES:
            raise InputError(f"longer than {4 * MOST_BYTES} characters", source=source)
        try:
            content = json.loads(text, parse_constant=_no_constant)
            if not isinstance(content, dict) or content.keys() != {"certificate", "signature"}:
                raise ValueError("keys")
            payload, signature = content["certificate"], content["signature"]
            signed = cls(payload=payload.encode(), signature=bytes.fromhex(signature))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InputError("not a signed certificate", source=source) from error
        signed.certificate(source=source)
        return signed


def _no_constant(text: str) -> float:
    raise ValueError(text)
