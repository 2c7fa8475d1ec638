"""The authority: makes the certificates with which appliances on other machines may ask, and knows which of them still count.

Its key is one of the ring's own secrets. A certificate proves a role and opens nothing by itself; it counts as long as the ring
has it, so what is withdrawn is refused with its next call, also on an open connection.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from .. import certificates
from ..certificates import LIFETIME, RENEW, moment, pem
from ..domain.errors import Code, Problem
from ..domain.share import DAY
from .calls import REMOTE
from .events import witness
from .ring import Ring, bury, row, rows
from .tls import ROLE_URI, SERVER_NAME, Holder, fingerprint

_NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280 4.1.2.5: no end
_HOST: Final = re.compile("[A-Za-z0-9][A-Za-z0-9.-]{0,63}")


class Authority:
    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        key = Ed25519PrivateKey.from_private_bytes(ring.secret("authority"))
        self._signs = certificates.Authority("Bildbrief keyholder", key, _NEVER)

    @property
    def certificate(self) -> str:
        """The authority's own certificate (PEM)."""
        return pem(self._signs.certificate)

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
                identity, mark = self.issue(host, [name], moment(end), ExtendedKeyUsageOID.CLIENT_AUTH)
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
        certificate = self._signs.issue(subject, key.public_key(), names, end, purpose)
        return pem(key) + pem(certificate), fingerprint(certificate.public_bytes(Encoding.DER))


def enrolled(ring: Ring) -> dict[str, Any]:
    """For the status: days until each machine's certificates end, and the machines that should be enrolled anew by now."""
    now = ring.now()
    ends = {each["host"]: each["end"] for each in rows(ring.here(), "SELECT host, max(not_after) AS end FROM clients GROUP BY host")}
    return {
        "enrolled": {host: (end - now) // DAY for host, end in ends.items()},
        "enrol_anew": sorted(host for host, end in ends.items() if end - now <= RENEW),
    }
