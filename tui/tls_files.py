"""TLS material for agents beyond loopback: a CA of the operator's own, certificates of the server and of clients.

ECDSA over P-256, since every gRPC speaks it. The CA's key stays in the operator's config directory; an agent gets
`ca.pem`, `server.pem` and `server.key`, a client `ca.pem` and its own pair. The common name of a client certificate is
what an agent's `operators` and `viewers` name.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from col.errors import InputError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["Pair", "certificate_facts", "make_ca", "make_client", "make_server"]

_CA_DAYS, _LEAF_DAYS = 3650, 730
_MOST_NAME = 64  # X.520's bound on a common name


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def make_ca(name: str, now: datetime.datetime) -> Pair:
    """Return a CA that signs nothing but leaves."""
    from cryptography import x509

    key = _new_key()
    subject = _name(name)
    builder = _builder(subject, subject, key, now, _CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    return _signed(builder, key, key)


def make_server(ca: Pair, hosts: Sequence[str], now: datetime.datetime) -> Pair:
    """Return the certificate of a server that is reached under these names or addresses."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    names: list[x509.GeneralName] = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            try:
                names.append(x509.DNSName(host.encode("idna").decode()))
            except (UnicodeError, ValueError):
                raise InputError("neither a host name nor an address", key="--host", value=host) from None
    return _leaf(ca, "rantwin agent", ExtendedKeyUsageOID.SERVER_AUTH, now, x509.SubjectAlternativeName(names))


def make_client(ca: Pair, name: str, now: datetime.datetime) -> Pair:
    """Return the certificate of a client of that common name."""
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if not name.strip() or len(name) > _MOST_NAME:
        raise InputError(f"must have 1 to {_MOST_NAME} characters", key="--client", value=name)
    return _leaf(ca, name, ExtendedKeyUsageOID.CLIENT_AUTH, now, None)


def certificate_facts(pem: bytes, source: str) -> dict[str, str]:
    """Return a certificate's name, hosts (if any), end of validity (UTC) and SHA-256; InputError if it is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise InputError("not a certificate in PEM form", source=source) from error
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[:1]
    return {
        "name": str(name.value),
        **({"hosts": " ".join(hosts)} if (hosts := _hosts(certificate)) else {}),
        "valid_until": certificate.not_valid_after_utc.isoformat(),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _hosts(certificate: x509.Certificate) -> list[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*names.get_values_for_type(x509.DNSName), *(str(address) for address in addresses)]


def _leaf(
    ca: Pair,
    name: str,
    purpose: x509.ObjectIdentifier,
    now: datetime.datetime,
    alternatives: x509.SubjectAlternativeName | None,
) -> Pair:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    issuer = x509.load_pem_x509_certificate(ca.certificate)
    issuer_key = load_pem_private_key(ca.key, password=None)
    if not isinstance(issuer_key, EllipticCurvePrivateKey):
        raise InputError("the CA's key must be one of an elliptic curve", key="tls/ca.key")
    key = _new_key()
    builder = _builder(_name(name), issuer.subject, key, now, _LEAF_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
    )
    return _signed(builder, key, issuer_key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    from cryptography import x509

    # A minute back: a clock beside the testbed that is a little behind must not find it from the future.
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: x509.CertificateBuilder, key: EllipticCurvePrivateKey, issuer: EllipticCurvePrivateKey) -> Pair:
    from cryptography.hazmat.primitives import hashes, serialization

    return Pair(
        certificate=builder.sign(issuer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())
