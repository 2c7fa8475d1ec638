"""The authority: makes the certificates with which appliances on other machines may ask, and knows which of them still count.

Its key is one of the ring's own secrets. A certificate proves a role and opens nothing by itself; it counts as long as the ring
has it, so what is withdrawn is refused with its next call, also on an open connection.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..domain.errors import Code, Problem
from ..domain.share import DAY
from .calls import REMOTE
from .events import witness
from .ring import Ring, bury, row, rows
from .tls import ROLE_URI, SERVER_NAME, Holder, fingerprint

LIFETIME: Final = 2 * 365 * DAY
"""Seconds a caller's certificate lasts."""

RENEW: Final = 30 * DAY
"""Seconds before its end from which on it is to be renewed."""

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)  # of every certificate: the clocks of two machines need not agree on today
_NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280 4.1.2.5: no end
_HOST: Final = re.compile("[A-Za-z0-9][A-Za-z0-9.-]{0,63}")


class Authority:
    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._key = Ed25519PrivateKey.from_private_bytes(ring.secret("authority"))

    @property
    def certificate(self) -> str:
        """The authority's own certificate (PEM): the same each time, because nothing in it is random."""
        builder = _builder("Bildbrief keyholder", self._key.public_key(), _NEVER, self._key).serial_number(1)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return _pem(builder.add_extension(_usage(sign_certificates=True), critical=True).sign(self._key, None))

    def identity(self) -> str:
        """A new private key for the keyholder's end of a connection, and its certificate (PEM). It needs no end: it is kept in memory."""
        return self.issue(SERVER_NAME, [x509.DNSName(SERVER_NAME)], _NEVER, ExtendedKeyUsageOID.SERVER_AUTH)[0]

    # -- the operator ------------------------------------------------------------------------------------------------

    def enrol(self, host: str) -> dict[str, str]:
        """Credentials of each role for the appliance on machine `host`: private key, certificate, authority (PEM).

        Errors: Problem INVALID for what is no name of a machine.
        """
        if not _HOST.fullmatch(host):
            raise Problem(Code.INVALID, "This is no name of a machine. Use letters, digits, dots and hyphens.")
        now = self._ring.now()
        end = now + LIFETIME
        made = {}
        with self._ring.write() as db:
            db.execute("DELETE FROM clients WHERE not_after <= ?", [now])
            for role in REMOTE:
                name = x509.UniformResourceIdentifier(f"{ROLE_URI}{role}")
                identity, mark = self.issue(host, [name], datetime.fromtimestamp(end, UTC), ExtendedKeyUsageOID.CLIENT_AUTH)
                db.execute("INSERT INTO clients (fingerprint, host, not_after) VALUES (?, ?, ?)", [mark, host, end])
                made[role] = identity + self.certificate
            witness(db, now, "enrol", until=end)
        return made

    def withdraw(self, host: str) -> int:
        """Refuse every certificate of a machine from now on, also after an older ring was restored. How many. Errors: Problem NOT_FOUND."""
        with self._ring.write() as db:
            found = rows(db, "SELECT fingerprint FROM clients WHERE host = ?", [host])
            if not found:
                raise Problem(Code.NOT_FOUND, "No machine is enrolled under this name. See the names with: bildbrief keys status")
            for client in found:
                bury(db, client["fingerprint"], self._ring.now())
            db.execute("DELETE FROM clients WHERE host = ?", [host])
            witness(db, self._ring.now(), "withdraw", certificates=len(found))
        return len(found)

    # -- the door ----------------------------------------------------------------------------------------------------

    def role(self, holder: Holder) -> str:
        """The role of whoever shows this certificate.

        Errors: Problem UNAVAILABLE if it does not count (any more). Not FORBIDDEN: what the caller was about can wait until
        somebody has enrolled it anew.
        """
        known = row(
            self._ring.here(),
            "SELECT 1 FROM clients WHERE fingerprint = ? AND not_after > ? AND fingerprint NOT IN (SELECT id FROM tombstones)",
            [holder.fingerprint, self._ring.now()],
        )
        if known is None or holder.role is None or holder.role not in REMOTE:
            raise Problem(
                Code.UNAVAILABLE,
                "The keyholder does not accept the certificate of this appliance. Whoever looks after it must enrol it anew.",
            )
        return holder.role

    # -- certificates ------------------------------------------------------------------------------------------------

    def issue(self, subject: str, names: Iterable[x509.GeneralName], end: datetime, purpose: x509.ObjectIdentifier) -> tuple[str, str]:
        """A new private key with its certificate (PEM), and the certificate's fingerprint."""
        key = Ed25519PrivateKey.generate()
        builder = _builder(subject, key.public_key(), end, self._key).serial_number(x509.random_serial_number())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(sign_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        certificate = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(self._key, None)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return private + _pem(certificate), fingerprint(certificate.public_bytes(Encoding.DER))


def enrolled(ring: Ring) -> dict[str, Any]:
    """For the status: days until each machine's certificates end, and the machines that should be enrolled anew by now."""
    now = ring.now()
    ends = {each["host"]: each["end"] for each in rows(ring.here(), "SELECT host, max(not_after) AS end FROM clients GROUP BY host")}
    return {
        "enrolled": {host: (end - now) // DAY for host, end in ends.items()},
        "enrol_anew": sorted(host for host, end in ends.items() if end - now <= RENEW),
    }


def _builder(subject: str, key: Ed25519PublicKey, end: datetime, issuer: Ed25519PrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("Bildbrief keyholder"))
        .public_key(key)
        .not_valid_before(_START)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )


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


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
