"""TLS 1.3 between an appliance and a keyholder on another machine: each side shows a certificate of the keyholder's own authority.

The keyholder is whoever has a certificate for its name, a caller has the role that its certificate names. Nothing else of a
certificate counts, and no authority of the system.
"""

import hashlib
import os
import ssl
from pathlib import Path
from typing import Final, NamedTuple

from ..domain.errors import Code, Problem

SERVER_NAME: Final = "keyholder"
ROLE_URI: Final = "urn:bildbrief:role:"
HANDSHAKE: Final = 5.0  # seconds for connecting and handshake


class Remote(NamedTuple):
    """Where a keyholder on another machine listens, and the file that lets this process in: private key, certificate, authority (PEM)."""

    host: str
    port: int
    credentials: Path


class Holder(NamedTuple):
    """Whose certificate was shown. `role` None: it does not name exactly one role; `fingerprint`: SHA-256, hex."""

    fingerprint: str
    role: str | None


def client_context(credentials: Path) -> ssl.SSLContext:
    """Errors: Problem UNAVAILABLE when there are no credentials."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(credentials)
        context.load_verify_locations(credentials)
    except OSError as error:
        raise Problem(
            Code.UNAVAILABLE, "This appliance has no certificate that its keyholder accepts. Whoever looks after it must enrol it."
        ) from error
    return context


def server_context(authority: str, identity: str) -> ssl.SSLContext:
    """`authority`: the certificate that signs callers'; `identity`: the server's private key and certificate. All PEM."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority)
    context.num_tickets = 0  # connections are kept, sessions are not resumed: each handshake shows a certificate
    # The library takes the key from a file only: one in memory that has no name.
    with os.fdopen(os.memfd_create("identity"), "wb") as file:
        file.write(identity.encode())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


def holder(connection: ssl.SSLSocket) -> Holder:
    """Whose certificate a caller has shown, once the handshake has verified it. The role counts if it is the only name."""
    mark = fingerprint(connection.getpeercert(binary_form=True) or b"")
    match (connection.getpeercert() or {}).get("subjectAltName"):
        case (("URI", str(name)),) if name.startswith(ROLE_URI):
            return Holder(mark, name.removeprefix(ROLE_URI))
        case _:
            return Holder(mark, None)


def fingerprint(certificate: bytes) -> str:
    """Of a certificate in DER."""
    return hashlib.sha256(certificate).hexdigest()


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    return context
