"""Ed25519 keys of certificates: made, kept, read, and what is signed and verified with them.

The private key stays with the operator as PEM (PKCS #8, RFC 5958) that nobody else may read; the public one is one line
of text, `rantwin-ed25519 KEY_ID PUBLIC_KEY`, both in hex, for the agents that trust it. The only module here that needs
`cryptography`, and only where it signs or verifies.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from col.certificate import Certificate, SignedCertificate
from col.errors import InputError

__all__ = ["PublicKey", "SigningKey", "key_id", "make_keys", "read_private_key", "read_public_key", "verify"]

_LABEL = "rantwin-ed25519"
_RAW_BYTES = 32
_SIGNATURE_BYTES = 64
_MOST_BYTES = 16 * 1024

_FIELD = 2**255 - 19
_EIGHTH = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _FIELD - 1, _EIGHTH, _FIELD - _EIGHTH})
"""The y coordinates of the eight points of small order on edwards25519 (RFC 8032): as public keys they let anybody
sign. All zeros, the most likely slip in a file of trusted keys, is one of them, and OpenSSL accepts it."""


def key_id(public: bytes) -> str:
    """Return the name of a raw public key (32 bytes): the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A raw Ed25519 public key (32 bytes)."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != _RAW_BYTES:
            raise InputError(f"a public key has {_RAW_BYTES} bytes, found {len(self.raw)}", source="public key")
        if _is_of_small_order(self.raw):
            raise InputError("is no key that anybody made: everybody could sign for it", source="public key")

    @property
    def key_id(self) -> str:
        """Its name."""
        return key_id(self.raw)

    @property
    def text(self) -> str:
        """The line of a public key file, without its end."""
        return f"{_LABEL} {self.key_id} {self.raw.hex()}"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key in memory; it shows its public half only."""

    public: PublicKey
    _sign: Callable[[bytes], bytes] = field(repr=False, compare=False)

    @property
    def key_id(self) -> str:
        """The name of its public half."""
        return self.public.key_id

    def sign(self, certificate: Certificate) -> SignedCertificate:
        """Return the certificate under this key's name, signed."""
        payload = replace(certificate, key_id=self.key_id).canonical()
        return SignedCertificate(payload=payload, signature=self._sign(payload))


def make_keys(private: Path, public: Path) -> SigningKey:
    """Make a new pair of keys in two new files; nothing that exists is overwritten.

    The private file has mode 0600, folders that are missing are made with mode 0700.

    Raises:
        InputError: a file is there already, or cannot be written; nothing is left behind then.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    made = SigningKey(PublicKey(key.public_key().public_bytes_raw()), key.sign)
    _write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    try:
        _write_new(public, f"{made.public.text}\n".encode(), 0o644)
    except InputError:
        private.unlink()
        raise
    return made


def read_private_key(path: Path) -> SigningKey:
    """Read a private key.

    Raises:
        InputError: not there, readable or writable by others, or no Ed25519 private key in PEM; one line.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read(path, private=True)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as error:
        raise InputError("is encrypted; an unencrypted key is needed", source=str(path)) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError("is not a private key in PEM; make one with `rantwin keys`", source=str(path)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("is a private key of another type; Ed25519 is needed", source=str(path))
    return SigningKey(PublicKey(key.public_key().public_bytes_raw()), key.sign)


def read_public_key(path: Path) -> PublicKey:
    """Read a public key file; needs no `cryptography`.

    Raises:
        InputError: not there, not one line of the form above, or its key id is that of another key.
    """
    words = _read(path).decode("ascii", errors="replace").split()
    wanted = f"must be one line `{_LABEL} KEY_ID PUBLIC_KEY`"
    if len(words) != 3 or words[0] != _LABEL:
        raise InputError(wanted, source=str(path))
    try:
        key = PublicKey(bytes.fromhex(words[2]))
    except ValueError as error:
        raise InputError(f"{wanted}; the public key is 64 hex digits", source=str(path)) from error
    except InputError as error:
        raise InputError(str(error), source=str(path)) from error
    if key.key_id != words[1]:
        raise InputError(f"the public key's id is {key.key_id}, the file says otherwise", source=str(path))
    return key


def verify(signed: SignedCertificate, public: bytes) -> bool:
    """Tell whether the signature over the payload is that of the raw public key; any other input is simply not."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(public) != _RAW_BYTES or len(signed.signature) != _SIGNATURE_BYTES or _is_of_small_order(public):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signed.signature, signed.payload)
    except (InvalidSignature, ValueError):
        return False
    return True


def _is_of_small_order(public: bytes) -> bool:
    y = int.from_bytes(public, "little") & (2**255 - 1)
    return y % _FIELD in _SMALL_ORDER


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise InputError("is there already and is not overwritten", source=str(path)) from error
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", source=str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise InputError(f"cannot be written: {error.strerror}", source=str(path)) from error


def _read(path: Path, *, private: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise InputError("is not a file", source=str(path))
            if private and about.st_mode & 0o077:
                mode = stat.S_IMODE(about.st_mode)
                raise InputError(f"has mode {mode:04o}, others may use it: chmod 600 {path}", source=str(path))
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=str(path)) from error
    if len(content) > _MOST_BYTES:
        raise InputError(f"is longer than {_MOST_BYTES} bytes: not a key", source=str(path))
    return content
