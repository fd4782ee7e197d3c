"""What the gate asks of a certificate: genuine, in force, and for just this testbed, requirement and intervention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.backends.base import BackendDescription
from bridge.gate_words import one_of, shown
from bridge.reasons import Reason, ReasonCode
from bridge.settings import Requirements
from col.certificate import Certificate, SignedCertificate
from col.errors import InputError
from col.plant import Control
from col.signing import verify
from col.specification import Specification

__all__ = ["CLOCK_SKEW_S", "certificate_reasons", "read_certificate", "vector_reasons"]

CLOCK_SKEW_S = 60.0
"""So much may the operator's clock be ahead of the agent's: a certificate issued just now is valid."""


def read_certificate(
    signed: SignedCertificate | None, trusted: Mapping[str, bytes]
) -> tuple[Certificate | None, list[Reason]]:
    """Return what a certificate says, genuine or not, and what speaks against believing it."""
    if signed is None:
        return None, [Reason(code=ReasonCode.CERTIFICATE_MISSING, text="no certificate: nothing shows that it is safe")]
    try:
        certificate = signed.certificate()
    except InputError as error:
        return None, [_forged(f"the certificate cannot be read: {shown(str(error), 120)}", signed)]
    key = certificate.key_id
    if key not in trusted:
        text = f"signed with key {shown(key)}, this agent trusts {one_of(trusted)}"
        facts = {"key_id": shown(key), "digest": signed.digest}
        return certificate, [Reason(code=ReasonCode.CERTIFICATE_UNTRUSTED_KEY, text=text, facts=facts)]
    if not verify(signed, trusted[key]):
        return certificate, [_forged(f"the signature is not that of key {key} over this certificate", signed)]
    return certificate, []


def _forged(text: str, signed: SignedCertificate) -> Reason:
    return Reason(code=ReasonCode.CERTIFICATE_FORGED, text=text, facts={"digest": signed.digest})


def certificate_reasons(
    certificate: Certificate,
    requirements: Requirements,
    specification: Specification,
    description: BackendDescription,
    now_wall_s: float,
) -> list[Reason]:
    """Return why a certificate, genuine or not, is none for this testbed and its requirements."""
    return [
        *_validity(certificate, now_wall_s),
        *_same_requirement(certificate, specification),
        *_same_world(certificate, requirements, description),
        *_enough(certificate, requirements),
    ]


def _validity(certificate: Certificate, now_s: float) -> list[Reason]:
    reasons = []
    if not now_s < certificate.expires_at_s:
        text = f"expired {now_s - certificate.expires_at_s:.6g} s ago"
        facts = {"expires_at_s": repr(certificate.expires_at_s), "now_s": repr(now_s)}
        reasons.append(Reason(code=ReasonCode.CERTIFICATE_EXPIRED, text=f"the certificate {text}", facts=facts))
    if not certificate.issued_at_s <= now_s + CLOCK_SKEW_S:
        text = f"the certificate is dated {certificate.issued_at_s - now_s:.6g} s ahead of this agent's clock"
        facts = {"issued_at_s": repr(certificate.issued_at_s), "now_s": repr(now_s)}
        reasons.append(Reason(code=ReasonCode.CERTIFICATE_NOT_YET_VALID, text=text, facts=facts))
    return reasons


def _same_requirement(certificate: Certificate, specification: Specification) -> list[Reason]:
    try:
        same = Specification.parse(certificate.specification) == specification
    except InputError:
        same = False
    if same:
        return []
    text = f"the certificate is for another specification: {shown(certificate.specification, 100)}"
    facts = {"certificate": shown(certificate.specification, 1000), "required": specification.text[:1000]}
    return [Reason(code=ReasonCode.OTHER_SPECIFICATION, text=text, facts=facts)]


def _same_world(certificate: Certificate, requirements: Requirements, description: BackendDescription) -> list[Reason]:
    plant = description.plant
    compared: list[tuple[ReasonCode, str, str, frozenset[str]]] = [
        (ReasonCode.OTHER_SCENARIO, "scenario digest", certificate.scenario_digest, requirements.scenario_digests),
        (ReasonCode.OTHER_TESTBED, "testbed", certificate.testbed_id, frozenset({plant.plant_id})),
        (ReasonCode.OTHER_STACK, "stack", certificate.stack, frozenset({description.stack})),
        (ReasonCode.OTHER_RADIO_MODE, "radio mode", certificate.radio_mode, frozenset({description.radio_mode})),
        (ReasonCode.OTHER_CALIBRATION, "calibration", certificate.calibration_id, requirements.calibration_ids),
    ]
    reasons = [
        Reason(
            code=code,
            text=f"the certificate is for {what} {shown(found)}, here it is {one_of(wanted)}",
            facts={"certificate": shown(found, 200), "here": one_of(wanted)},
        )
        for code, what, found, wanted in compared
        if found not in wanted
    ]
    if abs(certificate.window_s - plant.window_s) > 1e-6 * plant.window_s:
        text = f"the certificate is for windows of {certificate.window_s:g} s, here they are {plant.window_s:g} s long"
        facts = {"certificate": repr(certificate.window_s), "here": repr(plant.window_s)}
        reasons.append(Reason(code=ReasonCode.OTHER_WINDOW, text=text, facts=facts))
    return reasons


def _enough(certificate: Certificate, requirements: Requirements) -> list[Reason]:
    reasons = []
    if not certificate.bound >= requirements.alpha:
        text = f"certified for a probability of at least {certificate.bound:.4g}, required is {requirements.alpha:g}"
        facts = {"bound": repr(certificate.bound), "alpha": repr(requirements.alpha)}
        reasons.append(Reason(code=ReasonCode.BOUND_BELOW_ALPHA, text=text, facts=facts))
    if not certificate.delta <= requirements.delta + 1e-12:
        text = f"certified with confidence {1 - certificate.delta:.4g}, required is {1 - requirements.delta:.4g}"
        facts = {"certificate_delta": repr(certificate.delta), "delta": repr(requirements.delta)}
        reasons.append(Reason(code=ReasonCode.BOUND_BELOW_ALPHA, text=text, facts=facts))
    return reasons


def vector_reasons(
    certificate: Certificate, before: Mapping[str, float], after: Mapping[str, float], controls: Sequence[Control]
) -> list[Reason]:
    """Return where the full control vectors, in force and planned, are not those of the certificate.

    Values are the same if they are less than half a resolution apart.
    """
    reasons = []
    known = {c.name: c for c in controls}
    for name in sorted(certificate.base.keys() - known.keys()):
        text = f"the certificate speaks of {shown(name)}, which this testbed does not have"
        reasons.append(Reason(code=ReasonCode.UNCERTIFIED_CONTROL, text=text, facts={"control": shown(name)}))
    for name, control in known.items():
        if name not in certificate.base:
            text = f"the certificate says nothing of {name}"
            reasons.append(Reason(code=ReasonCode.UNCERTIFIED_CONTROL, text=text, facts={"control": name}))
            continue
        for code, there, certified, what in (
            (ReasonCode.UNCERTIFIED_CONTROL, before.get(name), certificate.base[name], "is"),
            (ReasonCode.UNCERTIFIED_TARGET, after.get(name), certificate.target[name], "would be"),
        ):
            if there is None or not abs(there - certified) <= control.resolution / 2 + 1e-9:
                value = "not known" if there is None else f"{there:g} {control.unit}"
                text = f"{name} {what} {value}, certified is {certified:g} {control.unit}"
                facts = {"control": name, "value": repr(there), "certified": repr(certified)}
                reasons.append(Reason(code=code, text=text, facts=facts))
    return reasons
