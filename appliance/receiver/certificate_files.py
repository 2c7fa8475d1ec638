"""What people hand over as certificates, read and judged: whatever a peer would stumble over later is refused here, with a way on."""

from datetime import datetime
from itertools import pairwise
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from ..certificates import PrivateKey
from ..domain.errors import Code, Problem

_BROKEN: Final = ("md5", "sha1")
_MESSAGES: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "This certificate is not for servers. Ask for one with the extended key usage serverAuth.",
    ExtendedKeyUsageOID.CLIENT_AUTH: "This certificate is not for clients. Ask for one with the extended key usage clientAuth.",
}


class About(NamedTuple):
    """A certificate for people: whose, the names and addresses in it, SHA-256 as `openssl x509 -fingerprint` writes it, UTC seconds."""

    subject: str
    names: tuple[str, ...]
    fingerprint: str
    end: int


def about(certificate: x509.Certificate) -> About:
    try:
        names = tuple(str(name.value) for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = ()
    end = int(certificate.not_valid_after_utc.timestamp())
    return About(certificate.subject.rfc4514_string(), names, certificate.fingerprint(SHA256()).hex(":").upper(), end)


def read_certificates(content: bytes) -> list[x509.Certificate]:
    """The certificates of a file, in PEM form or, if it is one, in DER form. Errors: Problem INVALID."""
    try:
        is_pem = b"-----BEGIN" in content
        found = x509.load_pem_x509_certificates(content) if is_pem else [x509.load_der_x509_certificate(content)]
        for each in found:
            _ = each.public_key(), each.extensions  # read when asked for
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise Problem(Code.INVALID, "This is no certificate. Give one in PEM or DER form.") from error
    return found


def read_key(content: bytes) -> PrivateKey:
    """The private key of a file in PEM form, whatever else is in it. Errors: Problem INVALID."""
    try:
        key = load_pem_private_key(content, None)
    except TypeError as error:
        raise Problem(
            Code.INVALID, "The private key is sealed with a passphrase. Take that off first: openssl pkey -in KEY -out OPENED"
        ) from error
    except ValueError as error:
        raise Problem(Code.INVALID, "This is no private key. Give one in PEM form.") from error
    if not isinstance(key, PrivateKey):
        raise Problem(Code.INVALID, "A key of this kind cannot be used. Take RSA, or an elliptic curve.")
    return key


def judge_server(chain: list[x509.Certificate], key: PrivateKey, now: datetime) -> None:
    """Whether a server can show these certificates, its own first. Errors: Problem INVALID."""
    if chain[0].public_key() != key.public_key():
        raise Problem(Code.INVALID, "The private key is not that of the first certificate. Give the two that belong together.")
    judge_peer(chain[0], now, ExtendedKeyUsageOID.SERVER_AUTH)
    for certificate in chain[1:]:
        _judge(certificate, now)
    for signed, signer in pairwise(chain):
        try:
            signed.verify_directly_issued_by(signer)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise Problem(
                Code.INVALID,
                "The chain is broken: %(signed)s was not signed by %(signer)s. Give first the certificate, then the one that signed it, and"
                " so on.",
                signed=signed.subject.rfc4514_string(),
                signer=signer.subject.rfc4514_string(),
            ) from error


def judge_peer(certificate: x509.Certificate, now: datetime, purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH) -> None:
    """Whether a certificate, or an authority's, can be shown to that purpose. Errors: Problem INVALID."""
    _judge(certificate, now)
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {purpose, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {*usage}:
        raise Problem(Code.INVALID, _MESSAGES[purpose])


def _judge(certificate: x509.Certificate, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now:
        raise Problem(
            Code.INVALID,
            "The certificate ended on %(day)s. Ask whoever issued it for a new one.",
            day=f"{certificate.not_valid_after_utc:%Y-%m-%d}",
        )
    if certificate.not_valid_before_utc > now:
        raise Problem(
            Code.INVALID,
            "The certificate is valid only from %(day)s. Check the clock of this machine, or wait until then.",
            day=f"{certificate.not_valid_before_utc:%Y-%m-%d}",
        )
    if not _strong(certificate):
        raise Problem(
            Code.INVALID,
            "The certificate is too weak for DICOM's TLS profile. Ask for one with RSA of 2048 bits or more, or with an elliptic curve of"
            " 256 bits or more, signed with SHA-256.",
        )


def _strong(certificate: x509.Certificate) -> bool:
    """What `tls` lets in: level 2 of the library. Nobody relies on a signature of oneself."""
    signature = certificate.signature_hash_algorithm
    if certificate.subject != certificate.issuer and signature is not None and signature.name in _BROKEN:
        return False
    match certificate.public_key():
        case RSAPublicKey() as key:
            return key.key_size >= 2048
        case EllipticCurvePublicKey() as key:
            return key.curve.key_size >= 256
        case Ed25519PublicKey() | Ed448PublicKey():
            return True
        case _:
            return False
