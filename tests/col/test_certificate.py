"""Certificates: one canonical encoding, read strictly, and nothing that contradicts itself."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from col.certificate import Certificate, Prediction, SignedCertificate
from col.errors import InputError
from tests.col.certificates import make_certificate

numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=12)


@st.composite
def certificates(draw: st.DrawFn) -> Certificate:
    controls = draw(st.dictionaries(names, numbers, min_size=1, max_size=4))
    horizons = draw(st.integers(1, 1000))
    passes = draw(st.integers(0, horizons))
    ends = st.tuples(numbers, numbers).map(sorted)
    intervals = st.builds(
        lambda base, target: Prediction(
            base_low=base[0], base_high=base[1], target_low=target[0], target_high=target[1]
        ),
        ends,
        ends,
    )
    return make_certificate(
        testbed_id=draw(names),
        specification=draw(names),
        base=controls,
        target={name: draw(numbers) for name in controls},
        horizons=horizons,
        passes=passes,
        bound=draw(st.floats(0.0, passes / horizons)),
        predictions=draw(st.dictionaries(names, intervals, max_size=3)),
        issued_at_s=draw(st.floats(0, 1e9)),
        expires_at_s=draw(st.floats(2e9, 4e9)),
        key_id=draw(names),
    )


@settings(max_examples=80)
@given(certificates())
def test_what_was_encoded_is_read_back_the_same(certificate: Certificate) -> None:
    signed = SignedCertificate(payload=certificate.canonical(), signature=b"s" * 64)

    assert signed.certificate() == certificate
    assert signed.digest == certificate.digest
    assert SignedCertificate.from_text(signed.to_text()) == signed


def test_whole_numbers_encode_as_the_numbers_they_are_read_as() -> None:
    certificate = make_certificate(
        base={"cpu": 1},
        target={"cpu": 2},
        window_s=15,
        predictions={"m": Prediction(base_low=1, base_high=2, target_low=3, target_high=4)},
    )

    assert SignedCertificate(payload=certificate.canonical(), signature=b"").certificate() == certificate


def test_two_certificates_that_differ_in_anything_have_different_names() -> None:
    first = make_certificate()

    assert first.digest != replace(first, target={**first.target, "cpu_du_1": 0.91}).digest
    assert first.digest != replace(first, key_id="0" * 16).digest


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"delta": 1.5},
        {"passes": 48},
        {"horizons": 0, "passes": 0},
        {"bound": 1.0, "passes": 46},
        {"bound": -0.1},
        {"window_s": 0.0},
        {"expires_at_s": 1_800_000_000.0},
        {"target": {"cpu_du_1": 1.0}},
        {"base": {}, "target": {}},
        {"base": {"a": math.nan}, "target": {"a": 1.0}},
        {"bound": math.nan},
        {"issued_at_s": math.inf},
    ],
)
def test_a_certificate_that_contradicts_itself_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        make_certificate(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("alpha", "0.9"),
        ("alpha", True),
        ("alpha", int("9" * 400)),
        ("horizons", 47.0),
        ("horizons", -1),
        ("horizons", True),
        ("base", [1.0]),
        ("base", {"cpu_du_1": None, "cpu_du_2": 1.0}),
        ("predictions", {"m": [1.0, 2.0, 3.0]}),
        ("predictions", {"m": [2.0, 1.0, 3.0, 4.0]}),
        ("predictions", {"m": "abcd"}),
        ("scenario", 3),
        ("scenario", "x" * 20_001),
        ("format", "rantwin certificate 2"),
    ],
)
def test_a_value_of_another_kind_is_refused(key: str, value: object) -> None:
    with pytest.raises(InputError):
        Certificate.from_dict({**make_certificate().to_dict(), key: value})


def test_a_key_too_few_or_too_many_is_refused() -> None:
    data = make_certificate().to_dict()
    short = {k: v for k, v in data.items() if k != "bound"}

    for wrong in (short, {**data, "extra": 1.0}, [data], None):
        with pytest.raises(InputError):
            Certificate.from_dict(wrong)


def spoiled() -> list[bytes]:
    payload = make_certificate().canonical()
    text = payload.decode()
    return [
        b"",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        payload + b" ",
        text.replace(":", ": ", 1).encode(),
        text.replace('"alpha":0.9', '"alpha":0.9,"alpha":0.1').encode(),
        text.replace("0.9,", "0.90,", 1).encode(),
        text.replace('"alpha":0.9', '"alpha":NaN').encode(),
        text.replace('"alpha":0.9', '"alpha":1e999').encode(),
        text.encode("utf-16"),
        b"\xef\xbb\xbf" + payload,
        payload + b"x" * 300_000,
    ]


@pytest.mark.parametrize("payload", spoiled())
def test_anything_but_the_canonical_encoding_is_refused(payload: bytes) -> None:
    with pytest.raises(InputError):
        SignedCertificate(payload=payload, signature=b"").certificate()


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_no_bytes_whatever_raise_anything_but_an_input_error(payload: bytes) -> None:
    with pytest.raises(InputError):
        SignedCertificate(payload=payload, signature=b"").certificate()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"certificate": 1, "signature": "00"}', '{"certificate": "\\ud800", "signature": ""}']
)
def test_a_file_that_is_no_certificate_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        SignedCertificate.from_text(text, source="01.json")
    assert str(caught.value).startswith("01.json: ")
    assert "\n" not in str(caught.value)
