"""Certificates for TLS in which both sides show one: each trusts just the other's."""

import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Side:
    """PEM files: a private key, its certificate, and that of the other side. The key is RSA: every sender can that."""

    key: Path
    certificate: Path
    trusted: Path

    def secure(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """The context, with a certificate to show and one to ask for."""
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(self.trusted)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True)
class Mutual:
    receiver: Side
    sender: Side

    def accepting(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        """The receiver's context, for this version of TLS and no other."""
        context = self.receiver.secure(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        context.minimum_version = context.maximum_version = version
        return context

    def sending(self) -> ssl.SSLContext:
        return self.sender.secure(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def make_mutual(directory: Path) -> Mutual:
    receiver, sender = (Side(directory / f"{a}.key", directory / f"{a}.pem", directory / f"{b}.pem") for a, b in ("rs", "sr"))
    for side in (receiver, sender):
        _write(side)
    return Mutual(receiver, sender)


def _write(side: Side) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, side.key.stem)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - dt.timedelta(1), now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    side.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    side.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
