"""DICOM over TLS: PS3.15 B.12, "BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile", with a certificate asked of every peer.

TLS 1.3 where the peer can, else 1.2 with ephemeral keys and authenticated encryption. A peer is let in if its certificate, or one
that signed it, lies in the directory `trusted`; no authority of the system counts.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

SERVER: Final = "server.pem"
"""Private key, certificate, and those between it and its authority: one file, so that all change at once. The receiver's only secret."""

TRUSTED: Final = "trusted"
"""Directory of the certificates of peers, or of their authorities, a file each."""

AE_URI: Final = "urn:bildbrief:ae:"
"""What a certificate that was made here names its holder by; the AE title follows, percent-encoded."""

# RFC 9325 4.2. Level 2: no RSA key below 2048 bits and no SHA-1 signature in a certificate, however the library was built.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"


def context(directory: Path) -> ssl.SSLContext:
    """What one connection is secured by. Made for each anew, in some 4 ms: so what is changed in `directory` counts from the next on.

    Curves are the library's: X25519, P-256, and larger ones. Errors: OSError when there is no certificate, or none that can be used.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(_CIPHERS)
    made.options |= ssl.OP_NO_TICKET
    made.num_tickets = 0  # no session is resumed: each handshake shows a certificate
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # a peer's own certificate can be trusted, without its authority
    made.load_cert_chain(directory / SERVER)
    for file in (directory / TRUSTED).glob("*.pem"):
        made.load_verify_locations(file)
    return made


def reason(refused: OSError) -> str:
    """Why a handshake failed, in the library's fixed words: nothing that the peer has sent."""
    return getattr(refused, "verify_message", None) or getattr(refused, "reason", None) or type(refused).__name__


def ae_of(certificate: Mapping[str, object]) -> str | None:
    """The one AE title that a peer may call itself by, from what `SSLSocket.getpeercert` tells of its certificate. None: any."""
    match certificate.get("subjectAltName"):
        case (("URI", str(name)),) if name.startswith(AE_URI):
            return unquote(name.removeprefix(AE_URI))
        case _:
            return None
