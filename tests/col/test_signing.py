"""Keys and signatures: nothing changed by a byte verifies, nobody else reads the key, files are read strictly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from col.certificate import SignedCertificate
from col.errors import InputError
from col.signing import PublicKey, SigningKey, key_id, make_keys, read_private_key, read_public_key, verify
from tests.col.certificates import make_certificate


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return make_keys(tmp_path / "keys" / "signing.pem", tmp_path / "keys" / "signing.pub")


def test_the_key_id_is_the_first_half_of_eight_bytes_of_sha256() -> None:
    # SHA-256 of 32 zero bytes is 66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925.
    assert key_id(bytes(32)) == "66687aadf862bd77"


def test_ed25519_agrees_with_the_first_test_vector_of_rfc_8032() -> None:
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )

    assert verify(SignedCertificate(payload=b"", signature=signature), public)
    assert not verify(SignedCertificate(payload=b" ", signature=signature), public)


def test_what_was_signed_verifies_and_names_its_key(key: SigningKey) -> None:
    signed = key.sign(make_certificate())

    assert verify(signed, key.public.raw)
    assert signed.certificate().key_id == key.key_id == key_id(key.public.raw)


def test_a_certificate_changed_by_any_one_byte_does_not_verify(key: SigningKey) -> None:
    signed = key.sign(make_certificate())

    for i in range(len(signed.payload)):
        changed = signed.payload[:i] + bytes([signed.payload[i] ^ 1]) + signed.payload[i + 1 :]
        assert not verify(SignedCertificate(payload=changed, signature=signed.signature), key.public.raw)
    for i in range(len(signed.signature)):
        changed = signed.signature[:i] + bytes([signed.signature[i] ^ 1]) + signed.signature[i + 1 :]
        assert not verify(SignedCertificate(payload=signed.payload, signature=changed), key.public.raw)


def test_the_signature_of_another_key_does_not_verify(key: SigningKey, tmp_path: Path) -> None:
    other = make_keys(tmp_path / "other.pem", tmp_path / "other.pub")

    assert not verify(other.sign(make_certificate()), key.public.raw)


@pytest.mark.parametrize(
    ("signature", "public"), [(b"", b"k" * 32), (bytes(64), b""), (bytes(64), b"k" * 32), (bytes(63), b"k" * 33)]
)
def test_signatures_and_keys_of_other_lengths_simply_do_not_verify(signature: bytes, public: bytes) -> None:
    assert not verify(SignedCertificate(payload=b"x", signature=signature), public)


SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
]


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_a_public_key_for_which_anybody_can_sign_is_no_key(public: str) -> None:
    raw = bytes.fromhex(public)
    made_by_nobody = [raw + bytes(32), bytes([1]) + bytes(63), bytes(64)]

    with pytest.raises(InputError, match="everybody could sign"):
        PublicKey(raw)
    for payload in range(16):  # the library below takes one in a few of these for genuine
        for signature in made_by_nobody:
            assert not verify(SignedCertificate(payload=bytes([payload]), signature=signature), raw)


def test_keys_are_read_back_as_they_were_made(key: SigningKey, tmp_path: Path) -> None:
    again = read_private_key(tmp_path / "keys" / "signing.pem")

    assert again.key_id == key.key_id
    assert verify(again.sign(make_certificate()), read_public_key(tmp_path / "keys" / "signing.pub").raw)


def test_nobody_else_may_read_a_key_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_keys(tmp_path / "new" / "k.pem", tmp_path / "new" / "k.pub")
    finally:
        os.umask(before)

    assert (tmp_path / "new" / "k.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_the_private_half_is_never_shown(key: SigningKey, tmp_path: Path) -> None:
    assert "sign" not in repr(key).replace("SigningKey", "")
    assert key.public.raw.hex() in key.public.text
    assert "PRIVATE" not in (tmp_path / "keys" / "signing.pub").read_text()


@pytest.mark.parametrize("existing", ["k.pem", "k.pub"])
def test_existing_keys_are_never_overwritten_and_no_half_is_left(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")

    with pytest.raises(InputError, match="there already"):
        make_keys(tmp_path / "k.pem", tmp_path / "k.pub")
    assert sorted(p.name for p in tmp_path.iterdir()) == [existing]
    assert (tmp_path / existing).read_text() == "mine"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_private_key_that_others_may_use_is_not_read(key: SigningKey, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys" / "signing.pem"
    path.chmod(mode)

    with pytest.raises(InputError, match=f"{mode:04o}.*chmod 600"):
        read_private_key(path)


def not_ed25519() -> dict[str, bytes]:
    own = Ed25519PrivateKey.generate()
    return {
        "empty": b"",
        "text": b"hello",
        "public": own.public_key().public_bytes_raw(),
        "encrypted": own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
        "rsa": rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "x25519": x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "long": b"-" * 20_000,
    }


@pytest.mark.parametrize("name", ["empty", "text", "public", "encrypted", "rsa", "x25519", "long", "missing", "folder"])
def test_what_is_no_ed25519_private_key_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name != "missing":
        path.write_bytes(not_ed25519()[name])
        path.chmod(0o600)

    with pytest.raises(InputError) as caught:
        read_private_key(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rantwin-ed25519",
        "ssh-ed25519 a b",
        f"rantwin-ed25519 {key_id(bytes(32))} {'11' * 31}",
        f"rantwin-ed25519 {'0' * 16} {'11' * 32}",
        f"rantwin-ed25519 {key_id(bytes(32))} zz",
    ],
)
def test_what_is_no_public_key_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "k.pub"
    path.write_text(text)

    with pytest.raises(InputError) as caught:
        read_public_key(path)
    assert "\n" not in str(caught.value)


def test_a_public_key_is_its_line_of_text(tmp_path: Path) -> None:
    key = PublicKey(bytes(range(32)))
    (tmp_path / "k.pub").write_text(f"{key.text}\n")

    assert read_public_key(tmp_path / "k.pub") == key


def test_certificates_and_public_keys_are_read_without_cryptography() -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "import col.signing, col.certificate, col.certify, col.recommend\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
