"""X.509 as the two authorities of an appliance make it: the keyholder's, for other machines, and the DICOM receiver's, for modalities."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from .domain.share import DAY

LIFETIME: Final = 2 * 365 * DAY
"""Seconds a certificate lasts that must be renewed."""

RENEW: Final = 30 * DAY
"""Seconds before its end from which on it is to be renewed."""

CERTIFICATE: Final = "certificate.pem"
"""What a directory of credentials shows to all: the certificate, and those between it and its authority."""

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)  # of every certificate: the clocks of two machines need not agree on today

PrivateKey = Ed25519PrivateKey | Ed448PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs. The authority's own certificate is the same each time, because nothing in it and in either signature is random."""

    name: str
    key: Ed25519PrivateKey | RSAPrivateKey
    end: datetime

    @property
    def certificate(self) -> x509.Certificate:
        builder = self._builder(self.name, self.key.public_key(), self.end).serial_number(1)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return self._sign(builder.add_extension(_usage(sign_certificates=True), critical=True))

    def issue(
        self,
        subject: str,
        key: Ed25519PublicKey | RSAPublicKey,
        names: Iterable[x509.GeneralName],
        end: datetime,
        purpose: x509.ObjectIdentifier,
    ) -> x509.Certificate:
        """A certificate for somebody's key, for one purpose."""
        builder = self._builder(subject, key, end).serial_number(x509.random_serial_number())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(sign_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        return self._sign(builder.add_extension(x509.SubjectAlternativeName(names), critical=False))

    def _builder(self, subject: str, key: Ed25519PublicKey | RSAPublicKey, end: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(self.name))
            .public_key(key)
            .not_valid_before(_START)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )

    def _sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self.key, None if isinstance(self.key, Ed25519PrivateKey) else SHA256())


def pem(of: x509.Certificate | PrivateKey) -> str:
    if isinstance(of, x509.Certificate):
        return of.public_bytes(Encoding.PEM).decode()
    return of.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def moment(seconds: int) -> datetime:
    """UTC seconds as certificates want them."""
    return datetime.fromtimestamp(seconds, UTC)


def end_of(directory: Path) -> int | None:
    """UTC seconds at which the certificate of a directory of credentials ends; None if there is none."""
    try:
        content = (directory / CERTIFICATE).read_bytes()
    except FileNotFoundError:
        return None
    return int(x509.load_pem_x509_certificate(content).not_valid_after_utc.timestamp())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
